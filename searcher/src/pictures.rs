//! All pictures of a study, at any time: what can be drawn already, and why the rest cannot.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::SearcherError;
use crate::insight;
use crate::listing::Listing;
use crate::plot::{
    CropSheet, HeatMap, History, HistoryPoint, ImportanceBars, Parallel, ParallelLine, PlotError, PointKind, SHOWN,
    SamplerCurve, ShownCrops, Slices,
};
use crate::policy::{Belief, Purpose, TrialRecord, TrialStanding, standing};
use crate::preparation::{Preparation, TargetConfig};
use crate::randomness::seed_for;
use crate::report::Evidence;
use crate::study::{StoredTrial, StudyConfig};
use crate::target::shuffle;
use crate::work_dir;

/// The features of a work folder.
const FEATURES: &str = "features.parquet";

/// The pictures of a study.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pictures {
    /// Names and contents.
    drawn: Vec<(&'static str, String)>,
    left_out: Vec<LeftOut>,
}

/// A picture that cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its file.
    pub picture: &'static str,
    /// Why.
    pub reason: String,
}

/// What pictures are drawn from.
struct Subject<'a> {
    study: &'a str,
    config: &'a StudyConfig,
    trials: &'a [StoredTrial],
    records: Vec<TrialRecord>,
}

impl Pictures {
    /// Draws the pictures of a study whose features lie in a work folder.
    ///
    /// # Errors
    /// [`SearcherError`] when what is there cannot be read.
    pub fn of(listing: &Listing, work_dir: &Path) -> Result<Self, SearcherError> {
        let features = work_dir.join(FEATURES);
        let evidence = if features.is_file() {
            let preparation = Preparation { features, start_epochs: 0, reused: true };
            Evidence::gather(&listing.config().target, &preparation).map_err(|error| error.to_string())
        } else {
            Err(format!("{} is missing; give the study's --work-dir", features.display()))
        };
        Self::draw(listing.name(), listing.config(), listing.trials(), evidence.as_ref().map_err(String::as_str))
    }

    /// Draws the pictures; without evidence, with the reason in its place, only those of objectives and parameters.
    ///
    /// # Errors
    /// [`SearcherError`] when the drawing itself fails.
    pub fn draw(
        study: &str,
        config: &StudyConfig,
        trials: &[StoredTrial],
        evidence: Result<&Evidence, &str>,
    ) -> Result<Self, SearcherError> {
        let records = trials.iter().map(|trial| trial.record.clone()).collect();
        let subject = Subject { study, config, trials, records };
        let best = subject.best();
        let mut pictures = Self::default();
        pictures.add("history.svg", subject.history().svg().map_err(Obstacle::from))?;
        pictures.add("parallel.svg", subject.parallel(best).svg().map_err(Obstacle::from))?;
        let with_evidence = |draw: &dyn Fn(&Evidence, &TrialRecord) -> Result<String, Obstacle>| {
            let evidence = evidence.map_err(|reason| Obstacle::Missing(reason.to_owned()))?;
            let best = best.ok_or_else(|| Obstacle::Missing("no sampler has an objective yet".to_owned()))?;
            draw(evidence, best)
        };
        pictures.add("sampler.svg", with_evidence(&|evidence, best| subject.sampler(evidence, best)))?;
        pictures.add("heat_map.svg", with_evidence(&|evidence, best| subject.heat_map(evidence, best)))?;
        if subject.trains_on_crops() {
            pictures.add("crops.svg", with_evidence(&|evidence, best| subject.crops(evidence, best)))?;
        }
        pictures.add("importance.svg", with_evidence(&|evidence, _| subject.importance(evidence)))?;
        pictures.add("slices.svg", with_evidence(&|evidence, best| subject.slices(evidence, best)))?;
        Ok(pictures)
    }

    /// Writes the pictures into a folder, which is made if need be, each at once or not at all; returns their paths.
    ///
    /// # Errors
    /// [`SearcherError::File`].
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, SearcherError> {
        std::fs::create_dir_all(folder).map_err(SearcherError::file(folder))?;
        self.drawn
            .iter()
            .map(|(name, svg)| work_dir::replace_file(folder, name, svg).map(|()| folder.join(name)))
            .collect()
    }

