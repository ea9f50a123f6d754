//! Files of every format become datasets, and files that are wrong say where.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::DoubleType;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use safetensors::{Dtype, tensor::TensorView};
use swift_sampler_daemon::import::{Format, ImportError, Imported, Selection, SourceFile, read};
use tonic::Code;

use crate::harness::{Server, columns, csv, job, steps};

const ROWS_MAX: usize = 1_000_000;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn read_files(files: &[(&str, Vec<u8>)], selection: &Selection) -> Result<Imported, ImportError> {
    let directory = tempfile::tempdir().unwrap();
    let source = |(position, (name, bytes)): (usize, &(&str, Vec<u8>))| {
        let path = directory.path().join(position.to_string());
        std::fs::write(&path, bytes).unwrap();
        SourceFile { name: (*name).to_owned(), path, format: Format::of_file_name(name).unwrap() }
    };
    let files: Vec<_> = files.iter().enumerate().map(source).collect();
    read(&files, selection, ROWS_MAX)
}

fn read_one(name: &str, bytes: Vec<u8>) -> Result<Imported, ImportError> {
    read_files(&[(name, bytes)], &Selection::default())
}

fn column<'a>(imported: &'a Imported, name: &str) -> &'a [f64] {
    &imported.columns.iter().find(|(column, _)| column == name).unwrap().1
}

fn parquet(columns: &[(String, Vec<f64>)]) -> Vec<u8> {
    let fields: String = columns.iter().map(|(name, _)| format!("REQUIRED DOUBLE {name};")).collect();
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {fields} }}")).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::builder().build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, values) in columns {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn safetensors(columns: &[(String, Vec<f64>)]) -> Vec<u8> {
    let bytes: Vec<(String, Vec<u8>)> = columns
        .iter()
        .map(|(name, values)| (name.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let tensors = bytes
        .iter()
        .map(|(name, bytes)| (name.as_str(), TensorView::new(Dtype::F64, vec![bytes.len() / 8], bytes).unwrap()));
    safetensors::serialize(tensors, None).unwrap()
}

#[test]
fn files_that_numpy_and_pyarrow_wrote_are_read() {
    for name in ["numpy.npz", "numpy_compressed.npz", "pyarrow.parquet"] {
        let imported = read_one(name, fixture(name)).unwrap();
        assert_eq!(column(&imported, "loss"), [0.5, 2.0, 0.25, 1.0, 3.5], "{name}");
        assert_eq!(column(&imported, "entropy"), [1.5, 0.5, 1.25, 0.75, 2.5], "{name}");
        assert_eq!(column(&imported, "grad_norm"), [1.0, 4.0, 2.0, 3.0, 5.0], "{name}");
        assert_eq!(column(&imported, "flip"), [1.0, 0.0, 1.0, 1.0, 0.0], "{name}");
        assert_eq!(imported.features, ["loss", "entropy"]);
        assert_eq!(imported.gradient_norm.as_deref(), Some("grad_norm"));
    }
    assert_eq!(read_one("pyarrow.parquet", fixture("pyarrow.parquet")).unwrap().skipped, ["path"]);
    assert_eq!(read_one("numpy.npz", fixture("numpy.npz")).unwrap().skipped, ["embedding"]);
}

#[tokio::test]
async fn the_same_columns_are_one_dataset_whatever_the_format() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let columns = columns(500);
    let mut hashes = Vec::new();
    let halves = |range: std::ops::Range<usize>| -> Vec<(String, Vec<f64>)> {
        columns.iter().map(|(name, values)| (name.clone(), values[range.clone()].to_vec())).collect()
    };
    for (name, files) in [
        ("d", vec![("a.csv", csv(&columns))]),
        ("parquet", vec![("a.parquet", parquet(&columns))]),
        ("safetensors", vec![("a.safetensors", safetensors(&columns))]),
        ("halves", vec![("a.parquet", parquet(&halves(0..200))), ("b.csv", csv(&halves(200..500)))]),
    ] {
        let dataset = server.import(name, &[], &files).await.unwrap();
        assert_eq!((dataset.rows, dataset.active_version), (500, 1));
        assert_eq!(dataset.features, ["loss", "entropy"]);
        assert_eq!(dataset.gradient_norm, "grad_norm");
        hashes.push(dataset.hash);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    server.open_job(job("j", 8)).await.unwrap();
    assert_eq!(server.stream(steps("j", 0, 4)).await.unwrap().len(), 4);
    server.stopped().await;
}

#[tokio::test]
async fn many_files_are_imported_and_an_empty_one_among_them_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let names: Vec<_> = (0..100).map(|file| format!("{file}.csv")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), csv(&columns(5)))).collect();
    assert_eq!(server.import("d", &[], &files).await.unwrap().rows, 500);
    files[98].1.clear();
    let status = server.import("e", &[], &files).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("file \"98.csv\" is empty"), "{}", status.message());
    server.stopped().await;
}

