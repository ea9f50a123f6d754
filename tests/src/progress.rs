//! A trainer's own record of what it trained on, as a checkpoint is.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use swift_sampler_client::Batch;

/// One trained batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trained {
    /// Its step.
    pub step: u64,
    /// The sampler version it followed.
    pub version: u64,
    /// Hash of its indices and probabilities.
    pub hash: u64,
}

/// Bytes of one line. All are as long, so that the length of a file tells how many there are.
const LINE_BYTES: u64 = 10 + 1 + 5 + 1 + 16 + 1;

impl Trained {
    /// Describes a share of a batch: these of its draws.
    #[must_use]
    pub fn on(batch: &Batch, draws: std::ops::Range<usize>) -> Self {
        // FNV-1a, 64 bits.
        let words = draws.clone().map(|draw| batch.indices.get(draw));
        let words = words.chain(batch.probabilities[draws].iter().map(|probability| u64::from(probability.to_bits())));
        let hash = words.flat_map(u64::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { step: batch.step, version: batch.version, hash }
    }

    fn parse(line: &str) -> Self {
        let mut fields = line.split(' ');
        let mut field = |radix| {
            let field = fields.next().and_then(|field| u64::from_str_radix(field, radix).ok());
            field.unwrap_or_else(|| panic!("{line:?} is no line of a progress file"))
        };
        Self { step: field(10), version: field(10), hash: field(16) }
    }
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:010} {:05} {:016x}", self.step, self.version, self.hash)
    }
}

/// A trainer's progress file, open for the next line.
#[derive(Debug)]
pub struct Progress {
    file: File,
    next_step: u64,
}

impl Progress {
    /// Opens the file, and drops a last line that is not whole: its batch was not trained on.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let whole = file.metadata()?.len() / LINE_BYTES * LINE_BYTES;
        file.set_len(whole)?;
        let mut next_step = 0;
        if whole > 0 {
            file.seek(SeekFrom::Start(whole - LINE_BYTES))?;
            let mut last = String::new();
            file.read_to_string(&mut last)?;
            next_step = Trained::parse(last.trim_end()).step + 1;
        }
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, next_step })
    }

    /// Returns the step after the last one trained.
    #[must_use]
    pub fn next_step(&self) -> u64 {
        self.next_step
    }

    /// Adds a line. When this returns, the line survives the process: the system has it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, trained: &Trained) -> io::Result<()> {
        self.file.write_all(trained.to_string().as_bytes())?;
        self.next_step = trained.step + 1;
        Ok(())
    }
}

/// Returns how many whole lines a progress file has; none where there is no file yet.
#[must_use]
pub fn count(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len() / LINE_BYTES)
}

/// Reads the whole lines of a progress file.
#[must_use]
pub fn read(path: &Path) -> Vec<Trained> {
    let text = std::fs::read_to_string(path).expect("a progress file is text");
    let whole = usize::try_from(text.len() as u64 / LINE_BYTES).expect("lines fit in memory");
    text.lines().take(whole).map(Trained::parse).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_torn_line_is_trained_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let trained = |step| Trained { step, version: 2, hash: u64::MAX - step };
        let mut progress = Progress::open(&path).unwrap();
        progress.append(&trained(0)).unwrap();
        progress.append(&trained(1)).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(&trained(2).to_string().as_bytes()[..20]).unwrap();
        assert_eq!(count(&path), 2);
        let mut progress = Progress::open(&path).unwrap();
        assert_eq!(progress.next_step(), 2);
        progress.append(&trained(2)).unwrap();
        assert_eq!(read(&path), [trained(0), trained(1), trained(2)]);
    }
}
