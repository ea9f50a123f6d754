use tch::{Device, Kind, Tensor};

use super::super::mixing::{Mix, mix};
use super::{assert_uniform, values};
use crate::randomness::Randomness;
use crate::target::Mixing;

const BOTH: Mixing = Mixing { mixup: 0.8, cutmix: 1.0 };

fn images() -> Tensor {
    Tensor::rand([5, 2, 8, 10], (Kind::Float, Device::Cpu))
}

/// Pixel of an image, by the place in a list of all.
fn at(values: &[f64], [image, channel, row, column]: [usize; 4]) -> f64 {
    values[((image * 2 + channel) * 8 + row) * 10 + column]
}

fn places() -> impl Iterator<Item = [usize; 4]> {
    (0..5 * 2 * 8 * 10).map(|place| [place / 160, place / 80 % 2, place / 10 % 8, place % 10])
}

#[test]
fn a_blend_is_a_weighted_mean_with_the_image_from_the_other_end() {
    let images = images();
    let (mixed, share) = Mix::Blend(0.3).apply(&images);
    let (before, after) = (values(&images), values(&mixed));
    for [image, channel, row, column] in places() {
        let partner = at(&before, [4 - image, channel, row, column]);
        let place = [image, channel, row, column];
        assert!((at(&after, place) - 0.3 * at(&before, place) - 0.7 * partner).abs() < 1e-6);
    }
    assert!((share - 0.3).abs() < 1e-12);
}

#[test]
fn a_paste_takes_a_rectangle_from_the_other_end_and_its_area_is_the_partners_share() {
    let images = images();
    let (mixed, share) = Mix::Paste { from: [2, 1], size: [5, 6] }.apply(&images);
    let (before, after) = (values(&images), values(&mixed));
    for [image, channel, row, column] in places() {
        let inside = (2..7).contains(&row) && (1..7).contains(&column);
        let source = if inside { 4 - image } else { image };
        let (found, expected) =
            (at(&after, [image, channel, row, column]), at(&before, [source, channel, row, column]));
        assert!((found - expected).abs() < 1e-12);
    }
    assert!((share - (1.0 - 30.0 / 80.0)).abs() < 1e-12);
}

#[test]
fn half_of_the_batches_are_blended_and_areas_that_are_pasted_are_uniform_before_they_are_cut_off() {
    let mut randomness = Randomness::new(4);
    let drawn: Vec<Mix> = (0..8000).map(|_| Mix::draw(&mut randomness, BOTH, 200, 200)).collect();
    let blends = drawn.iter().filter(|mix| matches!(mix, Mix::Blend(_))).count();
    // Five standard deviations.
    assert!(blends.abs_diff(4000) < 225, "{blends}");
    let mut whole = Vec::new();
    for mix in drawn {
        match mix {
            Mix::Blend(share) => assert!((0.0..=1.0).contains(&share)),
            Mix::Paste { from, size } => {
                assert!((0..2).all(|axis| from[axis] >= 0 && size[axis] >= 0 && from[axis] + size[axis] <= 200));
                if (0..2).all(|axis| from[axis] > 0 && from[axis] + size[axis] < 200) {
                    whole.push((size[0] * size[1]) as f64 / 40_000.0);
                }
            }
        }
    }
    // A square of side s lies inside with probability (1 - s)²: of an area a = s² the density is 6 (1 - √a)², with the distribution
    // a (6 - 8 √a + 3 a).
    assert_uniform(whole.into_iter().map(|area| area * (6.0 - 8.0 * area.sqrt() + 3.0 * area)).collect(), 0.0, 1.0);
    let only = |mixing| {
        let mut randomness = Randomness::new(4);
        (0..50).all(|_| matches!(Mix::draw(&mut randomness, mixing, 9, 9), Mix::Blend(_)))
    };
    assert!(only(Mixing { mixup: 0.8, cutmix: 0.0 }) && !only(Mixing { mixup: 0.0, cutmix: 1.0 }));
}

#[test]
fn labels_of_partners_are_in_reverse_and_batches_follow_seed_and_step() {
    let (images, labels) = (images(), Tensor::from_slice(&[3_i64, 1, 4, 1, 5]));
    let (mixed, partners) = mix(images.shallow_clone(), &labels, BOTH, 1, 2);
    let partners = partners.unwrap();
    assert_eq!(Vec::<i64>::try_from(&partners.labels).unwrap(), [5, 1, 4, 1, 3]);
    let again = |seed, step| mix(images.shallow_clone(), &labels, BOTH, seed, step).0;
    assert_eq!(mixed, again(1, 2));
    assert!(mixed != again(1, 3) && mixed != again(2, 2));
    let (same, none) = mix(images.shallow_clone(), &labels, Mixing::default(), 1, 2);
    assert!(none.is_none() && same == images);
}
