//! Data sets are read as the tools that wrote them meant them: tests/fixtures/data/make_data.py used Pillow and NumPy.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::path::{Path, PathBuf};

use swift_sampler_searcher::data::{
    DataConfig, DataFormat, HeldOutClasses, ImageShape, LabelledImages, Source, Values, is_training_set_in,
    write_training_set,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name)
}

fn read(name: &str, image_size: Option<u32>) -> Source {
    let path = fixture(name);
    DataFormat::recognise(&path).unwrap().read(&path, image_size, false).unwrap()
}

fn refusal(name: &str) -> String {
    DataFormat::Arrays.read(&fixture(name), None, false).unwrap_err().to_string()
}

#[test]
fn folders_of_images_are_rgb_in_order_of_classes_and_names() {
    let source = read("images", None);
    let train = source.train;
    assert_eq!(train.shape, ImageShape { channels: 3, height: 6, width: 8 });
    assert_eq!(train.labels, [0, 0, 0, 1, 1, 1]);
    let image = |images: &LabelledImages, number: usize| {
        images.pixels.bytes().unwrap()[number * 144..(number + 1) * 144].to_vec()
    };
    // Dog's a.png: red grows by 10 a row, green is 100, blue 7.
    let expected: Vec<u8> = (0..48u8).map(|position| position / 8 * 10).chain([100; 48]).chain([7; 48]).collect();
    assert_eq!(image(&train, 3), expected);
    // Grey b.png has its value in all three channels.
    assert_eq!(image(&train, 4), [&expected[..48]; 3].concat());
    // JPEG loses a little.
    let jpeg = image(&train, 5);
    assert!(jpeg.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= 4), "{jpeg:?}");
    // Each split has pictures of its own.
    assert_eq!(image(&source.validation.unwrap(), 0)[0], 40);
    assert_eq!(image(&source.test.unwrap(), 0)[0], 80);
}

#[test]
fn images_are_brought_to_a_size_and_without_one_must_agree() {
    let train = read("images", Some(4)).train;
    assert_eq!(train.shape, ImageShape { channels: 3, height: 4, width: 4 });
    let red = &train.pixels.bytes().unwrap()[..16];
    assert!(red[0] < red[4] && red[4] < red[8] && red[8] < red[12], "red grows downwards: {red:?}");

    let folder = tempfile::tempdir().unwrap();
    for (class, size) in [("a", 6), ("b", 5)] {
        std::fs::create_dir(folder.path().join(class)).unwrap();
        image::RgbImage::new(6, size).save(folder.path().join(class).join("x.png")).unwrap();
    }
    let message = DataFormat::ImageFolder.read(folder.path(), None, false).unwrap_err().to_string();
    assert!(message.contains("b/x.png: 6x5 pixels") && message.contains("--image-size"), "{message}");
    std::fs::write(folder.path().join("a/x.png"), "no picture").unwrap();
    let message = DataFormat::ImageFolder.read(folder.path(), Some(4), false).unwrap_err().to_string();
    assert!(message.contains("a/x.png"), "{message}");
}

#[test]
fn val_and_test_may_have_classes_of_their_own_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (place, images) in [("train/a", 2u8), ("train/b", 3), ("val/c", 2), ("val/d", 2), ("test/e", 4)] {
        std::fs::create_dir_all(folder.path().join(place)).unwrap();
        for number in 0..images {
            let pixel = image::Rgb([number, images, 0]);
            image::RgbImage::from_pixel(2, 2, pixel)
                .save(folder.path().join(place).join(format!("{number}.png")))
                .unwrap();
        }
    }
    assert!(DataFormat::ImageFolder.read(folder.path(), None, false).is_err());
    let config = DataConfig {
        format: Some(DataFormat::ImageFolder),
        held_out_classes: Some(HeldOutClasses::Own),
        train_examples: None,
        validation_examples: None,
        ..DataConfig::new(folder.path())
    };
    let split = config.load().unwrap();
    assert_eq!((split.train.len(), split.validation.labels.len(), split.test.labels), (5, 4, vec![0; 4]));
    let mut labels = split.validation.labels;
    labels.sort_unstable();
    assert_eq!(labels, [0, 0, 1, 1]);
}

#[test]
fn without_a_test_folder_val_is_the_test_set_and_a_class_that_train_lacks_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |place: &str| {
        std::fs::create_dir_all(folder.path().join(place)).unwrap();
        image::RgbImage::new(2, 2).save(folder.path().join(place).join("x.png")).unwrap();
    };
    picture("train/a");
    picture("train/b");
    picture("val/b");
    let source = DataFormat::ImageFolder.read(folder.path(), None, false).unwrap();
    assert!(source.validation.is_none());
    assert_eq!(source.test.unwrap().labels, [1], "labels are those of train");
    picture("val/c");
    let message = DataFormat::ImageFolder.read(folder.path(), None, false).unwrap_err().to_string();
    assert!(message.contains("class \"c\"") && message.contains("a, b"), "{message}");
}

#[test]
fn arrays_are_vectors_or_images_with_channels_first() {
    let source = read("vectors.npz", None);
    assert_eq!(source.train.shape, ImageShape { channels: 3, height: 1, width: 1 });
    assert!(source.train.shape.is_vector());
    let expected: Vec<f32> = (0..24u8).map(|value| f32::from(value) / 4.0).collect();
    assert_eq!(source.train.pixels, Values::Floats(expected.clone()));
    assert_eq!(source.train.labels, [0, 1, 2, 0, 1, 2, 0, 1]);
    assert_eq!(source.test.unwrap().pixels, Values::Floats(expected[..6].to_vec()));

    let images = read("channels_last", None).train;
    assert_eq!(images.shape, ImageShape { channels: 3, height: 2, width: 5 });
    assert_eq!(images.labels, [0, 1, 2, 299]);
    // Red pixels of the first image lie three bytes apart in the file.
    assert_eq!(images.pixels.bytes().unwrap()[..10], [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
    assert_eq!(images.pixels.bytes().unwrap()[10], 1);
}

#[test]
fn arrays_that_are_no_data_set_are_named_with_the_row() {
    let message = refusal("not_finite.npz");
    assert!(message.contains("not_finite.npz: array x: row 5 has the value NaN"), "{message}");
    let message = refusal("negative_label.npz");
    assert!(message.contains("array y: row 1 has label -1"), "{message}");
    let message = refusal("fewer_labels.npz");
    assert!(message.contains("array y: 3 labels, x has 4 examples"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let message = DataFormat::recognise(folder.path()).unwrap_err().to_string();
    assert!(message.contains("train-images-idx3-ubyte") && message.contains(".npz"), "{message}");
}

#[test]
fn a_training_set_is_written_as_it_is_read_again() {
    for name in ["channels_last", "vectors.npz"] {
        let config = DataConfig {
            format: Some(DataFormat::Arrays),
            train_examples: None,
            validation_examples: Some(1),
            test_examples: Some(1),
            ..DataConfig::new(fixture(name))
        };
        let train = config.load().unwrap().train;
        let folder = tempfile::tempdir().unwrap();
        write_training_set(folder.path(), &train).unwrap();
        assert!(is_training_set_in(folder.path()));
        for array in ["x", "y"] {
            let [written, read] = [format!("train_{array}.npy"), format!("{array}.npy")];
            std::fs::rename(folder.path().join(written), folder.path().join(read)).unwrap();
        }
        assert_eq!(DataFormat::Arrays.read(folder.path(), None, false).unwrap().train, train, "{name}");
    }
}
