//! Features agree with their formulas, and the gradient norm with automatic differentiation.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use swift_sampler_searcher::data::{LabelledImages, synthetic};
use swift_sampler_searcher::target::{Architecture, InputScale, TargetError};
use swift_sampler_searcher::torch::{DeviceImages, FeatureColumns, Model, features_of, write_features};
use tch::{Device, Kind, Tensor};

const CLASSES: usize = 5;

fn images() -> LabelledImages {
    // More than one evaluation batch, with a short last one.
    synthetic::blobs(300, 5, 3)
}

fn model(architecture: Architecture) -> Model {
    Model::new(architecture, images().shape, CLASSES, 4, Device::Cpu)
}

fn features(model: &Model) -> FeatureColumns {
    let images = DeviceImages::new(&images(), InputScale::Standardised, Device::Cpu);
    features_of(model, &images, CLASSES, &mut |_| Ok(())).unwrap()
}

/// The images as the documentation says that they are normalised, computed here on its own.
fn normalised() -> Tensor {
    let images = images();
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
        let activations = model.forward(&normalised(), false).unwrap();
        let labels = images().labels;
        let mut naive = FeatureColumns::default();
        for ((logits, hidden), &label) in
            rows(&activations.logits).iter().zip(rows(activations.hidden.as_ref().unwrap())).zip(&labels)
        {
            let label = usize::from(label);
            let total: f64 = logits.iter().map(|z| z.exp()).sum();
            let p: Vec<f64> = logits.iter().map(|z| z.exp() / total).collect();
            naive.loss.push(-p[label].ln());
            let q = p.iter().enumerate().filter(|&(class, _)| class != label).map(|(_, p_j)| p_j / (1.0 - p[label]));
            naive.entropy.push(-q.map(|q_j| q_j * q_j.ln()).sum::<f64>());
            let residual: f64 =
                p.iter().enumerate().map(|(class, p_j)| (p_j - f64::from(u8::from(class == label))).powi(2)).sum();
            let hidden: f64 = hidden.iter().map(|h| h * h).sum();
            naive.grad_norm.push((residual * (hidden + 1.0)).sqrt());
        }
        assert_close(&ours.loss, &naive.loss, 1e-5, "loss");
        assert_close(&ours.entropy, &naive.entropy, 1e-5, "entropy");
        assert_close(&ours.grad_norm, &naive.grad_norm, 1e-5, "gradient norm");
    }
}

#[test]
fn the_gradient_norm_is_that_of_automatic_differentiation() {
    let model = model(Architecture::Mlp);
    let ours = features(&model).grad_norm;
    let (weight, bias) = (model.tensor("fc3.weight").unwrap(), model.tensor("fc3.bias").unwrap());
    let (pixels, labels) = (normalised(), images().labels);
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
    for column in [&features.loss, &features.entropy, &features.grad_norm] {
        assert!(column.iter().all(|value| value.is_finite()));
    }
    // Where the label is the sure class, the others are still compared among themselves.
    assert!(features.entropy[0] > 1.0, "{}", features.entropy[0]);
    // Where it is not, the sure class takes all of the rest.
    assert!(features.entropy[1] < 1e-12, "{}", features.entropy[1]);
}

#[test]
fn two_classes_are_refused() {
    let images = synthetic::blobs(10, 2, 0);
    let model = Model::new(Architecture::Mlp, images.shape, 2, 0, Device::Cpu);
    let error =
        features_of(&model, &DeviceImages::new(&images, InputScale::Standardised, Device::Cpu), 2, &mut |_| Ok(()))
            .unwrap_err();
    assert!(matches!(error, TargetError::TooFewClasses { classes: 2 }), "{error}");
}

#[test]
fn the_parquet_file_holds_the_columns_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.parquet");
    let features = features(&model(Architecture::Mlp));
    write_features(&path, &features).unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let mut read = FeatureColumns { gradient_norm_with_hidden: true, ..FeatureColumns::default() };
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        read.loss.push(row.get_double(0).unwrap());
        read.entropy.push(row.get_double(1).unwrap());
        read.grad_norm.push(row.get_double(2).unwrap());
    }
    assert_eq!(read, features);
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, ["loss", "entropy", "grad_norm"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}
