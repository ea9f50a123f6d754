//! Features agree with their formulas, and the gradient norm with automatic differentiation.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::collections::BTreeMap;
use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use swift_sampler_searcher::data::{LabelledImages, synthetic};
use swift_sampler_searcher::target::{Architecture, Feature, GradientNorm, InputScale, TargetError};
use swift_sampler_searcher::torch::{DeviceImages, FeatureColumns, FeatureRequest, Model, features_of, write_features};
use tch::{Device, Kind, Tensor};

const CLASSES: usize = 5;

fn images() -> LabelledImages {
    // More than one evaluation batch, with a short last one.
    synthetic::blobs(300, 5, 3)
}

fn model(architecture: Architecture) -> Model {
    Model::new(architecture, images().shape, CLASSES, 4, Device::Cpu)
}

/// All features that are a network's.
fn everything() -> FeatureRequest {
    let extra = vec![Feature::Margin, Feature::ClassFrequency, Feature::Density];
    FeatureRequest { extra, ..FeatureRequest::default() }
}

fn features(model: &Model) -> FeatureColumns {
    let images = DeviceImages::new(&images(), InputScale::Standardised, Device::Cpu);
    features_of(model, &images, CLASSES, &everything(), &mut |_| Ok(())).unwrap()
}

/// The images as the documentation says that they are normalised, computed here on its own.
fn normalised(images: &LabelledImages) -> Tensor {
    let side = i64::try_from(images.shape.width).unwrap();
    let pixels: Vec<f64> = images.pixels.bytes().unwrap().iter().map(|&pixel| f64::from(pixel) / 255.0).collect();
    let pixels = Tensor::from_slice(&pixels);
    ((&pixels - pixels.mean(Kind::Double)) / pixels.std(false)).to_kind(Kind::Float).reshape([-1, 1, side, side])
}

fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    let (count, _) = tensor.size2().unwrap();
    (0..count).map(|row| Vec::try_from(tensor.get(row).to_kind(Kind::Double)).unwrap()).collect()
}

fn assert_close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (row, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what} of row {row}: {a} against {b}");
    }
}

#[test]
fn every_feature_is_what_its_formula_says() {
    for architecture in [Architecture::Mlp, Architecture::Cnn] {
        let model = model(architecture);
        let ours = features(&model);
        let activations = model.forward(&normalised(&images()), false).unwrap();
        let labels = images().labels;
        let (logits, hidden) = (rows(&activations.logits), rows(activations.hidden.as_ref().unwrap()));
        let mut naive: BTreeMap<Feature, Vec<f64>> = BTreeMap::new();
        for ((logits, own), &label) in logits.iter().zip(&hidden).zip(&labels) {
            let mut push = |feature, value: f64| naive.entry(feature).or_default().push(value);
            let same = labels.iter().filter(|&&other| other == label).count();
            let label = usize::from(label);
            let total: f64 = logits.iter().map(|z| z.exp()).sum();
            let p: Vec<f64> = logits.iter().map(|z| z.exp() / total).collect();
            push(Feature::Loss, -p[label].ln());
            let others = || p.iter().enumerate().filter(|&(class, _)| class != label).map(|(_, p_j)| *p_j);
            let q = others().map(|p_j| p_j / (1.0 - p[label]));
            push(Feature::Entropy, -q.map(|q_j| q_j * q_j.ln()).sum::<f64>());
            let residual: f64 =
                p.iter().enumerate().map(|(class, p_j)| (p_j - f64::from(u8::from(class == label))).powi(2)).sum();
            push(Feature::GradNorm, (residual * (own.iter().map(|h| h * h).sum::<f64>() + 1.0)).sqrt());
            push(Feature::Margin, p[label] - others().fold(0.0, f64::max));
            push(Feature::ClassFrequency, same as f64 / labels.len() as f64);
            let distance = |other: &Vec<f64>| own.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let mut distances: Vec<f64> = hidden.iter().map(distance).collect();
            distances.sort_by(f64::total_cmp);
            push(Feature::Density, 1.0 / (1.0 + distances[1..11].iter().sum::<f64>() / 10.0));
        }
        assert_eq!(naive.len(), Feature::ALL.len() - 1, "all but forgetting, which takes several epochs");
        for (feature, naive) in naive {
            let tolerance = if feature == Feature::Density { 1e-3 } else { 1e-5 };
            assert_close(ours.column(feature), &naive, tolerance, feature.name());
        }
    }
}

