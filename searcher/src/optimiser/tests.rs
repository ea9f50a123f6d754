use super::*;
use crate::randomness::Randomness;

fn objective(x: &[f64]) -> f64 {
    -(x[0] - 0.3).powi(2) - (x[2] - x[1] - 0.4).powi(2)
}

fn observed(domain: &dyn Domain, count: u64, noise: f64) -> Vec<Observation> {
    let mut randomness = Randomness::new(9);
    (0..count)
        .map(|index| {
            let point = initial(domain, index, 5);
            let value = Some(objective(&point) + noise * randomness.normal());
            Observation { coordinates: domain.place(&point).unwrap(), point, value }
        })
        .collect()
}

fn plain() -> Cube {
    Cube { dimension: 3, ascending: 0..0 }
}

/// A cube in which two coordinates are interchangeable, seen through a fold: no gradients.
#[derive(Debug)]
struct Folded;

impl Domain for Folded {
    fn cube(&self) -> Cube {
        Cube { dimension: 3, ascending: 1..3 }
    }

    fn place(&self, point: &[f64]) -> Option<Vec<f64>> {
        (point[0] + point[1] > 0.05).then(|| vec![point[0], point[2] - point[1]])
    }
}

fn methods() -> [Method; 5] {
    let region = Method { trust_region: true, ..Method::CUBE };
    let isotropic = Method { isotropic: true, kernel: Kernel::Matern32, ..Method::default() };
    [Method::default(), Method::SAMPLERS, Method::CUBE, region, isotropic]
}

#[test]
fn the_proposal_promises_more_than_thousands_of_other_points() {
    for domain in [&plain() as &dyn Domain, &Folded] {
        let observations = observed(domain, 20, 0.0);
        let options = Options::for_budget(Method::SAMPLERS, 40);
        let gp = Surrogate::learn(&options, &observations, seed_for(3, 20, "fit")).unwrap().unwrap().gp;
        let best = suggest(&options, domain, &observations, &[], 3, 20).unwrap();
        let bound = |point: &[f64]| {
            domain.place(point).map_or(f64::NEG_INFINITY, |x| gp.posterior(&x).mean + 1.8 * gp.posterior(&x).sd)
        };
        let cube = domain.cube();
        assert!(best.iter().all(|x| (0.0..=1.0).contains(x)), "{best:?}");
        assert!((0..4000).all(|index| bound(&cube.sobol(index, 77)) <= bound(&best) + 1e-3));
    }
}

#[test]
fn a_search_comes_close_to_the_optimum_by_every_method_with_and_without_gradients() {
    for domain in [&plain() as &dyn Domain, &Folded] {
        for method in methods() {
            let options = Options::for_budget(method, 30);
            let mut observations: Vec<Observation> = Vec::new();
            for number in 0..30 {
                let point = suggest(&options, domain, &observations, &[], 1, number).unwrap();
                let (coordinates, value) = (domain.place(&point).unwrap(), Some(objective(&point)));
                observations.push(Observation { point, coordinates, value });
            }
            let index = recommend(&options, &observations, 1).unwrap();
            let found = observations[index].value.unwrap();
            assert!(found > -2e-3, "{method:?}: {found}");
        }
    }
}

#[test]
fn whoever_asks_again_is_told_the_same_to_the_bit_with_and_without_pending() {
    for method in methods() {
        let options = Options::for_budget(method, 40);
        for count in [0, 3, 10, 24, 60] {
            let observations = observed(&Folded, count, 0.01);
            for pending in [vec![], vec![vec![0.2, 0.3], vec![0.9, 0.1]]] {
                let ask = || suggest(&options, &Folded, &observations, &pending, 4, count).unwrap();
                let bits = |point: Vec<f64>| point.into_iter().map(f64::to_bits).collect::<Vec<_>>();
                assert_eq!(bits(ask()), bits(ask()), "{method:?} after {count}");
            }
        }
    }
}

#[test]
fn a_pending_evaluation_sends_the_next_elsewhere_without_moving_the_mean() {
    let observations = observed(&plain(), 12, 0.0);
    let options = Options { exploration: Exploration::EXPLORE, ..Options::for_budget(Method::SAMPLERS, 40) };
    let first = suggest(&options, &plain(), &observations, &[], 3, 12).unwrap();
    let gp = Surrogate::learn(&options, &observations, 1).unwrap().unwrap().gp;
    let before = gp.posterior(&first);
    let after = gp.with_pending(std::slice::from_ref(&first)).unwrap().posterior(&first);
    assert!((before.mean - after.mean).abs() < 1e-9 && after.sd < 0.5 * before.sd, "{before:?} {after:?}");
    let second = suggest(&options, &plain(), &observations, std::slice::from_ref(&first), 3, 12).unwrap();
    assert!(first.iter().zip(&second).any(|(a, b)| (a - b).abs() > 0.02), "{first:?} {second:?}");
}

#[test]
fn the_recommended_point_is_not_merely_the_luckiest() {
    let mut observations = observed(&plain(), 30, 0.0);
    let far = Observation { point: vec![0.95, 0.9, 0.1], coordinates: vec![0.95, 0.9, 0.1], value: None };
    // Four times at a bad place, once with luck.
    for value in [-2.0, -1.9, -2.1, -0.01] {
        observations.push(Observation { value: Some(value), ..far.clone() });
    }
    let options = Options::for_budget(Method::default(), 40);
    assert!(recommend(&options, &observations, 0).unwrap() < 30);
}

#[test]
fn without_a_success_nothing_is_recommended() {
    let nothing = Observation { point: vec![0.5; 3], coordinates: vec![0.5; 3], value: None };
    assert!(recommend(&Options::for_budget(Method::default(), 40), &[nothing], 0).is_err());
}

#[test]
fn a_method_survives_json_and_an_empty_one_is_that_of_before() {
    for method in methods() {
        let json = serde_json::to_string(&method).unwrap();
        assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), method);
    }
    assert_eq!(serde_json::from_str::<Method>("{}").unwrap(), Method::default());
}
