//! Texts are read as the tools that wrote them meant them: tests/fixtures/text/make_text.py used NumPy, struct and gzip.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::path::{Path, PathBuf};

use swift_sampler_searcher::language::{TextConfig, TokenKind};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text").join(name)
}

fn config(name: &str, context: u32) -> TextConfig {
    let path = fixture(name);
    let tokens = TokenKind::recognise(&path).unwrap();
    TextConfig { context, ..TextConfig::new(path, tokens) }
}

#[test]
fn files_of_nanogpt_are_sixteen_bit_tokens() {
    let corpus = config("nanogpt", 2).load().unwrap();
    // Of 19 training sequences, 2 are for test, which has no file.
    assert_eq!(corpus.train.tokens(), (0..35).map(|number| number * 1256).collect::<Vec<u32>>());
    assert_eq!(corpus.validation.tokens(), [50256, 1, 2, 3, 4]);
    assert_eq!(corpus.test.tokens(), [34, 35, 36, 37, 38].map(|number| number * 1256));
    assert_eq!((corpus.vocabulary, corpus.source_sequences), (50257, 19));
    let limited = TextConfig { vocabulary: Some(50_000), ..config("nanogpt", 2) };
    let error = limited.load().unwrap_err().to_string();
    assert!(error.contains("val.bin: token 0, at byte 0, is 50256"), "{error}");
}

#[test]
fn shards_of_llm_c_follow_each_other_and_say_how_wide_their_tokens_are() {
    let gpt2 = config("llmc_gpt2", 1).load().unwrap();
    assert_eq!(gpt2.train.tokens(), [5, 50256, 7, 4]);
    assert_eq!((gpt2.validation.tokens(), gpt2.test.tokens()), (&[4, 50255][..], &[50255, 6][..]));
    let error = config("llmc_llama", 1).load().unwrap_err().to_string();
    assert!(error.contains("books_train_000000.bin: its header says tokens of 4 bytes: give --tokens u32"), "{error}");
    let wide = TextConfig { tokens: TokenKind::U32, ..config("llmc_llama", 1) }.load().unwrap();
    assert_eq!((wide.train.tokens(), wide.vocabulary), (&[5, 128_000, 7, 4][..], 128_001));
}

#[test]
fn wikitext_is_read_as_words_with_its_own_sets() {
    let corpus = config("wikitext", 4).load().unwrap();
    // = Robert = <eos> Robert <unk> is an English actor , well @-@ known . <eos> He is Robert . <eos>; by frequency: Robert, then = .
    // and is, which are there twice, in the order of their bytes, then the others likewise.
    let (robert, dot, equals, is) = (2, 3, 4, 5);
    let (comma, marked, english, he, actor, an, known, well) = (6, 7, 8, 9, 10, 11, 12, 13);
    let expected = [
        equals, robert, equals, 1, robert, 0, is, an, english, actor, comma, well, marked, known, dot, 1, he, is,
        robert, dot, 1,
    ];
    assert_eq!(corpus.train.tokens(), expected);
    assert_eq!(corpus.validation.tokens(), [equals, 0, equals, 1, he, is, well, dot, 1]);
    assert_eq!((corpus.test.tokens(), corpus.vocabulary), (&[he, is, robert, dot, 1][..], 14));
}
