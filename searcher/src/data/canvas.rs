//! Generated crops on a canvas: a data set where crops miss the object, as those of photographs do (Sec. 4.2), made of any
//! small images.
//!
//! Each image is pasted at a random place of a larger canvas of dim noise, and crops of random places and sizes are taken of
//! it. How much of the object a crop holds is known, so whether a sampler avoids background can be told without a network.

use super::{ImageShape, LabelledImages, Values};
use crate::randomness::{Randomness, seed_for};
use crate::target::below;

/// Below this share of the object, a crop counts as background.
pub const BACKGROUND_COVERAGE_MAX: f64 = 0.25;
/// Brightest noise of a canvas, of 255.
const NOISE_MAX: f64 = 64.0;

/// How canvases and crops are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanvasConfig {
    /// Height and width of a canvas in pixels.
    pub side: usize,
    /// Least and largest height and width of a crop, in pixels of the canvas.
    pub crop_sides: (usize, usize),
    /// Crops of each canvas.
    pub crops_a_canvas: usize,
    /// Seed of places, sizes and noise.
    pub seed: u64,
}

/// Why no canvases are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CanvasError {
    /// The examples are no images of bytes.
    #[error("canvases are made of images whose pixels are bytes, and these examples are not")]
    NotImages,
    /// The canvas does not hold the image.
    #[error("a canvas of {side}×{side} does not hold images of {height}×{width}: its side must be at least that")]
    CanvasTooSmall {
        /// Of the canvas.
        side: usize,
        /// Of the images.
        height: usize,
        /// Of the images.
        width: usize,
    },
    /// Crops that cannot be.
    #[error("crops of {least} to {largest} pixels: they must ascend, from 1 to the canvas's side {side}")]
    CropSides {
        /// Least side.
        least: usize,
        /// Largest side.
        largest: usize,
        /// Of the canvas.
        side: usize,
    },
}

/// One crop of a canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CanvasCrop {
    /// Number of the canvas, which is that of the image on it.
    pub image: usize,
    /// First row of the box, in pixels of the canvas.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Whether it is mirrored, left to right.
    pub flip: bool,
    /// Share of the object's area that lies in the box. For reports only: no network and no search sees it.
    pub coverage: f64,
}

/// Canvases with an image on each, and their crops.
#[derive(Debug, Clone, PartialEq)]
pub struct Canvases {
    /// The canvases.
    pub images: LabelledImages,
    /// Where each image lies on its canvas: row and column of its first pixel.
    pub places: Vec<(usize, usize)>,
    /// The crops, those of a canvas one after another.
    pub crops: Vec<CanvasCrop>,
    /// Shape of the images, which crops are scaled to.
    object: ImageShape,
}

impl Canvases {
    /// Pastes each image on a canvas and chooses crops: a pure function of the images and the config.
    ///
    /// # Errors
    /// [`CanvasError`] when a size does not fit.
    pub fn generate(images: &LabelledImages, config: &CanvasConfig) -> Result<Self, CanvasError> {
        let CanvasConfig { side, crop_sides: (least, largest), crops_a_canvas, seed } = *config;
        let object = images.shape;
        let pixels = images.pixels.bytes().filter(|_| !object.is_vector()).ok_or(CanvasError::NotImages)?;
        let ImageShape { channels, height, width } = object;
        if side < height || side < width {
            return Err(CanvasError::CanvasTooSmall { side, height, width });
        }
        if least == 0 || least > largest || largest > side {
            return Err(CanvasError::CropSides { least, largest, side });
        }
        let shape = ImageShape { channels, height: side, width: side };
        let mut canvases = Vec::with_capacity(images.len() * shape.pixels());
        let (mut places, mut crops) = (Vec::with_capacity(images.len()), Vec::new());
        for (image, object_pixels) in pixels.chunks_exact(object.pixels()).enumerate() {
            let mut randomness = Randomness::new(seed_for(seed, image as u64, "canvas"));
            let place = (below(&mut randomness, side - height + 1), below(&mut randomness, side - width + 1));
            paste(&mut canvases, shape, object_pixels, object, place, &mut randomness);
            for _ in 0..crops_a_canvas {
                let side_of = |randomness: &mut Randomness| least + below(randomness, largest - least + 1);
                let (rows, columns) = (side_of(&mut randomness), side_of(&mut randomness));
                let (top, left) = (below(&mut randomness, side - rows + 1), below(&mut randomness, side - columns + 1));
                let flip = randomness.uniform() < 0.5;
                let held = overlap((top, rows), (place.0, height)) * overlap((left, columns), (place.1, width));
                let coverage = held as f64 / (height * width) as f64;
                crops.push(CanvasCrop { image, top, left, height: rows, width: columns, flip, coverage });
            }
            places.push(place);
        }
        let images = LabelledImages {
            shape,
            pixels: Values::Bytes(canvases),
            labels: images.labels.clone(),
            true_labels: images.true_labels.clone(),
        };
        Ok(Self { images, places, crops, object })
    }

