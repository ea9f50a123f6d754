//! Crops as training examples: what belongs to an image is shared by its crops, and columns of the user's have a row an image.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::fmt::Write as _;
use std::path::Path;

use swift_sampler_searcher::columns::join;
use swift_sampler_searcher::data::{CropConfig, DataConfig, Split, idx, synthetic};
use swift_sampler_searcher::features_file;
use swift_sampler_searcher::preparation::TargetConfig;
use swift_sampler_searcher::target::{Architecture, PrepareConfig};

const IMAGES: usize = 300;
const TRAIN: usize = 200;
const PER_IMAGE: u32 = 3;

/// Synthetic images in `folder`, most of them cropped to train on.
fn target_in(folder: &Path) -> (TargetConfig, Split) {
    idx::write_labelled(folder, "train", &synthetic::blobs(IMAGES, 5, 1)).unwrap();
    idx::write_labelled(folder, "t10k", &synthetic::blobs(50, 5, 2)).unwrap();
    let data = DataConfig {
        train_examples: Some(TRAIN),
        validation_examples: Some(100),
        label_noise: 0.25,
        crops: Some(CropConfig::new(PER_IMAGE)),
        ..DataConfig::new(folder)
    };
    let split = data.load().unwrap();
    (TargetConfig::Network(Box::new(PrepareConfig::new(Architecture::Cnn, data))), split)
}

#[test]
fn label_noise_and_rows_are_those_of_the_image_for_each_of_its_crops() {
    let folder = tempfile::tempdir().unwrap();
    let (target, split) = target_in(folder.path());
    let crops = &split.crops.as_ref().unwrap().crops;
    assert_eq!((crops.len(), split.train.len()), (TRAIN * PER_IMAGE as usize, TRAIN));
    let wrong = target.wrong_labels().unwrap().unwrap();
    let of_images = split.train.wrong_labels();
    // A quarter of each class, rounded.
    assert!(of_images.iter().filter(|wrong| **wrong).count().abs_diff(TRAIN / 4) < 4);
    let (rows, source_rows) = target.training_rows().unwrap();
    assert_eq!((rows.len(), source_rows), (crops.len(), IMAGES));
    for (example, crop) in crops.iter().enumerate() {
        let image = crop.image as usize;
        assert_eq!((wrong[example], rows[example]), (of_images[image], split.train_rows[image]));
    }
}

#[test]
fn studies_of_before_have_no_crops_and_those_of_whole_images_say_nothing_of_them() {
    let whole = DataConfig::new("images");
    let stored = serde_json::to_value(&whole).unwrap();
    assert!(stored.get("crops").is_none(), "{stored}");
    assert_eq!(serde_json::from_value::<DataConfig>(stored).unwrap(), whole);
    let cropped = DataConfig { crops: Some(CropConfig::new(2)), ..whole };
    let stored = serde_json::to_value(&cropped).unwrap();
    assert_eq!(stored["crops"], serde_json::json!({ "per_image": 2, "scale": [0.08, 1.0] }));
    assert_eq!(serde_json::from_value::<DataConfig>(stored).unwrap(), cropped);
}

#[test]
fn a_column_has_a_row_an_image_and_one_with_a_row_a_crop_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (target, split) = target_in(folder.path());
    let crops = &split.crops.as_ref().unwrap().crops;
    let computed = folder.path().join("features.parquet");
    let loss = vec![0.5; crops.len()];
    features_file::write(&computed, &[("loss", &loss)]).unwrap();
    let column = |rows: usize| {
        let path = folder.path().join(format!("{rows}.csv"));
        let mut text = "w".to_owned();
        (0..rows).for_each(|row| write!(text, "\n{row}").unwrap());
        std::fs::write(&path, text).unwrap();
        path
    };
    let features = ["loss".to_owned(), "w".to_owned()];
    let joined = join(&target, &computed, &[column(IMAGES)], &features, folder.path()).unwrap();
    let table = features_file::read(&joined).unwrap();
    for (value, crop) in table.column("w").unwrap().iter().zip(crops) {
        assert!((value - split.train_rows[crop.image as usize] as f64).abs() < 0.5);
    }
    let refused = join(&target, &computed, &[column(crops.len())], &features, folder.path()).unwrap_err().to_string();
    assert!(refused.contains("600 rows") && refused.contains("300 examples"), "{refused}");
    assert!(refused.contains("crops have the row of their image"), "{refused}");
}
