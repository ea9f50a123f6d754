//! The surrogate agrees with scikit-learn's GaussianProcessRegressor (`golden/gp.py` wrote the values).

use serde::Deserialize;
use swift_sampler_searcher::gp::{GaussianProcess, Hyperparameters, Kernel, evidence};

#[derive(Deserialize)]
struct Case {
    name: String,
    kernel: Kernel,
    points: Vec<Vec<f64>>,
    objectives: Vec<f64>,
    length_scales: Vec<f64>,
    noise: f64,
    log_marginal_likelihood: f64,
    gradient: Vec<f64>,
    queries: Vec<Vec<f64>>,
    mean: Vec<f64>,
    sd: Vec<f64>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("golden/gp.json")).expect("the committed fixture is JSON")
}

fn hyperparameters(case: &Case) -> Hyperparameters {
    Hyperparameters { kernel: case.kernel, length_scales: case.length_scales.clone(), noise: case.noise, mean: 0.0 }
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * (1.0 + expected.abs())
}

#[test]
fn posterior_mean_and_sd_are_scikit_learns() {
    for case in cases() {
        let gp = GaussianProcess::with_hyperparameters(&case.points, &case.objectives, hyperparameters(&case)).unwrap();
        for (i, query) in case.queries.iter().enumerate() {
            let posterior = gp.posterior(query);
            assert!(close(posterior.mean, case.mean[i], 1e-8), "{}: {posterior:?} {}", case.name, case.mean[i]);
            assert!(close(posterior.sd, case.sd[i], 1e-7), "{}: {posterior:?} {}", case.name, case.sd[i]);
        }
    }
}

#[test]
fn log_marginal_likelihood_and_gradient_are_scikit_learns() {
    for case in cases() {
        let count = case.objectives.len() as f64;
        let mean = case.objectives.iter().sum::<f64>() / count;
        let sd = (case.objectives.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
        let standardised: Vec<f64> = case.objectives.iter().map(|y| (y - mean) / sd).collect();
        let found = evidence(&case.points, &standardised, &hyperparameters(&case)).unwrap();
        assert!(close(found.log_marginal_likelihood, case.log_marginal_likelihood, 1e-7), "{}", case.name);
        for (found, expected) in found.gradient.iter().zip(&case.gradient) {
            assert!(close(*found, *expected, 1e-5), "{}: {found} {expected}", case.name);
        }
    }
}
