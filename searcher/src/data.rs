//! Labelled examples in memory, images or vectors: read from files of several formats, split into train, validation and
//! test, with wrong labels on demand.

mod arrays;
pub mod canvas;
mod cifar;
pub mod crops;
mod error;
mod fingerprint;
pub mod format;
pub mod held_out_classes;
pub mod idx;
mod image_folder;
pub mod label_noise;
pub mod objects;
pub mod pairs;
pub mod split;
pub mod synthetic;
mod training_set;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crops::CropConfig;
pub use error::DataError;
pub use format::{DataFormat, Source};
pub use held_out_classes::HeldOutClasses;
pub use split::Split;
pub(crate) use training_set::write_array;
pub use training_set::{is_training_set_in, write_training_set};
pub use values::Values;

/// Where the images come from, how they are split and how many labels are made wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataConfig {
    /// Folder or file with the data.
    pub path: PathBuf,
    /// How it is stored; `None`: the four MNIST files, plain or `.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DataFormat>,
    /// Width and height in pixels that images of folders are brought to; `None`: they have one size as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<u32>,
    /// Training examples: the first of a seeded permutation of what the format has for training; `None`: all that are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<usize>,
    /// Validation examples: the next of the permutation, or of the format's own validation set; `None`: all of that set, or
    /// else a fifth of what the format has for training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_examples: Option<usize>,
    /// Test examples, the last of the permutation, where the format has no test set; `None`: a fifth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_examples: Option<usize>,
    /// Share of each class's training labels that is changed to another class.
    pub label_noise: f64,
    /// Whether validation labels carry the noise too. By default they are clean.
    pub noisy_validation: bool,
    /// Seed of the permutation and of the noise.
    pub seed: u64,
    /// Classes that no network trains on; `None`: all sets have the same classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_classes: Option<HeldOutClasses>,
    /// How training images are cut into crops, which then are the training examples; `None`: they stay whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crops: Option<CropConfig>,
}

impl DataConfig {
    /// Training examples unless told otherwise.
    pub const TRAIN_EXAMPLES: usize = 20_000;
    /// Validation examples unless told otherwise.
    pub const VALIDATION_EXAMPLES: usize = 5_000;

    /// Returns the default split of the images in `path`, without label noise.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            image_size: None,
            train_examples: Some(Self::TRAIN_EXAMPLES),
            validation_examples: Some(Self::VALIDATION_EXAMPLES),
            test_examples: None,
            label_noise: 0.0,
            noisy_validation: false,
            seed: 0,
            held_out_classes: None,
            crops: None,
        }
    }

    /// Reads the files, splits them and makes labels wrong.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it, or the setting that the data does not allow.
    pub fn load(&self) -> Result<Split, DataError> {
        let own_classes = self.held_out_classes == Some(HeldOutClasses::Own);
        let format = self.format.unwrap_or(DataFormat::Idx);
        Split::new(self, format.read(&self.path, self.image_size, own_classes)?)
    }
}

/// Width, height and channels of every image of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Colour planes: 1 or 3; of a vector its features.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl ImageShape {
    /// Returns the number of values of an example.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Tells whether the examples are vectors, each feature of which is a channel of one pixel.
    #[must_use]
    pub const fn is_vector(self) -> bool {
        self.height == 1 && self.width == 1
    }
}

/// Images with the labels that a training run sees, and the labels they had.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledImages {
    /// The shape of every image.
    pub shape: ImageShape,
    /// The images one after another, each channel by channel, row by row.
    pub pixels: Values,
    /// The class of each image, some of them wrong where noise was asked for.
    pub labels: Vec<u16>,
    /// The class of each image before noise. For reports only: no training run and no search sees it.
    pub true_labels: Vec<u16>,
}

impl LabelledImages {
    /// Returns images whose labels are right.
    #[must_use]
    pub fn new(shape: ImageShape, pixels: Values, labels: Vec<u16>) -> Self {
        Self { shape, pixels, true_labels: labels.clone(), labels }
    }

    /// Returns the number of images.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Tells whether there are no images.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Returns the number of classes: one more than the largest label.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.true_labels.iter().chain(&self.labels).max().map_or(0, |&label| usize::from(label) + 1)
    }

    /// Tells for each image whether its label was made wrong.
    #[must_use]
    pub fn wrong_labels(&self) -> Vec<bool> {
        self.labels.iter().zip(&self.true_labels).map(|(label, truth)| label != truth).collect()
    }

    /// Returns the images whose labels are `wanted`, with their positions.
    pub(crate) fn select(&self, wanted: impl Fn(u16) -> bool) -> (Self, Vec<usize>) {
        let positions: Vec<usize> = (0..self.len()).filter(|&position| wanted(self.labels[position])).collect();
        let labels = |of: &[u16]| positions.iter().map(|&position| of[position]).collect();
        let chosen = Self {
            shape: self.shape,
            pixels: self.pixels.select(&positions, self.shape.pixels()),
            labels: labels(&self.labels),
            true_labels: labels(&self.true_labels),
        };
        (chosen, positions)
    }

    /// Puts the images of `other`, which have the same shape, behind these.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.pixels.join(other.pixels);
        self.labels.extend(other.labels);
        self.true_labels.extend(other.true_labels);
        self
    }

    /// Numbers the classes that are there from 0, in their order.
    pub(crate) fn number_classes_from_zero(&mut self) {
        let there: BTreeSet<u16> = self.labels.iter().chain(&self.true_labels).copied().collect();
        let number: BTreeMap<u16, u16> = there.into_iter().zip(0..).collect();
        for label in self.labels.iter_mut().chain(&mut self.true_labels) {
            *label = number[label];
        }
    }

    /// Puts the images that were at `order` to 0, 1, 2, …; `order` holds each position once.
    pub(crate) fn rearrange(&mut self, order: &[usize]) {
        self.pixels.rearrange(order, self.shape.pixels());
        values::rearrange(&mut self.labels, order, 1);
        values::rearrange(&mut self.true_labels, order, 1);
    }

    /// Cuts the images from `at` on off and returns them.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        Self {
            shape: self.shape,
            pixels: self.pixels.split_off(at * self.shape.pixels()),
            labels: self.labels.split_off(at),
            true_labels: self.true_labels.split_off(at),
        }
    }
}
