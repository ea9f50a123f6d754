//! What a report knows of the examples.

use std::collections::BTreeMap;
use std::mem::discriminant;

use swift_sampler::{Dataset, FeatureTable, FeatureTableError, Sampler, SamplerSpec};

use super::{SamplerReport, Summary};
use crate::behaviour::Behaviour;
use crate::error::SearcherError;
use crate::features_file;
use crate::plot::SamplerCurve;
use crate::policy::{LABEL_IS_RIGHT, Purpose};
use crate::preparation::{Preparation, TargetConfig};
use crate::study::StoredTrial;
use crate::target::Measures;

/// Relative probabilities are reported to four decimals.
const PLACES: f64 = 1e4;

/// The dataset as it is at hand, for what a report says of samplers.
#[derive(Debug, Clone)]
pub struct Evidence {
    pub(crate) dataset: Dataset,
    pub(crate) wrong_labels: Option<Vec<bool>>,
    /// Which examples are crops that miss their object.
    background: Option<Vec<bool>>,
    pub(super) start_epochs: u32,
}

impl Evidence {
    /// Reads features and labels.
    ///
    /// # Errors
    /// [`SearcherError::Data`] when either cannot be read.
    pub fn gather(target: &TargetConfig, preparation: &Preparation) -> Result<Self, SearcherError> {
        let data = |error: &dyn std::fmt::Display| SearcherError::Data(error.to_string());
        let (wrong_labels, background) = (target.wrong_labels()?, target.background()?);
        let table = features_file::read(&preparation.features).map_err(|error| data(&error))?;
        let table = match &wrong_labels {
            Some(wrong) => with_right_labels(&table, wrong).map_err(|error| data(&error))?,
            None => table,
        };
        let gradient_norm = table.names().iter().find(|name| *name == "grad_norm").cloned();
        let features = target.default_features().map(str::to_owned).to_vec();
        let dataset = Dataset::new(table, features, gradient_norm).map_err(|error| data(&error))?;
        Ok(Self { dataset, wrong_labels, background, start_epochs: preparation.start_epochs })
    }

    /// Returns the same examples with other values of some columns.
    ///
    /// # Errors
    /// [`SearcherError::Data`] when a column is not there, or its values are not those of the examples.
    pub(crate) fn with_values(&self, values: Vec<(String, Vec<f64>)>) -> Result<Self, SearcherError> {
        let data = |error: &dyn std::fmt::Display| SearcherError::Data(error.to_string());
        let (table, gradient_norm) = (self.dataset.table(), self.dataset.gradient_norm().map(str::to_owned));
        let mut columns: Vec<(String, Vec<f64>)> =
            table.columns().map(|(name, values)| (name.to_owned(), values.to_vec())).collect();
        for (name, values) in values {
            table.column(&name).map_err(|error| data(&error))?;
            columns.retain(|(known, _)| *known != name);
            columns.push((name, values));
        }
        let table = FeatureTable::new(columns).map_err(|error| data(&error))?;
        let dataset = Dataset::new(table, self.dataset.features().to_vec(), gradient_norm);
        let dataset = dataset.map_err(|error| data(&error))?;
        Ok(Self { dataset, ..self.clone() })
    }

    /// Returns what describes samplers of these features to the surrogate.
    ///
    /// # Errors
    /// [`SearcherError::Data`] when a feature is not a column.
    pub fn behaviour(&self, features: &[String]) -> Result<Behaviour, SearcherError> {
        Behaviour::new(self.dataset.table().clone(), features, self.dataset.gradient_norm())
            .map_err(|error| SearcherError::Data(error.to_string()))
    }

    pub(crate) fn sampler(&self, spec: &SamplerSpec) -> Result<Sampler, SearcherError> {
        Sampler::build(spec, &self.dataset).map_err(|error| SearcherError::Data(error.to_string()))
    }

    /// Returns the probability that a draw has a wrong label, where wrong labels are known.
    pub(crate) fn noisy_mass(&self, sampler: &Sampler) -> Option<f64> {
        Some(mass(sampler, self.wrong_labels.as_ref()?))
    }

    /// Returns how probable a sampler makes examples of each percentile of features, [`WinnerReport::by_percentile`].
    pub(super) fn by_percentile(
        &self,
        spec: &SamplerSpec,
        features: &[String],
    ) -> Result<BTreeMap<String, Vec<f64>>, SearcherError> {
        let curve = SamplerCurve::measure(String::new(), &self.sampler(spec)?, &self.dataset, features, None)
            .map_err(|error| SearcherError::Data(error.to_string()))?;
        let rounded = |value: &f64| (value * PLACES).round() / PLACES;
        Ok(curve.features.into_iter().map(|of| (of.name, of.relative.iter().map(rounded).collect())).collect())
    }

