//! Comma-separated values with a header line.

use std::fs::File;
use std::io::Read;

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::column::{Column, Values};
use crate::{ReadError, SourceFile};

pub(crate) fn read(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ReadError> {
    let opened = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    // With one more line break, every record ends in one, whether or not the file does.
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(opened.chain(&b"\n"[..]));
    let names = reader.headers().map_err(|error| file.unreadable(&error))?.clone();
    let mut columns: Vec<Column> = names.iter().map(|name| Column::numbers(name, Vec::new())).collect();
    let mut record = StringRecord::new();
    let mut row = 0;
    loop {
        let line = reader.position().line();
        if !reader.read_record(&mut record).map_err(|error| file.unreadable(&error))? {
            return Ok(columns);
        }
        // The reader passes over blank lines, which would give later rows other indices. Only at the end may there be some.
        let breaks: u64 = record.iter().map(|text| text.matches('\n').count() as u64).sum();
        if reader.position().line() - line > 1 + breaks {
            let column = names.get(0).unwrap_or_default().to_owned();
            return Err(ReadError::Null { file: file.name.clone(), column, row });
        }
        file.check_rows(row + 1, rows_max)?;
        for (column, text) in columns.iter_mut().zip(record.iter()) {
            push(file, column, text, row)?;
        }
        row += 1;
    }
}

/// Adds a value. The first row tells whether a column holds numbers or text.
fn push(file: &SourceFile, column: &mut Column, text: &str, row: usize) -> Result<(), ReadError> {
    let Values::Numbers(values) = &mut column.values else { return Ok(()) };
    let (file, name) = (|| file.name.clone(), &column.name);
    if text.is_empty() {
        return Err(ReadError::Null { file: file(), column: name.clone(), row });
    }
    match parse(text) {
        Some(value) => values.push(value),
        None if row == 0 => column.values = Values::Other(format!("of text, starting with {text:?}")),
        None => {
            return Err(ReadError::NotANumber { file: file(), column: name.clone(), row, text: text.to_owned() });
        }
    }
    Ok(())
}

fn parse(text: &str) -> Option<f64> {
    match text {
        "true" | "True" | "TRUE" => Some(1.0),
        "false" | "False" | "FALSE" => Some(0.0),
        _ => text.parse().ok(),
    }
}
