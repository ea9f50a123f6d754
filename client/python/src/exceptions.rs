//! The exceptions, children of one parent, by cause.

use pyo3::PyErr;
use pyo3::exceptions::PyException;
use swift_sampler_client::ClientError;

pyo3::create_exception!(swift_sampler, Error, PyException, "Anything that went wrong between here and samplerd.");
pyo3::create_exception!(swift_sampler, Unavailable, Error, "samplerd could not be reached until the retries ran out.");
pyo3::create_exception!(
    swift_sampler,
    NotFound,
    Error,
    "A dataset, sampler version, job, study or trial does not exist."
);
pyo3::create_exception!(swift_sampler, InvalidArgument, Error, "A value, or the content of a file, is refused.");
pyo3::create_exception!(swift_sampler, AlreadyExists, Error, "The name is taken by something different.");
pyo3::create_exception!(
    swift_sampler,
    FailedPrecondition,
    Error,
    "The state of what is named does not allow the call."
);
pyo3::create_exception!(swift_sampler, Aborted, Error, "Another client was faster.");
pyo3::create_exception!(swift_sampler, Unauthenticated, Error, "samplerd wants a token, or another one.");
pyo3::create_exception!(swift_sampler, PermissionDenied, Error, "The token may not do this.");
pyo3::create_exception!(swift_sampler, ResourceExhausted, Error, "A limit of samplerd is reached.");

/// Maps a failure of the client to its exception.
pub(crate) fn exception(error: &ClientError) -> PyErr {
    let message = error.to_string();
    match error {
        ClientError::Unavailable { .. } => Unavailable::new_err(message),
        ClientError::NotFound(_) => NotFound::new_err(message),
        ClientError::Address { .. } | ClientError::Access(_) | ClientError::Invalid(_) | ClientError::File { .. } => {
            InvalidArgument::new_err(message)
        }
        ClientError::AlreadyExists(_) => AlreadyExists::new_err(message),
        ClientError::FailedPrecondition(_) => FailedPrecondition::new_err(message),
        ClientError::Aborted(_) => Aborted::new_err(message),
        ClientError::Unauthenticated(_) => Unauthenticated::new_err(message),
        ClientError::PermissionDenied(_) => PermissionDenied::new_err(message),
        ClientError::ResourceExhausted(_) => ResourceExhausted::new_err(message),
        _ => Error::new_err(message),
    }
}
