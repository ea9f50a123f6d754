//! The formats of data sets, and how they are told apart by what is there.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DataError, LabelledImages, arrays, cifar, idx, image_folder};

/// How a data set is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataFormat {
    /// The four IDX files of MNIST, in a folder.
    Idx,
    /// The binary version of CIFAR-10: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.
    Cifar10,
    /// The binary version of CIFAR-100: `train.bin` and `test.bin`; fine labels.
    Cifar100,
    /// Folders of PNG and JPEG files, one a class, alone or in folders train, val and test.
    ImageFolder,
    /// NumPy arrays x and y: a `.npz` file, or `.npy` files in a folder.
    Arrays,
}

/// A data set as its format divides it.
#[derive(Debug, Clone)]
pub struct Source {
    /// What train, and whatever else the format does not hold, is taken from.
    pub train: LabelledImages,
    /// The format's own validation set.
    pub validation: Option<LabelledImages>,
    /// The format's own test set.
    pub test: Option<LabelledImages>,
}

impl DataFormat {
    /// Tells the format of what is at `path`.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownFormat`] naming what was looked for.
    pub fn recognise(path: &Path) -> Result<Self, DataError> {
        let there = |name: &str| path.join(name).is_file();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "npz") {
            return Ok(Self::Arrays);
        }
        if idx::NAMES.iter().any(|name| there(name) || there(&format!("{name}.gz"))) {
            return Ok(Self::Idx);
        }
        if there("data_batch_1.bin") {
            return Ok(Self::Cifar10);
        }
        if there("train.bin") && there("test.bin") {
            return Ok(Self::Cifar100);
        }
        if arrays::are_in(path) {
            return Ok(Self::Arrays);
        }
        if image_folder::is_one(path) {
            return Ok(Self::ImageFolder);
        }
        Err(DataError::UnknownFormat { path: path.to_owned() })
    }

    /// Reads the data set at `path`; images of folders become `image_size` pixels wide and high, if it is given. With
    /// `own_classes`, folders `val` and `test` have other classes than `train`.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it.
    pub fn read(self, path: &Path, image_size: Option<u32>, own_classes: bool) -> Result<Source, DataError> {
        match self {
            Self::Idx => Ok(Source {
                train: idx::read_labelled(path, "train")?,
                validation: None,
                test: Some(idx::read_labelled(path, "t10k")?),
            }),
            Self::Cifar10 => cifar::read_10(path),
            Self::Cifar100 => cifar::read_100(path),
            Self::ImageFolder => image_folder::read(path, image_size, own_classes),
            Self::Arrays => arrays::read(path),
        }
    }
}
