//! The engine agrees with the formulas of the paper on random tables and specs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "equal to the last bit is what is claimed")]

use proptest::prelude::*;
use swift_sampler::{
    Cells, Dataset, EmpiricalCdf, FeatureTable, PiecewiseLinear, Resolution, Sampler, SamplerError, SamplerSpec,
    SwiftSpec, Transform,
};

#[path = "support/reference.rs"]
mod reference;

#[derive(Debug, Clone)]
struct Case {
    columns: Vec<Vec<f64>>,
    gradient: Vec<f64>,
    spec: SwiftSpec,
}

impl Case {
    fn dataset(&self) -> Dataset {
        let mut columns: Vec<(String, Vec<f64>)> =
            self.spec.features.iter().cloned().zip(self.columns.iter().cloned()).collect();
        columns.push(("grad_norm".into(), self.gradient.clone()));
        let table = FeatureTable::new(columns).unwrap();
        Dataset::new(table, self.spec.features.clone(), Some("grad_norm".into())).unwrap()
    }
}

/// Tables of up to 4 features with and without ties, and specs of up to 7 segments whose knots may coincide.
fn cases() -> impl Strategy<Value = Case> {
    (1usize..=4, 1usize..200, 2usize..=7).prop_flat_map(|(features, rows, segments)| {
        let tied = (0i32..6).prop_map(f64::from);
        let spread = -1e3..1e3f64;
        let column = prop_oneof![prop::collection::vec(tied, rows), prop::collection::vec(spread, rows)];
        let knot = prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..=1.0f64];
        let value = prop_oneof![2 => Just(0.0), 8 => 0.0..=1.0f64];
        (
            prop::collection::vec(column, features),
            prop::collection::vec(prop_oneof![1 => Just(0.0), 5 => 0.0..10.0f64], rows),
            prop::collection::vec(prop_oneof![Just(1.0), Just(-0.5), -1.0..=1.0f64], features),
            prop::collection::vec(knot, segments - 1),
            prop::collection::vec(value, segments + 1),
            prop_oneof![Just(Transform::Cgf), Just(Transform::Cdf)],
        )
            .prop_map(|(columns, gradient, coefficients, knots, values, transform)| Case {
                spec: SwiftSpec {
                    features: (0..columns.len()).map(|j| format!("f{j}")).collect(),
                    coefficients,
                    knots,
                    values,
                    transform,
                },
                columns,
                gradient,
            })
    })
}

