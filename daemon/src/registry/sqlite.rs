//! The registry in one SQLite file, which users' own tools may read while the daemon runs.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use super::backend::{Backend, BackendError, Change, Commit, Expected, Stored, Write};

/// Version of the schema below, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 1;
/// How long a statement waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Last character of the range that a prefix covers; keys are ASCII.
pub(super) const AFTER_ASCII: char = '\u{7f}';

const SCHEMA: &str = include_str!("schema.sql");

/// A registry in a SQLite file: write-ahead log, every commit flushed to disk before it is acknowledged.
#[derive(Debug)]
pub struct Sqlite {
    // Reads have their own connection, so that they need not wait for a commit's flush.
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    /// Opens the file, creating it if it is new.
    ///
    /// # Errors
    /// [`BackendError::Unusable`] when it is not a registry, or one of a newer version.
    pub fn open(path: &Path) -> Result<Self, BackendError> {
        let unusable = |error: rusqlite::Error| BackendError::Unusable(format!("{}: {error}", path.display()));
        let refused = |reason: &str| BackendError::Unusable(format!("{}: {reason}", path.display()));
        let mut writer = Connection::open(path).map_err(unusable)?;
        // SQLite opens for reading alone what it cannot open for writing, and keeps another journal where it cannot have
        // the one it was asked for, without a word.
        if writer.is_readonly(MAIN_DB).map_err(unusable)? {
            return Err(refused("it can be read but not written"));
        }
        writer.busy_timeout(BUSY_TIMEOUT).map_err(unusable)?;
        let journal: String =
            writer.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(unusable)?;
        if journal != "wal" {
            return Err(refused(&format!("its journal is {journal:?} and cannot be a write-ahead log")));
        }
        writer.pragma_update(None, "synchronous", "FULL").map_err(unusable)?;
        let found: i64 = writer.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unusable)?;
        match found {
            SCHEMA_VERSION => {}
            0 => create_schema(&mut writer).map_err(unusable)?,
            other => {
                return Err(refused(&format!(
                    "its schema has version {other}, this samplerd knows {SCHEMA_VERSION}: use the samplerd that wrote it"
                )));
            }
        }
        let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(unusable)?;
        reader.busy_timeout(BUSY_TIMEOUT).map_err(unusable)?;
        reader.pragma_update(None, "query_only", true).map_err(unusable)?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    /// Returns the connection that writes, to one caller at a time.
    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        lock(&self.writer)
    }

    /// Returns the connection that reads, to one caller at a time.
    pub(super) fn reader(&self) -> MutexGuard<'_, Connection> {
        lock(&self.reader)
    }
}

impl Backend for Sqlite {
    fn get(&self, key: &str) -> Result<Option<Stored>, BackendError> {
        let connection = self.reader();
        let mut statement = connection.prepare_cached("SELECT revision, value FROM record WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| stored(row, 0)).optional()?)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>, BackendError> {
        let connection = self.reader();
        let mut statement = connection
            .prepare_cached("SELECT key, revision, value FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
        let end = format!("{prefix}{AFTER_ASCII}");
        let rows = statement.query_map([prefix, &end], |row| Ok((row.get(0)?, stored(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count(&self, prefix: &str) -> Result<usize, BackendError> {
        let connection = self.reader();
        let mut statement = connection.prepare_cached("SELECT count(*) FROM record WHERE key >= ?1 AND key < ?2")?;
        let count: i64 = statement.query_row([prefix, &format!("{prefix}{AFTER_ASCII}")], |row| row.get(0))?;
        Ok(usize::try_from(count).expect("a count is not negative"))
    }

    fn commit(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        let mut connection = self.writer();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            let revision = transaction
                .prepare_cached("SELECT revision FROM record WHERE key = ?1")?
                .query_row([&write.key], |row| row.get(0).map(unsigned))
                .optional()?;
            let as_expected = match write.expected {
                Expected::Absent => revision.is_none(),
                Expected::Revision(expected) => revision == Some(expected),
            };
            if !as_expected {
                return Ok(Commit::Conflict(write.key.clone()));
            }
        }
        let mut generation = generation(&transaction)?;
        if writes.iter().any(|write| write.change != Change::Keep) {
            generation += 1;
            transaction.execute("UPDATE generation SET value = ?1", [signed(generation)])?;
            for write in writes {
                apply(&transaction, write, generation)?;
            }
        }
        transaction.commit()?;
        Ok(Commit::Done(generation))
    }

    fn generation(&self) -> Result<u64, BackendError> {
        Ok(generation(&self.reader())?)
    }
}

fn create_schema(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn apply(transaction: &Transaction<'_>, write: &Write, generation: u64) -> Result<(), rusqlite::Error> {
    match &write.change {
        Change::Put(value) => transaction
            .prepare_cached("INSERT OR REPLACE INTO record (key, revision, value) VALUES (?1, ?2, ?3)")?
            .execute(params![write.key, signed(generation), value])
            .map(drop),
        Change::Delete => {
            transaction.prepare_cached("DELETE FROM record WHERE key = ?1")?.execute([&write.key]).map(drop)
        }
        Change::Keep => Ok(()),
    }
}

pub(super) fn generation(connection: &Connection) -> Result<u64, rusqlite::Error> {
    connection.prepare_cached("SELECT value FROM generation")?.query_row([], |row| row.get(0).map(unsigned))
}

pub(super) fn stored(row: &rusqlite::Row<'_>, first: usize) -> Result<Stored, rusqlite::Error> {
    Ok(Stored { revision: row.get(first).map(unsigned)?, value: row.get(first + 1)? })
}

// SQLite's integers are signed; generations count up from 0 and stay far below 2^63.
pub(super) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

pub(super) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

/// A transaction that panicked was rolled back, so the connection stays good.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<rusqlite::Error> for BackendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(format!("SQLite: {error}"))
    }
}
