//! The binary versions of CIFAR-10 and CIFAR-100: records of labels and 3×32×32 bytes, one after another.

use std::fs;
use std::path::Path;

use super::{DataError, ImageShape, LabelledImages, Source, Values};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const TRAIN_FILES_10: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];

/// A kind of record.
#[derive(Clone, Copy)]
struct Record {
    /// Bytes of labels before the pixels; the last is the class.
    labels: usize,
    classes: u8,
}

const RECORD_10: Record = Record { labels: 1, classes: 10 };
/// The coarse label comes first and is not used.
const RECORD_100: Record = Record { labels: 2, classes: 100 };

/// Reads CIFAR-10: the five training batches in order, and the test batch.
pub(super) fn read_10(folder: &Path) -> Result<Source, DataError> {
    Ok(Source {
        train: read_files(folder, &TRAIN_FILES_10, RECORD_10)?,
        validation: None,
        test: Some(read_files(folder, &["test_batch.bin"], RECORD_10)?),
    })
}

/// Reads CIFAR-100 with its fine labels.
pub(super) fn read_100(folder: &Path) -> Result<Source, DataError> {
    Ok(Source {
        train: read_files(folder, &["train.bin"], RECORD_100)?,
        validation: None,
        test: Some(read_files(folder, &["test.bin"], RECORD_100)?),
    })
}

fn read_files(folder: &Path, names: &[&str], record: Record) -> Result<LabelledImages, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(name);
        let bytes = fs::read(&path).map_err(|source| DataError::read(&path, source))?;
        let size = record.labels + SHAPE.pixels();
        if bytes.is_empty() || bytes.len() % size != 0 {
            let reason = format!("{} bytes are no whole number of records of {size} bytes", bytes.len());
            return Err(DataError::Content { path, reason });
        }
        for (row, example) in bytes.chunks(size).enumerate() {
            let label = example[record.labels - 1];
            if label >= record.classes {
                let reason = format!("record {row} has label {label}: 0 to {} are expected", record.classes - 1);
                return Err(DataError::Content { path, reason });
            }
            labels.push(u16::from(label));
            pixels.extend_from_slice(&example[record.labels..]);
        }
    }
    Ok(LabelledImages::new(SHAPE, Values::Bytes(pixels), labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataFormat;

    /// `count` records of `labels` label bytes, whose pixels tell which record it is.
    fn records(labels: &[[u8; 2]], record: Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (row, both) in (0u8..).zip(labels) {
            bytes.extend_from_slice(&both[2 - record.labels..]);
            bytes.extend((0..3072).map(|position: usize| if position < 1024 { row } else { 200 }));
        }
        bytes
    }

    #[test]
    fn batches_follow_each_other_and_fine_labels_are_the_classes() {
        let folder = tempfile::tempdir().unwrap();
        for name in TRAIN_FILES_10.iter().chain(&["test_batch.bin"]) {
            fs::write(folder.path().join(name), records(&[[0, 3], [0, 9]], RECORD_10)).unwrap();
        }
        assert_eq!(DataFormat::recognise(folder.path()).unwrap(), DataFormat::Cifar10);
        let source = DataFormat::Cifar10.read(folder.path(), None, false).unwrap();
        assert_eq!(source.train.labels, [3, 9].repeat(5));
        let pixels = source.train.pixels.bytes().unwrap();
        assert_eq!((pixels[3072], pixels[3072 + 1024], pixels.len()), (1, 200, 10 * 3072));
        assert_eq!(source.test.unwrap().labels, [3, 9]);

        let folder = tempfile::tempdir().unwrap();
        for name in ["train.bin", "test.bin"] {
            fs::write(folder.path().join(name), records(&[[19, 99], [1, 0]], RECORD_100)).unwrap();
        }
        assert_eq!(DataFormat::recognise(folder.path()).unwrap(), DataFormat::Cifar100);
        assert_eq!(DataFormat::Cifar100.read(folder.path(), None, false).unwrap().train.labels, [99, 0]);
    }

    #[test]
    fn files_that_are_cut_off_or_hold_other_labels_are_named_with_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = records(&[[0, 3], [0, 10]], RECORD_10);
        fs::write(folder.path().join("data_batch_1.bin"), &bytes).unwrap();
        let message = read_10(folder.path()).unwrap_err().to_string();
        assert!(message.contains("data_batch_1.bin") && message.contains("record 1 has label 10"), "{message}");
        bytes.pop();
        fs::write(folder.path().join("data_batch_1.bin"), &bytes).unwrap();
        assert!(read_10(folder.path()).unwrap_err().to_string().contains("6145 bytes"));
    }
}
