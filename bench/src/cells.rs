//! What cells cost in exactness: the total variation distance between a sampler over quantised cells and the same
//! sampler over exact ones, and how long either takes to build.

use std::io::Write;
use std::time::Instant;

use anyhow::ensure;
use swift_sampler::{Cells, Dataset, Resolution, Sampler};

use crate::features;
use crate::sample::{SWIFT, Sink};

const MILLISECONDS_A_SECOND: f64 = 1e3;
/// The table of examples.
const SEED: u64 = 7;
/// The first of the random samplers.
const SPEC_SEED: u64 = 100;

/// Total variation distance and build time for numbers of features.
#[derive(Debug, clap::Args)]
pub struct CellsOfFeatures {
    /// Row of the distances; `N` stands for the number of features
    #[arg(long)]
    distance_row: String,
    /// Row of the build times; `N` stands for the number of features
    #[arg(long)]
    build_row: String,
    /// Numbers of features
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5,6")]
    features: Vec<usize>,
    /// Examples of the dataset; up to 2^20 all cells are exact
    #[arg(long)]
    examples: usize,
    /// Random samplers
    #[arg(long, default_value_t = 5)]
    repeats: u64,
}

impl CellsOfFeatures {
    /// Compares the samplers of random specs.
    ///
    /// # Errors
    /// When a sampler cannot be built or a sample cannot be written.
    pub fn run(&self, sink: &mut Sink<impl Write>) -> anyhow::Result<()> {
        for &features in &self.features {
            self.compare(features, sink)?;
        }
        Ok(())
    }

    fn compare(&self, features: usize, sink: &mut Sink<impl Write>) -> anyhow::Result<()> {
        let dataset = features::dataset(self.examples, features, SEED)?;
        let cells = dataset.cells().len();
        let exact = exact(&dataset)?;
        for repeat in 0..self.repeats {
            let spec = features::spec(features, SPEC_SEED + repeat);
            let start = Instant::now();
            let sampler = Sampler::build(&spec, &dataset)?;
            let milliseconds = start.elapsed().as_secs_f64() * MILLISECONDS_A_SECOND;
            let distance = total_variation(&sampler.probabilities(), &Sampler::build(&spec, &exact)?.probabilities());
            ensure!(distance.is_finite(), "the distance of {spec:?} is {distance}");
            let details = [("examples", self.examples.into()), ("cells", cells.into()), ("spec", repeat.into())];
            let of = |row: &str| row.replace('N', &features.to_string());
            sink.put(&of(&self.distance_row), SWIFT, distance, &details)?;
            sink.put(&of(&self.build_row), SWIFT, milliseconds, &details)?;
        }
        Ok(())
    }
}

/// Returns the dataset with cells of exactly equal features.
fn exact(dataset: &Dataset) -> anyhow::Result<Dataset> {
    let gradient_norm = dataset.gradient_norm();
    let cells = Cells::build(dataset.table(), dataset.features(), gradient_norm, Resolution::Exact)?;
    Ok(Dataset::from_stored(dataset.table().clone(), gradient_norm.map(str::to_owned), cells)?)
}

/// Returns half the sum of the absolute differences.
fn total_variation(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_disjoint_distributions_is_one() {
        assert!((total_variation(&[1.0, 0.0], &[0.0, 1.0]) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_small_dataset_is_exact_whatever_its_features() {
        let mut lines = Vec::new();
        let run = CellsOfFeatures {
            distance_row: "tv-N".into(),
            build_row: "build-N".into(),
            features: vec![1, 3],
            examples: 500,
            repeats: 2,
        };
        run.run(&mut Sink::new(&mut lines)).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        let samples: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(samples.len(), 8);
        for sample in samples.iter().filter(|sample| sample["row"] == "tv-3" || sample["row"] == "tv-1") {
            assert!(sample["value"].as_f64().unwrap() < 1e-12, "{sample}");
        }
    }
}
