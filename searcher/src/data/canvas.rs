//! Canvases: images whose crops miss the object, as those of photographs do (Sec. 4.2), made of any small images.
//!
//! Each image is pasted at a random place of a larger canvas of dim noise, among smaller images of other rows. Which crop is
//! background is then known without a network.

use std::path::Path;

use super::objects::{self, ObjectBox};
use super::training_set::write_array;
use super::{DataError, DataFormat, ImageShape, LabelledImages, Source, Values};
use crate::randomness::{Randomness, seed_for};
use crate::target::below;

/// Brightest noise of a canvas, of 255.
const NOISE_MAX: f64 = 64.0;
/// How much smaller than the object the others on its canvas are.
const SHRINK: usize = 2;

/// How canvases are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanvasConfig {
    /// Height and width of a canvas in pixels.
    pub side: usize,
    /// Images of other rows on each canvas, of half the object's height and width; they do not decide its label.
    pub others: usize,
    /// Seed of places, others and noise.
    pub seed: u64,
}

/// Canvases with an image on each.
#[derive(Debug, Clone, PartialEq)]
pub struct Canvases {
    /// The canvases, with the labels of their objects.
    pub images: LabelledImages,
    /// The box around the pixels of each object that are not black. For reports only: no network and no search sees it.
    pub objects: Vec<ObjectBox>,
}

impl Canvases {
    /// Pastes each image on a canvas: a pure function of the images and the config.
    ///
    /// # Errors
    ///
    /// [`DataError::Canvas`] when the examples are no images of bytes or the canvas does not hold them.
    pub fn generate(images: &LabelledImages, config: &CanvasConfig) -> Result<Self, DataError> {
        let CanvasConfig { side, others, seed } = *config;
        let object = images.shape;
        let refused = |reason: String| Err(DataError::Canvas { reason });
        let Some(pixels) = images.pixels.bytes().filter(|_| !object.is_vector()) else {
            return refused("these examples are no images whose pixels are bytes".to_owned());
        };
        if side < object.height.max(object.width) {
            let ImageShape { height, width, .. } = object;
            return refused(format!("a side of {side} does not hold images of {height}×{width}"));
        }
        let shape = ImageShape { channels: object.channels, height: side, width: side };
        let mut canvases = vec![0; images.len() * shape.pixels()];
        let mut objects = Vec::with_capacity(images.len());
        let image =
            |number: usize| Pasted { pixels: &pixels[number * object.pixels()..][..object.pixels()], shape: object };
        for (number, canvas) in canvases.chunks_exact_mut(shape.pixels()).enumerate() {
            let mut randomness = Randomness::new(seed_for(seed, number as u64, "canvas"));
            canvas.iter_mut().for_each(|pixel| *pixel = noise(&mut randomness));
            for _ in 0..others {
                let (shrunk, shape) = image(below(&mut randomness, images.len())).shrunk();
                Pasted { pixels: &shrunk, shape }.paste(canvas, side, &mut randomness);
            }
            let (top, left) = image(number).paste(canvas, side, &mut randomness);
            objects.push(image(number).bounds((top, left)));
        }
        let images = LabelledImages { pixels: Values::Bytes(canvases), shape, ..images.clone() };
        Ok(Self { images, objects })
    }

    /// Makes canvases of the data at `from` and writes them into the folder `to`, which is made if need be: x_train.npy, y_train.npy,
    /// x_test.npy and y_test.npy if the data has a test set, and where the objects of the training set are. Of each set the first
    /// `images_max` are taken, if it is given.
    ///
    /// # Errors
    ///
    /// As [`Self::generate`]; errors of the files.
    pub fn write_of(from: &Path, to: &Path, images_max: Option<usize>, config: &CanvasConfig) -> Result<(), DataError> {
        let Source { train, validation, test } = DataFormat::recognise(from)?.read(from, None, false)?;
        std::fs::create_dir_all(to).map_err(|source| DataError::read(to, source))?;
        let sets = [("train", Some(train)), ("val", validation), ("test", test)];
        for (name, mut set) in sets.into_iter().filter_map(|(name, set)| Some((name, set?))) {
            if let Some(most) = images_max.filter(|most| *most < set.len()) {
                drop(set.split_off(most));
            }
            let seed = seed_for(config.seed, 0, name);
            let canvases = Self::generate(&set, &CanvasConfig { seed, ..*config })?;
            if name == "train" {
                objects::write(to, &canvases.objects)?;
            }
            canvases.write(to, name)?;
        }
        Ok(())
    }

