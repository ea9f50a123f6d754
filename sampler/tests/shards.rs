//! However the rows are cut into shards, draws and probabilities are those of one data set, to the last bit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use statrs::distribution::{ChiSquared, ContinuousCDF};
use swift_sampler::{
    CellDraw, Cells, CellsParts, Dataset, EPOCH_DRAWS_MAX, FeatureTable, Plan, Replacement, Resolution, Sampler,
    SamplerSpec, Seed, Segment, ShardRows, ShardSummary, ShardedCells, ShardedPlan, ShardedSampler,
};

/// Cuts the cells of a whole data set into those of its shards, which end at `ends`.
fn cut(cells: &Cells, ends: &[u32]) -> Vec<Arc<Cells>> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    let of_shard = |(start, end): (u32, u32)| {
        let (mut order, mut starts, mut quantiles) = (Vec::new(), vec![0], Vec::new());
        for cell in 0..cells.len() {
            let rows = (0..cells.count(cell)).map(|position| cells.row(cell, position));
            order.extend(rows.filter(|row| (start..end).contains(row)).map(|row| row - start));
            if order.len() > starts[starts.len() - 1] as usize {
                starts.push(u32::try_from(order.len()).unwrap());
                quantiles.extend_from_slice(cells.quantiles(cell));
            }
        }
        let (features, cdfs) = (cells.features().to_vec(), cells.cdfs().as_ref().clone());
        let parts = CellsParts { features, order: Arc::new(order), starts, quantiles, gradient_mass: None, cdfs };
        Arc::new(Cells::from_parts(parts).unwrap())
    };
    starts.zip(ends.iter().copied()).map(of_shard).collect()
}

/// A data set, and the same rows cut into shards.
struct Cut {
    dataset: Dataset,
    shared: Arc<ShardedCells>,
    shards: Vec<ShardRows>,
}

impl Cut {
    fn new(dataset: Dataset, cells: &Cells, ends: &[u32]) -> Self {
        let first_rows = [0].into_iter().chain(ends.iter().copied());
        let cells_of = cut(cells, ends);
        let summaries: Vec<ShardSummary> =
            first_rows.zip(&cells_of).map(|(first_row, cells)| ShardSummary::of(u64::from(first_row), cells)).collect();
        let shared = ShardedCells::merge(cells.features().to_vec(), Arc::clone(cells.cdfs()), &summaries).unwrap();
        let rows = |shared: &Arc<ShardedCells>| -> Vec<ShardRows> {
            let shards = cells_of.iter().enumerate();
            shards.map(|(shard, cells)| ShardRows::new(shared, shard, Arc::clone(cells)).unwrap()).collect()
        };
        let shared = Arc::new(shared);
        let shards = rows(&shared);
        let Some(column) = dataset.gradient_norm().filter(|_| cells.gradient_mass(0).is_some()) else {
            return Self { dataset, shared, shards };
        };
        let gradients = dataset.table().column(column).unwrap();
        let mean = gradients.iter().sum::<f64>() / gradients.len() as f64;
        let floor = if mean > 0.0 { 1e-12 * mean } else { 1.0 };
        let (mut sums, mut first) = (vec![0.0; shared.len()], 0);
        for (shard, &end) in shards.iter().zip(ends) {
            shard.add_gradients(&gradients[first..end as usize], floor, &mut sums);
            first = end as usize;
        }
        let shared = Arc::new(ShardedCells::clone(&shared).with_gradient_mass(sums).unwrap());
        Self { dataset, shards: rows(&shared), shared }
    }

