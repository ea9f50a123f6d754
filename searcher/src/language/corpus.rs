//! A text, split into training, validation and test sequences.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::words::{self, Vocabulary};
use super::{Sequences, TextConfig, TokenKind, files, token_file};
use crate::data::DataError;

/// One sequence in so many is held out for a set that has no file of its own.
const SHARE: usize = 10;
/// Different bytes.
const BYTES: usize = 256;

/// The sequences of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// What is trained on.
    pub train: Sequences,
    /// What trials are measured by.
    pub validation: Sequences,
    /// What is looked at once, at the end.
    pub test: Sequences,
    /// Different tokens: all are below.
    pub vocabulary: usize,
    /// Sequences that the training files have, of which `train` is the beginning.
    pub source_sequences: usize,
}

impl TextConfig {
    /// Reads the files, makes tokens of them and splits them.
    ///
    /// # Errors
    ///
    /// Names the file and the position in it that is wrong, or the setting that the text does not allow.
    pub fn load(&self) -> Result<Corpus, DataError> {
        if self.context == 0 {
            return Err(DataError::EmptySplit { field: "context" });
        }
        let files = files::find(&self.path, self.tokens)?;
        let sets = [&files.train, &files.validation, &files.test];
        match self.tokens {
            TokenKind::Words => self.load_words(sets),
            TokenKind::Bytes => {
                let read = |path: &Path| Ok(files::read(path)?.into_iter().map(u32::from).collect());
                let split = self.split(&gather(sets, read)?)?;
                Ok(split.corpus(BYTES))
            }
            TokenKind::U16 | TokenKind::U32 => {
                let read = |path: &Path| token_file::read(path, self.tokens, self.vocabulary);
                let read = gather(sets, read)?;
                let largest = read.iter().flatten().max().map_or(0, |&token| token as usize);
                let split = self.split(&read)?;
                Ok(split.corpus(self.vocabulary.map_or(largest + 1, |size| size as usize)))
            }
        }
    }

    fn load_words(&self, sets: [&Vec<PathBuf>; 3]) -> Result<Corpus, DataError> {
        let text = |path: &PathBuf| Ok((path.clone(), words::decode(path, files::read(path)?)?));
        let texts: Vec<Vec<(PathBuf, String)>> =
            sets.iter().map(|paths| paths.iter().map(text).collect()).collect::<Result<_, DataError>>()?;
        let split = self.split(&[words_of(&texts[0]), words_of(&texts[1]), words_of(&texts[2])])?;
        let vocabulary = Vocabulary::new(&split.sets[0], self.vocabulary.unwrap_or(Self::VOCABULARY));
        let sets = [0, 1, 2].map(|set| vocabulary.encode(&split.sets[set]));
        let (context, source_sequences) = (split.context, split.source_sequences);
        Ok(Split { sets, context, source_sequences }.corpus(vocabulary.len()))
    }

    /// Cuts sets into whole sequences; what a set lacks comes from the end of the training set.
    fn split<T: Copy>(&self, sets: &[Vec<T>; 3]) -> Result<Split<T>, DataError> {
        let context = self.context as usize;
        let sequences = |tokens: &[T]| tokens.len().saturating_sub(1) / context;
        let available = sequences(&sets[0]);
        // How many of the training files are held out, and how many are taken where they have files.
        let held_out = |own: &Vec<T>, wanted: Option<usize>| match own.is_empty() {
            true => wanted.unwrap_or(available.div_ceil(SHARE)),
            false => 0,
        };
        let validation = held_out(&sets[1], self.validation_examples);
        let test = held_out(&sets[2], self.test_examples);
        let left = available.saturating_sub(validation.saturating_add(test));
        let train = self.train_examples.unwrap_or(left);
        if train == 0 || train > left {
            return Err(DataError::TooFewExamples { train: train.max(1), validation, test, available });
        }
        let range = |tokens: &[T], from: usize, count: usize, field| match count {
            0 => Err(DataError::EmptySplit { field }),
            _ => Ok(tokens[from * context..=(from + count) * context].to_vec()),
        };
        let own = |own: &Vec<T>, wanted: Option<usize>, from: usize, count: usize, field| {
            if own.is_empty() {
                return range(&sets[0], from, count, field);
            }
            let available = sequences(own);
            match wanted.unwrap_or(available) {
                wanted if wanted > available => Err(DataError::TooFewValidation { wanted, available }),
                wanted => range(own, 0, wanted, field),
            }
        };
        let sets = [
            range(&sets[0], 0, train, "train_examples")?,
            own(&sets[1], self.validation_examples, left, validation, "validation_examples")?,
            own(&sets[2], self.test_examples, left + validation, test, "test_examples")?,
        ];
        Ok(Split { sets, context, source_sequences: available })
    }
}

