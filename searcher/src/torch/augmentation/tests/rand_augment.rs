use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::super::rand_augment::{Change, draw, rand_augment};
use crate::randomness::Randomness;

#[test]
fn half_of_what_is_drawn_is_done_and_every_change_as_often() {
    let mut randomness = Randomness::new(1);
    let mut seen = BTreeMap::<Change, u32>::new();
    for _ in 0..30_000 {
        if let Some((change, _)) = draw(&mut randomness) {
            *seen.entry(change).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), Change::ALL.len());
    // Each is done 1,000 times of 30,000, with a standard deviation of 31.
    assert!(seen.values().all(|&seen| (850..1150).contains(&seen)), "{seen:?}");
}

#[test]
fn amounts_are_timms_at_levels_about_nine_tenths() {
    let both = |change: Change, level: f64| [change.amount(level, false), change.amount(level, true)];
    let close = |found: [f64; 2], expected: [f64; 2]| {
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{found:?}");
    };
    // By hand of timm's level functions at magnitude 9 of 10.
    close(both(Change::Rotate, 0.9), [27.0, -27.0]);
    close(both(Change::Posterize, 0.9), [1.0, 1.0]);
    close(both(Change::Solarize, 0.9), [26.0, 26.0]);
    close(both(Change::SolarizeAdd, 0.9), [99.0, 99.0]);
    close(both(Change::Brightness, 0.9), [1.81, 0.19]);
    close(both(Change::Sharpness, 1.0), [1.9, 0.1]);
    close(both(Change::ShearX, 0.9), [0.27, -0.27]);
    close(both(Change::ShiftY, 0.9), [0.405, -0.405]);
    let mut randomness = Randomness::new(2);
    let degrees: Vec<f64> = (0..90_000)
        .filter_map(|_| draw(&mut randomness).filter(|(change, _)| *change == Change::Rotate))
        .map(|(_, degrees)| degrees)
        .collect();
    let mean = |of: &dyn Fn(f64) -> f64| degrees.iter().map(|&degrees| of(degrees)).sum::<f64>() / degrees.len() as f64;
    // 3 degrees a unit of magnitude 9 ± .5, which 10 cuts off; both ways as often.
    assert!((mean(&f64::abs) - 27.0).abs() < 0.2 && mean(&f64::signum).abs() < 0.1);
    let deviation = mean(&|degrees| (degrees.abs() - 27.0).powi(2)).sqrt();
    assert!((1.3..1.55).contains(&deviation), "{deviation}");
    assert!(degrees.iter().all(|degrees| degrees.abs() <= 30.0));
}

#[test]
fn each_image_is_changed_as_if_it_were_alone() {
    let images = Tensor::rand([40, 3, 10, 12], (Kind::Float, Device::Cpu));
    let fill = Tensor::from_slice(&[0.2_f32, 0.5, 0.7]).reshape([1, 3, 1, 1]);
    let together = rand_augment(images.shallow_clone(), &fill, &mut Randomness::new(9));
    let mut randomness = Randomness::new(9);
    for (position, together) in together.unbind(0).iter().enumerate() {
        let alone = rand_augment(images.narrow(0, position as i64, 1), &fill, &mut randomness);
        assert!((alone.squeeze_dim(0) - together).abs().max().double_value(&[]) < 1e-5, "image {position}");
    }
}
