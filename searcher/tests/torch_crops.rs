//! A network is prepared and trained on a bank of crops.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::ops::ControlFlow;

use swift_sampler_searcher::data::crops::columns;
use swift_sampler_searcher::data::{CropConfig, DataConfig, idx, synthetic};
use swift_sampler_searcher::features_file;
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::target::{
    Architecture, Feature, InputScale, Loss, PrepareConfig, RecipeOverrides, ShuffledEpochs, Start, TrainingRun,
};
use swift_sampler_searcher::torch::{DeviceImages, FeatureRequest, Model, features_of, open_target, prepare};
use tch::Device;

#[test]
fn each_crop_has_features_of_its_own_beside_its_box_and_networks_train_on_the_bank() {
    let folder = tempfile::tempdir().unwrap();
    idx::write_labelled(folder.path(), "train", &synthetic::blobs(300, 5, 1)).unwrap();
    idx::write_labelled(folder.path(), "t10k", &synthetic::blobs(100, 5, 2)).unwrap();
    let data = DataConfig {
        train_examples: Some(100),
        validation_examples: Some(100),
        label_noise: 0.2,
        crops: Some(CropConfig { size: Some(8), ..CropConfig::new(4) }),
        ..DataConfig::new(folder.path())
    };
    let config = PrepareConfig { epochs: 2, batch_size: 20, ..PrepareConfig::new(Architecture::Cnn, data) };
    let work_dir = folder.path().join("work");
    let prepared = prepare(&config, &work_dir, &Stop::default(), &mut |_| ControlFlow::Continue(())).unwrap();

    let split = config.data.load().unwrap();
    let bank = split.crops.clone().unwrap();
    let table = features_file::read(&prepared.features).unwrap();
    for (name, values) in columns(&bank.crops) {
        assert_eq!(table.column(name).unwrap(), values, "{name}");
    }
    let mut model = Model::blank(Architecture::Cnn, bank.shape, 5, Device::Cpu);
    model.load(&prepared.best).unwrap();
    let images = DeviceImages::of_crops(&split.train, bank, InputScale::Standardised, Device::Cpu);
    let expected = features_of(&model, &images, 5, &FeatureRequest::from(&config), &mut |_| Ok(())).unwrap();
    let loss = table.column("loss").unwrap();
    assert_eq!(loss, expected.column(Feature::Loss));
    assert!(loss.chunks(4).all(|of_image| of_image.iter().any(|&loss| (loss - of_image[0]).abs() > 1e-6)));

    let mut target = open_target(&config, &work_dir).unwrap();
    assert_eq!(target.training_examples(), 400);
    let run = TrainingRun {
        epochs: 1,
        batch_size: 20,
        seed: 5,
        start: Start::Last,
        recipe: RecipeOverrides::default(),
        loss: Loss::MentornetDd,
    };
    let mut batches = ShuffledEpochs::new(400, 20, 9);
    let outcome = target.train(&run, &mut batches, true, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(outcome.test_accuracy.unwrap() > 0.1, "{outcome:?}");

    // Other crops are another preparation.
    let other = PrepareConfig { data: DataConfig { crops: Some(CropConfig::new(4)), ..config.data.clone() }, ..config };
    assert!(open_target(&other, &work_dir).err().unwrap().to_string().contains("other settings"));
}
