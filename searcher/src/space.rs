//! The search space: samplers as points of a unit cube.

mod parameters;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use swift_sampler::{SamplerSpec, SpecError, SwiftSpec, Transform};

pub use parameters::Parameter;

/// Features at most; the Sobol sequence has 256 dimensions.
pub const FEATURES_MAX: usize = 16;
/// Segments at most.
pub const SEGMENTS_MAX: usize = 64;

/// Mean of H over its axis, relative to its largest value, below which a sampler is not tried.
pub const MEAN_OF_H_MIN: f64 = 0.01;

/// Why a search space cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// No features or too many.
    #[error("{0} features: a search space has 1 to {FEATURES_MAX}")]
    Features(usize),
    /// A feature twice.
    #[error("feature {0:?} is named twice")]
    RepeatedFeature(String),
    /// Too few or too many segments.
    #[error("{0} segments: a search space has 2 to {SEGMENTS_MAX}")]
    Segments(usize),
    /// A point of another dimension.
    #[error("the point has {found} coordinates, the space {expected}")]
    Dimension {
        /// Coordinates of the point.
        found: usize,
        /// Dimension of the space.
        expected: usize,
    },
    /// A sampler of another shape.
    #[error("the sampler has {features:?} and {segments} segments: not those of the space")]
    OtherShape {
        /// Its features.
        features: Vec<String>,
        /// Its segments.
        segments: usize,
    },
    /// A point that is not a sampler.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// All samplers of some features and a number of segments.
///
/// A point x of `[0,1]^d`, d = N + (S-1) + (S+1), holds N coefficients c_j = 2x - 1, then S-1 inner knots e, then S+1
/// values v.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// The N features.
    pub features: Vec<String>,
    /// S.
    pub segments: usize,
    /// T.
    #[serde(default)]
    pub transform: Transform,
}

impl Space {
    /// Checks the space once, so that its points can be sampled without failing for that reason.
    ///
    /// # Errors
    /// [`SpaceError`] naming what is out of range.
    pub fn validate(&self) -> Result<(), SpaceError> {
        if self.features.is_empty() || self.features.len() > FEATURES_MAX {
            return Err(SpaceError::Features(self.features.len()));
        }
        if let Some((_, name)) = self.features.iter().enumerate().find(|(i, name)| self.features[..*i].contains(name)) {
            return Err(SpaceError::RepeatedFeature(name.clone()));
        }
        if !(2..=SEGMENTS_MAX).contains(&self.segments) {
            return Err(SpaceError::Segments(self.segments));
        }
        Ok(())
    }

    /// Returns the cube the points live in.
    #[must_use]
    pub fn cube(&self) -> Cube {
        Cube { dimension: self.features.len() + 2 * self.segments, ascending: self.knots() }
    }

    /// Returns the canonical sampler at a point.
    ///
    /// # Errors
    /// [`SpaceError`] when the point has another dimension, or all its coefficients or all its values are zero.
    pub fn sampler(&self, point: &[f64]) -> Result<SamplerSpec, SpaceError> {
        let expected = self.cube().dimension;
        if point.len() != expected {
            return Err(SpaceError::Dimension { found: point.len(), expected });
        }
        let spec = SamplerSpec::Swift(SwiftSpec {
            features: self.features.clone(),
            coefficients: point[..self.features.len()].iter().map(|x| 2.0 * x - 1.0).collect(),
            knots: point[self.knots()].to_vec(),
            values: point[self.knots().end..].to_vec(),
            transform: self.transform,
        });
        Ok(spec.canonical()?)
    }

    /// Returns the canonical sampler at a point if it is worth a trial: not all zero, and not zero nearly everywhere.
    ///
    /// A sampler whose H is zero but for a sliver of the axis draws the same few examples again and again, or finds none
    /// at all there. The mean of H must be at least [`MEAN_OF_H_MIN`] of its largest value.
    #[must_use]
    pub fn sampler_worth_a_trial(&self, point: &[f64]) -> Option<SamplerSpec> {
        let sampler = self.sampler(point).ok()?;
        let SamplerSpec::Swift(spec) = &sampler else { return None };
        let (mut mean, mut start) = (0.0, 0.0);
        for (end, values) in spec.knots.iter().chain([&1.0]).zip(spec.values.windows(2)) {
            mean += 0.5 * (end - start) * (values[0] + values[1]);
            start = *end;
        }
        // Canonical values have 1 as their largest.
        (mean >= MEAN_OF_H_MIN).then_some(sampler)
    }

    /// Returns the point of a sampler, the inverse of [`Self::sampler`] for canonical samplers.
    ///
    /// # Errors
    /// [`SpaceError`] when the sampler has other features, another transform or another number of segments.
    pub fn point(&self, spec: &SwiftSpec) -> Result<Vec<f64>, SpaceError> {
        if spec.features != self.features || spec.segments() != self.segments || spec.transform != self.transform {
            return Err(SpaceError::OtherShape { features: spec.features.clone(), segments: spec.segments() });
        }
        let mut point: Vec<f64> = spec.coefficients.iter().map(|c| (c + 1.0) / 2.0).collect();
        point.extend(&spec.knots);
        point.extend(&spec.values);
        self.cube().canonicalise(&mut point);
        Ok(point)
    }

