//! Options of language models.

use clap::{Args, ValueEnum};

use super::data::DataOptions;
use crate::error::SearcherError;
use crate::language::{GptSize, TextConfig, TokenKind};

/// What `--target gpt` is, and how its text becomes tokens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Language models (--target gpt)")]
pub(super) struct LanguageOptions {
    /// How text becomes tokens [default: u16 where there are .bin files, else words]
    #[arg(long, value_enum)]
    tokens: Option<TokensName>,
    /// Different tokens: of words the most frequent ones, <unk> among them; of token files what all are below [default: 4096 of
    /// words; of token files one more than the largest]
    #[arg(long, value_parser = clap::value_parser!(u32).range(3..=1 << 24))]
    vocabulary: Option<u32>,
    /// Tokens of a sequence, which is an example: as far back as the network sees [default: 64]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    context: Option<u32>,
    /// Blocks of the network [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    layers: Option<u32>,
    /// Heads of its attentions [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    heads: Option<u32>,
    /// Width of its tokens, a multiple of the heads [default: 128]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    width: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TokensName {
    /// Text, into words and marks; *.tokens files, as those of Wikitext, at spaces
    Words,
    /// Text, into bytes
    Bytes,
    /// Files *.bin of 16-bit numbers, as nanoGPT and llm.c write them
    U16,
    /// Files *.bin of 32-bit numbers
    U32,
}

impl LanguageOptions {
    /// Returns an option that is given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.tokens.is_some(), "--tokens"),
            (self.vocabulary.is_some(), "--vocabulary"),
            (self.context.is_some(), "--context"),
            (self.layers.is_some(), "--layers"),
            (self.heads.is_some(), "--heads"),
            (self.width.is_some(), "--width"),
        ];
        given.into_iter().find_map(|(given, option)| given.then_some(option))
    }

    /// Returns the network.
    ///
    /// # Errors
    /// [`SearcherError::Target`] naming the size that is wrong.
    pub(super) fn network(&self) -> Result<GptSize, SearcherError> {
        let usual = GptSize::default();
        let size = GptSize {
            layers: self.layers.unwrap_or(usual.layers),
            heads: self.heads.unwrap_or(usual.heads),
            width: self.width.unwrap_or(usual.width),
        };
        size.check()?;
        Ok(size)
    }

    /// Returns the text.
    ///
    /// # Errors
    /// [`SearcherError`] when there is none, or no option says where.
    pub(super) fn text(&self, data: &DataOptions) -> Result<TextConfig, SearcherError> {
        let [path] = data.paths.as_slice() else {
            let reason = "target \"gpt\" needs one --data, where its text is (scripts/setup-text prints where one is)";
            return Err(SearcherError::Config(reason.to_owned()));
        };
        let tokens = match self.tokens {
            Some(TokensName::Words) => TokenKind::Words,
            Some(TokensName::Bytes) => TokenKind::Bytes,
            Some(TokensName::U16) => TokenKind::U16,
            Some(TokensName::U32) => TokenKind::U32,
            None => TokenKind::recognise(path).map_err(|error| SearcherError::Data(error.to_string()))?,
        };
        if tokens == TokenKind::Bytes && self.vocabulary.is_some() {
            return Err(SearcherError::Config("--vocabulary is of no meaning to --tokens bytes: it is 256".to_owned()));
        }
        let count = |given: Option<u32>| given.map(|count| count as usize);
        Ok(TextConfig {
            vocabulary: self.vocabulary,
            context: self.context.unwrap_or(TextConfig::CONTEXT),
            train_examples: count(data.train_examples),
            validation_examples: count(data.validation_examples),
            test_examples: count(data.test_examples),
            ..TextConfig::new(path, tokens)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};

    fn refusal(arguments: &[&str]) -> String {
        let cli = Cli::try_parse_from(["searcher", "features"].iter().chain(arguments)).unwrap();
        let Some(Command::Features(options)) = cli.command else { panic!("features was asked for") };
        options.target().unwrap_err().to_string()
    }

    #[test]
    fn options_of_images_are_refused_for_text_and_those_of_text_for_images() {
        let of_images: [&[&str]; 5] = [
            &["--label-noise", "0.1"],
            &["--gradient-norm", "full"],
            &["--input-scale", "stored"],
            &["--augment", "flip"],
            &["--image-size", "32"],
        ];
        for option in of_images {
            let error = refusal(&[&["--target", "gpt", "--data", "text.txt"], option].concat());
            assert!(error.starts_with(option[0]) && error.contains("--target gpt"), "{error}");
        }
        for option in ["--tokens=words", "--vocabulary=9", "--context=9", "--layers=1", "--heads=1", "--width=1"] {
            let error = refusal(&["--target", "mlp", "--data", "images", option]);
            assert!(error.starts_with(&option[..5]) && error.contains("not mlp"), "{error}");
        }
    }
}
