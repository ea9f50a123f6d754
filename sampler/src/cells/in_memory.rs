//! Cells of a table that is in memory, or mapped.

use std::sync::Arc;

use super::{Cells, CellsBuilder};
use crate::axis::Axis;
use crate::feature_table::{FeatureTable, FeatureTableError};
use crate::gradient_floor::GradientFloor;
use crate::resolution::Resolution;

/// Groups the rows of `table` by `features`.
pub(super) fn build(
    table: &FeatureTable,
    features: &[String],
    gradient_norm: Option<&str>,
    resolution: Resolution,
) -> Result<Cells, FeatureTableError> {
    let columns = features.iter().map(|feature| table.column(feature)).collect::<Result<Vec<_>, _>>()?;
    let gradient = gradient_norm.map(|column| table.column(column)).transpose()?;
    let axes: Vec<Axis> = columns.iter().map(|column| Axis::of_column(column, resolution)).collect();
    let gradient = gradient.map(|gradient| (gradient, GradientFloor::of_column(gradient)));
    Ok(group(table, features, &columns, axes, gradient))
}

/// Groups the rows of `table` by intervals of axes that are not only its own.
pub(super) fn over_axes(
    table: &FeatureTable,
    features: &[String],
    axes: Vec<Axis>,
) -> Result<Cells, FeatureTableError> {
    let columns = features.iter().map(|feature| table.column(feature)).collect::<Result<Vec<_>, _>>()?;
    Ok(group(table, features, &columns, axes, None))
}

fn group(
    table: &FeatureTable,
    features: &[String],
    columns: &[&[f64]],
    axes: Vec<Axis>,
    gradient: Option<(&[f64], GradientFloor)>,
) -> Cells {
    let intervals: Vec<Vec<u32>> = axes.iter().zip(columns).map(|(axis, column)| intervals(axis, column)).collect();
    let order = order_by_cell(table.rows(), &axes, &intervals);
    let tuple = |row: u32| intervals.iter().map(move |of_axis| of_axis[row as usize]);
    let mut builder = CellsBuilder::new(features.to_vec(), axes, gradient.is_some());
    let mut of_cell = Vec::with_capacity(features.len());
    for rows in order.chunk_by(|&a, &b| tuple(a).eq(tuple(b))) {
        of_cell.clear();
        of_cell.extend(tuple(rows[0]));
        let raised = |(gradient, floor): (&[f64], GradientFloor)| {
            rows.iter().map(|&row| floor.raise(gradient[row as usize])).sum::<f64>()
        };
        let mass = gradient.map_or(0.0, raised);
        builder.push(&of_cell, u32::try_from(rows.len()).expect("no more rows than the table"), mass);
    }
    builder.finish(Arc::new(order)).expect("cells of all rows in order fit together")
}

fn intervals(axis: &Axis, column: &[f64]) -> Vec<u32> {
    let mut intervals = vec![0; column.len()];
    axis.intervals_into(column, &mut intervals);
    intervals
}

/// Sorts the rows by their tuples of intervals, equal ones by row, in O(N · n): by the last axis first, each sort keeping
/// the order that the one before made.
fn order_by_cell(rows: usize, axes: &[Axis], intervals: &[Vec<u32>]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(rows).expect("a feature table has fewer than 2^32 rows")).collect();
    let mut sorted = vec![0; rows];
    for (axis, intervals) in axes.iter().zip(intervals).rev() {
        let mut next = vec![0u32; axis.len() + 1];
        intervals.iter().for_each(|&interval| next[interval as usize + 1] += 1);
        for interval in 1..next.len() {
            next[interval] += next[interval - 1];
        }
        for &row in &order {
            let place = &mut next[intervals[row as usize] as usize];
            sorted[*place as usize] = row;
            *place += 1;
        }
        std::mem::swap(&mut order, &mut sorted);
    }
    order
}
