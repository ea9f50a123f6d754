//! Cells of examples of equal, or nearly equal, weight.

use super::{Cells, in_memory};
use crate::axis::{AxisBuilder, distinct_values, sorted};
use crate::feature_table::{FeatureTable, FeatureTableError};
use crate::resolution::Resolution;

/// Most distinct weights that have a cell each, and into how many intervals more are cut, as a power of 2: a sampler over
/// the cells stays small beside the examples.
pub(crate) const CELL_BITS: u32 = 20;

/// Groups rows by weight; returns what an example of each cell weighs beside the cells, ascending.
pub(super) fn build(table: &FeatureTable, column: &str) -> Result<(Cells, Vec<f64>), FeatureTableError> {
    let weights = table.column(column)?;
    let sorted = sorted(weights);
    let is_exact = distinct_values(&sorted).count() <= 1 << CELL_BITS;
    let resolution = if is_exact { Resolution::Exact } else { Resolution::Bits(CELL_BITS) };
    let mut builder = AxisBuilder::new(weights.len() as u64, resolution);
    for (weight, count) in distinct_values(&sorted) {
        builder.push(weight, count);
        if weight <= 0.0 {
            // What has no weight is never drawn, so it shares no cell with what has.
            builder.cut();
        }
    }
    drop(sorted);
    let cells = in_memory::over_axes(table, &[column.to_owned()], vec![builder.finish()])?;
    let weight = |cell: usize| {
        let of_row = |place: u32| weights[cells.row_at(place) as usize];
        let places = cells.places(cell);
        // The mean of equal numbers may not be that number.
        if is_exact { of_row(places.start) } else { places.map(of_row).sum::<f64>() / f64::from(cells.count(cell)) }
    };
    let of_cell = (0..cells.len()).map(weight).collect();
    Ok((cells, of_cell))
}
