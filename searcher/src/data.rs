//! Labelled images in memory: read from IDX files, split into train, validation and test, with wrong labels on demand.

pub mod idx;
pub mod label_noise;
pub mod split;
pub mod synthetic;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use split::Split;

/// Where the images come from, how they are split and how many labels are made wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataConfig {
    /// Folder with the four MNIST files, plain or `.gz`.
    pub path: PathBuf,
    /// Training examples: the first of a seeded permutation of the `train` files.
    pub train_examples: usize,
    /// Validation examples: the next of the permutation.
    pub validation_examples: usize,
    /// Share of each class's training labels that is changed to another class.
    pub label_noise: f64,
    /// Whether validation labels carry the noise too. By default they are clean.
    pub noisy_validation: bool,
    /// Seed of the permutation and of the noise.
    pub seed: u64,
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
            train_examples: Self::TRAIN_EXAMPLES,
            validation_examples: Self::VALIDATION_EXAMPLES,
            label_noise: 0.0,
            noisy_validation: false,
            seed: 0,
        }
    }

    /// Reads the files, splits them and makes labels wrong.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it, or the setting that the data does not allow.
    pub fn load(&self) -> Result<Split, DataError> {
        Split::new(self, &idx::read_labelled(&self.path, "train")?, idx::read_labelled(&self.path, "t10k")?)
    }
}

/// Width, height and channels of every image of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Colour planes: 1 or 3.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl ImageShape {
    /// Returns the number of bytes of an image.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImages {
    /// The shape of every image.
    pub shape: ImageShape,
    /// The images one after another, each channel by channel, row by row.
    pub pixels: Vec<u8>,
    /// The class of each image, some of them wrong where noise was asked for.
    pub labels: Vec<u8>,
    /// The class of each image before noise. For reports only: no training run and no search sees it.
    pub true_labels: Vec<u8>,
}

impl LabelledImages {
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

    /// Returns the images at `positions`, in that order.
    ///
    /// # Panics
    ///
    /// If a position is not below [`Self::len`].
    #[must_use]
    pub fn select(&self, positions: &[usize]) -> Self {
        let size = self.shape.pixels();
        let mut pixels = Vec::with_capacity(positions.len() * size);
        for &position in positions {
            pixels.extend_from_slice(&self.pixels[position * size..(position + 1) * size]);
        }
        Self {
            shape: self.shape,
            pixels,
            labels: positions.iter().map(|&position| self.labels[position]).collect(),
            true_labels: positions.iter().map(|&position| self.true_labels[position]).collect(),
        }
    }
}

/// Why data could not be read or split.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Neither the plain file nor its `.gz` exists.
    #[error("{}: neither {name} nor {name}.gz is there (scripts/setup-data fetches Fashion-MNIST)", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file.
        name: String,
    },
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The file is not an IDX file of the expected kind.
    #[error("{}: the magic number is {found:#010x}, {expected:#010x} is that of {kind}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: u32,
        /// What would be right.
        expected: u32,
        /// What the file should hold.
        kind: &'static str,
    },
    /// The file is shorter or longer than its header says.
    #[error("{}: {expected} bytes of data are announced in the header, {found} are there", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header announces.
        expected: u64,
        /// Bytes that follow it.
        found: u64,
    },
    /// The file says that it holds no or absurdly many bytes.
    #[error("{}: {count} images of {height}x{width} pixels are announced: at least 1 byte and at most {limit} are read", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Announced images.
        count: u32,
        /// Announced rows.
        height: u32,
        /// Announced columns.
        width: u32,
        /// Most bytes.
        limit: u64,
    },
    /// Images and labels do not belong together.
    #[error("{} holds {images} images, {} holds {labels} labels", images_path.display(), labels_path.display())]
    CountMismatch {
        /// The images' file.
        images_path: PathBuf,
        /// The labels' file.
        labels_path: PathBuf,
        /// How many images.
        images: usize,
        /// How many labels.
        labels: usize,
    },
    /// The test images have another shape than the training images.
    #[error("the training images have shape {train:?}, the test images {test:?}")]
    ShapeMismatch {
        /// Shape of the training images.
        train: ImageShape,
        /// Shape of the test images.
        test: ImageShape,
    },
    /// More examples are asked for than there are.
    #[error("{train} training and {validation} validation examples are asked for, the files hold {available}")]
    TooFewExamples {
        /// Training examples asked for.
        train: usize,
        /// Validation examples asked for.
        validation: usize,
        /// Examples in the files.
        available: usize,
    },
    /// A split would be empty.
    #[error("{field} is 0: at least 1 example is needed")]
    EmptySplit {
        /// The setting.
        field: &'static str,
    },
    /// The noise rate is not a share.
    #[error("label noise is {rate}: a number from 0 to 1 is expected")]
    NoiseRate {
        /// The rate.
        rate: f64,
    },
    /// With one class there is no other class to change a label to.
    #[error("label noise needs at least 2 classes, the data has {classes}")]
    NoiseClasses {
        /// How many classes the data has.
        classes: usize,
    },
}

impl DataError {
    fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }
}
