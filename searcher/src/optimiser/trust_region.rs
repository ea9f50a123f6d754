//! A box around the best point, as wide as success allows (after TuRBO, Eriksson et al. 2019).

use super::maximise::Box;

/// Side at first, in units of the cube's.
const SIDE_START: f64 = 0.8;
const SIDE_MAX: f64 = 1.6;
/// A region that has shrunk below this begins anew: what was to be had there is found.
const SIDE_MIN: f64 = 0.05;
/// New bests in a row after which the box grows.
const SUCCESSES: usize = 2;
const GROWTH: f64 = 1.5;
/// Evaluations in a row without a new best after which it shrinks.
const FAILURES: usize = 6;
const SHRINKAGE: f64 = 0.6;

/// How wide the box is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TrustRegion {
    side: f64,
}

impl TrustRegion {
    /// The region after these values, in order of evaluation, of which the first are the initial design.
    pub(super) fn after(values: &[f64], initial: usize) -> Self {
        let (design, searched) = values.split_at(initial.min(values.len()));
        let mut best = design.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut side, mut successes, mut failures) = (SIDE_START, 0, 0);
        for &value in searched {
            if value > best {
                (best, successes, failures) = (value, successes + 1, 0);
            } else {
                (successes, failures) = (0, failures + 1);
            }
            if successes == SUCCESSES {
                (side, successes) = (SIDE_MAX.min(side * GROWTH), 0);
            }
            if failures == FAILURES {
                (side, failures) = (side * SHRINKAGE, 0);
                if side < SIDE_MIN {
                    side = SIDE_START;
                }
            }
        }
        Self { side }
    }

    pub(super) fn around(self, centre: &[f64]) -> Box {
        let half = self.side / 2.0;
        Box {
            lower: centre.iter().map(|x| (x - half).max(0.0)).collect(),
            upper: centre.iter().map(|x| (x + half).min(1.0)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_grows_with_success_shrinks_with_failure_and_begins_anew() {
        let side = |searched: &[f64]| TrustRegion::after(&[&[0.0, 0.5], searched].concat(), 2).side;
        assert!((side(&[]) - SIDE_START).abs() < 1e-12);
        assert!((side(&[0.6, 0.7]) - SIDE_START * GROWTH).abs() < 1e-12);
        assert!((side(&[0.1; FAILURES]) - SIDE_START * SHRINKAGE).abs() < 1e-12);
        let (mut sides, mut values) = (vec![], vec![]);
        for _ in 0..10 * FAILURES {
            values.push(0.1);
            sides.push(side(&values));
        }
        assert!(sides.iter().all(|side| *side >= SIDE_MIN) && sides[5 * FAILURES..].contains(&SIDE_START));
    }

    #[test]
    fn the_box_stays_in_the_cube() {
        let region = TrustRegion { side: 0.4 }.around(&[0.1, 0.5, 1.0]);
        let expected = [(0.0, 0.3), (0.3, 0.7), (0.8, 1.0)];
        for (j, (lower, upper)) in expected.into_iter().enumerate() {
            assert!((region.lower[j] - lower).abs() < 1e-12 && (region.upper[j] - upper).abs() < 1e-12);
        }
    }
}
