//! Options that decide which data is trained on, and how it is split.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::data::{CropConfig, DataConfig, DataFormat};
use crate::error::SearcherError;

/// Where the data is.
#[derive(Debug, Args)]
pub(super) struct DataOptions {
    /// Training data: a folder with the IDX files of MNIST, with CIFAR's binary files, with a folder of images for each class (or
    /// train, val and test with such folders), or with NumPy's x.npy and y.npy; or a .npz file with x and y. Of --target gpt a file of text or tokens, or a folder
    /// of them. With --trial-command, files with
    /// the examples' features (Parquet, safetensors, npz, CSV); without them the dataset is at the daemon already
    #[arg(long = "data", num_args = 1.., value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Format of the data [default: by what is there]
    #[arg(long, value_enum)]
    data_format: Option<FormatName>,
    /// Width and height in pixels to bring the images of a folder to [default: as they are, all of one size]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    image_size: Option<u32>,
    /// Training examples [default: 20000 of IDX files, else all that are left]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) train_examples: Option<u32>,
    /// Validation examples, held out from the training files [default: 5000 of IDX files, else the validation set of the data,
    /// or a fifth]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) validation_examples: Option<u32>,
    /// Test examples, held out where the data has no test set [default: a fifth]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) test_examples: Option<u32>,
    /// Train on random crops: so many of each training image, half of them mirrored, each of them an example with features and a
    /// probability of its own. Validation and test see whole images
    #[arg(long, value_name = "PER_IMAGE", conflicts_with = "trial_command", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) crops: Option<u32>,
    /// Share of an image's area that a crop has, at least and at most; sides are from 3:4 to 4:3
    #[arg(long, value_name = "LO,HI", requires = "crops", value_parser = scale, default_value = "0.08,1")]
    crop_scale: Scale,
    /// Width and height in pixels that crops, and whole images of validation and test, are brought to [default: the images' own]
    #[arg(long, value_name = "PIXELS", requires = "crops", value_parser = clap::value_parser!(u32).range(1..=4096))]
    crop_size: Option<u32>,
}

/// The least and the largest of shares.
type Scale = [f64; 2];

fn scale(text: &str) -> Result<Scale, String> {
    let wrong = || format!("{text:?} is not two numbers LO,HI");
    let (low, high) = text.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_not_one| wrong());
    Ok([number(low)?, number(high)?])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatName {
    Idx,
    Cifar10,
    Cifar100,
    ImageFolder,
    Arrays,
}

impl DataOptions {
    /// Returns an option that is given and of no meaning to text.
    pub(super) fn given_for_images(&self) -> Option<&'static str> {
        let given = [
            (self.data_format.is_some(), "--data-format"),
            (self.image_size.is_some(), "--image-size"),
            (self.crops.is_some(), "--crops"),
        ];
        given.into_iter().find_map(|(given, option)| given.then_some(option))
    }

    /// Returns the data of these options for the network named `target`.
    pub(super) fn config(&self, target: &str, label_noise: f64, seed: u64) -> Result<DataConfig, SearcherError> {
        let [path] = self.paths.as_slice() else {
            return Err(SearcherError::Config(format!(
                "target {target:?} needs one --data, where the training data is (scripts/setup-data prints where Fashion-MNIST is)"
            )));
        };
        let format = match self.data_format {
            Some(FormatName::Idx) => DataFormat::Idx,
            Some(FormatName::Cifar10) => DataFormat::Cifar10,
            Some(FormatName::Cifar100) => DataFormat::Cifar100,
            Some(FormatName::ImageFolder) => DataFormat::ImageFolder,
            Some(FormatName::Arrays) => DataFormat::Arrays,
            None => DataFormat::recognise(path).map_err(|error| SearcherError::Data(error.to_string()))?,
        };
        if self.image_size.is_some() && format != DataFormat::ImageFolder {
            let reason = "--image-size is for folders of images: other formats have one size as they are";
            return Err(SearcherError::Config(reason.to_owned()));
        }
        let count = |given: Option<u32>| given.map(|count| count as usize);
        let of_idx = |examples: usize| (format == DataFormat::Idx).then_some(examples);
        Ok(DataConfig {
            // IDX files were the only format once, and studies of that time say nothing of it.
            format: Some(format).filter(|format| *format != DataFormat::Idx),
            image_size: self.image_size,
            train_examples: count(self.train_examples).or(of_idx(DataConfig::TRAIN_EXAMPLES)),
            validation_examples: count(self.validation_examples).or(of_idx(DataConfig::VALIDATION_EXAMPLES)),
            test_examples: count(self.test_examples),
            label_noise,
            seed,
            crops: self.crops.map(|per_image| CropConfig { per_image, scale: self.crop_scale, size: self.crop_size }),
            ..DataConfig::new(path)
        })
    }
}
