//! A column as a parser hands it over.

/// One column of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) values: Values,
}

/// The content of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Numbers, or booleans as 0 and 1. Integers beyond 2^53 are rounded.
    Numbers(Vec<f64>),
    /// Something else, named for people.
    Other(String),
}

impl Column {
    pub(crate) fn numbers(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self { name: name.into(), values: Values::Numbers(values) }
    }

    pub(crate) fn other(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { name: name.into(), values: Values::Other(kind.into()) }
    }
}

/// Widens integers of 64 bits; those beyond 2^53 are rounded to the nearest number there is.
#[allow(clippy::cast_precision_loss, reason = "stated in the contract of imports")]
pub(crate) fn widen_i64(value: i64) -> f64 {
    value as f64
}

/// As [`widen_i64`], without sign.
#[allow(clippy::cast_precision_loss, reason = "stated in the contract of imports")]
pub(crate) fn widen_u64(value: u64) -> f64 {
    value as f64
}
