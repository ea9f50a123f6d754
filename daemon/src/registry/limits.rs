//! How many records are kept.

use super::{Registry, RegistryError, samplers_prefix};

/// How many records of each kind the registry keeps. Calls that create at the same moment may come to a few more.
#[derive(Debug, Clone, Copy)]
pub struct RecordLimits {
    /// Datasets.
    pub datasets_max: usize,
    /// Sampler versions of one dataset.
    pub samplers_a_dataset_max: usize,
    /// Jobs.
    pub jobs_max: usize,
    /// Studies.
    pub studies_max: usize,
}

impl Default for RecordLimits {
    /// As `samplerd` has them unless told otherwise.
    fn default() -> Self {
        crate::limits::Limits::default().records
    }
}

/// How many records there may be under a prefix.
pub(super) struct Room {
    what: &'static str,
    prefix: String,
    max: usize,
    flag: &'static str,
}

impl RecordLimits {
    pub(super) fn datasets(&self) -> Room {
        Room { what: "datasets", prefix: "dataset/".into(), max: self.datasets_max, flag: "--datasets-max" }
    }

    pub(super) fn samplers(&self, dataset: &str) -> Room {
        Room {
            what: "sampler versions of the dataset",
            prefix: samplers_prefix(dataset),
            max: self.samplers_a_dataset_max,
            flag: "--samplers-a-dataset-max",
        }
    }

    pub(super) fn jobs(&self) -> Room {
        Room { what: "jobs", prefix: "job/".into(), max: self.jobs_max, flag: "--jobs-max" }
    }

    pub(super) fn studies(&self) -> Room {
        Room { what: "studies", prefix: "study/".into(), max: self.studies_max, flag: "--studies-max" }
    }
}

impl Registry {
    /// Refuses one more record where there are as many as may be.
    pub(super) fn check_room(&self, room: &Room) -> Result<(), RegistryError> {
        let count = self.backend.count(&room.prefix)?;
        if count < room.max {
            return Ok(());
        }
        Err(RegistryError::Full { what: room.what, count, max: room.max, flag: room.flag })
    }
}
