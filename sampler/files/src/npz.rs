//! One-dimensional arrays of a NumPy archive.

use std::fs::File;
use std::io::{BufReader, Read};

use npyz::npz::array_name_from_file_name;
use npyz::zip::ZipArchive;
use npyz::{DType, Deserialize, NpyFile, TypeChar};

use crate::column::{Column, widen_i64, widen_u64};
use crate::{ReadError, SourceFile};

pub(crate) fn read(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ReadError> {
    let handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    let mut archive = ZipArchive::new(BufReader::new(handle)).map_err(|error| file.unreadable(&error))?;
    let mut columns = Vec::new();
    for position in 0..archive.len() {
        let mut entry = archive.by_index(position).map_err(|error| file.unreadable(&error))?;
        let Some(name) = array_name_from_file_name(entry.name()).map(ToOwned::to_owned) else { continue };
        let array = Array { file, name, rows_max };
        let column = array.read(&mut entry)?;
        // The archive's checksum is only compared when the entry is read to its end.
        std::io::copy(&mut entry, &mut std::io::sink())
            .map_err(|error| file.unreadable(&format!("array {:?}: {error}", column.name)))?;
        columns.push(column);
    }
    Ok(columns)
}

struct Array<'a> {
    file: &'a SourceFile,
    name: String,
    rows_max: usize,
}

impl Array<'_> {
    fn read(self, entry: impl Read) -> Result<Column, ReadError> {
        let array = NpyFile::new(entry).map_err(|error| self.unreadable(&error))?;
        let &[rows] = array.shape() else {
            let kind = format!("an array of shape {:?}", array.shape());
            return Ok(Column::other(self.name, kind));
        };
        self.file.check_rows(usize::try_from(rows).unwrap_or(usize::MAX), self.rows_max)?;
        let DType::Plain(kind) = array.dtype() else {
            return Ok(Column::other(self.name, "an array of structures"));
        };
        match (kind.type_char(), kind.size_field()) {
            (TypeChar::Bool, _) => self.widen(array, |value: bool| f64::from(value)),
            (TypeChar::Float, 4) => self.widen(array, |value: f32| f64::from(value)),
            (TypeChar::Float, 8) => self.widen(array, |value: f64| value),
            (TypeChar::Int, 1) => self.widen(array, |value: i8| f64::from(value)),
            (TypeChar::Int, 2) => self.widen(array, |value: i16| f64::from(value)),
            (TypeChar::Int, 4) => self.widen(array, |value: i32| f64::from(value)),
            (TypeChar::Int, 8) => self.widen(array, widen_i64),
            (TypeChar::Uint, 1) => self.widen(array, |value: u8| f64::from(value)),
            (TypeChar::Uint, 2) => self.widen(array, |value: u16| f64::from(value)),
            (TypeChar::Uint, 4) => self.widen(array, |value: u32| f64::from(value)),
            (TypeChar::Uint, 8) => self.widen(array, widen_u64),
            _ => Ok(Column::other(self.name, format!("of type {kind}"))),
        }
    }

    fn widen<T: Deserialize, R: Read>(self, array: NpyFile<R>, number: impl Fn(T) -> f64) -> Result<Column, ReadError> {
        let values = array.data::<T>().map_err(|error| self.file.unreadable(&error))?;
        let values: Result<Vec<f64>, _> = values.map(|value| value.map(&number)).collect();
        match values {
            Ok(values) => Ok(Column::numbers(self.name, values)),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> ReadError {
        self.file.unreadable(&format!("array {:?}: {error}", self.name))
    }
}
