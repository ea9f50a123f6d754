//! Files of tokens: little-endian numbers one after another, as nanoGPT writes them, or behind the header of llm.c.

use std::path::Path;

use super::{TokenKind, files};
use crate::data::DataError;

/// First number of llm.c's header.
const MAGIC: u32 = 20_240_520;
/// Numbers of 32 bits in llm.c's header: magic, version, tokens, and zeros.
const HEADER_WORDS: usize = 256;
/// Fewest tokens from which on zeros in every second place cannot be chance.
const TOKENS_TOLD_APART_MIN: usize = 64;

/// Reads a file of `kind`, all of whose tokens are below `vocabulary` where that is known.
pub(super) fn read(path: &Path, kind: TokenKind, vocabulary: Option<u32>) -> Result<Vec<u32>, DataError> {
    let bytes = files::read(path)?;
    let wrong = |reason: String| DataError::Content { path: path.to_owned(), reason };
    let width = if kind == TokenKind::U32 { 4 } else { 2 };
    let (body, start) = match header(&bytes) {
        None => (bytes.as_slice(), 0),
        Some(header) => {
            let body = bytes.get(4 * HEADER_WORDS..).unwrap_or_default();
            header.check(width, body.len()).map_err(wrong)?;
            (body, 4 * HEADER_WORDS)
        }
    };
    if body.len() % width != 0 {
        let reason = format!("it has {} bytes, tokens of {width} bytes are whole ones: give --tokens", bytes.len());
        return Err(wrong(reason));
    }
    let tokens: Vec<u32> = match width {
        2 => body.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))).collect(),
        _ => body.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect(),
    };
    if width == 2 && start == 0 && looks_like_wider_numbers(&tokens) {
        return Err(wrong("every second number is 0, as in files of 32-bit tokens: give --tokens u32".to_owned()));
    }
    if let Some(limit) = vocabulary
        && let Some(position) = tokens.iter().position(|&token| token >= limit)
    {
        let (token, byte) = (tokens[position], start + position * width);
        let reason =
            format!("token {position}, at byte {byte}, is {token}: --vocabulary is {limit}, and all are below it");
        return Err(wrong(reason));
    }
    Ok(tokens)
}

fn looks_like_wider_numbers(tokens: &[u32]) -> bool {
    let high = tokens.iter().skip(1).step_by(2);
    tokens.len() >= TOKENS_TOLD_APART_MIN
        && high.clone().all(|&half| half == 0)
        && tokens.iter().any(|&token| token > 0)
}

struct Header {
    version: u32,
    tokens: u32,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let word = |number: usize| {
        let word: [u8; 4] = bytes.get(4 * number..4 * number + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word))
    };
    (word(0)? == MAGIC).then_some(Header { version: word(1)?, tokens: word(2)? })
}

impl Header {
    /// Says what is wrong, with a body of so many bytes of which a token takes `width`.
    fn check(&self, width: usize, body: usize) -> Result<(), String> {
        let Self { version, tokens } = *self;
        let expected = match version {
            1 => 2,
            7 => 4,
            _ => return Err(format!("its header is llm.c's of version {version}: 1 and 7 are read")),
        };
        if width != expected {
            return Err(format!("its header says tokens of {expected} bytes: give --tokens u{}", 8 * expected));
        }
        if tokens as usize * width != body {
            return Err(format!("its header says {tokens} tokens of {width} bytes, {body} bytes follow it"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8], kind: TokenKind, vocabulary: Option<u32>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.bin");
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, kind, vocabulary).unwrap_err().to_string();
        assert!(error.contains("train.bin: "), "{error}");
        error
    }

    #[test]
    fn files_of_another_width_are_told_apart() {
        assert!(refusal(&[1, 2, 3], TokenKind::U16, None).contains("3 bytes"));
        let wide: Vec<u8> = (1..=64u32).flat_map(u32::to_le_bytes).collect();
        assert!(refusal(&wide, TokenKind::U16, None).contains("--tokens u32"));
    }

    #[test]
    fn a_token_beyond_the_vocabulary_is_named_by_its_place() {
        let error = refusal(&[1, 0, 9, 0, 2, 0], TokenKind::U16, Some(9));
        assert!(error.contains("token 1, at byte 2, is 9"), "{error}");
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused() {
        let file = |version: u32, tokens: u32| {
            let mut words = [0; HEADER_WORDS];
            words[..3].copy_from_slice(&[MAGIC, version, tokens]);
            let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
            bytes.extend([5, 0, 6, 0]);
            bytes
        };
        assert!(refusal(&file(1, 3), TokenKind::U16, None).contains("3 tokens of 2 bytes, 4 bytes follow"));
        assert!(refusal(&file(2, 2), TokenKind::U16, None).contains("version 2"));
        assert!(refusal(&file(1, 2), TokenKind::U32, None).contains("--tokens u16"));
    }
}
