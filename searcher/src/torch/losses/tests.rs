use tch::{Device, Kind, Tensor};

use super::gradient_agreement::{by_all_layers, by_the_last_layer};
use super::*;
use crate::data::synthetic;
use crate::target::{Architecture, InputScale, Mixing};

const CLASSES: u8 = 5;

/// A network with images, and the first sixteen of them as a batch.
fn setup(architecture: Architecture) -> (Model, DeviceImages, Batch) {
    let images = synthetic::blobs(60, CLASSES, 3);
    let on_device = DeviceImages::new(&images, InputScale::Standardised, Device::Cpu);
    let model = Model::new(architecture, images.shape, CLASSES.into(), 7, Device::Cpu);
    let (images, labels) = on_device.range(0, 16);
    (model, on_device, Batch { images, labels, weights: None, partners: None, progress: 0.5 })
}

fn surroundings<'a>(images: &'a DeviceImages, wrong_labels: &'a [bool]) -> Surroundings<'a> {
    Surroundings {
        train: images,
        wrong_labels,
        validation: images,
        batch_size: 8,
        seed: 5,
        label_smoothing: 0.0,
        mixing: Mixing::default(),
    }
}

fn value(loss: Loss, model: &Model, images: &DeviceImages, batch: &Batch) -> f64 {
    let wrong = vec![false; images.len()];
    begin(loss, surroundings(images, &wrong)).unwrap().of(model, batch).unwrap().double_value(&[])
}

fn column(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap()
}

fn assert_close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} is not {b}");
}

#[test]
fn the_loss_of_a_mixed_batch_is_the_soft_cross_entropy_with_mixed_and_smoothed_labels() {
    let (model, _, batch) = setup(Architecture::Mlp);
    let (own_share, smoothing, classes) = (0.3, 0.1, usize::from(CLASSES));
    let logits = model.forward(&batch.images, true).unwrap().logits;
    let logarithms: Vec<Vec<f64>> = Vec::<Vec<f64>>::try_from(logits.log_softmax(1, Kind::Double)).unwrap();
    let labels = Vec::<i64>::try_from(&batch.labels).unwrap();
    // timm's mixup_target and SoftTargetCrossEntropy.
    let target = |label: i64, class: usize| {
        let off = smoothing / classes as f64;
        if usize::try_from(label).unwrap() == class { 1.0 - smoothing + off } else { off }
    };
    let expected: f64 = (0..labels.len())
        .flat_map(|row| (0..classes).map(move |class| (row, class)))
        .map(|(row, class)| {
            let (own, partner) = (target(labels[row], class), target(labels[labels.len() - 1 - row], class));
            -(own_share * own + (1.0 - own_share) * partner) * logarithms[row][class]
        })
        .sum::<f64>()
        / labels.len() as f64;
    let partners = Some(Partners { labels: batch.labels.flip([0]), own_share });
    let found = MeanCrossEntropy { label_smoothing: smoothing }.of(&model, &Batch { partners, ..batch }).unwrap();
    assert_close(found.double_value(&[]), expected, 1e-5);
}

#[test]
fn losses_that_need_labels_of_one_class_refuse_mixed_batches() {
    let (_, images, _) = setup(Architecture::Mlp);
    let wrong = vec![false; images.len()];
    let around = Surroundings { mixing: Mixing { mixup: 0.8, cutmix: 0.0 }, ..surroundings(&images, &wrong) };
    for loss in Loss::ALL {
        match begin(loss, around) {
            Ok(_) => assert_eq!(loss, Loss::CrossEntropy),
            Err(error) => assert!(error.to_string().contains("mixup"), "{error}"),
        }
    }
}

