//! Files of every format are read, and files that are wrong say where.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod writers;

use std::path::Path;
use std::sync::{Arc, Mutex};

use parquet::data_type::DoubleType;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use swift_sampler_files::{
    ColumnSink, FeatureColumns, FeatureFiles, Format, Missing, MissingValues, ReadError, Selection, SourceFile, open,
    read,
};

use writers::{Columns, write};

/// A file of each format.
const FORMATS: [&str; 4] = ["a.parquet", "a.safetensors", "a.npz", "a.csv"];
const ROWS_MAX: usize = 1_000_000;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn read_files(files: &[(&str, Vec<u8>)], selection: &Selection) -> Result<FeatureColumns, ReadError> {
    let directory = tempfile::tempdir().unwrap();
    let source = |(position, (name, bytes)): (usize, &(&str, Vec<u8>))| {
        let path = directory.path().join(position.to_string());
        std::fs::write(&path, bytes).unwrap();
        SourceFile { name: (*name).to_owned(), path, format: Format::of_file_name(name).unwrap() }
    };
    let files: Vec<_> = files.iter().enumerate().map(source).collect();
    read(&files, selection, ROWS_MAX)
}

fn read_one(name: &str, bytes: Vec<u8>) -> Result<FeatureColumns, ReadError> {
    read_files(&[(name, bytes)], &Selection::default())
}

fn column<'a>(read: &'a FeatureColumns, name: &str) -> &'a [f64] {
    &read.columns.iter().find(|(column, _)| column == name).unwrap().1
}

/// Columns that differ from row to row.
fn columns(rows: u32) -> Vec<(String, Vec<f64>)> {
    let column = |name: &str, multiplier: u32| {
        let values = (0..rows).map(|row| f64::from(row.wrapping_mul(multiplier) % 1009) / 1009.0 + 0.001);
        (name.to_owned(), values.collect())
    };
    vec![column("loss", 2_654_435_761), column("entropy", 40_503), column("grad_norm", 2_246_822_519)]
}

#[test]
fn files_that_numpy_and_pyarrow_wrote_are_read() {
    for name in ["numpy.npz", "numpy_compressed.npz", "pyarrow.parquet"] {
        let read = read_one(name, fixture(name)).unwrap();
        assert_eq!(column(&read, "loss"), [0.5, 2.0, 0.25, 1.0, 3.5], "{name}");
        assert_eq!(column(&read, "entropy"), [1.5, 0.5, 1.25, 0.75, 2.5], "{name}");
        assert_eq!(column(&read, "grad_norm"), [1.0, 4.0, 2.0, 3.0, 5.0], "{name}");
        assert_eq!(column(&read, "flip"), [1.0, 0.0, 1.0, 1.0, 0.0], "{name}");
        assert_eq!(read.features, ["loss", "entropy"]);
        assert_eq!(read.gradient_norm.as_deref(), Some("grad_norm"));
    }
    assert_eq!(read_one("pyarrow.parquet", fixture("pyarrow.parquet")).unwrap().skipped, ["path"]);
    assert_eq!(read_one("numpy.npz", fixture("numpy.npz")).unwrap().skipped, ["embedding"]);
}

#[test]
fn the_same_columns_are_one_dataset_whatever_the_format() {
    let directory = tempfile::tempdir().unwrap();
    let columns = columns(500);
    let part = |range: std::ops::Range<usize>| -> Vec<(String, Vec<f64>)> {
        columns.iter().map(|(name, values)| (name.clone(), values[range.clone()].to_vec())).collect()
    };
    let hash_of = |files: &[(&str, &Columns)]| {
        let path = |(name, columns): &(&str, &Columns)| {
            let path = directory.path().join(name);
            std::fs::write(&path, write(name, columns)).unwrap();
            path
        };
        let files: Vec<_> = files.iter().map(path).collect();
        let dataset = open(&files, &Selection::default()).unwrap();
        assert_eq!((dataset.rows(), dataset.gradient_norm()), (500, Some("grad_norm")));
        dataset.hash()
    };
    // As samplerd names them since its first version.
    let hash = "6f07776fbeb20c7e3fbcfca8490661197049f63f4ec363a0b5e44520655a8f76";
    for name in FORMATS {
        assert_eq!(hash_of(&[(name, &columns)]), hash, "{name}");
    }
    assert_eq!(hash_of(&[("a.parquet", &part(0..200)), ("b.csv", &part(200..500))]), hash);
    let other = part(0..499)
        .iter()
        .zip(&columns)
        .map(|((name, values), _)| (name.clone(), [&values[..], &[1.0]].concat()))
        .collect::<Vec<_>>();
    assert_ne!(hash_of(&[("c.npz", &other)]), hash);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = open(&["/nowhere/features.parquet"], &Selection::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "file \"/nowhere/features.parquet\" cannot be read as Parquet: No such file or directory (os error 2)"
    );
    assert_eq!(open(&[] as &[&Path], &Selection::default()).unwrap_err(), ReadError::NoFiles);
}

