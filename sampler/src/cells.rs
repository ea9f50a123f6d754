//! Cells: groups of examples that every sampler over the same features treats alike.
//!
//! Examples are sorted by cell once. A new sampler then needs only a weight for each non-empty cell, so its cost does
//! not depend on the number of examples.

use std::ops::Range;
use std::sync::Arc;

use crate::empirical_cdf::{EmpiricalCdf, Ranks};
use crate::feature_table::{FeatureTable, FeatureTableError, SharedColumn};

/// Up to this many rows, cells hold exactly equal feature tuples.
const EXACT_ROWS_MAX: usize = 1 << 20;
/// Bits of a quantised tuple, shared by its features, beyond [`EXACT_ROWS_MAX`] rows.
const TUPLE_BITS: u32 = 20;
/// Gradient norms are raised to this share of their mean, so that no cell is without mass in eq. (10).
const GRADIENT_FLOOR: f64 = 1e-12;

/// How finely features are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Cells hold equal tuples.
    Exact,
    /// Each feature's quantile is cut into 2^bits equal intervals.
    Bits(u32),
}

impl Resolution {
    /// Returns the resolution for a table of this size: exact while that is cheap.
    #[must_use]
    pub fn for_table(rows: usize, features: usize) -> Self {
        if rows <= EXACT_ROWS_MAX {
            Self::Exact
        } else {
            let features = u32::try_from(features).unwrap_or(TUPLE_BITS);
            Self::Bits((TUPLE_BITS / features.max(1)).max(1))
        }
    }
}

/// Examples grouped by their quantised features.
#[derive(Clone)]
pub struct Cells {
    features: Vec<String>,
    /// Row indices sorted by cell, then by row; `None`: one cell of all rows in their own order.
    order: Option<SharedColumn<u32>>,
    /// Cell `c` covers `order[starts[c] .. starts[c + 1]]`.
    starts: Vec<u32>,
    /// f of each cell, cell-major: N numbers a cell, in (0, 1].
    quantiles: Vec<f64>,
    /// Σ g over each cell; `None` without a column of gradient norms.
    gradient_mass: Option<Vec<f64>>,
    cdfs: Arc<Vec<EmpiricalCdf>>,
}

/// The plain content of [`Cells`], for whoever stores it.
#[derive(Clone)]
pub struct CellsParts {
    /// The N features.
    pub features: Vec<String>,
    /// Row indices sorted by cell; each row once.
    pub order: SharedColumn<u32>,
    /// Cell boundaries in `order`, from 0 to the number of rows, strictly ascending.
    pub starts: Vec<u32>,
    /// N quantiles in (0, 1] a cell.
    pub quantiles: Vec<f64>,
    /// Gradient mass a cell, positive.
    pub gradient_mass: Option<Vec<f64>>,
    /// One table a feature.
    pub cdfs: Vec<EmpiricalCdf>,
}

/// What the weight of a cell depends on: everything of [`Cells`] but their rows, which may be on several hosts.
pub(crate) trait CellStatistics {
    /// Returns the number of cells; none is empty.
    fn len(&self) -> usize;
    /// Returns the number of examples in `cell`.
    fn count(&self, cell: usize) -> u64;
    /// Returns f of `cell`, eq. (7): one quantile a feature.
    fn quantiles(&self, cell: usize) -> &[f64];
    /// Returns Σ g over `cell`, or `None` without gradient norms.
    fn gradient_mass(&self, cell: usize) -> Option<f64>;
    /// Returns the CDF tables, one a feature.
    fn cdfs(&self) -> &Arc<Vec<EmpiricalCdf>>;
}

impl CellStatistics for Cells {
    fn len(&self) -> usize {
        self.len()
    }

    fn count(&self, cell: usize) -> u64 {
        u64::from(self.count(cell))
    }

    fn quantiles(&self, cell: usize) -> &[f64] {
        self.quantiles(cell)
    }

