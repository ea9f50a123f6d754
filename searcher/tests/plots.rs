//! The pictures show what was measured, and are well-formed SVG.

use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec};
use swift_sampler_searcher::plot::{HeatMap, History, HistoryPoint, PlotError, PointKind, SamplerCurve};
use swift_sampler_searcher::randomness::Randomness;
use swift_sampler_searcher::target::Metric;

/// 40% of the labels are wrong, and have high losses.
fn dataset() -> (Dataset, Vec<bool>) {
    let mut randomness = Randomness::new(1);
    let noisy: Vec<bool> = (0..5000).map(|_| randomness.uniform() < 0.4).collect();
    let loss: Vec<f64> =
        noisy.iter().map(|n| (randomness.normal() * 0.8 + if *n { 1.0 } else { -1.5 }).exp()).collect();
    let entropy: Vec<f64> = loss.iter().map(|l| 1.5 - 0.1 * l + 0.3 * randomness.normal()).collect();
    let gradient: Vec<f64> = loss.iter().map(|l| 1.0 - (-l).exp()).collect();
    let columns = vec![("loss".to_owned(), loss), ("entropy".to_owned(), entropy), ("grad_norm".to_owned(), gradient)];
    let features = vec!["loss".to_owned(), "entropy".to_owned()];
    let table = FeatureTable::new(columns).expect("finite columns");
    (Dataset::new(table, features, Some("grad_norm".to_owned())).expect("a dataset"), noisy)
}

fn curve(spec: &str) -> SamplerCurve {
    let (dataset, noisy) = dataset();
    let spec: SamplerSpec = serde_json::from_str(spec).expect("a spec");
    let sampler = Sampler::build(&spec, &dataset).expect("a sampler");
    let features = dataset.features().to_vec();
    SamplerCurve::measure("Sampler of trial 12".to_owned(), &sampler, &dataset, &features, Some(&noisy))
        .expect("known features")
}

fn keep(name: &str, svg: &str) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(folder.join(name), svg).expect("the target folder can be written");
}

#[test]
fn the_sampler_curve_is_relative_to_uniform_and_covers_every_example() {
    let curve = curve(
        r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.98,-0.2],"knots":[0.2,0.35,0.6],"values":[0.6,1,0.9,0.05,0]}"#,
    );
    assert!((curve.examples.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let noisy: f64 = curve.noisy.as_ref().expect("known labels").iter().sum();
    assert!((noisy - 0.4).abs() < 0.03, "{noisy}");
    for feature in &curve.features {
        let mean = feature.relative.iter().sum::<f64>() / feature.relative.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{}: {mean}", feature.name);
    }
    let svg = curve.svg().expect("a picture");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("percentile of entropy"));
    keep("sampler_curve.svg", &svg);
}

#[test]
fn the_uniform_sampler_is_flat() {
    let curve = curve(r#"{"kind":"uniform"}"#);
    assert!(curve.features.iter().all(|feature| feature.relative.iter().all(|y| (y - 1.0).abs() < 1e-6)));
    assert!(curve.svg().is_ok());
}

#[test]
fn the_heat_map_holds_every_example_and_shows_where_wrong_labels_lie() {
    let (dataset, noisy) = dataset();
    let spec = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[1,0],"knots":[0.2,0.35,0.6],"values":[0.6,1,0.9,0.05,0]}"#;
    let sampler = Sampler::build(&serde_json::from_str(spec).expect("a spec"), &dataset).expect("a sampler");
    let map = |noisy| {
        HeatMap::measure("Trial 12".to_owned(), &sampler, &dataset, ["loss", "entropy"], noisy).expect("known features")
    };
    let known = map(Some((&noisy[..], Some(0.9))));
    let side = known.examples.len().isqrt();
    let weighted = |values: &[f64]| values.iter().zip(&known.examples).map(|(value, share)| value * share).sum::<f64>();
    assert!((known.examples.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!((weighted(&known.relative) - 1.0).abs() < 1e-6, "probabilities sum to one");
    let shares = known.noisy.as_ref().expect("known labels");
    assert!((weighted(shares) - noisy.iter().filter(|noisy| **noisy).count() as f64 / 5000.0).abs() < 1e-9);
    // Low loss is at the left.
    let column =
        |values: &[f64], x: usize| (0..side).map(|y| values[y * side + x] * known.examples[y * side + x]).sum::<f64>();
    assert!(column(shares, 0) < 0.1 * column(shares, side - 1));
    assert!(column(&known.relative, 0) > 10.0 * column(&known.relative, side - 1));
    let svg = known.svg().expect("a picture");
    assert!(
        svg.contains("share of wrong labels") && svg.contains("AUROC 0.900") && svg.contains("percentile of entropy")
    );
    keep("heat_map.svg", &svg);
    let unknown = map(None).svg().expect("a picture");
    assert!(unknown.contains("share of the examples") && !unknown.contains("AUROC"));
}

#[test]
fn the_history_shows_every_trial() {
    let mut randomness = Randomness::new(5);
    let points = (0..46)
        .map(|number| {
            let (kind, level) = match number {
                0..3 => (PointKind::Baseline, 0.79),
                3..10 => (PointKind::Initial, 0.76),
                17 => (PointKind::Infeasible, 0.0),
                10..40 => (PointKind::Search, 0.80 + 0.001 * number as f64),
                44.. => (PointKind::UniformAgain, 0.79),
                _ => (PointKind::Confirm, 0.83),
            };
            let objective = (kind != PointKind::Infeasible).then(|| level + 0.01 * randomness.normal());
            HistoryPoint { number, kind, objective }
        })
        .collect();
    let svg = History { title: "Study mlp".to_owned(), points, metric: Metric::Accuracy }.svg().expect("a picture");
    assert!(
        svg.contains("best so far")
            && svg.contains("fresh seed")
            && svg.contains("uniform, fresh")
            && svg.contains("infeasible")
    );
    keep("history.svg", &svg);
    assert!(matches!(
        History { title: String::new(), points: vec![], metric: Metric::Accuracy }.svg(),
        Err(PlotError::Empty(_))
    ));
}
