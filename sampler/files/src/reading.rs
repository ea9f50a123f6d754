//! Reads the columns of several files at the same time, into whatever takes them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use swift_sampler::CropColumn;

use crate::column::{Block, Column, Emit, Kind};
use crate::limits::{COLUMNS_MAX, NAME_BYTES_MAX, quoted};
use crate::part::{Fault, Part};
use crate::selection::Selected;
use crate::{Format, Missing, MissingValues, ReadError, Selection, SourceFile, csv, npz, parquet, safetensors};

/// Threads that read files, at most.
const THREADS_MAX: usize = 8;

/// Takes the values of columns, from several threads and in any order, each value once.
pub trait ColumnSink: Sync {
    /// Why values cannot be taken.
    type Error: Send;

    /// Takes values of a column of [`FeatureFiles::columns`], by its position, from a row on; rows are counted over all
    /// files.
    ///
    /// # Errors
    /// Whatever ends the reading.
    fn take(&self, column: usize, first_row: usize, values: &[f64]) -> Result<(), Self::Error>;

    /// Is told that all of a file has been taken, by its position.
    ///
    /// # Errors
    /// Whatever ends the reading.
    fn file_done(&self, _file: usize) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Why reading files into a sink ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadIntoError<E> {
    /// A file is refused.
    File(ReadError),
    /// The sink refuses.
    Sink(E),
}

/// Files that make the columns of one dataset: what they consist of is known, their values are not read yet.
#[derive(Debug)]
pub struct FeatureFiles {
    sources: Vec<Source>,
    selected: Selected,
    rows: usize,
    missing: Missing,
}

/// A file that is known to agree with the others.
#[derive(Debug)]
struct Source {
    file: SourceFile,
    columns: Vec<Column>,
    layout: Layout,
    /// Its first row among those of all files.
    first_row: usize,
    /// For each of its columns, the position among [`FeatureFiles::columns`].
    positions: Vec<Option<usize>>,
    /// For each of its columns, what it says of crops.
    crop_columns: Vec<Option<CropColumn>>,
}

/// What a format says of where values lie.
#[derive(Debug)]
enum Layout {
    Parquet(parquet::Layout),
    Safetensors(safetensors::Layout),
    Npz(npz::Layout),
    Csv,
}

impl FeatureFiles {
    /// Learns what files consist of, from their heads or footers; a CSV file is read whole for it. Blocks.
    ///
    /// # Errors
    /// [`ReadError`] naming the file and column that are wrong, or the limit of rows that a file goes beyond.
    pub fn open(files: &[SourceFile], selection: &Selection, rows_max: usize) -> Result<Self, ReadError> {
        Self::open_with(files, rows_max, |file, columns| Selected::new(file, columns, selection))
    }

    /// As [`Self::open`], whatever the columns are: none is a feature, and none has to be there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_all(files: &[SourceFile], rows_max: usize) -> Result<Self, ReadError> {
        Self::open_with(files, rows_max, |_file, columns| Ok(Selected::all(columns)))
    }

    fn open_with(
        files: &[SourceFile],
        rows_max: usize,
        select: impl FnOnce(&str, &[Column]) -> Result<Selected, ReadError>,
    ) -> Result<Self, ReadError> {
        let Some(first) = files.first() else { return Err(ReadError::NoFiles) };
        let (mut sources, mut rows) = (Vec::<Source>::with_capacity(files.len()), 0);
        for file in files {
            let (columns, layout) = describe(file, rows_max - rows)?;
            let file_rows = check(file, &columns)?;
            if let Some(first) = sources.first() {
                compare(first, file, &columns)?;
            }
            let (file, first_row) = (file.clone(), rows);
            let (positions, crop_columns) = (Vec::new(), Vec::new());
            sources.push(Source { file, columns, layout, first_row, positions, crop_columns });
            rows += file_rows;
        }
        let selected = select(&first.name, &sources[0].columns)?;
        let is_bank = CropColumn::make_bank(&selected.columns);
        for source in &mut sources {
            let crop_column = |column: &Column| CropColumn::of_name(&column.name).filter(|_| is_bank);
            source.crop_columns = source.columns.iter().map(crop_column).collect();
            let position = |column: &Column| selected.columns.iter().position(|name| *name == column.name);
            source.positions = source.columns.iter().map(position).collect();
        }
        Ok(Self { sources, selected, rows, missing: Missing::default() })
    }

