//! The IDX format of MNIST: a big-endian magic number (type and dimensions), the sizes, then bytes.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{DataError, ImageShape, LabelledImages, Values};

/// Unsigned bytes in three dimensions.
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0000_0801;
/// Most bytes of pixels that a file may announce; a compressed file could otherwise fill the memory.
const PIXEL_BYTES_MAX: u64 = 16 << 30;

/// The files of a data set, which may have `.gz` at the end.
pub(super) const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Reads `{prefix}-images-idx3-ubyte` and `{prefix}-labels-idx1-ubyte` of `folder`, plain or with `.gz`.
///
/// # Errors
///
/// Names the file and what is wrong: missing, magic number, length, or different counts.
pub fn read_labelled(folder: &Path, prefix: &str) -> Result<LabelledImages, DataError> {
    let images_path = locate(folder, &format!("{prefix}-images-idx3-ubyte"))?;
    let labels_path = locate(folder, &format!("{prefix}-labels-idx1-ubyte"))?;
    let (shape, pixels) = read_images(&images_path)?;
    let labels = read_labels(&labels_path)?;
    let images = pixels.len() / shape.pixels();
    if images != labels.len() {
        return Err(DataError::CountMismatch { images_path, labels_path, images, labels: labels.len() });
    }
    Ok(LabelledImages::new(shape, Values::Bytes(pixels), labels.into_iter().map(u16::from).collect()))
}

/// Writes images and labels as `read_labelled` reads them, uncompressed. Only bytes of one channel with labels below 256 have
/// a form in these files.
///
/// # Errors
///
/// [`DataError::Read`] names the file that could not be written.
pub fn write_labelled(folder: &Path, prefix: &str, images: &LabelledImages) -> Result<(), DataError> {
    let count = images.len();
    let path = folder.join(format!("{prefix}-images-idx3-ubyte"));
    let sizes = [count, images.shape.channels * images.shape.height, images.shape.width];
    let unfit = |what: &str| DataError::Content { path: path.clone(), reason: format!("IDX files hold {what}") };
    let pixels = images.pixels.bytes().ok_or_else(|| unfit("bytes, not floats"))?;
    let labels = images.labels.iter().map(|&label| u8::try_from(label)).collect::<Result<Vec<u8>, _>>();
    let labels = labels.map_err(|_large| unfit("labels below 256"))?;
    write(&path, IMAGES_MAGIC, &sizes, pixels).map_err(|source| DataError::read(&path, source))?;
    let path = folder.join(format!("{prefix}-labels-idx1-ubyte"));
    write(&path, LABELS_MAGIC, &[count], &labels).map_err(|source| DataError::read(&path, source))
}

/// Writes a file at once or not at all, so that no reader sees half of it.
fn write(path: &Path, magic: u32, sizes: &[usize], data: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = BufWriter::new(tempfile::NamedTempFile::new_in(folder)?);
    file.write_all(&magic.to_be_bytes())?;
    for &size in sizes {
        let size = u32::try_from(size).map_err(io::Error::other)?;
        file.write_all(&size.to_be_bytes())?;
    }
    file.write_all(data)?;
    file.into_inner()?.persist(path)?;
    Ok(())
}

fn locate(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    [folder.join(name), folder.join(format!("{name}.gz"))]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::Missing { folder: folder.to_owned(), name: name.to_owned() })
}

fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let file = BufReader::new(File::open(path).map_err(|source| DataError::read(path, source))?);
    Ok(if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

fn read_images(path: &Path) -> Result<(ImageShape, Vec<u8>), DataError> {
    let mut file = open(path)?;
    let [magic, count, height, width] = read_words(&mut *file, path)?;
    check_magic(path, magic, IMAGES_MAGIC, "images (bytes in 3 dimensions)")?;
    let bytes = u64::from(count).checked_mul(u64::from(height)).and_then(|bytes| bytes.checked_mul(u64::from(width)));
    let bytes = bytes.filter(|bytes| (1..=PIXEL_BYTES_MAX).contains(bytes)).ok_or_else(|| DataError::Size {
        path: path.to_owned(),
        count,
        height,
        width,
        limit: PIXEL_BYTES_MAX,
    })?;
    let shape = ImageShape { channels: 1, height: height as usize, width: width as usize };
    Ok((shape, read_body(&mut *file, path, bytes)?))
}

fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut file = open(path)?;
    let [magic, count] = read_words(&mut *file, path)?;
    check_magic(path, magic, LABELS_MAGIC, "labels (bytes in 1 dimension)")?;
    read_body(&mut *file, path, u64::from(count))
}