#[test]
fn a_negative_gradient_norm_is_named() {
    let columns = [("loss".into(), vec![1.0]), ("entropy".into(), vec![1.0]), ("grad_norm".into(), vec![-1.0])];
    let error = read_one("a.csv", write("a.csv", &columns)).unwrap().into_dataset().unwrap_err().to_string();
    assert!(error.contains("\"grad_norm\", row 0 (counted from 0) is -1: a gradient norm is not negative"), "{error}");
}

#[test]
fn wrong_values_are_named_by_file_column_and_row() {
    let mut with_nan = columns(30);
    with_nan[1].1[17] = f64::NAN;
    for name in FORMATS {
        let error = read_one(name, write(name, &with_nan)).unwrap_err().to_string();
        let expected =
            format!("file {name:?}, column \"entropy\", row 17 (counted from 0) is NaN: every value must be finite");
        assert_eq!(error, expected);
    }
    let good = write("a.csv", &columns(3));
    let files = [("a.csv", good), ("b.csv", b"entropy,loss,grad_norm\n1,2,3\n1,inf,3\n".to_vec())];
    let error = read_files(&files, &Selection::default()).unwrap_err().to_string();
    assert_eq!(error, "file \"b.csv\", column \"loss\", row 1 (counted from 0) is inf: every value must be finite");
}

/// Files and columns are read at the same time.
#[test]
fn of_several_faults_the_first_row_of_the_first_file_is_named() {
    let with_faults = |faults: &[(usize, usize)]| {
        let mut columns = columns(100_000);
        faults.iter().for_each(|&(column, row)| columns[column].1[row] = f64::INFINITY);
        columns
    };
    for name in ["b.parquet", "b.safetensors", "b.npz"] {
        let files = [
            ("a.parquet", write("a.parquet", &with_faults(&[]))),
            (name, write(name, &with_faults(&[(0, 99_999), (1, 80_000), (2, 90_000)]))),
            ("c.parquet", write("c.parquet", &with_faults(&[(0, 0)]))),
        ];
        for _ in 0..5 {
            let error = read_files(&files, &Selection::default()).unwrap_err();
            let (file, column, value) = (name.into(), "entropy".into(), f64::INFINITY);
            assert_eq!(error, ReadError::NotFinite { file, column, row: 80_000, value });
        }
    }
}

#[test]
fn csv_that_is_wrong_says_where() {
    for (text, message) in [
        ("loss,entropy\n1,2\n3,\n", "column \"entropy\", row 1 (counted from 0) has no value"),
        ("loss,entropy\n1,2\n3,x\n", "column \"entropy\", row 1 (counted from 0) is \"x\": it must be a number"),
        ("loss,entropy\nx,2\n", "column \"loss\" is of text, starting with \"x\": it must hold numbers or booleans"),
        ("loss,entropy\n1,2\n3\n", "cannot be read as CSV"),
        ("loss,loss\n1,2\n", "has two columns named \"loss\""),
        ("loss,entropy\n", "is empty"),
        ("", "is empty"),
        ("los,entropy\n1,2\n", "has no column \"loss\": it has columns los, entropy"),
    ] {
        let error = read_one("a.csv", text.as_bytes().to_vec()).unwrap_err().to_string();
        assert!(error.starts_with("file \"a.csv\"") && error.contains(message), "{text:?}: {error}");
    }
}