    /// Says what becomes of missing values; without it they are refused.
    #[must_use]
    pub fn with_missing(self, missing: Missing) -> Self {
        Self { missing, ..self }
    }

    /// Returns the number of rows of all files.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the names of the numeric columns, in the order of the first file.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.selected.columns
    }

    /// Returns the features.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.selected.features
    }

    /// Returns the column of gradient norms.
    #[must_use]
    pub fn gradient_norm(&self) -> Option<&str> {
        self.selected.gradient_norm.as_deref()
    }

    /// Returns the columns left out because they are not numeric.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.selected.skipped
    }

    /// Reads all values into a sink, on as many threads as there are cores, and returns what is missing of each column that has
    /// missing values, if these are [imputed](Missing::Impute): the sink takes NaN for each. Takes memory for a few blocks of rows a
    /// thread, whatever the files' size. Blocks.
    ///
    /// # Errors
    /// The sink's error; or [`ReadError`] naming the file, column and row that are wrong: the first row of the first file,
    /// whichever thread finds it.
    pub fn read_into<S: ColumnSink>(&self, sink: &S) -> Result<Vec<MissingValues>, ReadIntoError<S::Error>> {
        let parts: Vec<(usize, Part)> = self.sources.iter().enumerate().flat_map(Source::parts).collect();
        let left = |file| AtomicUsize::new(parts.iter().filter(|(of, _)| *of == file).count());
        let reading = Reading {
            sources: &self.sources,
            sink,
            missing: self.missing,
            missing_values: Mutex::default(),
            left: (0..self.sources.len()).map(left).collect(),
            parts,
            next: AtomicUsize::new(0),
            end: Mutex::new(End { fault: None, refusal: None }),
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(THREADS_MAX).min(reading.parts.len());
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| reading.run());
            }
            reading.run();
        });
        let missing_values = reading.missing_values.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = reading.end.into_inner().unwrap_or_else(PoisonError::into_inner);
        match end {
            End { refusal: Some(error), .. } => Err(ReadIntoError::Sink(error)),
            End { fault: Some((_, error)), .. } => Err(ReadIntoError::File(error)),
            End { fault: None, refusal: None } => Ok(missing_values.into_values().collect()),
        }
    }
}

impl Source {
    fn parts((file, source): (usize, &Self)) -> Vec<(usize, Part)> {
        let parts = match &source.layout {
            Layout::Parquet(layout) => layout.parts(&source.columns),
            Layout::Safetensors(_) | Layout::Npz(_) => Part::columns(&source.columns, 0, 0).collect(),
            Layout::Csv => vec![Part::WHOLE],
        };
        parts.into_iter().map(|part| (file, part)).collect()
    }

    fn read(&self, part: Part, missing: Missing, emit: &mut Emit<'_>) -> Result<(), Fault> {
        let read = || match &self.layout {
            Layout::Parquet(layout) => layout.read(&self.file, &self.columns, part, missing, emit),
            Layout::Safetensors(layout) => layout.read(&self.file, &self.columns, part, emit),
            Layout::Npz(layout) => layout.read(&self.file, &self.columns, part, emit),
            Layout::Csv => csv::read(&self.file, &self.columns, missing, emit),
        };
        let Part { row, column, .. } = part;
        unpanicked(&self.file, read).unwrap_or_else(|error| Err(Fault { row, column, error }))
    }
}

