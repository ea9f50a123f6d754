//! How well a network classifies a set of images.

use tch::{Kind, Tensor, no_grad};

use super::images::{DeviceImages, to_i64};
use super::networks::Model;
use super::training::chunks;
use crate::target::{LIKELIEST, Measures, TargetError};

/// Returns the share of `images` that the model classifies correctly.
pub(super) fn accuracy(model: &Model, images: &DeviceImages) -> Result<f64, TargetError> {
    let mut correct = 0;
    each_part(model, images, &mut |logits, labels| {
        correct += logits.argmax(1, false).eq_tensor(labels).sum(Kind::Int64).int64_value(&[]);
        Ok(())
    })?;
    Ok(correct as f64 / images.len() as f64)
}

/// Returns the other measures of `images`. Classes without an example have no part in the balanced accuracy.
pub(super) fn measures(model: &Model, images: &DeviceImages) -> Result<Measures, TargetError> {
    let (mut predicted, mut among_likeliest) = (Vec::new(), None);
    each_part(model, images, &mut |logits, labels| {
        predicted.extend(Vec::<i64>::try_from(logits.argmax(1, false))?);
        if logits.size()[1] > to_i64(LIKELIEST) {
            let (_, likeliest) = logits.topk(to_i64(LIKELIEST), 1, true, false);
            let hits = likeliest.eq_tensor(&labels.unsqueeze(1)).sum(Kind::Int64).int64_value(&[]);
            among_likeliest = Some(among_likeliest.unwrap_or(0) + hits);
        }
        Ok(())
    })?;
    Ok(Measures {
        test_top5_accuracy: among_likeliest.map(|hits| hits as f64 / images.len() as f64),
        test_balanced_accuracy: balanced_accuracy(&images.labels()?, &predicted),
    })
}

/// Calls `look` with the logits and labels of all images, part by part.
fn each_part(
    model: &Model,
    images: &DeviceImages,
    look: &mut dyn FnMut(&Tensor, &Tensor) -> Result<(), TargetError>,
) -> Result<(), TargetError> {
    chunks(images.len()).try_for_each(|(start, end)| {
        no_grad(|| {
            let (pixels, labels) = images.range(start, end);
            look(&model.forward(&pixels, false)?.logits, &labels)
        })
    })
}

/// The mean over the classes of `labels` of the share of a class's examples that `predicted` gives to it.
fn balanced_accuracy(labels: &[i64], predicted: &[i64]) -> Option<f64> {
    let mut classes = std::collections::BTreeMap::<i64, (u32, u32)>::new();
    for (label, predicted) in labels.iter().zip(predicted) {
        let (right, all) = classes.entry(*label).or_default();
        *right += u32::from(label == predicted);
        *all += 1;
    }
    let recalls = classes.values().map(|&(right, all)| f64::from(right) / f64::from(all));
    (!classes.is_empty()).then(|| recalls.sum::<f64>() / classes.len() as f64)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::data::synthetic;
    use crate::target::{Architecture, InputScale};

    /// Per label (right, among the five largest, all), by sorting each image's logits.
    fn counts(model: &Model, images: &DeviceImages, classes: usize) -> Vec<(f64, f64, f64)> {
        let logits = |position| {
            let logits = model.forward(&images.range(position, position + 1).0, false).unwrap().logits;
            Vec::<f64>::try_from(logits.to_kind(Kind::Double).squeeze_dim(0)).unwrap()
        };
        let mut counts = vec![(0.0, 0.0, 0.0); classes];
        for (position, label) in images.labels().unwrap().into_iter().enumerate() {
            let logits = logits(position);
            let label = usize::try_from(label).unwrap();
            let mut order: Vec<usize> = (0..classes).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            counts[label].0 += f64::from(u8::from(order[0] == label));
            counts[label].1 += f64::from(u8::from(order[..5].contains(&label)));
            counts[label].2 += 1.0;
        }
        counts
    }

    #[test]
    fn measures_are_what_sorted_logits_come_to_class_by_class() {
        // More than one part, and classes of different sizes.
        let mut data = synthetic::blobs(600, 9, 3);
        for label in data.labels.iter_mut().step_by(4) {
            *label = 8;
        }
        let images = DeviceImages::new(&data, InputScale::Standardised, Device::Cpu);
        let model = Model::new(Architecture::Mlp, images.shape(), 9, 4, Device::Cpu);
        let counts = counts(&model, &images, 9);
        let share = |of: fn(&(f64, f64, f64)) -> f64| counts.iter().map(of).sum::<f64>() / 600.0;
        let balanced = counts.iter().map(|(right, _, all)| right / all).sum::<f64>() / 9.0;
        let found = measures(&model, &images).unwrap();
        assert!((accuracy(&model, &images).unwrap() - share(|count| count.0)).abs() < 1e-12);
        assert!((found.test_top5_accuracy.unwrap() - share(|count| count.1)).abs() < 1e-12, "{found:?}");
        assert!((found.test_balanced_accuracy.unwrap() - balanced).abs() < 1e-12, "{found:?}");
        assert!((balanced - share(|count| count.0)).abs() > 1e-3, "the sizes of classes make no difference here");
    }

    #[test]
    fn five_classes_have_no_top_five_and_classes_without_examples_do_not_count() {
        let images = DeviceImages::new(&synthetic::blobs(40, 5, 3), InputScale::Standardised, Device::Cpu);
        let model = Model::new(Architecture::Mlp, images.shape(), 5, 4, Device::Cpu);
        assert_eq!(measures(&model, &images).unwrap().test_top5_accuracy, None);
        assert_eq!(balanced_accuracy(&[0, 0, 0, 2], &[0, 1, 0, 2]), Some((2.0 / 3.0 + 1.0) / 2.0));
    }
}
