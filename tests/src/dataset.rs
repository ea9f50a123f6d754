//! Small feature files, and real images.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use swift_sampler::philox4x32_10;

/// Columns of a file: loss, entropy and gradient norm of every example.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Cross-entropy.
    pub loss: Vec<f64>,
    /// Renormed entropy.
    pub entropy: Vec<f64>,
    /// Gradient norm.
    pub grad_norm: Vec<f64>,
}

impl Columns {
    /// Makes `rows` rows of pseudo-random features, with ties among the entropies.
    #[must_use]
    pub fn random(rows: u32, seed: u32) -> Self {
        let uniform =
            |row: u32, column: u32| f64::from(philox4x32_10([row, column, 0, 0], [seed, 0])[0]) / 4_294_967_296.0;
        let column =
            |number: u32, value: &dyn Fn(f64) -> f64| (0..rows).map(|row| value(uniform(row, number))).collect();
        Self {
            loss: column(0, &|u| -(1.0 - u).ln()),
            entropy: column(1, &|u| (u * 50.0).floor() / 25.0),
            grad_norm: column(2, &|u| 0.01 + 3.0 * u * u),
        }
    }

    /// Writes the columns as CSV and returns the file's path.
    #[must_use]
    pub fn write_csv(&self, folder: &Path, name: &str) -> PathBuf {
        let mut text = String::from("loss,entropy,grad_norm\n");
        for ((loss, entropy), grad_norm) in self.loss.iter().zip(&self.entropy).zip(&self.grad_norm) {
            writeln!(text, "{loss},{entropy},{grad_norm}").expect("strings take everything");
        }
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a temporary file is written");
        path
    }
}

/// Returns the folder with Fashion-MNIST, which is fetched if need be.
#[must_use]
pub fn fashion_mnist() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/setup-data");
    let output = Command::new(script).output().expect("the script can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a folder's name is UTF-8").trim().to_owned()
}
