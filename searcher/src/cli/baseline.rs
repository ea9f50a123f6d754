//! Options of `train`.

use std::path::{Path, PathBuf};

use clap::Args;
use swift_sampler::SamplerSpec;

use super::protocol::DrawsName;
use super::{Output, PrepareOptions};
use crate::baseline::{BaselineConfig, FixedSampler};
use crate::error::SearcherError;
use crate::target::Loss;

/// Options of `train`.
#[derive(Debug, Args)]
pub struct TrainOptions {
    #[command(flatten)]
    prepare: PrepareOptions,
    /// What is drawn: uniform, exact-labels, trimmed (all but the largest losses, as many as have wrong labels), gradient-norm
    /// (in proportion to it), or a file with a sampler's spec as JSON. All but uniform need the start network's features, which
    /// are prepared as `searcher features` does
    #[arg(long, default_value = "uniform", value_name = "NAME|FILE")]
    sampler: PathBuf,
    /// How the draws of an epoch relate to each other, where the sampler is not uniform
    #[arg(long, value_enum, default_value_t = DrawsName::Independent)]
    draws: DrawsName,
    /// What the network descends on: cross-entropy, reed-soft, reed-hard, mentornet-pd, mentornet-dd, learning-to-reweight,
    /// learning-to-reweight-last-layer or focal
    #[arg(long, default_value = Loss::CrossEntropy.name(), value_parser = |name: &str| name.parse::<Loss>())]
    loss: Loss,
    /// Multiply each loss by 1 / (n p), of n examples one that is drawn with probability p: importance sampling, where the sampler
    /// (gradient-norm or a file) changes the variance of steps and not their mean
    #[arg(long)]
    correction: bool,
    /// Compute the features anew by the network that is trained, every so many epochs, and go on with the sampler (trimmed,
    /// gradient-norm or a file) over them [default: the start network's are kept]
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    refresh_features: Option<u32>,
    /// Epochs [default: --start-epochs]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Networks that are trained, of different initial weights and batches; the first has the seed of a search's first
    /// retraining, and so on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Standard output: a table or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

impl TrainOptions {
    pub(super) const fn prepare(&self) -> &PrepareOptions {
        &self.prepare
    }

    /// Returns the training these options describe.
    ///
    /// # Errors
    /// [`SearcherError::Config`] naming the option that is wrong.
    pub fn config(&self) -> Result<BaselineConfig, SearcherError> {
        let sampler = sampler(&self.sampler)?;
        self.check(&sampler)?;
        Ok(BaselineConfig {
            target: self.prepare.target()?,
            sampler,
            draws: self.draws.replacement(),
            loss: self.loss,
            epochs: self.epochs.unwrap_or(self.prepare.training.start_epochs()),
            batch_size: self.prepare.training.batch_size(),
            recipe: self.prepare.training.recipe(),
            seed: self.prepare.seed,
            correction: self.correction,
            refresh_epochs: self.refresh_features,
            runs: self.runs,
            work_dir: self.prepare.work_dir(&self.prepare.default_study()?),
        })
    }

    /// Refuses options that do not go together.
    fn check(&self, sampler: &FixedSampler) -> Result<(), SearcherError> {
        let refused = |reason: &str| Err(SearcherError::Config(reason.to_owned()));
        let by_features = matches!(sampler, FixedSampler::GradientNorm | FixedSampler::Spec(_));
        if self.correction && !by_features {
            return refused(
                "--correction is for a sampler that draws every example: --sampler gradient-norm or a file",
            );
        }
        if self.correction && self.loss != Loss::CrossEntropy {
            return refused("--correction weighs the cross-entropy of each example: leave --loss out");
        }
        if self.refresh_features.is_some() && !by_features && *sampler != FixedSampler::Trimmed {
            return refused(
                "--refresh-features is for a sampler of features: --sampler trimmed, gradient-norm or a file",
            );
        }
        Ok(())
    }
}

fn sampler(name: &Path) -> Result<FixedSampler, SearcherError> {
    let known = [FixedSampler::Uniform, FixedSampler::ExactLabels, FixedSampler::Trimmed, FixedSampler::GradientNorm];
    let names: Vec<&str> = known.iter().map(FixedSampler::name).collect();
    if let Some(position) = names.iter().position(|known| Path::new(known) == name) {
        return Ok(known[position].clone());
    }
    let wrong = |reason: &dyn std::fmt::Display| {
        let (path, names) = (name.display(), names.join(", "));
        SearcherError::Config(format!("--sampler {path}: neither one of {names} nor the file of a spec: {reason}"))
    };
    let text = std::fs::read_to_string(name).map_err(|error| wrong(&error))?;
    let spec: SamplerSpec = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    Ok(FixedSampler::Spec(spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_is_a_name_or_a_file() {
        assert_eq!(sampler(Path::new("trimmed")).unwrap(), FixedSampler::Trimmed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spec.json");
        std::fs::write(&path, r#"{"kind":"column","column":"w"}"#).unwrap();
        let spec = SamplerSpec::Column { column: "w".to_owned() };
        assert_eq!(sampler(&path).unwrap(), FixedSampler::Spec(spec));
        std::fs::write(&path, "{}").unwrap();
        for wrong in [path.as_path(), Path::new("none")] {
            let error = sampler(wrong).unwrap_err().to_string();
            assert!(error.contains("uniform, exact-labels, trimmed, gradient-norm"), "{error}");
        }
    }
}
