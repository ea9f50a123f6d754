//! Makes the files of a dataset of columns that come in any order, in bounded memory whatever their length.
//!
//! Columns go straight to their file. Features are then sorted, and rows grouped by cell, by passes over that file that
//! each keep what fits in memory, and only the cell of every row is written down for a while. The cells are those of
//! [`Cells::build`], to the bit.

mod distinct;
mod grouping;

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use safetensors::Dtype;
use swift_sampler::{
    Axis, AxisBuilder, CellKeys, Cells, CellsBuilder, ColumnContent, Dataset, DatasetContent, DatasetError,
    FeatureTable, FeatureTableError, GradientFloor, Resolution,
};
use tempfile::TempDir;

use super::files::{self, CELLS_FILE, COLUMNS_FILE, MANIFEST_FILE};
use super::progress::{Phase, Progress};
use super::tensor_file::TensorFile;
use super::{CellsChecksums, Manifest, Store, StoreError, cells, io_error, locked};
use grouping::{Grouping, KeysFile};

/// Memory for values and rows that are being sorted, in bytes, all threads together. Tables of counts come on top, and a
/// few blocks of rows a thread.
const SORTED_BYTES_MAX: usize = 1 << 30;
/// Threads at work, at most.
const THREADS_MAX: usize = 8;
/// How often what was written is sent on to the disk, so that the end need not wait for all of it.
const SYNC_INTERVAL: Duration = Duration::from_millis(200);

/// The cells of rows while they are grouped.
const KEYS_FILE: &str = "keys";

/// What a new dataset consists of, but for its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewColumns {
    /// Names of its columns, in any order.
    pub columns: Vec<String>,
    /// Its examples, fewer than 2^32 and more than none.
    pub rows: usize,
    /// Index of the first example.
    pub first_row: u64,
    /// The features samplers combine by default.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
}

impl NewColumns {
    /// What `dataset` consists of.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        Self {
            columns: dataset.table().names().to_vec(),
            rows: dataset.rows(),
            first_row: dataset.first_row(),
            features: dataset.features().to_vec(),
            gradient_norm: dataset.gradient_norm().map(ToOwned::to_owned),
        }
    }
}

/// A dataset that is being made, in a directory that is deleted unless the store [keeps](Store::keep) it.
#[derive(Debug)]
pub struct Building {
    scratch: TempDir,
    new: NewColumns,
    columns: TensorFile,
    /// The tensor of each of the new columns.
    tensors: Vec<usize>,
    sorted_bytes_max: usize,
}

/// A dataset whose files are made and flushed.
#[derive(Debug)]
pub struct Built {
    scratch: TempDir,
    hash: String,
    content: DatasetContent,
    cells: usize,
}

impl Built {
    /// Returns its hash.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns the directory of its files.
    pub(super) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns what the dataset consists of.
    #[must_use]
    pub fn content(&self) -> &DatasetContent {
        &self.content
    }

    /// Returns the number of its cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.cells
    }
}

impl Store {
    /// Begins to make a dataset.
    ///
    /// # Errors
    /// [`StoreError::Io`], or [`StoreError::Dataset`] when there are more indices than there can be.
    pub fn begin(&self, new: NewColumns) -> Result<Building, StoreError> {
        Dataset::check_first_row(new.first_row, new.rows)?;
        let scratch = self.scratch()?;
        let mut names: Vec<&String> = new.columns.iter().collect();
        names.sort_unstable();
        let tensors: Vec<_> = names.iter().map(|name| ((*name).clone(), Dtype::F64, new.rows)).collect();
        let columns = TensorFile::create(&scratch.path().join(COLUMNS_FILE), &tensors)?;
        let tensor = |name: &String| names.partition_point(|known| *known < name);
        let tensors = new.columns.iter().map(tensor).collect();
        Ok(Building { scratch, columns, tensors, new, sorted_bytes_max: SORTED_BYTES_MAX })
    }
}

