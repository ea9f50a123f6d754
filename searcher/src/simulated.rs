//! A target without a network: training as a closed formula of what was drawn.
//!
//! It needs no libtorch and a trial takes a fraction of a second, so that the whole system can be tried, tested and
//! measured anywhere. Its examples have synthetic losses, renormed entropies and gradient norms; mislabelled ones have
//! higher losses, as a network that has not memorised them shows. Accuracy after an epoch is
//!
//! 0.1 + 0.78 s - 0.2 z - 0.06 (1 - r) + noise,
//!
//! where s is skill, which approaches 1 from 0 (from scratch) or 0.9 (from the start network); z is what was memorised,
//! which approaches the share of mislabelled draws in each epoch; and r is the effective sample size of the correctly
//! labelled draws, relative to that of as many uniform draws. So a good sampler avoids mislabelled examples, and no
//! more: one that draws too few of the others loses.

mod fault;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::features_file::{self, FeaturesFileError};
use crate::randomness::{Randomness, seed_for};
use crate::target::{
    BatchSource, EpochReport, Loss, Measures, Start, Target, TargetError, TrainingOutcome, TrainingRun,
};

pub use fault::Fault;

/// Epochs over which skill comes nearer to 1 by a factor of e.
const SKILL_EPOCHS: f64 = 4.0;
/// Epochs over which memory follows what is drawn by a factor of e.
const MEMORY_EPOCHS: f64 = 3.0;
/// Skill of the start network.
const START_SKILL: f64 = 0.9;
/// Standard deviation of an observed accuracy.
const ACCURACY_SD: f64 = 0.003;
/// Natural logarithm of the middle loss of a correctly labelled and of a mislabelled example.
const LN_LOSS: [f64; 2] = [-1.5, 1.0];
const LN_LOSS_SD: f64 = 0.8;

/// What the examples are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedConfig {
    /// Training examples.
    pub examples: u32,
    /// Share of mislabelled ones.
    pub label_noise: f64,
    /// Seeds features and labels.
    pub seed: u64,
    /// How trials go wrong, a tenth of them each way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl SimulatedConfig {
    /// Training examples unless told otherwise.
    pub const EXAMPLES: u32 = 20_000;

    /// Tells for each example whether its label is wrong.
    #[must_use]
    pub fn wrong_labels(&self) -> Vec<bool> {
        let mut randomness = Randomness::new(seed_for(self.seed, 0, "simulated labels"));
        (0..self.examples).map(|_| randomness.uniform() < self.label_noise).collect()
    }

    /// Writes `features.parquet` into the work folder and returns its path. The same config writes the same columns.
    ///
    /// # Errors
    /// [`FeaturesFileError`] when the file cannot be written.
    pub fn write_features(&self, work_dir: &Path) -> Result<PathBuf, FeaturesFileError> {
        let mut randomness = Randomness::new(seed_for(self.seed, 0, "simulated features"));
        let loss: Vec<f64> = self
            .wrong_labels()
            .into_iter()
            .map(|wrong| (LN_LOSS[usize::from(wrong)] + LN_LOSS_SD * randomness.normal()).exp())
            .collect();
        let entropy: Vec<f64> =
            loss.iter().map(|loss| (1.8 - 0.15 * loss + 0.3 * randomness.normal()).max(0.0)).collect();
        let gradient_norm: Vec<f64> = loss.iter().map(|loss| 1.0 - (-loss).exp()).collect();
        let path = work_dir.join("features.parquet");
        features_file::write(&path, &[("loss", &loss), ("entropy", &entropy), ("grad_norm", &gradient_norm)])?;
        Ok(path)
    }
}

/// The target; see the module for its formula.
#[derive(Debug)]
pub struct SimulatedTarget {
    wrong: Vec<bool>,
    label_noise: f64,
    faults: Vec<Fault>,
}

impl SimulatedTarget {
    /// Makes the examples of a config.
    #[must_use]
    pub fn new(config: &SimulatedConfig) -> Self {
        Self { wrong: config.wrong_labels(), label_noise: config.label_noise, faults: config.faults.clone() }
    }

    /// Draws an epoch and returns the share of its draws that were mislabelled.
    fn draw_epoch(
        &self,
        batches: &mut dyn BatchSource,
        steps: usize,
        correct_draws: &mut [u32],
    ) -> Result<f64, TargetError> {
        let (mut draws, mut wrong) = (0usize, 0usize);
        let mut indices = Vec::new();
        for _ in 0..steps {
            batches.next_batch(&mut indices)?;
            for &index in &indices {
                let row = index as usize;
                let Some(is_wrong) = self.wrong.get(row) else {
                    return Err(TargetError::IndexOutOfRange { index, examples: self.wrong.len() });
                };
                draws += 1;
                wrong += usize::from(*is_wrong);
                correct_draws[row] += u32::from(!is_wrong);
            }
        }
        Ok(wrong as f64 / draws.max(1) as f64)
    }

    /// r: the effective sample size of the correctly labelled draws, relative to as many uniform ones.
    fn coverage(&self, correct_draws: &[u32], epochs: u32) -> f64 {
        let sum: f64 = correct_draws.iter().copied().map(f64::from).sum();
        let squares: f64 = correct_draws.iter().copied().map(|count| f64::from(count).powi(2)).sum();
        let correct = self.wrong.iter().filter(|wrong| !**wrong).count() as f64;
        // Uniform draws with replacement over E epochs are Poisson(E) counts, of which this is the expectation.
        let uniform = correct * f64::from(epochs) / f64::from(epochs + 1);
        if squares > 0.0 { (sum * sum / squares / uniform).min(1.0) } else { 0.0 }
    }
}

