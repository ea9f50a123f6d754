//! The built-in networks have the sizes and names they are known for.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use swift_sampler_searcher::data::ImageShape;
use swift_sampler_searcher::target::{Architecture, Precision};
use swift_sampler_searcher::torch::Model;
use tch::{Device, Kind, Tensor};

const GREY_28: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

fn model(architecture: Architecture, shape: ImageShape, classes: usize) -> Model {
    Model::new(architecture, shape, classes, 0, Device::Cpu)
}

fn check_forward(model: &Model, shape: ImageShape, hidden: i64, classes: i64) {
    let size = [2, shape.channels, shape.height, shape.width].map(|size| i64::try_from(size).unwrap());
    let images = Tensor::linspace(-1.0, 1.0, size.iter().product(), (Kind::Float, Device::Cpu)).reshape(size);
    for training in [false, true] {
        let activations = model.forward(&images, training).unwrap();
        assert_eq!(activations.hidden.unwrap().size(), [2, hidden]);
        assert_eq!(activations.logits.size(), [2, classes]);
        assert_eq!(activations.logits.isfinite().all().int64_value(&[]), 1);
    }
}

#[test]
fn the_perceptron_has_535818_parameters() {
    let model = model(Architecture::Mlp, GREY_28, 10);
    assert_eq!(model.parameters(), 785 * 512 + 513 * 256 + 257 * 10);
    assert_eq!(model.parameters(), 535_818);
    check_forward(&model, GREY_28, 256, 10);
}

#[test]
fn the_small_residual_network_has_77754_parameters() {
    let model = model(Architecture::Cnn, GREY_28, 10);
    assert_eq!(model.parameters(), 77_754);
    for side in [28, 64] {
        check_forward(&model, ImageShape { channels: 1, height: side, width: side }, 64, 10);
    }
}

/// A network for 1000 classes whose weights are all 0: only their sizes are of interest.
fn of_imagenet(architecture: Architecture) -> Model {
    Model::blank(architecture, ImageShape { channels: 3, height: 224, width: 224 }, 1000, Device::Cpu)
}

#[test]
fn architectures_have_the_parameters_that_are_published_for_1000_classes() {
    for (architecture, parameters) in [
        (Architecture::MobilenetV2, 3_504_872),
        (Architecture::EfficientnetB0, 5_288_548),
        (Architecture::Resnet18, 11_689_512),
        (Architecture::Resnet34, 21_797_672),
        (Architecture::Resnet50, 25_557_032),
        (Architecture::Resnet101, 44_549_160),
        (Architecture::SeResnext50, 27_559_896),
        (Architecture::SeResnext101, 48_955_416),
        (Architecture::VitTiny, 5_717_416),
        (Architecture::SwinT, 28_288_354),
        (Architecture::SwinB, 87_768_224),
    ] {
        assert_eq!(of_imagenet(architecture).parameters(), parameters, "{}", architecture.name());
    }
}

#[test]
fn networks_take_small_grey_images_and_give_their_hidden_layer() {
    for (architecture, hidden) in [
        (Architecture::MobilenetV2, 1280),
        (Architecture::EfficientnetB0, 1280),
        (Architecture::Resnet34, 512),
        (Architecture::Resnet50, 2048),
        (Architecture::SeResnext50, 2048),
        (Architecture::VitTiny, 192),
        (Architecture::SwinT, 768),
    ] {
        // Sizes only: client/python/tests/test_pretrained_weights.py compares numbers.
        check_forward(&Model::blank(architecture, GREY_28, 10, Device::Cpu), GREY_28, hidden, 10);
    }
}