    /// Returns a point that is the uniform sampler: equal values, evenly spaced knots, c = 0.
    #[must_use]
    pub fn uniform_point(&self) -> Vec<f64> {
        let mut point = vec![0.5; self.cube().dimension];
        for (position, index) in self.knots().enumerate() {
            point[index] = (position + 1) as f64 / self.segments as f64;
        }
        point
    }

    fn knots(&self) -> Range<usize> {
        self.features.len()..self.features.len() + self.segments - 1
    }
}

/// A unit cube in which some neighbouring coordinates are interchangeable and kept ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cube {
    /// d.
    pub dimension: usize,
    /// The interchangeable coordinates; may be empty.
    pub ascending: Range<usize>,
}

impl Cube {
    /// Sorts the interchangeable coordinates.
    pub fn canonicalise(&self, point: &mut [f64]) {
        point[self.ascending.clone()].sort_unstable_by(f64::total_cmp);
    }

    /// Returns point `index` of the Owen-scrambled Sobol sequence of `seed`, canonical.
    ///
    /// # Panics
    /// When the cube has more than 256 dimensions or `index` is 2^16 or more.
    #[must_use]
    pub fn sobol(&self, index: u32, seed: u64) -> Vec<f64> {
        #[allow(clippy::cast_possible_truncation, reason = "the sequence takes 32 bits of seed; both halves go in")]
        let seed = (seed ^ (seed >> 32)) as u32;
        assert!(index < 1 << 16, "the sequence has 2^16 points");
        let mut point: Vec<f64> = (0..self.dimension)
            .map(|axis| {
                let axis = u32::try_from(axis).expect("the sequence has 256 dimensions");
                f64::from(sobol_burley::sample(index, axis, seed))
            })
            .collect();
        self.canonicalise(&mut point);
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space(features: usize, segments: usize) -> Space {
        let features = (0..features).map(|i| format!("f{i}")).collect();
        Space { features, segments, transform: Transform::Cgf }
    }

    fn shape_and_point() -> impl Strategy<Value = (usize, usize, Vec<f64>)> {
        (1..5usize, 2..7usize)
            .prop_flat_map(|(n, s)| (Just(n), Just(s), prop::collection::vec(0.01..1.0f64, n + 2 * s)))
    }

    proptest! {
        #[test]
        fn a_canonical_sampler_survives_the_way_through_the_cube((n, s, point) in shape_and_point()) {
            let space = space(n, s);
            let spec = space.sampler(&point).unwrap();
            let SamplerSpec::Swift(swift) = &spec else { panic!("not a swift sampler") };
            let SamplerSpec::Swift(again) = space.sampler(&space.point(swift).unwrap()).unwrap() else { panic!() };
            let pairs = swift.coefficients.iter().zip(&again.coefficients)
                .chain(swift.knots.iter().zip(&again.knots))
                .chain(swift.values.iter().zip(&again.values));
            for (a, b) in pairs {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn two_features_and_four_segments_have_ten_dimensions() {
        assert_eq!(space(2, 4).cube().dimension, 10);
        assert_eq!(space(2, 4).uniform_point(), [0.5, 0.5, 0.25, 0.5, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn knots_are_seen_sorted() {
        let point = space(2, 4).cube().sobol(5, 99);
        assert!(point[2] <= point[3] && point[3] <= point[4]);
        assert_ne!(point, space(2, 4).cube().sobol(5, 100));
    }

    #[test]
    fn a_sampler_that_is_zero_nearly_everywhere_is_not_worth_a_trial() {
        let point = |knots: [f64; 3], values: [f64; 5]| {
            let mut point = vec![0.9, 0.1];
            point.extend(knots);
            point.extend(values);
            point
        };
        let space = space(2, 4);
        assert!(space.sampler_worth_a_trial(&point([0.2, 0.4, 0.6], [0.0, 0.0, 1.0, 0.0, 0.0])).is_some());
        assert_eq!(space.sampler_worth_a_trial(&point([0.6, 0.6, 0.6], [0.0, 0.0, 1.0, 0.0, 0.0])), None);
        assert_eq!(space.sampler_worth_a_trial(&point([0.2, 0.4, 0.6], [0.0; 5])), None);
        assert!(space.sampler_worth_a_trial(&point([0.6, 0.6, 0.6], [0.1; 5])).is_some());
    }

    #[test]
    fn impossible_spaces_are_refused() {
        assert_eq!(space(0, 4).validate(), Err(SpaceError::Features(0)));
        assert_eq!(space(2, 1).validate(), Err(SpaceError::Segments(1)));
        assert!(matches!(space(1, 2).sampler(&[0.1; 4]), Err(SpaceError::Dimension { found: 4, expected: 5 })));
        assert!(matches!(space(1, 2).sampler(&[0.7, 0.5, 0.0, 0.0, 0.0]), Err(SpaceError::Spec(_))));
    }
}
