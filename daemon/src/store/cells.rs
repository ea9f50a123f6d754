//! The cells of a dataset, kept beside its columns: examples are sorted once, at the import.

use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensorError;
use swift_sampler::{Cells, CellsParts, EmpiricalCdf};

use super::manifest::sha256;
use super::mapped::{MappedFile, Tensor};

/// Row indices, sorted by cell.
const ORDER: &str = "order";
/// Cell boundaries.
const STARTS: &str = "starts";
/// Quantiles of each cell.
const QUANTILES: &str = "quantiles";
/// Gradient mass of each cell.
const GRADIENT_MASS: &str = "gradient_mass";

/// Writes cells to a file of their own.
pub(super) fn write(path: &Path, parts: &CellsParts) -> Result<(), SafeTensorError> {
    let mut tensors = vec![
        (ORDER.to_owned(), Tensor::new(parts.order.as_ref().as_ref())),
        (STARTS.to_owned(), Tensor::new(&parts.starts)),
        (QUANTILES.to_owned(), Tensor::new(&parts.quantiles)),
    ];
    if let Some(mass) = &parts.gradient_mass {
        tensors.push((GRADIENT_MASS.to_owned(), Tensor::new(mass)));
    }
    for (axis, cdf) in parts.cdfs.iter().enumerate() {
        let [values, shares] = cdf_names(axis);
        tensors.push((values, Tensor::new(cdf.values())));
        tensors.push((shares, Tensor::new(cdf.shares())));
    }
    safetensors::serialize_to_file(tensors, None, path)
}

/// Reads cells of `features` back; a sentence says why they cannot be.
pub(super) fn read(
    path: &Path,
    checksum: &str,
    features: &[String],
    with_gradient_mass: bool,
) -> Result<Cells, String> {
    let file = MappedFile::open(path)?;
    if sha256(file.bytes()) != checksum {
        return Err("it does not match its checksum".to_owned());
    }
    let copy = |name: &str| Ok::<_, String>(file.tensor::<f64>(name)?.as_ref().to_vec());
    let cdf = |axis: usize| {
        let [values, shares] = cdf_names(axis);
        EmpiricalCdf::from_points(copy(&values)?, copy(&shares)?).ok_or_else(|| format!("{values:?} is not ascending"))
    };
    let parts = CellsParts {
        features: features.to_vec(),
        order: Arc::new(file.tensor::<u32>(ORDER)?),
        starts: file.tensor::<u32>(STARTS)?.as_ref().to_vec(),
        quantiles: copy(QUANTILES)?,
        gradient_mass: with_gradient_mass.then(|| copy(GRADIENT_MASS)).transpose()?,
        cdfs: (0..features.len()).map(cdf).collect::<Result<_, _>>()?,
    };
    Cells::from_parts(parts).map_err(ToOwned::to_owned)
}

fn cdf_names(axis: usize) -> [String; 2] {
    [format!("cdf.{axis}.values"), format!("cdf.{axis}.shares")]
}
