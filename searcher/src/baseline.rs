//! Networks trained from scratch under one fixed sampler and loss, without a daemon: what a found sampler is compared with.

mod batches;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use swift_sampler::{Dataset, Engine, FeatureTable, JobParameters, Replacement, SamplerSpec};

use self::batches::EngineBatches;
use crate::error::SearcherError;
use crate::policy::exact_labels;
use crate::preparation::{TargetConfig, open_target, prepare};
use crate::progress::Progress;
use crate::randomness::seed_for;
use crate::report::{Evidence, Summary, shown};
use crate::stop::Stop;
use crate::target::{
    BatchSource, EpochReport, Loss, Measures, Metric, Places, RecipeOverrides, ShuffledEpochs, Start, Target,
    TrainingRun,
};
use crate::work_dir::WorkDir;

/// The column of weights of [`FixedSampler::Trimmed`].
const TRIMMED: &str = "trimmed";

/// What is drawn, throughout a training.
#[derive(Debug, Clone, PartialEq)]
pub enum FixedSampler {
    /// Every example once an epoch.
    Uniform,
    /// Examples whose labels are right, as one who knows them draws.
    ExactLabels,
    /// All but the examples of largest loss under the start network, as many as have wrong labels.
    Trimmed,
    /// Examples in proportion to the norm of their gradient under the start network.
    GradientNorm,
    /// Any other, over the features of the start network.
    Spec(SamplerSpec),
}

impl FixedSampler {
    /// Returns the name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::ExactLabels => "exact-labels",
            Self::Trimmed => "trimmed",
            Self::GradientNorm => "gradient-norm",
            Self::Spec(_) => "given",
        }
    }

    /// Returns the sampler, and the dataset it is one of.
    fn over(&self, evidence: &Evidence) -> Result<(SamplerSpec, Dataset), SearcherError> {
        let spec = match self {
            Self::Uniform => SamplerSpec::Uniform {},
            Self::ExactLabels => exact_labels(),
            Self::GradientNorm => SamplerSpec::Column { column: "grad_norm".to_owned() },
            Self::Spec(spec) => spec.clone(),
            Self::Trimmed => {
                let spec = SamplerSpec::Column { column: TRIMMED.to_owned() };
                return Ok((spec, trimmed(evidence)?));
            }
        };
        Ok((spec, evidence.dataset.clone()))
    }
}

/// The dataset with a column that is 0 for as many examples of largest loss as have wrong labels, else 1.
fn trimmed(evidence: &Evidence) -> Result<Dataset, SearcherError> {
    let data = |error: &dyn std::fmt::Display| SearcherError::Data(error.to_string());
    let wrong = evidence.wrong_labels.as_ref().ok_or_else(|| {
        SearcherError::Config(
            "--sampler trimmed drops as many examples as have wrong labels: give --label-noise".to_owned(),
        )
    })?;
    let table = evidence.dataset.table();
    let losses = table.column("loss").map_err(|error| data(&error))?;
    let mut by_loss: Vec<usize> = (0..losses.len()).collect();
    by_loss.sort_by(|&a, &b| losses[b].total_cmp(&losses[a]).then(a.cmp(&b)));
    let mut weights = vec![1.0; losses.len()];
    for &row in by_loss.iter().take(wrong.iter().filter(|wrong| **wrong).count()) {
        weights[row] = 0.0;
    }
    let columns = table.columns().map(|(name, values)| (name.to_owned(), values.to_vec()));
    let table = FeatureTable::new(columns.chain([(TRIMMED.to_owned(), weights)]).collect());
    let gradient_norm = evidence.dataset.gradient_norm().map(str::to_owned);
    Dataset::new(table.map_err(|error| data(&error))?, evidence.dataset.features().to_vec(), gradient_norm)
        .map_err(|error| data(&error))
}