    /// Compares the draws of a segment, every one of which one shard answers for.
    fn compare(&self, spec: &SamplerSpec, seed: Seed, mode: Replacement, segment: Segment) {
        let whole = Arc::new(Sampler::build(spec, &self.dataset).unwrap());
        let sharded = Arc::new(ShardedSampler::build(spec, &self.shared).unwrap());
        assert_eq!(whole.effective_sample_size().to_bits(), sharded.effective_sample_size().to_bits());
        let whole = Plan::new(whole, seed, mode, segment, None).unwrap();
        let sharded = ShardedPlan::new(sharded, seed, mode, segment).unwrap();
        let draws = segment.start..segment.end;
        let mut held: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| sharded.held(draws.clone(), shard).map(|held| (held.draw, held)))
            .collect();
        held.sort_unstable_by_key(|(draw, _)| *draw);
        assert_eq!(held.len() as u64, segment.draws());
        for (draw, (number, held)) in draws.zip(held) {
            let expected = whole.draw(draw);
            assert_eq!((number, held.index), (draw, expected.index));
            assert_eq!(held.probability.to_bits(), expected.probability.to_bits());
            let drawn = sharded.draw(draw);
            let place = self.shared.place(drawn.cell, drawn.position);
            assert_eq!(self.shards[place.shard].index(drawn.cell, drawn.position), Some(held.index));
        }
    }
}

/// Values of a column: many ties, few ties, or none.
fn column(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        prop::collection::vec((-2i32..3).prop_map(f64::from), rows),
        prop::collection::vec((0i32..50).prop_map(|value| f64::from(value) / 7.0), rows),
        prop::collection::vec(-1e3..1e3f64, rows),
    ]
}

/// Columns of up to three features and of gradient norms, and where the shards of their rows end.
fn cut_columns() -> impl Strategy<Value = (Vec<Vec<f64>>, Vec<f64>, Vec<u32>)> {
    (8usize..250, 1usize..4).prop_flat_map(|(rows, features)| {
        let last = u32::try_from(rows).unwrap();
        let ends = prop::collection::btree_set(1..last, 0..8).prop_map(move |mut ends| {
            ends.insert(last);
            ends.into_iter().collect()
        });
        let gradients = prop_oneof![
            prop::collection::vec(0.0..3.0f64, rows),
            prop::collection::vec((0i32..3).prop_map(f64::from), rows),
        ];
        (prop::collection::vec(column(rows), features), gradients, ends)
    })
}

proptest! {
    #[test]
    fn shards_draw_what_one_dataset_draws(
        (columns, gradients, ends) in cut_columns(),
        bits in prop::option::of(1u32..5),
        coefficients in prop::collection::vec(prop_oneof![-1.0..-0.1f64, 0.1..1.0f64], 3),
        knots in prop::collection::vec(0.0..1.0f64, 3),
        values in prop::collection::vec(0.1..1.0f64, 5),
        cdf: bool,
        seed: u64,
        (epoch_start, before, draws) in (0u64..1 << 60, 0u64..300, 1u64..400),
    ) {
        let names: Vec<String> = (0..columns.len()).map(|feature| format!("feature_{feature}")).collect();
        let named = names.iter().cloned().zip(columns).chain([("grad_norm".to_owned(), gradients)]).collect();
        let table = FeatureTable::new(named).unwrap();
        let resolution = bits.map_or(Resolution::Exact, Resolution::Bits);
        let cells = Cells::build(&table, &names, Some("grad_norm"), resolution).unwrap();
        let dataset = Dataset::from_stored(table.clone(), Some("grad_norm".into()), cells.clone()).unwrap();
        let spec = |kind: serde_json::Value| serde_json::from_value::<SamplerSpec>(kind).unwrap();
        let swift = spec(serde_json::json!({
            "kind": "swift", "features": names, "coefficients": coefficients[..names.len()], "knots": knots,
            "values": values, "transform": if cdf { "cdf" } else { "cgf" },
        }));
        let start = epoch_start + before;
        let segment = Segment { epoch_start, start, end: start + draws };
        let cut = Cut::new(dataset.clone(), &cells, &ends);
        for mode in [Replacement::Independent, Replacement::Stratified] {
            cut.compare(&swift, Seed(seed), mode, segment);
        }
        let uniform = Cut::new(dataset.clone(), &Cells::whole(&table), &ends);
        uniform.compare(&SamplerSpec::Uniform {}, Seed(seed), Replacement::Stratified, segment);
        let by_value = Cells::build(&table, &["grad_norm".into()], None, Resolution::Exact).unwrap();
        if by_value.len() > 1 {
            let column = spec(serde_json::json!({"kind": "column", "column": "grad_norm"}));
            Cut::new(dataset, &by_value, &ends).compare(&column, Seed(seed), Replacement::Independent, segment);
        }
    }
}

