//! The start network is prepared once, and every trial starts from exactly the same point.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::ops::ControlFlow;
use std::path::Path;

use swift_sampler_searcher::data::{DataConfig, HeldOutClasses, idx, synthetic};
use swift_sampler_searcher::features_file;
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::target::{
    Architecture, BatchSource, Checkpoint, EpochReport, Evaluation, Feature, Head, Loss, PrepareConfig,
    PrepareProgress, Prepared, RecipeOverrides, ShuffledEpochs, Start, Target, TargetError, TrainingOutcome,
    TrainingRun,
};
use swift_sampler_searcher::torch::{open_target, prepare};

const TRAIN: u32 = 200;

/// A folder of synthetic images in IDX files, and a configuration that prepares within a second.
fn setup(architecture: Architecture) -> (tempfile::TempDir, PrepareConfig) {
    let folder = tempfile::tempdir().unwrap();
    idx::write_labelled(folder.path(), "train", &synthetic::blobs(300, 5, 1)).unwrap();
    idx::write_labelled(folder.path(), "t10k", &synthetic::blobs(100, 5, 2)).unwrap();
    let data = DataConfig {
        train_examples: Some(TRAIN as usize),
        validation_examples: Some(100),
        label_noise: 0.2,
        ..DataConfig::new(folder.path())
    };
    let recipe = RecipeOverrides { weight_decay: Some(0.0), ..RecipeOverrides::default() };
    let config = PrepareConfig { epochs: 3, batch_size: 20, recipe, ..PrepareConfig::new(architecture, data) };
    (folder, config)
}

fn prepare_quietly(config: &PrepareConfig, work_dir: &Path) -> Prepared {
    prepare(config, work_dir, &Stop::default(), &mut |_| ControlFlow::Continue(())).unwrap()
}

