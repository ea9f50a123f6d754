//! Options that decide how networks are scored, and on which classes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::data::HeldOutClasses;
use crate::error::SearcherError;
use crate::target::{Evaluation, Head};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EvaluationName {
    /// Top-1 accuracy
    Classification,
    /// Accuracy over few-shot episodes of classes that no network trained on
    Episodes,
    /// Share of pairs of images that are told to be of one class or of two
    Verification,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadName {
    /// The network's own linear layer
    Linear,
    /// Cosines with an additive margin (CosFace), for embeddings
    Margin,
}

/// Options that decide how networks are scored, and on which classes.
#[derive(Debug, Args)]
pub(super) struct EvaluationOptions {
    /// What a network is scored by on the validation and test sets
    #[arg(long, value_enum, default_value_t = EvaluationName::Classification)]
    evaluate: EvaluationName,
    /// Classes of an episode
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    ways: u16,
    /// Examples that an episode shows of a class
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    shots: u16,
    /// Other examples of a class that an episode asks for
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    queries: u16,
    /// Episodes
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    episodes: u32,
    /// Pairs drawn of the validation set, and of the test set without --test-pairs
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(10..))]
    pairs: u32,
    /// File of the test set's pairs, of images below --data: lines "FILE FILE 0|1", or those of LFW's pairs.txt
    #[arg(long, value_name = "FILE")]
    test_pairs: Option<PathBuf>,
    /// What follows the last hidden layer
    #[arg(long, value_enum, default_value_t = HeadName::Linear)]
    head: HeadName,
    /// Labels that no network trains on and validation is scored on; needs --test-classes. "own" in both: the folders val and test
    /// of the data have classes of their own
    #[arg(long, value_delimiter = ',', requires = "test_classes", value_name = "LABEL,…|own")]
    validation_classes: Vec<String>,
    /// Labels that no network trains on and the test is scored on
    #[arg(long, value_delimiter = ',', requires = "validation_classes", value_name = "LABEL,…|own")]
    test_classes: Vec<String>,
}

impl EvaluationOptions {
    /// Returns an option that is given and of no meaning to text.
    pub(super) fn given_for_images(&self) -> Option<&'static str> {
        let given = [
            (self.evaluate != EvaluationName::Classification, "--evaluate"),
            (self.head != HeadName::Linear, "--head"),
            (self.test_pairs.is_some(), "--test-pairs"),
            (!self.validation_classes.is_empty(), "--validation-classes"),
        ];
        given.into_iter().find_map(|(given, option)| given.then_some(option))
    }

    /// Returns how networks are scored.
    ///
    /// # Errors
    /// [`SearcherError::Config`] for pairs that nothing would look at.
    pub(super) fn evaluation(&self) -> Result<Evaluation, SearcherError> {
        if self.test_pairs.is_some() && self.evaluate != EvaluationName::Verification {
            return Err(SearcherError::Config("--test-pairs are for --evaluate verification".to_owned()));
        }
        let Self { ways, shots, queries, episodes, pairs, .. } = *self;
        Ok(match self.evaluate {
            EvaluationName::Classification => Evaluation::Classification,
            EvaluationName::Episodes => Evaluation::Episodes { ways, shots, queries, episodes },
            EvaluationName::Verification => Evaluation::Verification { pairs, test_pairs: self.test_pairs.clone() },
        })
    }

    pub(super) const fn head(&self) -> Head {
        match self.head {
            HeadName::Linear => Head::Linear,
            HeadName::Margin => Head::MARGIN,
        }
    }

    /// Returns the classes that no network trains on.
    ///
    /// # Errors
    /// [`SearcherError::Config`] for what is no label, and for held-out classes that are to be classified.
    pub(super) fn held_out_classes(&self) -> Result<Option<HeldOutClasses>, SearcherError> {
        if self.validation_classes.is_empty() {
            return Ok(None);
        }
        if self.evaluate == EvaluationName::Classification {
            let reason = "networks cannot classify classes that they do not train on: with --validation-classes give --evaluate \
                          episodes or verification";
            return Err(SearcherError::Config(reason.to_owned()));
        }
        if [&self.validation_classes, &self.test_classes].into_iter().all(|classes| *classes == ["own"]) {
            return Ok(Some(HeldOutClasses::Own));
        }
        let labels = |option: &str, classes: &[String]| -> Result<Vec<u16>, SearcherError> {
            let label = |text: &String| {
                let wrong =
                    |_| SearcherError::Config(format!("{option} {text}: labels are numbers from 0, or own in both"));
                text.parse::<u16>().map_err(wrong)
            };
            classes.iter().map(label).collect()
        };
        Ok(Some(HeldOutClasses::Listed {
            validation: labels("--validation-classes", &self.validation_classes)?,
            test: labels("--test-classes", &self.test_classes)?,
        }))
    }
}
