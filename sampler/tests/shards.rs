//! However the rows are cut into shards, draws and probabilities are those of one data set, to the last bit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use statrs::distribution::{ChiSquared, ContinuousCDF};
use swift_sampler::{
    Axis, CellDraw, Cells, Dataset, EPOCH_DRAWS_MAX, FeatureTable, HeldDraw, Plan, Replacement, Resolution, Sampler,
    SamplerSpec, Seed, Segment, ShardRows, ShardSummary, ShardedCells, ShardedPlan, ShardedSampler, ShardsError,
    SwiftSpec, Transform, merge_axis,
};

#[allow(dead_code, reason = "what the example prints is not looked at here")]
#[path = "../examples/sharded/set_up.rs"]
mod set_up;

use set_up::{GRADIENT_NORM, Rows, set_up};

/// Index of the first row of the first shard: far beyond 32 bits.
const FIRST_ROW: u64 = 5_000_000_000;

/// A data set, and the same rows cut into shards.
struct Cut {
    dataset: Dataset,
    shards: Vec<Rows>,
}

impl Cut {
    fn new(table: &FeatureTable, ends: &[usize], resolution: Resolution) -> Self {
        let features: Vec<String> = table.names().iter().filter(|name| *name != GRADIENT_NORM).cloned().collect();
        let cells = Cells::build(table, &features, Some(GRADIENT_NORM), resolution).unwrap();
        let dataset = Dataset::from_stored(table.clone(), Some(GRADIENT_NORM.into()), cells).unwrap();
        let (shards, _) = set_up(table, ends, FIRST_ROW, resolution).unwrap();
        Self { dataset: dataset.with_first_row(FIRST_ROW).unwrap(), shards }
    }