#[test]
fn losses_are_their_formulas_of_the_predictions() {
    let (model, images, batch) = setup(Architecture::Mlp);
    let logits = model.forward(&batch.images, true).unwrap().logits;
    let probabilities: Vec<Vec<f64>> = Vec::<Vec<f64>>::try_from(logits.softmax(1, Kind::Double)).unwrap();
    let labels = Vec::<i64>::try_from(&batch.labels).unwrap();
    let mean = |of: &dyn Fn(&[f64], usize) -> f64| {
        let each = probabilities.iter().zip(&labels).map(|(q, &label)| of(q, usize::try_from(label).unwrap()));
        each.sum::<f64>() / labels.len() as f64
    };
    let largest = |q: &[f64]| q.iter().copied().fold(0.0, f64::max);
    let entropy = |q: &[f64]| -q.iter().map(|q| q * q.ln()).sum::<f64>();
    for (loss, expected) in [
        (Loss::CrossEntropy, mean(&|q, y| -q[y].ln())),
        (Loss::ReedSoft, mean(&|q, y| -0.95 * q[y].ln() + 0.05 * entropy(q))),
        (Loss::ReedHard, mean(&|q, y| -0.8 * q[y].ln() - 0.2 * largest(q).ln())),
        (Loss::Focal, mean(&|q, y| -(1.0 - q[y]).powi(2) * q[y].ln())),
    ] {
        assert_close(value(loss, &model, &images, &batch), expected, 1e-5);
    }
    let smoothed = MeanCrossEntropy { label_smoothing: 0.1 }.of(&model, &batch).unwrap().double_value(&[]);
    let uniform = |q: &[f64]| q.iter().map(|q| q.ln()).sum::<f64>() / q.len() as f64;
    assert_close(smoothed, mean(&|q, y| -0.9 * q[y].ln() - 0.1 * uniform(q)), 1e-5);
    let early = Batch {
        progress: 0.05,
        images: batch.images.copy(),
        labels: batch.labels.copy(),
        weights: None,
        partners: None,
    };
    for warming_up in [Loss::ReedSoft, Loss::ReedHard] {
        assert_close(value(warming_up, &model, &images, &early), mean(&|q, y| -q[y].ln()), 1e-5);
    }
}

#[test]
fn weighted_cross_entropy_is_the_mean_of_each_example_s_loss_times_its_weight() {
    let (model, _, batch) = setup(Architecture::Mlp);
    let weights: Vec<f32> = (0..16u8).map(|position| 0.25 * f32::from(position)).collect();
    let weighted = Batch {
        weights: Some(Tensor::from_slice(&weights)),
        images: batch.images.copy(),
        labels: batch.labels.copy(),
        ..batch
    };
    for label_smoothing in [0.0, 0.1] {
        let mut loss = MeanCrossEntropy { label_smoothing };
        let alone = |position: i64| {
            let of = |tensor: &Tensor| tensor.narrow(0, position, 1);
            let (images, labels) = (of(&weighted.images), of(&weighted.labels));
            Batch { images, labels, weights: None, partners: None, progress: 0.5 }
        };
        let each = weights.iter().zip(0..).map(|(weight, position)| {
            f64::from(*weight) * loss.of(&model, &alone(position)).unwrap().double_value(&[])
        });
        let expected = each.sum::<f64>() / 16.0;
        assert_close(loss.of(&model, &weighted).unwrap().double_value(&[]), expected, 1e-5);
    }
}

#[test]
fn every_loss_has_its_name() {
    for loss in Loss::ALL {
        assert_eq!(loss.name().parse::<Loss>().unwrap(), loss);
    }
    assert!("hinge".parse::<Loss>().unwrap_err().to_string().contains("reed-soft"));
}

/// ⟨∇C_i, ∇L⟩ by one backward pass an example.
fn agreement_by_differentiating(model: &Model, batch: &Batch, clean: &(Tensor, Tensor), last_layer: bool) -> Vec<f64> {
    let named = model.var_store().variables();
    let mut parameters: Vec<(&String, &Tensor)> = named.iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
    parameters.sort_by_key(|(name, _)| *name);
    // Only the last layer has as many rows as there are classes.
    let of_last = |tensor: &Tensor| tensor.size()[0] == i64::from(CLASSES);
    let parameters: Vec<&Tensor> =
        parameters.into_iter().map(|(_, tensor)| tensor).filter(|tensor| !last_layer || of_last(tensor)).collect();
    let gradient = |images: &Tensor, labels: &Tensor| {
        let loss = model.forward(images, false).unwrap().logits.cross_entropy_for_logits(labels);
        let gradients = Tensor::run_backward(&[&loss], &parameters, false, false);
        Tensor::cat(&gradients.iter().map(|gradient| gradient.flatten(0, -1)).collect::<Vec<_>>(), 0)
    };
    let clean = gradient(&clean.0, &clean.1);
    (0..batch.labels.numel())
        .map(|example| {
            let at = i64::try_from(example).unwrap();
            gradient(&batch.images.narrow(0, at, 1), &batch.labels.narrow(0, at, 1)).dot(&clean).double_value(&[])
        })
        .collect()
}

