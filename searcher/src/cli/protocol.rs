//! Options that decide how many trials there are and how they are run.

use clap::{Args, ValueEnum};
use swift_sampler::Replacement;

use crate::policy::{Confirmation, Protocol, Stopping};
use crate::target::Start;

/// How many short trials of how many epochs there are, and what goes with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 40 trials of 5 epochs, as in the paper, 3 finalists under 2 fresh seeds
    Paper,
    /// At most 50 epochs of fine-tuning in all: 26 trials of 1 epoch, 3 finalists and the uniform sampler under 2 fresh seeds
    /// for 3 epochs each
    Quick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DrawsName {
    Independent,
    Stratified,
}

impl DrawsName {
    pub(super) const fn replacement(self) -> Replacement {
        match self {
            Self::Independent => Replacement::Independent,
            Self::Stratified => Replacement::Stratified,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ConfirmFrom {
    /// As the trials of the search: their epochs, their start weights
    Search,
    /// From scratch, as long as a retraining
    Scratch,
}

/// Options that decide how many trials there are and how they are run.
#[derive(Debug, Args)]
pub struct ProtocolOptions {
    /// What --trials, --epochs, --finalists, --finalist-seeds and --confirm-epochs are unless they are given
    #[arg(long, value_enum, default_value_t = Preset::Paper)]
    preset: Preset,
    /// Short trials in all, the uniform baseline's 3 included [default: the preset's]
    #[arg(long, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    trials: Option<u32>,
    /// Epochs of a short trial [default: the preset's]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Best samplers of the search that are tried again under fresh seeds [default: the preset's]
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=100))]
    finalists: Option<u16>,
    /// Fresh seeds a finalist [default: the preset's]
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=100))]
    finalist_seeds: Option<u16>,
    /// How the draws of an epoch of a short trial relate to each other: as those of the training that the sampler is for
    #[arg(long, value_enum, default_value_t = DrawsName::Independent)]
    draws: DrawsName,
    /// Train all trials of the search under one seed
    #[arg(long)]
    common_seed: bool,
    /// End a trial after an epoch in which it is more than a point below the median of those before it
    #[arg(long)]
    stop_early: bool,
    /// How finalists are tried again
    #[arg(long, value_enum, default_value_t = ConfirmFrom::Search)]
    confirm_from: ConfirmFrom,
    /// Epochs for which a finalist is tried again [default: the preset's; from scratch, those of a retraining]
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    confirm_epochs: Option<u32>,
    /// Begin with the best samplers of this earlier study, which the daemon keeps; its network may be another
    #[arg(long, value_name = "STUDY")]
    pub(super) warm_start: Option<String>,
    /// Retrain also under the sampler that knows which labels are wrong, as the best there is; needs --label-noise
    #[arg(long)]
    exact_labels: bool,
    /// Retrain once under each of this many samplers of the search, from the worst to the best, and report whether short
    /// trials rank them as training from scratch does
    #[arg(long, value_name = "SAMPLERS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    rank_check: u16,
}

impl ProtocolOptions {
    /// Returns the number of short trials.
    pub(super) fn trials(&self) -> usize {
        self.trials.unwrap_or(match self.preset {
            Preset::Paper => 40,
            Preset::Quick => 26,
        }) as usize
    }

    /// Returns the epochs of a short trial.
    pub(super) fn epochs(&self) -> u32 {
        self.epochs.unwrap_or(match self.preset {
            Preset::Paper => 5,
            Preset::Quick => 1,
        })
    }

    /// Returns the number of finalists.
    pub(super) fn finalists(&self) -> usize {
        usize::from(self.finalists.unwrap_or(match self.preset {
            Preset::Paper | Preset::Quick => 3,
        }))
    }

    /// Returns the fresh seeds a finalist.
    pub(super) fn finalist_seeds(&self) -> usize {
        usize::from(self.finalist_seeds.unwrap_or(2))
    }

