//! The search finds its way in ten dimensions of which six matter: the Hartmann function, maximum 3.322.

use swift_sampler_searcher::optimiser::{Method, Observation, Options, recommend, suggest};
use swift_sampler_searcher::space::Cube;

const EVALUATIONS: usize = 40;
const SEEDS: u64 = 10;

const WEIGHT: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
const STEEPNESS: [[f64; 6]; 4] = [
    [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
    [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
    [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
    [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
];
const CENTRE: [[f64; 6]; 4] = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
];

fn hartmann(x: &[f64]) -> f64 {
    (0..4)
        .map(|i| {
            let exponent: f64 = (0..6).map(|j| STEEPNESS[i][j] * (x[j] - CENTRE[i][j]).powi(2)).sum();
            WEIGHT[i] * (-exponent).exp()
        })
        .sum()
}

fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn forty_evaluations_come_far_beyond_random_search() {
    let cube = Cube { dimension: 10, ascending: 0..0 };
    let options = Options::for_budget(Method::CUBE, EVALUATIONS);
    let (mut searched, mut random) = (0.0, 0.0);
    for seed in 0..SEEDS {
        let index = |i: usize| u32::try_from(i).unwrap();
        random += best(&(0..EVALUATIONS).map(|i| hartmann(&cube.sobol(index(i), seed + 100))).collect::<Vec<_>>());
        let mut observations: Vec<Observation> = Vec::new();
        for number in 0..EVALUATIONS {
            let point = suggest(&options, &cube, &observations, &[], seed, number as u64).unwrap();
            let value = Some(hartmann(&point));
            observations.push(Observation { coordinates: point.clone(), point, value });
        }
        let index = recommend(&options, &observations, seed).unwrap();
        searched += observations[index].value.unwrap();
    }
    let (searched, random) = (searched / SEEDS as f64, random / SEEDS as f64);
    println!("mean at the recommended of {EVALUATIONS}: searched {searched:.3}, random {random:.3}");
    assert!(searched > 2.9 && searched > random + 0.9, "searched {searched}, random {random}");
}
