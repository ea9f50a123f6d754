//! Damaged and hostile files are refused, or read as the numbers they hold: never with a panic, without end, or with more
//! memory than files of features take.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod counting;
mod crafted;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use swift_sampler_files::{
    ColumnSink, FeatureColumns, FeatureFiles, Format, ROWS_MAX, ReadError, Selection, SourceFile, read,
};

use counting::peak_bytes;

/// Files that pyarrow, numpy, safetensors and csv of Python wrote.
const FIXTURES: [&str; 7] = [
    "pyarrow.parquet",
    "pyarrow_gzip.parquet",
    "pyarrow_zstd.parquet",
    "numpy.npz",
    "numpy_compressed.npz",
    "python.safetensors",
    "python.csv",
];
/// Rows of a file that is read.
const LIMIT_ROWS: usize = 1_000_000;
/// What reading a small file may take, in bytes: the blocks of two columns, and a few columns of as many rows as are let; or
/// the longest record of CSV, if it is all commas.
const MEMORY_BYTES_MAX: usize = 128 << 20;
/// What a page may take that is compressed so that its size cannot be told from its bytes, on each of the threads at most.
const PAGES_BYTES_MAX: usize = 8 * (128 << 20);
/// How long reading a small file may take, however busy the machine: one that takes longer has no end.
const READ_MAX: Duration = Duration::from_secs(60);

/// One test at a time: what is allocated is counted for the process.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `work` alone and without the messages of panics, which a parser of damaged bytes may begin with. It tells when it is
/// through with one file.
fn watched(work: impl FnOnce(&Sender<()>) + Send + 'static) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (done, told) = channel();
    let worker = thread::spawn(move || {
        let printing = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_panic| {}));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&done)));
        std::panic::set_hook(printing);
        drop(done);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    loop {
        match told.recv_timeout(READ_MAX) {
            Ok(()) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("a file was not read within {READ_MAX:?}"),
        }
    }
    if let Err(panic) = worker.join() {
        let reason = panic.downcast_ref::<String>().cloned();
        panic!("{}", reason.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default());
    }
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// A file that changes in place.
struct Changing {
    _directory: tempfile::TempDir,
    handle: File,
    source: SourceFile,
}

impl Changing {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let handle = File::options().write(true).open(&path).unwrap();
        let source = SourceFile { name: name.into(), format: Format::of_file_name(name).unwrap(), path };
        Self { _directory: directory, handle, source }
    }

    /// Reads the file as it is now, within the memory that it may take.
    fn read(&self, bytes_max: usize, what: impl Fn() -> String) -> Result<FeatureColumns, ReadError> {
        let source = std::slice::from_ref(&self.source);
        let selection = Selection { features: vec!["loss".into()], gradient_norm: None };
        let (read, peak) = peak_bytes(|| read(source, &selection, LIMIT_ROWS));
        assert!(peak <= bytes_max, "{}: {} took {peak} bytes", self.source.name, what());
        if let Ok(read) = &read {
            let rows = read.columns[0].1.len();
            assert!((1..=LIMIT_ROWS).contains(&rows), "{}: {}", self.source.name, what());
            for (name, values) in &read.columns {
                assert!(values.len() == rows && values.iter().all(|value| value.is_finite()), "{name}: {}", what());
            }
        }
        read
    }
}

fn memory_of(name: &str) -> usize {
    MEMORY_BYTES_MAX + if name.contains("zstd") { PAGES_BYTES_MAX } else { 0 }
}

#[test]
fn a_file_cut_short_anywhere_is_refused_or_has_fewer_rows() {
    watched(|done| {
        for name in FIXTURES {
            let bytes = fixture(name);
            let file = Changing::new(name, &bytes);
            let whole = file.read(memory_of(name), || "the whole".into()).unwrap();
            for length in (0..bytes.len()).rev() {
                file.handle.set_len(length as u64).unwrap();
                let cut = file.read(memory_of(name), || format!("cut to {length} bytes"));
                match cut {
                    Err(_) => {}
                    // Nothing in CSV says where it ends: whole lines are a file of fewer rows, and a number may lose digits.
                    Ok(cut) if name.ends_with(".csv") => {
                        let (rows, of) = (cut.columns[0].1.len(), &whole.columns[0].1);
                        assert!(rows <= of.len() && cut.columns[0].1[..rows - 1] == of[..rows - 1], "{length}");
                    }
                    Ok(_) => panic!("{name} cut to {length} bytes is read"),
                }
                done.send(()).unwrap();
            }
        }
    });
}

