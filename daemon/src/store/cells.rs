//! The cells of a dataset, kept beside its columns: examples are sorted once, at the import.

use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensorError;
use swift_sampler::{CellAxis, Cells, CellsParts, DatasetContent, EmpiricalCdf};

use super::manifest::{FORMAT_QUANTILES_OF_CELLS, sha256};
use super::mapped::{MappedFile, Tensor};

/// Row indices, sorted by cell.
const ORDER: &str = "order";
/// Cell boundaries.
const STARTS: &str = "starts";
/// Quantiles of each cell, cell by cell, in format 1.
const QUANTILES: &str = "quantiles";
/// Gradient mass of each cell.
const GRADIENT_MASS: &str = "gradient_mass";

/// Writes cells to a file of their own.
pub(super) fn write(path: &Path, parts: &CellsParts) -> Result<(), SafeTensorError> {
    let mut tensors = vec![
        (ORDER.to_owned(), Tensor::new(parts.order.as_ref().as_ref())),
        (STARTS.to_owned(), Tensor::new(&parts.starts)),
    ];
    if let Some(mass) = &parts.gradient_mass {
        tensors.push((GRADIENT_MASS.to_owned(), Tensor::new(mass)));
    }
    for (number, (axis, cdf)) in parts.axes.iter().zip(&parts.cdfs).enumerate() {
        let [intervals, quantiles] = axis_names(number);
        tensors.push((intervals, Tensor::new(axis.intervals())));
        tensors.push((quantiles, Tensor::new(axis.quantiles())));
        let [values, shares] = cdf_names(number);
        tensors.push((values, Tensor::new(cdf.values())));
        tensors.push((shares, Tensor::new(cdf.shares())));
    }
    safetensors::serialize_to_file(tensors, None, path)
}

/// Reads the cells of a dataset back, stored in this format; a sentence says why they cannot be.
pub(super) fn read(path: &Path, format: u32, checksum: &str, content: &DatasetContent) -> Result<Cells, String> {
    let features = &content.features;
    let file = MappedFile::open(path)?;
    if sha256(file.bytes()) != checksum {
        return Err("it does not match its checksum".to_owned());
    }
    let copy = |name: &str| Ok::<_, String>(file.tensor::<f64>(name)?.as_ref().to_vec());
    let cdf = |axis: usize| {
        let [values, shares] = cdf_names(axis);
        EmpiricalCdf::from_points(copy(&values)?, copy(&shares)?).ok_or_else(|| format!("{values:?} is not ascending"))
    };
    let axis = |number: usize| {
        let [intervals, quantiles] = axis_names(number);
        let intervals = file.tensor::<u32>(&intervals)?.as_ref().to_vec();
        Ok::<_, String>(CellAxis::new(intervals, Arc::new(copy(&quantiles)?)))
    };
    let axes = match format {
        FORMAT_QUANTILES_OF_CELLS => axes_of_quantiles(file.tensor::<f64>(QUANTILES)?.as_ref(), features.len()),
        _ => (0..features.len()).map(axis).collect::<Result<_, _>>()?,
    };
    let parts = CellsParts {
        version: content.cells_version,
        features: features.clone(),
        order: Arc::new(file.tensor::<u32>(ORDER)?),
        starts: file.tensor::<u32>(STARTS)?.as_ref().to_vec(),
        axes,
        gradient_mass: content.gradient_norm.as_ref().map(|_column| copy(GRADIENT_MASS)).transpose()?,
        cdfs: (0..features.len()).map(cdf).collect::<Result<_, _>>()?,
    };
    let cells = Cells::from_parts(parts)?;
    cells.check_order()?;
    Ok(cells)
}

/// Takes quantiles as format 1 has them apart.
fn axes_of_quantiles(quantiles: &[f64], features: usize) -> Vec<CellAxis> {
    let axis = |number| quantiles.iter().copied().skip(number).step_by(features).collect::<Vec<_>>();
    (0..features).map(|number| CellAxis::of_quantiles(&axis(number))).collect()
}

fn axis_names(axis: usize) -> [String; 2] {
    [format!("axis.{axis}.intervals"), format!("axis.{axis}.quantiles")]
}

fn cdf_names(axis: usize) -> [String; 2] {
    [format!("cdf.{axis}.values"), format!("cdf.{axis}.shares")]
}