/// What to train.
#[derive(Debug, Clone)]
pub struct BaselineConfig {
    /// The network with its data.
    pub target: TargetConfig,
    /// What is drawn.
    pub sampler: FixedSampler,
    /// How the draws of an epoch relate to each other, where the sampler is not uniform.
    pub draws: Replacement,
    /// What the network descends on.
    pub loss: Loss,
    /// Epochs.
    pub epochs: u32,
    /// Examples a batch.
    pub batch_size: u32,
    /// Overrides of the target's recipe.
    pub recipe: RecipeOverrides,
    /// Seeds the runs: run k has the seed of a search's k-th retraining, so that the two are paired.
    pub seed: u64,
    /// Multiplies each loss by 1 / (n p), of n examples one that is drawn with probability p: importance sampling (Katharopoulos and
    /// Fleuret 2018, Alain et al. 2015). The mean of a batch of independent draws then has the expectation of the mean over all
    /// examples, and the sampler only changes its variance. Weights are not divided by their sum in a batch, which would bias
    /// that mean; by gradient norms they make every example's gradient equally long, so none need be bounded.
    pub correction: bool,
    /// Computes the features anew by the network as it is, every so many epochs, and goes on with the sampler over them; `None`: the
    /// start network's features are kept.
    pub refresh_epochs: Option<u32>,
    /// How many networks.
    pub runs: u32,
    /// Folder for the start network and its features, where the sampler needs them.
    pub work_dir: PathBuf,
}

/// What came of it. Accuracies are shares, not percent; of language models 1 / perplexity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BaselineReport {
    /// What was trained.
    pub target: String,
    /// What accuracies measure.
    #[serde(skip_serializing_if = "Metric::is_accuracy")]
    pub metric: Metric,
    /// What was drawn.
    pub sampler: &'static str,
    /// What the networks descended on.
    pub loss: &'static str,
    /// Whether losses were multiplied by 1 / (n p).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub correction: bool,
    /// After how many epochs features were computed anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_epochs: Option<u32>,
    /// Seeds data, start network and runs.
    pub seed: u64,
    /// Epochs a run.
    pub epochs: u32,
    /// Accuracy on the test set after the last epoch.
    pub test_accuracy: Option<Summary>,
    /// Other measures of the test set.
    #[serde(flatten)]
    pub measures: Measures<Summary>,
    /// Accuracy on the validation set after the last epoch.
    pub validation_accuracy: Option<Summary>,
    /// Probability that a draw has a wrong label, where that is known and the sampler is not uniform; before any refresh.
    pub noisy_mass: Option<f64>,
    /// Time of training, with its validation, a run in seconds.
    pub seconds: Option<Summary>,
    /// The epochs of each run.
    pub runs: Vec<Vec<EpochReport>>,
}

impl BaselineReport {
    /// Writes the report for people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { target, sampler, loss, epochs, .. } = self;
        writeln!(out, "target {target}, sampler {sampler}, loss {loss}, {} runs of {epochs} epochs", self.runs.len())?;
        writeln!(
            out,
            "{:<13} {}",
            format!("test {}", self.metric.name()),
            shown(self.metric, self.test_accuracy.as_ref())
        )?;
        for (name, measure) in self.measures.named() {
            if measure.is_some() {
                writeln!(out, "{name:<13} {}", shown(self.metric, measure))?;
            }
        }
        writeln!(out, "validation    {}", shown(self.metric, self.validation_accuracy.as_ref()))?;
        if let Some(mass) = self.noisy_mass {
            writeln!(out, "noisy mass    {mass:.3}")?;
        }
        Ok(())
    }
}