/// Where a fault lies: file, row and column, by which the first one is told.
type Place = (usize, usize, usize);

/// What ends the reading early.
struct End<E> {
    /// The first fault found so far.
    fault: Option<(Place, ReadError)>,
    /// What the sink refused with.
    refusal: Option<E>,
}

/// The parts of files as threads take them, in order, so that no fault is passed over for a later one.
struct Reading<'a, S: ColumnSink> {
    sources: &'a [Source],
    sink: &'a S,
    missing: Missing,
    /// By the column's position.
    missing_values: Mutex<BTreeMap<usize, MissingValues>>,
    parts: Vec<(usize, Part)>,
    next: AtomicUsize,
    /// Parts of each file that are not read yet.
    left: Vec<AtomicUsize>,
    end: Mutex<End<S::Error>>,
}

impl<S: ColumnSink> Reading<'_, S> {
    fn run(&self) {
        while let Some(&(file, part)) = self.parts.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if !self.wants(file, part.row) {
                return;
            }
            let source = &self.sources[file];
            let read = source.read(part, self.missing, &mut |block| self.take(file, source, &block));
            match read {
                Err(Fault { row, column, error }) => self.note_fault((file, row, column), error),
                Ok(()) if self.left[file].fetch_sub(1, Ordering::AcqRel) == 1 && self.wants(file, usize::MAX) => {
                    self.note(self.sink.file_done(file));
                }
                Ok(()) => {}
            }
        }
    }

    /// Checks values and hands them on.
    fn take(&self, file: usize, source: &Source, block: &Block<'_>) -> ControlFlow<()> {
        let &Block { column, row, values } = block;
        if !self.wants(file, row) {
            return ControlFlow::Break(());
        }
        // Counted without a branch, which is several times faster.
        let wrong = values.iter().map(|value| usize::from(!value.is_finite())).sum::<usize>();
        if wrong > 0 && self.missing == Missing::Impute && source.crop_columns[column].is_none() {
            self.take_with_missing(source, block);
        } else if wrong > 0
            && let Some(at) = values.iter().position(|value| !value.is_finite())
        {
            let (name, row, value) = (source.columns[column].name.clone(), row + at, values[at]);
            let error = ReadError::NotFinite { file: source.file.name.clone(), column: name, row, value };
            self.note_fault((file, row, column), error);
        } else if let Some(crop) = source.crop_columns[column]
            && let Some(at) = values.iter().position(|&value| !crop.accepts(value))
        {
            let (name, row, value) = (source.columns[column].name.clone(), row + at, values[at]);
            let error = ReadError::Crop { file: source.file.name.clone(), column: name, row, value, rule: crop.rule() };
            self.note_fault((file, row, column), error);
        } else if let Some(position) = source.positions[column] {
            self.note(self.sink.take(position, source.first_row + row, values));
        }
        ControlFlow::Continue(())
    }

    /// Notes which values are missing, and hands all on.
    fn take_with_missing(&self, source: &Source, block: &Block<'_>) {
        let &Block { column, row, values } = block;
        let (Some(position), Some(at)) = (source.positions[column], values.iter().position(|value| !value.is_finite()))
        else {
            return;
        };
        let values: Vec<f64> = values.iter().map(|value| if value.is_finite() { *value } else { f64::NAN }).collect();
        let (first_row, count) =
            (source.first_row + row + at, values.iter().filter(|value| value.is_nan()).count() as u64);
        let mut missing = self.missing_values.lock().unwrap_or_else(PoisonError::into_inner);
        let known = missing.entry(position).or_insert(MissingValues { column: position, first_row, values: 0 });
        known.first_row = known.first_row.min(first_row);
        known.values += count;
        drop(missing);
        self.note(self.sink.take(position, source.first_row + row, &values));
    }

    /// Tells whether a row is still wanted: there is no refusal, and no fault in a row before it.
    fn wants(&self, file: usize, row: usize) -> bool {
        let end = self.end();
        end.refusal.is_none()
            && end.fault.as_ref().is_none_or(|((in_file, in_row, _), _)| (file, row) <= (*in_file, *in_row))
    }

    fn note_fault(&self, place: Place, error: ReadError) {
        let mut end = self.end();
        if end.fault.as_ref().is_none_or(|(known, _)| place < *known) {
            end.fault = Some((place, error));
        }
    }

    fn note(&self, taken: Result<(), S::Error>) {
        if let Err(error) = taken {
            self.end().refusal.get_or_insert(error);
        }
    }

    fn end(&self) -> MutexGuard<'_, End<S::Error>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(file: &SourceFile, rows_max: usize) -> Result<(Vec<Column>, Layout), ReadError> {
    unpanicked(file, || match file.format {
        Format::Parquet => {
            parquet::describe(file, rows_max).map(|(columns, layout)| (columns, Layout::Parquet(layout)))
        }
        Format::Safetensors => {
            safetensors::describe(file, rows_max).map(|(columns, layout)| (columns, Layout::Safetensors(layout)))
        }
        Format::Npz => npz::describe(file, rows_max).map(|(columns, layout)| (columns, Layout::Npz(layout))),
        Format::Csv => csv::describe(file, rows_max).map(|columns| (columns, Layout::Csv)),
    })?
}

