//! The split into train, validation and test.

use super::crops::TrainingCrops;
use super::held_out_classes::{CutByClass, HeldOutClasses};
use super::label_noise::add_label_noise;
use super::{DataConfig, DataError, LabelledImages, Source};
use crate::randomness::seed_for;
use crate::target::shuffle;

/// A set that is held out without a number given is one of this many parts.
const SHARE: usize = 5;

/// Three disjoint sets of images of one shape.
///
/// Position i of `train` is row i of the features and index i of every batch; where there are `crops`, that is crop i.
#[derive(Debug, Clone)]
pub struct Split {
    /// What runs train on; its labels carry the noise.
    pub train: LabelledImages,
    /// What trials are scored on.
    pub validation: LabelledImages,
    /// What is looked at once, at the end; its labels are always clean.
    pub test: LabelledImages,
    /// The crops of `train` that are the training examples; `None`: its images are.
    pub crops: Option<TrainingCrops>,
    /// Where each image of `train` was among the `source_rows` examples that the files have for training.
    pub train_rows: Vec<usize>,
    /// How many examples the files have for training, in their order.
    pub source_rows: usize,
    /// Whether validation and test have classes that `train` lacks.
    other_classes: bool,
}

impl Split {
    /// Splits `source` by a permutation of the configured seed, adds the configured noise and draws the configured crops. Images are moved, not copied.
    ///
    /// # Errors
    ///
    /// If `source` is too small, the shapes differ, or noise rate or crops are impossible.
    pub fn new(config: &DataConfig, source: Source) -> Result<Self, DataError> {
        let mut split = Self::into_sets(config, source)?;
        if let Some(crops) = config.crops {
            let seed = seed_for(config.seed, 0, "crops of the training set");
            split.crops = Some(TrainingCrops::draw(crops, split.train.len(), split.train.shape, seed)?);
        }
        Ok(split)
    }

    fn into_sets(config: &DataConfig, source: Source) -> Result<Self, DataError> {
        for other in source.validation.iter().chain(&source.test) {
            if source.train.shape != other.shape {
                return Err(DataError::ShapeMismatch { train: source.train.shape, test: other.shape });
            }
        }
        if let Some(classes) = &config.held_out_classes {
            return Self::by_class(config, classes, source);
        }
        let Source { train: mut rest, validation, test } = source;
        let counts = Counts::new(config, rest.len(), validation.is_some(), test.is_some())?;
        let rows = permutation(config, rest.len());
        rest.rearrange(&rows);
        let mut train = rest;
        let mut behind = train.split_off(counts.train);
        let test = match test {
            Some(test) => test,
            None => behind.split_off(behind.len() - counts.test),
        };
        let mut validation = match validation {
            None => {
                drop(behind.split_off(counts.validation));
                behind
            }
            Some(own) => first_of(own, config)?,
        };
        add_label_noise(&mut train, config.label_noise, seed_for(config.seed, 0, "training labels"))?;
        if config.noisy_validation {
            add_label_noise(&mut validation, config.label_noise, seed_for(config.seed, 0, "validation labels"))?;
        }
        Ok(Self {
            train,
            validation,
            test,
            crops: None,
            train_rows: rows[..counts.train].to_vec(),
            source_rows: rows.len(),
            other_classes: false,
        })
    }

    /// Trains on some classes and holds out the others.
    fn by_class(config: &DataConfig, classes: &HeldOutClasses, source: Source) -> Result<Self, DataError> {
        let source_rows = source.train.len();
        let CutByClass { mut train, train_rows, validation, mut test } = classes.cut(source)?;
        let order = permutation(config, train.len());
        train.rearrange(&order);
        let wanted = config.train_examples.unwrap_or(order.len());
        if wanted == 0 || wanted > order.len() {
            let (validation, test) = (validation.len(), test.len());
            return Err(DataError::TooFewExamples { train: wanted.max(1), validation, test, available: order.len() });
        }
        drop(train.split_off(wanted));
        let train_rows = order[..wanted].iter().map(|&row| train_rows[row]).collect();
        let validation = first_of(validation, config)?;
        if let Some(wanted) = config.test_examples.filter(|wanted| *wanted < test.len()) {
            test.rearrange(&permutation(config, test.len()));
            drop(test.split_off(wanted));
        }
        add_label_noise(&mut train, config.label_noise, seed_for(config.seed, 0, "training labels"))?;
        Ok(Self { train, validation, test, crops: None, train_rows, source_rows, other_classes: true })
    }

    /// Returns for each training example what its image has.
    #[must_use]
    pub fn of_examples<T: Copy>(&self, of_images: &[T]) -> Vec<T> {
        self.crops.as_ref().map_or_else(|| of_images.to_vec(), |crops| crops.spread(of_images))
    }

    /// Tells for each training example whether its label was made wrong; all crops of an image share its label.
    #[must_use]
    pub fn wrong_labels(&self) -> Vec<bool> {
        self.of_examples(&self.train.wrong_labels())
    }

    /// Returns the number of classes that a network has to tell apart: over all three sets, or those of training where the
    /// others have classes of their own.
    #[must_use]
    pub fn classes(&self) -> usize {
        if self.other_classes {
            return self.train.classes();
        }
        [&self.train, &self.validation, &self.test].into_iter().map(LabelledImages::classes).max().unwrap_or(0)
    }
}

/// Examples that are taken out of what a format has for training.
struct Counts {
    train: usize,
    /// 0 where the format has a validation set of its own.
    validation: usize,
    /// 0 where the format has a test set of its own.
    test: usize,
}

