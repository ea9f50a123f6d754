//! The file of tokens and tenants.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::date::seconds_of;
use super::{Caller, Role, Tenant};

/// What tokens begin with, by which they are recognised where they should not be.
pub(super) const PREFIX: &str = "sst_";
/// Most bytes of the file.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most tokens: each call is compared with all of them.
const TOKENS_MAX: usize = 4096;

/// Why a file is none of tokens. What it holds in the place of a hash is never shown.
#[derive(Debug, thiserror::Error)]
#[error("tokens file {}: {reason}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    reason: String,
}

impl TokenFileError {
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

/// What a tenant may have; `None`: as much as the daemon allows anybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Streams of batches open at once, on each daemon.
    pub streams_max: Option<u64>,
    /// Jobs that it opened and nobody removed.
    pub jobs_max: Option<u64>,
    /// Datasets that it imported and nobody removed.
    pub datasets_max: Option<u64>,
    /// Bytes of one import.
    pub import_bytes_max: Option<u64>,
}

/// A token, by its hash.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) hash: [u8; 32],
    pub(super) expires_s: Option<u64>,
    pub(super) caller: std::sync::Arc<Caller>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    token: Vec<Stanza>,
    #[serde(default)]
    tenant: BTreeMap<String, Quotas>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stanza {
    name: String,
    sha256: String,
    role: Role,
    tenant: Option<String>,
    expires: Option<toml::value::Datetime>,
}

/// Reads the file's text.
pub(super) fn read(path: &Path) -> Result<String, TokenFileError> {
    let failed = |error: std::io::Error| TokenFileError::new(path, error.to_string());
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(TokenFileError::new(path, format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Reads the tokens out of the file's text.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, TokenFileError> {
    let content: Content = toml::from_str(text).map_err(|error| syntax_error(path, text, &error))?;
    if content.token.len() > TOKENS_MAX {
        return Err(TokenFileError::new(path, format!("it has {} tokens, at most {TOKENS_MAX}", content.token.len())));
    }
    let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
    let mut entries = Vec::with_capacity(content.token.len());
    for (number, stanza) in (1..).zip(content.token) {
        let entry = entry(stanza, &content.tenant)
            .map_err(|reason| TokenFileError::new(path, format!("token {number}: {reason}")))?;
        if !names.insert(entry.caller.name.clone()) {
            let reason = format!("token {number}: the name {:?} is another's already", entry.caller.name);
            return Err(TokenFileError::new(path, reason));
        }
        if !hashes.insert(entry.hash) {
            return Err(TokenFileError::new(path, format!("token {number}: another has the same sha256")));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(stanza: Stanza, tenants: &BTreeMap<String, Quotas>) -> Result<Entry, String> {
    let Stanza { name, sha256, role, tenant, expires } = stanza;
    if name.is_empty() || name.starts_with(PREFIX) {
        return Err("name must say whose it is, and is shown: it cannot be empty or a token".into());
    }
    let hash = hash_of(&sha256).ok_or_else(|| {
        format!("sha256 of {name:?} must be 64 hexadecimal digits, as `samplerctl token new` prints it")
    })?;
    let tenant = match tenant {
        None => None,
        Some(of) => match tenants.get(&of) {
            Some(quotas) => Some(Tenant { name: of, quotas: *quotas }),
            None => {
                return Err(format!("tenant {of:?} of {name:?} is not there: add [tenant.{of}], which may be empty"));
            }
        },
    };
    let expires_s = expires.map(|expires| seconds_of(&expires)).transpose();
    let expires_s = expires_s.map_err(|reason| format!("expires of {name:?}: {reason}"))?;
    Ok(Entry { hash, expires_s, caller: std::sync::Arc::new(Caller { name, role, tenant }) })
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
    }
    Some(hash)
}

/// The whole error would quote the line, which may hold a token where its hash should be.
fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> TokenFileError {
    let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
    let message = error.message();
    let message =
        if message.contains(PREFIX) { "a token stands there; the file holds only sha256 of them" } else { message };
    TokenFileError::new(path, format!("line {line}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("tokens.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_token_has_a_name_a_hash_a_role_and_may_have_a_tenant_and_an_end() {
        let hash = "0f".repeat(32);
        let text = format!(
            "[[token]]\nname = \"ci\"\nsha256 = \"{hash}\"\nrole = \"publish\"\ntenant = \"vision\"\nexpires = 1970-01-02\n\
             [tenant.vision]\njobs_max = 3\n"
        );
        let entries = parse(Path::new("t"), &text).unwrap();
        assert_eq!(entries[0].hash, [15; 32]);
        assert_eq!(entries[0].expires_s, Some(86_400));
        let quotas = Quotas { jobs_max: Some(3), ..Quotas::default() };
        let tenant = Some(Tenant { name: "vision".into(), quotas });
        assert_eq!(*entries[0].caller, Caller { name: "ci".into(), role: Role::Publish, tenant });
    }

    #[test]
    fn what_is_wrong_is_named_and_a_token_in_the_wrong_place_is_not_shown() {
        let hash = "0f".repeat(32);
        let stanza = |name: &str| format!("[[token]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nrole = \"read\"\n");
        let same_hash = format!("{}{}", stanza("a"), stanza("b"));
        let secret = format!("sst_{}", "a".repeat(60));
        let token_for_hash = format!("[[token]]\nname = \"a\"\nsha256 = \"{secret}\"\nrole = \"read\"\n");
        let token_for_role = format!("[[token]]\nname = \"a\"\nsha256 = \"{hash}\"\nrole = \"{secret}\"\n");
        for (text, part) in [
            (same_hash, "token 2: another has the same sha256"),
            (stanza("a").replace("\"read\"", "\"root\""), "line 4"),
            (stanza("a") + "tenant = \"x\"\n", "[tenant.x]"),
            (stanza(""), "name"),
            (token_for_hash, "64 hexadecimal digits"),
            (token_for_role, "only sha256"),
            (stanza("a") + "rolle = 1\n", "rolle"),
        ] {
            let message = refused(&text);
            assert!(message.contains(part) && message.contains("tokens.toml"), "{message}");
            assert!(!message.contains(&secret), "{message}");
        }
    }
}
