//! Where the object of each training image is, which only reports know of: how much of a sampler's probability lies on crops that
//! miss it.

use std::path::Path;

use swift_sampler_files::{ROWS_MAX, Selection, SourceFile};

use super::crops::Crop;
use super::{DataError, Split};

/// The file beside the data that says so: columns top, left, height and width in pixels, one row for each example that the data
/// has for training, in the order of its files.
pub const OBJECTS_FILE: &str = "train-objects.csv";
/// A crop that overlaps the object by less than this share of the smaller of the two is background.
pub const BACKGROUND_OVERLAP_MAX: f64 = 0.25;

const COLUMNS: [&str; 4] = ["top", "left", "height", "width"];

/// The smallest box around an object, in pixels of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectBox {
    /// First row.
    pub top: u32,
    /// First column.
    pub left: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl ObjectBox {
    /// Returns the share that a crop and the object have in common of the smaller of the two: 1 where the crop holds all of the
    /// object or lies within it, 0 where it misses it.
    #[must_use]
    pub fn overlap(&self, crop: &Crop) -> f64 {
        let rows = in_common((self.top, self.height), (crop.top, crop.height));
        let columns = in_common((self.left, self.width), (crop.left, crop.width));
        let area = |height: u32, width: u32| f64::from(height) * f64::from(width);
        area(rows, columns) / area(self.height, self.width).min(area(crop.height, crop.width)).max(1.0)
    }
}

/// Returns how many pixels two stretches, given by their first pixel and length, have in common.
fn in_common((first, length): (u32, u32), (other, other_length): (u32, u32)) -> u32 {
    (first + length).min(other + other_length).saturating_sub(first.max(other))
}

/// Reads [`OBJECTS_FILE`] of a folder; `None` if it is not there.
///
/// # Errors
///
/// [`DataError::Content`] naming the file and the value that is no box.
pub fn read(folder: &Path) -> Result<Option<Vec<ObjectBox>>, DataError> {
    let path = folder.join(OBJECTS_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let wrong = |reason: String| DataError::Content { path: path.clone(), reason };
    let selection = Selection { features: COLUMNS.map(str::to_owned).to_vec(), gradient_norm: None };
    let read = SourceFile::at(&path).and_then(|file| swift_sampler_files::read(&[file], &selection, ROWS_MAX));
    let read = read.map_err(|error| wrong(error.to_string()))?;
    let column = |name: &str| {
        read.columns.iter().find(|(column, _)| column == name).map(|(_, values)| values.as_slice()).unwrap_or_default()
    };
    let [top, left, height, width] = COLUMNS.map(column);
    let pixels = |name: &str, row: usize, value: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number below 2^31")]
        if (0.0..f64::from(i32::MAX)).contains(&value) && value.fract().abs() < f64::MIN_POSITIVE {
            return Ok(value as u32);
        }
        Err(wrong(format!(
            "column {name:?}, row {row} (counted from 0) is {value}: a whole number of pixels is expected"
        )))
    };
    let object = |row: usize| {
        Ok(ObjectBox {
            top: pixels("top", row, top[row])?,
            left: pixels("left", row, left[row])?,
            height: pixels("height", row, height[row])?,
            width: pixels("width", row, width[row])?,
        })
    };
    (0..top.len()).map(object).collect::<Result<Vec<ObjectBox>, DataError>>().map(Some)
}

/// Writes [`OBJECTS_FILE`] into a folder.
///
/// # Errors
///
/// [`DataError::Read`] naming the file.
pub fn write(folder: &Path, objects: &[ObjectBox]) -> Result<(), DataError> {
    let path = folder.join(OBJECTS_FILE);
    let mut text = COLUMNS.join(",") + "\n";
    for ObjectBox { top, left, height, width } in objects {
        text += &format!("{top},{left},{height},{width}\n");
    }
    std::fs::write(&path, text).map_err(|source| DataError::read(&path, source))
}

impl Split {
    /// Tells for each training crop whether it is background, where the objects' places are known: `None` without crops, or
    /// without [`OBJECTS_FILE`] in the folder of the data.
    ///
    /// # Errors
    ///
    /// [`DataError::Content`] naming the file and what is wrong with it.
    pub fn background(&self, folder: &Path) -> Result<Option<Vec<bool>>, DataError> {
        let (Some(crops), Some(objects)) = (&self.crops, read(folder)?) else { return Ok(None) };
        if objects.len() != self.source_rows {
            let reason = format!("{} rows, the data has {} examples for training", objects.len(), self.source_rows);
            return Err(DataError::Content { path: folder.join(OBJECTS_FILE), reason });
        }
        let is_background =
            |crop: &Crop| objects[self.train_rows[crop.image as usize]].overlap(crop) < BACKGROUND_OVERLAP_MAX;
        Ok(Some(crops.crops.iter().map(is_background).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: ObjectBox = ObjectBox { top: 10, left: 20, height: 8, width: 6 };

    fn crop(top: u32, left: u32, height: u32, width: u32) -> Crop {
        Crop { image: 0, top, left, height, width, flip: false }
    }

    #[test]
    fn overlap_is_a_share_of_the_smaller_of_crop_and_object() {
        let is = |crop: &Crop, expected: f64| assert!((OBJECT.overlap(crop) - expected).abs() < 1e-12, "{crop:?}");
        is(&crop(0, 0, 40, 40), 1.0);
        is(&crop(12, 22, 2, 3), 1.0);
        is(&crop(0, 0, 10, 40), 0.0);
        is(&crop(14, 20, 20, 20), 0.5);
        // A quarter of a small crop lies on the object.
        is(&crop(8, 18, 4, 4), 0.25);
    }

    #[test]
    fn boxes_come_back_and_what_is_no_box_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let objects = vec![OBJECT, ObjectBox { top: 0, left: 0, height: 1, width: 1 }];
        write(folder.path(), &objects).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Some(objects));
        std::fs::write(folder.path().join(OBJECTS_FILE), "top,left,height,width\n1,2,3,4\n1,2,3.5,4\n").unwrap();
        let message = read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("height") && message.contains("row 1") && message.contains("3.5"), "{message}");
        std::fs::write(folder.path().join(OBJECTS_FILE), "top,left,height\n1,2,3\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("width"));
    }
}