#[test]
fn every_network_trains_in_bf16_with_weights_gradients_and_logits_of_32_bits() {
    let size = [2, 1, 28, 28];
    let images = Tensor::linspace(-1.0, 1.0, size.iter().product(), (Kind::Float, Device::Cpu)).reshape(size);
    for architecture in [
        Architecture::Mlp,
        Architecture::Cnn,
        Architecture::MobilenetV2,
        Architecture::EfficientnetB0,
        Architecture::Resnet18,
        Architecture::SeResnext50,
        Architecture::VitTiny,
        Architecture::SwinT,
    ] {
        let mut model = Model::blank(architecture, GREY_28, 10, Device::Cpu);
        model.train_in(Precision::Bf16).unwrap();
        let logits = model.forward(&images, true).unwrap().logits;
        assert_eq!(logits.kind(), Kind::Float, "{}", architecture.name());
        logits.square().sum(Kind::Float).backward();
        for name in model.names() {
            let tensor = model.tensor(&name).unwrap();
            assert_eq!(tensor.kind(), Kind::Float, "{} {name}", architecture.name());
            let gradient = tensor.grad();
            assert_eq!(gradient.defined(), tensor.requires_grad(), "{} {name}", architecture.name());
            assert!(!gradient.defined() || gradient.kind() == Kind::Float, "{} {name}", architecture.name());
        }
    }
    // What is measured is in 32 bits.
    let mut model = model(Architecture::Cnn, GREY_28, 10);
    let exact = model.forward(&images, false).unwrap().logits;
    model.train_in(Precision::Bf16).unwrap();
    assert_eq!(model.forward(&images, false).unwrap().logits, exact);
}

#[test]
fn resnet18_has_the_names_of_torchvision() {
    let shape = ImageShape { channels: 3, height: 96, width: 96 };
    let model = model(Architecture::Resnet18, shape, 1000);
    check_forward(&model, shape, 512, 1000);
    let names = model.names();
    // 62 parameters and the running mean and variance of 20 batch norms.
    assert_eq!(names.len(), 62 + 40);
    for name in [
        "conv1.weight",
        "bn1.running_var",
        "layer1.1.conv2.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_mean",
        "layer4.1.bn2.bias",
        "fc.weight",
        "fc.bias",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} is missing from {names:?}");
    }
    assert_eq!(model.tensor("conv1.weight").unwrap().size(), [64, 3, 7, 7]);
}

#[test]
fn resnet18_keeps_the_resolution_of_small_images() {
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let model = model(Architecture::Resnet18, shape, 10);
    // The count that is known of ResNet-18 on CIFAR-10.
    assert_eq!(model.parameters(), 11_173_962);
    assert_eq!(model.tensor("conv1.weight").unwrap().size(), [64, 3, 3, 3]);
    check_forward(&model, shape, 512, 10);
}

#[test]
fn initial_weights_are_a_function_of_the_seed() {
    let weight = |seed| {
        let model = Model::new(Architecture::Mlp, GREY_28, 10, seed, Device::Cpu);
        model.tensor("fc1.weight").unwrap()
    };
    assert!(weight(1).equal(&weight(1)));
    assert!(!weight(1).equal(&weight(2)));
    let bound = 1.0 / 28.0;
    assert!(weight(1).abs().max().double_value(&[]) <= bound);
    let deviation = weight(1).std(true).double_value(&[]);
    assert!((deviation - bound / 3.0_f64.sqrt()).abs() < 1e-4, "{deviation}");
}

#[test]
fn initial_weights_have_the_deviations_of_their_papers() {
    let (mobilenet, vit) = (model(Architecture::MobilenetV2, GREY_28, 10), model(Architecture::VitTiny, GREY_28, 10));
    for (model, name, deviation, tolerance) in [
        // He et al.: 2 over the outputs times the kernel's area.
        (&mobilenet, "features.18.0.weight", (2.0_f64 / 1280.0).sqrt(), 0.01),
        (&mobilenet, "features.17.conv.1.0.weight", (2.0_f64 / (960.0 * 9.0)).sqrt(), 0.04),
        (&mobilenet, "classifier.1.weight", 0.01, 0.03),
        (&vit, "blocks.11.mlp.fc2.weight", 0.02, 0.01),
        (&vit, "pos_embed", 0.02, 0.04),
        (&vit, "head.weight", 0.02, 0.08),
        // Uniform within 1 over the root of the inputs.
        (&vit, "patch_embed.proj.weight", 0.25 / 3.0_f64.sqrt(), 0.04),
    ] {
        let weight = model.tensor(name).unwrap();
        let (found, mean) = (weight.std(true).double_value(&[]), weight.mean(Kind::Double).double_value(&[]));
        assert!((found / deviation - 1.0).abs() < tolerance, "{name}: {found}, not {deviation}");
        assert!(mean.abs() < deviation * tolerance, "{name}: a mean of {mean}");
    }
    for (model, name) in [(&mobilenet, "classifier.1.bias"), (&vit, "blocks.0.attn.qkv.bias"), (&vit, "head.bias")] {
        assert_eq!(model.tensor(name).unwrap().count_nonzero(None).int64_value(&[]), 0, "{name}");
    }
}
