//! The network that learns to tell right labels from wrong ones by how their losses fare.

use tch::nn::{Adam, Optimizer, OptimizerConfig, VarStore};
use tch::{Kind, Reduction, Tensor, no_grad};

use super::{Surroundings, cross_entropies};
use crate::randomness::{Randomness, seed_for};
use crate::target::{TargetError, below, shuffle};
use crate::torch::images::{DeviceImages, to_i64};
use crate::torch::layers::{Initialiser, Linear, LinearWeights, Pass};
use crate::torch::networks::Model;
use crate::torch::training::chunks;

/// What it sees of an example: its loss, how far that is above ℓ_p, and the share of the run that is done.
const INPUTS: usize = 3;
/// Width of the hidden layer.
const WIDTH: usize = 20;
/// Steps it learns before each epoch.
const STEPS: usize = 100;
/// Examples a step.
const BATCH: usize = 512;
const LEARNING_RATE: f64 = 1e-2;
/// Largest share of the training set whose labels are known to be right or wrong.
const KNOWN_SHARE_MAX: usize = 4;

/// A network of one hidden layer with a logistic output, the weight v of an example.
pub(super) struct Mentor<'a> {
    train: &'a DeviceImages,
    /// Positions of the examples whose labels are known to be right or wrong.
    known: Vec<i64>,
    /// f32, 1 for a right label.
    right: Tensor,
    /// What it saw before each epoch so far, examples × [`INPUTS`].
    seen: Vec<Tensor>,
    layers: (Linear, Linear),
    optimizer: Optimizer,
    randomness: Randomness,
    _weights: VarStore,
}

impl<'a> Mentor<'a> {
    /// Chooses as many training examples as there are in the validation set, but at most a quarter of them, whose labels are
    /// known.
    pub(super) fn new(around: Surroundings<'a>) -> Result<Self, TargetError> {
        let Surroundings { train, wrong_labels, validation, seed, .. } = around;
        let mut positions: Vec<usize> = (0..train.len()).collect();
        shuffle(&mut positions, seed_for(seed, 0, "known labels"));
        positions.truncate(validation.len().min(train.len() / KNOWN_SHARE_MAX).max(1));
        let device = train.device();
        let right: Vec<f32> = positions.iter().map(|&position| f32::from(u8::from(!wrong_labels[position]))).collect();
        let weights = VarStore::new(device);
        let root = weights.root();
        let mut initialiser = Initialiser::new(seed_for(seed, 0, "mentor weights"));
        let layers = (
            Linear::new(&(&root / "hidden"), &mut initialiser, INPUTS, WIDTH, LinearWeights::UniformByInputs),
            Linear::new(&(&root / "output"), &mut initialiser, WIDTH, 1, LinearWeights::UniformByInputs),
        );
        Ok(Self {
            train,
            known: positions.into_iter().map(to_i64).collect(),
            right: Tensor::from_slice(&right).to_device(device),
            seen: Vec::new(),
            layers,
            optimizer: Adam::default().build(&weights, LEARNING_RATE)?,
            randomness: Randomness::new(seed_for(seed, 0, "mentor batches")),
            _weights: weights,
        })
    }

    /// Looks at the losses of the known examples under the network as it is, and learns from these and all before.
    pub(super) fn learn(&mut self, model: &Model, threshold: &Tensor, progress: f64) -> Result<(), TargetError> {
        let mut losses = Vec::new();
        for (start, end) in chunks(self.known.len()) {
            losses.push(no_grad(|| -> Result<Tensor, TargetError> {
                let (images, labels) = self.train.gather(&self.known[start..end]);
                Ok(cross_entropies(&model.forward(&images, false)?.logits, &labels))
            })?);
        }
        self.seen.push(inputs(&Tensor::f_cat(&losses, 0)?, threshold, progress));
        let all = Tensor::f_cat(&self.seen, 0)?;
        let rows = self.known.len();
        for _ in 0..STEPS {
            let chosen: Vec<i64> =
                (0..BATCH).map(|_| to_i64(below(&mut self.randomness, rows * self.seen.len()))).collect();
            let chosen = Tensor::from_slice(&chosen).to_device(all.device());
            let right = self.right.index_select(0, &chosen.remainder(to_i64(rows)));
            let logits = self.logits(&all.index_select(0, &chosen));
            let loss =
                logits.binary_cross_entropy_with_logits(&right, None::<&Tensor>, None::<&Tensor>, Reduction::Mean);
            self.optimizer.backward_step(&loss);
        }
        Ok(())
    }

    /// Returns the weights of examples of these losses.
    pub(super) fn weights(&self, losses: &Tensor, threshold: &Tensor, progress: f64) -> Tensor {
        self.logits(&inputs(losses, threshold, progress)).sigmoid()
    }

    fn logits(&self, inputs: &Tensor) -> Tensor {
        let pass = Pass::full(true);
        self.layers.1.forward(&self.layers.0.forward(inputs, pass).tanh(), pass).squeeze_dim(1)
    }
}

fn inputs(losses: &Tensor, threshold: &Tensor, progress: f64) -> Tensor {
    Tensor::stack(&[losses.shallow_clone(), losses - threshold, losses.full_like(progress)], 1).to_kind(Kind::Float)
}
