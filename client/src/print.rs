//! Printing: tables for people, JSON lines for programs.

use std::io::{self, StdoutLock, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns.
    Table,
    /// One JSON object a line.
    Json,
}

/// Something that can stand in a row of a table.
pub(crate) trait Row: Serialize {
    /// Heads of the columns.
    const HEADS: &'static [&'static str];

    /// One text a column.
    fn cells(&self) -> Vec<String>;
}

/// Standard output, in the form asked for.
pub(crate) struct Printer {
    output: Output,
    out: io::BufWriter<StdoutLock<'static>>,
}

impl Printer {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, out: io::BufWriter::new(io::stdout().lock()) }
    }

    /// Prints rows as one table, or a line each.
    pub(crate) fn list<R: Row>(&mut self, rows: &[R]) -> io::Result<()> {
        match self.output {
            Output::Json => rows.iter().try_for_each(|row| self.line(row))?,
            Output::Table => {
                let mut lines = vec![R::HEADS.iter().map(|head| head.to_uppercase()).collect::<Vec<_>>()];
                lines.extend(rows.iter().map(Row::cells));
                self.table(&lines)?;
            }
        }
        self.out.flush()
    }

    /// Prints one thing: its fields below each other, or a line.
    pub(crate) fn one<R: Row>(&mut self, row: &R) -> io::Result<()> {
        match self.output {
            Output::Json => self.line(row)?,
            Output::Table => {
                let heads = R::HEADS.iter().map(|head| (*head).to_owned());
                let lines: Vec<_> = heads.zip(row.cells()).map(|(head, cell)| vec![head, cell]).collect();
                self.table(&lines)?;
            }
        }
        self.out.flush()
    }

    /// Prints a sentence, or an object that says the same.
    pub(crate) fn done(&mut self, sentence: &str, object: &impl Serialize) -> io::Result<()> {
        match self.output {
            Output::Json => self.line(object)?,
            Output::Table => writeln!(self.out, "{sentence}")?,
        }
        self.out.flush()
    }

    /// Prints a JSON line whatever the form.
    pub(crate) fn line(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, object)?;
        self.out.write_all(b"\n")
    }

    /// Prints text as it is.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    /// Hands on what was printed so far.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn table(&mut self, lines: &[Vec<String>]) -> io::Result<()> {
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in lines {
            let padded: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(self.out, "{}", padded.join("  ").trim_end())?;
        }
        Ok(())
    }
}
