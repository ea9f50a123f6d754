//! Which files hold the text, and what each is for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::TokenKind;
use crate::data::DataError;

/// Extensions of text.
const TEXT: [&str; 5] = ["txt", "md", "text", "raw", SPACED];
/// Extension of text whose tokens are apart by spaces.
pub(super) const SPACED: &str = "tokens";
/// Extension of token files.
pub(super) const TOKENS: &str = "bin";
/// Most bytes that are read of a file; a compressed one could otherwise fill the memory.
const FILE_BYTES_MAX: u64 = 16 << 30;
/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 8;

/// The files of each set, in the order of their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) train: Vec<PathBuf>,
    /// None: the set is a share of `train`.
    pub(super) validation: Vec<PathBuf>,
    pub(super) test: Vec<PathBuf>,
}

/// Finds the files. Where names say `train`, those that say neither this nor `valid` nor `test` are left out.
pub(super) fn find(path: &Path, kind: TokenKind) -> Result<Files, DataError> {
    let mut found = Vec::new();
    if path.is_file() {
        return Ok(Files { train: vec![path.to_owned()], ..Files::default() });
    }
    walk(path, kind, DEPTH_MAX, &mut found).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    found.sort();
    let of = |wanted: Option<Part>| -> Vec<PathBuf> {
        found.iter().filter(|file| part(file.strip_prefix(path).unwrap_or(file)) == wanted).cloned().collect()
    };
    let (train, validation, test) = (of(Some(Part::Train)), of(Some(Part::Validation)), of(Some(Part::Test)));
    let train = if train.is_empty() { of(None) } else { train };
    let files = Files { train, validation, test };
    if files.train.is_empty() {
        let expected =
            if kind.is_token_file() { "*.bin" } else { "*.txt, *.md, *.text, *.raw or *.tokens, or .gz of them" };
        let reason =
            format!("no training text is there: {expected}, of which names with valid or test are not for training");
        return Err(DataError::Content { path: path.to_owned(), reason });
    }
    Ok(files)
}

fn walk(folder: &Path, kind: TokenKind, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && depth > 0 {
            walk(&path, kind, depth - 1, found)?;
        } else if path.is_file() {
            let extension = extension(&path);
            let fits = if kind.is_token_file() { extension == TOKENS } else { TEXT.contains(&extension) };
            if fits {
                found.push(path);
            }
        }
    }
    Ok(())
}

/// Returns a file's extension, of a `.gz` that of what is in it.
pub(super) fn extension(path: &Path) -> &str {
    match path.extension().and_then(OsStr::to_str) {
        Some("gz") => path.file_stem().map(Path::new).and_then(Path::extension).and_then(OsStr::to_str).unwrap_or(""),
        extension => extension.unwrap_or(""),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Validation,
    Test,
}

/// What a file's name, or that of its folder, says it is for.
fn part(path: &Path) -> Option<Part> {
    let name = path.to_string_lossy().to_lowercase();
    name.split(|letter: char| !letter.is_alphanumeric()).find_map(|word| match word {
        "train" | "training" => Some(Part::Train),
        "valid" | "val" | "validation" | "dev" => Some(Part::Validation),
        "test" => Some(Part::Test),
        _ => None,
    })
}

/// Reads a file, unpacking a `.gz`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let error = |source| DataError::Read { path: path.to_owned(), source };
    let file = BufReader::new(File::open(path).map_err(error)?);
    let mut bytes = Vec::new();
    let read = if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    };
    let length = read.map_err(error)?;
    if length as u64 > FILE_BYTES_MAX {
        let reason = format!("it has more than {FILE_BYTES_MAX} bytes, the most that are read of a file");
        return Err(DataError::Content { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], kind: TokenKind) -> Result<[Vec<String>; 3], DataError> {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let files = find(folder.path(), kind)?;
        Ok([files.train, files.validation, files.test].map(|files| {
            let name = |file: PathBuf| file.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned();
            files.into_iter().map(name).collect()
        }))
    }

    #[test]
    fn names_of_files_and_folders_say_what_they_are_for() {
        let wikitext = ["wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens", "README.md"];
        let sets = found(&wikitext, TokenKind::Words).unwrap();
        assert_eq!(sets, [["wiki.train.tokens"], ["wiki.valid.tokens"], ["wiki.test.tokens"]]);
        let folders = found(&["train/b.txt", "train/a.txt.gz", "test/c.txt", "train.bin"], TokenKind::Bytes).unwrap();
        assert_eq!(folders, [vec!["train/a.txt.gz", "train/b.txt"], vec![], vec!["test/c.txt"]]);
        let shards = found(&["train_001.bin", "train_000.bin", "val.bin", "notes.txt"], TokenKind::U16).unwrap();
        assert_eq!(shards, [vec!["train_000.bin", "train_001.bin"], vec!["val.bin"], vec![]]);
        let books = found(&["contest.txt", "b/validity.md"], TokenKind::Words).unwrap();
        assert_eq!(books, [vec!["b/validity.md", "contest.txt"], vec![], vec![]]);
    }

    #[test]
    fn a_folder_without_training_text_is_refused_with_what_would_do() {
        let error = found(&["valid.txt", "image.png"], TokenKind::Words).unwrap_err().to_string();
        assert!(error.contains("*.txt") && error.contains("no training text"), "{error}");
        assert!(found(&["a.txt"], TokenKind::U16).unwrap_err().to_string().contains("*.bin"));
    }
}
