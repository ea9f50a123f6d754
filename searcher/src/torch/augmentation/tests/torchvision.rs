//! Changes are torchvision's: tests/fixtures/augmentation/make_augmentation.py wrote what that makes of the same images.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::super::affine::{Affine, transform};
use super::super::{colours, tones};

struct Fixture(BTreeMap<String, Tensor>);

impl Fixture {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augmentation/torchvision.safetensors");
        Self(Tensor::read_safetensors(path).unwrap().into_iter().collect())
    }

    fn get(&self, name: &str) -> &Tensor {
        &self.0[name]
    }

    fn amounts(&self, name: &str) -> Tensor {
        self.get(&format!("{name}.amounts")).reshape([-1, 1, 1, 1])
    }

    /// Compares with what torchvision made; values are in 0..=1.
    fn assert_is(&self, name: &str, changed: &Tensor, tolerance: f64) {
        let difference = (changed - self.get(name)).abs().max().double_value(&[]);
        assert!(difference <= tolerance, "{name}: {difference}");
        let before = self.get(if name == "equalize" { "large" } else { "images" });
        assert!((changed - before).abs().max().double_value(&[]) > 0.1, "{name} changes nothing");
    }
}

#[test]
fn colours_are_torchvisions_to_rounding() {
    let fixture = Fixture::read();
    let images = fixture.get("images");
    for (name, change) in [
        ("brightness", colours::brightness as fn(&Tensor, &Tensor) -> Tensor),
        ("contrast", colours::contrast),
        ("saturation", colours::saturation),
        ("sharpness", colours::sharpness),
        ("hue", colours::hue),
    ] {
        fixture.assert_is(name, &change(images, &fixture.amounts(name)), 1e-5);
    }
    let amount = |value: f32| Tensor::from_slice(&[value]).to_device(Device::Cpu).reshape([1, 1, 1, 1]);
    let jittered = colours::hue(images, &amount(0.07));
    let jittered = colours::saturation(&colours::contrast(&jittered, &amount(1.3)), &amount(0.7));
    fixture.assert_is("jitter", &colours::brightness(&jittered, &amount(1.2)), 1e-5);
}

#[test]
fn tones_are_torchvisions_to_the_byte() {
    let fixture = Fixture::read();
    let images = fixture.get("images");
    let exact = 1e-6;
    fixture.assert_is("auto_contrast", &tones::auto_contrast(images), exact);
    fixture.assert_is("equalize", &tones::equalize(fixture.get("large")), exact);
    fixture.assert_is("invert", &tones::invert(images), exact);
    fixture.assert_is("posterize", &tones::posterize(images, &fixture.amounts("posterize")), exact);
    fixture.assert_is("solarize", &tones::solarize(images, &fixture.amounts("solarize")), exact);
}

#[test]
fn dark_bytes_and_no_others_are_added_to_up_to_white() {
    let bytes = Tensor::from_slice(&[0_f32, 20.0, 127.0, 128.0, 255.0]).reshape([1, 1, 1, 5]) / 255.0;
    let both = Tensor::cat(&[&bytes, &bytes], 0);
    let added = tones::solarize_add(&both, &Tensor::from_slice(&[99_f32, 128.0]).reshape([2, 1, 1, 1])) * 255.0;
    let added = Vec::<f64>::try_from(added.round().to_kind(Kind::Double).flatten(0, -1)).unwrap();
    assert_eq!(added, [99.0, 119.0, 226.0, 128.0, 255.0, 128.0, 148.0, 255.0, 128.0, 255.0]);
}

#[test]
fn turned_sheared_and_shifted_images_are_torchvisions_to_rounding() {
    let fixture = Fixture::read();
    let images = fixture.get("images");
    let black = Tensor::zeros([1, 3, 1, 1], (Kind::Float, Device::Cpu));
    let fill = Tensor::from_slice(&[0.5_f32, 0.25, 0.75]).reshape([1, 3, 1, 1]);
    let (_, _, height, width) = images.size4().unwrap();
    let (rotate, shift_x, shift_y) = (
        |degrees: f64| Affine::rotation(degrees, height, width),
        |share: f64| Affine::shift(share * width as f64, 0.0),
        |share: f64| Affine::shift(0.0, share * height as f64),
    );
    let maps: [(&str, &dyn Fn(f64) -> Affine); 5] = [
        ("rotate", &rotate),
        ("shear_x", &Affine::shear_x),
        ("shear_y", &Affine::shear_y),
        ("shift_x", &shift_x),
        ("shift_y", &shift_y),
    ];
    for (name, map) in maps {
        let amounts = Vec::<f64>::try_from(fixture.amounts(name).to_kind(Kind::Double).flatten(0, -1)).unwrap();
        let maps: Vec<Affine> = amounts.into_iter().map(map).collect();
        let on_black = transform(images, &maps, &black);
        fixture.assert_is(name, &on_black, 1e-5);
        // Between pixels within and without, both count by their distance.
        let within = transform(&images.ones_like(), &maps, &black);
        let expected: Tensor = on_black + (1.0 - within) * &fill;
        assert!((transform(images, &maps, &fill) - expected).abs().max().double_value(&[]) < 1e-5, "{name}");
    }
}
