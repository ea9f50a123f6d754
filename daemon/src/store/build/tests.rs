//! What is built in bounded memory is what would be built in memory.

use std::sync::Arc;

use swift_sampler::{Cells, FeatureTable, SharedColumn};

use super::*;

/// Rows that are quantised.
const ROWS: usize = (1 << 20) + 4321;

/// Columns with ties, of few and of many distinct values, some of them not representable with 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "any bits will do")]
fn columns() -> Vec<(String, Vec<f64>)> {
    let noise = |row: usize, salt: u64| {
        let mixed =
            (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ mixed >> 29) as u32
    };
    let column = |value: &dyn Fn(usize) -> f64| (0..ROWS).map(value).collect::<Vec<f64>>();
    vec![
        ("loss".to_owned(), column(&|row| f64::from(noise(row, 1)) / 7.0 - 3e8)),
        ("entropy".to_owned(), column(&|row| f64::from((f64::from(noise(row, 2)) / 1e9) as f32))),
        ("margin".to_owned(), column(&|row| f64::from(noise(row, 3) % 5))),
        ("age".to_owned(), column(&|row| if row % 3 == 0 { 0.0 } else { f64::from(noise(row, 4) % 100_000) })),
        ("grad_norm".to_owned(), column(&|row| f64::from(noise(row, 5) % 1000))),
    ]
}

fn building(store: &Store, columns: &[(String, Vec<f64>)], features: &[String]) -> Building {
    let building = store.begin(NewColumns {
        columns: columns.iter().map(|(name, _)| name.clone()).collect(),
        rows: ROWS,
        first_row: 7,
        features: features.to_vec(),
        gradient_norm: Some("grad_norm".to_owned()),
    });
    let building = building.unwrap();
    for (column, (_, values)) in columns.iter().enumerate() {
        // Later rows first, as threads may come.
        for (block, values) in values.chunks(300_000).enumerate().rev() {
            building.write(column, block * 300_000, values).unwrap();
        }
    }
    building
}

#[test]
fn cells_and_hashes_are_those_of_memory_for_any_number_of_features_and_any_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let columns = columns();
    let shared = columns.iter().map(|(name, values)| (name.clone(), Arc::new(values.clone()) as SharedColumn<f64>));
    let table = FeatureTable::from_shared(shared.collect()).unwrap();
    for count in 1..=4 {
        let features: Vec<String> = columns[..count].iter().map(|(name, _)| name.clone()).collect();
        let expected = Dataset::new(table.clone(), features.clone(), Some("grad_norm".to_owned())).unwrap();
        let expected = expected.with_first_row(7).unwrap();
        for sorted_bytes_max in [SORTED_BYTES_MAX, 3_000_000] {
            let mut building = building(&store, &columns, &features);
            building.sorted_bytes_max = sorted_bytes_max;
            let built = building.finish(&Progress::default()).unwrap();
            assert_eq!(built.hash(), expected.hash());
            store.keep(&built).unwrap();
            let stored = store.get(built.hash()).unwrap();
            assert_same(&stored, &expected);
            store.check(built.hash(), &Progress::default()).unwrap();
            store.remove(built.hash()).unwrap();
        }
    }
}

fn assert_same(stored: &Dataset, expected: &Dataset) {
    assert_eq!((stored.rows(), stored.first_row()), (expected.rows(), expected.first_row()));
    for (name, values) in expected.table().columns() {
        assert!(stored.table().column(name).unwrap() == values);
    }
    let parts = |cells: &Cells| cells.to_parts().unwrap();
    let (stored, expected) = (parts(stored.cells()), parts(expected.cells()));
    assert!(stored.order.as_ref().as_ref() == expected.order.as_ref().as_ref());
    assert!(stored.starts == expected.starts && stored.axes == expected.axes && stored.cdfs == expected.cdfs);
    let bits = |mass: Option<Vec<f64>>| mass.unwrap().into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert!(bits(stored.gradient_mass) == bits(expected.gradient_mass));
    assert_eq!(stored.version, expected.version);
}

#[test]
fn what_is_no_longer_wanted_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (stop, columns) = (tokio_util::sync::CancellationToken::new(), columns());
    let progress = Progress::new(stop.clone());
    let building = building(&store, &columns, &["loss".to_owned()]);
    stop.cancel();
    assert!(matches!(building.finish(&progress), Err(StoreError::Interrupted)));
    for place in ["datasets", "unfinished"] {
        assert_eq!(fs::read_dir(directory.path().join(place)).unwrap().count(), 0);
    }
}

#[test]
fn a_negative_gradient_norm_among_many_rows_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut columns = columns();
    columns[4].1[1_048_600] = -1.0;
    let refused = building(&store, &columns, &["loss".to_owned()]).finish(&Progress::default()).unwrap_err();
    let message = "column \"grad_norm\", row 1048600 (counted from 0) is -1: a gradient norm is not negative";
    assert_eq!(refused.to_string(), message);
}