impl Building {
    /// Writes values of a column, by its position among the new ones, from a row on.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&self, column: usize, first_row: usize, values: &[f64]) -> Result<(), StoreError> {
        self.columns.write(self.tensors[column], first_row, values)
    }

    /// Returns the file that values may also be written to by others, in which they follow each other as little-endian f64.
    #[must_use]
    pub fn columns_path(&self) -> &Path {
        self.columns.path()
    }

    /// Returns where in [that file](Self::columns_path) the value of a row of a column lies, in bytes.
    #[must_use]
    pub fn value_position(&self, column: usize, row: usize) -> u64 {
        self.columns.position::<f64>(self.tensors[column], row)
    }

    /// Runs `work` while what is written to the columns is sent on to the disk.
    pub fn syncing<T>(&self, work: impl FnOnce() -> T) -> T {
        let (ended, end) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                while end.recv_timeout(SYNC_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    // What cannot be written now is reported when the files are flushed.
                    if self.columns.sync().is_err() {
                        return;
                    }
                }
            });
            let _ended: Sender<()> = ended;
            work()
        })
    }

    /// Groups the examples and writes and flushes the remaining files, once all values are written. Blocks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn finish(self, progress: &Progress) -> Result<Built, StoreError> {
        // Columns are hashed; features are looked through, sorted, and looked up three times; gradient norms are looked
        // through and summed.
        let passes = self.new.columns.len() + 2 * self.new.features.len() + 4;
        progress.begin(Phase::Grouping, (self.new.rows * passes) as u64);
        let (content, cells, checksums) = match Resolution::for_table(self.new.rows, self.new.features.len()) {
            Resolution::Exact => self.build_in_memory(progress)?,
            resolution @ Resolution::Bits(_) => self.syncing(|| self.build(resolution, progress))?,
        };
        progress.begin(Phase::Writing, 0);
        let hash = content.hash();
        let manifest_path = self.scratch.path().join(MANIFEST_FILE);
        let manifest = Manifest::new(content.clone(), checksums);
        fs::write(&manifest_path, manifest.to_json()).map_err(io_error(&manifest_path))?;
        progress.check()?;
        files::flush(self.scratch.path())?;
        Ok(Built { scratch: self.scratch, hash, content, cells })
    }

    /// Few rows are grouped exactly, which is done in memory.
    fn build_in_memory(&self, progress: &Progress) -> Result<Made, StoreError> {
        let NewColumns { rows, first_row, features, gradient_norm, columns } = &self.new;
        let read = |(name, &tensor): (&String, &usize)| {
            let mut values = vec![0.0; *rows];
            self.columns.read(tensor, 0, &mut values)?;
            Ok((name.clone(), values))
        };
        let table = columns.iter().zip(&self.tensors).map(read).collect::<Result<Vec<_>, StoreError>>()?;
        progress.check()?;
        let table = FeatureTable::new(table).map_err(DatasetError::from)?;
        let dataset = Dataset::new(table, features.clone(), gradient_norm.clone())?.with_first_row(*first_row)?;
        let parts = dataset.cells().to_parts().ok_or(DatasetError::CellsMismatch("they have no row order"))?;
        let file = cells::CellsFile::create(&self.scratch.path().join(CELLS_FILE), &cells::Shape::of(&parts))?;
        file.write_order(0, parts.order.as_ref().as_ref())?;
        file.write_tables(&parts)?;
        Ok((DatasetContent::of(&dataset), dataset.cells().len(), file.checksums(progress)?))
    }

    /// Many rows are quantised, which needs no more than a few passes over them.
    fn build(&self, resolution: Resolution, progress: &Progress) -> Result<Made, StoreError> {
        let NewColumns { rows, features, gradient_norm, .. } = &self.new;
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let bytes_max = self.sorted_bytes_max / threads;
        let tensors: Vec<usize> = features.iter().map(|feature| self.tensor(feature)).collect();
        let gradient = gradient_norm.as_ref().map(|column| self.tensor(column));

        let axes: Vec<Mutex<Option<Axis>>> = features.iter().map(|_| Mutex::new(None)).collect();
        let hashes: Vec<Mutex<String>> = self.tensors.iter().map(|_| Mutex::default()).collect();
        let floor = Mutex::new(None);
        let mut work: Vec<Work<'_>> = Vec::new();
        for (axis, &tensor) in axes.iter().zip(&tensors) {
            work.push(Box::new(move || {
                *locked(axis) = Some(self.axis(tensor, resolution, bytes_max, progress)?);
                Ok(())
            }));
        }
        for ((hash, &tensor), column) in hashes.iter().zip(&self.tensors).zip(&self.new.columns) {
            work.push(Box::new(move || {
                let mut wrong = None;
                let find = |first: usize, values: &[f64]| {
                    let at = values.iter().position(|value| !value.is_finite());
                    wrong = wrong.or(at.map(|at| (first + at, values[at])));
                };
                *locked(hash) = self.columns.sha256(tensor, progress, find)?;
                match wrong {
                    None => Ok(()),
                    Some((row, value)) => {
                        let column = column.clone();
                        let error = FeatureTableError::NotFinite { column, row, value };
                        Err(DatasetError::from(error).into())
                    }
                }
            }));
        }
        if let (Some(tensor), Some(column)) = (gradient, gradient_norm) {
            let floor = &floor;
            work.push(Box::new(move || {
                *locked(floor) = Some(self.gradient_floor(tensor, column, progress)?);
                Ok(())
            }));
        }
        side_by_side(work, threads)?;
        let axes: Vec<Axis> = axes.into_iter().filter_map(|axis| locked(&axis).take()).collect();
        let floor = *locked(&floor);

        let keys = CellKeys::new(&axes).expect("axes of few bits have keys of 64");
        let keys_path = self.scratch.path().join(KEYS_FILE);
        let keys_file = KeysFile::create(&keys_path, &keys, *rows)?;
        let grouping = Grouping {
            columns: &self.columns,
            features: &tensors,
            axes: &axes,
            keys,
            keys_file: &keys_file,
            rows: *rows,
            progress,
        };
        let found = grouping.count(threads)?;
        let shape = cells::Shape::new(&axes, *rows, found.len(), gradient.is_some());
        let file = cells::CellsFile::create(&self.scratch.path().join(CELLS_FILE), &shape)?;
        let masses = Mutex::new(None);
        let mut work: Vec<Work<'_>> = Vec::new();
        if let (Some(tensor), Some(floor)) = (gradient, floor) {
            let (grouping, found, masses) = (&grouping, &found, &masses);
            work.push(Box::new(move || {
                *locked(masses) = Some(grouping.masses(found, tensor, floor)?);
                Ok(())
            }));
        }
        for range in found.ranges(bytes_max / size_of::<u32>()) {
            let (grouping, found, file) = (&grouping, &found, &file);
            work.push(Box::new(move || {
                let order = grouping.order(found, &range)?;
                file.write_order(found.start(range.start), &order)
            }));
        }
        side_by_side(work, threads)?;
        fs::remove_file(&keys_path).map_err(io_error(&keys_path))?;
        let masses = locked(&masses).take();

        let mut builder = CellsBuilder::new(features.clone(), axes.clone(), gradient.is_some());
        found.push_to(&mut builder, &grouping.keys, masses.as_deref());
        let cells = builder.finish(file.map_order()?).map_err(DatasetError::CellsMismatch)?;
        let parts = cells.to_parts().ok_or(DatasetError::CellsMismatch("they have no row order"))?;
        file.write_tables(&parts)?;
        Ok((self.content(hashes, &cells), cells.len(), file.checksums(progress)?))
    }

    fn content(&self, hashes: Vec<Mutex<String>>, cells: &Cells) -> DatasetContent {
        let NewColumns { columns, rows, first_row, features, gradient_norm } = self.new.clone();
        let column = |(name, hash): (&String, Mutex<String>)| ColumnContent::of_f64(name, &locked(&hash));
        let mut columns: Vec<ColumnContent> = columns.iter().zip(hashes).map(column).collect();
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        let cells_version = cells.version();
        DatasetContent { rows: rows as u64, first_row, features, gradient_norm, cells_version, columns }
    }

    fn tensor(&self, column: &str) -> usize {
        let position = self.new.columns.iter().position(|name| name == column);
        self.tensors[position.expect("features and gradient norm are among the columns")]
    }

    fn axis(
        &self,
        tensor: usize,
        resolution: Resolution,
        bytes_max: usize,
        progress: &Progress,
    ) -> Result<Axis, StoreError> {
        let mut builder = AxisBuilder::new(self.new.rows as u64, resolution);
        let mut scan = |each: &mut dyn FnMut(&[f64])| {
            self.columns.scan(tensor, (0, self.new.rows), progress, |_first, values| each(values))
        };
        distinct::distinct_values(&mut scan, bytes_max, |value, count| builder.push(value, count))?;
        Ok(builder.finish())
    }

    /// Checks gradient norms, and returns the least that an example counts with.
    fn gradient_floor(&self, tensor: usize, column: &str, progress: &Progress) -> Result<GradientFloor, StoreError> {
        let rows = self.new.rows;
        let mut sums = Vec::with_capacity(rows.div_ceil(GradientFloor::BLOCK_ROWS));
        let mut block = vec![0.0; GradientFloor::BLOCK_ROWS];
        for first in (0..rows).step_by(GradientFloor::BLOCK_ROWS) {
            progress.check()?;
            let norms = &mut block[..GradientFloor::BLOCK_ROWS.min(rows - first)];
            self.columns.read(tensor, first, norms)?;
            if let Some(at) = norms.iter().position(|norm| *norm < 0.0) {
                let (column, row, value) = (column.to_owned(), first + at, norms[at]);
                return Err(DatasetError::NegativeGradientNorm { column, row, value }.into());
            }
            sums.push(GradientFloor::block_sum(norms));
            progress.advance(norms.len());
        }
        Ok(GradientFloor::from_block_sums(sums, rows))
    }
}

/// What was made: the content, the number of cells, and the checksums of their file.
type Made = (DatasetContent, usize, CellsChecksums);

/// A piece of work that may be done beside others.
type Work<'a> = Box<dyn FnOnce() -> Result<(), StoreError> + Send + 'a>;

/// Does pieces of work on so many threads, the first ones first; one that fails keeps the rest from being begun.
fn side_by_side(work: Vec<Work<'_>>, threads: usize) -> Result<(), StoreError> {
    let work = Mutex::new(work.into_iter());
    let failed = Mutex::new(None);
    let run = || {
        while locked(&failed).is_none() {
            let Some(piece) = locked(&work).next() else { return };
            if let Err(error) = piece() {
                locked(&failed).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        run();
        for other in others {
            other.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
