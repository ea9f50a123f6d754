//! The batches of a baseline, by the features of the start network or of the one in training.

use swift_sampler::Engine;
use swift_sampler::job::Shard;

use super::BaselineConfig;
use crate::report::Evidence;
use crate::target::{BatchSource, TargetError};

/// The batches of a job without a daemon, one step after another.
pub(super) struct EngineBatches<'a> {
    pub(super) engine: Engine,
    pub(super) step: u64,
    /// 1 / (n p) of the last batch's examples, where losses are corrected.
    pub(super) weights: Option<Vec<f32>>,
    pub(super) config: &'a BaselineConfig,
    /// The features of the start network.
    pub(super) evidence: &'a Evidence,
}

impl BatchSource for EngineBatches<'_> {
    fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
        let wrong = |reason: String| TargetError::Batches { reason };
        let batch = self.engine.batch(self.step, Shard::WHOLE).map_err(|error| wrong(error.to_string()))?;
        let rows = batch.indices.as_u32().ok_or_else(|| wrong("indices need 64 bits".to_owned()))?;
        indices.clear();
        indices.extend_from_slice(rows);
        if let Some(weights) = &mut self.weights {
            let examples = self.engine.dataset().rows() as f64;
            weights.clear();
            #[allow(clippy::cast_possible_truncation, reason = "losses are f32")]
            weights.extend(batch.probabilities.iter().map(|p| (1.0 / (examples * f64::from(*p))) as f32));
        }
        self.step += 1;
        Ok(())
    }

    fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    fn wants_features(&self, epoch: u32) -> bool {
        self.config.refresh_epochs.is_some_and(|epochs| epoch > 1 && (epoch - 1).is_multiple_of(epochs))
    }

    fn take_features(&mut self, columns: Vec<(String, Vec<f64>)>) -> Result<(), TargetError> {
        let wrong = |error: &dyn std::fmt::Display| TargetError::Batches { reason: error.to_string() };
        let evidence = self.evidence.with_values(columns).map_err(|error| wrong(&error))?;
        let (_, dataset) = self.config.sampler.over(&evidence).map_err(|error| wrong(&error))?;
        self.engine.refresh_at(self.step, dataset).map_err(|error| wrong(&error))?;
        Ok(())
    }
}
