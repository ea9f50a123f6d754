mod erasing;
mod mixing;
mod rand_augment;
mod torchvision;

use tch::{Device, IndexOp, Kind};

use super::colour_jitter::Change;
use super::*;

const COUNT: i64 = 4000;

/// The same image many times, k × channels × height × width.
fn copies(image: &Tensor) -> Tensor {
    image.unsqueeze(0).expand([COUNT, -1, -1, -1], false).contiguous()
}

/// As [`augment`], with grey where an image that is moved leaves nothing.
fn changed(images: Tensor, augmentation: Augmentation, seed: u64, step: u64) -> Tensor {
    let fill = Tensor::full([1, images.size()[1], 1, 1], 0.5, (Kind::Float, Device::Cpu));
    augment(images, augmentation, &fill, seed, step)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether numbers are uniform in an interval: Kolmogorov and Smirnov's distance, at a level of about 1e-6.
fn assert_uniform(mut values: Vec<f64>, low: f64, high: f64) {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let distance = values
        .iter()
        .enumerate()
        .map(|(rank, value)| ((rank as f64 + 0.5) / count - (value - low) / (high - low)).abs());
    let distance = distance.fold(0.0, f64::max);
    assert!(distance < 2.7 / count.sqrt(), "{distance}, from {} to {}", values[0], values[values.len() - 1]);
}

#[test]
fn a_flip_mirrors_half_of_the_images_and_changes_nothing_else() {
    let image = Tensor::rand([3, 6, 7], (Kind::Float, Device::Cpu));
    let flipped = changed(copies(&image), Augmentation::Flip, 1, 0);
    let is = |other: &Tensor| flipped.eq_tensor(&other.unsqueeze(0)).flatten(1, -1).all_dim(1, false).sum(Kind::Int64);
    let (same, mirrored) = (is(&image).int64_value(&[]), is(&image.flip([2])).int64_value(&[]));
    assert_eq!(same + mirrored, COUNT);
    // Five standard deviations.
    assert!((same - COUNT / 2).abs() < 160, "{same}");
}

#[test]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places below 162")]
fn a_shift_is_uniform_over_nine_places_each_way_with_black_behind() {
    // A bright pixel, and at its right a dim one that tells whether the image is mirrored.
    let image = Tensor::zeros([1, 16, 16], (Kind::Float, Device::Cpu));
    let _filled = (image.i((0, 8, 5)).fill_(1.0), image.i((0, 8, 6)).fill_(0.5));
    let shifted = changed(copies(&image), Augmentation::Cifar, 1, 0);
    assert_eq!(shifted.size(), [COUNT, 1, 16, 16]);
    let mut seen = vec![0_u32; 2 * 81];
    for number in 0..COUNT {
        let one = shifted.i((number, 0));
        assert!((one.sum(Kind::Double).double_value(&[]) - 1.5).abs() < 1e-9, "pixels are lost or doubled");
        let bright = one.argmax(None, false).int64_value(&[]);
        let (row, column) = (bright / 16, bright % 16);
        let mirrored = one.i((row, column - 1)).double_value(&[]) > 0.0;
        let column = if mirrored { 15 - column } else { column };
        let (down, across) = (row - 4, column - 1);
        assert!((0..9).contains(&down) && (0..9).contains(&across), "{row} {column}");
        seen[(i64::from(mirrored) * 81 + down * 9 + across) as usize] += 1;
    }
    let expected = COUNT as f64 / 162.0;
    let chi_squared: f64 = seen.iter().map(|&seen| (f64::from(seen) - expected).powi(2) / expected).sum();
    // The 1 - 1e-6 quantile of χ² with 161 degrees of freedom is about 258.
    assert!(chi_squared < 258.0, "{chi_squared}");
}

#[test]
fn colours_change_by_uniform_and_independent_amounts_in_every_order() {
    let mut randomness = Randomness::new(3);
    let drawn: Vec<_> = (0..COUNT).map(|_| colour_jitter::draw(&mut randomness)).collect();
    let amounts = |change: Change| -> Vec<f64> {
        drawn.iter().map(|order| order.iter().find(|(of, _)| *of == change).expect("each is there").1).collect()
    };
    let [brightness, contrast, saturation, hue] =
        [Change::Brightness, Change::Contrast, Change::Saturation, Change::Hue].map(amounts);
    for factors in [&brightness, &contrast, &saturation] {
        assert_uniform(factors.clone(), 0.6, 1.4);
    }
    assert_uniform(hue, -0.1, 0.1);
    let correlation = |a: &[f64], b: &[f64]| {
        let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a - 1.0) * (b - 1.0)).collect();
        mean(&products) / (0.8_f64.powi(2) / 12.0)
    };
    for (a, b) in [(&brightness, &contrast), (&brightness, &saturation), (&contrast, &saturation)] {
        assert!(correlation(a, b).abs() < 0.08, "{}", correlation(a, b));
    }
    let mut orders = std::collections::BTreeMap::<Vec<Change>, u32>::new();
    for order in &drawn {
        *orders.entry(order.iter().map(|(change, _)| *change).collect()).or_default() += 1;
    }
    assert_eq!(orders.len(), 24);
    let expected = COUNT as f64 / 24.0;
    let chi_squared: f64 = orders.values().map(|&seen| (f64::from(seen) - expected).powi(2) / expected).sum();
    // The 1 - 1e-6 quantile of χ² with 23 degrees of freedom is about 71.
    assert!(chi_squared < 71.0, "{chi_squared}");
}

#[test]
fn grey_images_have_no_saturation_and_all_values_stay_within_bounds() {
    for (channels, augmentation) in
        [(1, Augmentation::Imagenet), (3, Augmentation::Imagenet), (1, Augmentation::Swin), (3, Augmentation::Swin)]
    {
        let images = Tensor::rand([200, channels, 12, 12], (Kind::Float, Device::Cpu));
        let changed = changed(images.shallow_clone(), augmentation, 1, 0);
        assert_eq!(changed.size(), images.size());
        let (least, most) = (changed.min().double_value(&[]), changed.max().double_value(&[]));
        assert!(least >= 0.0 && most <= 1.0, "{least} {most}");
        assert!((changed - images).abs().mean(Kind::Double).double_value(&[]) > 0.05);
    }
}

#[test]
fn what_is_drawn_follows_seed_and_step_and_nothing_else() {
    let images = Tensor::rand([64, 3, 12, 12], (Kind::Float, Device::Cpu));
    for augmentation in [Augmentation::Flip, Augmentation::Cifar, Augmentation::Imagenet, Augmentation::Swin] {
        let changed = |seed, step| changed(images.shallow_clone(), augmentation, seed, step);
        let first = changed(1, 2);
        tch::manual_seed(5);
        assert_eq!(first, changed(1, 2));
        assert_ne!(first, changed(1, 3));
        assert_ne!(first, changed(2, 2));
    }
    assert_eq!(changed(images.shallow_clone(), Augmentation::None, 1, 2), images);
}
