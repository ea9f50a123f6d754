//! Crops as training examples (Sec. 4.2): a bank of random resized crops of each training image, half of them mirrored. Images
//! are kept once; a crop is a box, cut when a batch needs it.

mod part;

use serde::{Deserialize, Serialize};
use swift_sampler::CropColumn;

use super::{DataError, ImageShape, LabelledImages};
use crate::randomness::{Randomness, seed_for};

pub(crate) use part::Part;

/// How training images are cut into crops.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CropConfig {
    /// Crops of each training image.
    pub per_image: u32,
    /// Share of an image's area that a crop has, at least and at most.
    pub scale: [f64; 2],
    /// Width and height in pixels that crops, and whole images of validation and test, are brought to; `None`: the images' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

impl CropConfig {
    /// Share of the area unless told otherwise, that of torchvision's `RandomResizedCrop`.
    pub const SCALE: [f64; 2] = [0.08, 1.0];

    /// Returns as many crops of each image, with the default scale.
    #[must_use]
    pub const fn new(per_image: u32) -> Self {
        Self { per_image, scale: Self::SCALE, size: None }
    }
}

/// One crop of an image, which is brought to the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Position of the image in the training set.
    pub image: u32,
    /// First row of the box, in pixels of the image.
    pub top: u32,
    /// First column.
    pub left: u32,
    /// Rows, at least 1.
    pub height: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Whether it is mirrored, left to right.
    pub flip: bool,
}

/// The crops that are a training set's examples, those of an image one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingCrops {
    /// Crop i is example i.
    pub crops: Vec<Crop>,
    /// What a crop is brought to.
    pub shape: ImageShape,
}

impl TrainingCrops {
    /// Draws the crops of `images` images: a pure function of the config, the images' shape and the seed. Crops of the first images
    /// do not depend on how many follow. O(crops).
    ///
    /// # Errors
    ///
    /// [`DataError::Crops`] for examples that are no images, a scale that is none, or 2^32 crops.
    pub fn draw(config: CropConfig, images: usize, shape: ImageShape, seed: u64) -> Result<Self, DataError> {
        let CropConfig { per_image, scale, size } = config;
        let refused = |reason: String| Err(DataError::Crops { reason });
        if shape.is_vector() {
            return refused("the examples are vectors: only images can be cropped".to_owned());
        }
        if per_image == 0 || size == Some(0) {
            return refused("at least 1 crop an image, of at least 1 pixel, is needed".to_owned());
        }
        if !(scale[0] > 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0) {
            return refused(format!(
                "the scale {},{} is not two shares of an image's area that ascend, above 0 and up to 1",
                scale[0], scale[1]
            ));
        }
        let Some(images) = u32::try_from(images).ok().filter(|images| images.checked_mul(per_image).is_some()) else {
            return refused(format!("{per_image} crops of each of {images} images are 2^32 or more"));
        };
        let mut crops = Vec::with_capacity(images as usize * per_image as usize);
        for image in 0..images {
            let mut randomness = Randomness::new(seed_for(seed, u64::from(image), "crops"));
            for _ in 0..per_image {
                let part = Part::resized(&mut randomness, (shape.height, shape.width), scale);
                crops.push(Crop { flip: randomness.uniform() < 0.5, ..Crop::of_part(image, part) });
            }
        }
        let side = size.map(|size| size as usize);
        let shape = ImageShape {
            channels: shape.channels,
            height: side.unwrap_or(shape.height),
            width: side.unwrap_or(shape.width),
        };
        Ok(Self { crops, shape })
    }

    /// Returns for each crop what its image has.
    #[must_use]
    pub fn spread<T: Copy>(&self, of_images: &[T]) -> Vec<T> {
        self.crops.iter().map(|crop| of_images[crop.image as usize]).collect()
    }
}

impl TrainingCrops {
    /// Returns some of the crops as images with their images' labels. A pixel is the one that lies at its centre in the image: for
    /// people to look at, since networks see what is interpolated between pixels.
    ///
    /// # Panics
    ///
    /// If `images` is not the training set that the crops are of, or there are fewer crops.
    #[must_use]
    pub fn cut(&self, images: &LabelledImages, rows: &[usize]) -> LabelledImages {
        let ImageShape { channels, height, width } = images.shape;
        let mut places = Vec::with_capacity(rows.len() * self.shape.pixels());
        for crop in rows.iter().map(|&row| &self.crops[row]) {
            let at = |first: u32, position: usize, to: usize, from: u32| {
                first as usize + (2 * position + 1) * from as usize / (2 * to)
            };
            for channel in 0..channels {
                for row in 0..self.shape.height {
                    let y = at(crop.top, row, self.shape.height, crop.height);
                    for column in 0..self.shape.width {
                        let column = if crop.flip { self.shape.width - 1 - column } else { column };
                        let x = at(crop.left, column, self.shape.width, crop.width);
                        places.push(((crop.image as usize * channels + channel) * height + y) * width + x);
                    }
                }
            }
        }
        let of_crops = |labels: &[u16]| rows.iter().map(|&row| labels[self.crops[row].image as usize]).collect();
        LabelledImages {
            shape: self.shape,
            pixels: images.pixels.select(&places, 1),
            labels: of_crops(&images.labels),
            true_labels: of_crops(&images.true_labels),
        }
    }
}

