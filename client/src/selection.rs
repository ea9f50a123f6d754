//! Crops that are proposed, and those that are selected.

use swift_sampler_proto::columns::{ColumnError, pack_f64, unpack_f32, unpack_u32};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::feature_column::Values;

use crate::ClientError;

/// Which sampler weighs crops, and with which seed they are drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeighedBy {
    /// That of a job at the step, the same for all ranks, and the job's seed.
    Job(String),
    /// A version of a dataset's samplers.
    Dataset {
        /// The dataset.
        name: String,
        /// The version; `None`: the active one, which may change between two calls.
        version: Option<u64>,
        /// The seed.
        seed: u64,
    },
}

/// Crops that are proposed for a step of one rank.
#[derive(Debug, Clone, PartialEq)]
pub struct CropsRequest {
    /// Whose weights and seed.
    pub weighed_by: WeighedBy,
    /// Global step.
    pub step: u64,
    /// Who proposes, below 2^30: ranks select independently among crops of their own.
    pub rank: u32,
    /// Crops to be kept.
    pub keep: u32,
    /// Raw features by name, one value a crop: those that the sampler combines, and any others.
    pub features: Vec<(String, Vec<f64>)>,
    /// Takes crops of weight 0 where too few have a positive one.
    pub fill: bool,
    /// Allows a step far beyond what the job has served.
    pub seek: bool,
}

impl CropsRequest {
    /// Crops for a step of rank 0 of a job, of which too few of positive weight are refused.
    #[must_use]
    pub fn new(job: &str, step: u64, keep: u32, features: Vec<(String, Vec<f64>)>) -> Self {
        let weighed_by = WeighedBy::Job(job.into());
        Self { weighed_by, step, rank: 0, keep, features, fill: false, seek: false }
    }

    pub(crate) fn message(&self) -> v1::SelectCropsRequest {
        let (job, dataset, version, seed) = match &self.weighed_by {
            WeighedBy::Job(job) => (job.clone(), String::new(), None, 0),
            WeighedBy::Dataset { name, version, seed } => (String::new(), name.clone(), *version, *seed),
        };
        let feature = |(name, values): &(String, Vec<f64>)| v1::FeatureColumn {
            name: name.clone(),
            values: Some(Values::F64(pack_f64(values))),
        };
        v1::SelectCropsRequest {
            job,
            dataset,
            seed,
            version,
            step: self.step,
            rank: self.rank,
            keep: self.keep,
            features: self.features.iter().map(feature).collect(),
            fill: self.fill,
            seek: self.seek,
        }
    }
}

/// Crops that were selected, in the order they were drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedCrops {
    /// The sampler version that weighed them.
    pub version: u64,
    /// Their positions among the proposed ones.
    pub positions: Vec<u32>,
    /// The weight of each of them, 0 to 1.
    pub weights: Vec<f32>,
}

impl SelectedCrops {
    pub(crate) fn of(message: &v1::SelectCropsResponse, kept: u32) -> Result<Self, ClientError> {
        let torn = |error: ColumnError| ClientError::Protocol(format!("selected crops are torn: {error}"));
        let mut selected = Self { version: message.version, positions: Vec::new(), weights: Vec::new() };
        unpack_u32(&message.positions, &mut selected.positions).map_err(torn)?;
        unpack_f32(&message.weights, &mut selected.weights).map_err(torn)?;
        let (positions, weights) = (selected.positions.len(), selected.weights.len());
        if positions != kept as usize || weights != positions {
            let message = format!("{positions} crops and {weights} weights came where {kept} were to be kept");
            return Err(ClientError::Protocol(message));
        }
        Ok(selected)
    }
}
