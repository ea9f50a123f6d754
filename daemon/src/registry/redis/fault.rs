//! What a call to Redis may end in, and what helps then.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a call to Redis was not answered as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The server is gone, is no master, or holds another history: the registry has to be joined anew, perhaps elsewhere.
    #[error("{0}")]
    Lost(String),
    /// The server answered and refuses; joining anew would change nothing.
    #[error("{0}")]
    Refused(String),
    /// What the server holds is not the registry, or not of this version.
    #[error("{0}")]
    Foreign(String),
}

/// Codes of answers of a server that cannot serve now, or no longer; another, or the same later, can.
const LOST_CODES: [&str; 11] = [
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "HISTORY",
    "NOAUTH",
    // It answers reads but takes no writes: its disk or its memory is full, or it has too few replicas.
    "MISCONF",
    "OOM",
    "NOREPLICAS",
];

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        match (error.kind(), error.code()) {
            (_, Some("SCHEMA")) => Self::Foreign(format!(
                "the registry has schema version {}, which this samplerd does not know: use the samplerd that wrote it",
                error.detail().unwrap_or("unknown")
            )),
            (_, Some("FOREIGN")) => Self::Foreign(format!(
                "it holds another registry, {}, than the one this data directory mirrors: use the right address, or \
                 another --data-dir",
                error.detail().unwrap_or("of unknown id")
            )),
            (ErrorKind::Server(ServerErrorKind::ResponseError) | ErrorKind::Extension, Some(code))
                if !LOST_CODES.contains(&code) =>
            {
                Self::Refused(text)
            }
            (ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::CrossSlot), _) => Self::Refused(text),
            _ => Self::Lost(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{ServerError, Value};

    use super::*;

    fn fault(answer: &str) -> Fault {
        let value = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = value else { panic!("{answer:?} is an error") };
        let error: ServerError = error;
        Fault::from(RedisError::from(error))
    }

    #[test]
    fn a_server_that_cannot_serve_is_left_and_one_that_refuses_is_believed() {
        let cannot = ["READONLY You can't write against a read only replica.", "LOADING Redis is loading", "HISTORY x"];
        let takes_no_writes = ["OOM command not allowed", "MISCONF cannot persist", "NOREPLICAS Not enough"];
        for lost in cannot.into_iter().chain(takes_no_writes) {
            assert!(matches!(fault(lost), Fault::Lost(_)), "{lost}");
        }
        for refused in ["ERR unknown command", "NOPERM no"] {
            assert!(matches!(fault(refused), Fault::Refused(_)), "{refused}");
        }
        assert!(matches!(fault("FOREIGN abc"), Fault::Foreign(_)));
        let timed_out = std::io::Error::from(std::io::ErrorKind::TimedOut);
        assert!(matches!(Fault::from(RedisError::from(timed_out)), Fault::Lost(_)));
    }
}
