//! Folders of PNG and JPEG files, a folder a class, as torchvision's `ImageFolder` reads them: classes in order of their
//! names, files in order of theirs, every image as RGB.
//!
//! Folders `train`, `val` and `test` divide the set; where only `train` and `val` are there, as in ImageNet, `val` is the test set
//! and the validation set is held out from `train`. Classes are those of `train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use image::imageops::FilterType;
use image::{ImageReader, RgbImage};

use super::{DataError, ImageShape, LabelledImages, Source, Values};

const CHANNELS: usize = 3;
/// Labels are numbers of 16 bits.
const CLASSES_MAX: usize = 1 << 16;
pub(super) const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Tells whether a folder holds classes, or `train` with classes.
pub(super) fn is_one(path: &Path) -> bool {
    classes_of(path).is_ok_and(|classes| !classes.is_empty())
}

/// Reads every image, on all cores; `size` makes all of them square, else all must have the size of the first. With
/// `own_classes` each folder numbers its own classes from 0.
pub(super) fn read(path: &Path, size: Option<u32>, own_classes: bool) -> Result<Source, DataError> {
    let train_folder = path.join("train");
    if !train_folder.is_dir() {
        let classes = classes_of(path)?;
        return Ok(Source { train: read_set(path, &classes, size)?, validation: None, test: None });
    }
    let classes = classes_of(&train_folder)?;
    let train = read_set(&train_folder, &classes, size)?;
    let optional = |name: &str| -> Result<Option<LabelledImages>, DataError> {
        let folder = path.join(name);
        if !folder.is_dir() {
            return Ok(None);
        }
        let own = if own_classes { classes_of(&folder)? } else { classes.clone() };
        read_set(&folder, &own, size).map(Some)
    };
    match (optional("val")?, optional("test")?) {
        (held_out, None) => Ok(Source { train, validation: None, test: held_out }),
        (validation, test) => Ok(Source { train, validation, test }),
    }
}

fn read_set(folder: &Path, classes: &[String], size: Option<u32>) -> Result<LabelledImages, DataError> {
    for class in classes_of(folder)? {
        if !classes.contains(&class) {
            let reason = format!("class {class:?} is not among those of the training set: {}", classes.join(", "));
            return Err(DataError::Content { path: folder.to_owned(), reason });
        }
    }
    let (mut files, mut labels) = (Vec::new(), Vec::new());
    check_classes(folder, classes.len())?;
    for (label, class) in (0u16..).zip(classes) {
        let of_class = files_of(&folder.join(class))?;
        labels.extend(of_class.iter().map(|_| label));
        files.extend(of_class);
    }
    if files.is_empty() {
        let reason = "no class has a PNG or JPEG file".to_owned();
        return Err(DataError::Content { path: folder.to_owned(), reason });
    }
    read_files(&files, labels, size)
}

fn check_classes(folder: &Path, classes: usize) -> Result<(), DataError> {
    if classes > CLASSES_MAX {
        let reason = format!("{classes} classes: at most {CLASSES_MAX} are told apart");
        return Err(DataError::Content { path: folder.to_owned(), reason });
    }
    Ok(())
}

/// Reads images, at least one, with their labels.
pub(super) fn read_files(files: &[PathBuf], labels: Vec<u16>, size: Option<u32>) -> Result<LabelledImages, DataError> {
    let (width, height) = match size {
        Some(size) => (size, size),
        None => decode(&files[0])?.dimensions(),
    };
    let shape = ImageShape { channels: CHANNELS, height: height as usize, width: width as usize };
    let pixels = decode_all(files, shape, size)?;
    Ok(LabelledImages::new(shape, Values::Bytes(pixels), labels))
}

/// Decodes all files into one vector, each core a contiguous part.
fn decode_all(files: &[PathBuf], shape: ImageShape, size: Option<u32>) -> Result<Vec<u8>, DataError> {
    let mut pixels = vec![0; files.len() * shape.pixels()];
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(files.len()));
    let share = files.len().div_ceil(threads);
    thread::scope(|scope| {
        let parts = files.chunks(share).zip(pixels.chunks_mut(share * shape.pixels()));
        let running: Vec<_> = parts
            .map(|(files, pixels)| {
                scope.spawn(move || {
                    let images = pixels.chunks_mut(shape.pixels());
                    files.iter().zip(images).try_for_each(|(file, image)| decode_into(file, shape, size, image))
                })
            })
            .collect();
        running.into_iter().try_for_each(|part| part.join().expect("decoding returns errors, it does not panic"))
    })?;
    Ok(pixels)
}

fn decode_into(file: &Path, shape: ImageShape, size: Option<u32>, target: &mut [u8]) -> Result<(), DataError> {
    let mut decoded = decode(file)?;
    if let Some(size) = size
        && decoded.dimensions() != (size, size)
    {
        decoded = image::imageops::resize(&decoded, size, size, FilterType::Triangle);
    }
    let (width, height) = decoded.dimensions();
    if (width as usize, height as usize) != (shape.width, shape.height) {
        let (w, h) = (shape.width, shape.height);
        let reason = format!("{width}x{height} pixels, the first image has {w}x{h}: give --image-size");
        return Err(DataError::Content { path: file.to_owned(), reason });
    }
    // Channel by channel instead of pixel by pixel.
    let plane = shape.width * shape.height;
    for (position, pixel) in decoded.pixels().enumerate() {
        for (channel, value) in pixel.0.into_iter().enumerate() {
            target[channel * plane + position] = value;
        }
    }
    Ok(())
}

fn decode(file: &Path) -> Result<RgbImage, DataError> {
    let reader = ImageReader::open(file).and_then(ImageReader::with_guessed_format);
    let image = reader.map_err(|source| DataError::read(file, source))?.decode();
    let image = image.map_err(|error| DataError::Content { path: file.to_owned(), reason: error.to_string() })?;
    Ok(image.into_rgb8())
}

/// The names of a folder's classes, sorted: its subfolders, or those of its `train`.
fn classes_of(folder: &Path) -> Result<Vec<String>, DataError> {
    let train = folder.join("train");
    let folder = if train.is_dir() { &train } else { folder };
    let mut names: Vec<String> = entries(folder)?
        .into_iter()
        .filter(|entry| entry.is_dir())
        .filter_map(|entry| entry.file_name().and_then(|name| name.to_str()).map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// The images of a class, sorted; none where a set lacks the class.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let is_image = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
    };
    let mut files: Vec<PathBuf> = entries(folder)?.into_iter().filter(is_image).collect();
    files.sort();
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let error = |source| DataError::read(folder, source);
    fs::read_dir(folder).map_err(error)?.map(|entry| entry.map(|entry| entry.path()).map_err(error)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_classes_than_labels_are_refused_before_any_image_is_read() {
        check_classes(Path::new("faces"), 65_536).unwrap();
        let error = check_classes(Path::new("faces"), 65_537).unwrap_err().to_string();
        assert!(error.contains("faces") && error.contains("65537 classes"), "{error}");
    }
}
