//! Which columns have a meaning, and the columns with theirs.

use serde::{Deserialize, Serialize};
use swift_sampler::{CellKeys, CropColumn, Dataset, FeatureTable};

use crate::ReadError;
use crate::column::{Column, Kind};
use crate::limits::quoted;

/// Columns that a message names.
const LISTED_MAX: usize = 32;
/// The features a dataset has unless a selection says otherwise.
const FEATURES_DEFAULT: [&str; 2] = ["loss", "entropy"];
/// The column of gradient norms unless a selection says otherwise; it may be missing.
const GRADIENT_NORM_DEFAULT: &str = "grad_norm";

/// Which columns have a meaning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Selection {
    /// Columns that the sampler's coefficients refer to; empty: loss and entropy.
    pub features: Vec<String>,
    /// Column of gradient norms; absent: `grad_norm`, where there is one.
    pub gradient_norm: Option<String>,
}

/// What was read.
#[derive(Debug, Clone)]
pub struct FeatureColumns {
    /// The numeric columns, of equal length.
    pub columns: Vec<(String, Vec<f64>)>,
    /// The features.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
    /// Columns left out because they are not numeric.
    pub skipped: Vec<String>,
}

impl FeatureColumns {
    /// Groups the examples by their features, as every dataset is. Takes O(N · n log n).
    ///
    /// # Errors
    /// [`ReadError::Table`] or [`ReadError::Dataset`] when a gradient norm is negative, or there are too many rows.
    pub fn into_dataset(self) -> Result<Dataset, ReadError> {
        let table = FeatureTable::new(self.columns)?;
        Ok(Dataset::new(table, self.features, self.gradient_norm)?)
    }
}

/// The columns of the first file with their meaning.
#[derive(Debug)]
pub(crate) struct Selected {
    /// The numeric columns.
    pub(crate) columns: Vec<String>,
    /// The features.
    pub(crate) features: Vec<String>,
    /// The column of gradient norms.
    pub(crate) gradient_norm: Option<String>,
    /// Columns left out because they are not numeric.
    pub(crate) skipped: Vec<String>,
}

impl Selected {
    pub(crate) fn new(file: &str, columns: &[Column], selection: &Selection) -> Result<Self, ReadError> {
        let find = |wanted: &str| match columns.iter().find(|column| column.name == wanted) {
            Some(Column { kind: Kind::Numbers { .. }, .. }) => Ok(wanted.to_owned()),
            Some(Column { kind: Kind::Other(kind), .. }) => {
                Err(ReadError::Unsupported { file: file.to_owned(), column: wanted.to_owned(), kind: kind.clone() })
            }
            None => Err(ReadError::MissingColumn {
                file: file.to_owned(),
                column: wanted.to_owned(),
                available: listed(columns),
            }),
        };
        let features: Vec<String> = if selection.features.is_empty() {
            FEATURES_DEFAULT.iter().map(|feature| find(feature)).collect::<Result<_, _>>()?
        } else {
            selection.features.iter().map(|feature| find(feature)).collect::<Result<_, _>>()?
        };
        if let Some((_, repeated)) =
            features.iter().enumerate().find(|(position, name)| features[..*position].contains(name))
        {
            return Err(ReadError::RepeatedFeature(repeated.clone()));
        }
        if features.len() > CellKeys::AXES_MAX {
            return Err(ReadError::TooManyFeatures(features.len()));
        }
        let gradient_norm = match &selection.gradient_norm {
            Some(column) => Some(find(column)?),
            None => columns
                .iter()
                .any(|column| column.name == GRADIENT_NORM_DEFAULT)
                .then(|| find(GRADIENT_NORM_DEFAULT))
                .transpose()?,
        };
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        if CropColumn::make_bank(&names) {
            // Names of image files in place of their numbers would leave the dataset without crops.
            names
                .iter()
                .filter(|name| CropColumn::of_name(name).is_some())
                .try_for_each(|name| find(name).map(drop))?;
        }
        Ok(Self { features, gradient_norm, ..Self::all(columns) })
    }

    /// All numeric columns, none with a meaning.
    pub(crate) fn all(columns: &[Column]) -> Self {
        let mut selected = Self { columns: Vec::new(), features: Vec::new(), gradient_norm: None, skipped: Vec::new() };
        for Column { name, kind } in columns {
            match kind {
                Kind::Numbers { .. } => selected.columns.push(name.clone()),
                Kind::Other(_) => selected.skipped.push(name.clone()),
            }
        }
        selected
    }
}

/// Names the columns there are, the first ones of many.
fn listed(columns: &[Column]) -> String {
    let mut names: Vec<String> = columns.iter().take(LISTED_MAX).map(|column| quoted(&column.name)).collect();
    if columns.len() > LISTED_MAX {
        names.push(format!("and {} more", columns.len() - LISTED_MAX));
    }
    names.join(", ")
}
