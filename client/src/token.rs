//! The token that calls show, which nothing prints.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::ClientError;

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
/// How often a token's file is read again while calls are made: a token that was replaced is taken up by then.
const FILE_LOOK_INTERVAL: Duration = Duration::from_secs(5);
const AUTHORIZATION: &str = "authorization";

/// A token of a daemon's. It is not shown, not even by its `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl FromStr for Token {
    type Err = ClientError;

    /// Takes a token's text; spaces and ends of lines around it are left out.
    fn from_str(text: &str) -> Result<Self, ClientError> {
        Self::read(text).map_err(|reason| ClientError::Access(format!("the token {reason}")))
    }
}

impl Token {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty".into());
        }
        if text.len() > TOKEN_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("must be one line of at most {TOKEN_BYTES_MAX} letters, digits and signs"));
        }
        Ok(Self(text.to_owned()))
    }

    fn header(&self) -> MetadataValue<Ascii> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", self.0).parse().expect("a token is of signs that headers may have");
        value.set_sensitive(true);
        value
    }
}

/// Where a client's token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// From the program.
    Given(Token),
    /// From a file that holds nothing else. It is read again while the client is used.
    File(PathBuf),
}

impl TokenSource {
    fn token(&self) -> Result<Token, ClientError> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::File(path) => read(path),
        }
    }
}

fn read(path: &Path) -> Result<Token, ClientError> {
    let file = |reason| ClientError::File { path: path.to_owned(), reason };
    let mut text = String::new();
    let limit = TOKEN_BYTES_MAX as u64 + 64;
    File::open(path).map_err(file)?.take(limit).read_to_string(&mut text).map_err(file)?;
    Token::read(&text)
        .map_err(|reason| ClientError::Access(format!("token file {}: the token {reason}", path.display())))
}

/// Puts the token into calls, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    shown: Option<Arc<Shown>>,
}

#[derive(Debug)]
struct Shown {
    source: TokenSource,
    now: Mutex<(Token, Instant)>,
}

impl Credentials {
    /// Reads the token.
    pub(crate) fn new(source: Option<&TokenSource>) -> Result<Self, ClientError> {
        let shown = |source: &TokenSource| {
            let now = Mutex::new((source.token()?, Instant::now()));
            Ok::<_, ClientError>(Arc::new(Shown { source: source.clone(), now }))
        };
        Ok(Self { shown: source.map(shown).transpose()? })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(shown) = &self.shown {
            request.metadata_mut().insert(AUTHORIZATION, shown.header());
        }
        Ok(request)
    }
}

impl Shown {
    fn header(&self) -> MetadataValue<Ascii> {
        let mut now = self.now.lock().expect("no holder panics");
        if matches!(self.source, TokenSource::File(_)) && now.1.elapsed() >= FILE_LOOK_INTERVAL {
            // A file that is being replaced may be away for a moment: what it held stands.
            let token = self.source.token().unwrap_or_else(|_unreadable| now.0.clone());
            *now = (token, Instant::now());
        }
        now.0.header()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        let token: Token = " sst_abc\n".parse().unwrap();
        assert_eq!(token, Token("sst_abc".into()));
        let source = TokenSource::Given(token);
        let mut credentials = Credentials::new(Some(&source)).unwrap();
        let shown = credentials.call(Request::new(())).unwrap();
        assert_eq!(shown.metadata().get(AUTHORIZATION).unwrap().to_str().unwrap(), "Bearer sst_abc");
        let printed = format!("{source:?} {credentials:?} {shown:?}");
        assert!(!printed.contains("sst_abc"), "{printed}");
        for bad in ["", " ", "sst_a b", "sst_ä", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            let error = bad.parse::<Token>().unwrap_err().to_string();
            assert!(error.contains("token") && (bad.trim().is_empty() || !error.contains(bad)), "{error}");
        }
    }

    #[test]
    fn a_token_file_is_named_when_it_cannot_be_used_and_its_content_is_not() {
        let error = TokenSource::File("/nonexistent/token".into()).token().unwrap_err().to_string();
        assert!(error.contains("/nonexistent/token"), "{error}");
    }
}
