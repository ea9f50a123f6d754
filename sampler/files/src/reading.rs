//! Reads files one after another, and checks what comes out of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::column::{Column, Values};
use crate::selection::select;
use crate::{FeatureColumns, Format, ReadError, Selection, SourceFile, csv, npz, parquet, safetensors};

/// Reads files one after another. Blocks, for as long as parsing takes.
///
/// # Errors
/// [`ReadError`] naming the file, column and row that are wrong.
pub fn read(files: &[SourceFile], selection: &Selection, rows_max: usize) -> Result<FeatureColumns, ReadError> {
    let Some((first, rest)) = files.split_first() else { return Err(ReadError::NoFiles) };
    let mut columns = read_file(first, rows_max)?;
    let rows = check_file(first, &columns)?;
    let mut rows_left = rows_max - rows;
    for file in rest {
        let more = read_file(file, rows_left)?;
        rows_left -= check_file(file, &more)?;
        append(&mut columns, more, &first.name, &file.name)?;
    }
    select(&first.name, columns, selection)
}

fn read_file(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ReadError> {
    let parse = || match file.format {
        Format::Parquet => parquet::read(file, rows_max),
        Format::Safetensors => safetensors::read(file, rows_max),
        Format::Npz => npz::read(file, rows_max),
        Format::Csv => csv::read(file, rows_max),
    };
    // Parsers of damaged files may panic; nothing of theirs outlives the call.
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "the parser failed".to_owned());
        Err(file.unreadable(&reason))
    })
}

/// Checks one file by itself, and returns its number of rows.
fn check_file(file: &SourceFile, columns: &[Column]) -> Result<usize, ReadError> {
    let mut first: Option<(&str, usize)> = None;
    for (position, column) in columns.iter().enumerate() {
        if columns[..position].iter().any(|other| other.name == column.name) {
            return Err(ReadError::RepeatedColumn { file: file.name.clone(), column: column.name.clone() });
        }
        let Values::Numbers(values) = &column.values else { continue };
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            let (file, column, value) = (file.name.clone(), column.name.clone(), values[row]);
            return Err(ReadError::NotFinite { file, column, row, value });
        }
        match first {
            None => first = Some((&column.name, values.len())),
            Some((_, rows)) if rows == values.len() => {}
            Some((name, rows)) => {
                return Err(ReadError::UnequalRows {
                    file: file.name.clone(),
                    column: column.name.clone(),
                    rows: values.len(),
                    first: name.to_owned(),
                    expected: rows,
                });
            }
        }
    }
    match first {
        Some((_, rows)) if rows > 0 => Ok(rows),
        _ => Err(ReadError::Empty { file: file.name.clone() }),
    }
}

fn append(columns: &mut [Column], more: Vec<Column>, first: &str, file: &str) -> Result<(), ReadError> {
    let unequal = |column: &str| ReadError::UnequalColumns {
        file: file.to_owned(),
        first: first.to_owned(),
        column: column.to_owned(),
    };
    if let Some(extra) = more.iter().find(|column| columns.iter().all(|known| known.name != column.name)) {
        return Err(unequal(&extra.name));
    }
    let mut more: Vec<Option<Column>> = more.into_iter().map(Some).collect();
    for column in columns {
        let found = more.iter_mut().find(|other| other.as_ref().is_some_and(|other| other.name == column.name));
        match (&mut column.values, found.and_then(Option::take).map(|other| other.values)) {
            (Values::Numbers(values), Some(Values::Numbers(more))) => values.extend(more),
            (Values::Other(_), Some(Values::Other(_))) => {}
            _ => return Err(unequal(&column.name)),
        }
    }
    Ok(())
}
