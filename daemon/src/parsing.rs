//! Users' files are parsed in a process of their own, which may take so much memory and time and no more: whatever a file
//! does to its parser, the daemon serves on.
//!
//! The process is this program again, with [`CHILD_ARGUMENT`] as its first argument. It finds the files in the import's
//! directory, says what they consist of, is told where in the file of columns each column lies, and writes the values
//! there. So no byte of a user's file is interpreted by the daemon, which hashes and sorts what numbers it finds.

mod confined;
mod error;
mod process;
mod protocol;
mod writing;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use swift_sampler_files::{FeatureFiles, Missing, Selection, SourceFile};

use crate::error::Error;
use crate::store::Progress;
use process::Process;
use writing::write_columns;

pub use confined::run_child;
pub use error::{ParseError, Refusal, RefusedFor};
pub use writing::Target;

/// First argument of a program that is to parse files; the second says to people where these lie.
pub const CHILD_ARGUMENT: &str = "parse-files";

/// Where files are parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsing {
    /// In a process that runs this program, `samplerd` or one that calls [`run_child`] when it is called so.
    Child(PathBuf),
    /// In the daemon's process, without limits: a file that ends its parser ends the daemon. For programs that have a daemon
    /// within them and trust their files.
    InProcess,
}

/// What parsing may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// Rows of all files.
    pub rows_max: usize,
    /// Memory of the process, in bytes of its address space.
    pub memory_bytes_max: u64,
    /// Time of either part of it: until it is known what files consist of, and from when their values are read.
    pub time_max: Duration,
}

/// What is to be parsed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// The files; each is deleted once all of it was read.
    pub files: Vec<SourceFile>,
    /// Which columns have a meaning; `None`: none has to be there.
    pub selection: Option<Selection>,
    /// What becomes of missing values.
    pub missing: Missing,
}

/// The missing values of a column that were imputed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imputed {
    /// The column.
    pub column: String,
    /// How many there were.
    pub values: u64,
    /// The first row, counted over all files.
    pub first_row: u64,
    /// What they are now: the median of the others.
    pub value: f64,
}

/// What files consist of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Names of the numeric columns.
    pub columns: Vec<String>,
    /// Rows of all files.
    pub rows: usize,
    /// The features.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
    /// Columns left out because they are not numeric.
    pub skipped: Vec<String>,
}

/// Files whose parser knows what they consist of and waits to be told where their values go.
#[derive(Debug)]
pub struct Parse {
    description: Description,
    parser: Parser,
}

#[derive(Debug)]
enum Parser {
    Child(Process),
    InProcess(FeatureFiles, Vec<SourceFile>),
}

impl Parsing {
    /// Learns what files consist of. Blocks.
    ///
    /// # Errors
    /// [`Error::Parse`] when they are refused or their parser ends, [`Error::Store`] when nobody waits for it any more.
    pub fn open(&self, upload: Upload, limits: ParseLimits, progress: &Progress) -> Result<Parse, Error> {
        match self {
            Self::Child(program) => {
                let (process, description) = Process::start(program, &upload, limits, progress)?;
                Ok(Parse { description, parser: Parser::Child(process) })
            }
            Self::InProcess => {
                let files = open_files(&upload, limits.rows_max).map_err(ParseError::Refused)?;
                Ok(Parse { description: Description::of(&files), parser: Parser::InProcess(files, upload.files) })
            }
        }
    }
}

impl Parse {
    /// Returns what the files consist of.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Reads all values to their places, and returns what was imputed. Blocks.
    ///
    /// # Errors
    /// As [`Parsing::open`].
    pub fn read_into(self, target: &Target, progress: &Progress) -> Result<Vec<Imputed>, Error> {
        match self.parser {
            Parser::Child(process) => process.read_into(target, progress),
            Parser::InProcess(files, sources) => write_columns(&files, &sources, target, |values| {
                progress.check()?;
                progress.advance(values);
                Ok(())
            }),
        }
    }
}

impl Description {
    fn of(files: &FeatureFiles) -> Self {
        Self {
            columns: files.columns().to_vec(),
            rows: files.rows(),
            features: files.features().to_vec(),
            gradient_norm: files.gradient_norm().map(ToOwned::to_owned),
            skipped: files.skipped().to_vec(),
        }
    }
}

fn open_files(upload: &Upload, rows_max: usize) -> Result<FeatureFiles, Refusal> {
    let opened = match &upload.selection {
        Some(selection) => FeatureFiles::open(&upload.files, selection, rows_max),
        None => FeatureFiles::open_all(&upload.files, rows_max),
    };
    opened.map(|files| files.with_missing(upload.missing)).map_err(|error| Refusal::of(&error))
}