impl Target for SimulatedTarget {
    fn training_examples(&self) -> usize {
        self.wrong.len()
    }

    fn train(
        &mut self,
        run: &TrainingRun,
        batches: &mut dyn BatchSource,
        evaluate_test: bool,
        on_epoch: &mut dyn FnMut(&EpochReport) -> ControlFlow<()>,
    ) -> Result<TrainingOutcome, TargetError> {
        if run.loss != Loss::CrossEntropy {
            let (value, expected) = (run.loss.name().to_owned(), "the simulated target has no loss but cross-entropy");
            return Err(TargetError::InvalidRun { field: "loss", value, expected });
        }
        if batches.weights().is_some() || (1..=run.epochs).any(|epoch| batches.wants_features(epoch)) {
            let expected = "the simulated target has no network: losses cannot be weighed, nor features computed anew";
            return Err(TargetError::InvalidRun { field: "target", value: "simulated".to_owned(), expected });
        }
        let steps = self.wrong.len().div_ceil(run.batch_size.max(1) as usize);
        let (mut skill, mut memory) = match run.start {
            Start::Scratch => (0.0, 0.0),
            Start::Last | Start::Best => (START_SKILL, self.label_noise),
        };
        let mut correct_draws = vec![0u32; self.wrong.len()];
        let mut epochs = Vec::new();
        let mut noiseless = 0.1;
        for epoch in 1..=run.epochs {
            let start = Instant::now();
            let mislabelled = self.draw_epoch(batches, steps, &mut correct_draws)?;
            if let Some(fault) = Fault::of_trial(&self.faults, run.seed) {
                fault.happen(epoch)?;
            }
            skill += (1.0 - skill) * (1.0 - (-1.0 / SKILL_EPOCHS).exp());
            memory += (mislabelled - memory) * (1.0 - (-1.0 / MEMORY_EPOCHS).exp());
            noiseless = 0.1 + 0.78 * skill - 0.2 * memory - 0.06 * (1.0 - self.coverage(&correct_draws, epoch));
            let report = EpochReport {
                epoch,
                training_loss: 2.3 * (1.0 - skill) + mislabelled,
                validation_accuracy: observe(noiseless, run.seed, epoch, "simulated validation"),
                seconds: start.elapsed().as_secs_f64(),
            };
            epochs.push(report);
            if on_epoch(&report).is_break() {
                return Err(TargetError::Interrupted);
            }
        }
        let test_accuracy = evaluate_test.then(|| observe(noiseless, run.seed, run.epochs, "simulated test"));
        Ok(TrainingOutcome { epochs, test_accuracy, measures: Measures::default() })
    }
}

fn observe(accuracy: f64, seed: u64, epoch: u32, set: &str) -> f64 {
    let noise = Randomness::new(seed_for(seed, u64::from(epoch), set)).normal();
    (accuracy + ACCURACY_SD * noise).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::RecipeOverrides;

    struct Rows {
        rows: Vec<u32>,
        position: usize,
    }

    impl BatchSource for Rows {
        fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
            indices.clear();
            for _ in 0..100 {
                indices.push(self.rows[self.position % self.rows.len()]);
                self.position += 1;
            }
            Ok(())
        }
    }

    fn accuracy(rows: Vec<u32>, start: Start) -> f64 {
        let config = SimulatedConfig { examples: 5000, label_noise: 0.4, seed: 3, faults: Vec::new() };
        let run = TrainingRun {
            epochs: 5,
            batch_size: 100,
            seed: 1,
            start,
            recipe: RecipeOverrides::default(),
            loss: Loss::CrossEntropy,
        };
        let outcome = SimulatedTarget::new(&config)
            .train(&run, &mut Rows { rows, position: 0 }, false, &mut |_| ControlFlow::Continue(()))
            .unwrap();
        outcome.epochs.last().unwrap().validation_accuracy
    }

    #[test]
    fn avoiding_wrong_labels_helps_and_drawing_few_examples_hurts() {
        let wrong = SimulatedConfig { examples: 5000, label_noise: 0.4, seed: 3, faults: Vec::new() }.wrong_labels();
        let all: Vec<u32> = (0..5000).collect();
        let correct: Vec<u32> = all.iter().copied().filter(|&row| !wrong[row as usize]).collect();
        let few: Vec<u32> = correct[..100].to_vec();
        let uniform = accuracy(all, Start::Last);
        assert!(accuracy(correct.clone(), Start::Last) > uniform + 0.03);
        assert!(accuracy(few, Start::Last) < accuracy(correct.clone(), Start::Last) - 0.03);
        assert!(accuracy(correct.clone(), Start::Scratch) < accuracy(correct, Start::Last));
    }

    #[test]
    fn an_example_beyond_the_training_set_is_named() {
        let config = SimulatedConfig { examples: 10, label_noise: 0.0, seed: 0, faults: Vec::new() };
        let run = TrainingRun {
            epochs: 1,
            batch_size: 100,
            seed: 1,
            start: Start::Last,
            recipe: RecipeOverrides::default(),
            loss: Loss::CrossEntropy,
        };
        let error = SimulatedTarget::new(&config)
            .train(&run, &mut Rows { rows: vec![10], position: 0 }, false, &mut |_| ControlFlow::Continue(()))
            .unwrap_err();
        assert!(matches!(error, TargetError::IndexOutOfRange { index: 10, examples: 10 }));
    }
}
