//! Crops as examples (Sec. 4.2): six columns of a feature table say which part of which image an example is.

use serde::Serialize;

use crate::feature_table::{FeatureTable, SharedColumn};
use crate::shared_slice::SharedSlice;

/// Integers that a batch carries for a crop are below this.
const INTEGER_END: f64 = 4_294_967_296.0;

/// A column with a meaning for crops, in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CropColumn {
    /// Number of the image that the crop is of.
    Image,
    /// First row of the box, in pixels of the image.
    Top,
    /// First column of the box.
    Left,
    /// Rows of the box.
    Height,
    /// Columns of the box.
    Width,
    /// Whether the crop is mirrored, left to right. May be missing: then no crop is.
    Flip,
}

impl CropColumn {
    /// The columns that every crop bank has.
    pub const REQUIRED: [Self; 5] = [Self::Image, Self::Top, Self::Left, Self::Height, Self::Width];

    /// Returns the column of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::REQUIRED.into_iter().chain([Self::Flip]).find(|column| column.name() == name)
    }

    /// Tells whether columns of these names make a crop bank: the five of [`Self::REQUIRED`] are among them. Otherwise those
    /// that are have no meaning.
    #[must_use]
    pub fn make_bank(names: &[impl AsRef<str>]) -> bool {
        Self::REQUIRED.iter().all(|column| names.iter().any(|name| name.as_ref() == column.name()))
    }

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Top => "top",
            Self::Left => "left",
            Self::Height => "height",
            Self::Width => "width",
            Self::Flip => "flip",
        }
    }

    /// Says which values it may have.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Image | Self::Top | Self::Left => "a whole number from 0 to 2^32 - 1",
            Self::Height | Self::Width => "a whole number from 1 to 2^32 - 1: a crop has at least one pixel",
            Self::Flip => "0 or 1",
        }
    }

    /// Tells whether it may have this value.
    #[must_use]
    pub fn accepts(self, value: f64) -> bool {
        let range = match self {
            Self::Image | Self::Top | Self::Left => 0.0..INTEGER_END,
            Self::Height | Self::Width => 1.0..INTEGER_END,
            Self::Flip => 0.0..2.0,
        };
        range.contains(&value) && value.fract().abs() < f64::MIN_POSITIVE
    }
}

/// The crops of the draws of a batch, one after another.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Crops {
    /// Numbers of the images.
    pub image: SharedSlice<u32>,
    /// First rows of the boxes, in pixels.
    pub top: SharedSlice<u32>,
    /// First columns of the boxes.
    pub left: SharedSlice<u32>,
    /// Rows of the boxes, at least 1.
    pub height: SharedSlice<u32>,
    /// Columns of the boxes, at least 1.
    pub width: SharedSlice<u32>,
    /// 1 where a crop is mirrored, left to right, else 0.
    pub flip: SharedSlice<u8>,
}

/// The crops that the examples of a dataset are.
#[derive(Clone)]
pub struct CropBank {
    integers: [SharedColumn<f64>; 5],
    flip: Option<SharedColumn<f64>>,
}

impl std::fmt::Debug for CropBank {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = self.integers[0].as_ref().as_ref().len();
        formatter.debug_struct("CropBank").field("rows", &rows).finish_non_exhaustive()
    }
}

impl CropBank {
    /// Takes the crop columns of a table, if it has them, without looking at their values.
    #[must_use]
    pub fn of(table: &FeatureTable) -> Option<Self> {
        let column = |column: CropColumn| table.shared_column(column.name());
        let [image, top, left, height, width] = CropColumn::REQUIRED.map(column);
        Some(Self { integers: [image?, top?, left?, height?, width?], flip: column(CropColumn::Flip) })
    }

    /// Returns the crops of some rows, in O(rows). A row outside the columns panics.
    #[must_use]
    pub fn crops(&self, rows: &[u32]) -> Crops {
        let gather = |column: &SharedColumn<f64>| {
            let values = column.as_ref().as_ref();
            rows.iter().map(|&row| integer(values[row as usize])).collect::<Vec<u32>>()
        };
        let [image, top, left, height, width] = self.integers.each_ref().map(|column| gather(column).into());
        let flip: Vec<u8> = match &self.flip {
            Some(column) => gather(column).into_iter().map(|flip| u8::from(flip != 0)).collect(),
            None => vec![0; rows.len()],
        };
        Crops { image, top, left, height, width, flip: flip.into() }
    }
}

/// Returns a value that [`CropColumn::accepts`] accepted.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a whole number of 32 bits")]
fn integer(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, DatasetError};

    fn columns() -> Vec<(String, Vec<f64>)> {
        let column = |name: &str, values: [f64; 3]| (name.to_owned(), values.to_vec());
        vec![
            column("loss", [0.5, 0.1, 0.9]),
            column("image", [7.0, 7.0, 4_294_967_295.0]),
            column("top", [0.0, 3.0, 1.0]),
            column("left", [2.0, 0.0, 5.0]),
            column("height", [8.0, 1.0, 9.0]),
            column("width", [4.0, 6.0, 2.0]),
            column("flip", [0.0, 1.0, 1.0]),
        ]
    }

    fn dataset(columns: Vec<(String, Vec<f64>)>) -> Result<Dataset, DatasetError> {
        Dataset::new(FeatureTable::new(columns).unwrap(), vec!["loss".into()], None)
    }

    #[test]
    fn rows_have_their_boxes_in_the_order_asked_for() {
        let bank = dataset(columns()).unwrap().crop_bank().cloned().unwrap();
        let crops = bank.crops(&[2, 0, 2]);
        assert_eq!(crops.image, [u32::MAX, 7, u32::MAX]);
        assert_eq!((crops.top.to_vec(), crops.left.to_vec()), (vec![1, 0, 1], vec![5, 2, 5]));
        assert_eq!((crops.height.to_vec(), crops.width.to_vec()), (vec![9, 8, 9], vec![2, 4, 2]));
        assert_eq!(crops.flip, [1, 0, 1]);
    }

    #[test]
    fn without_a_flip_column_no_crop_is_mirrored_and_without_a_box_there_are_no_crops() {
        let without = |name: &str| columns().into_iter().filter(|(column, _)| column != name).collect::<Vec<_>>();
        assert_eq!(dataset(without("flip")).unwrap().crop_bank().unwrap().crops(&[0, 1, 2]).flip, [0, 0, 0]);
        for column in CropColumn::REQUIRED {
            let mut partial = without(column.name());
            // Then the others mean nothing, and may hold anything.
            partial.iter_mut().for_each(|(_, values)| values[1] = 0.5);
            assert!(dataset(partial).unwrap().crop_bank().is_none(), "{column:?}");
        }
    }

    #[test]
    fn values_that_are_no_crop_are_refused_by_column_and_row() {
        for (name, wrong) in [
            ("image", 0.5),
            ("image", INTEGER_END),
            ("top", -1.0),
            ("left", 2.25),
            ("height", 0.0),
            ("width", -3.0),
            ("flip", 2.0),
        ] {
            let mut columns = columns();
            columns.iter_mut().find(|(column, _)| column == name).unwrap().1[1] = wrong;
            let refused = dataset(columns).unwrap_err();
            let rule = CropColumn::of_name(name).unwrap().rule();
            let expected = DatasetError::Crop { column: name.into(), row: 1, value: wrong, rule };
            assert_eq!(refused, expected);
        }
    }
}