fn run(start: Start, epochs: u32) -> TrainingRun {
    TrainingRun { epochs, batch_size: 20, seed: 5, start, recipe: RecipeOverrides::default(), loss: Loss::CrossEntropy }
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
fn a_target_learns_and_repeats_itself_whatever_ran_before() {
    for architecture in [Architecture::Mlp, Architecture::Cnn] {
        let (folder, config) = setup(architecture);
        let work_dir = folder.path().join("work");
        prepare_quietly(&config, &work_dir);
        let mut target = open_target(&config, &work_dir).unwrap();
        assert_eq!(target.training_examples(), TRAIN as usize);
        // Two epochs and then another two from the same start agree only if weights, batch-norm buffers and momentum
        // are all put back.
        let first = train(&mut *target, &run(Start::Last, 2)).unwrap();
        let again = train(&mut *target, &run(Start::Last, 2)).unwrap();
        assert_eq!(numbers(&first.epochs), numbers(&again.epochs), "{}", architecture.name());
        assert_eq!(first.test_accuracy, again.test_accuracy);
        assert!(first.test_accuracy.unwrap() > 0.7, "{first:?}");
        // And another process would see the same.
        let mut other = open_target(&config, &work_dir).unwrap();
        assert_eq!(numbers(&train(&mut *other, &run(Start::Last, 2)).unwrap().epochs), numbers(&first.epochs));
    }
}

#[test]
fn starts_differ_and_scratch_follows_the_seed() {
    let (folder, config) = setup(Architecture::Mlp);
    let work_dir = folder.path().join("work");
    let prepared = prepare_quietly(&config, &work_dir);
    assert_eq!(prepared.epochs.len(), 3);
    let mut target = open_target(&config, &work_dir).unwrap();
    let mut losses = Vec::new();
    for start in [Start::Scratch, Start::Last] {
        losses.push(train(&mut *target, &run(start, 1)).unwrap().epochs[0].training_loss);
    }
    assert!(losses[0] > losses[1], "{losses:?}");
    let mut other_seed = run(Start::Scratch, 1);
    other_seed.seed = 6;
    let other = train(&mut *target, &other_seed).unwrap().epochs[0].training_loss;
    assert!((other - losses[0]).abs() > 1e-9);
}

#[test]
fn a_training_from_the_same_seed_as_the_start_network_goes_the_same_way() {
    let (folder, config) = setup(Architecture::Cnn);
    let work_dir = folder.path().join("work");
    let prepared = prepare_quietly(&config, &work_dir);
    let mut target = open_target(&config, &work_dir).unwrap();
    let run = TrainingRun {
        epochs: 3,
        batch_size: 20,
        seed: config.seed,
        start: Start::Scratch,
        recipe: config.recipe,
        loss: Loss::CrossEntropy,
    };
    let mut batches = ShuffledEpochs::new(TRAIN, 20, config.seed);
    let outcome = target.train(&run, &mut batches, false, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(numbers(&outcome.epochs), numbers(&prepared.epochs));
    assert_eq!(outcome.test_accuracy, None, "the test set is not looked at unless asked");
}

#[test]
fn finished_files_are_reused_and_others_made_again() {
    let (folder, config) = setup(Architecture::Mlp);
    let work_dir = folder.path().join("work");
    let first = prepare_quietly(&config, &work_dir);
    assert!(!first.reused && first.start.is_file() && first.best.is_file() && first.features.is_file());
    let features = std::fs::read(&first.features).unwrap();
    let again = prepare(&config, &work_dir, &Stop::default(), &mut |_| panic!("nothing is left to do")).unwrap();
    assert!(again.reused);

    // Other features of the same network: it is not trained again.
    let last = PrepareConfig { features_from: Checkpoint::Last, ..config.clone() };
    let mut trained = 0;
    prepare(&last, &work_dir, &Stop::default(), &mut |progress| {
        trained += u32::from(matches!(progress, PrepareProgress::Epoch { .. }));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(trained, 0);

    // A lost file is made again, as it was.
    prepare_quietly(&config, &work_dir);
    std::fs::remove_file(&first.features).unwrap();
    assert!(!prepare_quietly(&config, &work_dir).reused);
    assert_eq!(std::fs::read(&first.features).unwrap(), features);

    // Another seed is another network; until it is prepared, the folder is refused.
    let other = PrepareConfig { seed: 1, ..config };
    assert!(matches!(open_target(&other, &work_dir).err(), Some(TargetError::File { .. })));
    prepare_quietly(&other, &work_dir);
    assert_ne!(std::fs::read(&first.features).unwrap(), features);
}

#[test]
fn an_interrupted_preparation_leaves_nothing_that_looks_finished() {
    let (folder, config) = setup(Architecture::Mlp);
    let work_dir = folder.path().join("work");
    let interrupted = prepare(&config, &work_dir, &Stop::default(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(interrupted, Err(TargetError::Interrupted)));
    let prepared = prepare_quietly(&config, &work_dir);
    assert!(!prepared.reused);
    assert_eq!(prepared.epochs.len(), 3);
}

#[test]
fn a_run_that_diverges_is_infeasible() {
    let (folder, config) = setup(Architecture::Mlp);
    let work_dir = folder.path().join("work");
    prepare_quietly(&config, &work_dir);
    let mut target = open_target(&config, &work_dir).unwrap();
    let mut diverging = run(Start::Last, 5);
    diverging.recipe.learning_rate = Some(1e12);
    let error = train(&mut *target, &diverging).unwrap_err();
    assert!(matches!(error, TargetError::Infeasible { .. }), "{error}");
    // The next trial does not notice.
    assert!(train(&mut *target, &run(Start::Last, 1)).is_ok());
}

#[test]
fn runs_end_when_told_and_bad_runs_are_refused() {
    let (folder, config) = setup(Architecture::Mlp);
    let work_dir = folder.path().join("work");
    let mut target = open_target(&config, &work_dir).unwrap();
    let mut batches = ShuffledEpochs::new(TRAIN, 20, 9);
    let mut epochs = 0;
    let result = target.train(&run(Start::Scratch, 5), &mut batches, false, &mut |_| {
        epochs += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(result, Err(TargetError::Interrupted)));
    assert_eq!(epochs, 1);

    // Nothing was prepared.
    let error = train(&mut *target, &run(Start::Last, 1)).unwrap_err();
    assert!(error.to_string().contains("start.safetensors"), "{error}");
    let error = train(&mut *target, &run(Start::Scratch, 0)).unwrap_err();
    assert!(matches!(error, TargetError::InvalidRun { field: "epochs", .. }), "{error}");
    let mut negative = run(Start::Scratch, 1);
    negative.recipe.learning_rate = Some(-1.0);
    let error = train(&mut *target, &negative).unwrap_err();
    assert!(matches!(error, TargetError::InvalidRun { field: "learning_rate", .. }), "{error}");
}

#[test]
fn a_batch_of_another_dataset_is_refused() {
    struct Foreign;
    impl BatchSource for Foreign {
        fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
            indices.clear();
            indices.extend([0, TRAIN]);
            Ok(())
        }
    }
    let (folder, config) = setup(Architecture::Mlp);
    let mut target = open_target(&config, folder.path()).unwrap();
    let result = target.train(&run(Start::Scratch, 1), &mut Foreign, false, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(TargetError::IndexOutOfRange { index: TRAIN, examples: 200 })));
}

#[test]
fn features_are_those_asked_for_and_the_start_network_is_trained_again_only_where_they_need_its_epochs() {
    let (folder, mut config) = setup(Architecture::Mlp);
    let work_dir = folder.path().join("work");
    let first = prepare_quietly(&config, &work_dir);
    let start = std::fs::read(&first.start).unwrap();
    let columns = |prepared: &Prepared| features_file::read(&prepared.features).unwrap().names().to_vec();
    assert_eq!(columns(&first), ["loss", "entropy", "grad_norm"]);
    let trains = |config: &PrepareConfig| {
        let mut epochs = 0;
        let prepared = prepare(config, &work_dir, &Stop::default(), &mut |step| {
            epochs += u32::from(matches!(step, PrepareProgress::Epoch { .. }));
            ControlFlow::Continue(())
        });
        (prepared.unwrap(), epochs)
    };
    config.extra_features = vec![Feature::Margin, Feature::Density];
    let (prepared, epochs) = trains(&config);
    assert_eq!((columns(&prepared).len(), epochs, prepared.reused), (5, 0, false), "a checkpoint is enough");
    assert!(trains(&config).0.reused);
    config.extra_features = vec![Feature::Forgetting];
    let (prepared, epochs) = trains(&config);
    assert_eq!(
        (columns(&prepared), epochs),
        (["loss", "entropy", "grad_norm", "forgetting"].map(str::to_owned).to_vec(), 3)
    );
    let table = features_file::read(&prepared.features).unwrap();
    let forgetting = table.column("forgetting").unwrap();
    assert!(forgetting.iter().all(|count| [0.0, 1.0, 4.0].contains(count)), "{forgetting:?}");
    assert!(forgetting.contains(&0.0) && forgetting.contains(&4.0), "some labels are wrong and never learned");
    assert_eq!(std::fs::read(&prepared.start).unwrap(), start, "watching changes nothing");
}

/// Data of sixteen classes, of which networks train on twelve.
fn held_out(evaluation: Evaluation, head: Head) -> (tempfile::TempDir, PrepareConfig) {
    let (folder, config) = setup(Architecture::Mlp);
    idx::write_labelled(folder.path(), "train", &synthetic::blobs(800, 16, 1)).unwrap();
    idx::write_labelled(folder.path(), "t10k", &synthetic::blobs(400, 16, 2)).unwrap();
    let classes = HeldOutClasses::Listed { validation: vec![1, 4], test: vec![6, 7] };
    let data = DataConfig {
        train_examples: None,
        validation_examples: None,
        held_out_classes: Some(classes),
        label_noise: 0.0,
        ..config.data.clone()
    };
    let config = PrepareConfig { data, evaluation, head, epochs: 4, ..config };
    (folder, config)
}

#[test]
fn networks_are_scored_on_episodes_of_classes_that_they_never_saw() {
    let (folder, config) =
        held_out(Evaluation::Episodes { ways: 2, shots: 1, queries: 5, episodes: 100 }, Head::Linear);
    let work_dir = folder.path().join("work");
    prepare_quietly(&config, &work_dir);
    let mut target = open_target(&config, &work_dir).unwrap();
    assert_eq!(target.training_examples(), 600);
    let run = run(Start::Last, 2);
    let mut batches = ShuffledEpochs::new(600, 20, 9);
    let outcome = target.train(&run, &mut batches, true, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(outcome.test_accuracy.unwrap() > 0.65, "{outcome:?}");
    // A loss that looks at the validation set's labels would compare other classes.
    let reweighted = TrainingRun { loss: Loss::LearningToReweight, ..run };
    let error = target.train(&reweighted, &mut batches, false, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("classes that are trained on"), "{error}");
}

#[test]
fn embeddings_trained_with_a_margin_tell_pairs_apart() {
    let (folder, config) = held_out(Evaluation::Verification { pairs: 400, test_pairs: None }, Head::MARGIN);
    // Squares in other places than those of training look like nothing to this network: the same classes then.
    let config = PrepareConfig { data: DataConfig { held_out_classes: None, ..config.data.clone() }, ..config };
    let epochs = prepare_quietly(&config, &folder.path().join("work")).epochs;
    assert!(epochs.last().unwrap().validation_accuracy > 0.9, "{epochs:?}");
}

#[test]
fn a_margin_makes_training_harder_than_its_cosines_are() {
    let (folder, config) = held_out(Evaluation::Verification { pairs: 100, test_pairs: None }, Head::MARGIN);
    let plain = PrepareConfig { head: Head::Margin { scale: 30.0, margin: 0.0 }, ..config.clone() };
    let first_loss =
        |config: &PrepareConfig, name: &str| prepare_quietly(config, &folder.path().join(name)).epochs[0].training_loss;
    let (harder, plain) = (first_loss(&config, "margin"), first_loss(&plain, "plain"));
    assert!(harder > 1.3 * plain, "{harder} with a margin, {plain} without");
}