    fn gradient_mass(&self, cell: usize) -> Option<f64> {
        self.gradient_mass(cell)
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
        let mut cdfs = Vec::with_capacity(features.len());
        let mut axes = Vec::with_capacity(features.len());
        for feature in features {
            let (cdf, ranks) = EmpiricalCdf::from_column(table.column(feature)?);
            cdfs.push(cdf);
            axes.push(Axis::new(ranks, resolution));
        }
        let gradient = gradient_norm.map(|column| table.column(column)).transpose()?;
        let (order, starts) = sort_by_cell(table.rows(), &axes);
        let first_rows = starts[..starts.len() - 1].iter().map(|&start| order[start as usize] as usize);
        let quantiles = first_rows.flat_map(|row| axes.iter().map(move |axis| axis.quantile_of_row(row))).collect();
        let gradient_mass = gradient.map(|gradient| mass_by_cell(gradient, &order, &starts));
        Ok(Self {
            features: features.to_vec(),
            order: Some(Arc::new(order)),
            starts,
            quantiles,
            gradient_mass,
            cdfs: Arc::new(cdfs),
        })
    }

    /// Groups the rows by the exact values of one column, whose value each cell's weight will be; returns the cells and
    /// their values, ascending.
    ///
    /// # Errors
    /// [`FeatureTableError::UnknownColumn`].
    pub fn by_value(table: &FeatureTable, column: &str) -> Result<(Self, Vec<f64>), FeatureTableError> {
        let cells = Self::build(table, &[column.to_owned()], None, Resolution::Exact)?;
        let values = table.column(column)?;
        let of_cell = (0..cells.len()).map(|cell| values[cells.row(cell, 0) as usize]).collect();
        Ok((cells, of_cell))
    }

    /// Returns a single cell of all rows, in their own order.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a feature table has fewer than 2^32 rows")]
    pub fn whole(table: &FeatureTable) -> Self {
        let rows = table.rows() as u32;
        Self {
            features: Vec::new(),
            order: None,
            starts: vec![0, rows],
            quantiles: Vec::new(),
            gradient_mass: None,
            cdfs: Arc::new(Vec::new()),
        }
    }

