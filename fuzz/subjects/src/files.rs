//! Users' files.

use std::cell::RefCell;
use std::io::{Seek, SeekFrom, Write};

use swift_sampler_files::{FeatureFiles, Format, Missing, Selection, SourceFile, read};
use tempfile::NamedTempFile;

use crate::folder::file;

/// Rows of a file that are read: what states more is refused.
const ROWS_MAX: usize = 100_000;

thread_local! {
    /// The file that bytes are read from: parsers read files alone.
    static FILE: RefCell<NamedTempFile> = RefCell::new(file());
}

/// Reads bytes as Parquet.
pub fn parquet(data: &[u8]) {
    read_as(Format::Parquet, data);
}

/// Reads bytes as safetensors.
pub fn safetensors(data: &[u8]) {
    read_as(Format::Safetensors, data);
}

/// Reads bytes as npz.
pub fn npz(data: &[u8]) {
    read_as(Format::Npz, data);
}

/// Reads bytes as CSV.
pub fn csv(data: &[u8]) {
    read_as(Format::Csv, data);
}

/// Reads bytes as a file of a format: what is not refused is columns of finite numbers of one length, and is so again with
/// missing values let through.
fn read_as(format: Format, data: &[u8]) {
    FILE.with_borrow_mut(|file| {
        let handle = file.as_file_mut();
        let written =
            handle.set_len(0).and_then(|()| handle.seek(SeekFrom::Start(0))).and_then(|_start| handle.write_all(data));
        written.expect("the temporary file takes the bytes");
        let source = [SourceFile { name: "fuzzed".to_owned(), path: file.path().to_owned(), format }];
        // Libraries of formats may panic, which is caught; the hook of libFuzzer would end the process before.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_panic| {}));
        let selection = Selection { features: vec!["loss".to_owned()], gradient_norm: None };
        let lenient =
            FeatureFiles::open(&source, &selection, ROWS_MAX).map(|files| files.with_missing(Missing::Impute));
        let read = read(&source, &selection, ROWS_MAX);
        std::panic::set_hook(hook);
        if let Ok(read) = read {
            let rows = read.columns[0].1.len();
            assert!((1..=ROWS_MAX).contains(&rows));
            for (name, values) in &read.columns {
                assert!(values.len() == rows && values.iter().all(|value| value.is_finite()), "{name}");
            }
            assert!(lenient.is_ok_and(|files| files.rows() == rows));
        }
    });
}
