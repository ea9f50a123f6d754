//! Layers whose initial weights are a function of a seed, whatever else the process draws.

use tch::nn::Path;
use tch::{Kind, Tensor};

use super::images::to_i64;
use crate::randomness::Randomness;

/// Weight of the newest batch in batch norm's running statistics.
const BATCH_NORM_MOMENTUM: f64 = 0.1;
/// Added to the variance in batch norm.
const BATCH_NORM_EPSILON: f64 = 1e-5;

/// The source of initial weights.
pub(super) struct Initialiser {
    randomness: Randomness,
}

impl Initialiser {
    pub(super) fn new(seed: u64) -> Self {
        Self { randomness: Randomness::new(seed) }
    }

    /// Uniform in (-`bound`, `bound`).
    fn uniform(&mut self, size: &[i64], bound: f64) -> Tensor {
        self.fill(size, |randomness| bound * (2.0 * randomness.uniform() - 1.0))
    }

    /// Normal with mean 0.
    fn normal(&mut self, size: &[i64], standard_deviation: f64) -> Tensor {
        self.fill(size, |randomness| standard_deviation * randomness.normal())
    }

    #[allow(clippy::cast_possible_truncation, reason = "weights are f32")]
    fn fill(&mut self, size: &[i64], mut value: impl FnMut(&mut Randomness) -> f64) -> Tensor {
        let count = size.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| value(&mut self.randomness) as f32).collect();
        Tensor::from_slice(&values).reshape(size)
    }
}

/// A fully connected layer with bias, initialised as PyTorch does: uniform within 1/sqrt(inputs).
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn new(path: &Path<'_>, initialiser: &mut Initialiser, inputs: usize, outputs: usize) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self {
            weight: add(path, "weight", &initialiser.uniform(&[to_i64(outputs), to_i64(inputs)], bound), true),
            bias: add(path, "bias", &initialiser.uniform(&[to_i64(outputs)], bound), true),
        }
    }

    pub(super) fn forward(&self, input: &Tensor) -> Tensor {
        input.linear(&self.weight, Some(&self.bias))
    }
}

/// A square convolution without bias, initialised as He et al. (2015) by its outputs.
#[derive(Debug)]
pub(super) struct Convolution {
    weight: Tensor,
    stride: i64,
    padding: i64,
}

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvolutionSize {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Convolution {
    pub(super) fn new(path: &Path<'_>, initialiser: &mut Initialiser, size: ConvolutionSize) -> Self {
        let ConvolutionSize { inputs, outputs, kernel, stride } = size;
        let standard_deviation = (2.0 / (outputs * kernel * kernel) as f64).sqrt();
        let weight = initialiser.normal(&[outputs, inputs, kernel, kernel].map(to_i64), standard_deviation);
        Self { weight: add(path, "weight", &weight, true), stride: to_i64(stride), padding: to_i64(kernel / 2) }
    }

    pub(super) fn forward(&self, input: &Tensor) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        input.conv2d(&self.weight, None::<&Tensor>, stride, padding, [1, 1], 1)
    }
}

/// Batch norm over the channels of images. Its running statistics are saved and restored with the weights.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
}

impl BatchNorm {
    pub(super) fn new(path: &Path<'_>, channels: usize) -> Self {
        let size = [to_i64(channels)];
        let options = (Kind::Float, tch::Device::Cpu);
        Self {
            weight: add(path, "weight", &Tensor::ones(size, options), true),
            bias: add(path, "bias", &Tensor::zeros(size, options), true),
            running_mean: add(path, "running_mean", &Tensor::zeros(size, options), false),
            running_variance: add(path, "running_var", &Tensor::ones(size, options), false),
        }
    }

    pub(super) fn forward(&self, input: &Tensor, training: bool) -> Tensor {
        input.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_variance),
            training,
            BATCH_NORM_MOMENTUM,
            BATCH_NORM_EPSILON,
            true,
        )
    }
}

/// The basic residual block of He et al. (2016): two 3×3 convolutions around a shortcut, with torchvision's names.
#[derive(Debug)]
pub(super) struct BasicBlock {
    first: (Convolution, BatchNorm),
    second: (Convolution, BatchNorm),
    downsample: Option<(Convolution, BatchNorm)>,
}

impl BasicBlock {
    pub(super) fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Self {
        let mut convolution = |name: &str, inputs, kernel, stride| {
            Convolution::new(&(path / name), initialiser, ConvolutionSize { inputs, outputs, kernel, stride })
        };
        let first = convolution("conv1", inputs, 3, stride);
        let second = convolution("conv2", outputs, 3, 1);
        let downsample = (stride != 1 || inputs != outputs).then(|| {
            let projection = Convolution::new(
                &(path / "downsample" / "0"),
                initialiser,
                ConvolutionSize { inputs, outputs, kernel: 1, stride },
            );
            (projection, BatchNorm::new(&(path / "downsample" / "1"), outputs))
        });
        Self {
            first: (first, BatchNorm::new(&(path / "bn1"), outputs)),
            second: (second, BatchNorm::new(&(path / "bn2"), outputs)),
            downsample,
        }
    }

    pub(super) fn forward(&self, input: &Tensor, training: bool) -> Tensor {
        let apply = |(convolution, norm): &(Convolution, BatchNorm), input: &Tensor| {
            norm.forward(&convolution.forward(input), training)
        };
        let inner = apply(&self.second, &apply(&self.first, input).relu());
        match &self.downsample {
            Some(downsample) => (inner + apply(downsample, input)).relu(),
            None => (inner + input).relu(),
        }
    }
}

fn add(path: &Path<'_>, name: &str, values: &Tensor, trainable: bool) -> Tensor {
    path.add(name, values.to_device(path.device()), trainable)
}
