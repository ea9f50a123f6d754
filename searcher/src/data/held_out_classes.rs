//! Splits by class: networks train on some classes and are scored on others, as in few-shot learning and face verification.

use serde::{Deserialize, Serialize};

use super::{DataError, LabelledImages, Source};

/// The classes that no network trains on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HeldOutClasses {
    /// The format's own validation and test sets have other classes than its training set.
    Own,
    /// These labels, wherever their examples are.
    Listed {
        /// Those of the validation set.
        validation: Vec<u16>,
        /// Those of the test set.
        test: Vec<u16>,
    },
}

/// A source cut by class. Labels are numbered from 0 within each set.
pub(super) struct CutByClass {
    pub(super) train: LabelledImages,
    /// Where each example of `train` was in the source's.
    pub(super) train_rows: Vec<usize>,
    pub(super) validation: LabelledImages,
    pub(super) test: LabelledImages,
}

impl HeldOutClasses {
    /// Cuts `source` into sets of different classes.
    ///
    /// # Errors
    ///
    /// If a set would be empty, or a class belongs to two sets.
    pub(super) fn cut(&self, source: Source) -> Result<CutByClass, DataError> {
        let cut = match self {
            Self::Own => {
                let (Some(validation), Some(test)) = (source.validation, source.test) else {
                    let reason = "classes of their own need both a validation and a test set in the data";
                    return Err(DataError::HeldOutClasses { reason: reason.to_owned() });
                };
                let train_rows = (0..source.train.len()).collect();
                CutByClass { train: source.train, train_rows, validation, test }
            }
            Self::Listed { validation, test } => {
                if let Some(both) = validation.iter().find(|class| test.contains(class)) {
                    let reason = format!("class {both} is both one of validation and one of test");
                    return Err(DataError::HeldOutClasses { reason });
                }
                let sets = [Some(&source.train), source.validation.as_ref(), source.test.as_ref()];
                let of = |classes: &[u16]| {
                    let parts = sets.into_iter().flatten().map(|set| set.select(|label| classes.contains(&label)).0);
                    parts.reduce(LabelledImages::join).expect("a source has a training set")
                };
                let (validation_set, test_set) = (of(validation), of(test));
                let base = |label: u16| !validation.contains(&label) && !test.contains(&label);
                let (train, train_rows) = source.train.select(base);
                CutByClass { train, train_rows, validation: validation_set, test: test_set }
            }
        };
        let CutByClass { mut train, train_rows, mut validation, mut test } = cut;
        for (name, set) in [("training", &mut train), ("validation", &mut validation), ("test", &mut test)] {
            if set.is_empty() {
                let reason = format!("no example has one of the classes of the {name} set");
                return Err(DataError::HeldOutClasses { reason });
            }
            set.number_classes_from_zero();
        }
        Ok(CutByClass { train, train_rows, validation, test })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DataConfig, Split, synthetic};
    use super::*;

    fn source() -> Source {
        Source { train: synthetic::blobs(60, 6, 1), validation: None, test: Some(synthetic::blobs(30, 6, 2)) }
    }

    fn config(held_out: HeldOutClasses) -> DataConfig {
        let (train_examples, validation_examples) = (None, None);
        DataConfig { held_out_classes: Some(held_out), train_examples, validation_examples, ..DataConfig::new("data") }
    }

    #[test]
    fn a_network_trains_on_other_classes_than_it_is_scored_on() {
        let held_out = HeldOutClasses::Listed { validation: vec![1, 4], test: vec![5] };
        let split = Split::new(&config(held_out), source()).unwrap();
        assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (30, 30, 15));
        assert_eq!(split.classes(), 3, "the network tells the classes of training apart");
        let distinct = |images: &LabelledImages| {
            let mut labels = images.labels.clone();
            labels.sort_unstable();
            labels.dedup();
            labels
        };
        assert_eq!(distinct(&split.train), [0, 1, 2]);
        assert_eq!(distinct(&split.validation), [0, 1]);
        // Rows are those of the source, in which classes take turns.
        let (all, size) = (source().train, source().train.shape.pixels());
        for (position, &row) in split.train_rows.iter().enumerate() {
            assert!([0, 2, 3].contains(&all.labels[row]));
            let (ours, theirs) = (split.train.pixels.bytes().unwrap(), all.pixels.bytes().unwrap());
            assert_eq!(ours[position * size..][..size], theirs[row * size..][..size]);
        }
        assert_eq!(split.source_rows, 60);
    }

    #[test]
    fn impossible_cuts_are_refused() {
        let cut = |validation: Vec<u16>, test: Vec<u16>| {
            Split::new(&config(HeldOutClasses::Listed { validation, test }), source()).unwrap_err().to_string()
        };
        assert!(cut(vec![1], vec![1]).contains("class 1"));
        assert!(cut(vec![1], vec![9]).contains("test set"));
        assert!(cut(vec![0, 1, 2], vec![3, 4, 5]).contains("training set"));
        let own = Split::new(&config(HeldOutClasses::Own), source()).unwrap_err().to_string();
        assert!(own.contains("validation"), "{own}");
    }
}
