//! NumPy arrays: x (n × features, n × height × width, or images with 1 or 3 channels first or last) and y (n classes).
//!
//! They lie in a `.npz` file or as `.npy` files in a folder, named x and y or x_train and y_train; x_val and y_val, x_test and
//! y_test may be there too. Bytes stay bytes; other numbers become f32.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use npyz::npz::NpzArchive;
use npyz::{DType, Deserialize, NpyFile, Order, TypeChar};

use super::{DataError, ImageShape, LabelledImages, Source, Values};

/// The names of the training set.
const TRAIN: [&str; 2] = ["x_train", "x"];

/// Tells whether a folder holds the training set's `.npy` file.
pub(super) fn are_in(folder: &Path) -> bool {
    TRAIN.iter().any(|name| folder.join(format!("{name}.npy")).is_file())
}

/// Reads all sets that are there.
pub(super) fn read(path: &Path) -> Result<Source, DataError> {
    let mut arrays = Arrays::open(path)?;
    let train = match arrays.set("_train")? {
        Some(set) => set,
        None => arrays.set("")?.ok_or_else(|| arrays.wrong("x", "x and y (or x_train and y_train) are not there"))?,
    };
    Ok(Source { train, validation: arrays.set("_val")?, test: arrays.set("_test")? })
}

/// Where arrays are looked up.
enum Arrays<'a> {
    Archive { path: &'a Path, archive: Box<NpzArchive<BufReader<File>>> },
    Folder(&'a Path),
}

impl<'a> Arrays<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        if path.is_dir() {
            return Ok(Self::Folder(path));
        }
        let archive = NpzArchive::open(path).map_err(|source| DataError::read(path, source))?;
        Ok(Self::Archive { path, archive: Box::new(archive) })
    }

    /// Reads x and y of a suffix; `None` if x is not there.
    fn set(&mut self, suffix: &str) -> Result<Option<LabelledImages>, DataError> {
        let (x, y) = (format!("x{suffix}"), format!("y{suffix}"));
        let Some((shape, pixels)) = self.with(&x, read_examples)? else { return Ok(None) };
        let Some(labels) = self.with(&y, read_labels)? else {
            return Err(self.wrong(&y, &format!("is not there, but {x} is")));
        };
        let (images, label_count) = (pixels.len() / shape.pixels(), labels.len());
        if images != label_count {
            return Err(self.wrong(&y, &format!("{label_count} labels, {x} has {images} examples")));
        }
        Ok(Some(LabelledImages::new(shape, pixels, labels)))
    }

    fn with<T>(
        &mut self,
        name: &str,
        read: impl Fn(NpyFile<&mut dyn Read>) -> Result<T, String>,
    ) -> Result<Option<T>, DataError> {
        let parsed = |reader: &mut dyn Read| NpyFile::new(reader).map_err(|error| error.to_string()).and_then(&read);
        let result = match self {
            Self::Archive { archive, .. } => match archive.zip_archive().by_name(&format!("{name}.npy")) {
                Ok(mut entry) => parsed(&mut entry),
                Err(npyz::zip::result::ZipError::FileNotFound) => return Ok(None),
                Err(error) => Err(error.to_string()),
            },
            Self::Folder(folder) => {
                let path = folder.join(format!("{name}.npy"));
                if !path.is_file() {
                    return Ok(None);
                }
                let file = File::open(&path).map_err(|source| DataError::read(&path, source))?;
                parsed(&mut BufReader::new(file))
            }
        };
        result.map(Some).map_err(|reason| self.wrong(name, &reason))
    }

    fn wrong(&self, name: &str, reason: &str) -> DataError {
        match self {
            Self::Archive { path, .. } => {
                DataError::Content { path: (*path).to_owned(), reason: format!("array {name}: {reason}") }
            }
            Self::Folder(folder) => {
                DataError::Content { path: folder.join(format!("{name}.npy")), reason: reason.to_owned() }
            }
        }
    }
}

fn read_examples(array: NpyFile<&mut dyn Read>) -> Result<(ImageShape, Values), String> {
    let size: Vec<usize> = array.shape().iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
    let (shape, channels_last) = shape_of(&size)?;
    if size.contains(&0) {
        return Err(format!("shape {size:?} holds nothing"));
    }
    let values = match numbers(array)? {
        Numbers::Bytes(values) => Values::Bytes(channels_first(values, shape, channels_last)),
        Numbers::Floats(values) => {
            if let Some(position) = values.iter().position(|value| !value.is_finite()) {
                return Err(format!("row {} has the value {}", position / shape.pixels(), values[position]));
            }
            Values::Floats(channels_first(values, shape, channels_last))
        }
    };
    Ok((shape, values))
}

