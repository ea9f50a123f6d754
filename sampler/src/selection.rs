//! Some of many proposals, such as the crops of a step (Sec. 4.2): weighed by a sampler's stored tables and drawn without
//! replacement.

use crate::exponential::exponential;
use crate::philox::{SELECTION_RANK, Seed, proposal_word};
use crate::sampler::{Sampler, SamplerError};
use crate::spec::SamplerSpec;

/// Why columns are no proposals.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProposalsError {
    /// No column, or columns without values.
    #[error("nothing is proposed: at least one feature is needed, with a value for each proposal")]
    Empty,
    /// A feature is given twice.
    #[error("feature {0:?} is given twice")]
    RepeatedFeature(String),
    /// Features differ in length.
    #[error("feature {feature:?} has {values} values, but {first:?} has {expected}")]
    UnequalLengths {
        /// The feature.
        feature: String,
        /// Its values.
        values: usize,
        /// The first feature.
        first: String,
        /// Its values.
        expected: usize,
    },
    /// NaN or an infinity.
    #[error("feature {feature:?}, row {row} (counted from 0) is {value}: every value must be finite")]
    NotFinite {
        /// The feature.
        feature: String,
        /// The proposal, counted from 0.
        row: usize,
        /// The value.
        value: f64,
    },
    /// More than positions of 32 bits.
    #[error("{0} proposals are more than the 2^32 - 1 supported")]
    TooMany(usize),
}

/// Why nothing is selected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelectionError {
    /// The sampler combines a feature that the proposals lack.
    #[error("the sampler combines feature {feature:?}, and the proposals have {available}")]
    MissingFeature {
        /// The feature.
        feature: String,
        /// The features that were given.
        available: String,
    },
    /// The sampler says nothing of examples that are not in its dataset.
    #[error(
        "a sampler of kind \"column\" has weights of its dataset's examples only: proposals need one of kind \"swift\""
    )]
    ColumnOfWeights,
    /// The sampler cannot weigh the proposals.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// None is to be kept, or more than there are.
    #[error("keep is {keep}: it must be from 1 to the {proposals} proposals")]
    Keep {
        /// Proposals to be kept.
        keep: usize,
        /// Proposals there are.
        proposals: usize,
    },
    /// A rank beyond those that have random numbers of their own.
    #[error("rank {rank}: ranks that select are below 2^30")]
    Rank {
        /// The rank.
        rank: u32,
    },
    /// Too few proposals may be drawn.
    #[error(
        "{positive} of {proposals} proposals have a positive weight, and {keep} are to be kept: propose more, or set fill to \
         take others too"
    )]
    TooFewPositive {
        /// Proposals of positive weight.
        positive: usize,
        /// Proposals there are.
        proposals: usize,
        /// Proposals to be kept.
        keep: usize,
    },
}

/// Raw features of examples that need not be in any dataset: finite, one value of each feature a proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposals {
    features: Vec<(String, Vec<f64>)>,
    len: usize,
}

impl Proposals {
    /// Checks features by name, in O(features · proposals).
    ///
    /// # Errors
    /// [`ProposalsError`] naming the feature and row that are wrong.
    pub fn new(features: Vec<(String, Vec<f64>)>) -> Result<Self, ProposalsError> {
        let Some((first, values)) = features.first() else { return Err(ProposalsError::Empty) };
        let len = values.len();
        if len == 0 {
            return Err(ProposalsError::Empty);
        }
        if u32::try_from(len).is_err() {
            return Err(ProposalsError::TooMany(len));
        }
        for (position, (name, values)) in features.iter().enumerate() {
            if features[..position].iter().any(|(other, _)| other == name) {
                return Err(ProposalsError::RepeatedFeature(name.clone()));
            }
            if values.len() != len {
                let (feature, first) = (name.clone(), first.clone());
                return Err(ProposalsError::UnequalLengths { feature, values: values.len(), first, expected: len });
            }
            if let Some(row) = values.iter().position(|value| !value.is_finite()) {
                return Err(ProposalsError::NotFinite { feature: name.clone(), row, value: values[row] });
            }
        }
        Ok(Self { features, len })
    }

