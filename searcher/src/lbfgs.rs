//! Limited-memory BFGS within a box, for functions of a few dozen variables with gradients.

use std::collections::VecDeque;

use crate::vectors::dot;

/// Curvature pairs kept.
const MEMORY: usize = 8;
/// Armijo's sufficient-decrease constant.
const DECREASE: f64 = 1e-4;
/// Halvings of a step before the run ends.
const BACKTRACKS_MAX: usize = 30;

/// When a run ends, and the box it stays in.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Lowest value of each variable.
    pub lower: Vec<f64>,
    /// Highest value of each variable.
    pub upper: Vec<f64>,
    /// Iterations at most.
    pub iterations_max: usize,
    /// The run ends when no component of the projected gradient is larger.
    pub gradient_tolerance: f64,
}

/// Where a run ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The best point found.
    pub point: Vec<f64>,
    /// Its value.
    pub value: f64,
}

/// Minimises `function`, which returns the value at a point and writes the gradient there, from `start`.
///
/// Steps follow the L-BFGS direction over the variables that are free to move and are projected into the box (a
/// projected search in the manner of Bertsekas 1982); a value that is not finite shortens the step. The result is never
/// worse than the start.
pub fn minimise(mut function: impl FnMut(&[f64], &mut [f64]) -> f64, start: &[f64], limits: &Limits) -> Minimum {
    let mut point: Vec<f64> = start.to_vec();
    project(&mut point, limits);
    let mut gradient = vec![0.0; point.len()];
    let mut value = function(&point, &mut gradient);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let mut trial = point.clone();
    let mut trial_gradient = gradient.clone();
    for _ in 0..limits.iterations_max {
        let free = free_variables(&point, &gradient, limits);
        let masked: Vec<f64> = gradient.iter().zip(&free).map(|(g, free)| if *free { *g } else { 0.0 }).collect();
        if !value.is_finite() || masked.iter().all(|g| g.abs() <= limits.gradient_tolerance) {
            break;
        }
        let mut direction = descent_direction(&masked, &free, &pairs);
        if dot(&direction, &masked) >= 0.0 {
            pairs.clear();
            direction = descent_direction(&masked, &free, &pairs);
        }
        // Without curvature the first step is of length one in the largest component at most.
        let largest = direction.iter().fold(0.0, |largest: f64, d| largest.max(d.abs()));
        let mut step = if pairs.is_empty() { (1.0 / largest).min(1.0) } else { 1.0 };
        let mut accepted = None;
        for _ in 0..BACKTRACKS_MAX {
            for i in 0..point.len() {
                trial[i] = point[i] + step * direction[i];
            }
            project(&mut trial, limits);
            let slope: f64 = (0..point.len()).map(|i| masked[i] * (trial[i] - point[i])).sum();
            let trial_value = function(&trial, &mut trial_gradient);
            if slope < 0.0 && trial_value <= value + DECREASE * slope {
                accepted = Some(trial_value);
                break;
            }
            step *= 0.5;
        }
        let Some(trial_value) = accepted else {
            if pairs.is_empty() {
                break;
            }
            // The curvature may be stale: once more along the gradient.
            pairs.clear();
            continue;
        };
        remember(&mut pairs, &point, &trial, &gradient, &trial_gradient);
        std::mem::swap(&mut point, &mut trial);
        std::mem::swap(&mut gradient, &mut trial_gradient);
        value = trial_value;
    }
    Minimum { point, value }
}

/// A step and the change of the gradient over it.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
}

fn remember(pairs: &mut VecDeque<Pair>, from: &[f64], to: &[f64], gradient_from: &[f64], gradient_to: &[f64]) {
    let step: Vec<f64> = to.iter().zip(from).map(|(a, b)| a - b).collect();
    let change: Vec<f64> = gradient_to.iter().zip(gradient_from).map(|(a, b)| a - b).collect();
    // Only pairs of positive curvature keep the approximation positive definite.
    if dot(&step, &change) > 1e-10 * dot(&change, &change) {
        if pairs.len() == MEMORY {
            pairs.pop_front();
        }
        pairs.push_back(Pair { step, change });
    }
}

/// A variable at a bound is held there while the gradient pushes it outwards.
fn free_variables(point: &[f64], gradient: &[f64], limits: &Limits) -> Vec<bool> {
    (0..point.len())
        .map(|i| {
            let held = (point[i] <= limits.lower[i] && gradient[i] > 0.0)
                || (point[i] >= limits.upper[i] && gradient[i] < 0.0);
            !held
        })
        .collect()
}

/// The two-loop recursion over the free variables.
fn descent_direction(gradient: &[f64], free: &[bool], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let inner = |a: &[f64], b: &[f64]| -> f64 { (0..a.len()).filter(|i| free[*i]).map(|i| a[i] * b[i]).sum() };
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    // Restricted to the free variables, a pair may have lost its positive curvature.
    let curved: Vec<(&Pair, f64)> = pairs
        .iter()
        .map(|pair| (pair, inner(&pair.step, &pair.change)))
        .filter(|(_, curvature)| *curvature > 0.0)
        .collect();
    let mut coefficients = Vec::with_capacity(curved.len());
    for (pair, curvature) in curved.iter().rev() {
        let coefficient = inner(&pair.step, &q) / curvature;
        for (i, entry) in q.iter_mut().enumerate() {
            *entry -= coefficient * pair.change[i];
        }
        coefficients.push(coefficient);
    }
    if let Some((pair, curvature)) = curved.last() {
        let scale = curvature / inner(&pair.change, &pair.change);
        q.iter_mut().for_each(|entry| *entry *= scale);
    }
    for ((pair, curvature), coefficient) in curved.iter().zip(coefficients.iter().rev()) {
        let correction = coefficient - inner(&pair.change, &q) / curvature;
        for (i, entry) in q.iter_mut().enumerate() {
            *entry += correction * pair.step[i];
        }
    }
    for (entry, free) in q.iter_mut().zip(free) {
        if !free {
            *entry = 0.0;
        }
    }
    q
}

fn project(point: &mut [f64], limits: &Limits) {
    for (i, x) in point.iter_mut().enumerate() {
        *x = x.clamp(limits.lower[i], limits.upper[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut value = 0.0;
        for i in 0..x.len() - 1 {
            let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
            value += a * a + 100.0 * b * b;
            gradient[i] += -2.0 * a - 400.0 * x[i] * b;
            gradient[i + 1] += 200.0 * b;
        }
        value
    }

    #[test]
    fn rosenbrocks_valley_is_followed_to_its_end() {
        let limits =
            Limits { lower: vec![-5.0; 6], upper: vec![5.0; 6], iterations_max: 500, gradient_tolerance: 1e-8 };
        let minimum = minimise(rosenbrock, &[-1.2, 1.0, -0.5, 0.8, 2.0, -1.0], &limits);
        assert!(minimum.value < 1e-8, "{minimum:?}");
    }

    #[test]
    fn a_minimum_outside_the_box_is_found_on_its_face() {
        let function = |x: &[f64], gradient: &mut [f64]| {
            gradient.copy_from_slice(&[2.0 * (x[0] - 3.0), 2.0 * (x[1] - 0.25)]);
            (x[0] - 3.0).powi(2) + (x[1] - 0.25).powi(2)
        };
        let limits = Limits { lower: vec![0.0; 2], upper: vec![1.0; 2], iterations_max: 50, gradient_tolerance: 1e-10 };
        let minimum = minimise(function, &[0.1, 0.9], &limits);
        assert!(minimum.point[0] >= 1.0);
        assert!((minimum.point[1] - 0.25).abs() < 1e-8);
    }
}