fn nonzero(spec: &SwiftSpec) -> bool {
    spec.coefficients.iter().any(|c| c.abs() > 1e-3) && spec.values.iter().any(|v| *v > 1e-3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn probabilities_equal_the_reference(case in cases().prop_filter("a direction and a value", |c| nonzero(&c.spec))) {
        let expected = reference::probabilities(&case.columns, &case.gradient, &case.spec);
        match (Sampler::build(&SamplerSpec::Swift(case.spec.clone()), &case.dataset()), expected) {
            (Ok(sampler), Some(expected)) => {
                let actual = sampler.probabilities();
                for (row, (p, q)) in actual.iter().zip(&expected).enumerate() {
                    prop_assert!((p - q).abs() < 1e-8, "row {}: {} against {}", row, p, q);
                }
                let total: f64 = actual.iter().sum();
                prop_assert!((total - 1.0).abs() < 1e-12);
                let squares: f64 = expected.iter().map(|q| q * q).sum();
                prop_assert!((sampler.effective_sample_size() * squares - 1.0).abs() < 1e-6);
            }
            (Err(SamplerError::Weights(_)), None) => {}
            (actual, expected) => prop_assert!(false, "{:?} against {:?}", actual, expected),
        }
    }

    /// (c, e, v) and (-c, 1-reverse(e), reverse(v)) are one sampler, and so are all scalings of c and v.
    #[test]
    fn mirrored_and_scaled_specs_are_one_sampler(
        case in cases().prop_filter("a direction and a value", |c| nonzero(&c.spec)),
        scale in 0.1..=1.0f64,
    ) {
        let dataset = case.dataset();
        let mut mirrored = case.spec.clone();
        mirrored.coefficients.iter_mut().for_each(|c| *c *= -scale);
        mirrored.knots.iter_mut().for_each(|e| *e = 1.0 - *e);
        mirrored.values.reverse();
        mirrored.values.iter_mut().for_each(|v| *v *= scale);
        let build = |spec: &SwiftSpec| Sampler::build(&SamplerSpec::Swift(spec.clone()), &dataset);
        match (build(&case.spec), build(&mirrored)) {
            (Ok(one), Ok(other)) => {
                for (p, q) in one.probabilities().iter().zip(other.probabilities()) {
                    prop_assert!((p - q).abs() < 1e-8);
                }
                prop_assert_eq!(SamplerSpec::canonical(one.spec()).unwrap(), one.spec().clone());
            }
            (Err(one), Err(other)) => prop_assert_eq!(one, other),
            (one, other) => prop_assert!(false, "{:?} against {:?}", one, other),
        }
    }

    /// Out of sample, the function returns at every training example what the sampler gave it.
    #[test]
    fn the_function_agrees_with_the_sampler_on_its_own_examples(
        case in cases().prop_filter("a direction and a value", |c| nonzero(&c.spec)),
    ) {
        let Ok(sampler) = Sampler::build(&SamplerSpec::Swift(case.spec.clone()), &case.dataset()) else { return Ok(()) };
        let function = sampler.function().expect("a swift sampler has a function");
        let weights: Vec<f64> = (0..case.gradient.len())
            .map(|row| function.weight(&case.columns.iter().map(|column| column[row]).collect::<Vec<_>>()).unwrap())
            .collect();
        let sum: f64 = weights.iter().sum();
        for (weight, p) in weights.iter().zip(sampler.probabilities()) {
            prop_assert!((weight / sum - p).abs() < 1e-8);
        }
        prop_assert_eq!(function.weight(&[]), Err(SamplerError::FeatureCount { given: 0, expected: case.columns.len() }));
    }

    /// Equal features get equal probabilities, whatever the gradient norms.
    #[test]
    fn ties_are_drawn_alike(case in cases().prop_filter("a direction and a value", |c| nonzero(&c.spec))) {
        let Ok(sampler) = Sampler::build(&SamplerSpec::Swift(case.spec.clone()), &case.dataset()) else { return Ok(()) };
        let p = sampler.probabilities();
        let tuple = |row: usize| case.columns.iter().map(|column| column[row].to_bits()).collect::<Vec<_>>();
        let mut seen = std::collections::HashMap::new();
        for (row, p) in p.iter().enumerate() {
            prop_assert_eq!(*seen.entry(tuple(row)).or_insert(*p), *p);
        }
    }

    /// A.1: a function that is L-Lipschitz, read at knots at most δ apart with errors up to ε, is matched by H within
    /// L·δ + ε everywhere.
    #[test]
    fn h_is_within_the_papers_bound_of_any_lipschitz_function(
        knots in prop::collection::vec(0.0..=1.0f64, 1..12),
        (slope, frequency, phase) in (0.0..0.4f64, 1.0..6.0f64, 0.0..6.0f64),
        noise in prop::collection::vec(-0.05..0.05f64, 14),
        places in prop::collection::vec(0.0..=1.0f64, 50),
    ) {
        let target = |u: f64| 0.5 + slope / frequency * (frequency * u + phase).sin();
        let mut all = vec![0.0];
        all.extend(&knots);
        all.push(1.0);
        all.sort_by(f64::total_cmp);
        let values: Vec<f64> = all.iter().zip(&noise).map(|(e, noise)| (target(*e) + noise).clamp(0.0, 1.0)).collect();
        let epsilon = all.iter().zip(&values).map(|(e, v)| (v - target(*e)).abs()).fold(0.0, f64::max);
        let delta = all.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        let h = PiecewiseLinear::new(&knots, &values).unwrap();
        for u in places {
            prop_assert!((h.at(u) - target(u)).abs() <= slope * delta + epsilon + 1e-12);
        }
    }

    /// The tables are interpolated, so a small change of a raw feature changes the weight in proportion: at most the
    /// product of the tables' steepest slopes.
    #[test]
    fn the_function_is_lipschitz_in_each_feature(
        column in prop::collection::vec(-5.0..5.0f64, 3..60),
        values in prop::collection::vec(0.01..=1.0f64, 5),
        pairs in prop::collection::vec((-6.0..6.0f64, 1e-6..1e-2f64), 40),
    ) {
        let gradient = vec![1.0; column.len()];
        let spec = SwiftSpec {
            features: vec!["f0".into()],
            coefficients: vec![1.0],
            knots: vec![0.25, 0.5, 0.75],
            values,
            transform: Transform::Cdf,
        };
        let case = Case { columns: vec![column.clone()], gradient, spec };
        let sampler = Sampler::build(&SamplerSpec::Swift(case.spec.clone()), &case.dataset()).unwrap();
        let function = sampler.function().unwrap();
        let steepest = |xs: &[f64], ys: &[f64]| {
            xs.windows(2).zip(ys.windows(2)).map(|(x, y)| ((y[1] - y[0]) / (x[1] - x[0])).abs()).fold(0.0, f64::max)
        };
        let cdf = EmpiricalCdf::from_column(&column);
        // One feature, every example alike: T goes through (F, mid-rank), whose slope is that of the mid-ranks.
        let places: Vec<f64> = cdf.values().iter().map(|x| function.place(&[*x]).unwrap()).collect();
        let bound = steepest(cdf.values(), cdf.shares())
            * steepest(cdf.shares(), &places)
            * steepest(function.step().knots(), function.step().values());
        for (x, distance) in pairs {
            let change = function.weight(&[x + distance]).unwrap() - function.weight(&[x]).unwrap();
            prop_assert!(change.abs() <= bound * distance * 1.0001 + 1e-9, "{} over {}", change, distance);
        }
    }

    #[test]
    fn quantised_cells_stay_close_to_exact_ones(seed in 0u64..50) {
        let rows = 4000u32;
        let uniform = |row: u32, axis: u32| {
            f64::from(swift_sampler::philox4x32_10([row, axis, 0, 0], [u32::try_from(seed).unwrap(), 1])[0]) / 4294967296.0
        };
        let loss: Vec<f64> = (0..rows).map(|row| uniform(row, 0)).collect();
        let entropy: Vec<f64> = (0..rows).map(|row| 0.5 * uniform(row, 1) + 0.5 * uniform(row, 0)).collect();
        let table = FeatureTable::new(vec![("loss".into(), loss), ("entropy".into(), entropy)]).unwrap();
        let features = ["loss".to_owned(), "entropy".to_owned()];
        let exact = Cells::build(&table, &features, None, Resolution::Exact).unwrap();
        let coarse = Cells::build(&table, &features, None, Resolution::Bits(8)).unwrap();
        prop_assert!(coarse.len() <= exact.len());
        let spec = SamplerSpec::Swift(SwiftSpec {
            features: features.to_vec(),
            coefficients: vec![0.8, -0.6],
            knots: vec![0.2, 0.5, 0.8],
            values: vec![0.1, 1.0, 0.6, 0.3, 0.0],
            transform: Transform::Cdf,
        });
        let p = |cells| {
            let dataset = Dataset::from_stored(table.clone(), None, cells).unwrap();
            Sampler::build(&spec, &dataset).unwrap().probabilities()
        };
        let variation: f64 = p(exact).iter().zip(p(coarse)).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0;
        prop_assert!(variation < 5e-3, "total variation {}", variation);
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_with_the_reason() {
    let case = Case {
        columns: vec![vec![1.0, 2.0, 3.0]],
        gradient: vec![1.0; 3],
        spec: SwiftSpec {
            features: vec!["f0".into()],
            coefficients: vec![1.0],
            knots: vec![0.5],
            values: vec![0.0, 0.0, 0.0],
            transform: Transform::Cgf,
        },
    };
    let dataset = case.dataset();
    let refuse = |change: &dyn Fn(&mut SwiftSpec)| {
        let mut spec = case.spec.clone();
        spec.values = vec![1.0, 1.0, 1.0];
        change(&mut spec);
        Sampler::build(&SamplerSpec::Swift(spec), &dataset).unwrap_err().to_string()
    };
    assert!(refuse(&|s| s.values = vec![0.0; 3]).contains("\"values\" is all zeros"));
    assert!(refuse(&|s| s.coefficients = vec![0.0]).contains("\"coefficients\" is all zeros"));
    assert!(refuse(&|s| s.coefficients = vec![0.5, 0.5]).contains("2 numbers for 1 features"));
    assert!(refuse(&|s| s.values = vec![1.0; 4]).contains("S-1 inner knots"));
    assert!(refuse(&|s| s.knots = vec![1.5]).contains("\"knots\"[0] is 1.5"));
    assert!(refuse(&|s| s.values[2] = f64::NAN).contains("\"values\"[2] is NaN"));
    assert!(refuse(&|s| s.coefficients[0] = f64::INFINITY).contains("must be in [-1, 1]"));
    assert!(refuse(&|s| s.features = vec!["gone".into()]).contains("the columns are f0, grad_norm"));
    // All of H's mass lies where no example is: T of three examples is 1/6, 1/2, 5/6.
    assert!(
        refuse(&|s| {
            s.knots = vec![0.9, 0.95];
            s.values = vec![0.0, 0.0, 1.0, 1.0];
        })
        .contains("every weight is zero")
    );
}

#[test]
fn a_table_names_the_row_that_is_wrong() {
    let column = |values: &[f64]| ("loss".to_owned(), values.to_vec());
    let error = FeatureTable::new(vec![column(&[1.0, f64::NAN])]).unwrap_err();
    assert_eq!(error.to_string(), "column \"loss\", row 1 (counted from 0) is NaN: every value must be finite");
    assert!(FeatureTable::new(vec![]).is_err());
    assert!(FeatureTable::new(vec![column(&[1.0]), column(&[1.0])]).unwrap_err().to_string().contains("twice"));
    let unequal = FeatureTable::new(vec![column(&[1.0]), ("w".into(), vec![1.0, 2.0])]).unwrap_err();
    assert_eq!(unequal.to_string(), "column \"w\" has 2 rows, but \"loss\" has 1");
}
