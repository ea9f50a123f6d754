//! Cells are the same however they are made, and every row is in the cell of its features.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::prelude::*;
use swift_sampler::{Axis, AxisBuilder, CellKeys, Cells, CellsBuilder, FeatureTable, GradientFloor, Resolution};

/// Groups rows as an import of more rows than memory holds does: each feature's distinct values in ascending order, then
/// rows sorted by key, then cell after cell.
fn made_externally(columns: &[Vec<f64>], gradient: &[f64], resolution: Resolution) -> Cells {
    let rows = gradient.len();
    let axes: Vec<Axis> = columns
        .iter()
        .map(|column| {
            let mut builder = AxisBuilder::new(rows as u64, resolution);
            let mut sorted = column.clone();
            sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            sorted.chunk_by(|a, b| a >= b).for_each(|tied| builder.push(tied[0], tied.len() as u64));
            builder.finish()
        })
        .collect();
    let keys_of = CellKeys::new(&axes).unwrap();
    let mut keys = vec![0; rows];
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    keys_of.keys_into(&axes, &columns, &mut keys);
    let mut rows: Vec<(u64, u32)> = keys.into_iter().zip(0..).collect();
    rows.sort_unstable();

    let floor = GradientFloor::of_column(gradient);
    let mut builder = CellsBuilder::new(names(columns.len()), axes, true);
    for cell in rows.chunk_by(|a, b| a.0 == b.0) {
        let mass = cell.iter().map(|&(_, row)| floor.raise(gradient[row as usize])).sum();
        builder.push(&keys_of.intervals(cell[0].0), u32::try_from(cell.len()).unwrap(), mass);
    }
    builder.finish(Arc::new(rows.into_iter().map(|(_, row)| row).collect::<Vec<u32>>())).unwrap()
}

fn names(features: usize) -> Vec<String> {
    (0..features).map(|axis| format!("f{axis}")).collect()
}

fn made_in_memory(columns: &[Vec<f64>], gradient: &[f64], resolution: Resolution) -> Cells {
    let features = names(columns.len());
    let mut named: Vec<_> = features.iter().cloned().zip(columns.iter().cloned()).collect();
    named.push(("g".to_owned(), gradient.to_vec()));
    Cells::build(&FeatureTable::new(named).unwrap(), &features, Some("g"), resolution).unwrap()
}

/// Up to four columns, with ties, both zeros and gradients of none, and a resolution.
fn rows() -> impl Strategy<Value = (Vec<Vec<f64>>, Vec<f64>, Resolution)> {
    let value = prop_oneof![Just(-0.0), Just(0.0), -3.0..3.0, (0i32..20).prop_map(f64::from)];
    let resolution = prop_oneof![Just(Resolution::Exact), (0u32..7).prop_map(Resolution::Bits)];
    (1usize..5, 1usize..300, resolution).prop_flat_map(move |(features, rows, resolution)| {
        let columns = prop::collection::vec(prop::collection::vec(value.clone(), rows), features);
        let gradient = prop::collection::vec(prop_oneof![Just(0.0), 0.0..9.0], rows);
        (columns, gradient, Just(resolution))
    })
}

proptest! {
    #[test]
    fn cells_made_outside_of_memory_are_those_made_in_it((columns, gradient, resolution) in rows()) {
        let (external, in_memory) = (made_externally(&columns, &gradient, resolution), made_in_memory(&columns, &gradient, resolution));
        external.check_order().unwrap();
        let (external, in_memory) = (external.to_parts().unwrap(), in_memory.to_parts().unwrap());
        prop_assert_eq!(external.version, in_memory.version);
        prop_assert_eq!(external.order.as_ref().as_ref(), in_memory.order.as_ref().as_ref());
        prop_assert_eq!(external.starts, in_memory.starts);
        prop_assert_eq!(external.axes, in_memory.axes);
        prop_assert_eq!(external.gradient_mass, in_memory.gradient_mass);
        prop_assert_eq!(external.cdfs, in_memory.cdfs);
    }

    /// Every interval is there, holds what its number says, and stands for the mean of its rows' quantiles.
    #[test]
    fn an_axis_cuts_ranks_into_equal_intervals((columns, _, resolution) in rows()) {
        let column = &columns[0];
        let axis = Axis::of_column(column, resolution);
        let share = |value: f64| column.iter().filter(|other| **other <= value).count() as f64 / column.len() as f64;
        let mut intervals = vec![0; column.len()];
        axis.intervals_into(column, &mut intervals);
        for (&value, &interval) in column.iter().zip(&intervals) {
            prop_assert_eq!(axis.interval(value), interval);
            prop_assert!((axis.cdf().quantile(value) - share(value)).abs() < 1e-12);
        }
        for interval in 0..u32::try_from(axis.len()).unwrap() {
            let inside: Vec<f64> =
                column.iter().zip(&intervals).filter(|(_, its)| **its == interval).map(|(value, _)| share(*value)).collect();
            let mean = inside.iter().sum::<f64>() / inside.len() as f64;
            prop_assert!((axis.quantiles()[interval as usize] - mean).abs() < 1e-12);
            let number = |share: &f64| match resolution {
                Resolution::Exact => share * column.len() as f64,
                Resolution::Bits(bits) => (share * f64::from(1 << bits) - 1e-9).ceil(),
            };
            prop_assert!(inside.iter().all(|share| (number(share) - number(&inside[0])).abs() < 1e-6));
        }
        let beyond = u32::try_from(axis.len() - 1).unwrap();
        prop_assert_eq!((axis.interval(-9.0), axis.interval(99.0)), (0, beyond));
    }
}

#[test]
fn an_order_that_repeats_a_row_is_found() {
    let mut parts = made_in_memory(&[vec![1.0, 2.0, 1.0]], &[1.0; 3], Resolution::Exact).to_parts().unwrap();
    for order in [[0, 2, 2], [0, 2, 3], [0, 2, 64]] {
        parts.order = Arc::new(order.to_vec());
        assert!(Cells::from_parts(parts.clone()).unwrap().check_order().unwrap_err().contains("permutation"));
    }
}
