//! The cells of a dataset, kept beside its columns: examples are sorted once, at the import.
//!
//! The row order, by far the largest part, comes last in the file, so that what a daemon holds in memory lies before it and
//! has a checksum of its own.

use std::path::Path;
use std::sync::Arc;

use safetensors::Dtype;
use swift_sampler::{Axis, CellAxis, Cells, CellsParts, EmpiricalCdf, SharedColumn};

use super::manifest::{CellsChecksums, FORMAT_QUANTILES_OF_CELLS};
use super::mapped::{MappedFile, Number};
use super::progress::Progress;
use super::tensor_file::{TensorFile, TensorSpec};
use super::{Manifest, StoreError, damage_of_own_file};

/// Row indices, sorted by cell.
pub(super) const ORDER: &str = "order";
/// Cell boundaries.
const STARTS: &str = "starts";
/// Quantiles of each cell, cell by cell, in format 1.
const QUANTILES: &str = "quantiles";
/// Gradient mass of each cell.
const GRADIENT_MASS: &str = "gradient_mass";

/// How many cells there are, and what is kept of them.
#[derive(Debug)]
pub(super) struct Shape {
    rows: usize,
    cells: usize,
    has_gradient_mass: bool,
    /// Of each axis, the number of intervals and of points of the CDF.
    axes: Vec<(usize, usize)>,
}

impl Shape {
    /// Tells the shape of cells that are yet to be made.
    pub(super) fn new(axes: &[Axis], rows: usize, cells: usize, has_gradient_mass: bool) -> Self {
        let axes = axes.iter().map(|axis| (axis.quantiles().len(), axis.cdf().values().len())).collect();
        Self { rows, cells, has_gradient_mass, axes }
    }

    /// Tells the shape of cells.
    pub(super) fn of(parts: &CellsParts) -> Self {
        let axis = |(axis, cdf): (&CellAxis, &EmpiricalCdf)| (axis.quantiles().len(), cdf.values().len());
        Self {
            rows: parts.order.as_ref().as_ref().len(),
            cells: parts.starts.len() - 1,
            has_gradient_mass: parts.gradient_mass.is_some(),
            axes: parts.axes.iter().zip(&parts.cdfs).map(axis).collect(),
        }
    }

    /// Lists the tensors in their order.
    fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = Vec::new();
        if self.has_gradient_mass {
            tensors.push((GRADIENT_MASS.to_owned(), Dtype::F64, self.cells));
        }
        for (number, &(intervals, points)) in self.axes.iter().enumerate() {
            let ([_, quantiles], [values, shares]) = (axis_names(number), cdf_names(number));
            tensors.extend([(quantiles, intervals), (values, points), (shares, points)].map(f64s));
        }
        tensors.push((STARTS.to_owned(), Dtype::U32, self.cells + 1));
        for number in 0..self.axes.len() {
            let [intervals, _] = axis_names(number);
            tensors.push((intervals, Dtype::U32, self.cells));
        }
        tensors.push((ORDER.to_owned(), Dtype::U32, self.rows));
        tensors
    }
}

fn f64s((name, len): (String, usize)) -> TensorSpec {
    (name, Dtype::F64, len)
}

/// A file of cells that is being written.
#[derive(Debug)]
pub(super) struct CellsFile {
    file: TensorFile,
    order: usize,
}

impl CellsFile {
    /// Creates the file for cells of this shape.
    pub(super) fn create(path: &Path, shape: &Shape) -> Result<Self, StoreError> {
        let tensors = shape.tensors();
        Ok(Self { file: TensorFile::create(path, &tensors)?, order: tensors.len() - 1 })
    }

    /// Writes a part of the row order.
    pub(super) fn write_order(&self, first: usize, rows: &[u32]) -> Result<(), StoreError> {
        self.file.write(self.order, first, rows)
    }

    /// Maps the row order, once all of it is written.
    pub(super) fn map_order(&self) -> Result<SharedColumn<u32>, StoreError> {
        let mapped = MappedFile::open(self.file.path()).and_then(|file| file.tensor::<u32>(ORDER));
        Ok(Arc::new(mapped.map_err(damage_of_own_file(self.file.path()))?))
    }

    /// Writes all but the row order.
    pub(super) fn write_tables(&self, parts: &CellsParts) -> Result<(), StoreError> {
        self.write_all(STARTS, &parts.starts)?;
        if let Some(mass) = &parts.gradient_mass {
            self.write_all(GRADIENT_MASS, mass)?;
        }
        for (number, (axis, cdf)) in parts.axes.iter().zip(&parts.cdfs).enumerate() {
            let ([intervals, quantiles], [values, shares]) = (axis_names(number), cdf_names(number));
            self.write_all(&intervals, axis.intervals())?;
            self.write_all(&quantiles, axis.quantiles())?;
            self.write_all(&values, cdf.values())?;
            self.write_all(&shares, cdf.shares())?;
        }
        Ok(())
    }

    /// Returns the checksums, once all is written.
    pub(super) fn checksums(&self, progress: &Progress) -> Result<CellsChecksums, StoreError> {
        let (tables, whole) = self.file.sha256_split(self.order, progress)?;
        Ok(CellsChecksums { cells_sha256: whole, cells_tables_sha256: Some(tables) })
    }

    fn write_all<T: Number>(&self, name: &str, values: &[T]) -> Result<(), StoreError> {
        let tensor = self.file.tensor::<T>(name).map_err(damage_of_own_file(self.file.path()))?;
        self.file.write(tensor, 0, values)
    }
}

/// Maps the cells of a dataset and reads all but the row order, whose values are not looked at; a sentence says why they
/// are none.
pub(super) fn open(path: &Path, manifest: &Manifest) -> Result<Cells, String> {
    let content = &manifest.content;
    let features = &content.features;
    let file = MappedFile::open(path)?;
    let order = file.tensor::<u32>(ORDER)?;
    if let Some(checksum) = &manifest.cells.cells_tables_sha256
        && file.sha256_before(&order) != *checksum
    {
        return Err("its tables do not match their checksum".to_owned());
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
    let axes = match manifest.format {
        FORMAT_QUANTILES_OF_CELLS => axes_of_quantiles(file.tensor::<f64>(QUANTILES)?.as_ref(), features.len()),
        _ => (0..features.len()).map(axis).collect::<Result<_, _>>()?,
    };
    let parts = CellsParts {
        version: content.cells_version,
        features: features.clone(),
        order: Arc::new(order),
        starts: file.tensor::<u32>(STARTS)?.as_ref().to_vec(),
        axes,
        gradient_mass: content.gradient_norm.as_ref().map(|_column| copy(GRADIENT_MASS)).transpose()?,
        cdfs: (0..features.len()).map(cdf).collect::<Result<_, _>>()?,
    };
    Cells::from_parts(parts).map_err(ToOwned::to_owned)
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
