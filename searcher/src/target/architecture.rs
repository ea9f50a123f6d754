//! The built-in networks.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Optimizer, Recipe, TargetError};

/// A built-in network architecture.
///
/// Those of more than a few layers have the weights' names of torchvision, or else of timm, so that checkpoints of these can be
/// read. Images with no side above 64 pixels get smaller strides at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Two hidden layers, 512 and 256 wide.
    Mlp,
    /// A small residual network for images of 28 to 64 pixels.
    Cnn,
    /// MobileNetV2.
    MobilenetV2,
    /// EfficientNet-B0.
    EfficientnetB0,
    /// ResNet-18.
    Resnet18,
    /// ResNet-34.
    Resnet34,
    /// ResNet-50.
    Resnet50,
    /// ResNet-101.
    Resnet101,
    /// SE-ResNeXt-50 (32×4d), with the names of timm's `seresnext50_32x4d`.
    SeResnext50,
    /// SE-ResNeXt-101 (32×4d), with the names of timm's `seresnext101_32x4d`.
    SeResnext101,
    /// Vision transformer of the size of DeiT-tiny, with the names of timm's `deit_tiny_patch16_224`.
    VitTiny,
    /// Swin-T.
    SwinT,
    /// Swin-B.
    SwinB,
}

impl Architecture {
    /// All architectures.
    pub const ALL: [Self; 13] = [
        Self::Mlp,
        Self::Cnn,
        Self::MobilenetV2,
        Self::EfficientnetB0,
        Self::Resnet18,
        Self::Resnet34,
        Self::Resnet50,
        Self::Resnet101,
        Self::SeResnext50,
        Self::SeResnext101,
        Self::VitTiny,
        Self::SwinT,
        Self::SwinB,
    ];

    /// Returns the name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Cnn => "cnn",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::EfficientnetB0 => "efficientnet_b0",
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::Resnet101 => "resnet101",
            Self::SeResnext50 => "se_resnext50",
            Self::SeResnext101 => "se_resnext101",
            Self::VitTiny => "vit_tiny",
            Self::SwinT => "swin_t",
            Self::SwinB => "swin_b",
        }
    }

    /// Returns all names, separated by commas.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Returns how the architecture is trained unless told otherwise: residual networks as those of small images usually are,
    /// transformers with AdamW behind a short warm-up, without which they hardly learn.
    #[must_use]
    pub fn recipe(self) -> Recipe {
        match self {
            Self::Mlp => Recipe::sgd(0.05, 0.0),
            Self::VitTiny | Self::SwinT | Self::SwinB => {
                Recipe { optimizer: Optimizer::AdamW, warm_up: 0.05, clip_norm: Some(5.0), ..Recipe::sgd(1e-3, 0.05) }
            }
            _ => Recipe::sgd(0.05, 5e-4),
        }
    }
}

impl FromStr for Architecture {
    type Err = TargetError;

    fn from_str(name: &str) -> Result<Self, TargetError> {
        Self::ALL
            .into_iter()
            .find(|architecture| architecture.name() == name)
            .ok_or_else(|| TargetError::UnknownTarget { name: name.to_owned() })
    }
}
