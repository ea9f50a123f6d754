//! Datasets, samplers and plans held in memory, most recently used.
//!
//! Keys are content: a dataset's hash, a hash with a canonical spec, and all that a plan is a function of. So nothing here
//! can be stale, and an evicted sampler or plan is built again to the same draws.

mod recent;
mod unchecked;

use std::sync::Arc;

use swift_sampler::{Dataset, Plan, PlanError, Replacement, Sampler, SamplerError, SamplerSpec, Seed, Segment};

use self::recent::Recent;
pub use self::unchecked::Unchecked;
use crate::store::{Store, StoreError};

/// Datasets held at once; their columns are mapped, their cells are in memory.
const DATASETS_MAX: usize = 16;
/// Samplers held at once. Streams hold on to the one they use.
const SAMPLERS_MAX: usize = 64;

/// Why a sampler cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its dataset cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be built.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// Its spec is not one.
    #[error("sampler spec: {0}")]
    Spec(serde_json::Error),
    /// Its draws cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// One segment of an epoch with the sampler it is drawn from: segments may follow different revisions of the features.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SegmentSpec {
    /// The segment.
    pub segment: Segment,
    /// The content that the sampler is built over.
    pub hash: String,
    /// The sampler's canonical spec.
    pub spec_json: String,
}

/// What a distinct plan is a function of: all segments of the epoch, up to the planned one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PlanKey {
    seed: Seed,
    segments: Vec<SegmentSpec>,
}

/// Datasets, samplers and plans in memory.
#[derive(Debug)]
pub struct Loaded {
    store: Store,
    datasets: Recent<String, Arc<Dataset>>,
    samplers: Recent<(String, String), Arc<Sampler>>,
    plans: Recent<PlanKey, Arc<Plan>>,
    unchecked: Unchecked,
}

impl Loaded {
    /// Loads from a store. `plans_bytes_max` is the memory of the plans held at once, in bytes, beside the newest; streams
    /// hold on to the one they use.
    #[must_use]
    pub fn new(store: Store, plans_bytes_max: usize) -> Self {
        Self {
            store,
            datasets: Recent::new(DATASETS_MAX, |_| 1),
            samplers: Recent::new(SAMPLERS_MAX, |_| 1),
            plans: Recent::new(plans_bytes_max, |plan| plan.size_bytes()),
            unchecked: Unchecked::default(),
        }
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns a dataset, opening it if it is not held: a large one is [to be checked](Self::unchecked) then. Blocks
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when it is damaged.
    pub fn dataset(&self, hash: &str) -> Result<Arc<Dataset>, StoreError> {
        self.store.refuse_damaged(hash)?;
        self.datasets.get_or_make(&hash.to_owned(), || {
            let dataset = self.store.get(hash)?;
            if !self.store.is_checked(hash) {
                self.unchecked.add(hash);
            }
            Ok(Arc::new(dataset))
        })
    }

    /// Returns the datasets that are served before all of them was checked.
    #[must_use]
    pub fn unchecked(&self) -> &Unchecked {
        &self.unchecked
    }

    /// Takes a dataset that was just read and checked.
    pub fn hold(&self, hash: &str, dataset: Dataset) {
        self.forget(hash);
        self.datasets.put(&hash.to_owned(), Arc::new(dataset));
    }

    /// Makes sure that a dataset is here and whole, as far as opening it tells, without holding it. Blocks unless it is
    /// held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(&self, hash: &str) -> Result<(), StoreError> {
        self.store.refuse_damaged(hash)?;
        match self.datasets.get(&hash.to_owned()) {
            Some(_) => Ok(()),
            None => self.store.get(hash).map(drop),
        }
    }

    /// Returns a sampler, building it if it is not held. Blocks meanwhile.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn sampler(&self, hash: &str, spec_json: &str) -> Result<Arc<Sampler>, LoadError> {
        self.store.refuse_damaged(hash)?;
        self.samplers.get_or_make(&(hash.to_owned(), spec_json.to_owned()), || {
            let spec: SamplerSpec = serde_json::from_str(spec_json).map_err(LoadError::Spec)?;
            let dataset = self.dataset(hash)?;
            Ok(Arc::new(Sampler::build(&spec, &dataset)?))
        })
    }

    /// Returns the plan of the last of an epoch's segments without repeats ([`Replacement::Distinct`]), making it and
    /// what it follows from if they are not held. Blocks meanwhile.
    ///
    /// # Errors
    /// [`LoadError`].
    ///
    /// # Panics
    /// When there is no segment.
    pub fn distinct_plan(&self, seed: Seed, segments: &[SegmentSpec]) -> Result<Arc<Plan>, LoadError> {
        for segment in segments {
            self.store.refuse_damaged(&segment.hash)?;
        }
        let key = |len: usize| PlanKey { seed, segments: segments[..len].to_vec() };
        let held = (1..=segments.len()).rev().find_map(|len| Some((len, self.plans.get(&key(len))?)));
        let (first, mut plan) = held.map_or((0, None), |(len, plan)| (len, Some(plan)));
        for (number, SegmentSpec { segment, hash, spec_json }) in segments.iter().enumerate().skip(first) {
            let before = plan.take();
            plan = Some(self.plans.get_or_make(&key(number + 1), || {
                let sampler = self.sampler(hash, spec_json)?;
                let plan = Plan::new(sampler, seed, Replacement::Distinct, *segment, before.as_deref())?;
                Ok::<_, LoadError>(Arc::new(plan))
            })?);
        }
        Ok(plan.expect("an epoch has at least one segment"))
    }

    /// Tells whether a sampler is held.
    #[cfg(test)]
    pub(crate) fn is_built(&self, hash: &str, spec_json: &str) -> bool {
        self.samplers.get(&(hash.to_owned(), spec_json.to_owned())).is_some()
    }

    /// Lets go of a dataset, its samplers and its plans.
    pub fn forget(&self, hash: &str) {
        self.datasets.forget(|held| held == hash);
        self.plans.forget(|key| key.segments.iter().any(|segment| segment.hash == hash));
        self.samplers.forget(|(held, _)| held == hash);
    }
}
