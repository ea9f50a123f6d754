//! Symmetric label noise: an exact share of each class, changed to a uniformly random other class.

use super::{DataError, LabelledImages};
use crate::randomness::{Randomness, seed_for};
use crate::target::{below, shuffle};

/// Changes exactly round(`rate`·n_c) labels of each class c, each to one of the other classes with equal probability.
///
/// Which labels change, and to what, is a pure function of the labels and `seed`. True labels stay as they are.
///
/// # Errors
///
/// If `rate` is not in 0..=1, or there is only one class to choose from.
pub fn add_label_noise(images: &mut LabelledImages, rate: f64, seed: u64) -> Result<(), DataError> {
    if !(0.0..=1.0).contains(&rate) {
        return Err(DataError::NoiseRate { rate });
    }
    let classes = images.classes();
    if classes < 2 && rate > 0.0 {
        return Err(DataError::NoiseClasses { classes });
    }
    if rate <= 0.0 {
        // Every class is looked for among all examples, which takes long where there are many of both.
        return Ok(());
    }
    for class in 0..classes {
        let mut members: Vec<usize> =
            (0..images.len()).filter(|&i| usize::from(images.true_labels[i]) == class).collect();
        shuffle(&mut members, seed_for(seed, class as u64, "label noise: which"));
        let mut randomness = Randomness::new(seed_for(seed, class as u64, "label noise: to what"));
        for &member in &members[..noisy_count(rate, members.len())] {
            let other = below(&mut randomness, classes - 1);
            let label = if other < class { other } else { other + 1 };
            images.labels[member] = label_of(label);
        }
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the product lies in 0..=members")]
fn noisy_count(rate: f64, members: usize) -> usize {
    ((rate * members as f64).round() as usize).min(members)
}

#[allow(clippy::cast_possible_truncation, reason = "labels are u16, and so are the classes made from them")]
const fn label_of(class: usize) -> u16 {
    class as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::synthetic;
    use super::*;

    fn per_class(images: &LabelledImages, wrong: bool) -> Vec<usize> {
        let mut counts = vec![0; images.classes()];
        for (label, truth) in images.labels.iter().zip(&images.true_labels) {
            counts[usize::from(*truth)] += usize::from(!wrong || label != truth);
        }
        counts
    }

    proptest! {
        #[test]
        fn exactly_the_rounded_share_of_each_class_changes(rate in 0.0..=1.0f64, seed in any::<u64>(), classes in 2u8..12) {
            let mut images = synthetic::blobs(157, classes, 5);
            let before = images.clone();
            add_label_noise(&mut images, rate, seed).unwrap();
            let expected: Vec<usize> =
                per_class(&before, false).iter().map(|&n| noisy_count(rate, n)).collect();
            prop_assert_eq!(per_class(&images, true), expected);
            prop_assert_eq!(&images.true_labels, &before.labels);
            prop_assert!(images.labels.iter().all(|&label| label < u16::from(classes)));
        }
    }

    #[test]
    fn other_classes_are_equally_likely() {
        let mut images = synthetic::blobs(40_000, 5, 5);
        add_label_noise(&mut images, 1.0, 9).unwrap();
        let mut counts = [[0u32; 5]; 5];
        for (label, truth) in images.labels.iter().zip(&images.true_labels) {
            counts[usize::from(*truth)][usize::from(*label)] += 1;
        }
        for (truth, row) in counts.iter().enumerate() {
            let expected = f64::from(row.iter().sum::<u32>()) / 4.0;
            for (label, &count) in row.iter().enumerate() {
                if label == truth {
                    assert_eq!(count, 0);
                } else {
                    // Five standard deviations of a binomial count.
                    assert!((f64::from(count) - expected).abs() < 5.0 * expected.sqrt(), "{counts:?}");
                }
            }
        }
    }

    #[test]
    fn the_seed_decides_which_labels_change() {
        let noisy = |seed| {
            let mut images = synthetic::blobs(100, 4, 1);
            add_label_noise(&mut images, 0.4, seed).unwrap();
            images.labels
        };
        assert_eq!(noisy(1), noisy(1));
        assert_ne!(noisy(1), noisy(2));
    }

    #[test]
    fn rates_outside_of_0_to_1_and_single_classes_are_refused() {
        let mut images = synthetic::blobs(10, 2, 1);
        for rate in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(add_label_noise(&mut images, rate, 0), Err(DataError::NoiseRate { .. })));
        }
        let mut single = synthetic::blobs(10, 1, 1);
        assert!(matches!(add_label_noise(&mut single, 0.1, 0), Err(DataError::NoiseClasses { classes: 1 })));
    }
}