    fn write(&self, folder: &Path, set: &str) -> Result<(), DataError> {
        let LabelledImages { shape, pixels, labels, .. } = &self.images;
        let size = [labels.len(), shape.channels, shape.height, shape.width].map(|size| size as u64);
        write_array(folder, &format!("x_{set}.npy"), &size, pixels.bytes().unwrap_or_default())?;
        write_array(folder, &format!("y_{set}.npy"), &size[..1], labels)
    }
}

/// An image, channel by channel, that is put on a canvas.
#[derive(Clone, Copy)]
struct Pasted<'a> {
    pixels: &'a [u8],
    shape: ImageShape,
}

impl Pasted<'_> {
    /// Puts the pixels that are not black at a random place, which is returned as row and column.
    fn paste(self, canvas: &mut [u8], side: usize, randomness: &mut Randomness) -> (usize, usize) {
        let ImageShape { height, width, .. } = self.shape;
        let (top, left) = (below(randomness, side - height + 1), below(randomness, side - width + 1));
        for (number, &pixel) in self.pixels.iter().enumerate().filter(|(_, pixel)| **pixel > 0) {
            let (channel, row, column) = (number / (height * width), number / width % height, number % width);
            canvas[(channel * side + top + row) * side + left + column] = pixel;
        }
        (top, left)
    }

    /// The box around the pixels that are not black, of an image whose first pixel is at `place`; all of a black image.
    fn bounds(self, place: (usize, usize)) -> ObjectBox {
        let ImageShape { height, width, .. } = self.shape;
        let bright = |(number, pixel): (usize, &u8)| (*pixel > 0).then_some((number / width % height, number % width));
        let places: Vec<(usize, usize)> = self.pixels.iter().enumerate().filter_map(bright).collect();
        let extent = |of: &dyn Fn(&(usize, usize)) -> usize, all: usize| {
            let first = places.iter().map(of).min().unwrap_or(0);
            (first, places.iter().map(of).max().map_or(all, |last| last + 1 - first))
        };
        let ((row, rows), (column, columns)) = (extent(&|place| place.0, height), extent(&|place| place.1, width));
        let [top, left, height, width] = [place.0 + row, place.1 + column, rows, columns]
            .map(|pixels| u32::try_from(pixels).expect("an image in memory has fewer than 2^32 rows and columns"));
        ObjectBox { top, left, height, width }
    }

    /// The image with means of [`SHRINK`]² pixels in their place.
    fn shrunk(self) -> (Vec<u8>, ImageShape) {
        let ImageShape { channels, height, width } = self.shape;
        let shape = ImageShape { channels, height: (height / SHRINK).max(1), width: (width / SHRINK).max(1) };
        let mut pixels = Vec::with_capacity(shape.pixels());
        for channel in 0..channels {
            for (row, column) in (0..shape.height).flat_map(|row| (0..shape.width).map(move |column| (row, column))) {
                let rows = (row * SHRINK..(row + 1) * SHRINK).filter(|row| *row < height);
                let places =
                    rows.flat_map(|row| (column * SHRINK..(column + 1) * SHRINK).map(move |column| (row, column)));
                let values: Vec<u32> = places
                    .filter(|(_, column)| *column < width)
                    .map(|(row, column)| u32::from(self.pixels[(channel * height + row) * width + column]))
                    .collect();
                let mean = values.iter().sum::<u32>() / u32::try_from(values.len()).expect("four pixels at most");
                pixels.push(u8::try_from(mean).expect("a mean of bytes is a byte"));
            }
        }
        (pixels, shape)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value lies in 0..64")]
fn noise(randomness: &mut Randomness) -> u8 {
    (randomness.uniform() * NOISE_MAX) as u8
}

#[cfg(test)]
mod tests {
    use super::super::{DataConfig, synthetic};
    use super::*;

    /// Bright images, whose every pixel shows.
    fn bright(count: usize, seed: u64) -> LabelledImages {
        let mut images = synthetic::blobs(count, 5, seed);
        let pixels = images.pixels.bytes().unwrap().iter().map(|pixel| pixel / 2 + 100).collect();
        images.pixels = Values::Bytes(pixels);
        images
    }

    #[test]
    fn objects_stand_whole_on_dim_canvases_at_the_places_told_and_others_are_smaller() {
        let images = bright(40, 1);
        for others in [0, 2] {
            let made = Canvases::generate(&images, &CanvasConfig { side: 30, others, seed: 2 }).unwrap();
            assert_eq!((made.images.len(), made.images.shape.width, &made.images.labels), (40, 30, &images.labels));
            let (canvases, objects) = (made.images.pixels.bytes().unwrap(), images.pixels.bytes().unwrap());
            let mut bright_outside = 0;
            for (number, object) in made.objects.iter().enumerate() {
                assert_eq!((object.height, object.width), (12, 12));
                let (top, left) = (object.top as usize, object.left as usize);
                for (row, column) in (0..30).flat_map(|row| (0..30).map(move |column| (row, column))) {
                    let value = canvases[number * 900 + row * 30 + column];
                    if (top..top + 12).contains(&row) && (left..left + 12).contains(&column) {
                        assert_eq!(value, objects[number * 144 + (row - top) * 12 + column - left]);
                    } else {
                        bright_outside += usize::from(value >= 64);
                    }
                }
            }
            // Others have 36 pixels each, some of them behind the object.
            assert!(if others == 0 { bright_outside == 0 } else { (40 * 36..=40 * 72).contains(&bright_outside) });
        }
    }

    #[test]
    fn the_box_is_around_what_is_not_black_and_black_lets_the_canvas_show() {
        let shape = ImageShape { channels: 1, height: 4, width: 5 };
        let mut pixels = vec![0; 20];
        (pixels[6], pixels[13]) = (200, 90);
        let image = LabelledImages::new(shape, Values::Bytes(pixels), vec![0]);
        let made = Canvases::generate(&image, &CanvasConfig { side: 5, others: 0, seed: 0 }).unwrap();
        let object = made.objects[0];
        assert_eq!((object.left, object.height, object.width), (1, 2, 3));
        let canvas = made.images.pixels.bytes().unwrap();
        let first = object.top as usize * 5 + 1;
        assert_eq!((canvas[first], canvas[first + 7]), (200, 90));
        assert!(canvas.iter().filter(|pixel| **pixel < 64).count() == 23 && canvas.iter().any(|pixel| *pixel > 0));
    }

    #[test]
    fn a_folder_of_canvases_is_data_with_the_objects_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        super::super::idx::write_labelled(&from, "train", &bright(60, 1)).unwrap();
        super::super::idx::write_labelled(&from, "t10k", &bright(20, 2)).unwrap();
        let config = CanvasConfig { side: 20, others: 1, seed: 3 };
        Canvases::write_of(&from, &to, Some(50), &config).unwrap();
        let source = DataFormat::recognise(&to).unwrap().read(&to, None, false).unwrap();
        let seed = seed_for(3, 0, "train");
        let mut first = bright(60, 1);
        drop(first.split_off(50));
        let made = Canvases::generate(&first, &CanvasConfig { seed, ..config }).unwrap();
        assert_eq!((source.train, source.test.unwrap().len()), (made.images, 20));
        assert_eq!(objects::read(&to).unwrap().unwrap(), made.objects);

        let crops = Some(super::super::CropConfig { scale: [0.05, 0.2], ..super::super::CropConfig::new(10) });
        let format = Some(DataFormat::Arrays);
        let data = DataConfig {
            format,
            train_examples: Some(30),
            validation_examples: Some(20),
            crops,
            ..DataConfig::new(&to)
        };
        let split = data.load().unwrap();
        let background = split.background(&to).unwrap().unwrap();
        let crops = &split.crops.as_ref().unwrap().crops;
        for (crop, background) in crops.iter().zip(&background) {
            let object = made.objects[split.train_rows[crop.image as usize]];
            assert_eq!(*background, object.overlap(crop) < objects::BACKGROUND_OVERLAP_MAX);
        }
        let count = background.iter().filter(|background| **background).count();
        assert!((30..270).contains(&count), "{count} of 300 crops are background");
        objects::write(&to, &made.objects[1..]).unwrap();
        assert!(split.background(&to).unwrap_err().to_string().contains("49 rows"));
    }

    #[test]
    fn what_cannot_be_pasted_is_refused() {
        let config = CanvasConfig { side: 11, others: 0, seed: 0 };
        let small = Canvases::generate(&bright(2, 1), &config).unwrap_err().to_string();
        assert!(small.contains("11") && small.contains("12×12"), "{small}");
        let floats = LabelledImages::new(bright(1, 1).shape, Values::Floats(vec![0.0; 144]), vec![0]);
        assert!(Canvases::generate(&floats, &config).unwrap_err().to_string().contains("bytes"));
    }
}