#[test]
fn columns_that_files_do_not_share_are_named() {
    let one = write("a.csv", &columns(3));
    for second in ["loss,entropy\n1,2\n", "loss,entropy,grad_norm,more\n1,2,3,4\n", "loss,entropy,grad_norm\n1,2,x\n"] {
        let files = [("a.csv", one.clone()), ("b.csv", second.as_bytes().to_vec())];
        let error = read_files(&files, &Selection::default()).unwrap_err().to_string();
        assert!(error.starts_with("files \"a.csv\" and \"b.csv\" differ in column"), "{error}");
    }
}

#[test]
fn features_can_be_chosen() {
    let selection = Selection { features: vec!["grad_norm".into()], gradient_norm: Some("loss".into()) };
    let read = read_files(&[("a.csv", write("a.csv", &columns(3)))], &selection).unwrap();
    assert_eq!(read.features, ["grad_norm"]);
    assert_eq!(read.gradient_norm.as_deref(), Some("loss"));
    let selection = Selection { features: vec!["loss".into(), "loss".into()], gradient_norm: None };
    let error = read_files(&[("a.csv", write("a.csv", &columns(3)))], &selection).unwrap_err();
    assert_eq!(error, ReadError::RepeatedFeature("loss".into()));
}

#[test]
fn more_features_than_cells_tell_apart_are_refused() {
    let names: Vec<String> = (0..=64).map(|number| format!("f{number}")).collect();
    let csv = format!("{}\n{}\n", names.join(","), vec!["1"; 65].join(","));
    let read = |features: &[String]| {
        let selection = Selection { features: features.to_vec(), gradient_norm: None };
        read_files(&[("a.csv", csv.clone().into_bytes())], &selection)
    };
    assert_eq!(read(&names[..64]).unwrap().features.len(), 64);
    assert_eq!(read(&names).unwrap_err(), ReadError::TooManyFeatures(65));
}

#[test]
fn a_missing_value_in_parquet_is_named() {
    let schema = "message schema { OPTIONAL DOUBLE loss; REQUIRED DOUBLE entropy; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::builder().build())).unwrap();
    for definitions in [[1i16, 1, 1], [1, 0, 1]] {
        let mut group = writer.next_row_group().unwrap();
        let present = vec![1.0; definitions.iter().filter(|level| **level == 1).count()];
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&present, Some(&definitions), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[1.0; 3], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    let error = read_one("a.parquet", bytes.clone()).unwrap_err();
    assert_eq!(error, ReadError::Null { file: "a.parquet".into(), column: "loss".into(), row: 4 });

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    std::fs::write(&path, bytes).unwrap();
    // Rows are counted over all files.
    let files = [SourceFile::at(&path).unwrap(), SourceFile::at(&path).unwrap()];
    let files = FeatureFiles::open(&files, &Selection::default(), ROWS_MAX).unwrap().with_missing(Missing::Impute);
    let loss = Loss(Mutex::new(vec![0.0; files.rows()]));
    let missing = files.read_into(&loss).unwrap();
    assert_eq!(missing, [MissingValues { column: 0, first_row: 4, values: 2 }]);
    for (row, value) in loss.0.into_inner().unwrap().into_iter().enumerate() {
        assert!(if row % 6 == 4 { value.is_nan() } else { value.to_bits() == 1f64.to_bits() }, "row {row} is {value}");
    }
}

/// Takes the first column.
struct Loss(Mutex<Vec<f64>>);

impl ColumnSink for Loss {
    type Error = std::convert::Infallible;

    fn take(&self, column: usize, first_row: usize, values: &[f64]) -> Result<(), Self::Error> {
        if column == 0 {
            self.0.lock().unwrap()[first_row..first_row + values.len()].copy_from_slice(values);
        }
        Ok(())
    }
}

#[test]
fn a_damaged_array_in_npz_does_not_match_the_archives_checksum() {
    let mut bytes = fixture("numpy.npz");
    let at = bytes.windows(4).position(|window| window == 3.5f32.to_le_bytes()).unwrap();
    bytes[at] ^= 1;
    let error = read_one("a.npz", bytes).unwrap_err().to_string();
    assert!(error.starts_with("file \"a.npz\" cannot be read as npz"), "{error}");
}

#[test]
fn an_unknown_extension_names_those_that_are_known() {
    let error = Format::of_file_name("features.pt").unwrap_err().to_string();
    assert!(error.contains("must be .parquet, .safetensors, .npz or .csv"), "{error}");
}
