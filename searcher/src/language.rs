//! Text as training data: token files or plain text, cut into sequences that a language model learns to continue.
//!
//! An example is a sequence of as many tokens as the network's context: each is predicted from those of the sequence before it,
//! the first from the last token of the sequence before. So every token of the text but the first is predicted once.

mod config;
mod corpus;
mod files;
mod sequences;
mod token_file;
mod words;

pub use config::{GptSize, LanguageConfig, TextConfig, TokenKind};
pub use corpus::Corpus;
pub use sequences::Sequences;