#[test]
fn gradients_agree_as_far_as_differentiating_each_example_says() {
    for architecture in [Architecture::Mlp, Architecture::Cnn] {
        let (model, images, batch) = setup(architecture);
        let clean = images.range(30, 50);
        let names = model.names();
        let before: Vec<Tensor> = names.iter().map(|name| model.tensor(name).unwrap().copy()).collect();
        for (of, last_layer, tolerance) in
            [(by_all_layers as Agree, false, 2e-2), (by_the_last_layer as Agree, true, 1e-4)]
        {
            let found = column(&of(&model, (&batch.images, &batch.labels), (&clean.0, &clean.1)).unwrap());
            let expected = agreement_by_differentiating(&model, &batch, &clean, last_layer);
            let scale = expected.iter().map(|value| value.abs()).fold(0.0, f64::max);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < tolerance * scale, "{found} is not {expected} (of {scale})");
            }
        }
        for (name, before) in names.iter().zip(&before) {
            assert!(model.tensor(name).unwrap().equal(before), "{name} was not put back");
        }
    }
}

type Agree = fn(&Model, (&Tensor, &Tensor), (&Tensor, &Tensor)) -> Result<Tensor, TargetError>;

/// Trains on labels of which two in five are wrong, and returns the share of the test images that are classified
/// correctly.
fn accuracy_under(loss: Loss) -> f64 {
    use crate::target::{Augmentation, Recipe, ShuffledEpochs};
    use crate::torch::classification;
    use crate::torch::training::{self, Plan};

    let mut train = synthetic::blobs(600, CLASSES, 1);
    crate::data::label_noise::add_label_noise(&mut train, 0.4, 3).unwrap();
    let wrong = train.wrong_labels();
    let shape = train.shape;
    let train = DeviceImages::new(&train, InputScale::Standardised, Device::Cpu);
    let validation = DeviceImages::like(&synthetic::blobs(300, CLASSES, 2), &train);
    let test = DeviceImages::like(&synthetic::blobs(1000, CLASSES, 4), &train);
    let model = Model::new(Architecture::Mlp, shape, CLASSES.into(), 1, Device::Cpu);
    let plan =
        Plan { epochs: 20, batch_size: 32, seed: 1, recipe: Recipe::sgd(0.05, 0.0), augmentation: Augmentation::None };
    let around = Surroundings {
        train: &train,
        wrong_labels: &wrong,
        validation: &validation,
        batch_size: 32,
        seed: 1,
        label_smoothing: 0.0,
        mixing: Mixing::default(),
    };
    let mut loss = begin(loss, around).unwrap();
    let mut batches = ShuffledEpochs::new(600, 32, 1);
    let views = training::Views {
        validate: &|model| classification::accuracy(model, &validation),
        features: &|_model| panic!("no batch is drawn by features"),
    };
    training::train(&model, &train, views, &plan, &mut batches, loss.as_mut(), &mut |_, _| Ok(())).unwrap();
    classification::accuracy(&model, &test).unwrap()
}

#[test]
fn weights_that_know_right_labels_learn_more_of_wrong_ones_than_cross_entropy() {
    let plain = accuracy_under(Loss::CrossEntropy);
    for loss in [Loss::MentornetPd, Loss::MentornetDd, Loss::LearningToReweight, Loss::LearningToReweightLastLayer] {
        let accuracy = accuracy_under(loss);
        assert!(accuracy > plain + 0.02, "{}: {accuracy} after {plain} of cross-entropy", loss.name());
    }
    // The one that draws most at random.
    let [first, again] = [(); 2].map(|()| accuracy_under(Loss::MentornetDd).to_bits());
    assert_eq!(first, again, "a run is a function of its seed");
}
