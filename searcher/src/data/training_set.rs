//! The training set as files that other programs read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use npyz::WriterBuilder;

use super::{DataError, LabelledImages, Values, idx};

const IDX_LABELS: &str = "train-labels-idx1-ubyte";
const ARRAY_LABELS: &str = "train_y.npy";

/// Tells whether `write_training_set` has finished in the folder.
#[must_use]
pub fn is_training_set_in(folder: &Path) -> bool {
    [IDX_LABELS, ARRAY_LABELS].iter().any(|name| folder.join(name).is_file())
}

/// Writes the training set, wrong labels included: `train` IDX files of grey images, else `train_x.npy` and `train_y.npy`.
/// Example i is row i of the features, so that any other program can train on what the dataset's indices mean; where crops are
/// the examples, it is the image that their column `image` numbers i.
///
/// # Errors
///
/// [`DataError::Read`] names the file that could not be written.
pub fn write_training_set(folder: &Path, train: &LabelledImages) -> Result<(), DataError> {
    let grey = train.pixels.bytes().is_some() && train.shape.channels == 1 && train.classes() <= 256;
    if grey {
        return idx::write_labelled(folder, "train", train);
    }
    let shape = train.shape;
    let mut size = vec![train.len() as u64, shape.channels as u64];
    if !shape.is_vector() {
        size.extend([shape.height as u64, shape.width as u64]);
    }
    match &train.pixels {
        Values::Bytes(values) => write_array(folder, "train_x.npy", &size, values)?,
        Values::Floats(values) => write_array(folder, "train_x.npy", &size, values)?,
    }
    write_array(folder, ARRAY_LABELS, &size[..1], &train.labels)
}

/// Writes a file at once or not at all.
pub(crate) fn write_array<T: npyz::AutoSerialize + Copy>(
    folder: &Path,
    name: &str,
    size: &[u64],
    values: &[T],
) -> Result<(), DataError> {
    let path = folder.join(name);
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let output: BufWriter<&mut File> = BufWriter::new(file.as_file_mut());
        let mut array = npyz::WriteOptions::new().default_dtype().shape(size).writer(output).begin_nd()?;
        array.extend(values.iter().copied())?;
        array.finish()?;
        file.as_file_mut().flush()?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(|source| DataError::read(&path, source))
}
