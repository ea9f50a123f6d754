//! A feature table with its cells: what samplers are built over.

use std::sync::Arc;

use crate::cells::Cells;
use crate::content::DatasetContent;
use crate::crop_bank::{CropBank, CropColumn};
use crate::feature_table::{FeatureTable, FeatureTableError};
use crate::resolution::Resolution;

/// Global indices, `first_row + row`, stay below this: they have a sign bit to spare wherever they go.
const INDEX_MAX: u64 = 1 << 63;

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
    /// A crop column holds what is no part of a crop.
    #[error("column {column:?}, row {row} (counted from 0) is {value}: it must be {rule}")]
    Crop {
        /// The column.
        column: String,
        /// The row, counted from 0.
        row: usize,
        /// The value.
        value: f64,
        /// What would be right.
        rule: &'static str,
    },
    /// Indices that are too large.
    #[error("first_row {first_row} and {rows} rows: indices must stay below 2^63")]
    FirstRow {
        /// The index of the first row.
        first_row: u64,
        /// The dataset's rows.
        rows: usize,
    },
    /// Stored cells belong to another table.
    #[error("the stored cells do not match the table: {0}")]
    CellsMismatch(&'static str),
}

/// A feature table, the features samplers combine by default, and the cells those make.
///
/// A dataset may be one shard of more examples than one holds: its row `r` is then the example of index `first_row + r`.
/// Rows have 32 bits, indices 64.
#[derive(Debug, Clone)]
pub struct Dataset {
    table: FeatureTable,
    first_row: u64,
    features: Vec<String>,
    gradient_norm: Option<String>,
    cells: Arc<Cells>,
    crop_bank: Option<CropBank>,
}

impl Dataset {
    /// Groups the table's rows into cells of `features`, in O(N · n log n). Without features there is one cell.
    ///
    /// # Errors
    /// [`DatasetError`] when a named column is missing, a gradient norm is negative, or the table has the columns of crops
    /// ([`CropColumn::make_bank`]) and a row of them is none.
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
        if CropColumn::make_bank(table.names()) {
            check_crops(&table)?;
        }
        let resolution = Resolution::for_table(table.rows(), features.len());
        let cells = Arc::new(Cells::build(&table, &features, gradient_norm.as_deref(), resolution)?);
        let crop_bank = CropBank::of(&table);
        Ok(Self { table, first_row: 0, features, gradient_norm, cells, crop_bank })
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
        let (features, crop_bank) = (cells.features().to_vec(), CropBank::of(&table));
        Ok(Self { table, first_row: 0, features, gradient_norm, cells: Arc::new(cells), crop_bank })
    }

    /// Returns the dataset with `first_row` as the index of its first example, which is 0 otherwise.
    ///
    /// # Errors
    /// [`DatasetError::FirstRow`] when an index would reach 2^63.
    pub fn with_first_row(self, first_row: u64) -> Result<Self, DatasetError> {
        Self::check_first_row(first_row, self.rows())?;
        Ok(Self { first_row, ..self })
    }

    /// Checks that so many rows may start at the index `first_row`.
    ///
    /// # Errors
    /// [`DatasetError::FirstRow`] when an index would reach 2^63.
    pub fn check_first_row(first_row: u64, rows: usize) -> Result<(), DatasetError> {
        match first_row.checked_add(rows as u64) {
            Some(end) if end <= INDEX_MAX => Ok(()),
            _ => Err(DatasetError::FirstRow { first_row, rows }),
        }
    }

    /// Returns the number of examples.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    /// Returns the index of the first example: 0, unless the dataset is a shard of a larger one.
    #[must_use]
    pub fn first_row(&self) -> u64 {
        self.first_row
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

    /// Returns the crops that its examples are, where it has the columns of crops.
    #[must_use]
    pub fn crop_bank(&self) -> Option<&CropBank> {
        self.crop_bank.as_ref()
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

fn check_crops(table: &FeatureTable) -> Result<(), DatasetError> {
    for (name, values) in table.columns() {
        let Some(column) = CropColumn::of_name(name) else { continue };
        if let Some(row) = values.iter().position(|&value| !column.accepts(value)) {
            let (value, rule) = (values[row], column.rule());
            return Err(DatasetError::Crop { column: name.to_owned(), row, value, rule });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, JobParameters, Replacement, Sampler, SamplerSpec, Seed, job::Shard};

    fn dataset() -> Dataset {
        Dataset::new(FeatureTable::new(vec![("loss".into(), vec![0.5, 0.25, 1.0])]).unwrap(), vec![], None).unwrap()
    }

    #[test]
    fn a_shard_draws_the_rows_of_its_dataset_under_their_global_indices() {
        let spec = SamplerSpec::Uniform {};
        let first_row = (1 << 32) - 3;
        let (whole, shard) = (dataset(), dataset().with_first_row(first_row).unwrap());
        let sampler = |dataset| Sampler::build(&spec, dataset).unwrap();
        for draw in 0..20 {
            let of_whole = sampler(&whole).draw(Seed(1), draw);
            assert_eq!(sampler(&shard).draw(Seed(1), draw).index, first_row + of_whole.index);
        }
        let parameters =
            JobParameters { seed: 1, batch_size: 8, replacement: Replacement::Stratified, epoch_draws: None };
        let indices =
            |dataset| Engine::new(dataset, &spec, parameters).unwrap().batch(3, Shard::WHOLE).unwrap().indices;
        let of_whole: Vec<u64> = indices(whole).iter().map(|index| first_row + index).collect();
        let of_shard = indices(shard);
        assert_eq!(of_shard.as_u32().expect("the last index is 2^32 - 1").len(), 8);
        assert_eq!(of_shard.to_vec(), of_whole);
        let wide = indices(dataset().with_first_row(first_row + 1).unwrap());
        let next = of_whole.iter().map(|index| index + 1);
        assert!(wide.as_u64().expect("the last index is 2^32").iter().copied().eq(next));
    }

    #[test]
    fn indices_stay_below_2_to_the_63() {
        let first_row = (1 << 63) - 3;
        assert_eq!(dataset().with_first_row(first_row).unwrap().first_row(), first_row);
        let refused = dataset().with_first_row(first_row + 1).unwrap_err();
        assert_eq!(refused, DatasetError::FirstRow { first_row: first_row + 1, rows: 3 });
        assert!(dataset().with_first_row(u64::MAX).is_err());
    }

    /// Only a first row that is not 0 enters the hash and the JSON, so what was stored without one keeps its name.
    #[test]
    fn a_first_row_of_zero_leaves_no_trace() {
        let content = |first_row| DatasetContent::of(&dataset().with_first_row(first_row).unwrap());
        let json = serde_json::to_string(&content(0)).unwrap();
        assert!(!json.contains("first_row"));
        assert_eq!(serde_json::from_str::<DatasetContent>(&json).unwrap(), content(0));
        assert_eq!(content(0).hash(), HASH);
        let json = serde_json::to_string(&content(7)).unwrap();
        assert!(json.contains("\"first_row\":7"));
        assert_eq!(serde_json::from_str::<DatasetContent>(&json).unwrap(), content(7));
        assert!(content(7).hash() != HASH && content(7).hash() != content(8).hash());
    }

    const HASH: &str = "2f492c2371feb81d141b29b32e0fa82280c837d2b607670901eb659f4b8059c8";
}
