//! The tokens in force.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::token_file::{Entry, TokenFileError, parse, read};
use super::{Caller, Refusal};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// The tokens in force.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    current: RwLock<Arc<Vec<Entry>>>,
    /// Digest of what was read last, good or bad.
    seen: Mutex<[u8; 32]>,
}

impl Tokens {
    pub(super) fn open(path: PathBuf) -> Result<Self, TokenFileError> {
        let text = read(&path)?;
        let entries = parse(&path, &text)?;
        Ok(Self { path, current: RwLock::new(Arc::new(entries)), seen: Mutex::new(Sha256::digest(&text).into()) })
    }

    pub(super) fn reload(&self) -> Result<bool, TokenFileError> {
        let text = read(&self.path);
        let digest = match &text {
            Ok(text) => Sha256::digest(text),
            Err(error) => Sha256::digest(error.to_string()),
        };
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == <[u8; 32]>::from(digest) {
                return Ok(false);
            }
            *seen = digest.into();
        }
        let entries = parse(&self.path, &text?)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(entries);
        Ok(true)
    }

    /// Finds whose a token is.
    pub(super) fn caller(&self, token: Option<&[u8]>) -> Result<Arc<Caller>, Refusal> {
        let token = token.filter(|token| !token.is_empty()).ok_or(Refusal::NoToken)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Unknown);
        }
        let entries = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let entry = find(&entries, &Sha256::digest(token).into()).ok_or(Refusal::Unknown)?;
        let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        match entry.expires_s {
            Some(expires_s) if expires_s <= now_s => Err(Refusal::Expired(entry.caller.name.clone())),
            _ => Ok(Arc::clone(&entry.caller)),
        }
    }
}

/// Compares with all, whichever it is.
fn find<'a>(entries: &'a [Entry], hash: &[u8; 32]) -> Option<&'a Entry> {
    let mut found = 0_u64;
    for (number, entry) in (1..).zip(entries) {
        found.conditional_assign(&number, entry.hash.ct_eq(hash));
    }
    usize::try_from(found).ok()?.checked_sub(1).map(|index| &entries[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_revokes_and_a_bad_one_leaves_what_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        let file = |token: &str| {
            let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("[[token]]\nname = \"n\"\nsha256 = \"{hash}\"\nrole = \"read\"\n")
        };
        std::fs::write(&path, file("sst_one")).unwrap();
        let tokens = Tokens::open(path.clone()).unwrap();
        assert_eq!(tokens.caller(Some(b"sst_one")).unwrap().name, "n");
        assert_eq!(tokens.caller(None), Err(Refusal::NoToken));
        assert_eq!(tokens.caller(Some(b"")), Err(Refusal::NoToken));
        assert_eq!(tokens.caller(Some(b"sst_two")), Err(Refusal::Unknown));
        assert_eq!(tokens.caller(Some(&[b'x'; TOKEN_BYTES_MAX + 1])), Err(Refusal::Unknown));
        assert!(!tokens.reload().unwrap());
        std::fs::write(&path, "[[token]]\n").unwrap();
        assert!(tokens.reload().is_err());
        assert!(!tokens.reload().unwrap(), "what is wrong is said once");
        assert!(tokens.caller(Some(b"sst_one")).is_ok());
        std::fs::write(&path, file("sst_two")).unwrap();
        assert!(tokens.reload().unwrap());
        assert_eq!(tokens.caller(Some(b"sst_one")), Err(Refusal::Unknown));
        assert!(tokens.caller(Some(b"sst_two")).is_ok());
        std::fs::write(&path, file("sst_two") + "expires = 2001-01-01\n").unwrap();
        assert!(tokens.reload().unwrap());
        assert_eq!(tokens.caller(Some(b"sst_two")), Err(Refusal::Expired("n".into())));
    }
}