    /// Returns the crops as images of the size of those that were pasted, in order, each with its image's labels: what a
    /// network trains on. A pixel is the one that lies at its centre in the canvas.
    #[must_use]
    pub fn crop_images(&self) -> LabelledImages {
        let canvases = self.images.pixels.bytes().unwrap_or_default();
        let (object, side) = (self.object, self.images.shape.width);
        let mut pixels = Vec::with_capacity(self.crops.len() * object.pixels());
        for crop in &self.crops {
            for channel in 0..object.channels {
                let plane = (crop.image * object.channels + channel) * side * side;
                for row in 0..object.height {
                    let y = crop.top + centre(row, object.height, crop.height);
                    for column in 0..object.width {
                        let column = if crop.flip { object.width - 1 - column } else { column };
                        let x = crop.left + centre(column, object.width, crop.width);
                        pixels.push(canvases[plane + y * side + x]);
                    }
                }
            }
        }
        let of_crops = |labels: &[u16]| self.crops.iter().map(|crop| labels[crop.image]).collect();
        LabelledImages {
            shape: object,
            pixels: Values::Bytes(pixels),
            labels: of_crops(&self.images.labels),
            true_labels: of_crops(&self.images.true_labels),
        }
    }

    /// Returns the columns that make a dataset of the crops a crop bank.
    #[must_use]
    pub fn columns(&self) -> Vec<(String, Vec<f64>)> {
        let column = |name: &str, value: fn(&CanvasCrop) -> usize| {
            (name.to_owned(), self.crops.iter().map(|crop| value(crop) as f64).collect())
        };
        vec![
            column("image", |crop| crop.image),
            column("top", |crop| crop.top),
            column("left", |crop| crop.left),
            column("height", |crop| crop.height),
            column("width", |crop| crop.width),
            column("flip", |crop| usize::from(crop.flip)),
        ]
    }
}