/// Three shards of as many rows as fit, which no single data set holds.
#[test]
fn more_than_2_to_the_32_rows_are_drawn_evenly() {
    let (rows, shards) = (u64::from(u32::MAX), 3);
    let summaries: Vec<ShardSummary> = (0..shards)
        .map(|shard| ShardSummary { first_row: shard * rows, quantiles: Vec::new(), counts: vec![u32::MAX] })
        .collect();
    let shared = Arc::new(ShardedCells::merge(Vec::new(), Arc::default(), &summaries).unwrap());
    assert_eq!(shared.rows(), shards * rows);
    let sampler = Arc::new(ShardedSampler::build(&SamplerSpec::Uniform {}, &shared).unwrap());
    assert!((sampler.effective_sample_size() / (shards * rows) as f64 - 1.0).abs() < 1e-12);
    let index = |drawn: CellDraw| {
        let place = shared.place(drawn.cell, drawn.position);
        shared.first_row(place.shard) + u64::from(place.position)
    };
    let draws = 300_000;
    let segment = Segment { epoch_start: 0, start: 0, end: EPOCH_DRAWS_MAX };
    for mode in [Replacement::Independent, Replacement::Stratified] {
        let plan = ShardedPlan::new(Arc::clone(&sampler), Seed(3), mode, segment).unwrap();
        let indices: Vec<u64> = (0..draws).map(|draw| index(plan.draw(draw))).collect();
        let mut counts = [0u64; 30];
        indices.iter().for_each(|&index| counts[usize::try_from(index * 30 / (shards * rows)).unwrap()] += 1);
        let expected = draws as f64 / 30.0;
        let statistic: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
        let p = 1.0 - ChiSquared::new(29.0).unwrap().cdf(statistic);
        // Chance of a false alarm: 1e-6, had the seed been drawn afresh.
        assert!(p > 1e-6, "{mode:?}: p-value {p}, {counts:?}");
        let distinct: BTreeSet<u64> = indices.iter().copied().collect();
        // An epoch of stratified draws, fewer than there are rows, has none twice; independent draws meet 3.5 times on average.
        let twice = indices.len() - distinct.len();
        assert!(if mode == Replacement::Stratified { twice == 0 } else { twice < 30 }, "{mode:?}: {twice} twice");
    }
}

#[test]
fn what_does_not_fit_together_is_named() {
    let summary = |first_row, counts: &[u32]| ShardSummary {
        first_row,
        quantiles: [0.25, 0.5, 1.0][..counts.len()].to_vec(),
        counts: counts.to_vec(),
    };
    let features = vec!["loss".to_owned()];
    let refused = |summaries: &[ShardSummary]| {
        ShardedCells::merge(features.clone(), Arc::default(), summaries).unwrap_err().to_string()
    };
    assert!(refused(&[]).contains("no shard"));
    assert!(refused(&[summary(0, &[2, 3]), summary(6, &[1])]).contains("shard 1 begins at row 6, not at 5"));
    assert!(refused(&[summary(0, &[2, 0])]).contains("a cell without rows"));
    let descending = ShardSummary { quantiles: vec![0.5, 0.25], ..summary(0, &[1, 1]) };
    assert!(refused(&[descending]).contains("not ascending"));
    let unknown = ShardSummary { quantiles: vec![f64::NAN], ..summary(0, &[1]) };
    assert!(refused(&[unknown]).contains("outside (0, 1]"));
    assert!(refused(&[summary((1 << 62) - 2, &[2])]).contains("below 2^62"));
}