    /// Restores cells from stored parts, in O(n).
    ///
    /// # Errors
    /// A sentence saying which part contradicts the others.
    pub fn from_parts(parts: CellsParts) -> Result<Self, &'static str> {
        let CellsParts { features, order, starts, quantiles, gradient_mass, cdfs } = parts;
        let rows = order.as_ref().as_ref();
        if starts.first() != Some(&0) || starts.last().map(|&end| end as usize) != Some(rows.len()) {
            return Err("the cell boundaries do not span the rows");
        }
        if !starts.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err("the cell boundaries are not strictly ascending");
        }
        let mut seen = vec![false; rows.len()];
        for &row in rows {
            match seen.get_mut(row as usize) {
                Some(slot) if !*slot => *slot = true,
                _ => return Err("the row order is not a permutation of the rows"),
            }
        }
        let len = starts.len() - 1;
        if cdfs.len() != features.len() || quantiles.len() != len * features.len() {
            return Err("the quantiles do not match the cells and features");
        }
        if !quantiles.iter().all(|quantile| *quantile > 0.0 && *quantile <= 1.0) {
            return Err("a quantile is outside (0, 1]");
        }
        if gradient_mass.as_ref().is_some_and(|mass| mass.len() != len || !mass.iter().all(|m| *m > 0.0)) {
            return Err("the gradient masses do not match the cells or are not positive");
        }
        Ok(Self { features, order: Some(order), starts, quantiles, gradient_mass, cdfs: Arc::new(cdfs) })
    }

    /// Returns the plain content, sharing the row order; `None` for [`Self::whole`], which has none to store.
    #[must_use]
    pub fn to_parts(&self) -> Option<CellsParts> {
        Some(CellsParts {
            features: self.features.clone(),
            order: self.order.clone()?,
            starts: self.starts.clone(),
            quantiles: self.quantiles.clone(),
            gradient_mass: self.gradient_mass.clone(),
            cdfs: self.cdfs.as_ref().clone(),
        })
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
    #[must_use]
    pub fn quantiles(&self, cell: usize) -> &[f64] {
        let features = self.features.len();
        &self.quantiles[cell * features..(cell + 1) * features]
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

    /// Returns the places of `cell` in the order of rows by cell.
    pub(crate) fn places(&self, cell: usize) -> Range<u32> {
        self.starts[cell]..self.starts[cell + 1]
    }

    /// Returns the row at `place` in the order of rows by cell.
    #[inline]
    pub(crate) fn row_at(&self, place: u32) -> u32 {
        self.order.as_ref().map_or(place, |order| order.as_ref().as_ref()[place as usize])
    }

    /// Returns the cell that `place` lies in and the position within it, in O(log cells).
    #[inline]
    pub(crate) fn cell_of_place(&self, place: u32) -> (usize, u32) {
        let cell = self.starts.partition_point(|&start| start <= place) - 1;
        (cell, place - self.starts[cell])
    }
}

/// One feature of every row, as small integers that sort like it.
struct Axis {
    interval_of_row: Vec<u32>,
    quantile_of_interval: Vec<f64>,
}

impl Axis {
    fn new(ranks: Ranks, resolution: Resolution) -> Self {
        let Resolution::Bits(bits) = resolution else {
            return Self { interval_of_row: ranks.of_row, quantile_of_interval: ranks.share };
        };
        let intervals = 1u32 << bits.min(TUPLE_BITS);
        // Shares are in (0, 1]; interval i holds (i / intervals, (i + 1) / intervals].
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 1 ..= intervals")]
        let interval = |share: f64| ((share * f64::from(intervals)).ceil() as u32).clamp(1, intervals) - 1;
        let interval_of_rank: Vec<u32> = ranks.share.iter().map(|&share| interval(share)).collect();
        // An interval stands for the mean of its rows' quantiles.
        let (mut sum, mut count) = (vec![0.0; intervals as usize], vec![0u32; intervals as usize]);
        let interval_of_row: Vec<u32> = ranks
            .of_row
            .iter()
            .map(|&rank| {
                let interval = interval_of_rank[rank as usize];
                sum[interval as usize] += ranks.share[rank as usize];
                count[interval as usize] += 1;
                interval
            })
            .collect();
        let quantile_of_interval = sum.iter().zip(&count).map(|(sum, &count)| sum / f64::from(count.max(1))).collect();
        Self { interval_of_row, quantile_of_interval }
    }

    fn quantile_of_row(&self, row: usize) -> f64 {
        self.quantile_of_interval[self.interval_of_row[row] as usize]
    }
}

/// Sorts rows by their tuple of intervals and returns the order with the cell boundaries.
fn sort_by_cell(rows: usize, axes: &[Axis]) -> (Vec<u32>, Vec<u32>) {
    let rows = u32::try_from(rows).expect("a feature table has fewer than 2^32 rows");
    let mut order: Vec<u32> = (0..rows).collect();
    let compare = |a: u32, b: u32| {
        let intervals = |row: u32| axes.iter().map(move |axis| axis.interval_of_row[row as usize]);
        intervals(a).cmp(intervals(b))
    };
    order.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
    let mut starts = vec![0];
    for cell in order.chunk_by(|&a, &b| compare(a, b).is_eq()) {
        let end = starts[starts.len() - 1] + u32::try_from(cell.len()).expect("a cell has no more rows than the table");
        starts.push(end);
    }
    (order, starts)
}

/// Sums the floored gradient norms of each cell.
fn mass_by_cell(gradient: &[f64], order: &[u32], starts: &[u32]) -> Vec<f64> {
    let mean = gradient.iter().map(|g| g.max(0.0)).sum::<f64>() / gradient.len() as f64;
    // With no gradient anywhere every example counts alike.
    let floor = if mean > 0.0 { GRADIENT_FLOOR * mean } else { 1.0 };
    let mass = |rows: &[u32]| rows.iter().map(|&row| gradient[row as usize].max(floor)).sum();
    starts.windows(2).map(|cell| mass(&order[cell[0] as usize..cell[1] as usize])).collect()
}
