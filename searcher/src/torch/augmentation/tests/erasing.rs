use tch::{Device, Kind, Tensor};

use super::super::erasing::{erase, part};
use super::{assert_uniform, mean, values};
use crate::data::crops::Part;
use crate::randomness::Randomness;

#[test]
fn a_quarter_of_the_images_loses_a_part_of_two_to_thirty_three_percent() {
    let mut randomness = Randomness::new(1);
    let drawn: Vec<Option<Part>> = (0..20_000).map(|_| part(&mut randomness, 224, 224)).collect();
    let parts: Vec<Part> = drawn.into_iter().flatten().collect();
    assert!((parts.len() as f64 / 20_000.0 - 0.25).abs() < 0.016, "{}", parts.len());
    for Part { top, left, height, width } in &parts {
        assert!(top + height <= 224 && left + width <= 224);
        let (area, ratio) = ((height * width) as f64 / 224.0_f64.powi(2), *height as f64 / *width as f64);
        assert!((0.019..0.34).contains(&area) && (0.29..3.5).contains(&ratio), "{area} {ratio}");
    }
    // Up to 20% of the area every ratio but the widest fits, where areas are uniform.
    let small: Vec<f64> = parts.iter().map(|part| (part.height * part.width) as f64 / 224.0_f64.powi(2)).collect();
    assert_uniform(small.into_iter().filter(|area| (0.03..0.2).contains(area)).collect(), 0.03, 0.2);
}

#[test]
fn erased_pixels_are_standard_normal_and_the_rest_stays() {
    let images = Tensor::full([4000, 1, 12, 12], 7.0, (Kind::Float, Device::Cpu));
    let erased = erase(&images, 1, 0);
    let pixels: Vec<f64> = values(&erased).into_iter().filter(|&value| (value - 7.0).abs() > 1e-6).collect();
    // A quarter of 17.5% of the pixels.
    let share = pixels.len() as f64 / (4000.0 * 144.0);
    assert!((share - 0.25 * 0.175).abs() < 0.006, "{share}");
    let squares: Vec<f64> = pixels.iter().map(|pixel| pixel * pixel).collect();
    // All images' noise is of 288 numbers: their mean is 0 ± .06, their mean square 1 ± .08.
    assert!(mean(&pixels).abs() < 0.3 && (mean(&squares) - 1.0).abs() < 0.4);
    assert_eq!(erased, erase(&images, 1, 0));
    assert_ne!(erased, erase(&images, 1, 1));
}
