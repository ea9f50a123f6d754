//! Comma-separated values with a header line.
//!
//! Nothing but reading a file tells how many rows it has, so it is read twice: once to count and check its records, once for
//! its values.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::column::{BLOCK_ROWS, Block, Column, Emit, Kind};
use crate::limits::{COLUMNS_MAX, RECORD_BYTES_MAX, RECORDS_VALUES_MAX, quoted};
use crate::part::Fault;
use crate::{Missing, ReadError, SourceFile};

/// Reads what the columns are: the first row tells whether a column holds numbers or text.
pub(crate) fn describe(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ReadError> {
    let mut columns = Vec::new();
    let (names, rows) = records(file, |names, row, record| {
        file.check_rows(row + 1, rows_max).map_err(|error| Fault { row, column: 0, error })?;
        if row == 0 {
            columns = names.iter().zip(record).map(|(name, text)| column(name, text)).collect();
        }
        Ok(ControlFlow::Continue(()))
    })
    .map_err(|fault| fault.error)?;
    if rows == 0 {
        return Ok(names.iter().map(|name| Column::numbers(name, 0)).collect());
    }
    for column in &mut columns {
        if let Kind::Numbers { rows: counted } = &mut column.kind {
            *counted = rows;
        }
    }
    Ok(columns)
}

fn column(name: &str, text: &str) -> Column {
    // A value that is missing is refused when it is read, with those of later rows.
    if text.is_empty() || parse(text).is_some() {
        Column::numbers(name, 0)
    } else {
        Column::other(name, format!("of text, starting with {:?}", quoted(text)))
    }
}

/// Reads the values of all columns of numbers.
pub(crate) fn read(file: &SourceFile, columns: &[Column], missing: Missing, emit: &mut Emit<'_>) -> Result<(), Fault> {
    let mut values: Vec<Option<Vec<f64>>> =
        columns.iter().map(|column| matches!(column.kind, Kind::Numbers { .. }).then(Vec::new)).collect();
    let block_rows = (RECORDS_VALUES_MAX / columns.len().max(1)).clamp(1, BLOCK_ROWS);
    let mut first = 0;
    let read = records(file, |_names, row, record| {
        for (position, text) in record.iter().enumerate() {
            if let (Some(Some(values)), Some(column)) = (values.get_mut(position), columns.get(position)) {
                values.push(value(file, &column.name, text, row, missing).map_err(|error| Fault {
                    row,
                    column: position,
                    error,
                })?);
            }
        }
        if row + 1 - first < block_rows {
            return Ok(ControlFlow::Continue(()));
        }
        let flow = flush(&mut values, first, emit);
        first = row + 1;
        Ok(flow)
    });
    // Also before a fault: there may be another in an earlier row.
    match flush(&mut values, first, emit) {
        ControlFlow::Continue(()) | ControlFlow::Break(()) => read.map(|_counted| ()),
    }
}

/// Hands over what is held of each column.
fn flush(values: &mut [Option<Vec<f64>>], row: usize, emit: &mut Emit<'_>) -> ControlFlow<()> {
    for (column, values) in values.iter_mut().enumerate() {
        let Some(values) = values else { continue };
        let flow = emit(Block { column, row, values });
        values.clear();
        flow?;
    }
    ControlFlow::Continue(())
}

/// Passes the records to `each` with the header's names and their row, and returns names and number of records.
fn records(
    file: &SourceFile,
    mut each: impl FnMut(&StringRecord, usize, &StringRecord) -> Result<ControlFlow<()>, Fault>,
) -> Result<(StringRecord, usize), Fault> {
    let unreadable =
        |row: usize, error: &dyn std::fmt::Display| Fault { row, column: 0, error: file.unreadable(error) };
    let opened = File::open(&file.path).map_err(|error| unreadable(0, &error))?;
    // With one more line break, every record ends in one, whether or not the file does.
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(Bounded::new(opened.chain(&b"\n"[..])));
    let names = reader.headers().map_err(|error| unreadable(0, &error))?.clone();
    if names.len() > COLUMNS_MAX {
        let error = ReadError::TooManyColumns { file: file.name.clone(), columns: names.len() };
        return Err(Fault { row: 0, column: 0, error });
    }
    let mut record = StringRecord::new();
    let mut row = 0;
    loop {
        let line = reader.position().line();
        reader.get_ref().allow_record_at(reader.position().byte());
        if !reader.read_record(&mut record).map_err(|error| unreadable(row, &error))? {
            return Ok((names, row));
        }
        // The reader passes over blank lines, which would give later rows other indices. Only at the end may there be some.
        let breaks: u64 = record.iter().map(|text| text.matches('\n').count() as u64).sum();
        if reader.position().line() - line > 1 + breaks {
            let column = names.get(0).unwrap_or_default().to_owned();
            return Err(Fault { row, column: 0, error: ReadError::Null { file: file.name.clone(), column, row } });
        }
        if each(&names, row, &record)?.is_break() {
            return Ok((names, row));
        }
        row += 1;
    }
}

/// Passes a file on up to the end of the longest record there may be: the parser holds a record whole, however long.
struct Bounded<R> {
    input: R,
    passed: u64,
    /// Where a record that is longer begins to be refused.
    allowed: Cell<u64>,
}

impl<R> Bounded<R> {
    fn new(input: R) -> Self {
        Self { input, passed: 0, allowed: Cell::new(RECORD_BYTES_MAX) }
    }

    /// Lets the record that begins at `position` pass.
    fn allow_record_at(&self, position: u64) {
        self.allowed.set(position.saturating_add(RECORD_BYTES_MAX));
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The parser asks for more only when what it has does not end the record.
        if self.passed >= self.allowed.get() {
            return Err(io::Error::other(format!("a record has more than {RECORD_BYTES_MAX} bytes")));
        }
        let read = self.input.read(buffer)?;
        self.passed += read as u64;
        Ok(read)
    }
}

fn value(file: &SourceFile, column: &str, text: &str, row: usize, missing: Missing) -> Result<f64, ReadError> {
    let (file, column) = (|| file.name.clone(), || column.to_owned());
    if text.is_empty() && missing == Missing::Impute {
        return Ok(f64::NAN);
    }
    if text.is_empty() {
        return Err(ReadError::Null { file: file(), column: column(), row });
    }
    parse(text).ok_or_else(|| ReadError::NotANumber { file: file(), column: column(), row, text: quoted(text) })
}

fn parse(text: &str) -> Option<f64> {
    match text {
        "true" | "True" | "TRUE" => Some(1.0),
        "false" | "False" | "FALSE" => Some(0.0),
        _ => text.parse().ok(),
    }
}