impl Counts {
    fn new(config: &DataConfig, available: usize, own_validation: bool, own_test: bool) -> Result<Self, DataError> {
        let share = available.div_ceil(SHARE);
        let test = if own_test { 0 } else { config.test_examples.unwrap_or(share) };
        let validation = if own_validation { 0 } else { config.validation_examples.unwrap_or(share) };
        let held_out = validation.saturating_add(test);
        let train = config.train_examples.unwrap_or_else(|| available.saturating_sub(held_out));
        let empty = |field| Err(DataError::EmptySplit { field });
        match () {
            () if config.train_examples == Some(0) => empty("train_examples"),
            () if config.validation_examples == Some(0) => empty("validation_examples"),
            () if !own_test && config.test_examples == Some(0) => empty("test_examples"),
            () if train == 0 || train.checked_add(held_out).is_none_or(|total| total > available) => {
                Err(DataError::TooFewExamples { train: train.max(1), validation, test, available })
            }
            () => Ok(Self { train, validation, test }),
        }
    }
}

fn permutation(config: &DataConfig, rows: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    shuffle(&mut order, seed_for(config.seed, 0, "split"));
    order
}

/// The configured number of examples of a format's own validation set, chosen by the seed; unless told otherwise all.
fn first_of(mut own: LabelledImages, config: &DataConfig) -> Result<LabelledImages, DataError> {
    let Some(wanted) = config.validation_examples else { return Ok(own) };
    if wanted > own.len() {
        return Err(DataError::TooFewValidation { wanted, available: own.len() });
    }
    own.rearrange(&permutation(config, own.len()));
    drop(own.split_off(wanted));
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::super::{Values, synthetic};
    use super::*;

    fn config(train: usize, validation: usize) -> DataConfig {
        DataConfig {
            train_examples: Some(train),
            validation_examples: Some(validation),
            label_noise: 0.4,
            ..DataConfig::new("/")
        }
    }

    /// Images whose pixels tell where they were in the source.
    fn numbered(count: u8) -> LabelledImages {
        let mut images = synthetic::blobs(usize::from(count), 5, 1);
        let size = images.shape.pixels();
        images.pixels = Values::Bytes((0..count).flat_map(|number| vec![number; size]).collect());
        images
    }

    fn source(train: u8, test: Option<u8>) -> Source {
        Source { train: numbered(train), validation: None, test: test.map(numbered) }
    }

    fn numbers(images: &LabelledImages) -> Vec<u8> {
        images.pixels.bytes().unwrap().chunks(images.shape.pixels()).map(|pixels| pixels[0]).collect()
    }

    #[test]
    fn train_and_validation_are_disjoint_and_keep_pixels_with_labels() {
        let labels = numbered(100).labels;
        let split = Split::new(&config(60, 30), source(100, Some(10))).unwrap();
        let mut seen = Vec::new();
        for set in [&split.train, &split.validation] {
            for (position, number) in numbers(set).into_iter().enumerate() {
                assert_eq!(set.true_labels[position], labels[usize::from(number)]);
                seen.push(number);
            }
        }
        let rows: Vec<usize> = numbers(&split.train).into_iter().map(usize::from).collect();
        assert_eq!((split.train_rows, split.source_rows), (rows, 100));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 90);
    }

    #[test]
    fn only_training_labels_carry_noise_unless_asked() {
        let clean = |images: &LabelledImages| images.labels == images.true_labels;
        let split = Split::new(&config(60, 30), source(100, Some(10))).unwrap();
        assert!(!clean(&split.train) && clean(&split.validation) && clean(&split.test));
        let noisy = DataConfig { noisy_validation: true, ..config(60, 30) };
        let split = Split::new(&noisy, source(100, Some(10))).unwrap();
        assert!(!clean(&split.train) && !clean(&split.validation) && clean(&split.test));
    }

    #[test]
    fn the_seed_decides_the_split() {
        let train = |seed| {
            let config = DataConfig { seed, ..config(60, 30) };
            Split::new(&config, source(100, Some(10))).unwrap().train
        };
        assert_eq!(train(1), train(1));
        assert_ne!(train(1), train(2));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let split = |train, validation| Split::new(&config(train, validation), source(100, Some(10)));
        assert!(matches!(split(80, 30), Err(DataError::TooFewExamples { available: 100, .. })));
        assert!(matches!(split(usize::MAX, 2), Err(DataError::TooFewExamples { .. })));
        assert!(matches!(split(0, 30), Err(DataError::EmptySplit { field: "train_examples" })));
    }

    #[test]
    fn sets_that_the_format_lacks_are_seeded_fifths_and_its_own_are_used_whole() {
        let free = DataConfig { train_examples: None, validation_examples: None, ..config(1, 1) };
        let split = Split::new(&free, source(100, None)).unwrap();
        let mut seen: Vec<u8> = [&split.train, &split.validation, &split.test].into_iter().flat_map(numbers).collect();
        assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (60, 20, 20));
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());

        let own = || Source { validation: Some(numbered(9)), ..source(100, Some(10)) };
        let split = Split::new(&free, own()).unwrap();
        assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (100, 9, 10));
        let fewer = DataConfig { validation_examples: Some(4), ..free.clone() };
        assert_eq!(Split::new(&fewer, own()).unwrap().validation.len(), 4);
        let more = DataConfig { validation_examples: Some(10), ..free };
        assert!(matches!(Split::new(&more, own()), Err(DataError::TooFewValidation { available: 9, .. })));
    }
}