    /// Returns what could not be drawn.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    fn add(&mut self, name: &'static str, drawn: Result<String, Obstacle>) -> Result<(), SearcherError> {
        match drawn {
            Ok(svg) => self.drawn.push((name, svg)),
            Err(Obstacle::Missing(reason)) => self.left_out.push(LeftOut { picture: name, reason }),
            Err(Obstacle::Failed(error)) => return Err(error),
        }
        Ok(())
    }
}

/// Why a picture is not drawn.
enum Obstacle {
    /// There is nothing to draw yet.
    Missing(String),
    /// It went wrong.
    Failed(SearcherError),
}

impl From<PlotError> for Obstacle {
    fn from(error: PlotError) -> Self {
        match error {
            PlotError::Empty(_) => Self::Missing(error.to_string()),
            PlotError::Drawing(_) => Self::Failed(SearcherError::Failed(error.to_string())),
        }
    }
}

impl From<SearcherError> for Obstacle {
    fn from(error: SearcherError) -> Self {
        Self::Failed(error)
    }
}

impl Subject<'_> {
    /// The winner's trial, or while there is none, the trial of best objective.
    fn best(&self) -> Option<&TrialRecord> {
        // A study in which nothing succeeded has no winner either.
        let winner = standing(&self.config.plan, &self.records).ok().and_then(|standing| standing.winner);
        match winner {
            Some(winner) => self.records.iter().find(|record| record.number == winner.trial),
            None => self.searched().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(record, _)| record),
        }
    }

    /// Search trials with their objectives, the uniform sampler's left out.
    fn searched(&self) -> impl Iterator<Item = (&TrialRecord, f64)> {
        self.records
            .iter()
            .filter(|record| matches!(record.parameters.purpose, Purpose::Initial | Purpose::Search))
            .filter_map(|record| record.objective().map(|objective| (record, objective)))
    }

    fn history(&self) -> History {
        let (plan, epochs) = (&self.config.plan, self.config.training.epochs);
        History {
            title: format!("Study {}: {} trials of {epochs} epochs", self.study, plan.trials),
            points: self.trials.iter().filter_map(history_point).collect(),
            metric: self.config.target.metric(),
        }
    }

    fn parallel(&self, best: Option<&TrialRecord>) -> Parallel {
        let space = &self.config.plan.space;
        let line = |(record, objective): (&TrialRecord, f64)| {
            let values = space.parameter_values(&record.parameters.sampler)?;
            Some(ParallelLine { number: record.number, values, objective })
        };
        Parallel {
            title: format!("Samplers tried by study {}", self.study),
            parameters: space.parameters(),
            lines: self.searched().filter_map(line).collect(),
            highlight: best.map(|record| record.number),
            metric: self.config.target.metric(),
        }
    }

    fn sampler(&self, evidence: &Evidence, best: &TrialRecord) -> Result<String, Obstacle> {
        let sampler = evidence.sampler(&best.parameters.sampler)?;
        let title = format!("Sampler found by study {} (trial {})", self.study, best.number);
        let features = &self.config.plan.space.features;
        let curve =
            SamplerCurve::measure(title, &sampler, &evidence.dataset, features, evidence.wrong_labels.as_deref())
                .map_err(|error| SearcherError::Data(error.to_string()))?;
        Ok(curve.svg()?)
    }

    fn heat_map(&self, evidence: &Evidence, best: &TrialRecord) -> Result<String, Obstacle> {
        let [x, y, ..] = self.config.plan.space.features.as_slice() else {
            return Err(Obstacle::Missing("the sampler has one feature, a map needs two".to_owned()));
        };
        let sampler = evidence.sampler(&best.parameters.sampler)?;
        let title = format!("Trial {} of study {}", best.number, self.study);
        let noisy = evidence.wrong_labels.as_deref().map(|wrong| (wrong, evidence.noise_auroc(&sampler)));
        let map = HeatMap::measure(title, &sampler, &evidence.dataset, [x, y], noisy)
            .map_err(|error| SearcherError::Data(error.to_string()))?;
        Ok(map.svg()?)
    }

    fn trains_on_crops(&self) -> bool {
        matches!(&self.config.target, TargetConfig::Network(network) if network.data.crops.is_some())
    }

    /// The least and the most probable crops; which of equally probable ones is a matter of chance.
    fn crops(&self, evidence: &Evidence, best: &TrialRecord) -> Result<String, Obstacle> {
        let TargetConfig::Network(network) = &self.config.target else {
            return Err(Obstacle::Missing("the study is not over images".to_owned()));
        };
        let split = network.data.load().map_err(|error| Obstacle::Missing(error.to_string()))?;
        let bank = split.crops.as_ref().ok_or_else(|| Obstacle::Missing("there are no crops".to_owned()))?;
        let probabilities = evidence.sampler(&best.parameters.sampler)?.probabilities();
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        shuffle(&mut order, seed_for(self.config.plan.seed, 0, "crops that are shown"));
        order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        let shown = |rows: Vec<usize>| ShownCrops {
            images: bank.cut(&split.train, &rows),
            relative: rows.iter().map(|&row| probabilities[row] * probabilities.len() as f64).collect(),
        };
        let title = format!("Crops under the sampler found by study {} (trial {})", self.study, best.number);
        let least = shown(order.iter().copied().take(SHOWN).collect());
        let most = shown(order.iter().rev().copied().take(SHOWN).collect());
        Ok(CropSheet { title, least, most }.svg()?)
    }

    fn importance(&self, evidence: &Evidence) -> Result<String, Obstacle> {
        let space = &self.config.plan.space;
        let behaviour = evidence.behaviour(&space.features)?;
        let belief = self.belief(&behaviour)?;
        let bars = ImportanceBars {
            title: format!("What matters to the objective of study {}", self.study),
            parameters: space.parameters(),
            shares: insight::importance(space, &|point| belief.at(point)),
        };
        Ok(bars.svg()?)
    }

    fn slices(&self, evidence: &Evidence, best: &TrialRecord) -> Result<String, Obstacle> {
        let space = &self.config.plan.space;
        let behaviour = evidence.behaviour(&space.features)?;
        let belief = self.belief(&behaviour)?;
        let swift_sampler::SamplerSpec::Swift(spec) = &best.parameters.sampler else {
            return Err(Obstacle::Missing(format!("trial {} is not a sampler of the space", best.number)));
        };
        let point = space.point(spec).map_err(|error| SearcherError::Data(error.to_string()))?;
        let slices = insight::slices(space, &point, &|point| belief.at(point))
            .ok_or_else(|| Obstacle::Missing(format!("the surrogate does not know trial {}", best.number)))?;
        let title = format!("What the surrogate believes around the sampler of trial {}", best.number);
        let uniform = standing(&self.config.plan, &self.records).ok().and_then(|standing| standing.baseline);
        Ok(Slices { title, slices, uniform, metric: self.config.target.metric() }.svg()?)
    }

    fn belief<'a>(&'a self, behaviour: &'a crate::behaviour::Behaviour) -> Result<Belief<'a>, Obstacle> {
        Belief::learn(&self.config.plan, behaviour, &self.records)
            .map_err(SearcherError::from)?
            .ok_or_else(|| Obstacle::Missing("too few trials have ended for a surrogate".to_owned()))
    }
}

fn history_point(trial: &StoredTrial) -> Option<HistoryPoint> {
    let kind = match (trial.record.parameters.purpose, trial.record.standing) {
        (Purpose::Retrain, _) | (_, TrialStanding::Failed | TrialStanding::Pending) => return None,
        (_, TrialStanding::Infeasible) => PointKind::Infeasible,
        (Purpose::Baseline, _) => PointKind::Baseline,
        (Purpose::Initial, _) => PointKind::Initial,
        (Purpose::Search, _) => PointKind::Search,
        (Purpose::Confirm, _) if trial.record.parameters.repeats.is_none() => PointKind::UniformAgain,
        (Purpose::Confirm, _) => PointKind::Confirm,
    };
    Some(HistoryPoint { number: trial.record.number, kind, objective: trial.record.objective() })
}
