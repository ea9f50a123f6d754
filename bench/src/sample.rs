//! One measured value, as the table of results reads it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};

/// Ours, in the table.
pub(crate) const SWIFT: &str = "swift";

/// One measured value.
#[derive(Debug, Serialize)]
pub struct Sample<'a> {
    /// Key of the row in `bench/rows.py`.
    pub row: &'a str,
    /// Who was measured: `swift`, or a peer's name.
    pub who: &'a str,
    /// The value, in the row's unit.
    pub value: f64,
    /// What else is worth keeping.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// Where samples go: JSON lines.
#[derive(Debug)]
pub struct Sink<W>(W);

impl<W: Write> Sink<W> {
    /// Takes where lines are written.
    pub fn new(writer: W) -> Self {
        Self(writer)
    }

    /// Writes one line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&mut self, row: &str, who: &str, value: f64, details: &[(&str, Value)]) -> io::Result<()> {
        let details = details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        serde_json::to_writer(&mut self.0, &Sample { row, who, value, details })?;
        self.0.write_all(b"\n")?;
        self.0.flush()
    }
}