fn read_words<const N: usize>(file: &mut dyn Read, path: &Path) -> Result<[u32; N], DataError> {
    let mut words = [0; N];
    for word in &mut words {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).map_err(|source| DataError::read(path, truncated_header(source)))?;
        *word = u32::from_be_bytes(bytes);
    }
    Ok(words)
}

fn truncated_header(source: io::Error) -> io::Error {
    if source.kind() == io::ErrorKind::UnexpectedEof {
        io::Error::new(source.kind(), "truncated: the file ends within the IDX header")
    } else {
        source
    }
}

fn check_magic(path: &Path, found: u32, expected: u32, kind: &'static str) -> Result<(), DataError> {
    if found == expected { Ok(()) } else { Err(DataError::Magic { path: path.to_owned(), found, expected, kind }) }
}

fn read_body(file: &mut dyn Read, path: &Path, expected: u64) -> Result<Vec<u8>, DataError> {
    let mut data = Vec::new();
    // One byte more than announced tells a file that is too long; nothing is reserved on the header's word alone.
    let result = file.take(expected + 1).read_to_end(&mut data);
    let found = data.len() as u64;
    match result {
        Ok(_) if found == expected => Ok(data),
        // A .gz that was cut off ends in an error where a plain file just ends.
        Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => Err(DataError::read(path, source)),
        _ => Err(DataError::Length { path: path.to_owned(), expected, found }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::synthetic;
    use super::*;

    fn folder_with(count: usize) -> (tempfile::TempDir, LabelledImages) {
        let folder = tempfile::tempdir().unwrap();
        let images = synthetic::blobs(count, 3, 1);
        write_labelled(folder.path(), "train", &images).unwrap();
        (folder, images)
    }

    fn compress(path: &Path, keep: Option<usize>) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
        let mut bytes = encoder.finish().unwrap();
        bytes.truncate(keep.unwrap_or(bytes.len()));
        std::fs::write(path.with_file_name(format!("{}.gz", path.file_name().unwrap().to_str().unwrap())), bytes)
            .unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn plain_and_compressed_files_read_alike() {
        let (folder, images) = folder_with(20);
        assert_eq!(read_labelled(folder.path(), "train").unwrap(), images);
        compress(&folder.path().join("train-images-idx3-ubyte"), None);
        assert_eq!(read_labelled(folder.path(), "train").unwrap(), images);
    }

    #[test]
    fn a_missing_file_is_named() {
        let (folder, _) = folder_with(2);
        let message = read_labelled(folder.path(), "t10k").unwrap_err().to_string();
        assert!(message.contains("t10k-images-idx3-ubyte"), "{message}");
    }

    #[test]
    fn a_wrong_magic_number_is_named() {
        let (folder, _) = folder_with(2);
        let labels = folder.path().join("train-labels-idx1-ubyte");
        std::fs::copy(folder.path().join("train-images-idx3-ubyte"), &labels).unwrap();
        let message = read_labelled(folder.path(), "train").unwrap_err().to_string();
        assert!(message.contains("train-labels-idx1-ubyte") && message.contains("0x00000803"), "{message}");
    }

    #[test]
    fn a_compressed_file_that_was_cut_off_is_reported_with_its_length() {
        let (folder, _) = folder_with(200);
        compress(&folder.path().join("train-images-idx3-ubyte"), Some(3000));
        let error = read_labelled(folder.path(), "train").unwrap_err();
        assert!(matches!(error, DataError::Length { expected, found, .. } if found < expected), "{error}");
    }

    #[test]
    fn counts_that_differ_are_reported() {
        let (folder, _) = folder_with(5);
        let other = folder_with(6);
        let name = "train-labels-idx1-ubyte";
        std::fs::copy(other.0.path().join(name), folder.path().join(name)).unwrap();
        let error = read_labelled(folder.path(), "train").unwrap_err();
        assert!(matches!(error, DataError::CountMismatch { images: 5, labels: 6, .. }), "{error}");
    }

    #[test]
    fn an_absurd_size_is_refused_before_anything_is_read() {
        let (folder, _) = folder_with(2);
        let path = folder.path().join("train-images-idx3-ubyte");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4..16].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(read_labelled(folder.path(), "train"), Err(DataError::Size { .. })));
    }

    proptest! {
        #[test]
        fn any_cut_or_addition_is_an_error_that_names_the_file(cut in 1usize..300, grow in any::<bool>()) {
            let (folder, _) = folder_with(3);
            let path = folder.path().join("train-images-idx3-ubyte");
            let mut bytes = std::fs::read(&path).unwrap();
            let length = bytes.len();
            bytes.resize(if grow { length + cut } else { length - cut }, 0);
            std::fs::write(&path, bytes).unwrap();
            let message = read_labelled(folder.path(), "train").unwrap_err().to_string();
            prop_assert!(message.contains("train-images-idx3-ubyte"), "{}", message);
        }
    }
}