impl Crop {
    fn of_part(image: u32, part: Part) -> Self {
        let [top, left, height, width] = [part.top, part.left, part.height, part.width]
            .map(|pixels| u32::try_from(pixels).expect("an image in memory has fewer than 2^32 rows and columns"));
        Self { image, top, left, height, width, flip: false }
    }

    /// Returns all of an image.
    #[must_use]
    pub fn whole(image: u32, shape: ImageShape) -> Self {
        Self::of_part(image, Part { top: 0, left: 0, height: shape.height, width: shape.width })
    }
}

/// Returns the columns that make a dataset of the crops a crop bank.
#[must_use]
pub fn columns(crops: &[Crop]) -> Vec<(&'static str, Vec<f64>)> {
    let column = |column: CropColumn, value: fn(&Crop) -> u32| {
        (column.name(), crops.iter().map(|crop| f64::from(value(crop))).collect())
    };
    vec![
        column(CropColumn::Image, |crop| crop.image),
        column(CropColumn::Top, |crop| crop.top),
        column(CropColumn::Left, |crop| crop.left),
        column(CropColumn::Height, |crop| crop.height),
        column(CropColumn::Width, |crop| crop.width),
        column(CropColumn::Flip, |crop| u32::from(crop.flip)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 40, width: 30 };

    fn draw(config: CropConfig, images: usize, seed: u64) -> TrainingCrops {
        TrainingCrops::draw(config, images, SHAPE, seed).unwrap()
    }

    #[test]
    fn the_bank_is_a_function_of_the_seed_and_of_no_other_image() {
        let config = CropConfig { size: Some(16), ..CropConfig::new(3) };
        let bank = draw(config, 50, 7);
        assert_eq!(bank, draw(config, 50, 7));
        assert_eq!(bank.crops[..60], draw(config, 20, 7).crops);
        assert_ne!(bank, draw(config, 50, 8));
        assert_eq!(bank.shape, ImageShape { channels: 3, height: 16, width: 16 });
        assert_eq!(draw(CropConfig::new(1), 1, 7).shape, SHAPE);
        for (number, crop) in bank.crops.iter().enumerate() {
            assert_eq!(crop.image as usize, number / 3);
            assert!(crop.top + crop.height <= 40 && crop.left + crop.width <= 30, "{crop:?}");
        }
        let mirrored = draw(CropConfig::new(4), 1000, 1).crops.iter().filter(|crop| crop.flip).count();
        // Five standard deviations.
        assert!(mirrored.abs_diff(2000) < 160, "{mirrored}");
    }

    #[test]
    fn columns_are_those_of_a_crop_bank_and_crops_have_what_their_image_has() {
        let bank = draw(CropConfig::new(2), 3, 0);
        let columns = columns(&bank.crops);
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["image", "top", "left", "height", "width", "flip"]);
        assert!(CropColumn::make_bank(&names));
        assert_eq!(columns[0].1, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert!(columns[4].1.iter().zip(&bank.crops).all(|(&width, crop)| (width - f64::from(crop.width)).abs() < 0.5));
        assert_eq!(bank.spread(&['a', 'b', 'c']), ['a', 'a', 'b', 'b', 'c', 'c']);
    }

    #[test]
    fn a_crop_of_a_whole_image_is_the_image_and_a_flip_its_mirror_image() {
        let images = synthetic::blobs(3, 3, 1);
        let whole = |image, flip| Crop { flip, ..Crop::whole(image, images.shape) };
        let bank = TrainingCrops { crops: vec![whole(2, false), whole(0, false), whole(1, true)], shape: images.shape };
        let cut = bank.cut(&images, &[0, 2]);
        let (pixels, all) = (cut.pixels.bytes().unwrap(), images.pixels.bytes().unwrap());
        assert_eq!((cut.shape, cut.labels), (images.shape, vec![images.labels[2], images.labels[1]]));
        assert_eq!(pixels[..144], all[288..]);
        let mirrored: Vec<u8> = all[144..288].chunks(12).flat_map(|row| row.iter().rev().copied()).collect();
        assert_eq!(pixels[144..], mirrored);
        // The centres of four parts of a part.
        let part = Crop { image: 1, top: 2, left: 4, height: 4, width: 8, flip: false };
        let small = TrainingCrops { crops: vec![part], shape: ImageShape { height: 2, width: 2, ..images.shape } };
        let expected = [(3, 6), (3, 10), (5, 6), (5, 10)].map(|(row, column)| all[144 + row * 12 + column]);
        assert_eq!(small.cut(&images, &[0]).pixels.bytes().unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_cropped_is_refused_and_named() {
        let refused = |config, images, shape| TrainingCrops::draw(config, images, shape, 0).unwrap_err().to_string();
        for scale in [[0.0, 0.5], [0.6, 0.5], [0.5, 1.1], [f64::NAN, 1.0]] {
            let message = refused(CropConfig { scale, ..CropConfig::new(1) }, 1, SHAPE);
            assert!(message.contains("area") && message.contains(&scale[1].to_string()), "{message}");
        }
        let vectors = ImageShape { channels: 5, height: 1, width: 1 };
        assert!(refused(CropConfig::new(1), 1, vectors).contains("vectors"));
        assert!(refused(CropConfig::new(0), 1, SHAPE).contains("at least 1"));
        assert!(refused(CropConfig::new(1 << 31), 2, SHAPE).contains("2^32"));
    }
}
