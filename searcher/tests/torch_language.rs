//! A language model learns its text, its features are those of the sequences, and every trial starts from the same point.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::ops::ControlFlow;
use std::path::Path;

use swift_sampler_searcher::features_file;
use swift_sampler_searcher::language::{GptSize, LanguageConfig, TextConfig, TokenKind};
use swift_sampler_searcher::randomness::Randomness;
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::target::{
    Checkpoint, EpochReport, Loss, Places, Prepared, RecipeOverrides, ShuffledEpochs, Start, Target, TargetError,
    TrainingOutcome, TrainingRun,
};
use swift_sampler_searcher::torch::language::{open_target, prepare};

/// Different words of the text.
const WORDS: u32 = 16;
/// Training sequences.
const TRAIN: u32 = 240;

/// A text in which one of two words follows each, so that its perplexity is 2, and 16 to who knows frequencies alone.
fn text(words: u32) -> String {
    let mut randomness = Randomness::new(3);
    let mut word = 0;
    (0..words)
        .map(|_| {
            word = (3 * word + if randomness.uniform() < 0.5 { 1 } else { 6 }) % WORDS;
            format!("w{word} ")
        })
        .collect()
}

fn setup() -> (tempfile::TempDir, LanguageConfig) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.txt"), text(2400)).unwrap();
    let recipe = RecipeOverrides { learning_rate: Some(0.01), ..RecipeOverrides::default() };
    let data = TextConfig { context: 8, ..TextConfig::new(folder.path(), TokenKind::Words) };
    let config = LanguageConfig {
        network: GptSize { layers: 1, heads: 2, width: 32 },
        data,
        epochs: 6,
        batch_size: 10,
        seed: 0,
        recipe,
        features_from: Checkpoint::Best,
    };
    (folder, config)
}

fn prepare_quietly(config: &LanguageConfig, work_dir: &Path) -> Prepared {
    prepare(config, work_dir, &Stop::default(), &mut |_| ControlFlow::Continue(())).unwrap()
}

fn open(config: &LanguageConfig, work_dir: &Path) -> Box<dyn Target> {
    open_target(config, work_dir, &Places::default()).unwrap()
}

fn run(start: Start, epochs: u32) -> TrainingRun {
    let recipe = RecipeOverrides { learning_rate: Some(0.01), ..RecipeOverrides::default() };
    TrainingRun { epochs, batch_size: 10, seed: 5, start, recipe, loss: Loss::CrossEntropy }
}

fn train(target: &mut dyn Target, run: &TrainingRun) -> Result<TrainingOutcome, TargetError> {
    let mut batches = ShuffledEpochs::new(TRAIN, run.batch_size, 9);
    target.train(run, &mut batches, true, &mut |_| ControlFlow::Continue(()))
}

/// What must not depend on the clock.
fn numbers(epochs: &[EpochReport]) -> Vec<(u32, f64, f64)> {
    epochs.iter().map(|epoch| (epoch.epoch, epoch.training_loss, epoch.validation_accuracy)).collect()
}

#[test]
fn a_language_model_learns_its_text_and_repeats_itself() {
    let (folder, config) = setup();
    let work_dir = folder.path().join("work");
    let prepared = prepare_quietly(&config, &work_dir);
    // Frequencies alone give a perplexity of nearly 16, the text has 2.
    let perplexity = 1.0 / prepared.epochs.last().unwrap().validation_accuracy;
    assert!((1.9..4.0).contains(&perplexity), "{perplexity}");

    let mut target = open(&config, &work_dir);
    assert_eq!(target.training_examples(), TRAIN as usize);
    let first = train(&mut *target, &run(Start::Last, 2)).unwrap();
    let again = train(&mut *target, &run(Start::Last, 2)).unwrap();
    assert_eq!(numbers(&first.epochs), numbers(&again.epochs));
    assert_eq!(first.test_accuracy, again.test_accuracy);
    assert!(first.test_accuracy.unwrap() > 0.25, "{first:?}");
    let scratch = train(&mut *target, &run(Start::Scratch, 1)).unwrap();
    assert!(scratch.epochs[0].training_loss > first.epochs[0].training_loss);
    let other_loss = TrainingRun { loss: Loss::Focal, ..run(Start::Last, 1) };
    assert!(matches!(train(&mut *target, &other_loss), Err(TargetError::InvalidRun { field: "loss", .. })));
}

#[test]
fn features_are_one_row_a_sequence_and_are_made_again_from_another_checkpoint() {
    let (folder, config) = setup();
    let work_dir = folder.path().join("work");
    let prepared = prepare_quietly(&config, &work_dir);
    let table = features_file::read(&prepared.features).unwrap();
    assert_eq!(table.names(), ["word_frequency", "loss", "perplexity", "grad_norm"]);
    let column = |name: &str| table.column(name).unwrap().to_vec();
    assert_eq!(table.rows(), TRAIN as usize);
    let corpus = config.data.load().unwrap();
    assert_eq!(column("word_frequency"), corpus.train.mean_log_frequencies());
    let (loss, perplexity) = (column("loss"), column("perplexity"));
    assert!(loss.iter().zip(&perplexity).all(|(loss, perplexity)| (loss.exp() - perplexity).abs() < 1e-9));
    let mean = loss.iter().sum::<f64>() / f64::from(TRAIN);
    assert!((0.6..1.4).contains(&mean), "{mean}: the text has ln 2 = 0.69");
    assert!(column("grad_norm").iter().all(|norm| *norm > 0.0));

    let again = prepare(&config, &work_dir, &Stop::default(), &mut |_| panic!("nothing is left to do")).unwrap();
    assert!(again.reused);
    let mean_of_epochs = LanguageConfig { features_from: Checkpoint::Mean, ..config.clone() };
    let averaged = features_file::read(&prepare_quietly(&mean_of_epochs, &work_dir).features).unwrap();
    let averaged_mean = averaged.column("loss").unwrap().iter().sum::<f64>() / f64::from(TRAIN);
    assert!(averaged_mean > mean, "{averaged_mean}, {mean}: earlier epochs know less");
}

#[test]
fn a_worker_elsewhere_needs_the_same_text() {
    let (folder, config) = setup();
    let work_dir = folder.path().join("work");
    prepare_quietly(&LanguageConfig { epochs: 1, ..config.clone() }, &work_dir);
    let config = LanguageConfig { epochs: 1, ..config };
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("other.txt");
    let places = Places { data: Some(path.clone()), ..Places::default() };
    std::fs::write(&path, text(2400)).unwrap();
    open_target(&config, &work_dir, &places).map(|_| ()).unwrap();
    std::fs::write(&path, text(2300)).unwrap();
    let other = open_target(&config, &work_dir, &places).map(|_| ());
    assert!(matches!(other, Err(TargetError::OtherData { .. })));
    let wider = LanguageConfig { network: GptSize { width: 64, ..config.network }, ..config };
    let refused = open_target(&wider, &work_dir, &Places::default()).map(|_| ());
    assert!(matches!(refused, Err(TargetError::File { .. })));
}
