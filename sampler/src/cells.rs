//! Cells: groups of examples that every sampler over the same features treats alike.
//!
//! Examples are sorted by cell once. A new sampler then needs only a weight for each non-empty cell, so its cost does
//! not depend on the number of examples.

mod axis;
mod builder;
pub(crate) mod by_value;
mod in_memory;

use std::ops::Range;
use std::sync::Arc;

use crate::axis::Axis;
use crate::empirical_cdf::EmpiricalCdf;
use crate::feature_table::{FeatureTable, FeatureTableError, SharedColumn};
use crate::resolution::Resolution;

pub use axis::CellAxis;
pub use builder::CellsBuilder;

/// Examples grouped by their quantised features.
#[derive(Clone)]
pub struct Cells {
    version: u32,
    features: Vec<String>,
    /// Row indices sorted by cell, then by row; `None`: one cell of all rows in their own order.
    order: Option<SharedColumn<u32>>,
    /// Cell `c` covers `order[starts[c] .. starts[c + 1]]`.
    starts: Vec<u32>,
    /// f of each cell, one axis a feature.
    axes: Vec<CellAxis>,
    /// Σ g over each cell; `None` without a column of gradient norms.
    gradient_mass: Option<Vec<f64>>,
    cdfs: Arc<Vec<EmpiricalCdf>>,
}

/// The plain content of [`Cells`], for whoever stores it.
#[derive(Clone)]
pub struct CellsParts {
    /// Version of the rules they were made by.
    pub version: u32,
    /// The N features.
    pub features: Vec<String>,
    /// Row indices sorted by cell, those of a cell ascending; each row once.
    pub order: SharedColumn<u32>,
    /// Cell boundaries in `order`, from 0 to the number of rows, strictly ascending.
    pub starts: Vec<u32>,
    /// One axis a feature.
    pub axes: Vec<CellAxis>,
    /// Gradient mass a cell, positive.
    pub gradient_mass: Option<Vec<f64>>,
    /// One table a feature.
    pub cdfs: Vec<EmpiricalCdf>,
}

/// What the weight of a cell depends on: everything of [`Cells`] but their rows, which may be on several hosts.
pub(crate) trait CellStatistics {
    /// Returns the number of examples.
    fn rows(&self) -> u64;
    /// Returns the number of examples in each cell.
    fn counts(&self) -> impl Iterator<Item = u64>;
    /// Returns f of the cells, eq. (7): one axis a feature.
    fn axes(&self) -> &[CellAxis];
    /// Returns Σ g over each cell, or `None` without gradient norms.
    fn gradient_mass(&self) -> Option<&[f64]>;
    /// Returns the CDF tables, one a feature.
    fn cdfs(&self) -> &Arc<Vec<EmpiricalCdf>>;
}

impl CellStatistics for Cells {
    fn rows(&self) -> u64 {
        self.rows() as u64
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.starts.windows(2).map(|places| u64::from(places[1] - places[0]))
    }

    fn axes(&self) -> &[CellAxis] {
        self.axes()
    }

    fn gradient_mass(&self) -> Option<&[f64]> {
        self.gradient_mass.as_deref()
    }

    fn cdfs(&self) -> &Arc<Vec<EmpiricalCdf>> {
        self.cdfs()
    }
}

impl std::fmt::Debug for Cells {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cells").field("features", &self.features).field("len", &self.len()).finish()
    }
}

impl Cells {
    /// Groups the rows of `table` by `features`, in O(N · n log n).
    ///
    /// # Errors
    /// [`FeatureTableError::UnknownColumn`] when a feature or `gradient_norm` is not a column.
    pub fn build(
        table: &FeatureTable,
        features: &[String],
        gradient_norm: Option<&str>,
        resolution: Resolution,
    ) -> Result<Self, FeatureTableError> {
        in_memory::build(table, features, gradient_norm, resolution)
    }

    /// Groups the rows of `table`, one shard of several, by the intervals of axes over the rows of all shards: one axis a
    /// feature. The cells have no gradient mass.
    ///
    /// # Errors
    /// [`FeatureTableError::UnknownColumn`] when a feature is not a column.
    ///
    /// # Panics
    /// When there is not one axis a feature.
    pub fn over_axes(table: &FeatureTable, features: &[String], axes: Vec<Axis>) -> Result<Self, FeatureTableError> {
        in_memory::over_axes(table, features, axes)
    }

    /// Groups the rows by the values of one column, in O(n log n); returns the cells and what an example of each weighs.
    ///
    /// Up to 2^20 distinct values each has its cell. More are cut into intervals of equally many examples, 2^20 of them,
    /// of which each weighs the mean of its examples; those of weight 0 are always on their own.
    ///
    /// # Errors
    /// [`FeatureTableError::UnknownColumn`].
    pub fn by_value(table: &FeatureTable, column: &str) -> Result<(Self, Vec<f64>), FeatureTableError> {
        by_value::build(table, column)
    }

    /// Returns a single cell of all rows, in their own order.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a feature table has fewer than 2^32 rows")]
    pub fn whole(table: &FeatureTable) -> Self {
        let rows = table.rows() as u32;
        Self {
            version: Resolution::Exact.cells_version(),
            features: Vec::new(),
            order: None,
            starts: vec![0, rows],
            axes: Vec::new(),
            gradient_mass: None,
            cdfs: Arc::new(Vec::new()),
        }
    }

