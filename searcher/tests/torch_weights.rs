//! Weights of another program are read by name, or refused with the names that are wrong.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::ops::ControlFlow;
use std::path::Path;

use swift_sampler_searcher::data::{DataConfig, ImageShape, idx, synthetic};
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::target::{
    Architecture, HashedFile, Loss, OtherClasses, Places, PrepareConfig, PrepareProgress, RecipeOverrides,
    ShuffledEpochs, Start, TargetError, TrainingRun,
};
use swift_sampler_searcher::torch::{Model, open_target, open_target_at, prepare};
use tch::{Device, Kind, Tensor};

const GREY_28: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

fn model(classes: usize, seed: u64) -> Model {
    Model::new(Architecture::Cnn, GREY_28, classes, seed, Device::Cpu)
}

/// Names and tensors of a model, as a program that saves them sees them.
fn state(model: &Model) -> Vec<(String, Tensor)> {
    model.names().into_iter().map(|name| (name.clone(), model.tensor(&name).unwrap().detach())).collect()
}

fn refusal(state: &[(String, Tensor)], folder: &Path) -> String {
    let path = folder.join("weights.safetensors");
    Tensor::write_safetensors(state, &path).unwrap();
    let error = model(10, 0).load_weights(&path).unwrap_err();
    assert!(
        matches!(error, TargetError::Weights { .. }) && error.to_string().contains("weights.safetensors"),
        "{error}"
    );
    error.to_string()
}

#[test]
fn weights_are_read_by_name_from_both_formats_and_what_nobody_reads_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let given = model(10, 1);
    let mut saved = state(&given);
    saved.push(("bn1.num_batches_tracked".to_owned(), Tensor::from(7_i64)));
    let (safetensors, ot) = (folder.path().join("a.safetensors"), folder.path().join("a.ot"));
    Tensor::write_safetensors(&saved, &safetensors).unwrap();
    Tensor::save_multi(&saved, &ot).unwrap();
    for path in [safetensors, ot] {
        let mut read = model(10, 2);
        assert_ne!(read.tensor("conv1.weight"), given.tensor("conv1.weight"));
        assert_eq!(read.load_weights(&path).unwrap(), None);
        for name in given.names() {
            assert_eq!(read.tensor(&name), given.tensor(&name), "{name}");
        }
        assert!(read.tensor("conv1.weight").unwrap().requires_grad());
    }
}

#[test]
fn a_last_layer_for_other_classes_stays_as_it_was_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let given = model(1000, 1);
    Tensor::write_safetensors(&state(&given), &path).unwrap();
    let mut read = model(10, 2);
    assert_eq!(read.load_weights(&path).unwrap(), Some(OtherClasses { in_file: 1000, in_data: 10 }));
    assert_eq!(read.tensor("fc.weight"), model(10, 2).tensor("fc.weight"));
    assert_eq!(read.tensor("layer3.0.conv2.weight"), given.tensor("layer3.0.conv2.weight"));
}

#[test]
fn what_is_missing_unexpected_misshapen_or_to_be_converted_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = || state(&model(10, 1));
    let mut missing = whole();
    missing.retain(|(name, _)| name != "layer2.0.conv1.weight" && name != "bn1.running_var");
    let message = refusal(&missing, folder.path());
    assert!(message.contains("it lacks bn1.running_var, layer2.0.conv1.weight"), "{message}");
    let mut unexpected = whole();
    unexpected.push(("layer9.weight".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
    assert!(refusal(&unexpected, folder.path()).contains("the network has no layer9.weight"));
    let mut misshapen = whole();
    misshapen.iter_mut().find(|(name, _)| name == "conv1.weight").unwrap().1 =
        Tensor::zeros([16, 3, 7, 7], (Kind::Float, Device::Cpu));
    let message = refusal(&misshapen, folder.path());
    assert!(message.contains("conv1.weight has shape [16, 3, 7, 7], [16, 1, 3, 3] is needed"), "{message}");

    let message = model(10, 0).load_weights(Path::new("some/resnet.pth")).unwrap_err().to_string();
    assert!(message.contains("save_file(") && message.contains("torch.load('some/resnet.pth'"), "{message}");
    assert!(
        model(10, 0).load_weights(Path::new("weights.npz")).unwrap_err().to_string().contains(".safetensors or .ot")
    );
}

#[test]
fn a_study_starts_from_weights_of_a_file_and_notices_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    idx::write_labelled(folder.path(), "train", &synthetic::blobs(200, 5, 1)).unwrap();
    idx::write_labelled(folder.path(), "t10k", &synthetic::blobs(50, 5, 2)).unwrap();
    let data =
        DataConfig { train_examples: Some(100), validation_examples: Some(50), ..DataConfig::new(folder.path()) };
    let base = PrepareConfig { epochs: 4, batch_size: 20, ..PrepareConfig::new(Architecture::Cnn, data) };
    let quietly = |config: &PrepareConfig, work: &str| {
        let mut told = Vec::new();
        let prepared = prepare(config, &folder.path().join(work), &Stop::default(), &mut |step| {
            told.push(*step);
            ControlFlow::Continue(())
        });
        prepared.map(|prepared| (prepared, told))
    };
    let (first, _) = quietly(&base, "first").unwrap();
    let weights = folder.path().join("weights.safetensors");
    std::fs::copy(&first.start, &weights).unwrap();
    let config = PrepareConfig { weights: Some(HashedFile::of_file(&weights).unwrap()), ..base.clone() };
    let (second, told) = quietly(&config, "second").unwrap();
    assert!(second.epochs[0].training_loss < 0.7 * first.epochs[0].training_loss, "{first:?} {second:?}");
    assert!(!told.iter().any(|step| matches!(step, PrepareProgress::NewClassifier(_))));

    // A retraining from scratch starts there too, wherever a worker has the file.
    let run = TrainingRun {
        epochs: 1,
        batch_size: 20,
        seed: 9,
        start: Start::Scratch,
        recipe: RecipeOverrides::default(),
        loss: Loss::CrossEntropy,
    };
    let loss_at = |places: &Places| {
        let mut target = open_target_at(&config, &folder.path().join("second"), places)?;
        let mut batches = ShuffledEpochs::new(100, 20, 9);
        let outcome = target.train(&run, &mut batches, false, &mut |_| ControlFlow::Continue(()))?;
        Ok::<f64, TargetError>(outcome.epochs[0].training_loss)
    };
    let loss = loss_at(&Places::default()).unwrap();
    assert!(loss < 0.7 * first.epochs[0].training_loss, "{loss}");
    let elsewhere = folder.path().join("elsewhere.safetensors");
    std::fs::rename(&weights, &elsewhere).unwrap();
    assert!(matches!(loss_at(&Places::default()), Err(TargetError::File { .. })));
    let places = Places { weights: Some(elsewhere.clone()), ..Places::default() };
    assert!((loss_at(&places).unwrap() - loss).abs() < 1e-12);

    // Other weights are another study.
    std::fs::copy(first.best, elsewhere).unwrap();
    Model::new(Architecture::Cnn, synthetic::blobs(1, 5, 1).shape, 5, 3, Device::Cpu)
        .save(&folder.path().join("elsewhere.safetensors"))
        .unwrap();
    assert!(matches!(loss_at(&places), Err(TargetError::OtherFile { .. })));
    let error = open_target_at(&base, &folder.path().join("first"), &places).err().unwrap();
    assert!(error.to_string().contains("random weights"), "{error}");
    assert!(open_target(&config, &folder.path().join("first")).is_err(), "the folder is of other settings");
}
