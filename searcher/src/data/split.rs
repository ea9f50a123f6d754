//! The split into train, validation and test.

use super::label_noise::add_label_noise;
use super::{DataConfig, DataError, LabelledImages};
use crate::randomness::seed_for;
use crate::target::shuffle;

/// Three disjoint sets of images of one shape.
///
/// Position i of `train` is row i of the features and index i of every batch.
#[derive(Debug, Clone)]
pub struct Split {
    /// What runs train on; its labels carry the noise.
    pub train: LabelledImages,
    /// What trials are scored on.
    pub validation: LabelledImages,
    /// What is looked at once, at the end; its labels are always clean.
    pub test: LabelledImages,
}

impl Split {
    /// Splits `source` by a permutation of the configured seed and adds the configured noise.
    ///
    /// # Errors
    ///
    /// If `source` is too small, the shapes differ or the noise rate is impossible.
    pub fn new(config: &DataConfig, source: &LabelledImages, test: LabelledImages) -> Result<Self, DataError> {
        let (train, validation) = (config.train_examples, config.validation_examples);
        for (field, examples) in [("train_examples", train), ("validation_examples", validation)] {
            if examples == 0 {
                return Err(DataError::EmptySplit { field });
            }
        }
        if train.checked_add(validation).is_none_or(|total| total > source.len()) {
            return Err(DataError::TooFewExamples { train, validation, available: source.len() });
        }
        if source.shape != test.shape {
            return Err(DataError::ShapeMismatch { train: source.shape, test: test.shape });
        }
        let mut order: Vec<usize> = (0..source.len()).collect();
        shuffle(&mut order, seed_for(config.seed, 0, "split"));
        let mut split = Self {
            train: source.select(&order[..train]),
            validation: source.select(&order[train..train + validation]),
            test,
        };
        add_label_noise(&mut split.train, config.label_noise, seed_for(config.seed, 0, "training labels"))?;
        if config.noisy_validation {
            add_label_noise(&mut split.validation, config.label_noise, seed_for(config.seed, 0, "validation labels"))?;
        }
        Ok(split)
    }

    /// Returns the number of classes over all three sets.
    #[must_use]
    pub fn classes(&self) -> usize {
        [&self.train, &self.validation, &self.test].into_iter().map(LabelledImages::classes).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    fn config(train: usize, validation: usize) -> DataConfig {
        DataConfig { train_examples: train, validation_examples: validation, label_noise: 0.4, ..DataConfig::new("/") }
    }

    /// Images whose pixels tell where they were in the source.
    fn numbered(count: u8) -> LabelledImages {
        let mut images = synthetic::blobs(usize::from(count), 5, 1);
        let size = images.shape.pixels();
        for number in 0..count {
            images.pixels[usize::from(number) * size..usize::from(number + 1) * size].fill(number);
        }
        images
    }

    #[test]
    fn train_and_validation_are_disjoint_and_keep_pixels_with_labels() {
        let source = numbered(100);
        let split = Split::new(&config(60, 30), &source, numbered(10)).unwrap();
        let mut seen = Vec::new();
        for set in [&split.train, &split.validation] {
            for (position, pixels) in set.pixels.chunks(set.shape.pixels()).enumerate() {
                assert_eq!(set.true_labels[position], source.labels[usize::from(pixels[0])]);
                seen.push(pixels[0]);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 90);
    }

    #[test]
    fn only_training_labels_carry_noise_unless_asked() {
        let clean = |images: &LabelledImages| images.labels == images.true_labels;
        let split = Split::new(&config(60, 30), &numbered(100), numbered(10)).unwrap();
        assert!(!clean(&split.train) && clean(&split.validation) && clean(&split.test));
        let noisy = DataConfig { noisy_validation: true, ..config(60, 30) };
        let split = Split::new(&noisy, &numbered(100), numbered(10)).unwrap();
        assert!(!clean(&split.train) && !clean(&split.validation) && clean(&split.test));
    }

    #[test]
    fn the_seed_decides_the_split() {
        let train = |seed| {
            let config = DataConfig { seed, ..config(60, 30) };
            Split::new(&config, &numbered(100), numbered(10)).unwrap().train
        };
        assert_eq!(train(1), train(1));
        assert_ne!(train(1), train(2));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let split = |train, validation| Split::new(&config(train, validation), &numbered(100), numbered(10));
        assert!(matches!(split(80, 30), Err(DataError::TooFewExamples { available: 100, .. })));
        assert!(matches!(split(usize::MAX, 2), Err(DataError::TooFewExamples { .. })));
        assert!(matches!(split(0, 30), Err(DataError::EmptySplit { field: "train_examples" })));
    }
}