/// The words of files, one after another.
fn words_of(texts: &[(PathBuf, String)]) -> Vec<&str> {
    let mut words = Vec::new();
    for (path, text) in texts {
        words::of_file(path, text, &mut words);
    }
    words
}

/// Reads the files of each set, one after another.
fn gather<T>(
    sets: [&Vec<PathBuf>; 3],
    read: impl Fn(&Path) -> Result<Vec<T>, DataError>,
) -> Result<[Vec<T>; 3], DataError> {
    let mut read_sets = [Vec::new(), Vec::new(), Vec::new()];
    for (set, paths) in read_sets.iter_mut().zip(sets) {
        for path in paths {
            set.extend(read(path)?);
        }
    }
    Ok(read_sets)
}

/// The sets as whole sequences of words or tokens.
struct Split<T> {
    sets: [Vec<T>; 3],
    context: usize,
    source_sequences: usize,
}

impl Split<u32> {
    fn corpus(self, vocabulary: usize) -> Corpus {
        let Self { sets, context, source_sequences } = self;
        let [train, validation, test] = sets.map(|tokens| Sequences::new(tokens, context));
        Corpus { train, validation, test, vocabulary, source_sequences }
    }
}

impl Corpus {
    /// Returns the SHA-256, in hexadecimal, of all tokens and of where sequences and sets end.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for set in [&self.train, &self.validation, &self.test] {
            for size in [set.len(), set.context(), self.vocabulary] {
                hash.update((size as u64).to_le_bytes());
            }
            for token in set.tokens() {
                hash.update(token.to_le_bytes());
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(files: &[(&str, &[u8])], change: impl Fn(TextConfig) -> TextConfig) -> Result<Corpus, DataError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        change(TextConfig { context: 2, ..TextConfig::new(folder.path(), TokenKind::Bytes) }).load()
    }

    #[test]
    fn sets_without_a_file_are_the_end_of_the_training_text() {
        let text: Vec<u8> = (0..=40).collect();
        let corpus = load(&[("a.txt", &text)], |config| config).unwrap();
        let tokens = |from: u32, to: u32| (from..=to).collect::<Vec<u32>>();
        assert_eq!(corpus.train.tokens(), tokens(0, 32));
        assert_eq!(corpus.validation.tokens(), tokens(32, 36));
        assert_eq!(corpus.test.tokens(), tokens(36, 40));
        assert_eq!((corpus.vocabulary, corpus.source_sequences), (256, 20));
        // What is held out does not depend on how much is trained on.
        let less = load(&[("a.txt", &text)], |config| TextConfig { train_examples: Some(3), ..config }).unwrap();
        assert_eq!((less.train.len(), &less.validation), (3, &corpus.validation));
    }

    #[test]
    fn sets_with_a_file_are_that_file() {
        let files: [(&str, &[u8]); 3] = [("train.txt", b"abcdefg"), ("val.txt", b"12345"), ("test.txt", b"67890")];
        let corpus = load(&files, |config| TextConfig { validation_examples: Some(1), ..config }).unwrap();
        assert_eq!((corpus.train.len(), corpus.validation.len(), corpus.test.len()), (3, 1, 2));
        let more = load(&files, |config| TextConfig { validation_examples: Some(3), ..config });
        assert!(matches!(more, Err(DataError::TooFewValidation { wanted: 3, available: 2 })));
    }

    #[test]
    fn the_vocabulary_is_that_of_the_training_set_alone() {
        let files: [(&str, &[u8]); 2] = [("train.txt", b"a b a b a b a"), ("valid.txt", b"c c c a")];
        let corpus =
            load(&files, |config| TextConfig { tokens: TokenKind::Words, test_examples: Some(1), ..config }).unwrap();
        assert_eq!(corpus.vocabulary, 4);
        assert_eq!(corpus.validation.tokens(), [0, 0, 0, 2, 1]);
    }

    #[test]
    fn what_the_text_does_not_allow_is_refused() {
        let text: [(&str, &[u8]); 1] = [("a.txt", b"abcdefghi")];
        let refusal = |change: &dyn Fn(TextConfig) -> TextConfig| load(&text, change).unwrap_err().to_string();
        assert!(refusal(&|config| TextConfig { context: 0, ..config }).contains("context"));
        assert!(refusal(&|config| TextConfig { test_examples: Some(0), ..config }).contains("test_examples"));
        assert!(refusal(&|config| TextConfig { train_examples: Some(9), ..config }).contains("hold 4"));
    }

    #[test]
    fn another_text_has_another_fingerprint() {
        let of = |text: &[u8]| load(&[("a.txt", text)], |config| config).unwrap().fingerprint();
        assert_eq!(of(b"abcdefghi"), of(b"abcdefghi"));
        assert_ne!(of(b"abcdefghi"), of(b"abcdefghj"));
    }
}
