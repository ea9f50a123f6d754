//! Turned, sheared and shifted images.

use tch::Tensor;

/// Where each pixel of a result comes from: x and y of the source for x and y of the result, in pixels from the upper left
/// corner of the image, as Pillow's `Image.transform` takes it: `[a, b, c, d, e, f]` for x' = a x + b y + c and y' = d x + e y + f.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine([f64; 6]);

impl Affine {
    /// Turns an image of this height and width about its centre, against the clock.
    pub(super) fn rotation(degrees: f64, height: i64, width: i64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
        Self([cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos])
    }

    /// Takes each row from further right the lower it is.
    pub(super) const fn shear_x(factor: f64) -> Self {
        Self([1.0, factor, 0.0, 0.0, 1.0, 0.0])
    }

    /// Takes each column from further down the more to the right it is.
    pub(super) const fn shear_y(factor: f64) -> Self {
        Self([1.0, 0.0, 0.0, factor, 1.0, 0.0])
    }

    /// Takes all from so many pixels to the right and down.
    pub(super) const fn shift(right: f64, down: f64) -> Self {
        Self([1.0, 0.0, right, 0.0, 1.0, down])
    }

    /// The same in libtorch's coordinates, from -1 to 1 across and down.
    #[allow(clippy::cast_possible_truncation, reason = "libtorch computes places in f32")]
    fn normalised(self, height: i64, width: i64) -> [f32; 6] {
        let Self([a, b, c, d, e, f]) = self;
        let (height, width) = (height as f64, width as f64);
        let (b, d) = (b * height / width, d * width / height);
        [a, b, a + b + 2.0 * c / width - 1.0, d, e, d + e + 2.0 * f / height - 1.0].map(|value| value as f32)
    }
}

/// Takes each image, k × channels × height × width, from where its map says, bilinearly between pixel centres; outside of it lies
/// `fill`, 1 × channels × 1 × 1.
pub(super) fn transform(images: &Tensor, maps: &[Affine], fill: &Tensor) -> Tensor {
    let (count, _, height, width) = images.size4().expect("images are k × channels × height × width");
    let maps: Vec<f32> = maps.iter().flat_map(|map| map.normalised(height, width)).collect();
    let maps = Tensor::from_slice(&maps).to_device(images.device()).reshape([count, 2, 3]);
    let grid = Tensor::affine_grid_generator(&maps, images.size(), false);
    // Zeros lie outside of what is sampled.
    (images - fill).grid_sampler(&grid, BILINEAR, ZEROS, false) + fill
}

/// libtorch's number of bilinear interpolation.
const BILINEAR: i64 = 0;
/// libtorch's number of padding with zeros.
const ZEROS: i64 = 0;
