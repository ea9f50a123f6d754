//! What a training run descends on: cross-entropy, or one of the methods against wrong labels that samplers are compared
//! with.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TargetError;

/// The loss of a batch, as a function of its examples' cross-entropies and predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Mean cross-entropy.
    #[default]
    CrossEntropy,
    /// Bootstrapping towards the prediction's own distribution: REED, soft (Reed et al. 2015).
    ReedSoft,
    /// Bootstrapping towards the predicted class: REED, hard.
    ReedHard,
    /// The predefined curriculum of MentorNet (Jiang et al. 2018): large losses are left out after a burn-in.
    MentornetPd,
    /// The learned curriculum of MentorNet: weights by a network that learns, on training examples whose labels are known to be
    /// right or wrong, to tell right ones by their losses.
    MentornetDd,
    /// Learning to Reweight (Ren et al. 2018): examples weigh by how far their gradient agrees with that of the validation
    /// set.
    LearningToReweight,
    /// The same by the gradients of the last layer alone, for less than half of the time.
    LearningToReweightLastLayer,
    /// Focal loss (Lin et al. 2017): easy examples weigh little.
    Focal,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CrossEntropy,
        Self::ReedSoft,
        Self::ReedHard,
        Self::MentornetPd,
        Self::MentornetDd,
        Self::LearningToReweight,
        Self::LearningToReweightLastLayer,
        Self::Focal,
    ];

    /// Tells whether the loss compares examples with those of the validation set, class by class.
    #[must_use]
    pub const fn needs_classes_of_training(self) -> bool {
        matches!(self, Self::LearningToReweight | Self::LearningToReweightLastLayer)
    }

    /// Returns the name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::ReedSoft => "reed-soft",
            Self::ReedHard => "reed-hard",
            Self::MentornetPd => "mentornet-pd",
            Self::MentornetDd => "mentornet-dd",
            Self::LearningToReweight => "learning-to-reweight",
            Self::LearningToReweightLastLayer => "learning-to-reweight-last-layer",
            Self::Focal => "focal",
        }
    }
}

impl FromStr for Loss {
    type Err = TargetError;

    fn from_str(name: &str) -> Result<Self, TargetError> {
        let known = Self::ALL.into_iter().find(|loss| loss.name() == name);
        known.ok_or_else(|| TargetError::UnknownLoss { name: name.to_owned() })
    }
}
