//! Images taken apart along rows and columns, and put together between pixels.

use tch::{Kind, Tensor};

use crate::torch::images::to_i64;

/// Where each row (or column) of each result lies in its image: between two of its rows.
#[derive(Debug)]
pub(super) struct Axis {
    lower: Vec<i64>,
    upper: Vec<i64>,
    /// Weight of the upper one.
    fraction: Vec<f32>,
    length: i64,
    images: i64,
}

impl Axis {
    /// For each image the first pixel of its part, the part's length, and whether it is mirrored; each is to fill `length`
    /// pixels. Positions are those of bilinear interpolation between pixel centres, and do not leave the part.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "positions lie within an image; a fraction needs no more than f32"
    )]
    pub(super) fn new(parts: impl Iterator<Item = (f64, f64, bool)>, length: i64) -> Self {
        let mut axis = Self { lower: Vec::new(), upper: Vec::new(), fraction: Vec::new(), length, images: 0 };
        for (first, extent, mirrored) in parts {
            axis.images += 1;
            for pixel in 0..length {
                let pixel = if mirrored { length - 1 - pixel } else { pixel };
                let within = ((pixel as f64 + 0.5) * extent / length as f64 - 0.5).clamp(0.0, extent - 1.0);
                let below = within.floor();
                axis.lower.push((first + below) as i64);
                axis.upper.push((first + (below + 1.0).min(extent - 1.0)) as i64);
                axis.fraction.push((within - below) as f32);
            }
        }
        axis
    }

    /// Takes the rows of each image (dimension 2) or its columns (3).
    fn take(&self, images: &Tensor, dimension: usize) -> Tensor {
        let mut shape = [self.images, 1, 1, 1];
        shape[dimension] = self.length;
        let mut size = images.size();
        size[dimension] = self.length;
        let place = |values: &[i64]| {
            Tensor::from_slice(values).to_device(images.device()).reshape(shape).expand(size.as_slice(), false)
        };
        let gather = |values: &[i64]| images.gather(to_i64(dimension), &place(values), false);
        let lower = gather(&self.lower);
        if self.fraction.iter().all(|&fraction| fraction == 0.0) {
            return lower;
        }
        let fraction =
            Tensor::from_slice(&self.fraction).to_kind(Kind::Float).to_device(images.device()).reshape(shape);
        let difference = gather(&self.upper) - &lower;
        lower + difference * fraction
    }
}

/// Puts results together from k × channels × height × width.
pub(super) fn resample(images: &Tensor, rows: &Axis, columns: &Axis) -> Tensor {
    columns.take(&rows.take(images, 2), 3)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    #[allow(clippy::cast_possible_truncation, reason = "small numbers")]
    fn an_enlarged_part_is_what_libtorch_makes_of_it() {
        let images = Tensor::rand([1, 2, 9, 11], (Kind::Float, Device::Cpu));
        let (top, left, height, width) = (2.0, 3.0, 5.0, 6.0);
        let ours = resample(
            &images,
            &Axis::new(std::iter::once((top, height, false)), 9),
            &Axis::new(std::iter::once((left, width, true)), 11),
        );
        let part = images.narrow(2, top as i64, height as i64).narrow(3, left as i64, width as i64);
        let theirs = part.upsample_bilinear2d([9, 11], false, None, None).flip([3]);
        assert!((ours - theirs).abs().max().double_value(&[]) < 1e-6);
    }
}
