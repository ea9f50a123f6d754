//! Options of how the search learns and looks ahead.

use clap::{Args, ValueEnum};

use crate::acquisition::Exploration;
use crate::gp::{Kernel, Mean};
use crate::optimiser::{Acquisition, LowValues, Method};
use crate::policy::{Design, Strategy};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KernelName {
    /// Infinitely smooth: the paper's
    SquaredExponential,
    /// Twice differentiable
    Matern52,
    /// Once differentiable
    Matern32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MeanName {
    /// The average of all objectives
    Average,
    /// Fitted, with objectives of samplers like each other counting as one
    Fitted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcquisitionName {
    /// Upper confidence bound μ + κσ
    Ucb,
    /// Logarithm of the expected improvement over the best posterior mean
    LogEi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LowValuesName {
    /// Raised to as far below the median as the best is above
    Floored,
    /// Ever flatter below the median
    Compressed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrategyName {
    /// The initial design, then a Gaussian process that learns from the trials
    Surrogate,
    /// Uniformly at random
    Random,
    /// Policy gradients, eight trials a step
    Reinforce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DesignName {
    /// A Sobol sequence over all parameters
    Sobol,
    /// Simple curves over the features that leave out one end of the examples
    Shapes,
}

/// Options of how the search learns and looks ahead.
#[derive(Debug, Args)]
pub struct MethodOptions {
    /// What chooses the samplers to try; those without a surrogate are there to be compared with
    #[arg(long, value_enum, default_value_t = StrategyName::Surrogate)]
    strategy: StrategyName,
    /// κ of the upper confidence bound μ + κσ: a number, or "explore" (3), "exploit" (0.5), "decay" (from 1.8 to 0 over the
    /// trials), or "brochu" (grows with the trials, as in the paper's reference)
    #[arg(long, default_value = "1.8", allow_negative_numbers = true, value_parser = parse_exploration)]
    kappa: Exploration,
    /// Kernel of the surrogate
    #[arg(long, value_enum, default_value_t = KernelName::Matern52)]
    kernel: KernelName,
    /// Give all coordinates of the surrogate one length scale instead of one each
    #[arg(long)]
    isotropic: bool,
    /// What the surrogate believes of samplers unlike all that were tried
    #[arg(long, value_enum, default_value_t = MeanName::Fitted)]
    mean: MeanName,
    /// What the next trial maximises
    #[arg(long, value_enum, default_value_t = AcquisitionName::Ucb)]
    acquisition: AcquisitionName,
    /// What the surrogate takes objectives below the median for
    #[arg(long, value_enum, default_value_t = LowValuesName::Compressed)]
    low_objectives: LowValuesName,
    /// Look for the next trial in a box around the best, which grows and shrinks with success
    #[arg(long)]
    trust_region: bool,
    /// What the first seven samplers after the uniform one are
    #[arg(long, value_enum, default_value_t = DesignName::Shapes)]
    design: DesignName,
}

impl MethodOptions {
    /// Returns κ.
    #[must_use]
    pub fn exploration(&self) -> Exploration {
        self.kappa
    }

    /// Returns what chooses the samplers to try.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        match self.strategy {
            StrategyName::Surrogate => Strategy::Surrogate,
            StrategyName::Random => Strategy::Random,
            StrategyName::Reinforce => Strategy::Reinforce,
        }
    }

    /// Returns the initial design.
    #[must_use]
    pub fn design(&self) -> Design {
        match self.design {
            DesignName::Sobol => Design::Sobol,
            DesignName::Shapes => Design::Shapes,
        }
    }

    /// Returns the rest.
    #[must_use]
    pub fn method(&self) -> Method {
        Method {
            kernel: match self.kernel {
                KernelName::SquaredExponential => Kernel::SquaredExponential,
                KernelName::Matern52 => Kernel::Matern52,
                KernelName::Matern32 => Kernel::Matern32,
            },
            isotropic: self.isotropic,
            mean: match self.mean {
                MeanName::Average => Mean::Average,
                MeanName::Fitted => Mean::Fitted,
            },
            acquisition: match self.acquisition {
                AcquisitionName::Ucb => Acquisition::UpperConfidenceBound,
                AcquisitionName::LogEi => Acquisition::LogExpectedImprovement,
            },
            low_values: match self.low_objectives {
                LowValuesName::Floored => LowValues::Floored,
                LowValuesName::Compressed => LowValues::Compressed,
            },
            trust_region: self.trust_region,
        }
    }
}

fn parse_exploration(text: &str) -> Result<Exploration, String> {
    match text {
        "brochu" => return Ok(Exploration::Brochu),
        "explore" => return Ok(Exploration::EXPLORE),
        "exploit" => return Ok(Exploration::EXPLOIT),
        "decay" => return Ok(Exploration::Decay),
        _ => {}
    }
    match text.parse::<f64>() {
        Ok(kappa) if kappa.is_finite() && kappa >= 0.0 => Ok(Exploration::Kappa(kappa)),
        _ => Err("a number of at least 0, or brochu, explore, exploit or decay".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: MethodOptions,
    }

    fn parsed(arguments: &[&str]) -> MethodOptions {
        Line::try_parse_from([&["searcher"], arguments].concat()).unwrap().options
    }

    #[test]
    fn without_options_the_method_is_the_one_that_is_best_for_samplers() {
        assert_eq!(parsed(&[]).method(), Method::SAMPLERS);
        assert_eq!(parsed(&[]).exploration(), Exploration::DEFAULT);
    }

    #[test]
    fn kappa_is_a_number_or_the_name_of_a_preset() {
        for (text, expected) in [
            ("2.5", Exploration::Kappa(2.5)),
            ("explore", Exploration::EXPLORE),
            ("exploit", Exploration::EXPLOIT),
            ("decay", Exploration::Decay),
            ("brochu", Exploration::Brochu),
        ] {
            assert_eq!(parsed(&["--kappa", text]).exploration(), expected);
        }
        assert!(parse_exploration("-1").is_err() && parse_exploration("large").is_err());
    }

    #[test]
    fn every_part_of_the_method_can_be_chosen() {
        let arguments = "--kernel squared-exponential --low-objectives floored --mean average";
        assert_eq!(parsed(&arguments.split(' ').collect::<Vec<_>>()).method(), Method::default());
        let chosen =
            parsed(&["--isotropic", "--acquisition", "log-ei", "--trust-region", "--kernel", "matern32"]).method();
        assert!(chosen.isotropic && chosen.trust_region && chosen.kernel == Kernel::Matern32);
        assert_eq!(chosen.acquisition, Acquisition::LogExpectedImprovement);
    }
}
