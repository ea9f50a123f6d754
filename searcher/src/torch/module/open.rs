//! Reading a module's file, with words for what else users save.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tch::{CModule, Device};

use crate::target::TargetError;

/// First bytes of a zip archive, which PyTorch's files are since version 1.6.
const ZIP: &[u8] = b"PK\x03\x04";
/// First bytes of a pickle, as `torch.save` wrote before.
const PICKLE: &[u8] = b"\x80\x02";
/// First bytes of the record that ends a zip archive.
const ZIP_END: &[u8] = b"PK\x05\x06";
/// A member that TorchScript archives have and others lack.
const TORCHSCRIPT_MEMBER: &[u8] = b"constants.pkl";

/// Reads a TorchScript module onto a device.
pub(super) fn read(path: &Path, device: Device) -> Result<CModule, TargetError> {
    let refused = |reason: String| TargetError::Module { path: path.to_owned(), reason };
    let content = FileContent::of(path)
        .map_err(|source| TargetError::File { path: path.to_owned(), reason: source.to_string() })?;
    match content {
        FileContent::TorchScript => {}
        FileContent::TorchSave => {
            let reason = "this is what torch.save writes (a state_dict or a pickled module), which needs its Python \
                          code; save the module itself: torch.jit.script(model).save(\"model.pt\")";
            return Err(refused(reason.to_owned()));
        }
        FileContent::CutOff => return Err(refused("the archive is cut off: the file is not whole".to_owned())),
        FileContent::Other => {
            let reason = "not a TorchScript file; torch.jit.script(model).save(\"model.pt\") writes one";
            return Err(refused(reason.to_owned()));
        }
    }
    CModule::load_on_device(path, device).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        refused(format!("the module cannot be loaded: {line}; torch.jit.script(model).save(\"model.pt\") writes one"))
    })
}

#[derive(Debug, PartialEq)]
enum FileContent {
    TorchScript,
    TorchSave,
    CutOff,
    Other,
}

impl FileContent {
    fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        file.by_ref().take(ZIP.len() as u64).read_to_end(&mut head)?;
        if head.starts_with(PICKLE) {
            return Ok(Self::TorchSave);
        }
        if head != ZIP {
            return Ok(Self::Other);
        }
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        let holds = |part: &[u8]| rest.windows(part.len()).any(|window| window == part);
        Ok(match () {
            () if !holds(ZIP_END) => Self::CutOff,
            () if holds(TORCHSCRIPT_MEMBER) => Self::TorchScript,
            () => Self::TorchSave,
        })
    }
}
