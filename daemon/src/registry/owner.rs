//! Whose a record is, and how many of its kind its owner may have.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::records::{DatasetRecord, JobRecord};
use super::{Registry, RegistryError};

/// Whose a new record is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The tenant; empty: nobody's.
    pub tenant: String,
    /// How many records of the kind it may have; `None`: as many as there may be in all.
    pub records_max: Option<u64>,
}

/// A record that knows whose it is.
pub(super) trait Owned: Serialize + DeserializeOwned {
    /// Its kind, in the plural.
    const WHAT: &'static str;
    /// What its keys begin with.
    const PREFIX: &'static str;

    /// Returns the tenant; empty: nobody's, as records of before there were tenants are.
    fn tenant(&self) -> &str;
}

impl Owned for DatasetRecord {
    const WHAT: &'static str = "datasets";
    const PREFIX: &'static str = "dataset/";

    fn tenant(&self) -> &str {
        &self.tenant
    }
}

impl Owned for JobRecord {
    const WHAT: &'static str = "jobs";
    const PREFIX: &'static str = "job/";

    fn tenant(&self) -> &str {
        &self.tenant
    }
}

impl Registry {
    /// Refuses one more record of a tenant that has as many as it may. Calls at the same moment may come to a few more.
    pub(super) fn check_quota<R: Owned>(&self, owner: &Owner) -> Result<(), RegistryError> {
        let Some(max) = owner.records_max else { return Ok(()) };
        let records = self.list::<R>(R::PREFIX)?;
        let is_theirs = |record: &R| record.tenant() == owner.tenant;
        let count = records.iter().filter(|read| read.record.as_ref().is_some_and(is_theirs)).count() as u64;
        if count < max {
            return Ok(());
        }
        Err(RegistryError::Quota { tenant: owner.tenant.clone(), what: R::WHAT, count, max })
    }
}
