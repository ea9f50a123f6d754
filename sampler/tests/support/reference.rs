//! An exact O(n log n) sampler written straight from the formulas, example by example, and shared by the tests that
//! compare the engine with it. It knows nothing of cells, grids or alias tables.
#![allow(dead_code, reason = "each test binary uses its part")]

use swift_sampler::{SwiftSpec, Transform};

/// p of every example, eq. (5-10), or `None` where every weight is zero.
pub(crate) fn probabilities(columns: &[Vec<f64>], gradient: &[f64], spec: &SwiftSpec) -> Option<Vec<f64>> {
    let rows = gradient.len();
    let quantiles: Vec<Vec<f64>> = columns.iter().map(|column| cdf(column)).collect();
    let norm = spec.coefficients.iter().map(|c| c * c).sum::<f64>().sqrt();
    let combined: Vec<f64> =
        (0..rows).map(|x| spec.coefficients.iter().zip(&quantiles).map(|(c, f)| c / norm * f[x]).sum()).collect();
    let mean = gradient.iter().sum::<f64>() / rows as f64;
    let mass: Vec<f64> = match spec.transform {
        Transform::Cdf => vec![1.0; rows],
        Transform::Cgf if mean > 0.0 => gradient.iter().map(|g| g.max(1e-12 * mean)).collect(),
        Transform::Cgf => vec![1.0; rows],
    };
    let weights: Vec<f64> = mid_ranks(&combined, &mass).into_iter().map(|u| step(spec, u)).collect();
    let sum: f64 = weights.iter().sum();
    (sum > 0.0).then(|| weights.iter().map(|w| w / sum).collect())
}

/// Eq. (7): the share of examples whose value is at most that of x.
pub(crate) fn cdf(column: &[f64]) -> Vec<f64> {
    let mut sorted = column.to_vec();
    sorted.sort_by(f64::total_cmp);
    column.iter().map(|x| sorted.partition_point(|y| y <= x) as f64 / column.len() as f64).collect()
}

/// Eq. (10) with mid-ranks; values closer than rounding error tie.
fn mid_ranks(combined: &[f64], mass: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..combined.len()).collect();
    order.sort_by(|&a, &b| combined[a].total_cmp(&combined[b]));
    let total: f64 = mass.iter().sum();
    let mut rank = vec![0.0; combined.len()];
    let mut below = 0.0;
    for tied in order.chunk_by(|&a, &b| (combined[a] - combined[b]).abs() < 1.4e-12) {
        let own: f64 = tied.iter().map(|&x| mass[x]).sum();
        tied.iter().for_each(|&x| rank[x] = (below + own / 2.0) / total);
        below += own;
    }
    rank
}

/// Eq. (8, 9).
fn step(spec: &SwiftSpec, u: f64) -> f64 {
    let mut knots = vec![0.0];
    let mut inner = spec.knots.clone();
    inner.sort_by(f64::total_cmp);
    knots.extend(inner);
    knots.push(1.0);
    let (left, right): (Vec<f64>, Vec<f64>) = knots
        .windows(2)
        .zip(spec.values.windows(2))
        .filter(|(e, _)| e[0] <= u && u <= e[1] && e[0] < e[1])
        .map(|(e, v)| v[0] + (v[1] - v[0]) * (u - e[0]) / (e[1] - e[0]))
        .map(|h| (h, h))
        .unzip();
    // At a knot both neighbours answer; where they differ the function jumps and takes the middle.
    let h = (left[0] + right[right.len() - 1]) / 2.0;
    // What rounding leaves of a zero at a knot is none.
    if h < 1e-15 { 0.0 } else { h }
}
