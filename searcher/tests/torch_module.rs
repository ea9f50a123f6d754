//! Modules written by PyTorch are trained as they stand, and files that are none are refused with the way to make one.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use swift_sampler_searcher::data::{DataConfig, ImageShape, idx, synthetic};
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::target::{
    EpochReport, Feature, HashedFile, InputScale, Loss, Network, Places, PrepareConfig, PrepareProgress,
    RecipeOverrides, ShuffledEpochs, Start, Target, TargetError, TrainingOutcome, TrainingRun,
};
use swift_sampler_searcher::torch::{
    DeviceImages, FeatureColumns, FeatureRequest, Model, features_of, open_target, open_target_at, prepare,
};
use tch::{Device, Kind, Tensor};

const TRAIN: u32 = 200;
const CLASSES: usize = 5;
const IMAGES: ImageShape = ImageShape { channels: 1, height: 12, width: 12 };

/// A module that tests/fixtures/modules/make_modules.py wrote.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/modules").join(name)
}

fn module(name: &str) -> Result<Model, TargetError> {
    Model::of_module(&HashedFile::of_file(fixture(name))?, IMAGES, CLASSES, Device::Cpu)
}

/// libtorch's random numbers are a process's, which trains one network at a time; a test holds this while it trains.
static TRAINING: Mutex<()> = Mutex::new(());

fn setup(name: &str) -> (tempfile::TempDir, PrepareConfig, MutexGuard<'static, ()>) {
    let alone = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    idx::write_labelled(folder.path(), "train", &synthetic::blobs(300, 5, 1)).unwrap();
    idx::write_labelled(folder.path(), "t10k", &synthetic::blobs(100, 5, 2)).unwrap();
    let data = DataConfig {
        train_examples: Some(TRAIN as usize),
        validation_examples: Some(100),
        label_noise: 0.2,
        ..DataConfig::new(folder.path())
    };
    let recipe = RecipeOverrides { learning_rate: Some(0.05), ..RecipeOverrides::default() };
    let network = Network::Module(HashedFile::of_file(fixture(name)).unwrap());
    let config = PrepareConfig { epochs: 5, batch_size: 20, recipe, ..PrepareConfig::new(network, data) };
    (folder, config, alone)
}

fn prepare_told(config: &PrepareConfig, work_dir: &Path) -> Vec<PrepareProgress> {
    let mut told = Vec::new();
    prepare(config, work_dir, &Stop::default(), &mut |step| {
        told.push(*step);
        ControlFlow::Continue(())
    })
    .unwrap();
    told
}