    /// Returns how well a low probability tells wrong labels from right ones, where there are both.
    pub(crate) fn noise_auroc(&self, sampler: &Sampler) -> Option<f64> {
        auroc(&sampler.probabilities(), self.wrong_labels.as_ref()?)
    }

    pub(super) fn sampler_report(
        &self,
        name: &str,
        spec: &SamplerSpec,
        found_by: Option<u64>,
        trials: &[StoredTrial],
    ) -> Result<SamplerReport, SearcherError> {
        let sampler = self.sampler(spec)?;
        let retrained = || {
            trials.iter().filter(|trial| {
                let parameters = &trial.record.parameters;
                let same = discriminant(&parameters.sampler) == discriminant(spec) && parameters.repeats == found_by;
                parameters.purpose == Purpose::Retrain && same
            })
        };
        let measures: Vec<Measures> = retrained().map(|trial| trial.report.measures).collect();
        Ok(SamplerReport {
            name: name.to_owned(),
            test_accuracy: Summary::of(retrained().filter_map(|trial| trial.report.test_accuracy).collect()),
            measures: Measures::summarised(&measures, Summary::of),
            validation_accuracy: Summary::of(retrained().filter_map(|trial| trial.record.objective()).collect()),
            noisy_mass: self.noisy_mass(&sampler),
            noise_auroc: self.noise_auroc(&sampler),
            background_mass: self.background.as_ref().map(|background| mass(&sampler, background)),
            effective_sample_size_ratio: sampler.effective_sample_size() / self.dataset.rows() as f64,
        })
    }
}

/// Returns the probability that a chosen example has a lower score than another one, ties counting half; `None` of no pairs.
/// Mann and Whitney's statistic, by mid-ranks. O(N log N).
fn auroc(scores: &[f64], chosen: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut others_below, mut pairs_lost) = (0.0, 0.0);
    for equal in order.chunk_by(|&a, &b| scores[a].total_cmp(&scores[b]).is_eq()) {
        let of_chosen = equal.iter().filter(|&&row| chosen[row]).count() as f64;
        let of_others = equal.len() as f64 - of_chosen;
        pairs_lost += of_chosen * (others_below + of_others / 2.0);
        others_below += of_others;
    }
    let pairs = (scores.len() as f64 - others_below) * others_below;
    (pairs > 0.0).then(|| 1.0 - pairs_lost / pairs)
}

/// The probability that a draw is one of some examples.
fn mass(sampler: &Sampler, of: &[bool]) -> f64 {
    sampler.probabilities().iter().zip(of).filter(|(_, is)| **is).map(|(p, _)| p).sum()
}

fn with_right_labels(table: &FeatureTable, wrong: &[bool]) -> Result<FeatureTable, FeatureTableError> {
    let column = (LABEL_IS_RIGHT.to_owned(), wrong.iter().map(|wrong| f64::from(u8::from(!wrong))).collect());
    let others = table.columns().filter(|(name, _)| *name != LABEL_IS_RIGHT);
    FeatureTable::new(others.map(|(name, values)| (name.to_owned(), values.to_vec())).chain([column]).collect())
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn auroc_is_the_share_of_pairs_in_which_the_chosen_one_is_lower() {
        let scores = [0.3_f64, 0.1, 0.1, 0.5, 0.2, 0.5, 0.0];
        let chosen = [true, true, false, false, true, true, false];
        let mut won = 0.0;
        for (a, _) in chosen.iter().enumerate().filter(|(_, chosen)| **chosen) {
            for (b, _) in chosen.iter().enumerate().filter(|(_, chosen)| !**chosen) {
                won += match scores[a].total_cmp(&scores[b]) {
                    Ordering::Less => 1.0,
                    Ordering::Equal => 0.5,
                    Ordering::Greater => 0.0,
                };
            }
        }
        let found = auroc(&scores, &chosen).expect("there are pairs");
        assert!((found - won / 12.0).abs() < 1e-12, "{found}");
        assert_eq!(auroc(&scores, &[false; 7]), None);
        assert_eq!(auroc(&[0.1, 0.2], &[true, false]), Some(1.0));
    }
}
