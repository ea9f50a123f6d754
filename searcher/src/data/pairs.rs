//! Pairs of images that show the same class or not, as face verification is tested.
//!
//! A text file, one pair a line, in one of two forms that may be mixed: `FILE FILE 0|1` with paths below the folder of images and
//! 1 for a pair of one class; or those of LFW's `pairs.txt`, `NAME i j` for images i and j of one person and `NAME i NAME j` for
//! two, image i being `NAME/NAME_000i` with the extension of an image. Lines of one or two numbers (LFW's header), empty ones
//! and those that begin with # are passed over.

use std::path::{Path, PathBuf};

use super::{DataError, LabelledImages, image_folder};

/// Digits of an image's number in LFW's file names.
const DIGITS: usize = 4;

/// Pairs and their images: pair i is images 2i and 2i + 1.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// The images; their labels mean nothing.
    pub images: LabelledImages,
    /// Whether the images of a pair are of one class.
    pub same: Vec<bool>,
}

/// Reads the pairs of `file` with their images from `folder`, each brought to `size` if it is given.
///
/// # Errors
///
/// [`DataError`] naming the line that is no pair, or the image that cannot be read.
pub fn read(file: &Path, folder: &Path, size: Option<u32>) -> Result<Pairs, DataError> {
    let text = std::fs::read_to_string(file).map_err(|source| DataError::read(file, source))?;
    let (mut paths, mut same) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let header = words.len() <= 2 && words.iter().all(|word| word.parse::<u32>().is_ok());
        if header || line.trim_start().starts_with('#') {
            continue;
        }
        let wrong = || DataError::Content {
            path: file.to_owned(),
            reason: format!("line {}: {line:?} is neither FILE FILE 0|1 nor NAME i j nor NAME i NAME j", number + 1),
        };
        let (first, second, one_class) = pair(&words, folder).ok_or_else(wrong)?;
        paths.extend([first, second]);
        same.push(one_class);
    }
    if same.is_empty() {
        return Err(DataError::Content { path: file.to_owned(), reason: "it holds no pair".to_owned() });
    }
    let labels = vec![0; paths.len()];
    Ok(Pairs { images: image_folder::read_files(&paths, labels, size)?, same })
}

/// The images of a line, and whether they are of one class.
fn pair(words: &[&str], folder: &Path) -> Option<(PathBuf, PathBuf, bool)> {
    let of_person = |name: &str, number: &str| {
        let number: u32 = number.parse().ok()?;
        let stem = folder.join(name).join(format!("{name}_{number:0DIGITS$}"));
        let found = image_folder::EXTENSIONS.iter().map(|extension| stem.with_extension(extension));
        Some(found.clone().find(|path| path.is_file()).unwrap_or_else(|| stem.with_extension("jpg")))
    };
    match *words {
        [name, i, j] if i.parse::<u32>().is_ok() && j.parse::<u32>().is_ok() => {
            Some((of_person(name, i)?, of_person(name, j)?, true))
        }
        [first, second, same @ ("0" | "1")] => Some((folder.join(first), folder.join(second), same == "1")),
        [first, i, second, j] => Some((of_person(first, i)?, of_person(second, j)?, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (person, count) in [("Ada", 2u8), ("Bo", 1)] {
            std::fs::create_dir(folder.path().join(person)).unwrap();
            for number in 1..=count {
                let path = folder.path().join(person).join(format!("{person}_000{number}.png"));
                image::RgbImage::from_pixel(4, 4, image::Rgb([number, u8::from(person == "Ada") + 2, 0]))
                    .save(path)
                    .unwrap();
            }
        }
        folder
    }

    #[test]
    fn pairs_are_read_as_lfw_writes_them_and_as_plain_paths() {
        let folder = images();
        let file = folder.path().join("pairs.txt");
        std::fs::write(&file, "1\t2\nAda\t1\t2\nAda\t2\tBo\t1\n# mine\nBo/Bo_0001.png Ada/Ada_0001.png 0\n").unwrap();
        let pairs = read(&file, folder.path(), None).unwrap();
        assert_eq!(pairs.same, [true, false, false]);
        let first_values: Vec<u8> =
            pairs.images.pixels.bytes().unwrap().chunks(3 * 16).map(|image| image[0] * 10 + image[16]).collect();
        assert_eq!(first_values, [13, 23, 23, 12, 12, 13]);
    }

    #[test]
    fn a_line_that_is_no_pair_and_an_image_that_is_not_there_are_named() {
        let folder = images();
        let file = folder.path().join("pairs.txt");
        let refused = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file, folder.path(), None).unwrap_err().to_string()
        };
        assert!(refused("Ada 1 2\nAda one 2\n").contains("line 2"));
        assert!(refused("Ada 1 7\n").contains("Ada_0007"));
        assert!(refused("10\n").contains("no pair"));
    }
}
