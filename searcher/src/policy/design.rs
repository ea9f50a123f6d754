//! The initial design: what is tried before the surrogate proposes.
//!
//! Points spread over the cube of parameters are no samplers spread over what samplers do: their curves rise and fall at
//! random and draw nearly uniformly. All seven of a study on Fashion-MNIST with wrong labels had effective sample sizes above
//! 95% of the examples and accuracies within a point of the uniform sampler's; the surrogate learned nothing from them, and
//! trial 24 was the first that left out the hard end. `shape` has what people try first.

use serde::{Deserialize, Serialize};
use swift_sampler::SwiftSpec;

use crate::space::Space;

/// What is tried before the surrogate proposes. The default is that of studies stored before there was a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// Points of a scrambled Sobol sequence over the cube of parameters.
    #[default]
    Sobol,
    /// Curves that leave out one end of the examples, as `shape` has them; Sobol points once there are no more.
    Shapes,
}

/// A curve over what it keeps, which is T up to a place; it is 0 beyond.
#[derive(Debug, Clone, Copy)]
enum Curve {
    /// 1 nearly up to the end.
    Flat,
    /// Falls evenly from 1.
    Falling,
    /// Begins at 0.3 and is 1 between.
    Hump,
}

impl Curve {
    /// Height at inner point `i` of `last`, from 0, which is the beginning, to `last`, where what is kept ends.
    fn height(self, i: usize, last: usize) -> f64 {
        match self {
            _ if i >= last => 0.0,
            Self::Falling => 1.0 - i as f64 / last as f64,
            Self::Hump if i == 0 => 0.3,
            Self::Flat | Self::Hump => 1.0,
        }
    }
}

/// A shape: its curve, how much of T it keeps, the coefficient of each feature beside the first's 1, and whether it keeps
/// the upper end.
type Shape = (Curve, f64, f64, bool);

/// The shapes, in the order in which they are tried. The first feature is taken to be large for hard examples, as a loss is.
const SHAPES: [Shape; 7] = [
    (Curve::Flat, 0.5, 0.0, false),
    (Curve::Hump, 0.5, 0.0, false),
    (Curve::Falling, 0.8, 0.0, false),
    (Curve::Flat, 0.45, -0.3, false),
    (Curve::Flat, 0.55, 0.3, false),
    (Curve::Hump, 0.8, 0.0, false),
    (Curve::Flat, 0.9, 0.0, true),
];

/// Returns the point of shape `index`; `None` beyond the last.
pub(super) fn shape(space: &Space, index: usize) -> Option<Vec<f64>> {
    let (curve, kept, others, upper) = *SHAPES.get(index)?;
    let mut coefficients = vec![others; space.features.len()];
    coefficients[0] = 1.0;
    let length = coefficients.iter().map(|c| c * c).sum::<f64>().sqrt();
    coefficients.iter_mut().for_each(|c| *c /= length);
    let inner = space.segments - 1;
    let mut knots: Vec<f64> = (1..=inner).map(|i| kept * i as f64 / inner as f64).collect();
    let mut values: Vec<f64> = (0..=space.segments).map(|i| curve.height(i, inner)).collect();
    if upper {
        knots = knots.into_iter().rev().map(|knot| 1.0 - knot).collect();
        values.reverse();
    }
    let (features, transform) = (space.features.clone(), space.transform);
    let spec = SwiftSpec { features, coefficients, knots, values, transform };
    Some(space.point(&spec).expect("a shape has the space's features, segments and transform"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use swift_sampler::{SamplerSpec, Transform};

    fn space(features: usize, segments: usize) -> Space {
        let features = (0..features).map(|i| format!("f{i}")).collect();
        Space { features, segments, transform: Transform::Cgf }
    }

    #[test]
    fn every_shape_is_a_sampler_worth_a_trial_in_every_space() {
        for (features, segments) in [(1, 2), (1, 4), (2, 2), (2, 3), (2, 4), (5, 8)] {
            let space = space(features, segments);
            for index in 0..SHAPES.len() {
                let point = shape(&space, index).unwrap();
                assert!(
                    space.sampler_worth_a_trial(&point).is_some(),
                    "{features} features, {segments} segments, shape {index}"
                );
            }
            assert_eq!(shape(&space, SHAPES.len()), None);
        }
    }

    #[test]
    fn a_hump_is_what_its_name_says() {
        let space = space(2, 4);
        let Ok(SamplerSpec::Swift(spec)) = space.sampler(&shape(&space, 1).unwrap()) else { panic!("a sampler") };
        assert_eq!(spec.values, [0.3, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(spec.coefficients, [1.0, 0.0]);
        let expected = [1.0 / 6.0, 1.0 / 3.0, 0.5];
        assert!(spec.knots.iter().zip(expected).all(|(knot, expected)| (knot - expected).abs() < 1e-12));
        let Ok(SamplerSpec::Swift(upper)) = space.sampler(&shape(&space, 6).unwrap()) else { panic!("a sampler") };
        assert_eq!(upper.values, [0.0, 0.0, 1.0, 1.0, 1.0], "the easiest tenth is left out");
    }
}
