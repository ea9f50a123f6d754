//! The C library's own functions, behind those of this library.

use std::ffi::{CStr, c_void};

/// Finds a function of the C library, once.
macro_rules! real {
    ($name:ident: fn($($argument:ty),*) -> $answer:ty) => {{
        static FOUND: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        let name = concat!(stringify!($name), "\0");
        let found = *FOUND.get_or_init(|| crate::real::find(name) as usize);
        // SAFETY: the C library has a function of this name with this signature.
        unsafe { std::mem::transmute::<usize, unsafe extern "C" fn($($argument),*) -> $answer>(found) }
    }};
}
pub(crate) use real;

/// Returns the next function of a name, which ends with a zero byte.
pub(crate) fn find(name: &str) -> *mut c_void {
    let name = CStr::from_bytes_with_nul(name.as_bytes()).expect("names are made with one zero byte, the last");
    // SAFETY: RTLD_NEXT and a C string are what dlsym takes.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null(), "the C library has no {name:?}");
    found
}
