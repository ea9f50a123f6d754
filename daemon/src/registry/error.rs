//! Why the registry refuses.

use super::backend::BackendError;

/// Why a rule of the registry refuses, or could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The backend cannot answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A record is not what this version of samplerd writes.
    #[error("the registry's record {key:?} cannot be read: {source}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Other writers always came first.
    #[error("other writers came first {attempts} times in a row: try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// A name is not one.
    #[error("{what} name {name:?}: names are 1 to 128 characters of {alphabet}, and no part of one is . or ..")]
    Name {
        /// What it should name.
        what: &'static str,
        /// The name.
        name: String,
        /// Characters allowed.
        alphabet: &'static str,
    },
    /// A field is out of range or malformed.
    #[error("{0}")]
    Invalid(String),
    /// A tenant has as many records as it may.
    #[error("the tenant {tenant:?} has {count} {what}, and its quota is {max}: remove some, or ask for a larger quota")]
    Quota {
        /// The tenant.
        tenant: String,
        /// Of what.
        what: &'static str,
        /// How many it has.
        count: u64,
        /// How many it may have.
        max: u64,
    },
    /// There is no such dataset.
    #[error("there is no dataset {name:?}{known}")]
    NoDataset {
        /// The name asked for.
        name: String,
        /// The datasets there are, as the end of the sentence.
        known: String,
    },
    /// There is no such sampler version.
    #[error("dataset {dataset:?} has no sampler version {version}")]
    NoSampler {
        /// The dataset.
        dataset: String,
        /// The version asked for.
        version: u64,
    },
    /// There is no such job.
    #[error("there is no job {0:?}")]
    NoJob(String),
    /// There is no such study.
    #[error("there is no study {0:?}")]
    NoStudy(String),
    /// There is no such trial.
    #[error("study {study:?} has no trial {number}")]
    NoTrial {
        /// The study.
        study: String,
        /// The number asked for.
        number: u64,
    },
    /// A name is taken by something else.
    #[error("{what} {name:?} exists with another {field}: it has {stored}, {given} was given")]
    Differs {
        /// Kind of record.
        what: &'static str,
        /// Its name.
        name: String,
        /// First field that differs.
        field: &'static str,
        /// The stored value.
        stored: String,
        /// The value given.
        given: String,
    },
    /// Another policy added this trial.
    #[error("trial {number} of study {study:?} was added with another {field}: list the trials and propose again")]
    TrialTaken {
        /// The study.
        study: String,
        /// The trial.
        number: u64,
        /// First field that differs.
        field: &'static str,
    },
    /// As many records are kept as may be.
    #[error("there are {count} {what}, and samplerd keeps at most {max} ({flag}): remove some first")]
    Full {
        /// Kind of record.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
        /// The flag that says so.
        flag: &'static str,
    },
    /// What is asked for does not fit the present state.
    #[error("{0}")]
    Precondition(String),
}

/// Characters of names of datasets and studies.
const NAME: &str = "[A-Za-z0-9._-]";
/// Characters of names of jobs.
const JOB_NAME: &str = "[A-Za-z0-9._/-]";
/// Longest name, in characters.
pub(crate) const NAME_LENGTH_MAX: usize = 128;

/// Checks the name of a dataset or study.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), RegistryError> {
    check(what, name, NAME, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Checks the name of a job, which may have slashes.
pub(super) fn check_job_name(name: &str) -> Result<(), RegistryError> {
    check("job", name, JOB_NAME, |byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
}

fn check(
    what: &'static str,
    name: &str,
    alphabet: &'static str,
    allowed: impl Fn(u8) -> bool,
) -> Result<(), RegistryError> {
    // A name may become that of a folder.
    let is_path_step = |part: &str| part == "." || part == "..";
    if (1..=NAME_LENGTH_MAX).contains(&name.len()) && name.bytes().all(allowed) && !name.split('/').any(is_path_step) {
        Ok(())
    } else {
        Err(RegistryError::Name { what, name: name.to_owned(), alphabet })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_step_out_of_a_folder_are_refused() {
        for name in ["..", ".", "", "a b", "ü"] {
            assert!(check_name("study", name).is_err(), "{name:?}");
        }
        for name in ["../x", "a/../b", "a/.", "/.."] {
            assert!(check_job_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("study", "a.b..c").is_ok() && check_job_name("run/17.b").is_ok());
    }
}
