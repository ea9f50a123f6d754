//! Images on a device: bytes in memory (or floats, where the data has them), made into scaled floats batch by batch.

use tch::{Device, IndexOp, Kind, Tensor};

use super::augmentation::cut;
use crate::data::crops::{Crop, TrainingCrops};
use crate::data::{ImageShape, LabelledImages, Values};
use crate::target::{InputScale, TargetError};

/// Added to the standard deviation of the pixels, so that a constant image set stays finite.
const STANDARD_DEVIATION_FLOOR: f64 = 1e-6;
/// Largest value of a pixel.
const PIXEL_MAX: f64 = 255.0;
/// Bytes of pixels that a device holds of a set; those of larger ones stay in the host's memory, and batches are copied.
const DEVICE_BYTES_MAX: usize = 8 << 30;

/// A set of labelled images as tensors, or of crops that are cut out of them batch by batch.
#[derive(Debug)]
pub struct DeviceImages {
    /// Of what the network sees.
    shape: ImageShape,
    /// u8 or f32, n × channels × height × width; on the device, or on the host where they are too many.
    pixels: Tensor,
    /// What the network sees of the images, where that is not the images themselves.
    crops: Option<Vec<Crop>>,
    /// i64, n; of crops, one each. On the device.
    labels: Tensor,
    /// Mean and standard deviation of each channel, of pixels scaled to 0..=1: f32, 1 × channels × 1 × 1.
    normalisation: Option<(Tensor, Tensor)>,
    len: usize,
}

impl DeviceImages {
    /// Copies the images of `crops` to `device`, to be scaled as `scale` says, by the images' own mean and standard deviation.
    #[must_use]
    pub fn of_crops(images: &LabelledImages, crops: TrainingCrops, scale: InputScale, device: Device) -> Self {
        Self::new(images, scale, device).seen_as(crops)
    }

    /// Copies `images` to `device`, to be scaled as `scale` says, by their own mean and standard deviation.
    #[must_use]
    pub fn new(images: &LabelledImages, scale: InputScale, device: Device) -> Self {
        let normalisation = match scale {
            InputScale::Standardised => Some(normalisation(images, device)),
            InputScale::Stored => None,
        };
        Self::scaled(images, normalisation, device)
    }

    /// Copies `images` to where `other` is, to be scaled as it is; where that is a set of crops, each image is brought to their size.
    #[must_use]
    pub fn like(images: &LabelledImages, other: &Self) -> Self {
        let normalisation =
            other.normalisation.as_ref().map(|(mean, deviation)| (mean.shallow_clone(), deviation.shallow_clone()));
        let copied = Self::scaled(images, normalisation, other.device());
        if other.crops.is_none() || images.shape == other.shape {
            return copied;
        }
        let crops = (0..).take(images.len()).map(|image| Crop::whole(image, images.shape)).collect();
        copied.seen_as(TrainingCrops { crops, shape: ImageShape { channels: images.shape.channels, ..other.shape } })
    }

    /// These images, of which the network sees crops.
    fn seen_as(self, TrainingCrops { crops, shape }: TrainingCrops) -> Self {
        let images: Vec<i64> = crops.iter().map(|crop| i64::from(crop.image)).collect();
        let labels = self.labels.index_select(0, &Tensor::from_slice(&images).to_device(self.device()));
        Self { shape, labels, len: crops.len(), crops: Some(crops), ..self }
    }

    fn scaled(images: &LabelledImages, normalisation: Option<(Tensor, Tensor)>, device: Device) -> Self {
        let ImageShape { channels, height, width } = images.shape;
        let size = [images.len(), channels, height, width].map(to_i64);
        let pixels = match &images.pixels {
            Values::Bytes(pixels) => Tensor::from_data_size(pixels, &size, Kind::Uint8),
            Values::Floats(values) => Tensor::from_slice(values).reshape(size),
        }
        .to_device(keeper(images.pixels.size_of(), device));
        let labels: Vec<i64> = images.labels.iter().map(|&label| i64::from(label)).collect();
        let labels = Tensor::from_slice(&labels).to_device(device);
        Self { shape: images.shape, pixels, crops: None, labels, normalisation, len: images.len() }
    }

    /// Returns the shape of an image.
    #[must_use]
    pub const fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Returns the crops that the network sees, where it does not see the images themselves.
    pub(super) fn crops(&self) -> Option<&[Crop]> {
        self.crops.as_deref()
    }

    /// Returns the mean of each channel of pixels in 0..=1, 1 × channels × 1 × 1; a half where inputs are not scaled by it.
    pub(super) fn mean_colour(&self) -> Tensor {
        match &self.normalisation {
            Some((mean, _)) => mean.shallow_clone(),
            None => Tensor::full([1, to_i64(self.shape.channels), 1, 1], 0.5, (Kind::Float, self.device())),
        }
    }

    /// Tells whether inputs are less the mean, divided by the standard deviation.
    pub(super) const fn are_standardised(&self) -> bool {
        self.normalisation.is_some()
    }

    /// Returns the number of images, or crops.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Tells whether there are no images.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns for each image the share of all images that have its label, f64, n.
    pub(super) fn class_frequencies(&self, classes: usize) -> Tensor {
        let counts = self.labels.bincount(None::<&Tensor>, to_i64(classes)).to_kind(Kind::Double);
        (counts / self.len.max(1) as f64).index_select(0, &self.labels)
    }

    /// Returns the labels in order.
    pub(super) fn labels(&self) -> Result<Vec<i64>, TargetError> {
        Ok(Vec::try_from(&self.labels)?)
    }

    pub(super) fn device(&self) -> Device {
        self.labels.device()
    }

