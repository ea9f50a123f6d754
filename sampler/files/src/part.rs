//! The parts of a file that can be read at the same time.

use crate::ReadError;
use crate::column::{Column, Kind};

/// A part of a file: a column of a group of rows, or all columns of a file that is read row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its first row within the file.
    pub(crate) row: usize,
    /// Position of its column among those of the file; 0 for all columns.
    pub(crate) column: usize,
    /// Position of its group of rows.
    pub(crate) group: usize,
}

impl Part {
    /// A whole file.
    pub(crate) const WHOLE: Self = Self { row: 0, column: 0, group: 0 };

    /// The columns of numbers of a group of rows.
    pub(crate) fn columns(columns: &[Column], group: usize, row: usize) -> impl Iterator<Item = Self> {
        let numbers = columns.iter().enumerate().filter(|(_, column)| matches!(column.kind, Kind::Numbers { .. }));
        numbers.map(move |(column, _)| Self { row, column, group })
    }
}

/// What is wrong first in a part.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The row within the file, as near as it is known.
    pub(crate) row: usize,
    /// The column's position among those of the file.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) error: ReadError,
}
