//! The settings of the paper's experiments.

use super::{Augmentation, Mixing, Optimizer, Precision, Recipe, Schedule};

/// How the paper trains for one of its experiments. Where it names no value, that of the work it follows is taken, as each
/// variant says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaperRecipe {
    /// CIFAR-10 and -100: batches of 128, 80 epochs, step size .1, a tenth after 40 and 80, weight decay 1e-3.
    Cifar,
    /// ImageNet: batches of 2048, 100 epochs, step size .1, a tenth after 30, 60 and 90. Weight decay 1e-4 as He et al. (2016).
    Imagenet,
    /// Swin transformers, as their paper trains them: AdamW, batches of 1024, 300 epochs, step size 1e-3 along a cosine behind 20
    /// epochs of warm-up, weight decay .05, labels smoothed by .1, gradients clipped at 5; [`Augmentation::Swin`], and
    /// batches mixed by mixup (.8) or cutmix (1), as its repository's `config.py` says. Its step sizes end at 5e-6, these at 0.
    Swin,
    /// Faces: 100 epochs, step size .1 along a cosine, weight decay 5e-4.
    Faces,
    /// Few-shot learning: batches of 128, 50 epochs, step size .01, a tenth after 20 and 40. Weight decay 5e-4.
    FewShot,
}

impl PaperRecipe {
    /// Returns optimiser, step size, loss and precision. All but Swin's are stochastic gradient descent with Nesterov's
    /// momentum .9.
    #[must_use]
    pub fn recipe(self) -> Recipe {
        let tenths = |epochs: &[u32]| Schedule::Steps { epochs: epochs.to_vec(), of: self.epochs(), factor: 0.1 };
        let sgd = |learning_rate: f64, weight_decay: f64| Recipe {
            nesterov: true,
            precision: Precision::Bf16OnGpu,
            ..Recipe::sgd(learning_rate, weight_decay)
        };
        match self {
            Self::Cifar => Recipe { schedule: tenths(&[40, 80]), ..sgd(0.1, 1e-3) },
            Self::Imagenet => Recipe { schedule: tenths(&[30, 60, 90]), ..sgd(0.1, 1e-4) },
            Self::Swin => Recipe {
                nesterov: false,
                optimizer: Optimizer::AdamW,
                warm_up: 20.0 / f64::from(self.epochs()),
                label_smoothing: 0.1,
                mixing: Mixing { mixup: 0.8, cutmix: 1.0 },
                clip_norm: Some(5.0),
                ..sgd(1e-3, 0.05)
            },
            Self::Faces => sgd(0.1, 5e-4),
            Self::FewShot => Recipe { schedule: tenths(&[20, 40]), ..sgd(0.01, 5e-4) },
        }
    }

    /// Returns the epochs of a training from scratch.
    #[must_use]
    pub const fn epochs(self) -> u32 {
        match self {
            Self::Cifar => 80,
            Self::Imagenet | Self::Faces => 100,
            Self::Swin => 300,
            Self::FewShot => 50,
        }
    }

    /// Returns the examples a batch; the paper names none for faces.
    #[must_use]
    pub const fn batch_size(self) -> Option<u32> {
        match self {
            Self::Cifar | Self::FewShot => Some(128),
            Self::Imagenet => Some(2048),
            Self::Swin => Some(1024),
            Self::Faces => None,
        }
    }

    /// Returns how training images are changed.
    #[must_use]
    pub const fn augmentation(self) -> Augmentation {
        match self {
            Self::Cifar => Augmentation::Cifar,
            Self::Imagenet | Self::FewShot => Augmentation::Imagenet,
            Self::Swin => Augmentation::Swin,
            Self::Faces => Augmentation::Flip,
        }
    }
}
