//! Who may call what: bearer tokens with roles, from a file that is looked at again while the daemon serves.
//!
//! The file holds SHA-256 of tokens, without salt: a token is 256 random bits, which nobody finds by trying. What a call
//! shows is compared with all of them in a time that does not depend on them. Neither is ever logged.

mod date;
mod guard;
mod http;
mod roles;
mod streams;
mod token_file;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use prometheus::IntCounterVec;

use crate::registry::Owner;

pub(crate) use guard::guard;
pub(crate) use http::guard as guard_http;
pub use roles::{Needed, Role, needed};
use streams::Streams;
pub use token_file::{Quotas, TokenFileError};
use tokens::Tokens;

/// Who calls, as its token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The tenant whose quotas it counts to.
    pub tenant: Option<Tenant>,
}

/// Users that share quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// What it may have.
    pub quotas: Quotas,
}

impl Caller {
    /// Returns whose quotas a request counts to; `None` where its token is of no tenant, or none are asked for.
    #[must_use]
    pub fn tenant_of<T>(request: &tonic::Request<T>) -> Option<Tenant> {
        request.extensions().get::<Self>().and_then(|caller| caller.tenant.clone())
    }
}

impl Tenant {
    /// Returns who will own a job that a tenant opens.
    #[must_use]
    pub fn job_owner(tenant: Option<&Self>) -> Owner {
        Self::owner(tenant, |quotas| quotas.jobs_max)
    }

    /// Returns who will own a dataset that a tenant imports.
    #[must_use]
    pub fn dataset_owner(tenant: Option<&Self>) -> Owner {
        Self::owner(tenant, |quotas| quotas.datasets_max)
    }

    fn owner(tenant: Option<&Self>, max: impl Fn(&Quotas) -> Option<u64>) -> Owner {
        let of = |tenant: &Self| Owner { tenant: tenant.name.clone(), records_max: max(&tenant.quotas) };
        tenant.map(of).unwrap_or_default()
    }
}

/// Why a call is refused. Names tokens, never shows one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It shows none.
    #[error(
        "this samplerd wants a token: give one by --token-file FILE, SWIFTSAMPLER_TOKEN_FILE or SWIFTSAMPLER_TOKEN, or \
         as the header `authorization: Bearer TOKEN`"
    )]
    NoToken,
    /// What it shows is none of the file's.
    #[error("the token is none of this samplerd's: it may have been replaced, or be another daemon's")]
    Unknown,
    /// Its time is over.
    #[error("the token {0:?} has expired: ask for another")]
    Expired(String),
    /// Its role is too low.
    #[error("the token {name:?} has the role {has}, and {what} needs {needs}")]
    Role {
        /// The token's name.
        name: String,
        /// Its role.
        has: Role,
        /// The role that is needed.
        needs: Role,
        /// For what.
        what: String,
    },
}

impl Refusal {
    /// Returns the label of the counter.
    fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Unknown => "unknown_token",
            Self::Expired(_) => "expired",
            Self::Role { .. } => "role",
        }
    }
}

/// Who may call what.
#[derive(Debug)]
pub struct Access {
    tokens: Option<Tokens>,
    /// Clients of HTTP show a certificate, or a token.
    clients_certified: bool,
    refused: IntCounterVec,
    streams: Streams,
}

impl Access {
    /// Reads the file of tokens, if there is one; without it everybody who can connect may call everything.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn open(
        file: Option<PathBuf>,
        clients_certified: bool,
        refused: IntCounterVec,
    ) -> Result<Self, TokenFileError> {
        Ok(Self {
            tokens: file.map(Tokens::open).transpose()?,
            clients_certified,
            refused,
            streams: Streams::default(),
        })
    }

    /// Takes what the file holds now, if it changed since it was read last; tells whether it did.
    ///
    /// # Errors
    /// [`TokenFileError`], once of each content. What was read before stays.
    pub fn reload(&self) -> Result<bool, TokenFileError> {
        self.tokens.as_ref().map_or(Ok(false), Tokens::reload)
    }

    /// Tells whether calls need tokens.
    #[must_use]
    pub fn wants_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Finds who shows `token`, and whether that may do what needs `needs`; `None` where nobody is asked for one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, token: Option<&[u8]>, needs: Role, what: &str) -> Result<Option<Arc<Caller>>, Refusal> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let checked = tokens.caller(token).and_then(|caller| {
            if caller.role >= needs {
                return Ok(Some(caller));
            }
            let (name, has) = (caller.name.clone(), caller.role);
            Err(Refusal::Role { name, has, needs, what: what.to_owned() })
        });
        if let Err(refusal) = &checked {
            self.refused.with_label_values(&[refusal.reason()]).inc();
            match refusal {
                // Anybody can bring these about, as often as they like.
                Refusal::NoToken | Refusal::Unknown => tracing::debug!(%refusal, what, "a call is refused"),
                Refusal::Expired(_) | Refusal::Role { .. } => tracing::info!(%refusal, what, "a call is refused"),
            }
        }
        checked
    }
}

/// Returns the token of an `authorization` header of the scheme Bearer.
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = authorization.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}
