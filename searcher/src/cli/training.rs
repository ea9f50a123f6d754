//! Options that decide how networks are trained.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::SearcherError;
use crate::target::{Augmentation, HashedFile, PaperRecipe, Precision, PrepareConfig, RecipeOverrides};

/// How networks are trained.
#[derive(Debug, Args)]
pub(super) struct TrainingOptions {
    /// Train as the paper does in one of its experiments: what --learning-rate, --batch-size, --start-epochs, --augment and
    /// --precision are unless they are given, and also schedule, momentum, weight decay and optimiser
    #[arg(long, value_enum, conflicts_with = "trial_command")]
    recipe: Option<RecipeName>,
    /// Epochs of the start network [default: the recipe's, or 20]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    start_epochs: Option<u32>,
    /// Examples a batch [default: the recipe's, or 128]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
    /// Learning rate [default: the recipe's, or the target's]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// How training images are changed at random; features, validation and test see them as they are [default: the recipe's, or
    /// none]
    #[arg(long, value_enum, conflicts_with = "trial_command")]
    augment: Option<AugmentationName>,
    /// What convolutions and matrix products of the built-in networks are computed in, while training; weights, and all that is
    /// measured, are f32 in any case [default: the recipe's, or f32]
    #[arg(long, value_enum, conflicts_with = "trial_command")]
    precision: Option<PrecisionName>,
    /// Whether images lie in memory pixel by pixel, rather than channel by channel [default: on a GPU]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", conflicts_with = "trial_command")]
    channels_last: Option<bool>,
    /// Weights that every training from scratch starts from (.safetensors, .ot), with the names of torchvision, or timm for
    /// se_resnext50, se_resnext101 and vit_tiny; the last layer is new where the classes are others
    #[arg(long, value_name = "FILE", conflicts_with = "trial_command")]
    weights: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecipeName {
    /// 80 epochs, batches of 128, SGD .1, a tenth after 40 and 80, weight decay 1e-3, shifts and flips
    Cifar,
    /// 100 epochs, batches of 2048, SGD .1, a tenth after 30, 60 and 90, weight decay 1e-4, random crops, flips, colours
    Imagenet,
    /// 300 epochs, batches of 1024, AdamW 1e-3 along a cosine, weight decay .05, random crops, flips, RandAugment, random erasing,
    /// mixup, cutmix
    Swin,
    /// 100 epochs, SGD .1 along a cosine, weight decay 5e-4, flips
    Faces,
    /// 50 epochs, batches of 128, SGD .01, a tenth after 20 and 40, weight decay 5e-4, random crops, flips, colours
    FewShot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AugmentationName {
    /// Not at all
    None,
    /// Half of them mirrored
    Flip,
    /// Shifted by up to 4 pixels, half of them mirrored
    Cifar,
    /// Brightness, contrast and saturation times .6 to 1.4, the hue turned by up to a tenth, in random order
    Colours,
    /// Random parts of 8 to 100% of the area, half of them mirrored, and colours
    Imagenet,
    /// RandAugment, and a part of a quarter of them erased
    RandAugment,
    /// Random parts, half of them mirrored, and RandAugment with erasing
    Swin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrecisionName {
    /// 32 bits
    F32,
    /// bfloat16
    Bf16,
    /// bfloat16 on a GPU, 32 bits on a CPU
    Bf16OnGpu,
}

impl TrainingOptions {
    fn paper_recipe(&self) -> Option<PaperRecipe> {
        self.recipe.map(|name| match name {
            RecipeName::Cifar => PaperRecipe::Cifar,
            RecipeName::Imagenet => PaperRecipe::Imagenet,
            RecipeName::Swin => PaperRecipe::Swin,
            RecipeName::Faces => PaperRecipe::Faces,
            RecipeName::FewShot => PaperRecipe::FewShot,
        })
    }

    /// Returns an option that is given and of no meaning to text.
    pub(super) fn given_for_images(&self) -> Option<&'static str> {
        let given = [
            (self.recipe.is_some(), "--recipe"),
            (self.augment.is_some(), "--augment"),
            (self.channels_last.is_some(), "--channels-last"),
            (self.weights.is_some(), "--weights"),
        ];
        given.into_iter().find_map(|(given, option)| given.then_some(option))
    }

    /// Returns the epochs of a training from scratch.
    pub(super) fn start_epochs(&self) -> u32 {
        self.start_epochs.or(self.paper_recipe().map(PaperRecipe::epochs)).unwrap_or(PrepareConfig::EPOCHS)
    }

    /// Returns the examples a batch.
    pub(super) fn batch_size(&self) -> u32 {
        self.batch_size.or(self.paper_recipe().and_then(PaperRecipe::batch_size)).unwrap_or(PrepareConfig::BATCH_SIZE)
    }

    /// Returns what these options change of the target's own recipe.
    pub(super) fn recipe(&self) -> RecipeOverrides {
        let mut overrides = self.paper_recipe().map(|paper| RecipeOverrides::all(paper.recipe())).unwrap_or_default();
        overrides.learning_rate = self.learning_rate.or(overrides.learning_rate);
        overrides.precision = self.precision().or(overrides.precision);
        overrides
    }

    fn precision(&self) -> Option<Precision> {
        self.precision.map(|name| match name {
            PrecisionName::F32 => Precision::F32,
            PrecisionName::Bf16 => Precision::Bf16,
            PrecisionName::Bf16OnGpu => Precision::Bf16OnGpu,
        })
    }

    fn augmentation(&self) -> Augmentation {
        match self.augment {
            None => self.paper_recipe().map(PaperRecipe::augmentation).unwrap_or_default(),
            Some(AugmentationName::None) => Augmentation::None,
            Some(AugmentationName::Flip) => Augmentation::Flip,
            Some(AugmentationName::Cifar) => Augmentation::Cifar,
            Some(AugmentationName::Colours) => Augmentation::Colours,
            Some(AugmentationName::Imagenet) => Augmentation::Imagenet,
            Some(AugmentationName::RandAugment) => Augmentation::RandAugment,
            Some(AugmentationName::Swin) => Augmentation::Swin,
        }
    }

    /// What is left to change of crops: a recipe's shifts, parts and flips are the crops themselves.
    fn augmentation_of_crops(&self) -> Result<Augmentation, SearcherError> {
        let left = self.augmentation().of_crops();
        if self.augment.is_some() && left != self.augmentation() {
            let reason = "--augment with --crops is none, colours or rand-augment: crops are random parts already, half of them mirrored";
            return Err(SearcherError::Config(reason.to_owned()));
        }
        Ok(left)
    }

    /// Returns `config` with these options in place.
    ///
    /// # Errors
    /// [`SearcherError::Config`] when the weights cannot be read, or crops are to be cut again.
    pub(super) fn apply(&self, config: PrepareConfig) -> Result<PrepareConfig, SearcherError> {
        let hashed =
            |path| HashedFile::of_file(path).map_err(|error| SearcherError::Config(format!("--weights {error}")));
        Ok(PrepareConfig {
            epochs: self.start_epochs(),
            batch_size: self.batch_size(),
            recipe: self.recipe(),
            weights: self.weights.as_ref().map(hashed).transpose()?,
            augmentation: if config.data.crops.is_some() { self.augmentation_of_crops()? } else { self.augmentation() },
            channels_last: self.channels_last,
            ..config
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        training: TrainingOptions,
        #[arg(long)]
        trial_command: Option<String>,
    }

    fn options(arguments: &[&str]) -> TrainingOptions {
        Options::try_parse_from(["test"].iter().chain(arguments)).unwrap().training
    }

    #[test]
    fn recipes_are_the_papers_and_single_options_go_before_them() {
        let cifar = options(&["--recipe", "cifar"]);
        assert_eq!((cifar.start_epochs(), cifar.batch_size(), cifar.augmentation()), (80, 128, Augmentation::Cifar));
        let recipe = cifar.recipe().apply(crate::target::Recipe::sgd(9.0, 9.0));
        assert_eq!((recipe.learning_rate, recipe.weight_decay, recipe.nesterov), (0.1, 1e-3, true));
        let rate = |epoch| recipe.learning_rate_at(epoch, 80);
        assert!((rate(39) - 0.1).abs() < 1e-12 && (rate(40) - 0.01).abs() < 1e-12, "{recipe:?}");

        let mine = ["--recipe", "imagenet", "--batch-size", "64", "--learning-rate", "0.2", "--augment", "flip"];
        let mine = options(&[&mine[..], &["--precision", "f32", "--start-epochs", "3"]].concat());
        assert_eq!((mine.start_epochs(), mine.batch_size(), mine.augmentation()), (3, 64, Augmentation::Flip));
        assert_eq!((mine.recipe().learning_rate, mine.recipe().precision), (Some(0.2), Some(Precision::F32)));

        let none = options(&[]);
        assert_eq!((none.start_epochs(), none.batch_size(), none.recipe()), (20, 128, RecipeOverrides::default()));
    }

    #[test]
    fn crops_take_the_place_of_a_recipes_parts_shifts_and_flips() {
        let of = |arguments: &[&str]| options(arguments).augmentation_of_crops();
        assert_eq!(of(&["--recipe", "imagenet"]).unwrap(), Augmentation::Colours);
        assert_eq!(of(&["--recipe", "cifar"]).unwrap(), Augmentation::None);
        assert_eq!(of(&["--recipe", "swin"]).unwrap(), Augmentation::RandAugment);
        assert_eq!(of(&["--recipe", "imagenet", "--augment", "none"]).unwrap(), Augmentation::None);
        for twice in ["flip", "cifar", "imagenet", "swin"] {
            let error = of(&["--augment", twice]).unwrap_err().to_string();
            assert!(error.contains("none, colours or rand-augment"), "{error}");
        }
    }

    #[test]
    fn what_a_command_trains_itself_takes_no_recipe() {
        let arguments = ["searcher", "--trial-command", "train", "--recipe", "cifar"];
        assert!(Cli::try_parse_from(arguments).is_err());
    }
}