/// The shape of one example, and whether its channels come last.
fn shape_of(size: &[usize]) -> Result<(ImageShape, bool), String> {
    let image = |channels, height, width| ImageShape { channels, height, width };
    match *size {
        [_, features] => Ok((image(features, 1, 1), false)),
        [_, height, width] => Ok((image(1, height, width), false)),
        [_, channels @ (1 | 3), height, width] => Ok((image(channels, height, width), false)),
        [_, height, width, channels @ (1 | 3)] => Ok((image(channels, height, width), true)),
        _ => Err(format!(
            "shape {size:?}: (n, features), (n, height, width), (n, channels, height, width) or (n, height, width, \
             channels) with 1 or 3 channels are expected"
        )),
    }
}

fn channels_first<T: Copy>(values: Vec<T>, shape: ImageShape, channels_last: bool) -> Vec<T> {
    if !channels_last || shape.channels == 1 {
        return values;
    }
    let mut values = values;
    let plane = shape.height * shape.width;
    let mut image = Vec::with_capacity(shape.pixels());
    for pixels in values.chunks_mut(shape.pixels()) {
        image.clear();
        image.extend_from_slice(pixels);
        for (position, pixel) in image.chunks(shape.channels).enumerate() {
            for (channel, &value) in pixel.iter().enumerate() {
                pixels[channel * plane + position] = value;
            }
        }
    }
    values
}

fn read_labels(array: NpyFile<&mut dyn Read>) -> Result<Vec<u16>, String> {
    let count = match *array.shape() {
        // Keras keeps CIFAR's labels as a column.
        [count] | [count, 1] => count,
        ref shape => return Err(format!("shape {shape:?}: one class an example is expected")),
    };
    let labels = match numbers(array)? {
        Numbers::Bytes(labels) => labels.into_iter().map(u16::from).collect(),
        Numbers::Floats(values) => values.into_iter().enumerate().map(label).collect::<Result<Vec<u16>, String>>()?,
    };
    if labels.len() as u64 != count {
        return Err(format!("{} labels are there, {count} are announced", labels.len()));
    }
    Ok(labels)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is whole and in the range")]
fn label((row, value): (usize, f32)) -> Result<u16, String> {
    if value.fract() == 0.0 && (0.0..=f32::from(u16::MAX)).contains(&value) {
        return Ok(value as u16);
    }
    Err(format!("row {row} has label {value}: whole numbers from 0 to {} are expected", u16::MAX))
}

enum Numbers {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "networks compute in f32")]
fn numbers(array: NpyFile<&mut dyn Read>) -> Result<Numbers, String> {
    if array.order() == Order::Fortran && array.shape().len() > 1 {
        return Err("it is in Fortran order: save np.ascontiguousarray(…)".to_owned());
    }
    let dtype = array.dtype();
    let DType::Plain(plain) = &dtype else { return Err(unsupported(&dtype)) };
    let floats = |values: Result<Vec<f32>, String>| values.map(Numbers::Floats);
    match (plain.type_char(), plain.size_field()) {
        (TypeChar::Uint, 1) => collect(array, |value: u8| value).map(Numbers::Bytes),
        (TypeChar::Bool, 1) => collect(array, |value: bool| u8::from(value)).map(Numbers::Bytes),
        (TypeChar::Float, 4) => floats(collect(array, |value: f32| value)),
        (TypeChar::Float, 8) => floats(collect(array, |value: f64| value as f32)),
        (TypeChar::Int, 1) => floats(collect(array, |value: i8| f32::from(value))),
        (TypeChar::Int, 2) => floats(collect(array, |value: i16| f32::from(value))),
        (TypeChar::Int, 4) => floats(collect(array, |value: i32| value as f32)),
        (TypeChar::Int, 8) => floats(collect(array, |value: i64| value as f32)),
        (TypeChar::Uint, 2) => floats(collect(array, |value: u16| f32::from(value))),
        (TypeChar::Uint, 4) => floats(collect(array, |value: u32| value as f32)),
        (TypeChar::Uint, 8) => floats(collect(array, |value: u64| value as f32)),
        _ => Err(unsupported(&dtype)),
    }
}

fn unsupported(dtype: &DType) -> String {
    format!("its type is {}: bytes, integers, float32 or float64 are expected", dtype.descr())
}

fn collect<T: Deserialize, U>(array: NpyFile<&mut dyn Read>, convert: impl Fn(T) -> U) -> Result<Vec<U>, String> {
    let values = array.data::<T>().map_err(|error| error.to_string())?;
    values.map(|value| value.map(&convert).map_err(|error| error.to_string())).collect()
}