    /// Returns how many there are, at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.len
    }

    fn feature(&self, name: &str) -> Result<&[f64], SelectionError> {
        let found = self.features.iter().find(|(known, _)| known == name);
        found.map(|(_, values)| values.as_slice()).ok_or_else(|| SelectionError::MissingFeature {
            feature: name.to_owned(),
            available: self.features.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// Which proposals are drawn: all that it is a function of, beside the sampler and their features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The job's seed.
    pub seed: Seed,
    /// Global step.
    pub step: u64,
    /// Who selects among proposals of its own, below 2^30.
    pub rank: u32,
    /// Proposals to be kept.
    pub keep: usize,
    /// Whether proposals of weight 0 are taken, at random, where too few have a positive one.
    pub fill: bool,
}

/// The proposals that are kept, in the order they were drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// Their positions among the proposals.
    pub positions: Vec<u32>,
    /// The weight of each of them.
    pub weights: Vec<f32>,
}

impl Selection {
    /// Draws proposals of these weights, finite and not negative, without replacement, in O(n log n): each next one with the
    /// probability of its weight among those that are left, which ordering them by E/w with E standard exponential does
    /// (Efraimidis and Spirakis 2006). The same on every platform.
    ///
    /// # Errors
    /// [`SelectionError`] when there are too few proposals.
    pub fn positions(&self, weights: &[f64]) -> Result<Vec<u32>, SelectionError> {
        let &Self { seed, step, rank, keep, fill } = self;
        let proposals = weights.len();
        if !(1..=proposals).contains(&keep) {
            return Err(SelectionError::Keep { keep, proposals });
        }
        if rank >= SELECTION_RANK {
            return Err(SelectionError::Rank { rank });
        }
        let positive = weights.iter().filter(|weight| **weight > 0.0).count();
        if positive < keep && !fill {
            return Err(SelectionError::TooFewPositive { positive, proposals, keep });
        }
        let mut keyed: Vec<(bool, u64, u32)> = (0..)
            .zip(weights)
            .map(|(position, &weight)| {
                let time = exponential(proposal_word(seed, step, rank, position));
                // Positive numbers are ordered as their bits are. What cannot be drawn comes last.
                let is_filling = weight <= 0.0;
                (is_filling, if is_filling { time } else { time / weight }.to_bits(), position)
            })
            .collect();
        if keep < proposals {
            keyed.select_nth_unstable(keep - 1);
            keyed.truncate(keep);
        }
        keyed.sort_unstable();
        Ok(keyed.into_iter().map(|(_, _, position)| position).collect())
    }
}

impl Sampler {
    /// Returns the weight τ̃, in [0, 1], of each proposal, by the sampler's stored tables, eq. (5-10); 1 under the uniform
    /// sampler. Takes O(log n) a proposal and feature for n examples.
    ///
    /// # Errors
    /// [`SelectionError`] when a feature is missing, or the sampler is a column of weights.
    #[allow(clippy::missing_panics_doc, reason = "every swift sampler has its function")]
    pub fn weigh(&self, proposals: &Proposals) -> Result<Vec<f64>, SelectionError> {
        let spec = match self.spec() {
            SamplerSpec::Uniform {} => return Ok(vec![1.0; proposals.len()]),
            SamplerSpec::Column { .. } => return Err(SelectionError::ColumnOfWeights),
            SamplerSpec::Swift(spec) => spec,
        };
        let function = self.function().expect("a swift sampler has its function");
        let columns = spec.features.iter().map(|feature| proposals.feature(feature)).collect::<Result<Vec<_>, _>>()?;
        let mut raw = vec![0.0; columns.len()];
        let weight = |row| {
            raw.iter_mut().zip(&columns).for_each(|(raw, column)| *raw = column[row]);
            Ok(function.weight(&raw)?)
        };
        (0..proposals.len()).map(weight).collect()
    }

    /// Weighs proposals and draws some of them.
    ///
    /// # Errors
    /// As [`Self::weigh`] and [`Selection::positions`].
    pub fn select(&self, proposals: &Proposals, selection: &Selection) -> Result<Selected, SelectionError> {
        let all = self.weigh(proposals)?;
        let positions = selection.positions(&all)?;
        #[allow(clippy::cast_possible_truncation, reason = "weights are told in single precision")]
        let weights = positions.iter().map(|&position| all[position as usize] as f32).collect();
        Ok(Selected { positions, weights })
    }
}