/// `FLIPS=8` flips every bit; here three of each byte, which are others for the next byte.
#[test]
fn a_file_with_any_bit_flipped_is_refused_or_read_as_numbers() {
    let flips = std::env::var("FLIPS").map_or(3, |flips| flips.parse().unwrap());
    watched(move |done| {
        for name in FIXTURES {
            let bytes = fixture(name);
            let file = Changing::new(name, &bytes);
            let mut refused = 0;
            for (position, byte) in bytes.iter().enumerate() {
                for bit in (0..flips).map(|flip| (position * 3 + flip) % 8) {
                    file.handle.write_all_at(&[byte ^ 1 << bit], position as u64).unwrap();
                    let read = file.read(memory_of(name), || format!("bit {bit} of byte {position} flipped"));
                    refused += usize::from(read.is_err());
                    done.send(()).unwrap();
                }
                file.handle.write_all_at(&[*byte], position as u64).unwrap();
            }
            let all = bytes.len() * flips;
            assert!(refused > all / 8, "{name}: only {refused} of {all} flips are refused");
            assert!(file.read(memory_of(name), || "the whole".into()).is_ok(), "{name} is whole again");
        }
    });
}

/// Expects that files are refused with a message, in little memory.
fn refused(files: Vec<(&'static str, Vec<u8>, &'static str)>) {
    watched(move |done| {
        for (name, bytes, message) in files {
            let file = Changing::new(name, &bytes);
            let error = file.read(MEMORY_BYTES_MAX, || message.to_owned()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(message), "{message:?} is not in {error:?}");
            done.send(()).unwrap();
        }
    });
}

#[test]
fn compressed_pages_of_parquet_do_not_grow_beyond_what_they_state() {
    refused(vec![
        ("gzip.parquet", crafted::gzip_bomb(), "more than the 64 bytes uncompressed that its header states"),
        ("zstd.parquet", crafted::zstd_bomb(), "cannot be read as Parquet"),
        ("snappy.parquet", crafted::snappy_of_size(i32::MAX), "bytes uncompressed, of at most"),
        ("snappy.parquet", crafted::snappy_of_size(100 << 20), "would have 104857600 uncompressed"),
        ("negative.parquet", crafted::snappy_of_size(-1), "a page would have -1 bytes"),
        (
            "dictionary.parquet",
            crafted::dictionary_of(i32::MAX),
            "a dictionary of 8 bytes would have 2147483647 values",
        ),
        ("dictionary.parquet", crafted::dictionary_of(-1), "a dictionary of 8 bytes would have -1 values"),
    ]);
}

#[test]
fn a_footer_of_parquet_does_not_take_more_than_it_has() {
    refused(vec![
        ("schema.parquet", crafted::nested_schema(100_000), "its schema is nested more than 64 deep"),
        ("schema.parquet", crafted::schema_of(u64::MAX), "its schema has 18446744073709551615 elements"),
        ("footer.parquet", crafted::footer_of_length(u32::MAX), "its footer would have 4294967295 bytes"),
        ("footer.parquet", crafted::footer_of_length(1 << 20), "of which 1048576 would be the footer"),
    ]);
}

#[test]
fn an_archive_of_arrays_does_not_inflate_beyond_what_it_states() {
    refused(vec![
        ("bomb.npz", crafted::npz_bomb(false), "it would have 10 values, which 67108992 bytes do not hold"),
        ("bomb.npz", crafted::npz_bomb(true), "it goes on after its values"),
        (
            "header.npz",
            crafted::npz_of(&crafted::npy_header_of_length(u32::MAX)),
            "its header would have 4294967295 bytes",
        ),
        ("nested.npz", crafted::npz_of(&crafted::npy("(".repeat(60_000).as_bytes())), "nested more than 32 deep"),
        (
            "shape.npz",
            crafted::npz_of(&crafted::npy_of_shape("(9223372036854775808,)")),
            "goes beyond the 1000000 rows",
        ),
        ("shape.npz", crafted::npz_of(&crafted::npy_of_shape("(18446744073709551616,)")), "larger than u64"),
        ("shape.npz", crafted::npz_of(&crafted::npy_of_shape("(1000000,)")), "it would have 1000000 values"),
        ("shape.npz", crafted::npz_of(&crafted::npy_of_shape("(-1,)")), "cannot be negative"),
    ]);
}

