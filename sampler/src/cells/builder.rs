//! Cells made one by one, ascending, wherever their rows were sorted.

use super::{CellAxis, Cells, CellsParts};
use crate::axis::Axis;
use crate::feature_table::SharedColumn;

/// Makes [`Cells`] of cells pushed in ascending order of their tuples of intervals, then the order of their rows.
///
/// Where rows are many, sort them by [`CellKeys`](crate::CellKeys), equal keys in row order, outside of memory.
#[derive(Debug)]
pub struct CellsBuilder {
    features: Vec<String>,
    axes: Vec<Axis>,
    /// Of each axis, the interval of each cell.
    intervals: Vec<Vec<u32>>,
    starts: Vec<u32>,
    gradient_mass: Option<Vec<f64>>,
}

impl CellsBuilder {
    /// Starts without cells over these axes, one a feature. Cells will have a gradient mass if the dataset has gradient
    /// norms.
    ///
    /// # Panics
    /// When there is not one axis a feature.
    #[must_use]
    pub fn new(features: Vec<String>, axes: Vec<Axis>, with_gradient_mass: bool) -> Self {
        assert!(axes.len() == features.len(), "{} axes for {} features", axes.len(), features.len());
        Self {
            intervals: vec![Vec::new(); axes.len()],
            gradient_mass: with_gradient_mass.then(Vec::new),
            starts: vec![0],
            features,
            axes,
        }
    }

    /// Returns the axes.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Takes the next cell: its intervals, its number of rows, and Σ g over them, each g
    /// [raised](crate::GradientFloor::raise) and summed in row order (any number without gradient norms).
    ///
    /// # Panics
    /// When there is not one interval an axis, the cell has no rows, or all cells have 2^32 or more.
    pub fn push(&mut self, intervals: &[u32], count: u32, gradient_mass: f64) {
        assert!(intervals.len() == self.axes.len(), "one interval an axis");
        assert!(count > 0, "a cell has rows");
        let start = self.starts[self.starts.len() - 1];
        self.starts.push(start.checked_add(count).expect("a dataset has fewer than 2^32 rows"));
        for (of_axis, &interval) in self.intervals.iter_mut().zip(intervals) {
            of_axis.push(interval);
        }
        if let Some(mass) = &mut self.gradient_mass {
            mass.push(gradient_mass);
        }
    }

    /// Returns the cells, whose rows `order` lists cell by cell, those of a cell ascending.
    ///
    /// # Errors
    /// A sentence saying what does not fit; see [`Cells::from_parts`].
    pub fn finish(self, order: SharedColumn<u32>) -> Result<Cells, &'static str> {
        let axis = |(intervals, axis): (Vec<u32>, &Axis)| CellAxis::new(intervals, axis.quantiles().clone());
        Cells::from_parts(CellsParts {
            axes: self.intervals.into_iter().zip(&self.axes).map(axis).collect(),
            cdfs: self.axes.iter().map(|axis| axis.cdf().clone()).collect(),
            version: self.axes.iter().map(|axis| axis.resolution().cells_version()).max().unwrap_or(1),
            features: self.features,
            order,
            starts: self.starts,
            gradient_mass: self.gradient_mass,
        })
    }
}
