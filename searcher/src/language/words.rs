//! Text as words of a limited vocabulary.

use std::collections::HashMap;
use std::path::Path;

use super::files;
use crate::data::DataError;

/// Stands for every word beyond the vocabulary.
const UNKNOWN: &str = "<unk>";
/// Ends paragraphs.
const END: &str = "<eos>";
/// Number of `<unk>`.
const UNKNOWN_ID: u32 = 0;
/// Number of `<eos>`.
const END_ID: u32 = 1;

/// Decodes a file, naming the first byte that is not text.
pub(super) fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|error| {
        let reason = format!(
            "byte {} is not UTF-8: text is read, for other files give --tokens",
            error.utf8_error().valid_up_to()
        );
        DataError::Content { path: path.to_owned(), reason }
    })
}

/// Cuts a file's text into words.
pub(super) fn of_file<'a>(path: &Path, text: &'a str, words: &mut Vec<&'a str>) {
    if files::extension(path) == files::SPACED { spaced(text, words) } else { plain(text, words) }
}

/// Tokens apart by spaces, lines ended by `<eos>`, as Wikitext is read.
fn spaced<'a>(text: &'a str, words: &mut Vec<&'a str>) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        words.extend(line.split_whitespace());
        words.push(END);
    }
}

/// Words are letters and digits, with apostrophes within; every other character but spaces is a word of its own; empty lines end
/// paragraphs.
fn plain<'a>(text: &'a str, words: &mut Vec<&'a str>) {
    let mut within = false;
    for line in text.lines() {
        if line.trim().is_empty() {
            if within {
                words.push(END);
            }
            within = false;
            continue;
        }
        within = true;
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() { word_length(rest) } else { first.len_utf8() };
            words.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
    }
    if within {
        words.push(END);
    }
}

/// Bytes of the word that `text` begins with.
fn word_length(text: &str) -> usize {
    let mut letters = text.char_indices().peekable();
    while let Some((place, letter)) = letters.next() {
        let before_letter = || letters.clone().next().is_some_and(|(_, next)| next.is_alphanumeric());
        let belongs = letter.is_alphanumeric() || (matches!(letter, '\'' | '’') && before_letter());
        if !belongs {
            return place;
        }
    }
    text.len()
}

/// The numbers of words.
pub(super) struct Vocabulary<'a> {
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Vocabulary<'a> {
    /// Gives numbers to the most frequent of `words`, `<unk>` and `<eos>` among the `size`; of equally frequent ones, to those that
    /// come first in the order of their bytes.
    pub(super) fn new(words: &[&'a str], size: u32) -> Self {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for word in words {
            *counts.entry(word).or_default() += 1;
        }
        counts.remove(UNKNOWN);
        counts.remove(END);
        let mut frequent: Vec<(&str, u64)> = counts.into_iter().collect();
        frequent.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then(a.cmp(b)));
        let mut numbers = HashMap::from([(UNKNOWN, UNKNOWN_ID), (END, END_ID)]);
        numbers.extend(frequent.into_iter().map(|(word, _)| word).zip(END_ID + 1..size));
        Self { numbers }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn encode(&self, words: &[&str]) -> Vec<u32> {
        words.iter().map(|word| self.numbers.get(word).copied().unwrap_or(UNKNOWN_ID)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(name: &str, text: &'static str) -> Vec<&'static str> {
        let mut words = Vec::new();
        of_file(Path::new(name), text, &mut words);
        words
    }

    #[test]
    fn text_is_cut_into_words_marks_and_paragraphs() {
        let words = words_of("a.txt", "Don't stop,\nhe said: ’tis 42’s.\n\n\n\nThe dogs' end");
        let expected = "Don't stop , he said : ’ tis 42’s . <eos> The dogs ' end <eos>";
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn files_of_wikitext_are_cut_at_spaces_and_their_lines_end() {
        let words = words_of("wiki.train.tokens.gz", " \n = Title = \n \n a <unk> well @-@ known , \n");
        assert_eq!(words.join(" "), "= Title = <eos> a <unk> well @-@ known , <eos>");
    }

    #[test]
    fn rare_words_are_unknown_and_ties_are_broken_by_the_words() {
        let words = ["b", "a", "c", "c", "<unk>", "<unk>", "<unk>", "<eos>"];
        let vocabulary = Vocabulary::new(&words, 4);
        assert_eq!((vocabulary.len(), vocabulary.encode(&words)), (4, vec![0, 3, 2, 2, 0, 0, 0, 1]));
        assert_eq!(Vocabulary::new(&words, 100).len(), 5);
    }

    #[test]
    fn a_byte_that_is_no_text_is_named() {
        let error = decode(Path::new("a.txt"), vec![b'a', 0xff]).unwrap_err().to_string();
        assert!(error.contains("a.txt: byte 1 is not UTF-8"), "{error}");
    }
}