    /// Returns the normalised images (f32, k × channels × height × width) and labels (i64, k) at `indices`, all of
    /// which are below [`Self::len`].
    pub(super) fn gather(&self, indices: &[i64]) -> (Tensor, Tensor) {
        self.gather_changed(indices, |images| images)
    }

    /// As [`Self::gather`], with images that `change` has changed before they are normalised, while bytes lie in 0..=1.
    pub(super) fn gather_changed(&self, indices: &[i64], change: impl FnOnce(Tensor) -> Tensor) -> (Tensor, Tensor) {
        let images = match &self.crops {
            None => self.floats_at(indices),
            Some(crops) => {
                self.cut(indices.iter().map(|&index| crops[usize::try_from(index).expect("it is below the length")]))
            }
        };
        let images = change(images);
        let positions = Tensor::from_slice(indices).to_device(self.device());
        (self.normalise(images), self.labels.index_select(0, &positions))
    }

    /// Returns the normalised images and labels at `start..end`.
    pub(super) fn range(&self, start: usize, end: usize) -> (Tensor, Tensor) {
        if self.crops.is_some() {
            return self.gather(&(to_i64(start)..to_i64(end)).collect::<Vec<i64>>());
        }
        let range = to_i64(start)..to_i64(end);
        (self.normalise(self.floats(&self.pixels.i(range.clone()))), self.labels.i(range))
    }

    /// Cuts crops out of their images and brings them to this set's size.
    fn cut(&self, crops: impl Iterator<Item = Crop>) -> Tensor {
        let (mut images, mut parts) = (Vec::new(), Vec::new());
        for crop in crops {
            images.push(i64::from(crop.image));
            parts.push(crop.into());
        }
        cut(&self.floats_at(&images), &parts, (to_i64(self.shape.height), to_i64(self.shape.width)))
    }

    /// Tells whether pixels are bytes, and not the data's own floats.
    pub(super) fn are_bytes(&self) -> bool {
        self.pixels.kind() == Kind::Uint8
    }

    /// The images at these positions.
    fn floats_at(&self, positions: &[i64]) -> Tensor {
        let positions = Tensor::from_slice(positions).to_device(self.pixels.device());
        self.floats(&self.pixels.index_select(0, &positions))
    }

    /// A copy on the device, since what follows works in place.
    fn floats(&self, pixels: &Tensor) -> Tensor {
        let mut floats = pixels.to_device(self.device()).totype(Kind::Float).copy();
        if self.are_bytes() {
            floats /= PIXEL_MAX;
        }
        floats
    }

    fn normalise(&self, mut floats: Tensor) -> Tensor {
        if let Some((mean, standard_deviation)) = &self.normalisation {
            floats -= mean;
            floats /= standard_deviation;
        }
        floats
    }
}

/// Where the pixels of a set are kept that is trained on at `device`.
fn keeper(bytes: usize, device: Device) -> Device {
    if bytes > DEVICE_BYTES_MAX { Device::Cpu } else { device }
}

/// Mean and standard deviation of each channel; of bytes exactly, from integer sums.
fn normalisation(images: &LabelledImages, device: Device) -> (Tensor, Tensor) {
    let channels = images.shape.channels;
    let plane = images.shape.height * images.shape.width;
    let count = (images.len() * plane).max(1) as f64;
    let moments: Vec<(f64, f64)> = match &images.pixels {
        Values::Bytes(pixels) => {
            let mut sums = vec![(0u64, 0u64); channels];
            for (number, pixels) in pixels.chunks(plane).enumerate() {
                let (sum, squares) = &mut sums[number % channels];
                *sum += pixels.iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
                *squares += pixels.iter().map(|&pixel| u64::from(pixel).pow(2)).sum::<u64>();
            }
            let scaled = |&(sum, squares): &(u64, u64)| {
                (sum as f64 / count / PIXEL_MAX, squares as f64 / count / PIXEL_MAX.powi(2))
            };
            sums.iter().map(scaled).map(|(mean, square)| (mean, square - mean * mean)).collect()
        }
        Values::Floats(values) => moments_of_floats(values, channels, plane, count),
    };
    let means: Vec<f64> = moments.iter().map(|&(mean, _)| mean).collect();
    let deviations: Vec<f64> =
        moments.iter().map(|&(_, variance)| variance.max(0.0).sqrt() + STANDARD_DEVIATION_FLOOR).collect();
    let tensor = |values: &[f64]| {
        Tensor::from_slice(values).to_kind(Kind::Float).view([1, to_i64(channels), 1, 1]).to_device(device)
    };
    (tensor(&means), tensor(&deviations))
}

/// Mean and variance of each channel in two passes, which lose nothing where the mean is large.
fn moments_of_floats(values: &[f32], channels: usize, plane: usize, count: f64) -> Vec<(f64, f64)> {
    let sum_by_channel = |term: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0; channels];
        for (number, values) in values.chunks(plane).enumerate() {
            let channel = number % channels;
            sums[channel] += values.iter().map(|&value| term(channel, f64::from(value))).sum::<f64>();
        }
        sums
    };
    let means: Vec<f64> = sum_by_channel(&|_, value| value).into_iter().map(|sum| sum / count).collect();
    let squares = sum_by_channel(&|channel, value| (value - means[channel]).powi(2));
    means.iter().zip(squares).map(|(&mean, squares)| (mean, squares / count)).collect()
}

/// Returns a size as libtorch takes it.
pub(super) fn to_i64(size: usize) -> i64 {
    i64::try_from(size).expect("sizes in memory are below 2^63")
}

#[cfg(test)]
mod tests;