#[test]
fn the_full_gradient_norm_is_over_all_parameters() {
    let model = model(Architecture::Cnn);
    let images = DeviceImages::new(&synthetic::blobs(20, 5, 3), InputScale::Standardised, Device::Cpu);
    let of = |gradient_norm| {
        let request = FeatureRequest { gradient_norm, ..FeatureRequest::default() };
        features_of(&model, &images, CLASSES, &request, &mut |_| Ok(())).unwrap()
    };
    let (full, last) = (of(GradientNorm::Full), of(GradientNorm::LastLayer));
    assert_eq!(full.column(Feature::Loss), last.column(Feature::Loss));
    for (full, last) in full.column(Feature::GradNorm).iter().zip(last.column(Feature::GradNorm)) {
        assert!(full > last, "{full} of all parameters, {last} of the last layer's");
    }
    // The loss falls by t‖g‖² along -t g: of one example, by a small step.
    let (pixels, label) = (normalised(&synthetic::blobs(20, 5, 3)).narrow(0, 0, 1), Tensor::from_slice(&[0i64]));
    let loss = || model.forward(&pixels, false).unwrap().logits.cross_entropy_for_logits(&label);
    let parameters: Vec<Tensor> =
        model.names().iter().map(|name| model.tensor(name).unwrap()).filter(Tensor::requires_grad).collect();
    let before = loss();
    let gradients = Tensor::run_backward(&[&before], &parameters, false, false);
    let step = 1e-4;
    tch::no_grad(|| {
        for (mut parameter, gradient) in parameters.into_iter().zip(&gradients) {
            parameter += gradient * -step;
        }
    });
    let norm = full.column(Feature::GradNorm)[0];
    let fall = before.double_value(&[]) - loss().double_value(&[]);
    assert!((fall / step / norm.powi(2) - 1.0).abs() < 0.05, "{fall} for a gradient of norm {norm}");
}

#[test]
fn the_gradient_norm_is_that_of_automatic_differentiation() {
    let model = model(Architecture::Mlp);
    let ours = features(&model);
    let ours = ours.column(Feature::GradNorm);
    let (weight, bias) = (model.tensor("fc3.weight").unwrap(), model.tensor("fc3.bias").unwrap());
    let (pixels, labels) = (normalised(&images()), images().labels);
    for row in (0..300).step_by(37) {
        let logits = model.forward(&pixels.get(row).unsqueeze(0), false).unwrap().logits;
        let label = Tensor::from_slice(&[i64::from(labels[usize::try_from(row).unwrap()])]);
        let loss = logits.cross_entropy_for_logits(&label);
        let gradients = Tensor::run_backward(&[loss], &[&weight, &bias], false, false);
        let squares: f64 = gradients.iter().map(|g| g.square().sum(Kind::Double).double_value(&[])).sum();
        assert_close(&[ours[usize::try_from(row).unwrap()]], &[squares.sqrt()], 1e-5, "gradient norm");
    }
}

#[test]
fn an_overconfident_network_still_has_finite_features() {
    let mut model = model(Architecture::Mlp);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confident.safetensors");
    tch::no_grad(|| {
        let mut bias = model.tensor("fc3.bias").unwrap();
        // One class has probability 1 to the last bit: 1 - p_y is 0 for its examples.
        let confident = Tensor::from_slice(&[1e4f32, 0.0, 0.0, 0.0, 0.0]);
        bias.copy_(&confident);
    });
    model.save(&path).unwrap();
    model.load(&path).unwrap();
    let features = features(&model);
    for column in Feature::ALL.map(|feature| features.column(feature)) {
        assert!(column.iter().all(|value| value.is_finite()));
    }
    // Where the label is the sure class, the others are still compared among themselves.
    assert!(features.column(Feature::Entropy)[0] > 1.0, "{}", features.column(Feature::Entropy)[0]);
    // Where it is not, the sure class takes all of the rest.
    assert!(features.column(Feature::Entropy)[1] < 1e-12, "{}", features.column(Feature::Entropy)[1]);
}

#[test]
fn two_classes_are_refused() {
    let images = synthetic::blobs(10, 2, 0);
    let model = Model::new(Architecture::Mlp, images.shape, 2, 0, Device::Cpu);
    let images = DeviceImages::new(&images, InputScale::Standardised, Device::Cpu);
    let error = features_of(&model, &images, 2, &FeatureRequest::default(), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, TargetError::TooFewClasses { classes: 2 }), "{error}");
}

#[test]
fn the_parquet_file_holds_the_columns_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.parquet");
    let features = features(&model(Architecture::Mlp));
    write_features(&path, &features, &[]).unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let names = ["loss", "entropy", "grad_norm", "margin", "class_frequency", "density"];
    for (row, read) in reader.get_row_iter(None).unwrap().enumerate() {
        let read = read.unwrap();
        for (column, name) in names.iter().enumerate() {
            let expected = features.column(Feature::named(name).unwrap())[row];
            assert_eq!(read.get_double(column).unwrap().to_bits(), expected.to_bits(), "{name} of row {row}");
        }
    }
    assert_eq!(reader.metadata().file_metadata().num_rows(), 300);
    let schema = reader.metadata().file_metadata().schema_descr();
    let found: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    assert_eq!(found, names);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}
