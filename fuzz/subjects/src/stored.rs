//! Files of a stored dataset, which are mapped.

use std::cell::RefCell;
use std::fs;

use swift_sampler_daemon::store::{FILES, Store};
use tempfile::TempDir;

use crate::folder::folder;
use crate::records::DATASET;

thread_local! {
    static STORED: RefCell<Stored> = RefCell::new(Stored::new());
}

struct Stored {
    directory: TempDir,
    hash: String,
}

impl Stored {
    fn new() -> Self {
        let directory = folder();
        let store = Store::open(directory.path()).expect("the folder is empty");
        let hash = store.put(&DATASET).expect("the folder takes a dataset");
        Self { directory, hash }
    }
}

/// Returns the files of the dataset, each behind the byte that says which one it is.
#[must_use]
pub fn stored_files() -> Vec<Vec<u8>> {
    STORED.with_borrow(|stored| {
        let place = stored.directory.path().join("datasets").join(&stored.hash);
        let file =
            |(number, name)| [&[number][..], &fs::read(place.join(name)).expect("the dataset is whole")].concat();
        (0..).zip(FILES).map(file).collect()
    })
}

/// Opens a dataset one of whose files is of these bytes but the first, which says which one; as large datasets are opened,
/// before they are checked. What is not refused can be read.
pub fn stored(data: &[u8]) {
    let Some((file, data)) = data.split_first() else { return };
    STORED.with_borrow_mut(|stored| {
        // Another store each time, which does not know what was found before.
        let store = Store::open(stored.directory.path()).expect("the folder is a store's");
        let store = store.with_checked_first_bytes_max(0);
        let place = store.place(&stored.hash).join(FILES[usize::from(*file) % FILES.len()]);
        let whole = fs::read(&place).expect("the dataset is whole");
        // Not in place: what was mapped before may still be.
        fs::remove_file(&place).and_then(|()| fs::write(&place, data)).expect("the folder takes a file");
        match store.get(&stored.hash) {
            Ok(dataset) => {
                let values = dataset.table().columns().map(|(_, values)| values.len()).sum::<usize>();
                assert_eq!(values, 300);
                drop(dataset);
                fs::remove_file(&place).and_then(|()| fs::write(&place, whole)).expect("the folder takes a file");
            }
            // It is in quarantine now.
            Err(_) => {
                assert_eq!(store.put(&DATASET).expect("the folder takes a dataset"), stored.hash);
            }
        }
    });
}
