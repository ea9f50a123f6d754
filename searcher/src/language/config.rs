//! What a language model is, and what it reads.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files;
use crate::data::DataError;
use crate::target::{Checkpoint, Optimizer, Places, Recipe, RecipeOverrides, TargetError};

/// What `searcher features` needs for a language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageConfig {
    /// The network.
    pub network: GptSize,
    /// The text.
    pub data: TextConfig,
    /// Epochs of the start network.
    pub epochs: u32,
    /// Sequences a batch.
    pub batch_size: u32,
    /// Seed of the start network's weights and of its batches.
    pub seed: u64,
    /// Overrides of the target's recipe for the start network.
    pub recipe: RecipeOverrides,
    /// The checkpoint that the features come from.
    pub features_from: Checkpoint,
}

impl LanguageConfig {
    /// Name of the target on the command line.
    pub const NAME: &'static str = "gpt";

    /// Returns the recipe unless told otherwise: AdamW along a cosine, with gradients shortened to norm 1, as GPT-2's are.
    #[must_use]
    pub fn recipe() -> Recipe {
        Recipe { optimizer: Optimizer::AdamW, warm_up: 0.05, clip_norm: Some(1.0), ..Recipe::sgd(1e-3, 0.1) }
    }

    /// Returns this with the text where `places` says.
    ///
    /// # Errors
    ///
    /// [`TargetError::Module`] or [`TargetError::Weights`] when `places` names files that no language model has.
    pub fn at(&self, places: &Places) -> Result<Self, TargetError> {
        let reason = || format!("the study trains {}, which starts from random weights", Self::NAME);
        if let Some(path) = &places.module {
            return Err(TargetError::Module { path: path.clone(), reason: reason() });
        }
        if let Some(path) = &places.weights {
            return Err(TargetError::Weights { path: path.clone(), reason: reason() });
        }
        let mut placed = self.clone();
        if let Some(path) = &places.data {
            placed.data.path.clone_from(path);
        }
        Ok(placed)
    }
}

/// Sizes of a decoder-only transformer, as GPT-2 is one (Radford et al., 2019).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptSize {
    /// Blocks of attention and perceptron.
    pub layers: u32,
    /// Heads of an attention.
    pub heads: u32,
    /// Width of a token, a multiple of `heads`.
    pub width: u32,
}

impl Default for GptSize {
    /// A network for a CPU: 1.3 million parameters with the default vocabulary and context.
    fn default() -> Self {
        Self { layers: 4, heads: 4, width: 128 }
    }
}

impl GptSize {
    /// Returns the number of parameters, v·w + c·w + l·(12 w² + 13 w) + 2 w for a vocabulary of v, a context of c tokens, l layers
    /// and width w: the embedding also serves as the last layer.
    #[must_use]
    pub fn parameters(self, vocabulary: usize, context: usize) -> usize {
        let (layers, width) = (self.layers as usize, self.width as usize);
        (vocabulary + context) * width + layers * (12 * width * width + 13 * width) + 2 * width
    }

    /// Checks that there is such a network.
    ///
    /// # Errors
    ///
    /// [`TargetError::InvalidRun`] names the size that is wrong.
    pub fn check(self) -> Result<(), TargetError> {
        let invalid =
            |field, value: u32, expected| Err(TargetError::InvalidRun { field, value: value.to_string(), expected });
        match self {
            Self { layers: 0, .. } => invalid("layers", 0, "at least 1 is needed"),
            Self { heads: 0, .. } => invalid("heads", 0, "at least 1 is needed"),
            Self { width: 0, .. } => invalid("width", 0, "a multiple of heads is needed"),
            Self { heads, width, .. } if width % heads != 0 => invalid("width", width, "a multiple of heads is needed"),
            Self { .. } => Ok(()),
        }
    }
}

/// Where the text is, how it becomes tokens, and how it is split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// A file, or a folder with files.
    pub path: PathBuf,
    /// How they become tokens.
    pub tokens: TokenKind,
    /// How many different tokens there are. Of words, the most frequent ones of the training set, with `<unk>` for all others and
    /// `<eos>`; `None` is [`Self::VOCABULARY`]. Of token files, what all tokens are below; `None`: one more than the largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<u32>,
    /// Tokens that a sequence predicts, which is as far back as the network sees.
    pub context: u32,
    /// Training sequences, from the beginning; `None`: all that are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<usize>,
    /// Validation sequences, from the beginning of the validation set or else behind what is for training; `None`: all, or else a
    /// tenth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_examples: Option<usize>,
    /// Test sequences, likewise, behind those for validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_examples: Option<usize>,
}

impl TextConfig {
    /// Words that are told apart unless told otherwise.
    pub const VOCABULARY: u32 = 4096;
    /// Context unless told otherwise.
    pub const CONTEXT: u32 = 64;

    /// Returns all of the text at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, tokens: TokenKind) -> Self {
        Self {
            path: path.into(),
            tokens,
            vocabulary: None,
            context: Self::CONTEXT,
            train_examples: None,
            validation_examples: None,
            test_examples: None,
        }
    }
}

/// How files become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// UTF-8 text, into words and punctuation marks with `<eos>` behind paragraphs; files of extension `tokens`, as those of Wikitext,
    /// at spaces alone with `<eos>` behind lines.
    Words,
    /// Text, into its bytes.
    Bytes,
    /// Files of tokens as little-endian numbers of 16 bits, as nanoGPT writes them, or llm.c with a header.
    U16,
    /// Files of tokens as little-endian numbers of 32 bits.
    U32,
}

impl TokenKind {
    /// Returns what is at `path` most likely: 16-bit tokens where there are `.bin` files, else words.
    ///
    /// # Errors
    ///
    /// [`DataError`] if neither is there.
    pub fn recognise(path: &Path) -> Result<Self, DataError> {
        let has_tokens =
            if path.is_file() { files::extension(path) == files::TOKENS } else { files::find(path, Self::U16).is_ok() };
        if has_tokens { Ok(Self::U16) } else { files::find(path, Self::Words).map(|_files| Self::Words) }
    }

    /// Tells whether files hold tokens, rather than text.
    #[must_use]
    pub const fn is_token_file(self) -> bool {
        matches!(self, Self::U16 | Self::U32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_gives_the_published_size_of_gpt_2() {
        let small = GptSize { layers: 12, heads: 12, width: 768 };
        assert_eq!(small.parameters(50_257, 1024), 124_439_808);
        assert_eq!(GptSize::default().parameters(4096, 64), 1_325_824);
    }

    #[test]
    fn sizes_that_make_no_network_are_refused_by_name() {
        let refusal = |size: GptSize| size.check().unwrap_err().to_string();
        assert!(refusal(GptSize { heads: 3, ..GptSize::default() }).starts_with("width is 128"));
        assert!(refusal(GptSize { heads: 0, ..GptSize::default() }).starts_with("heads is 0"));
        assert!(refusal(GptSize { layers: 0, ..GptSize::default() }).starts_with("layers is 0"));
        GptSize::default().check().unwrap();
    }
}
