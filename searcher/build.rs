//! Writes libtorch's folders into a binary's library search path, so that it starts without LD_LIBRARY_PATH. The crate of the
//! process-level tests uses this script too.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prints the folder of the installed `torch` package without importing it.
const LOCATE_TORCH: &str = "import importlib.util as i; print(i.find_spec('torch').submodule_search_locations[0])";

fn main() {
    println!("cargo:rerun-if-changed=../searcher/build.rs");
    for name in ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "VIRTUAL_ENV"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let Some(torch) = torch_folder() else {
        println!("cargo:warning=LIBTORCH is not set: `. scripts/env` sets it after scripts/setup-libtorch");
        return;
    };
    for folder in library_folders(&torch) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}

fn torch_folder() -> Option<PathBuf> {
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
        let output = Command::new(python).args(["-c", LOCATE_TORCH]).output().ok()?;
        let folder = String::from_utf8(output.stdout).ok()?;
        return output.status.success().then(|| PathBuf::from(folder.trim()));
    }
    env::var_os("LIBTORCH").map(PathBuf::from)
}

/// libtorch's own folder, and those of the NVIDIA wheels beside it: CUDA's runtime and CUPTI, which even the CPU
/// library is linked against, and whatever else a GPU needs.
fn library_folders(torch: &Path) -> Vec<PathBuf> {
    let mut folders = vec![torch.join("lib")];
    let Some(nvidia) = torch.parent().map(|packages| packages.join("nvidia")) else {
        return folders;
    };
    let mut wheels: Vec<PathBuf> =
        nvidia.read_dir().into_iter().flatten().flatten().map(|entry| entry.path().join("lib")).collect();
    wheels.sort();
    folders.extend(wheels.into_iter().filter(|folder| folder.is_dir()));
    folders
}
