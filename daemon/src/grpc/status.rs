//! The one place that maps errors to gRPC codes.

use swift_sampler_files::ReadError;
use tonic::{Code, Status};

use crate::error::Error;
use crate::loaded::LoadError;
use crate::registry::{BackendError, RegistryError};
use crate::store::StoreError;

/// Longest message, in bytes. It travels in a header, encoded in up to three times as many, and peers refuse headers of
/// more than 16 KiB.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = code(&error);
        let message = error.to_string();
        match code {
            Code::Internal | Code::DataLoss | Code::Unavailable => tracing::warn!(%code, message, "a call failed"),
            _ => tracing::debug!(%code, message, "a call was refused"),
        }
        Self::new(code, shortened(message))
    }
}

/// Cuts a message that would not fit in a header, such as one that quotes what a user gave.
fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX - '…'.len_utf8();
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
        Error::Store(error) | Error::Load(LoadError::Store(error)) => store_code(error),
        Error::Files(_) | Error::PutSampler(_) | Error::Shard(_) | Error::Invalid(_) => Code::InvalidArgument,
        // It could be built when it was put.
        Error::Load(LoadError::Sampler(_) | LoadError::Spec(_)) => Code::DataLoss,
        Error::Unimplemented(_) => Code::Unimplemented,
        Error::Exhausted(_) => Code::ResourceExhausted,
        Error::JobReplaced(_) => Code::NotFound,
        Error::ShuttingDown | Error::ConnectionRetired => Code::Unavailable,
        Error::Task(_) => Code::Internal,
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
        RegistryError::Precondition(_) => Code::FailedPrecondition,
    }
}

fn store_code(error: &StoreError) -> Code {
    match error {
        StoreError::Io { .. } => Code::Unavailable,
        StoreError::Damaged { .. } => Code::DataLoss,
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
}
