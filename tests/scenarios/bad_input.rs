//! Bad input is refused with a message that says what is wrong and what would be right; nothing stored is lost and the
//! active sampler keeps serving.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{Failure, Samplerctl, Samplerd};

const UNAVAILABLE: i32 = 4;
const BAD_DATA: i32 = 5;
const JOB: DrawJob<'static> = DrawJob { name: "j", dataset: "good", seed: 1, batch_size: 32, follow: "step" };

/// A Parquet file that pyarrow wrote (`tests/fixtures/make_fixtures.py`): 200 rows of loss, entropy, grad_norm.
fn parquet_fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/features.parquet")
}

struct Scene {
    folder: tempfile::TempDir,
    daemon: Samplerd,
    before: Vec<serde_json::Value>,
}

impl Scene {
    /// A daemon that already serves a good dataset.
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Samplerd::start(&folder.path().join("data"));
        daemon.ctl().one(&["dataset", "import", "good", parquet_fixture().to_str().unwrap()]);
        let before = daemon.ctl().draw(&JOB, 0..10, 0, 1);
        Self { folder, daemon, before }
    }

    fn ctl(&self) -> Samplerctl {
        self.daemon.ctl()
    }

    /// Imports a file with this content, expecting a refusal.
    fn refused_import(&self, name: &str, content: &[u8], arguments: &[&str]) -> Failure {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let command = [["dataset", "import", "bad", path.to_str().unwrap()].as_slice(), arguments].concat();
        let failure = self.ctl().run(&command).expect_err("the file is bad");
        assert_eq!(failure.code, BAD_DATA, "{failure:?}");
        assert!(self.ctl().run(&["dataset", "show", "bad"]).is_err(), "nothing of it was stored");
        failure
    }

    /// Puts a sampler, expecting a refusal.
    fn refused_sampler(&self, spec: &str) -> Failure {
        let path = self.folder.path().join("bad.json");
        std::fs::write(&path, spec).unwrap();
        let failure = self.ctl().run(&["sampler", "put", "good", path.to_str().unwrap()]).expect_err("the spec is bad");
        assert_eq!(failure.code, BAD_DATA, "{failure:?}");
        failure
    }

    /// What was there before still is, and still serves the same.
    fn check(&self) {
        assert_eq!(self.ctl().draw(&JOB, 0..10, 0, 1), self.before);
        assert_eq!(self.ctl().run(&["dataset", "list"]).unwrap().len(), 1);
        assert_eq!(self.ctl().run(&["sampler", "list", "good"]).unwrap().len(), 1);
        assert_eq!(self.daemon.http("/readyz").0, 200);
    }
}

fn assert_names(failure: &Failure, words: &[&str]) {
    for word in words {
        assert!(failure.message.contains(word), "{word:?} is not in {:?}", failure.message);
    }
}

#[test]
fn a_nan_is_named_by_file_column_and_row() {
    let scene = Scene::set();
    let mut columns = Columns::random(40, 1);
    columns.entropy[17] = f64::NAN;
    let csv = std::fs::read(columns.write_csv(scene.folder.path(), "nan.csv")).unwrap();
    assert_names(&scene.refused_import("nan.csv", &csv, &[]), &["nan.csv", "entropy", "row 17", "finite"]);
    scene.check();
}

#[test]
fn a_blank_line_is_a_missing_value_and_not_a_shift_of_all_rows_after_it() {
    let scene = Scene::set();
    let arguments = ["--features", "w"];
    assert_names(&scene.refused_import("blank.csv", b"w\n1\n\n3\n4\n", &arguments), &["blank.csv", "\"w\"", "row 1"]);
    assert_names(&scene.refused_import("blank.csv", b"w\n1\n\n3", &arguments), &["blank.csv", "row 1"]);
    scene.check();
}

#[test]
fn a_missing_column_is_named_beside_those_there_are() {
    let scene = Scene::set();
    let failure = scene.refused_import("few.csv", b"loss,grad_norm\n1,2\n", &[]);
    assert_names(&failure, &["entropy", "loss, grad_norm"]);
    let failure = scene.refused_import("few.csv", b"loss,entropy\n1,2\n", &["--features", "loss,margin"]);
    assert_names(&failure, &["margin", "loss, entropy"]);
    scene.check();
}

#[test]
fn a_truncated_parquet_file_is_refused_wherever_it_ends() {
    let scene = Scene::set();
    let whole = std::fs::read(parquet_fixture()).unwrap();
    for length in [0, 3, 4, whole.len() / 3, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        assert_names(&scene.refused_import("cut.parquet", &whole[..length], &[]), &["cut.parquet"]);
    }
    scene.check();
}

#[test]
fn malformed_samplers_are_refused_and_the_active_one_keeps_serving() {
    let scene = Scene::set();
    let spec = |coefficients: &str, values: &str| {
        format!(
            r#"{{"kind":"swift","features":["loss","entropy"],"coefficients":{coefficients},"knots":[0.2,0.5,0.8],"values":{values}}}"#
        )
    };
    assert_names(&scene.refused_sampler(&spec("[1,0]", "[0,0,0,0,0]")), &["values", "all zeros"]);
    assert_names(&scene.refused_sampler(&spec("[1,0,0]", "[1,1,1,1,1]")), &["coefficients", "3", "2 features"]);
    assert_names(&scene.refused_sampler(&spec("[1,0]", "[1,1,1]")), &["knots", "values", "S+1"]);
    assert_names(&scene.refused_sampler(&spec("[1,7]", "[1,1,1,1,1]")), &["coefficients", "7", "[-1, 1]"]);
    assert_names(&scene.refused_sampler(r#"{"kind":"column","column":"w"}"#), &["\"w\"", "entropy, grad_norm, loss"]);
    assert_names(&scene.refused_sampler(r#"{"kind":"sideways"}"#), &["sideways", "uniform"]);
    assert_names(&scene.refused_sampler("{\"kind\":"), &["EOF"]);
    scene.check();
}

#[test]
fn what_does_not_exist_is_named() {
    let scene = Scene::set();
    let gone = scene.ctl().run(&["draw", "gone", "--job", "x", "--seed", "1", "--batch-size", "8", "--steps", "0..1"]);
    assert_names(&gone.unwrap_err(), &["gone", "dataset"]);
    assert_names(&scene.ctl().run(&["sampler", "activate", "good", "99"]).unwrap_err(), &["99", "good"]);
    assert_names(&scene.ctl().run(&["job", "show", "nobody"]).unwrap_err(), &["nobody"]);
    let usage = scene.ctl().run(&["draw", "good"]).unwrap_err();
    assert_eq!(usage.code, 2);
    scene.check();
}

#[test]
fn a_daemon_that_is_not_running_is_named_by_address() {
    // Bound and let go: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let failure = Samplerctl::new(&address).run(&["dataset", "list"]).unwrap_err();
    assert_eq!(failure.code, UNAVAILABLE);
    assert_names(&failure, &[&address, "samplerd"]);
}