/// Appends a canvas with an image on it.
fn paste(
    canvases: &mut Vec<u8>,
    shape: ImageShape,
    object_pixels: &[u8],
    object: ImageShape,
    (top, left): (usize, usize),
    randomness: &mut Randomness,
) {
    let start = canvases.len();
    canvases.extend((0..shape.pixels()).map(|_| noise(randomness)));
    for (row, pixels) in object_pixels.chunks_exact(object.width).enumerate() {
        let (channel, row) = (row / object.height, row % object.height);
        let first = start + (channel * shape.height + top + row) * shape.width + left;
        canvases[first..first + object.width].copy_from_slice(pixels);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value lies in 0..64")]
fn noise(randomness: &mut Randomness) -> u8 {
    (randomness.uniform() * NOISE_MAX) as u8
}

/// Returns how many pixels two stretches, given by their first pixel and length, have in common.
fn overlap((first, length): (usize, usize), (other, other_length): (usize, usize)) -> usize {
    (first + length).min(other + other_length).saturating_sub(first.max(other))
}

/// Returns the pixel of `from` ones that lies at the centre of pixel `position` when they are scaled to `to`.
const fn centre(position: usize, to: usize, from: usize) -> usize {
    (2 * position + 1) * from / (2 * to)
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    fn config(seed: u64) -> CanvasConfig {
        CanvasConfig { side: 30, crop_sides: (8, 20), crops_a_canvas: 5, seed }
    }

    #[test]
    fn images_stand_whole_on_dim_canvases_and_crops_lie_within() {
        let images = synthetic::blobs(40, 4, 1);
        let made = Canvases::generate(&images, &config(0)).unwrap();
        assert_eq!((made.images.len(), made.crops.len(), &made.images.labels), (40, 200, &images.labels));
        let (canvases, pixels) = (made.images.pixels.bytes().unwrap(), images.pixels.bytes().unwrap());
        for (image, &(top, left)) in made.places.iter().enumerate() {
            for row in 0..30 {
                for column in 0..30 {
                    let value = canvases[(image * 30 + row) * 30 + column];
                    if (top..top + 12).contains(&row) && (left..left + 12).contains(&column) {
                        assert_eq!(value, pixels[(image * 12 + row - top) * 12 + column - left]);
                    } else {
                        assert!(value < 64);
                    }
                }
            }
        }
        for (number, crop) in made.crops.iter().enumerate() {
            assert_eq!(crop.image, number / 5);
            assert!((8..=20).contains(&crop.height) && (8..=20).contains(&crop.width));
            assert!(crop.top + crop.height <= 30 && crop.left + crop.width <= 30);
            let (top, left) = made.places[crop.image];
            let inside = |row: usize, column: usize| {
                (crop.top..crop.top + crop.height).contains(&row)
                    && (crop.left..crop.left + crop.width).contains(&column)
            };
            let held = (top..top + 12).flat_map(|row| (left..left + 12).map(move |column| (row, column)));
            let held = held.filter(|&(row, column)| inside(row, column)).count();
            assert!((crop.coverage - held as f64 / 144.0).abs() < 1e-12);
        }
        let coverages: Vec<f64> = made.crops.iter().map(|crop| crop.coverage).collect();
        assert!(coverages.iter().any(|&coverage| coverage < f64::MIN_POSITIVE), "some miss the object");
        assert!(coverages.iter().any(|&coverage| coverage > 0.9), "some hold it");
    }

    #[test]
    fn a_crop_of_exactly_the_object_is_the_object_and_a_flip_its_mirror_image() {
        let images = synthetic::blobs(3, 3, 1);
        let mut made = Canvases::generate(&images, &config(0)).unwrap();
        let crop = |image: usize, flip| {
            let (top, left) = made.places[image];
            CanvasCrop { image, top, left, height: 12, width: 12, flip, coverage: 1.0 }
        };
        made.crops = vec![crop(2, false), crop(1, true)];
        let crops = made.crop_images();
        let (pixels, objects) = (crops.pixels.bytes().unwrap(), images.pixels.bytes().unwrap());
        assert_eq!((crops.shape, crops.labels), (images.shape, vec![images.labels[2], images.labels[1]]));
        assert_eq!(pixels[..144], objects[288..]);
        let mirrored: Vec<u8> = objects[144..288].chunks(12).flat_map(|row| row.iter().rev().copied()).collect();
        assert_eq!(pixels[144..], mirrored);
    }

    #[test]
    fn columns_tell_the_boxes_and_the_seed_decides() {
        let images = synthetic::blobs(10, 2, 1);
        let made = Canvases::generate(&images, &config(3)).unwrap();
        assert_eq!(Canvases::generate(&images, &config(3)).unwrap(), made);
        assert_ne!(Canvases::generate(&images, &config(4)).unwrap().crops, made.crops);
        let columns = made.columns();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["image", "top", "left", "height", "width", "flip"]);
        assert!(columns[4].1.iter().zip(&made.crops).all(|(&width, crop)| (width - crop.width as f64).abs() < 0.5));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let images = synthetic::blobs(4, 2, 1);
        let refused = |config| Canvases::generate(&images, &config).unwrap_err();
        let small = refused(CanvasConfig { side: 11, ..config(0) });
        assert_eq!(small, CanvasError::CanvasTooSmall { side: 11, height: 12, width: 12 });
        for (least, largest) in [(0, 5), (6, 5), (5, 31)] {
            let sides = CanvasConfig { crop_sides: (least, largest), ..config(0) };
            assert_eq!(refused(sides), CanvasError::CropSides { least, largest, side: 30 });
        }
        let floats = LabelledImages::new(images.shape, Values::Floats(vec![0.0; 144]), vec![0]);
        assert_eq!(Canvases::generate(&floats, &config(0)), Err(CanvasError::NotImages));
    }
}
