//! A sampler's parameters by name, as people see them.

use swift_sampler::SamplerSpec;

use super::Space;

/// One parameter of the samplers of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// c1, c2, …, then the inner knots e1, e2, …, then the values v0, v1, ….
    pub name: String,
    /// What a coefficient weighs; empty for knots and values.
    pub feature: String,
    /// Its least value.
    pub low: f64,
    /// Its greatest value.
    pub high: f64,
}

impl Parameter {
    /// Returns the parameter's value at a coordinate of the unit cube.
    #[must_use]
    pub fn value(&self, coordinate: f64) -> f64 {
        self.low + coordinate * (self.high - self.low)
    }
}

impl Space {
    /// Returns the parameters in the order of a point's coordinates.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let named = |name: String, feature: &str, low| Parameter { name, feature: feature.to_owned(), low, high: 1.0 };
        let coefficients = (1..).zip(&self.features).map(|(j, feature)| named(format!("c{j}"), feature, -1.0));
        let knots = (1..self.segments).map(|k| named(format!("e{k}"), "", 0.0));
        let values = (0..=self.segments).map(|k| named(format!("v{k}"), "", 0.0));
        coefficients.chain(knots).chain(values).collect()
    }

    /// Returns a canonical sampler's parameters in the same order; `None` if it is not one of the space.
    ///
    /// The uniform sampler has c = 0, evenly spaced knots and all values 1.
    #[must_use]
    pub fn parameter_values(&self, sampler: &SamplerSpec) -> Option<Vec<f64>> {
        match sampler {
            SamplerSpec::Swift(spec) if spec.features == self.features && spec.segments() == self.segments => {
                Some([spec.coefficients.as_slice(), &spec.knots, &spec.values].concat())
            }
            SamplerSpec::Uniform {} => {
                let coefficients = self.features.iter().map(|_| 0.0);
                let knots = (1..self.segments).map(|k| k as f64 / self.segments as f64);
                Some(coefficients.chain(knots).chain((0..=self.segments).map(|_| 1.0)).collect())
            }
            SamplerSpec::Swift(_) | SamplerSpec::Column { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swift_sampler::Transform;

    fn space() -> Space {
        Space { features: vec!["loss".to_owned(), "entropy".to_owned()], segments: 4, transform: Transform::Cgf }
    }

    #[test]
    fn parameters_are_named_as_in_the_paper() {
        let names: Vec<String> = space().parameters().into_iter().map(|parameter| parameter.name).collect();
        assert_eq!(names.join(" "), "c1 c2 e1 e2 e3 v0 v1 v2 v3 v4");
        assert!((space().parameters()[0].value(0.25) + 0.5).abs() < 1e-12);
    }

    #[test]
    fn values_are_those_of_the_spec_in_range_and_other_samplers_have_none() {
        let point = space().cube().sobol(3, 7);
        let values = space().parameter_values(&space().sampler(&point).unwrap()).unwrap();
        assert!(values.iter().zip(space().parameters()).all(|(x, p)| (p.low..=p.high).contains(x)), "{values:?}");
        assert_eq!(
            space().parameter_values(&SamplerSpec::Uniform {}).unwrap(),
            [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
        );
        assert_eq!(space().parameter_values(&SamplerSpec::Column { column: "w".to_owned() }), None);
        let other = Space { segments: 3, ..space() };
        assert_eq!(other.parameter_values(&space().sampler(&point).unwrap()), None);
    }
}
