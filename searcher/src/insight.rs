//! What a surrogate says of the parameters: which matter, and what each does to one sampler.

use crate::gp::Posterior;
use crate::plot::{Slice, SlicePoint};
use crate::randomness::seed_for;
use crate::space::Space;

/// Points of the cube that importance is measured over; halves of them make pairs.
const SAMPLES: u32 = 512;
/// Values of a parameter at which a slice is measured.
const SLICE_POINTS: u32 = 41;

/// Returns the total effect of each parameter on μ over the cube: T_j = E[(μ(x) - μ(x'))²] / 2 Var μ, where x' is x but for
/// coordinate j, which is another point's (Jansen's estimator of the total Sobol index). O(d · samples) posteriors.
///
/// It is the share of the variance that parameter j takes part in, alone or with others. Knots stay in order: the first
/// is replaced by another point's first, and so on, and then they are sorted. Points at which there is no sampler worth a
/// trial are left out.
#[must_use]
pub fn importance(space: &Space, posterior: &dyn Fn(&[f64]) -> Option<Posterior>) -> Vec<f64> {
    let cube = space.cube();
    let seed = seed_for(0, 0, "importance");
    let points: Vec<(Vec<f64>, f64)> = (0..2 * SAMPLES)
        .map(|index| cube.sobol(index, seed))
        .filter_map(|point| posterior(&point).map(|posterior| (point, posterior.mean)))
        .collect();
    let mean = points.iter().map(|(_, mu)| mu).sum::<f64>() / points.len().max(1) as f64;
    let variance = points.iter().map(|(_, mu)| (mu - mean).powi(2)).sum::<f64>() / points.len().max(1) as f64;
    let (ours, others) = points.split_at(points.len() / 2);
    (0..cube.dimension)
        .map(|axis| {
            let differences: Vec<f64> = ours
                .iter()
                .zip(others)
                .filter_map(|((point, mu), (other, _))| {
                    let mut moved = point.clone();
                    moved[axis] = other[axis];
                    cube.canonicalise(&mut moved);
                    posterior(&moved).map(|posterior| (posterior.mean - mu).powi(2))
                })
                .collect();
            let squares = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
            if variance > 0.0 { squares / (2.0 * variance) } else { 0.0 }
        })
        .collect()
}

/// Returns μ and σ along each parameter through `point`; `None` if the point itself is not worth a trial.
#[must_use]
pub fn slices(space: &Space, point: &[f64], posterior: &dyn Fn(&[f64]) -> Option<Posterior>) -> Option<Vec<Slice>> {
    let cube = space.cube();
    let here = posterior(point)?;
    let slice_point = |value, posterior: Posterior| SlicePoint { value, mean: posterior.mean, sd: posterior.sd };
    let slices = space.parameters().into_iter().enumerate().map(|(axis, parameter)| {
        let along = |step: u32| {
            let coordinate = f64::from(step) / f64::from(SLICE_POINTS - 1);
            let mut moved = point.to_vec();
            moved[axis] = coordinate;
            cube.canonicalise(&mut moved);
            posterior(&moved).map(|posterior| slice_point(parameter.value(coordinate), posterior))
        };
        let points = (0..SLICE_POINTS).filter_map(along).collect();
        let here = slice_point(parameter.value(point[axis]), here);
        Slice { points, here, parameter }
    });
    Some(slices.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use swift_sampler::Transform;

    fn space() -> Space {
        Space { features: vec!["loss".to_owned(), "entropy".to_owned()], segments: 4, transform: Transform::Cgf }
    }

    fn posterior(mean: f64) -> Option<Posterior> {
        Some(Posterior { mean, sd: 0.1 })
    }

    #[test]
    fn importance_is_the_total_sobol_index() {
        // 2 x_5 + x_6 + 3 (x_7 - ½)(x_8 - ½): variances 4/12, 1/12 and 9/144.
        let shares = importance(&space(), &|x| posterior(2.0 * x[5] + x[6] + 3.0 * (x[7] - 0.5) * (x[8] - 0.5)));
        let total = 4.0 / 12.0 + 1.0 / 12.0 + 9.0 / 144.0;
        for (axis, part) in [(5, 4.0 / 12.0), (6, 1.0 / 12.0), (7, 9.0 / 144.0), (8, 9.0 / 144.0)] {
            assert!((shares[axis] - part / total).abs() < 0.05, "{axis}: {} is not {}", shares[axis], part / total);
        }
        assert!([0, 1, 2, 3, 4, 9].iter().all(|&axis| shares[axis] < 1e-9), "{shares:?}");
    }

    #[test]
    fn a_surrogate_that_says_nothing_gives_no_importance() {
        assert_eq!(importance(&space(), &|_| posterior(0.8)), [0.0; 10]);
        assert_eq!(importance(&space(), &|_| None), [0.0; 10]);
    }

    #[test]
    fn slices_go_through_the_point_and_leave_out_what_is_no_sampler() {
        let point = space().cube().sobol(4, 1);
        let slices =
            slices(&space(), &point, &|x| (x[9] <= 0.5 || x == point).then(|| posterior(x[0]).unwrap())).unwrap();
        let here = slices[0].here;
        assert!((here.value - (2.0 * point[0] - 1.0)).abs() < 1e-12 && (here.mean - point[0]).abs() < 1e-12);
        let first: Vec<f64> = slices[0].points.iter().map(|point| point.mean).collect();
        assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "the mean follows its own coordinate");
        assert_eq!(slices[9].points.len(), 21, "0, 1/40, …, 20/40");
        assert_eq!(super::slices(&space(), &point, &|_| None), None);
    }
}