#[tokio::test]
async fn importing_again_changes_nothing_and_other_content_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let first = server.import("d", &[], &[("d.csv", csv(&columns(20)))]).await.unwrap();
    assert_eq!(server.import("d", &[], &[("d.csv", csv(&columns(20)))]).await.unwrap(), first);
    let status = server.import("d", &[], &[("d.csv", csv(&columns(21)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(std::fs::read_dir(directory.path().join("datasets")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(directory.path().join("unfinished")).unwrap().count(), 0);
    server.stopped().await;
}

#[tokio::test]
async fn a_refused_import_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let status = server.import("d", &[], &[("d.csv", b"loss,entropy\n1,2\nNaN,3\n".to_vec())]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("column \"loss\", row 1 (counted from 0) is NaN"), "{}", status.message());
    let negative = csv(&[("loss".into(), vec![1.0]), ("entropy".into(), vec![1.0]), ("grad_norm".into(), vec![-1.0])]);
    let status = server.import("d", &[], &[("d.csv", negative)]).await.unwrap_err();
    assert!(status.message().contains("a gradient norm is not negative"), "{}", status.message());
    for place in ["datasets", "unfinished"] {
        assert_eq!(std::fs::read_dir(directory.path().join(place)).unwrap().count(), 0);
    }
    server.stopped().await;
}

#[tokio::test]
async fn an_import_beyond_the_limit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), &["--import-bytes-max", "1000", "--rows-max", "30"]).await;
    let status = server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let short = csv(&[("loss".into(), vec![1.0; 31]), ("entropy".into(), vec![1.0; 31])]);
    let status = server.import("d", &[], &[("d.csv", short)]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
    server.stopped().await;
}

#[test]
fn wrong_values_are_named_by_file_column_and_row() {
    let mut with_nan = columns(30);
    with_nan[1].1[17] = f64::NAN;
    for (name, bytes) in
        [("a.parquet", parquet(&with_nan)), ("a.safetensors", safetensors(&with_nan)), ("a.csv", csv(&with_nan))]
    {
        let error = read_one(name, bytes).unwrap_err().to_string();
        let expected =
            format!("file {name:?}, column \"entropy\", row 17 (counted from 0) is NaN: every value must be finite");
        assert_eq!(error, expected);
    }
    let good = csv(&columns(3));
    let files = [("a.csv", good), ("b.csv", b"entropy,loss,grad_norm\n1,2,3\n1,inf,3\n".to_vec())];
    let error = read_files(&files, &Selection::default()).unwrap_err().to_string();
    assert_eq!(error, "file \"b.csv\", column \"loss\", row 1 (counted from 0) is inf: every value must be finite");
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
    let one = csv(&columns(3));
    for second in ["loss,entropy\n1,2\n", "loss,entropy,grad_norm,more\n1,2,3,4\n", "loss,entropy,grad_norm\n1,2,x\n"] {
        let files = [("a.csv", one.clone()), ("b.csv", second.as_bytes().to_vec())];
        let error = read_files(&files, &Selection::default()).unwrap_err().to_string();
        assert!(error.starts_with("files \"a.csv\" and \"b.csv\" differ in column"), "{error}");
    }
}

#[test]
fn features_can_be_chosen() {
    let selection = Selection { features: vec!["grad_norm".into()], gradient_norm: Some("loss".into()) };
    let imported = read_files(&[("a.csv", csv(&columns(3)))], &selection).unwrap();
    assert_eq!(imported.features, ["grad_norm"]);
    assert_eq!(imported.gradient_norm.as_deref(), Some("loss"));
    let selection = Selection { features: vec!["loss".into(), "loss".into()], gradient_norm: None };
    let error = read_files(&[("a.csv", csv(&columns(3)))], &selection).unwrap_err();
    assert_eq!(error, ImportError::RepeatedFeature("loss".into()));
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
    let error = read_one("a.parquet", bytes).unwrap_err();
    assert_eq!(error, ImportError::Null { file: "a.parquet".into(), column: "loss".into(), row: 4 });
}

#[test]
fn a_file_cut_short_anywhere_is_an_error_and_never_a_panic() {
    let columns = columns(40);
    for (name, bytes) in [
        ("a.parquet", parquet(&columns)),
        ("a.parquet", fixture("pyarrow.parquet")),
        ("a.safetensors", safetensors(&columns)),
        ("a.npz", fixture("numpy.npz")),
        ("a.npz", fixture("numpy_compressed.npz")),
    ] {
        for length in 0..bytes.len() {
            let error = read_one(name, bytes[..length].to_vec()).unwrap_err();
            assert!(matches!(error, ImportError::Unreadable { .. }), "{name} cut to {length} bytes: {error}");
        }
    }
}

#[test]
fn a_file_with_a_damaged_byte_is_an_error_or_other_numbers_and_never_a_panic() {
    for (name, file) in [("a.parquet", "pyarrow.parquet"), ("a.npz", "numpy.npz"), ("a.npz", "numpy_compressed.npz")] {
        let bytes = fixture(file);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0");
        std::fs::write(&path, &bytes).unwrap();
        let handle = std::fs::File::options().write(true).open(&path).unwrap();
        let source = [SourceFile { name: name.into(), path, format: Format::of_file_name(name).unwrap() }];
        for (position, byte) in bytes.iter().enumerate() {
            for flip in [0x01, 0x80, 0xff] {
                handle.write_all_at(&[byte ^ flip], position as u64).unwrap();
                drop(read(&source, &Selection::default(), ROWS_MAX));
            }
            handle.write_all_at(&[*byte], position as u64).unwrap();
        }
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
