//! Changes of colour, each image of a batch by an amount of its own, as torchvision's functions of the same names (`adjust_…`)
//! and Pillow's `ImageEnhance` have them. Images are f32 in 0..=1, k × channels × height × width, amounts k × 1 × 1 × 1. What leaves
//! 0..=1 is cut off.

use tch::{Kind, Tensor};

use crate::torch::images::to_i64;

/// Share of red, green and blue in grey (ITU-R BT.601).
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];
/// Weight of a pixel and of each around it in what images are sharper or less sharp than, for a sum of 1.
const SMOOTH: (f64, f64) = (5.0 / 13.0, 1.0 / 13.0);

/// Multiplies values by a factor.
pub(super) fn brightness(images: &Tensor, factors: &Tensor) -> Tensor {
    (images * factors).clamp(0.0, 1.0)
}

/// Multiplies the distance to the image's mean grey by a factor.
pub(super) fn contrast(images: &Tensor, factors: &Tensor) -> Tensor {
    blend(images, &grey(images).mean_dim([1i64, 2, 3].as_slice(), true, Kind::Float), factors)
}

/// Multiplies the distance to the pixel's own grey by a factor; only colours have one.
pub(super) fn saturation(images: &Tensor, factors: &Tensor) -> Tensor {
    if is_colour(images) { blend(images, &grey(images), factors) } else { images.shallow_clone() }
}

/// Multiplies the distance to the smoothed image by a factor; the outermost pixels stay.
pub(super) fn sharpness(images: &Tensor, factors: &Tensor) -> Tensor {
    let (_, channels, height, width) = images.size4().expect("images are k × channels × height × width");
    if height <= 2 || width <= 2 {
        return images.shallow_clone();
    }
    let kernel = Tensor::full([channels, 1, 3, 3], SMOOTH.1, (images.kind(), images.device()));
    let _centre = kernel.narrow(2, 1, 1).narrow(3, 1, 1).fill_(SMOOTH.0);
    let smooth = images.copy();
    let inner = images.conv2d(&kernel, None::<&Tensor>, 1, 0, 1, channels);
    smooth.narrow(2, 1, height - 2).narrow(3, 1, width - 2).copy_(&inner);
    blend(images, &smooth, factors)
}

/// Turns the hue by an amount of whole turns, saturation and value of HSV staying; only colours have one.
pub(super) fn hue(images: &Tensor, turns: &Tensor) -> Tensor {
    if !is_colour(images) {
        return images.shallow_clone();
    }
    let channel = |number: i64| images.narrow(1, number, 1);
    let (red, green, blue) = (channel(0), channel(1), channel(2));
    let value = images.amax([1i64].as_slice(), true);
    let range = &value - images.amin([1i64].as_slice(), true);
    // Grey has no hue; any will do.
    let divisor = &range + range.eq(0.0).to_kind(Kind::Float);
    let sixths = ((&green - &blue) / &divisor).where_self(
        &red.eq_tensor(&value),
        &((&blue - &red) / &divisor + 2.0).where_self(&green.eq_tensor(&value), &((&red - &green) / &divisor + 4.0)),
    );
    let sixths = sixths + turns * 6.0;
    // Each channel falls from the value by the range, but for where the hue is near it.
    let turned = [5.0, 3.0, 1.0].map(|offset| {
        let place = (&sixths + offset).remainder(6.0);
        let fall = place.minimum(&(4.0 - &place)).clamp(0.0, 1.0);
        &value - &range * fall
    });
    Tensor::cat(&turned, 1).clamp(0.0, 1.0)
}

/// Moves images away from `other`, or towards it.
fn blend(images: &Tensor, other: &Tensor, factors: &Tensor) -> Tensor {
    ((images - other) * factors + other).clamp(0.0, 1.0)
}

fn is_colour(images: &Tensor) -> bool {
    images.size()[1] == to_i64(GREY.len())
}

/// Returns k × 1 × height × width.
fn grey(images: &Tensor) -> Tensor {
    if is_colour(images) {
        let weights = Tensor::from_slice(&GREY).to_device(images.device()).reshape([1, -1, 1, 1]);
        (images * weights).sum_dim_intlist([1i64].as_slice(), true, Kind::Float)
    } else {
        images.mean_dim([1i64].as_slice(), true, Kind::Float)
    }
}