fn train(target: &mut dyn Target, start: Start, seed: u64) -> TrainingOutcome {
    let recipe = RecipeOverrides { learning_rate: Some(0.05), ..RecipeOverrides::default() };
    let run = TrainingRun { epochs: 2, batch_size: 20, seed, start, recipe, loss: Loss::CrossEntropy };
    let mut batches = ShuffledEpochs::new(TRAIN, run.batch_size, 9);
    target.train(&run, &mut batches, true, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// What must not depend on the clock.
fn numbers(outcome: &TrainingOutcome) -> Vec<(f64, f64)> {
    outcome.epochs.iter().map(|epoch: &EpochReport| (epoch.training_loss, epoch.validation_accuracy)).collect()
}

#[test]
fn a_module_learns_and_every_trial_starts_from_the_same_weights_buffers_and_dropout() {
    let (folder, config, _alone) = setup("batch_norm_and_dropout.pt");
    let work_dir = folder.path().join("work");
    let told = prepare_told(&config, &work_dir);
    assert!(!told.contains(&PrepareProgress::GradientNormOfLogits), "its last layer is linear");
    let mut target = open_target(&config, &work_dir).unwrap();
    let first = train(&mut *target, Start::Last, 5);
    assert!(first.test_accuracy.unwrap() > 0.7, "{first:?}");
    assert_eq!(numbers(&first), numbers(&train(&mut *target, Start::Last, 5)));
    // And another process would see the same.
    let mut other = open_target(&config, &work_dir).unwrap();
    assert_eq!(numbers(&first), numbers(&train(&mut *other, Start::Last, 5)));
    // Dropout follows the seed of the trial.
    assert_ne!(numbers(&first), numbers(&train(&mut *target, Start::Last, 6)));
    // From scratch means the weights of the file, which know less than the start network's.
    let scratch = train(&mut *target, Start::Scratch, 5);
    assert!(scratch.epochs[0].training_loss > first.epochs[0].training_loss + 0.2, "{scratch:?}");
}

#[test]
fn checkpoints_hold_buffers_and_what_is_not_trained() {
    let model = module("traced_convolutional.pt").unwrap();
    let (folder, config, _alone) = setup("traced_convolutional.pt");
    let told = prepare_told(&config, folder.path());
    assert!(told.contains(&PrepareProgress::GradientNormOfLogits), "a convolution comes last: {told:?}");
    let mut trained = module("traced_convolutional.pt").unwrap();
    trained.load(&folder.path().join("start.pt")).unwrap();
    let [frozen, moved] = ["0|weight", "3|weight"];
    assert_eq!(model.tensor(frozen), trained.tensor(frozen), "a layer that requires no gradient moved");
    assert_ne!(model.tensor(moved), trained.tensor(moved), "nothing was trained");
    assert!(!trained.tensor(frozen).unwrap().requires_grad());
    assert!(trained.tensor(moved).unwrap().requires_grad());
}

fn features(name: &str) -> FeatureColumns {
    let images = DeviceImages::new(&synthetic::blobs(60, 5, 3), InputScale::Standardised, Device::Cpu);
    features_of(&module(name).unwrap(), &images, CLASSES, &FeatureRequest::default(), &mut |_| Ok(())).unwrap()
}

#[test]
fn the_gradient_norm_is_the_same_whether_a_module_returns_its_hidden_layer_or_not() {
    let (given, found) = (features("with_hidden.pt"), features("logits_only.pt"));
    assert!(given.gradient_norm_with_hidden && found.gradient_norm_with_hidden);
    for feature in [Feature::Loss, Feature::Entropy] {
        assert_eq!(given.column(feature), found.column(feature));
    }
    for (given, found) in given.column(Feature::GradNorm).iter().zip(found.column(Feature::GradNorm)) {
        assert!((given - found).abs() < 1e-5 * given, "{given} against {found}");
    }
    // And as automatic differentiation has it, for the first example.
    let model = module("logits_only.pt").unwrap();
    let images = synthetic::blobs(60, 5, 3);
    let pixels: Vec<f64> = images.pixels.bytes().unwrap().iter().map(|&pixel| f64::from(pixel) / 255.0).collect();
    let pixels = Tensor::from_slice(&pixels);
    let image = ((&pixels - pixels.mean(Kind::Double)) / pixels.std(false)).to_kind(Kind::Float);
    let logits = model.forward(&image.reshape([-1, 1, 12, 12]).get(0).unsqueeze(0), false).unwrap().logits;
    let loss = logits.cross_entropy_for_logits(&Tensor::from_slice(&[i64::from(images.labels[0])]));
    let (weight, bias) = (model.tensor("last|weight").unwrap(), model.tensor("last|bias").unwrap());
    let gradients = Tensor::run_backward(&[loss], &[&weight, &bias], false, false);
    let squares: f64 = gradients.iter().map(|gradient| gradient.square().sum(Kind::Double).double_value(&[])).sum();
    assert!((squares.sqrt() - found.column(Feature::GradNorm)[0]).abs() < 1e-5 * squares.sqrt());
}

#[test]
fn what_is_no_module_for_the_data_is_refused_with_what_would_be_right() {
    let refusal = |result: Result<Model, TargetError>| match result.err() {
        Some(error @ TargetError::Module { .. }) => error.to_string(),
        other => panic!("not refused as a module: {other:?}"),
    };
    let message = refusal(module("state_dict.pt"));
    assert!(
        message.contains("state_dict") && message.contains("torch.jit.script(model).save(\"model.pt\")"),
        "{message}"
    );
    let message = refusal(module("make_modules.py"));
    assert!(message.contains("not a TorchScript file"), "{message}");
    let message = refusal(module("nothing_to_train.pt"));
    assert!(message.contains("requires a gradient"), "{message}");
    // Vectors of 6 features where images of 144 pixels come.
    let message = refusal(module("vectors.pt"));
    assert!(message.contains("[2, 1, 12, 12]") && message.contains("vectors.pt"), "{message}");
    assert!(!message.contains("Exception raised from"), "the C++ stack is shown: {message}");
    let config = HashedFile::of_file(fixture("with_hidden.pt")).unwrap();
    let message = refusal(Model::of_module(&config, IMAGES, 8, Device::Cpu));
    assert!(message.contains("5 classes apart, the data has 8"), "{message}");
    let truncated = tempfile::tempdir().unwrap();
    let path = truncated.path().join("half.pt");
    let bytes = std::fs::read(fixture("with_hidden.pt")).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let config = HashedFile::of_file(&path).unwrap();
    let message = refusal(Model::of_module(&config, IMAGES, CLASSES, Device::Cpu));
    assert!(message.contains("half.pt") && message.contains("cut off"), "{message}");
}

#[test]
fn another_file_under_the_same_name_is_not_trained() {
    let (folder, mut config, _alone) = setup("with_hidden.pt");
    let path = folder.path().join("model.pt");
    std::fs::copy(fixture("with_hidden.pt"), &path).unwrap();
    config.target = Network::Module(HashedFile::of_file(&path).unwrap());
    prepare_told(&config, &folder.path().join("work"));
    std::fs::copy(fixture("logits_only.pt"), &path).unwrap();
    let mut target = open_target(&config, &folder.path().join("work")).unwrap();
    let run = TrainingRun {
        epochs: 1,
        batch_size: 20,
        seed: 1,
        start: Start::Last,
        recipe: RecipeOverrides::default(),
        loss: Loss::CrossEntropy,
    };
    let mut batches = ShuffledEpochs::new(TRAIN, 20, 1);
    let error = target.train(&run, &mut batches, false, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, TargetError::OtherFile { .. }), "{error}");
}

#[test]
fn a_worker_finds_data_and_module_elsewhere_if_their_content_is_the_same() {
    let (folder, mut config, _alone) = setup("with_hidden.pt");
    let path = folder.path().join("model.pt");
    std::fs::copy(fixture("with_hidden.pt"), &path).unwrap();
    config.target = Network::Module(HashedFile::of_file(&path).unwrap());
    let work_dir = folder.path().join("work");
    prepare_told(&config, &work_dir);
    let expected = train(&mut *open_target(&config, &work_dir).unwrap(), Start::Last, 5);

    let elsewhere = tempfile::tempdir().unwrap();
    for name in
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
    {
        std::fs::rename(folder.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    std::fs::rename(&path, elsewhere.path().join("other-name.pt")).unwrap();
    let places = Places {
        data: Some(elsewhere.path().to_owned()),
        module: Some(elsewhere.path().join("other-name.pt")),
        weights: None,
    };
    let mut target = open_target_at(&config, &work_dir, &places).unwrap();
    assert_eq!(numbers(&train(&mut *target, Start::Last, 5)), numbers(&expected));

    // Other test images are other data.
    idx::write_labelled(elsewhere.path(), "t10k", &synthetic::blobs(100, 5, 3)).unwrap();
    let error = open_target_at(&config, &work_dir, &places).err().unwrap();
    assert!(matches!(error, TargetError::OtherData { .. }), "{error}");
}