    /// Returns how finalists are tried again, where that is not as the search's trials were, which start from `start`.
    fn confirmation(&self, start: Start, retrain_epochs: u32) -> Option<Confirmation> {
        let of_preset = match self.preset {
            Preset::Paper => None,
            Preset::Quick => Some(3),
        };
        let (epochs, start) = match self.confirm_from {
            ConfirmFrom::Search => (self.confirm_epochs.or(of_preset)?, start),
            ConfirmFrom::Scratch => (self.confirm_epochs.unwrap_or(retrain_epochs), Start::Scratch),
        };
        Some(Confirmation { epochs, start })
    }

    /// Returns how trials are run, in a study whose short trials start from `start` and whose retrainings take
    /// `retrain_epochs`; what an earlier study found is filled in when the daemon is there.
    pub(super) fn protocol(&self, start: Start, retrain_epochs: u32) -> Protocol {
        Protocol {
            draws: self.draws.replacement(),
            common_seed: self.common_seed,
            stopping: self.stop_early.then_some(Stopping::DEFAULT),
            confirmation: self.confirmation(start, retrain_epochs),
            paired_uniform: true,
            warm_start: None,
            exact_labels: self.exact_labels,
            rank_check: usize::from(self.rank_check),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use crate::policy::Confirmation;
    use crate::search::SearchConfig;
    use crate::study::StudyConfig;
    use crate::target::Start;

    fn config(arguments: &[&str]) -> SearchConfig {
        let cli = Cli::try_parse_from(["searcher", "--target", "simulated"].iter().chain(arguments)).unwrap();
        cli.search.config().unwrap()
    }

    /// Trials of the search, confirmations, and the epochs of both in all.
    fn fine_tuning(arguments: &[&str]) -> (usize, usize, usize) {
        let SearchConfig { plan, training, .. } = config(arguments);
        let confirmations = plan.trials_in_all() - plan.trials - plan.retrained_samplers() * plan.retrain_seeds;
        let confirmed = plan.protocol.confirmation.map_or(training.epochs, |how| how.epochs);
        let epochs = plan.trials * training.epochs as usize + confirmations * confirmed as usize;
        (plan.trials, confirmations, epochs)
    }

    #[test]
    fn the_quick_preset_fine_tunes_for_fifty_epochs_and_the_papers_for_forty_times_five_and_confirmations() {
        assert_eq!(fine_tuning(&["--preset", "quick"]), (26, (3 + 1) * 2, 50));
        assert_eq!(fine_tuning(&[]), (40, (3 + 1) * 2, 5 * 48));
        assert_eq!(
            fine_tuning(&["--preset", "quick", "--trials", "20", "--epochs", "2", "--finalists", "0"]),
            (20, 0, 40)
        );
    }

    #[test]
    fn finalists_are_tried_again_from_where_and_as_long_as_was_asked_for() {
        let confirmation = |arguments: &[&str]| config(arguments).plan.protocol.confirmation;
        assert_eq!(confirmation(&[]), None, "as the trials of the search");
        let longer = confirmation(&["--confirm-epochs", "8", "--start-from", "best"]);
        assert_eq!(longer, Some(Confirmation { epochs: 8, start: Start::Best }));
        let scratch = ["--confirm-from", "scratch", "--retrain-epochs", "30"];
        let whole = Some(Confirmation { epochs: 30, start: Start::Scratch });
        assert_eq!(confirmation(&scratch), whole);
        let quick = [&scratch[..], &["--preset", "quick"]].concat();
        assert_eq!(confirmation(&quick), whole, "the preset's epochs are of a fine-tuning");
        let shorter = [&scratch[..], &["--confirm-epochs", "10"]].concat();
        assert_eq!(confirmation(&shorter), Some(Confirmation { epochs: 10, start: Start::Scratch }));
    }

    #[test]
    fn a_studys_config_reads_back_as_it_was_written() {
        let arguments =
            ["searcher", "--target", "simulated", "--stop-early", "--common-seed", "--confirm-from", "scratch"];
        let config = Cli::try_parse_from(arguments).unwrap().search.config().unwrap();
        let stored = StudyConfig {
            format: crate::study::FORMAT,
            target: config.target,
            dataset_hash: "0".to_owned(),
            plan: config.plan,
            training: config.training,
        };
        let text = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<StudyConfig>(&text).unwrap(), stored);
    }
}
