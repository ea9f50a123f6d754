//! Weights that another program trained, read into a built-in network by their names.

use std::collections::BTreeMap;
use std::path::Path;

use tch::nn::VarStore;
use tch::{Tensor, no_grad};

use crate::target::{OtherClasses, TargetError};

/// Ends of names that other programs save and no network here reads: a count of batches, and a table that follows from the
/// size of the windows.
const NOT_READ: [&str; 2] = [".num_batches_tracked", ".relative_position_index"];
/// Names that an error lists.
const NAMES_SHOWN_MAX: usize = 8;

/// Copies the weights and buffers of a `.safetensors` or `.ot` file into `var_store`, all of them, by name.
///
/// The last linear layer, at the path `classifier`, stays as it is where the file's has another number of classes, which is
/// returned.
pub(super) fn read_into(
    var_store: &VarStore,
    classifier: &str,
    path: &Path,
) -> Result<Option<OtherClasses>, TargetError> {
    let file = read(path)?;
    let ours: BTreeMap<String, Tensor> = var_store.variables().into_iter().collect();
    let missing: Vec<&str> = ours.keys().filter(|name| !file.contains_key(*name)).map(String::as_str).collect();
    let unexpected: Vec<&str> = file.keys().filter(|name| !ours.contains_key(*name)).map(String::as_str).collect();
    if !missing.is_empty() || !unexpected.is_empty() {
        return Err(wrong(path, names_differ(&missing, &unexpected)));
    }
    let mut other_classes = None;
    for (name, mut tensor) in ours {
        let given = &file[&name];
        let (given_size, size) = (given.size(), tensor.size());
        if given_size == size {
            no_grad(|| tensor.copy_(given));
        } else if is_classifier(&name, classifier) && given_size[1..] == size[1..] {
            other_classes = Some(OtherClasses { in_file: given_size[0], in_data: size[0] });
        } else {
            let reason = format!(
                "{name} has shape {given_size:?}, {size:?} is needed (images of up to 64 pixels, and of other than three \
                 channels, have a first layer of their own)"
            );
            return Err(wrong(path, reason));
        }
    }
    Ok(other_classes)
}

fn is_classifier(name: &str, classifier: &str) -> bool {
    name.strip_prefix(classifier).is_some_and(|rest| rest == ".weight" || rest == ".bias")
}

fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, TargetError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let tensors = match extension {
        "safetensors" => Tensor::read_safetensors(path),
        "ot" => Tensor::load_multi(path),
        "pt" | "pth" | "bin" | "ckpt" => return Err(wrong(path, how_to_convert(path))),
        _ => return Err(wrong(path, "a .safetensors or .ot file is needed".to_owned())),
    };
    let tensors = tensors.map_err(|error| TargetError::File { path: path.to_owned(), reason: error.to_string() })?;
    Ok(tensors.into_iter().filter(|(name, _)| !NOT_READ.iter().any(|end| name.ends_with(end))).collect())
}

/// What torch.save writes is a program for Python.
fn how_to_convert(path: &Path) -> String {
    let (from, to) = (path.display(), path.with_extension("safetensors"));
    format!(
        "what torch.save writes needs Python to be read; convert a state dict once: python -c \"import torch; from \
         safetensors.torch import save_file; save_file({{k: v.contiguous() for k, v in torch.load('{from}', \
         map_location='cpu', weights_only=True).items()}}, '{}')\"",
        to.display()
    )
}

fn names_differ(missing: &[&str], unexpected: &[&str]) -> String {
    let list = |what: &str, names: &[&str]| {
        let shown = names[..names.len().min(NAMES_SHOWN_MAX)].join(", ");
        match names.len().saturating_sub(NAMES_SHOWN_MAX) {
            _ if names.is_empty() => None,
            0 => Some(format!("{what} {shown}")),
            more => Some(format!("{what} {shown} and {more} more")),
        }
    };
    let parts: Vec<String> =
        [list("it lacks", missing), list("the network has no", unexpected)].into_iter().flatten().collect();
    format!("these are weights of another network: {}", parts.join("; "))
}

fn wrong(path: &Path, reason: String) -> TargetError {
    TargetError::Weights { path: path.to_owned(), reason }
}
