//! Files of one dataset as they arrive, from whatever source, into a directory that is not yet the dataset's.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crate::store::{FILES, Manifest, StoreError, bytes_max, io_error};

/// Largest chunk, in bytes.
pub(crate) const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Why a source does not give a dataset.
#[derive(Debug)]
pub(super) enum SourceError {
    /// It does not hold the dataset.
    Absent,
    /// Its copy is damaged.
    Damaged(String),
    /// The transfer broke off: another attempt may go better.
    Broken(String),
    /// What arrives cannot be kept here, whatever the source.
    Unkept(StoreError),
}

/// A dataset that is being received: every file of [`FILES`] in order, each from its first byte to its last.
pub(super) struct Receiving {
    directory: PathBuf,
    hash: String,
    manifest: Option<Manifest>,
    /// Files that are complete.
    done: usize,
    open: Option<OpenFile>,
    bytes: u64,
}

struct OpenFile {
    file: File,
    received: u64,
    size: u64,
}

impl Receiving {
    pub(super) fn new(directory: PathBuf, hash: &str) -> Self {
        Self { directory, hash: hash.to_owned(), manifest: None, done: 0, open: None, bytes: 0 }
    }

    /// Writes the next bytes. Blocks.
    pub(super) fn write(&mut self, file: &str, offset: u64, size: u64, data: &[u8]) -> Result<(), SourceError> {
        let expected = FILES.get(self.done).copied();
        if expected != Some(file) {
            return Err(SourceError::Broken(format!("it sent {file:?} where {expected:?} is due")));
        }
        let path = self.directory.join(file);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                if bytes_max(file, self.manifest.as_ref()).is_none_or(|most| size > most) {
                    return Err(SourceError::Damaged(format!("{file} has {size} bytes, more than it can have")));
                }
                let file = File::create(&path).map_err(|error| SourceError::Unkept(io_error(&path)(error)))?;
                OpenFile { file, received: 0, size }
            }
        };
        let (length, left) = (data.len() as u64, open.size - open.received);
        if offset != open.received || size != open.size || length == 0 || length > left {
            let message = format!("it sent {length} bytes of {file} at {offset} of {size}, after {}", open.received);
            return Err(SourceError::Broken(message));
        }
        open.file.write_all(data).map_err(|error| SourceError::Unkept(io_error(&path)(error)))?;
        open.received += length;
        self.bytes += length;
        if open.received < open.size {
            self.open = Some(open);
            return Ok(());
        }
        self.done += 1;
        if self.manifest.is_none() {
            // The first file: what it says is known by the hash, so it may say how long the others are.
            self.manifest = Some(Manifest::read(&self.directory, &self.hash).map_err(SourceError::Damaged)?);
        }
        Ok(())
    }

    /// Returns the number of bytes received, once all files are complete.
    pub(super) fn finish(self) -> Result<u64, SourceError> {
        match FILES.get(self.done) {
            None => Ok(self.bytes),
            Some(file) => Err(SourceError::Broken(format!("it ended before the end of {file}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use swift_sampler::{Dataset, FeatureTable};

    /// The hash and the files of a stored dataset.
    fn stored() -> (String, Vec<(&'static str, Vec<u8>)>) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let column = |name: &str| (name.to_owned(), (0..100).map(f64::from).collect());
        let table = FeatureTable::new(vec![column("loss"), column("grad_norm")]).unwrap();
        let hash = store.put(&Dataset::new(table, vec!["loss".into()], Some("grad_norm".into())).unwrap()).unwrap();
        let files = FILES.map(|file| (file, std::fs::read(store.place(&hash).join(file)).unwrap()));
        (hash, files.into())
    }

    fn receive(files: &[(&'static str, Vec<u8>)], receiving: &mut Receiving) -> Result<(), SourceError> {
        for (file, bytes) in files {
            let mut offset = 0;
            for chunk in bytes.chunks(1000) {
                receiving.write(file, offset, bytes.len() as u64, chunk)?;
                offset += chunk.len() as u64;
            }
        }
        Ok(())
    }

    #[test]
    fn what_arrives_whole_is_the_dataset() {
        let (hash, files) = stored();
        let (data, store) = {
            let data = tempfile::tempdir().unwrap();
            let store = Store::open(data.path()).unwrap();
            (data, store)
        };
        let scratch = store.scratch().unwrap();
        let mut receiving = Receiving::new(scratch.path().to_owned(), &hash);
        receive(&files, &mut receiving).unwrap();
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(receiving.finish().unwrap(), bytes as u64);
        assert_eq!(store.adopt(&scratch, &hash).unwrap().rows(), 100);
        assert_eq!(store.get(&hash).unwrap().rows(), 100);
        drop(data);
    }

    #[test]
    fn files_of_another_dataset_and_longer_ones_than_the_manifest_allows_are_refused() {
        let (hash, mut files) = stored();
        let directory = tempfile::tempdir().unwrap();
        let mut other = Receiving::new(directory.path().to_owned(), &"0".repeat(64));
        assert!(matches!(receive(&files, &mut other), Err(SourceError::Damaged(reason)) if reason.contains(&hash)));
        files[1].1.extend(vec![0; 100_000]);
        let mut receiving = Receiving::new(directory.path().to_owned(), &hash);
        let refused = receive(&files, &mut receiving);
        assert!(matches!(refused, Err(SourceError::Damaged(reason)) if reason.contains("columns.safetensors")));
    }

    #[test]
    fn chunks_out_of_order_and_files_out_of_order_or_unknown_are_refused() {
        let (hash, files) = stored();
        let directory = tempfile::tempdir().unwrap();
        let receiving = || Receiving::new(directory.path().to_owned(), &hash);
        let broken = |result| assert!(matches!(result, Err(SourceError::Broken(_))), "{result:?}");
        let size = files[0].1.len() as u64;
        broken(receiving().write("columns.safetensors", 0, 10, b"x"));
        broken(receiving().write("../lock", 0, 10, b"x"));
        broken(receiving().write("manifest.json", 1, size, b"x"));
        broken(receiving().write("manifest.json", 0, size, b""));
        broken(receiving().write("manifest.json", 0, 1, b"xx"));
        let mut short = receiving();
        receive(&files[..2], &mut short).unwrap();
        assert!(matches!(short.finish(), Err(SourceError::Broken(reason)) if reason.contains("cells.safetensors")));
    }

    #[test]
    fn a_full_disk_is_told_from_a_source_that_fails() {
        let (hash, files) = stored();
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", directory.path().join("columns.safetensors")).unwrap();
        let mut receiving = Receiving::new(directory.path().to_owned(), &hash);
        let Err(SourceError::Unkept(error)) = receive(&files, &mut receiving) else { panic!("the disk is full") };
        assert!(error.to_string().contains("No space left on device"), "{error}");
    }
}
