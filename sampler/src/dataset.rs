//! A feature table with its cells: what samplers are built over.

use std::sync::Arc;

use crate::cells::{Cells, Resolution};
use crate::content::DatasetContent;
use crate::feature_table::{FeatureTable, FeatureTableError};

/// Why a table does not make a dataset.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DatasetError {
    /// A named column is missing.
    #[error(transparent)]
    Table(#[from] FeatureTableError),
    /// A gradient norm is negative.
    #[error("column {column:?}, row {row} (counted from 0) is {value}: a gradient norm is not negative")]
    NegativeGradientNorm {
        /// The column.
        column: String,
        /// The row, counted from 0.
        row: usize,
        /// The value.
        value: f64,
    },
    /// Stored cells belong to another table.
    #[error("the stored cells do not match the table: {0}")]
    CellsMismatch(&'static str),
}

/// A feature table, the features samplers combine by default, and the cells those make.
#[derive(Debug, Clone)]
pub struct Dataset {
    table: FeatureTable,
    features: Vec<String>,
    gradient_norm: Option<String>,
    cells: Arc<Cells>,
}

impl Dataset {
    /// Groups the table's rows into cells of `features`, in O(N · n log n). Without features there is one cell.
    ///
    /// # Errors
    /// [`DatasetError`] when a named column is missing or a gradient norm is negative.
    pub fn new(
        table: FeatureTable,
        features: Vec<String>,
        gradient_norm: Option<String>,
    ) -> Result<Self, DatasetError> {
        if let Some(column) = &gradient_norm {
            let values = table.column(column)?;
            if let Some(row) = values.iter().position(|value| *value < 0.0) {
                let value = values[row];
                return Err(DatasetError::NegativeGradientNorm { column: column.clone(), row, value });
            }
        }
        let resolution = Resolution::for_table(table.rows(), features.len());
        let cells = Arc::new(Cells::build(&table, &features, gradient_norm.as_deref(), resolution)?);
        Ok(Self { table, features, gradient_norm, cells })
    }

    /// Restores a dataset whose cells were stored.
    ///
    /// # Errors
    /// [`DatasetError::CellsMismatch`] when the cells are not of this table.
    pub fn from_stored(table: FeatureTable, gradient_norm: Option<String>, cells: Cells) -> Result<Self, DatasetError> {
        if cells.rows() != table.rows() {
            return Err(DatasetError::CellsMismatch("they cover another number of rows"));
        }
        for column in cells.features().iter().chain(&gradient_norm) {
            table.column(column)?;
        }
        if gradient_norm.is_some() != cells.gradient_mass(0).is_some() {
            return Err(DatasetError::CellsMismatch("one has gradient norms, the other has none"));
        }
        Ok(Self { table, features: cells.features().to_vec(), gradient_norm, cells: Arc::new(cells) })
    }

    /// Returns the number of examples.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    /// Returns the columns.
    #[must_use]
    pub fn table(&self) -> &FeatureTable {
        &self.table
    }

    /// Returns the features samplers combine by default.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Returns the column of gradient norms, if there is one.
    #[must_use]
    pub fn gradient_norm(&self) -> Option<&str> {
        self.gradient_norm.as_deref()
    }

    /// Returns the hash that names its content: SHA-256, hexadecimal. Reads all of it.
    #[must_use]
    pub fn hash(&self) -> String {
        DatasetContent::of(self).hash()
    }

    /// Returns the cells of the default features.
    #[must_use]
    pub fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }

    /// Returns the cells of `features`: the stored ones where they are the default, else new ones in O(N · n log n).
    ///
    /// # Errors
    /// [`FeatureTableError::UnknownColumn`].
    pub fn cells_of(&self, features: &[String]) -> Result<Arc<Cells>, FeatureTableError> {
        if features == self.features {
            return Ok(Arc::clone(&self.cells));
        }
        let resolution = Resolution::for_table(self.rows(), features.len());
        Cells::build(&self.table, features, self.gradient_norm.as_deref(), resolution).map(Arc::new)
    }
}
