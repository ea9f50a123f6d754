use super::*;
use crate::data::CropConfig;
use crate::data::synthetic::blobs;

/// Rows and columns of the images.
const SIDE: usize = 12;

/// A value of a crop as bilinear interpolation between pixel centres defines it, by way of nothing else here.
fn pixel_of(image: &[u8], crop: Crop, (row, column): (usize, usize), size: usize) -> f64 {
    let column = if crop.flip { size - 1 - column } else { column };
    let place = |position: usize, first: u32, length: u32| {
        let inside =
            ((position as f64 + 0.5) * f64::from(length) / size as f64 - 0.5).clamp(0.0, f64::from(length - 1));
        f64::from(first) + inside
    };
    let (y, x) = (place(row, crop.top, crop.height), place(column, crop.left, crop.width));
    let mut value = 0.0;
    for (number, pixel) in image.iter().enumerate() {
        let (high, wide) = ((number / SIDE) as f64, (number % SIDE) as f64);
        value += f64::from(*pixel) / PIXEL_MAX * (1.0 - (y - high).abs()).max(0.0) * (1.0 - (x - wide).abs()).max(0.0);
    }
    value
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

#[test]
fn a_batch_of_crops_holds_the_pixels_of_their_boxes_at_the_size_asked_for() {
    let images = blobs(30, 5, 1);
    for size in [8, 12, 15] {
        let config = CropConfig { size: Some(size), ..CropConfig::new(3) };
        let bank = TrainingCrops::draw(config, images.len(), images.shape, 4).unwrap();
        assert!(bank.crops.iter().any(|crop| crop.flip) && bank.crops.iter().any(|crop| !crop.flip));
        let device = DeviceImages::of_crops(&images, bank.clone(), InputScale::Stored, Device::Cpu);
        assert_eq!((device.len(), device.shape()), (90, bank.shape));
        let order: Vec<i64> = (0..90).rev().chain([5, 5]).collect();
        let (pixels, labels) = device.gather(&order);
        let (ours, size) = (values(&pixels), size as usize);
        let labels: Vec<i64> = Vec::try_from(labels).unwrap();
        for (position, &example) in order.iter().enumerate() {
            let crop = bank.crops[usize::try_from(example).unwrap()];
            let image = crop.image as usize;
            let whole = &images.pixels.bytes().unwrap()[image * SIDE * SIDE..][..SIDE * SIDE];
            assert_eq!(labels[position], i64::from(images.labels[image]));
            for place in (0..size).flat_map(|row| (0..size).map(move |column| (row, column))) {
                let value = ours[(position * size + place.0) * size + place.1];
                let expected = pixel_of(whole, crop, place, size);
                assert!((value - expected).abs() < 1e-6, "{crop:?} at {place:?}: {value}, not {expected}");
            }
        }
        // In evaluation too.
        let all = device.gather(&(0..90).collect::<Vec<i64>>()).0;
        assert_eq!(values(&device.range(40, 90).0), values(&all.narrow(0, 40, 50)));
    }
}

#[test]
fn images_held_out_are_whole_and_of_the_size_of_the_crops() {
    let images = blobs(10, 5, 1);
    let bank = |size| {
        let config = CropConfig { size: Some(size), ..CropConfig::new(2) };
        let bank = TrainingCrops::draw(config, images.len(), images.shape, 4).unwrap();
        DeviceImages::of_crops(&images, bank, InputScale::Standardised, Device::Cpu)
    };
    let held_out = |size| DeviceImages::like(&images, &bank(size));
    let whole = DeviceImages::new(&images, InputScale::Standardised, Device::Cpu);
    assert_eq!(values(&held_out(12).range(0, 10).0), values(&whole.range(0, 10).0), "as they are");
    let half = held_out(6);
    assert_eq!((half.len(), half.labels().unwrap()), (10, whole.labels().unwrap()));
    // Each value is the mean of four.
    let expected = whole.range(0, 10).0.avg_pool2d(2, 2, 0, false, true, None);
    let difference = (half.range(0, 10).0 - expected).abs().max().double_value(&[]);
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn pixels_of_imagenet_stay_on_the_host_and_those_of_cifar_do_not() {
    let gpu = Device::Cuda(1);
    assert_eq!(keeper(1_281_167 * 3 * 256 * 256, gpu), Device::Cpu);
    assert_eq!(keeper(50_000 * 3 * 32 * 32, gpu), gpu);
    assert_eq!(keeper(usize::MAX, Device::Cpu), Device::Cpu);
    let images = blobs(3, 2, 1);
    assert_eq!(images.pixels.size_of(), 3 * SIDE * SIDE);
    assert_eq!(Values::Floats(vec![0.0; 5]).size_of(), 20);
}
