//! Precomputed columns of every example, checked once.

use std::sync::Arc;

/// A column that several owners share: a vector, or a mapped file.
pub type SharedColumn<T> = Arc<dyn AsRef<[T]> + Send + Sync>;

/// Why columns do not make a table.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FeatureTableError {
    /// No column, or columns without rows.
    #[error("the table is empty: it needs at least one column and one row")]
    Empty,
    /// Two columns of one name.
    #[error("column {0:?} appears twice")]
    RepeatedColumn(String),
    /// Columns differ in length.
    #[error("column {column:?} has {rows} rows, but {first:?} has {expected}")]
    UnequalRows {
        /// The column.
        column: String,
        /// Its rows.
        rows: usize,
        /// The first column.
        first: String,
        /// Its rows.
        expected: usize,
    },
    /// NaN or an infinity.
    #[error("column {column:?}, row {row} (counted from 0) is {value}: every value must be finite")]
    NotFinite {
        /// The column.
        column: String,
        /// The row, counted from 0.
        row: usize,
        /// The value.
        value: f64,
    },
    /// More rows than 32-bit indices name.
    #[error("{0} rows are more than the 2^32 - 1 supported")]
    TooManyRows(usize),
    /// A column is asked for that is not there.
    #[error("there is no column {column:?}: the columns are {available}")]
    UnknownColumn {
        /// The name asked for.
        column: String,
        /// The names there are.
        available: String,
    },
}

/// Named columns of finite numbers, one row an example; the row number is the example's index.
#[derive(Clone)]
pub struct FeatureTable {
    names: Vec<String>,
    columns: Vec<SharedColumn<f64>>,
    rows: usize,
}

impl std::fmt::Debug for FeatureTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FeatureTable").field("names", &self.names).field("rows", &self.rows).finish()
    }
}

impl FeatureTable {
    /// Checks columns and takes them over, in O(columns · rows).
    ///
    /// # Errors
    /// [`FeatureTableError`] naming the column and row that are wrong.
    pub fn new(columns: Vec<(String, Vec<f64>)>) -> Result<Self, FeatureTableError> {
        let shared = columns.into_iter().map(|(name, values)| (name, Arc::new(values) as SharedColumn<f64>));
        Self::from_shared(shared.collect())
    }

    /// As [`Self::new`], for columns that others may hold too, such as those of a mapped file.
    ///
    /// # Errors
    /// [`FeatureTableError`] naming the column and row that are wrong.
    pub fn from_shared(columns: Vec<(String, SharedColumn<f64>)>) -> Result<Self, FeatureTableError> {
        let table = Self::from_stored(columns)?;
        for (name, values) in table.columns() {
            if let Some(row) = values.iter().position(|value| !value.is_finite()) {
                return Err(FeatureTableError::NotFinite { column: name.to_owned(), row, value: values[row] });
            }
        }
        Ok(table)
    }

    /// As [`Self::from_shared`], in O(columns): the values are not looked at. For columns that were checked before they
    /// were stored.
    ///
    /// # Errors
    /// [`FeatureTableError`] when a name appears twice or a length is wrong.
    pub fn from_stored(columns: Vec<(String, SharedColumn<f64>)>) -> Result<Self, FeatureTableError> {
        let (names, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let rows = columns.first().map_or(0, |column| column.as_ref().as_ref().len());
        if rows == 0 {
            return Err(FeatureTableError::Empty);
        }
        if u32::try_from(rows).is_err() {
            return Err(FeatureTableError::TooManyRows(rows));
        }
        for (position, (name, column)) in names.iter().zip(&columns).enumerate() {
            let values = column.as_ref().as_ref();
            if names[..position].contains(name) {
                return Err(FeatureTableError::RepeatedColumn(name.clone()));
            }
            if values.len() != rows {
                return Err(FeatureTableError::UnequalRows {
                    column: name.clone(),
                    rows: values.len(),
                    first: names[0].clone(),
                    expected: rows,
                });
            }
        }
        Ok(Self { names, columns, rows })
    }

    /// Returns the number of examples.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the columns' names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns names and columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.names.iter().map(String::as_str).zip(self.columns.iter().map(|column| column.as_ref().as_ref()))
    }

    /// Returns the column of this name.
    ///
    /// # Errors
    /// [`FeatureTableError::UnknownColumn`].
    pub fn column(&self, name: &str) -> Result<&[f64], FeatureTableError> {
        let position = self.names.iter().position(|known| known == name).ok_or_else(|| {
            FeatureTableError::UnknownColumn { column: name.to_owned(), available: self.names.join(", ") }
        })?;
        Ok(self.columns[position].as_ref().as_ref())
    }

    /// Returns the column of this name to be shared, if there is one.
    pub(crate) fn shared_column(&self, name: &str) -> Option<SharedColumn<f64>> {
        let position = self.names.iter().position(|known| known == name)?;
        Some(SharedColumn::clone(&self.columns[position]))
    }
}
