//! `--check`: what options and data are, without training.

use std::path::PathBuf;

use serde::Serialize;

use super::{Cli, Command};
use crate::error::SearcherError;
use crate::preparation::{TargetConfig, open_target};
use crate::target::Places;

/// What `--check` is about.
#[derive(Debug)]
pub struct Check {
    target: TargetConfig,
    work_dir: PathBuf,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What would be trained.
    pub target: String,
    /// Examples that it would be trained on.
    pub training_examples: usize,
}

impl Cli {
    /// Returns what is to be checked, where that is all that is asked for.
    ///
    /// # Errors
    /// [`SearcherError::Config`] naming the option that is wrong.
    pub fn check(&self) -> Result<Option<Check>, SearcherError> {
        let prepare = match &self.command {
            None => &self.search.prepare,
            Some(Command::Features(options)) => options,
            Some(Command::Train(options)) => options.prepare(),
            Some(_) => return Ok(None),
        };
        if !prepare.check {
            return Ok(None);
        }
        let target = match &self.command {
            None => self.search.config()?.target,
            Some(Command::Train(options)) => options.config()?.target,
            Some(_) => prepare.target()?,
        };
        Ok(Some(Check { target, work_dir: prepare.work_dir(&prepare.default_study()?) }))
    }
}

impl Check {
    /// Reads the data, with the pairs and episodes that networks are scored on; writes nothing.
    ///
    /// # Errors
    /// [`SearcherError`] when they cannot be read or used, or the work folder is of something else.
    pub fn run(&self) -> Result<Checked, SearcherError> {
        let target = open_target(&self.target, &self.work_dir, &Places::default())?;
        Ok(Checked { target: self.target.name().to_owned(), training_examples: target.training_examples() })
    }
}