#[test]
fn a_header_of_safetensors_does_not_take_more_than_it_has() {
    let with_header = |length: u64, header: &str| [&length.to_le_bytes()[..], header.as_bytes()].concat();
    let tensors = |shape: &str, end: &str| {
        let header = format!(r#"{{"loss":{{"dtype":"F64","shape":[{shape}],"data_offsets":[0,{end}]}}}}"#);
        with_header(header.len() as u64, &header)
    };
    let nested = "[".repeat(1 << 20);
    refused(vec![
        ("a.safetensors", with_header(1 << 60, "{}"), "its header would have 1152921504606846976 bytes"),
        ("a.safetensors", with_header(u64::MAX, "{}"), "its header would have 18446744073709551615 bytes"),
        ("a.safetensors", tensors("1152921504606846976", "9223372036854775808"), "cannot be read as safetensors"),
        ("a.safetensors", tensors("2305843009213693952", "0"), "cannot be read as safetensors"),
        ("a.safetensors", tensors("4,4611686018427387904", "0"), "cannot be read as safetensors"),
        (
            "a.safetensors",
            with_header(1 << 20, &format!(r#"{{"loss":{{"x":{}"#, &nested[16..])),
            "recursion limit exceeded",
        ),
    ]);
}

#[test]
fn a_line_of_a_gigabyte_is_refused_once_it_is_too_long() {
    watched(|done| {
        for head in ["", "loss,entropy\n1,2\n", "loss,entropy\n1,\""] {
            let file = Changing::new("line.csv", head.as_bytes());
            // Zeros that take no room on disk, in one line.
            file.handle.set_len(1 << 30).unwrap();
            let error = file.read(MEMORY_BYTES_MAX, || "a line".into()).unwrap_err().to_string();
            assert!(error.contains("a record has more than 4194304 bytes"), "{error}");
            done.send(()).unwrap();
        }
    });
}

#[test]
fn files_with_more_columns_or_longer_names_than_anyone_has_are_refused() {
    let names: Vec<String> = (0..5000).map(|column| format!("c{column}")).collect();
    let many = format!("{}\n{}\n", names.join(","), vec!["1"; 5000].join(","));
    let long = format!("{},entropy\n1,2\n", "n".repeat(5000));
    let text = format!("loss,entropy\n1,2\n1,{}\n", "x".repeat(100_000));
    refused(vec![
        ("many.csv", many.into_bytes(), "has 5000 columns: it must have at most 4096"),
        ("many.csv", vec![b','; 4_000_000], "has 4000001 columns: it must have at most 4096"),
        ("long.csv", long.into_bytes(), "a column whose name has 5000 bytes"),
        ("text.csv", text.into_bytes(), "xxx…\": it must be a number"),
        ("many.parquet", crafted::parquet_of_columns(4097), "has 4097 columns: it must have at most 4096"),
    ]);
}

/// Checks that values come for every row once, in blocks, and keeps none.
struct Counted {
    rows: Vec<std::sync::atomic::AtomicUsize>,
    end: std::sync::atomic::AtomicUsize,
}

impl ColumnSink for Counted {
    type Error = std::convert::Infallible;

    fn take(&self, column: usize, first_row: usize, values: &[f64]) -> Result<(), Self::Error> {
        use std::sync::atomic::Ordering::Relaxed;
        assert!(values.iter().all(|value| value.to_bits() == 1.5f64.to_bits()));
        self.rows[column].fetch_add(values.len(), Relaxed);
        self.end.fetch_max(first_row + values.len(), Relaxed);
        Ok(())
    }
}

/// `ROWS=2147483648` reads all of them, which takes minutes; here the footer of so many is read, and the values of fewer.
#[test]
fn rows_beyond_2_31_are_counted_right_and_refused_beyond_the_limit() {
    watched(|done| {
        let bytes = crafted::constant_rows(2048);
        assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
        let file = Changing::new("constant.parquet", &bytes);
        let source = std::slice::from_ref(&file.source);
        let rows = FeatureFiles::open(source, &Selection::default(), ROWS_MAX).unwrap().rows();
        assert_eq!(rows, 1 << 31);
        let refused = FeatureFiles::open(source, &Selection::default(), (1 << 31) - 1).unwrap_err();
        assert_eq!(refused, ReadError::TooManyRows { file: "constant.parquet".into(), rows_max: (1 << 31) - 1 });
        let twice = [file.source.clone(), file.source.clone()];
        assert!(matches!(
            FeatureFiles::open(&twice, &Selection::default(), ROWS_MAX),
            Err(ReadError::TooManyRows { rows_max: 2_147_483_647, .. })
        ));
        done.send(()).unwrap();

        let rows: usize = std::env::var("ROWS").map_or(1 << 23, |rows| rows.parse().unwrap());
        let file = Changing::new("constant.parquet", &crafted::constant_rows(rows >> 20));
        let files = FeatureFiles::open(std::slice::from_ref(&file.source), &Selection::default(), ROWS_MAX).unwrap();
        assert_eq!(files.rows(), rows);
        let sink = Counted { rows: vec![0.into(), 0.into()], end: 0.into() };
        let (read, peak) = thread::scope(|scope| {
            let reading = scope.spawn(|| peak_bytes(|| files.read_into(&sink)));
            while !reading.is_finished() {
                thread::sleep(Duration::from_millis(10));
                done.send(()).unwrap();
            }
            reading.join().unwrap()
        });
        read.unwrap();
        assert!(peak <= MEMORY_BYTES_MAX, "{peak} bytes");
        assert_eq!(
            sink.rows.into_iter().map(std::sync::atomic::AtomicUsize::into_inner).collect::<Vec<_>>(),
            [rows; 2]
        );
        assert_eq!(sink.end.into_inner(), rows);
    });
}
