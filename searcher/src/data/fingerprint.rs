//! A name for the content of a split, cheap to make: by it a worker elsewhere knows that it has the same data.

use sha2::{Digest, Sha256};

use super::{LabelledImages, Split, Values};

/// Images of each set whose values are hashed, evenly spaced; of all, their labels are.
const IMAGES_HASHED: usize = 64;

impl Split {
    /// Returns the SHA-256, in hexadecimal, of the sets' shapes and sizes, of all labels and of the values of 64 images a set.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for set in [&self.train, &self.validation, &self.test] {
            add(&mut hash, set);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn add(hash: &mut Sha256, set: &LabelledImages) {
    for size in [set.len(), set.shape.channels, set.shape.height, set.shape.width] {
        hash.update((size as u64).to_le_bytes());
    }
    for label in set.labels.iter().chain(&set.true_labels) {
        hash.update(label.to_le_bytes());
    }
    let size = set.shape.pixels();
    for image in (0..set.len()).step_by(set.len().div_ceil(IMAGES_HASHED).max(1)) {
        let range = image * size..(image + 1) * size;
        match &set.pixels {
            Values::Bytes(values) => hash.update(&values[range]),
            Values::Floats(values) => values[range].iter().for_each(|value| hash.update(value.to_le_bytes())),
        }
    }
}