/// Runs a parser: those of damaged files may panic; nothing of theirs outlives the call.
fn unpanicked<T>(file: &SourceFile, parse: impl FnOnce() -> T) -> Result<T, ReadError> {
    catch_unwind(AssertUnwindSafe(parse)).map_err(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "the parser failed".to_owned());
        file.unreadable(&reason)
    })
}

/// Checks one file by itself, and returns its number of rows.
fn check(file: &SourceFile, columns: &[Column]) -> Result<usize, ReadError> {
    if columns.len() > COLUMNS_MAX {
        return Err(ReadError::TooManyColumns { file: file.name.clone(), columns: columns.len() });
    }
    let mut first: Option<(&str, usize)> = None;
    for (position, column) in columns.iter().enumerate() {
        if column.name.len() > NAME_BYTES_MAX {
            let (file, column, bytes) = (file.name.clone(), quoted(&column.name), column.name.len());
            return Err(ReadError::LongName { file, column, bytes });
        }
        if columns[..position].iter().any(|other| other.name == column.name) {
            return Err(ReadError::RepeatedColumn { file: file.name.clone(), column: column.name.clone() });
        }
        let Kind::Numbers { rows } = column.kind else { continue };
        match first {
            None => first = Some((&column.name, rows)),
            Some((_, expected)) if expected == rows => {}
            Some((name, expected)) => {
                let (file, column, first) = (file.name.clone(), column.name.clone(), name.to_owned());
                return Err(ReadError::UnequalRows { file, column, rows, first, expected });
            }
        }
    }
    match first {
        Some((_, rows)) if rows > 0 => Ok(rows),
        _ => Err(ReadError::Empty { file: file.name.clone() }),
    }
}

/// Checks that a later file has the columns of the first.
fn compare(first: &Source, file: &SourceFile, columns: &[Column]) -> Result<(), ReadError> {
    let unequal = |column: &str| ReadError::UnequalColumns {
        file: file.name.clone(),
        first: first.file.name.clone(),
        column: column.to_owned(),
    };
    let is_number = |column: &Column| matches!(column.kind, Kind::Numbers { .. });
    let find = |columns: &[Column], name: &str| columns.iter().find(|column| column.name == name).map(is_number);
    if let Some(extra) = columns.iter().find(|column| find(&first.columns, &column.name).is_none()) {
        return Err(unequal(&extra.name));
    }
    match first.columns.iter().find(|column| find(columns, &column.name) != Some(is_number(column))) {
        Some(column) => Err(unequal(&column.name)),
        None => Ok(()),
    }
}
