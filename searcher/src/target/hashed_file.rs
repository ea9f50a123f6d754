//! Files that are part of a study by their content.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::TargetError;

/// Bytes that are hashed at once.
const HASH_BLOCK_BYTES: usize = 1 << 20;

/// A file with the hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedFile {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal: another file is another study.
    pub sha256: String,
}

impl HashedFile {
    /// Reads and hashes a file.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] if it cannot be read.
    pub fn of_file(path: impl Into<PathBuf>) -> Result<Self, TargetError> {
        let path = path.into();
        let sha256 = sha256_of_file(&path)
            .map_err(|source| TargetError::File { path: path.clone(), reason: source.to_string() })?;
        Ok(Self { path, sha256 })
    }

    /// Checks that the file still is the one that was hashed.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] if it cannot be read, [`TargetError::OtherFile`] if it is another.
    pub fn check_file(&self) -> Result<(), TargetError> {
        let found = Self::of_file(&self.path)?.sha256;
        if found == self.sha256 {
            return Ok(());
        }
        Err(TargetError::OtherFile { path: self.path.clone(), expected: self.sha256.clone(), found })
    }
}

fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; HASH_BLOCK_BYTES];
    loop {
        match file.read(&mut block)? {
            0 => break,
            length => hash.update(&block[..length]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_refused_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        std::fs::write(&path, "abc").unwrap();
        let file = HashedFile::of_file(&path).unwrap();
        // The digest that FIPS 180-2 gives for these three bytes.
        assert_eq!(file.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        file.check_file().unwrap();
        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(file.check_file(), Err(TargetError::OtherFile { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(file.check_file().unwrap_err().to_string().contains("model.pt"));
    }
}
