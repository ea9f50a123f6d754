//! The one place that maps errors to gRPC codes.

use std::time::Duration;

use swift_sampler::SelectionError;
use swift_sampler_files::ReadError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::Error;
use crate::loaded::LoadError;
use crate::parsing::{ParseError, RefusedFor};
use crate::registry::{BackendError, RegistryError};
use crate::store::StoreError;

/// Longest message, in bytes. It travels in a header, encoded in up to three times as many, and peers refuse headers of
/// more than 16 KiB.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Longest message of a call that is worth another attempt: its details repeat it.
const RETRIED_MESSAGE_BYTES_MAX: usize = 1 << 10;
/// When to try again what could not be done now: a registry that is down is looked for about as often.
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = code(&error);
        let message = error.to_string();
        if matches!(error, Error::ConnectionRetired) {
            // As it should be, and a new connection serves at once.
            return Self::new(code, message);
        }
        match code {
            Code::Internal | Code::DataLoss | Code::Unavailable => tracing::warn!(%code, message, "a call failed"),
            _ => tracing::debug!(%code, message, "a call was refused"),
        }
        if code == Code::Unavailable || matches!(error, Error::Busy(_)) {
            let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
            return Self::with_error_details(code, shortened(message, RETRIED_MESSAGE_BYTES_MAX), details);
        }
        Self::new(code, shortened(message, MESSAGE_BYTES_MAX))
    }
}

/// Cuts a message that would not fit in a header, such as one that quotes what a user gave.
fn shortened(mut message: String, bytes_max: usize) -> String {
    if message.len() > bytes_max {
        let mut end = bytes_max - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

fn code(error: &Error) -> Code {
    match error {
        Error::Registry(error) => registry_code(error),
        Error::Files(ReadError::TooManyRows { .. }) => Code::ResourceExhausted,
        Error::Parse(error) => parse_code(error),
        Error::Store(error) | Error::Load(LoadError::Store(error)) => store_code(error),
        Error::Selection {
            source: SelectionError::TooFewPositive { .. } | SelectionError::ColumnOfWeights, ..
        } => Code::FailedPrecondition,
        Error::Files(_)
        | Error::PutSampler(_)
        | Error::Shard(_)
        | Error::Proposals(_)
        | Error::Selection { .. }
        | Error::Invalid(_) => Code::InvalidArgument,
        // The job's parameters were checked when it was opened.
        Error::Load(LoadError::Plan(_)) => Code::Internal,
        // It could be built when it was put.
        Error::Load(LoadError::Sampler(_) | LoadError::Spec(_)) => Code::DataLoss,
        Error::Exhausted(_) | Error::Busy(_) => Code::ResourceExhausted,
        Error::TimedOut { .. } => Code::DeadlineExceeded,
        Error::JobReplaced(_) => Code::NotFound,
        Error::Fetch(_)
        | Error::SharedFolder(_)
        | Error::Stalled(_)
        | Error::ShuttingDown
        | Error::ConnectionRetired => Code::Unavailable,
        Error::Task(_) => Code::Internal,
    }
}

fn parse_code(error: &ParseError) -> Code {
    match error {
        ParseError::Refused(refusal) => match refusal.kind {
            RefusedFor::Content => Code::InvalidArgument,
            RefusedFor::Rows => Code::ResourceExhausted,
            RefusedFor::Disk => Code::Unavailable,
        },
        ParseError::Time(_) | ParseError::Memory(_) => Code::ResourceExhausted,
        ParseError::Crashed { .. } => Code::InvalidArgument,
        ParseError::Answer(_) | ParseError::Start(_) => Code::Internal,
    }
}

fn registry_code(error: &RegistryError) -> Code {
    match error {
        RegistryError::Backend(BackendError::Unavailable(_)) | RegistryError::Contended { .. } => Code::Unavailable,
        RegistryError::Backend(BackendError::Unusable(_)) | RegistryError::Damaged { .. } => Code::DataLoss,
        RegistryError::Name { .. } | RegistryError::Invalid(_) => Code::InvalidArgument,
        RegistryError::NoDataset { .. }
        | RegistryError::NoSampler { .. }
        | RegistryError::NoJob(_)
        | RegistryError::NoStudy(_)
        | RegistryError::NoTrial { .. } => Code::NotFound,
        RegistryError::Differs { .. } => Code::AlreadyExists,
        RegistryError::TrialTaken { .. } => Code::Aborted,
        RegistryError::Full { .. } | RegistryError::Quota { .. } => Code::ResourceExhausted,
        RegistryError::Precondition(_) => Code::FailedPrecondition,
    }
}

fn store_code(error: &StoreError) -> Code {
    match error {
        StoreError::Io { .. } | StoreError::Interrupted => Code::Unavailable,
        StoreError::Absent { .. } | StoreError::Damaged { .. } => Code::DataLoss,
        StoreError::Dataset(_) => Code::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        for character in ["a", "ü", "…", "🙂"] {
            let message = character.repeat(MESSAGE_BYTES_MAX + 1);
            let status = Status::from(Error::Invalid(message.clone()));
            let kept = status.message().strip_suffix('…').unwrap();
            assert!(message.starts_with(kept));
            assert!((MESSAGE_BYTES_MAX - 8..=MESSAGE_BYTES_MAX).contains(&status.message().len()));
        }
        let whole = "a".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(Status::from(Error::Invalid(whole.clone())).message(), whole);
    }

    #[test]
    fn what_cannot_be_done_now_says_when_to_try_again() {
        let down = RegistryError::from(BackendError::Unavailable("gone".repeat(1000)));
        let status = Status::from(Error::from(down));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(RETRY_AFTER));
        assert!(status.message().len() + status.details().len() < 4 * RETRIED_MESSAGE_BYTES_MAX);
        assert!(Status::from(Error::ShuttingDown).get_details_retry_info().is_some());
        let busy = Status::from(Error::Busy("full".into()));
        assert_eq!(busy.code(), Code::ResourceExhausted);
        assert_eq!(busy.get_details_retry_info().unwrap().retry_delay, Some(RETRY_AFTER));
        assert!(Status::from(Error::Exhausted("too large".into())).get_details_retry_info().is_none());
        assert!(Status::from(Error::Invalid("no".into())).get_details_retry_info().is_none());
    }
}