/// Trains the networks one after another.
///
/// # Errors
/// [`SearcherError`] when data, features or sampler are wrong, or a training fails.
pub fn run(config: &BaselineConfig, stop: &Stop, progress: &mut Progress) -> Result<BaselineReport, SearcherError> {
    progress.measure(config.target.metric());
    let drawn = match config.sampler {
        FixedSampler::Uniform => None,
        _ => Some(Drawn::prepare(config, stop, progress)?),
    };
    let mut target = open_target(&config.target, &config.work_dir, &Places::default())?;
    let (mut tested, mut measures, mut validated, mut seconds, mut runs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..config.runs {
        let seed = seed_for(config.seed, u64::from(number), "retraining");
        let started = Instant::now();
        let mut batches: Box<dyn BatchSource> = match &drawn {
            None => Box::new(shuffled(config, target.training_examples(), seed)?),
            Some(drawn) => Box::new(drawn.batches(config, seed)?),
        };
        let outcome = train(config, target.as_mut(), seed, batches.as_mut(), stop)?;
        seconds.push(started.elapsed().as_secs_f64());
        let last = outcome.epochs.last().map_or(f64::NAN, |epoch| epoch.validation_accuracy);
        let test = outcome.test_accuracy.unwrap_or(f64::NAN);
        progress.say(&format!(
            "[{}/{}] {} by {}: {} on validation, {} on test, {:.0} s",
            number + 1,
            config.runs,
            config.sampler.name(),
            config.loss.name(),
            config.target.metric().show(last),
            config.target.metric().show(test),
            started.elapsed().as_secs_f64()
        ));
        tested.push(test);
        measures.push(outcome.measures);
        validated.push(last);
        runs.push(outcome.epochs);
    }
    Ok(BaselineReport {
        target: config.target.name().to_owned(),
        metric: config.target.metric(),
        sampler: config.sampler.name(),
        loss: config.loss.name(),
        correction: config.correction,
        refresh_epochs: config.refresh_epochs,
        seed: config.seed,
        epochs: config.epochs,
        test_accuracy: Summary::of(tested),
        measures: Measures::summarised(&measures, Summary::of),
        validation_accuracy: Summary::of(validated),
        noisy_mass: drawn.and_then(|drawn| drawn.noisy_mass),
        seconds: Summary::of(seconds),
        runs,
    })
}

fn train(
    config: &BaselineConfig,
    target: &mut dyn Target,
    seed: u64,
    batches: &mut dyn BatchSource,
    stop: &Stop,
) -> Result<crate::target::TrainingOutcome, SearcherError> {
    let run = TrainingRun {
        epochs: config.epochs,
        batch_size: config.batch_size,
        seed,
        start: Start::Scratch,
        recipe: config.recipe.clone(),
        loss: config.loss,
    };
    let mut on_epoch = |_: &EpochReport| if stop.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    Ok(target.train(&run, batches, true, &mut on_epoch)?)
}

fn shuffled(config: &BaselineConfig, examples: usize, seed: u64) -> Result<ShuffledEpochs, SearcherError> {
    let examples = u32::try_from(examples).map_err(|_too_many| {
        SearcherError::Config(format!("{examples} training examples: fewer than 2^32 are needed"))
    })?;
    Ok(ShuffledEpochs::new(examples, config.batch_size, seed))
}

/// A sampler over the features of a start network.
struct Drawn {
    evidence: Evidence,
    engine: Engine,
    noisy_mass: Option<f64>,
}

impl Drawn {
    fn prepare(config: &BaselineConfig, stop: &Stop, progress: &mut Progress) -> Result<Self, SearcherError> {
        let work_dir = WorkDir::open(&config.work_dir)?;
        let preparation = prepare(&config.target, work_dir.path(), stop, &mut |step| {
            progress.prepare(step);
            ControlFlow::Continue(())
        })?;
        let evidence = Evidence::gather(&config.target, &preparation)?;
        let (spec, dataset) = config.sampler.over(&evidence)?;
        let engine = Engine::new(dataset, &spec, JobParameters::new(config.batch_size))
            .map_err(|error| SearcherError::Data(error.to_string()))?;
        let noisy_mass =
            engine.sampler(engine.log().changes()[0].version).and_then(|sampler| evidence.noisy_mass(sampler));
        Ok(Self { evidence, engine, noisy_mass })
    }

    fn batches<'a>(&'a self, config: &'a BaselineConfig, seed: u64) -> Result<EngineBatches<'a>, SearcherError> {
        let parameters = JobParameters { seed, replacement: config.draws, ..self.engine.parameters() };
        let engine =
            self.engine.with_parameters(parameters).map_err(|error| SearcherError::Config(error.to_string()))?;
        let weights = config.correction.then(Vec::new);
        Ok(EngineBatches { engine, step: 0, weights, config, evidence: &self.evidence })
    }
}
