//! Why data cannot be used.

use std::path::{Path, PathBuf};

use super::ImageShape;

/// Why data could not be read or split.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No canvases can be made.
    #[error("canvases: {reason}")]
    Canvas {
        /// What is wrong.
        reason: String,
    },
    /// The images cannot be cut into these crops.
    #[error("crops: {reason}")]
    Crops {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The data cannot be cut by these classes.
    #[error("classes held out: {reason}")]
    HeldOutClasses {
        /// What is wrong, and what would be right.
        reason: String,
    },
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
    /// What is in the file is not what its format says.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the row.
        reason: String,
    },
    /// No format fits what is there.
    #[error(
        "{}: no data set is recognised there: the IDX files of MNIST (train-images-idx3-ubyte, …), CIFAR's data_batch_1.bin \
         or train.bin, NumPy's x.npy or a .npz file, or folders of PNG and JPEG files, one a class", path.display()
    )]
    UnknownFormat {
        /// Where it was looked for.
        path: PathBuf,
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
    #[error(
        "{train} training, {validation} validation and {test} test examples are to come from the training files, which hold \
         {available}"
    )]
    TooFewExamples {
        /// Training examples asked for.
        train: usize,
        /// Validation examples asked for.
        validation: usize,
        /// Test examples asked for.
        test: usize,
        /// Examples in the files.
        available: usize,
    },
    /// More validation examples are asked for than the format's own set has.
    #[error("{wanted} validation examples are asked for, the validation set holds {available}")]
    TooFewValidation {
        /// Examples asked for.
        wanted: usize,
        /// Examples there.
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
    pub(super) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }
}
