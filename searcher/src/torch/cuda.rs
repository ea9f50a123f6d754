//! The choice of the device, and libtorch's CUDA library, which no symbol of ours refers to.

use std::sync::OnceLock;

use libloading::Library;
use tch::{Cuda, Device};

/// NVIDIA's driver: without it no CUDA library is of use.
const DRIVER: &str = "libcuda.so.1";
/// libtorch's CUDA half. It registers itself when it is loaded.
const TORCH_CUDA: &str = "libtorch_cuda.so";

/// Kept for the life of the process: libtorch holds pointers into the library.
static TORCH_CUDA_LIBRARY: OnceLock<Option<Library>> = OnceLock::new();

/// Returns the first GPU if libtorch can use one, or else the CPU.
///
/// The linker drops libtorch_cuda from the binary since nothing refers to it, and libtorch remembers the first answer
/// to "is there CUDA?", so the library is loaded before the question is asked.
pub(super) fn device() -> Device {
    TORCH_CUDA_LIBRARY.get_or_init(|| load(DRIVER).and_then(|_driver| load(TORCH_CUDA)));
    if Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu }
}

#[allow(unsafe_code, reason = "loading a shared library runs its constructors")]
fn load(name: &str) -> Option<Library> {
    // SAFETY: both libraries are made to be loaded at run time; their constructors only register what they offer.
    match unsafe { Library::new(name) } {
        Ok(library) => Some(library),
        Err(error) => {
            tracing::debug!(%error, name, "no GPU: the library is not there");
            None
        }
    }
}
