//! Columns as the parsers of formats tell and hand them over.

use std::ops::ControlFlow;

/// Values handed over at once.
pub(crate) const BLOCK_ROWS: usize = 1 << 16;

/// What a file says of one of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) kind: Kind,
}

/// The content of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Numbers, or booleans as 0 and 1. Integers beyond 2^53 are rounded.
    Numbers {
        /// How many.
        rows: usize,
    },
    /// Something else, named for people.
    Other(String),
}

impl Column {
    pub(crate) fn numbers(name: impl Into<String>, rows: usize) -> Self {
        Self { name: name.into(), kind: Kind::Numbers { rows } }
    }

    pub(crate) fn other(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { name: name.into(), kind: Kind::Other(kind.into()) }
    }
}

/// Some values of a column, one row after another.
pub(crate) struct Block<'a> {
    /// The column's position among those of its file.
    pub(crate) column: usize,
    /// Row of the first value within the file.
    pub(crate) row: usize,
    /// The values.
    pub(crate) values: &'a [f64],
}

/// Takes values; breaks where no more of the same part are wanted.
pub(crate) type Emit<'a> = dyn FnMut(Block<'_>) -> ControlFlow<()> + 'a;

/// Collects the values of one column into blocks.
pub(crate) struct Blocks<'a, 'b> {
    column: usize,
    /// Row of the first value that is held.
    row: usize,
    values: Vec<f64>,
    emit: &'a mut Emit<'b>,
}

impl<'a, 'b> Blocks<'a, 'b> {
    pub(crate) fn new(column: usize, row: usize, emit: &'a mut Emit<'b>) -> Self {
        Self { column, row, values: Vec::with_capacity(BLOCK_ROWS), emit }
    }

    /// Returns the row that the next value is of.
    pub(crate) fn next_row(&self) -> usize {
        self.row + self.values.len()
    }

    pub(crate) fn extend(&mut self, values: impl Iterator<Item = f64>) -> ControlFlow<()> {
        for value in values {
            self.push(value)?;
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn push(&mut self, value: f64) -> ControlFlow<()> {
        self.values.push(value);
        if self.values.len() == BLOCK_ROWS { self.flush() } else { ControlFlow::Continue(()) }
    }

    /// Hands over the last values.
    pub(crate) fn finish(&mut self) {
        match self.flush() {
            // Nothing follows, wanted or not.
            ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
        }
    }

    /// Hands over the values that are held.
    fn flush(&mut self) -> ControlFlow<()> {
        let flow = (self.emit)(Block { column: self.column, row: self.row, values: &self.values });
        self.row += self.values.len();
        self.values.clear();
        flow
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
