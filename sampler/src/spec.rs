//! What a sampler is, as plain data: the JSON people write and the registry keeps.

use serde::{Deserialize, Serialize};

/// Coefficients this close to unit length are left as they are, so that the canonical form of a canonical spec is
/// itself, to the last bit.
const UNIT_TOLERANCE: f64 = 1e-12;

/// A description of a sampler; [`crate::Sampler::build`] makes it drawable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SamplerSpec {
    /// Every example alike.
    Uniform {},
    /// Weights read from a stored column.
    Column {
        /// The column's name; its values are finite and not negative.
        column: String,
    },
    /// The paper's sampler: p ∝ H(T(Σ c_j f_j)), eq. (5-10).
    Swift(SwiftSpec),
}

/// The 10 parameters (for N = 2 features and S = 4 segments) of the paper's sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwiftSpec {
    /// The N columns f is computed from.
    pub features: Vec<String>,
    /// c: N numbers in [-1, 1], not all zero. Only their direction matters.
    pub coefficients: Vec<f64>,
    /// e: the S-1 inner knots in [0, 1]; their order does not matter.
    pub knots: Vec<f64>,
    /// v: the S+1 values of H in [0, 1], not all zero. Only their ratios matter.
    pub values: Vec<f64>,
    /// T.
    #[serde(default)]
    pub transform: Transform,
}

/// How the combined feature is spread over [0, 1] before H.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Cumulative gradient function, eq. (10): equal lengths hold equal gradient mass.
    #[default]
    Cgf,
    /// Cumulative distribution: equal lengths hold equally many examples.
    Cdf,
}

/// Why a spec is not one of a sampler.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// No features.
    #[error("\"features\" is empty: name at least one column")]
    NoFeatures,
    /// A feature twice.
    #[error("\"features\" names {0:?} twice")]
    RepeatedFeature(String),
    /// Not one coefficient a feature.
    #[error("\"coefficients\" has {coefficients} numbers for {features} features: give one each")]
    CoefficientCount {
        /// Coefficients given.
        coefficients: usize,
        /// Features named.
        features: usize,
    },
    /// Knots and values do not describe the same number of segments.
    #[error(
        "\"knots\" has {knots} and \"values\" {values} numbers: S segments have S-1 inner knots (at least one) and S+1 values"
    )]
    SegmentCount {
        /// Inner knots given.
        knots: usize,
        /// Values given.
        values: usize,
    },
    /// A number outside its range, or not a number.
    #[error("\"{field}\"[{index}] is {value}: it must be in [{low}, {high}]")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// Position in it.
        index: usize,
        /// The number.
        value: f64,
        /// Lowest allowed.
        low: f64,
        /// Highest allowed.
        high: f64,
    },
    /// All coefficients or all values are zero.
    #[error("\"{field}\" is all zeros: at least one number must not be")]
    AllZero {
        /// The field's name.
        field: &'static str,
    },
}

impl SamplerSpec {
    /// Returns the canonical form: equal samplers have equal canonical specs.
    ///
    /// # Errors
    /// [`SpecError`] naming the field that is wrong.
    pub fn canonical(&self) -> Result<Self, SpecError> {
        match self {
            Self::Uniform {} | Self::Column { .. } => Ok(self.clone()),
            Self::Swift(swift) => swift.canonical().map(Self::Swift),
        }
    }
}

impl SwiftSpec {
    /// Returns the number of segments S.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.knots.len() + 1
    }

    /// Returns the equivalent spec with ‖c‖ = 1, first non-zero c positive, knots sorted and largest value 1.
    ///
    /// The scales of c and v cancel in eq. (5), and (c, e, v) is the same sampler as (-c, 1-reverse(e), reverse(v)).
    ///
    /// # Errors
    /// [`SpecError`] naming the field that is wrong.
    pub fn canonical(&self) -> Result<Self, SpecError> {
        self.validate()?;
        let mut spec = self.clone();
        let norm_squared: f64 = spec.coefficients.iter().map(|c| c * c).sum();
        if (norm_squared - 1.0).abs() > UNIT_TOLERANCE {
            // Scaling by the largest first keeps tiny coefficients from underflowing when squared.
            let largest = spec.coefficients.iter().fold(0.0, |largest: f64, c| largest.max(c.abs()));
            spec.coefficients.iter_mut().for_each(|c| *c /= largest);
            let norm = spec.coefficients.iter().map(|c| c * c).sum::<f64>().sqrt();
            spec.coefficients.iter_mut().for_each(|c| *c /= norm);
        }
        if spec.coefficients.iter().find(|c| **c != 0.0).is_some_and(|c| *c < 0.0) {
            spec.coefficients.iter_mut().for_each(|c| *c = -*c);
            spec.knots.iter_mut().for_each(|e| *e = 1.0 - *e);
            spec.values.reverse();
        }
        // Adding zero turns -0 into 0, which prints and compares alike.
        spec.coefficients.iter_mut().for_each(|c| *c += 0.0);
        spec.knots.sort_unstable_by(f64::total_cmp);
        let largest = spec.values.iter().copied().fold(0.0, f64::max);
        spec.values.iter_mut().for_each(|v| *v /= largest);
        Ok(spec)
    }

    fn validate(&self) -> Result<(), SpecError> {
        if self.features.is_empty() {
            return Err(SpecError::NoFeatures);
        }
        if let Some(repeated) =
            self.features.iter().enumerate().find(|(position, name)| self.features[..*position].contains(name))
        {
            return Err(SpecError::RepeatedFeature(repeated.1.clone()));
        }
        if self.coefficients.len() != self.features.len() {
            return Err(SpecError::CoefficientCount {
                coefficients: self.coefficients.len(),
                features: self.features.len(),
            });
        }
        if let Some(index) = self.coefficients.iter().position(|c| !(-1.0..=1.0).contains(c)) {
            let value = self.coefficients[index];
            return Err(SpecError::OutOfRange { field: "coefficients", index, value, low: -1.0, high: 1.0 });
        }
        crate::PiecewiseLinear::new(&self.knots, &self.values)?;
        for (field, numbers) in [("coefficients", &self.coefficients), ("values", &self.values)] {
            if numbers.iter().all(|x| *x == 0.0) {
                return Err(SpecError::AllZero { field });
            }
        }
        Ok(())
    }
}