    /// Restores cells from stored parts, in O(cells). Whether the order lists every row once is not looked at;
    /// [`Self::check_order`] does.
    ///
    /// # Errors
    /// A sentence saying which part contradicts the others.
    pub fn from_parts(parts: CellsParts) -> Result<Self, &'static str> {
        let CellsParts { version, features, order, starts, axes, gradient_mass, cdfs } = parts;
        let rows = order.as_ref().as_ref().len();
        if starts.len() < 2 || starts[0] != 0 || starts[starts.len() - 1] as usize != rows {
            return Err("the cell boundaries do not span the rows");
        }
        if !starts.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err("the cell boundaries are not strictly ascending");
        }
        let len = starts.len() - 1;
        if cdfs.len() != features.len() || axes.len() != features.len() {
            return Err("the axes do not match the features");
        }
        axes.iter().try_for_each(|axis| axis.check(len))?;
        if gradient_mass.as_ref().is_some_and(|mass| mass.len() != len || !mass.iter().all(|m| *m > 0.0)) {
            return Err("the gradient masses do not match the cells or are not positive");
        }
        Ok(Self { version, features, order: Some(order), starts, axes, gradient_mass, cdfs: Arc::new(cdfs) })
    }

    /// Checks that the order by cell lists every row once, in O(n) and n bits.
    ///
    /// # Errors
    /// A sentence saying so.
    pub fn check_order(&self) -> Result<(), &'static str> {
        let Some(order) = &self.order else { return Ok(()) };
        let mut seen = vec![0u64; self.rows().div_ceil(64)];
        for &row in order.as_ref().as_ref() {
            let bit = 1 << (row % 64);
            match seen.get_mut(row as usize / 64) {
                Some(word) if (row as usize) < self.rows() && *word & bit == 0 => *word |= bit,
                _ => return Err("the row order is not a permutation of the rows"),
            }
        }
        Ok(())
    }

    /// Returns the plain content, sharing the row order; `None` for [`Self::whole`], which has none to store.
    #[must_use]
    pub fn to_parts(&self) -> Option<CellsParts> {
        Some(CellsParts {
            version: self.version,
            features: self.features.clone(),
            order: self.order.clone()?,
            starts: self.starts.clone(),
            axes: self.axes.clone(),
            gradient_mass: self.gradient_mass.clone(),
            cdfs: self.cdfs.as_ref().clone(),
        })
    }

    /// Returns the version of the rules they were made by: [`Resolution::cells_version`], or an earlier one.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns whether each cell holds equal tuples of features only.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.axes.iter().zip(self.cdfs.iter()).all(|(axis, cdf)| axis.quantiles() == cdf.shares())
    }

    /// Returns the number of cells; none is empty.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns whether there is no cell; never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of examples.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.starts[self.len()] as usize
    }

    /// Returns the features the cells tell apart.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Returns the number of examples in `cell`.
    #[must_use]
    pub fn count(&self, cell: usize) -> u32 {
        self.starts[cell + 1] - self.starts[cell]
    }

    /// Returns f of `cell`, eq. (7): one quantile a feature.
    pub fn quantiles(&self, cell: usize) -> impl Iterator<Item = f64> + '_ {
        self.axes.iter().map(move |axis| axis.quantile(cell))
    }

    /// Returns the axes, one a feature.
    #[must_use]
    pub fn axes(&self) -> &[CellAxis] {
        &self.axes
    }

    /// Returns Σ g over `cell`, or `None` without gradient norms.
    #[must_use]
    pub fn gradient_mass(&self, cell: usize) -> Option<f64> {
        self.gradient_mass.as_ref().map(|mass| mass[cell])
    }

    /// Returns the CDF tables, one a feature.
    #[must_use]
    pub fn cdfs(&self) -> &Arc<Vec<EmpiricalCdf>> {
        &self.cdfs
    }

    /// Returns the row at `position` of `cell`.
    #[inline]
    #[must_use]
    pub fn row(&self, cell: usize, position: u32) -> u32 {
        self.row_at(self.starts[cell] + position)
    }

    /// Returns the place where each cell begins in the order of rows by cell, and where the last ends.
    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Returns the row at each place; `None` where each row is at its own.
    pub(crate) fn order(&self) -> Option<&[u32]> {
        self.order.as_ref().map(|order| order.as_ref().as_ref())
    }

    /// Returns the places of `cell` in the order of rows by cell.
    pub(crate) fn places(&self, cell: usize) -> Range<u32> {
        self.starts[cell]..self.starts[cell + 1]
    }

    /// Returns the row at `place` in the order of rows by cell; the last row in place of one that there is not, as in a
    /// damaged order that [`Self::check_order`] has not come to yet: tables of rows can be read by it.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "fewer rows than 2^32")]
    pub(crate) fn row_at(&self, place: u32) -> u32 {
        self.order().map_or(place, |order| order[place as usize].min((order.len() - 1) as u32))
    }

    /// Returns the cell that `place` lies in and the position within it, in O(log cells).
    #[inline]
    pub(crate) fn cell_of_place(&self, place: u32) -> (usize, u32) {
        let cell = self.starts.partition_point(|&start| start <= place) - 1;
        (cell, place - self.starts[cell])
    }
}