    /// Compares the draws of a segment, every one of which one shard answers for.
    fn compare(&self, spec: &SamplerSpec, mode: Replacement, seed: Seed, segment: Segment) {
        let shards: Vec<&ShardRows> = self.shards.iter().map(|rows| rows.of_spec(spec)).collect();
        let shared = shards[0].shared();
        let whole = Arc::new(Sampler::build(spec, &self.dataset).unwrap());
        let sharded = Arc::new(ShardedSampler::build(spec, shared).unwrap());
        assert_eq!(whole.effective_sample_size().to_bits(), sharded.effective_sample_size().to_bits());
        for cell in 0..shared.len() {
            assert_eq!(whole.cell_probability(cell).to_bits(), sharded.cell_probability(cell).to_bits());
        }
        let whole = Plan::new(whole, seed, mode, segment, None).unwrap();
        let sharded = ShardedPlan::new(sharded, seed, mode, segment).unwrap();
        let draws = segment.start..segment.end;
        let mut held: Vec<HeldDraw> = shards.iter().flat_map(|rows| sharded.held(draws.clone(), rows)).collect();
        held.sort_unstable_by_key(|held| held.draw);
        assert_eq!(held.len() as u64, segment.draws());
        for (draw, held) in draws.zip(held) {
            let expected = whole.draw(draw);
            assert_eq!((held.draw, held.index), (draw, expected.index));
            assert_eq!(held.probability.to_bits(), expected.probability.to_bits());
            // Which shard it is can be told without the rows.
            let drawn = sharded.draw(draw);
            let place = shared.place(drawn.cell, drawn.position);
            assert_eq!(shards[place.shard].index(drawn.cell, drawn.position), Some(held.index));
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

/// A table of up to three features and gradient norms, and where the shards of its rows end.
fn cut_table() -> impl Strategy<Value = (FeatureTable, Vec<usize>)> {
    (8usize..250, 1usize..4).prop_flat_map(|(rows, features)| {
        let ends = prop::collection::btree_set(1..rows, 0..8).prop_map(move |mut ends| {
            ends.insert(rows);
            ends.into_iter().collect()
        });
        let gradients = prop_oneof![
            prop::collection::vec(0.0..3.0f64, rows),
            prop::collection::vec((0i32..3).prop_map(f64::from), rows),
        ];
        let features = prop::collection::vec(column(rows), features);
        (features, gradients, ends).prop_map(|(features, gradients, ends)| {
            let named = features.into_iter().enumerate().map(|(number, values)| (format!("feature_{number}"), values));
            (FeatureTable::new(named.chain([(GRADIENT_NORM.to_owned(), gradients)]).collect()).unwrap(), ends)
        })
    })
}

proptest! {
    #[test]
    fn shards_draw_what_one_dataset_draws(
        (table, ends) in cut_table(),
        bits in prop::option::of(1u32..5),
        coefficients in prop::collection::vec(prop_oneof![-1.0..-0.1f64, 0.1..1.0f64], 3),
        knots in prop::collection::vec(0.0..1.0f64, 3),
        values in prop::collection::vec(0.1..1.0f64, 5),
        cdf: bool,
        seed: u64,
        (epoch_start, before, draws) in (0u64..1 << 60, 0u64..300, 1u64..400),
    ) {
        let cut = Cut::new(&table, &ends, bits.map_or(Resolution::Exact, Resolution::Bits));
        let features = cut.dataset.features().to_vec();
        let transform = if cdf { Transform::Cdf } else { Transform::Cgf };
        let coefficients = coefficients[..features.len()].to_vec();
        let swift = SamplerSpec::Swift(SwiftSpec { features, coefficients, knots, values, transform });
        let start = epoch_start + before;
        let segment = Segment { epoch_start, start, end: start + draws };
        for spec in [swift, SamplerSpec::Uniform {}] {
            for mode in [Replacement::Independent, Replacement::Stratified] {
                cut.compare(&spec, mode, Seed(seed), segment);
            }
        }
    }

    /// Values of a column, exactly told apart, as weights.
    #[test]
    fn shards_draw_by_weight_what_one_dataset_draws((table, ends) in cut_table(), seed: u64) {
        let weights = table.column(GRADIENT_NORM).unwrap().to_vec();
        let positive = weights.iter().any(|weight| *weight > 0.0);
        let table = FeatureTable::new(vec![("weight".into(), weights.clone()), (GRADIENT_NORM.into(), weights)]).unwrap();
        let cut = Cut::new(&table, &ends, Resolution::Exact);
        let spec = SamplerSpec::Column { column: "weight".into() };
        if positive {
            cut.compare(&spec, Replacement::Independent, Seed(seed), Segment { epoch_start: 0, start: 0, end: 300 });
        } else {
            prop_assert!(ShardedSampler::build(&spec, cut.shards[0].of_spec(&spec).shared()).is_err());
        }
    }
}

/// Three shards of as many rows as fit, which no single data set holds.
#[test]
fn more_than_2_to_the_32_rows_are_drawn_evenly() {
    let (rows, shards) = (u64::from(u32::MAX), 3);
    let summaries: Vec<ShardSummary> = (0..shards)
        .map(|shard| ShardSummary { first_row: shard * rows, intervals: Vec::new(), counts: vec![u32::MAX] })
        .collect();
    let shared = Arc::new(ShardedCells::merge(Vec::new(), &[], &summaries).unwrap());
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
    let axes = [Axis::of_column(&[1.0, 2.0, 4.0], Resolution::Exact)];
    let summary = |first_row, counts: &[u32]| ShardSummary {
        first_row,
        intervals: [0, 1, 2][..counts.len()].to_vec(),
        counts: counts.to_vec(),
    };
    let refused = |summaries: &[ShardSummary]| {
        ShardedCells::merge(vec!["loss".into()], &axes, summaries).unwrap_err().to_string()
    };
    assert!(refused(&[]).contains("no shard"));
    assert!(refused(&[summary(0, &[2, 3]), summary(6, &[1])]).contains("shard 1 begins at row 6, not at 5"));
    assert!(refused(&[summary(0, &[2, 0])]).contains("a cell without rows"));
    assert!(refused(&[ShardSummary { intervals: vec![1, 0], ..summary(0, &[1, 1]) }]).contains("do not ascend"));
    assert!(refused(&[ShardSummary { intervals: vec![3], ..summary(0, &[1]) }]).contains("does not have"));
    assert!(refused(&[ShardSummary { intervals: vec![0, 1], ..summary(0, &[1]) }]).contains("not one interval"));
    assert!(refused(&[summary((1 << 62) - 2, &[2])]).contains("below 2^62"));
    assert!(ShardedCells::merge(Vec::new(), &axes, &[summary(0, &[1])]).is_err());

    let merged = |runs: Vec<Vec<(f64, u64)>>, rows| merge_axis(runs, rows, Resolution::Exact).map(|axis| axis.len());
    assert_eq!(merged(vec![vec![(-1.0, 1), (0.0, 1)], vec![], vec![(-0.0, 2), (3.0, 1)]], 5), Ok(3));
    for (runs, rows) in [
        (vec![vec![(1.0, 1), (1.0, 1)]], 2),
        (vec![vec![(0.0, 1), (-0.0, 1)]], 2),
        (vec![vec![(f64::NAN, 1)]], 1),
        (vec![vec![(1.0, 0)]], 1),
    ] {
        assert!(matches!(merged(runs, rows), Err(ShardsError::Run { shard: 0, .. })));
    }
    for rows in [2, 4] {
        assert_eq!(merged(vec![vec![(1.0, 1)], vec![(2.0, 2)]], rows), Err(ShardsError::RunRows { rows }));
    }
    assert_eq!(merged(vec![], 0), Err(ShardsError::AxisRows { rows: 0 }));

    let table = |values: &[f64]| FeatureTable::new(vec![("loss".into(), values.to_vec())]).unwrap();
    let cells = |values: &[f64]| Arc::new(Cells::over_axes(&table(values), &["loss".into()], axes.to_vec()).unwrap());
    let summaries = [ShardSummary::of(0, &cells(&[1.0, 4.0])), ShardSummary::of(2, &cells(&[2.0]))];
    let shared = Arc::new(ShardedCells::merge(vec!["loss".into()], &axes, &summaries).unwrap());
    let refused = |shard, values: &[f64]| ShardRows::new(&shared, shard, cells(values)).map(|rows| rows.shard());
    assert_eq!(refused(0, &[4.0, 1.0]), Ok(0));
    for (shard, values) in [(0, &[1.0][..]), (0, &[1.0, 4.0, 4.0]), (0, &[1.0, 2.0]), (1, &[2.0, 4.0]), (2, &[2.0])] {
        assert!(matches!(refused(shard, values), Err(ShardsError::OtherRows { .. })), "{shard}: {values:?}");
    }
    assert!(ShardedCells::clone(&shared).with_gradient_mass(vec![1.0, 0.0, 1.0]).is_err());
    let spec = SamplerSpec::Column { column: "entropy".into() };
    assert!(matches!(ShardedSampler::build(&spec, &shared), Err(ShardsError::Features { .. })));
    let sampler = Arc::new(ShardedSampler::build(&SamplerSpec::Column { column: "loss".into() }, &shared).unwrap());
    let quantised = [Axis::of_column(&[1.0, 2.0, 4.0], Resolution::Bits(1))];
    let summary = [ShardSummary { first_row: 0, intervals: vec![0, 1], counts: vec![1, 2] }];
    let quantised = Arc::new(ShardedCells::merge(vec!["loss".into()], &quantised, &summary).unwrap());
    let refused = ShardedSampler::build(&SamplerSpec::Column { column: "loss".into() }, &quantised).map(|_| ());
    assert_eq!(refused, Err(ShardsError::QuantisedWeights { column: "loss".into() }));
    let segment = Segment { epoch_start: 0, start: 0, end: 3 };
    let distinct = ShardedPlan::new(sampler, Seed(1), Replacement::Distinct, segment);
    assert_eq!(distinct.map(|plan| plan.segment()), Err(ShardsError::Distinct));
}
