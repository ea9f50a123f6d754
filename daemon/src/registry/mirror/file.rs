//! The mirror's file: a registry as SQLite keeps it, where its records come from, and what the registry has yet to get.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::registry::backend::{Backend, BackendError, Change, Commit, Expected, Stored, Write};
use crate::registry::redis::{ChangedRecord, Changes};
use crate::registry::sqlite::{AFTER_ASCII, Sqlite, generation, signed, stored, unsigned};

const SCHEMA: &str = include_str!("mirror.sql");
/// Deletions that are noted.
const TOMBSTONES_MAX: i64 = 10_000;
/// Revisions of held records have this bit, which no generation reaches: the registry conflicts with every one.
const HELD: u64 = 1 << 62;

/// The mirror's file.
#[derive(Debug)]
pub(super) struct MirrorFile {
    sqlite: Sqlite,
}

/// Where the records come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// The registry's id; empty before the first time.
    pub(super) registry: String,
    /// Its history.
    pub(super) history: String,
}

/// A record that was written while the registry was down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its key.
    pub(super) key: String,
    /// The revision of the record it continues.
    pub(super) base: u64,
    /// Its own.
    pub(super) revision: u64,
    /// Its JSON text.
    pub(super) value: String,
}

impl MirrorFile {
    /// Opens the file, creating it if it is new.
    ///
    /// # Errors
    /// [`BackendError::Unusable`] when it is not a mirror.
    pub(super) fn open(path: &Path) -> Result<Self, BackendError> {
        let sqlite = Sqlite::open(path)?;
        sqlite
            .writer()
            .execute_batch(SCHEMA)
            .map_err(|error| BackendError::Unusable(format!("{}: {error}", path.display())))?;
        Ok(Self { sqlite })
    }

    pub(super) fn origin(&self) -> Result<Origin, BackendError> {
        let connection = self.sqlite.reader();
        let origin = connection
            .prepare_cached("SELECT registry, history FROM origin")?
            .query_row([], |row| Ok(Origin { registry: row.get(0)?, history: row.get(1)? }));
        Ok(origin.optional()?.unwrap_or_default())
    }

    /// Returns the generation up to which every change of the registry's is here.
    pub(super) fn followed(&self) -> Result<u64, BackendError> {
        self.sqlite.generation()
    }

    /// Returns the largest generation known: above what was followed where a commit of this daemon's was the last that was
    /// heard of the registry.
    pub(super) fn generation(&self) -> Result<u64, BackendError> {
        let connection = self.sqlite.reader();
        let mut statement = connection
            .prepare_cached("SELECT max(value, coalesce((SELECT max(generation) FROM change), 0)) FROM generation")?;
        Ok(statement.query_row([], |row| row.get(0).map(unsigned))?)
    }

    /// Returns the record as it was held, else as the registry had it.
    pub(super) fn get(&self, key: &str) -> Result<Option<Stored>, BackendError> {
        get(&self.sqlite.reader(), key)
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>, BackendError> {
        let connection = self.sqlite.reader();
        let mut statement = connection.prepare_cached(
            "SELECT r.key, coalesce(h.revision, r.revision), coalesce(h.value, r.value)
             FROM record r LEFT JOIN held h ON h.key = r.key WHERE r.key >= ?1 AND r.key < ?2 ORDER BY r.key",
        )?;
        let end = format!("{prefix}{AFTER_ASCII}");
        let rows = statement.query_map([prefix, &end], |row| Ok((row.get(0)?, stored(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes over what changed in the registry, as one transaction.
    pub(super) fn apply(&self, changes: &Changes, origin: &Origin) -> Result<(), BackendError> {
        let mut connection = self.sqlite.writer();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if changes.complete {
            transaction.execute_batch("DELETE FROM record; DELETE FROM change")?;
        }
        for record in &changes.records {
            apply(&transaction, record)?;
        }
        transaction.execute("UPDATE generation SET value = ?1", [signed(changes.generation)])?;
        transaction.execute("DELETE FROM origin", [])?;
        transaction.execute("INSERT INTO origin VALUES (?1, ?2)", [&origin.registry, &origin.history])?;
        transaction
            .prepare_cached(
                "DELETE FROM change WHERE key IN
                 (SELECT key FROM change WHERE deleted IS NOT NULL ORDER BY generation DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([TOMBSTONES_MAX])?;
        Ok(transaction.commit()?)
    }

    /// Notes a commit of this daemon's, which others may have come before that are not here yet.
    pub(super) fn note(&self, writes: &[Write], generation: u64) -> Result<(), BackendError> {
        let mut connection = self.sqlite.writer();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            let value = match &write.change {
                Change::Put(value) => Some(value.clone()),
                Change::Delete => None,
                Change::Keep => continue,
            };
            let later: bool = transaction
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM change WHERE key = ?1 AND generation > ?2)")?
                .query_row(params![write.key, signed(generation)], |row| row.get(0))?;
            if !later {
                let key = write.key.clone();
                apply(&transaction, &ChangedRecord { key, changed_at: generation, revision: generation, value })?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Returns what changed after a generation, as the registry had it.
    pub(super) fn changed_after(&self, generation: u64) -> Result<Vec<ChangedRecord>, BackendError> {
        let connection = self.sqlite.reader();
        let mut statement = connection.prepare_cached(
            "SELECT c.key, c.generation, coalesce(c.deleted, r.revision), r.value
             FROM change c LEFT JOIN record r ON r.key = c.key
             WHERE c.generation > ?1 AND (c.deleted IS NOT NULL OR r.key IS NOT NULL)",
        )?;
        let rows = statement.query_map([signed(generation)], |row| {
            Ok(ChangedRecord {
                key: row.get(0)?,
                changed_at: row.get(1).map(unsigned)?,
                revision: row.get(2).map(unsigned)?,
                value: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Holds what is put, if everything is as expected; only records that there are can be continued so.
    pub(super) fn hold(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        let mut connection = self.sqlite.writer();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            let present = get(&transaction, &write.key)?.map(|stored| stored.revision);
            let Expected::Revision(expected) = write.expected else {
                return Err(BackendError::Unavailable(format!("{:?} cannot be created while it is down", write.key)));
            };
            if present != Some(expected) {
                return Ok(Commit::Conflict(write.key.clone()));
            }
            if let Change::Put(value) = &write.change {
                put_held(&transaction, &write.key, value)?;
            }
        }
        let generation = generation(&transaction)?;
        transaction.commit()?;
        Ok(Commit::Done(generation))
    }

    /// Holds a record that the registry lost and has in another state by now, unless what is held continues it already.
    pub(super) fn hold_lost(&self, key: &str, value: &str) -> Result<(), BackendError> {
        let mut connection = self.sqlite.writer();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_held: bool = transaction
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM held WHERE key = ?1)")?
            .query_row([key], |row| row.get(0))?;
        if !is_held {
            put_held(&transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    /// Returns all records held.
    pub(super) fn held(&self) -> Result<Vec<Held>, BackendError> {
        let connection = self.sqlite.reader();
        let mut statement = connection.prepare_cached("SELECT key, base, revision, value FROM held ORDER BY key")?;
        let rows = statement.query_map([], |row| {
            Ok(Held {
                key: row.get(0)?,
                base: row.get(1).map(unsigned)?,
                revision: row.get(2).map(unsigned)?,
                value: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets a held record, unless it was written again since.
    pub(super) fn release(&self, held: &Held) -> Result<(), BackendError> {
        let connection = self.sqlite.writer();
        connection
            .execute("DELETE FROM held WHERE key = ?1 AND revision = ?2", params![held.key, signed(held.revision)])?;
        Ok(())
    }
}

fn get(connection: &Connection, key: &str) -> Result<Option<Stored>, BackendError> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(h.revision, r.revision), coalesce(h.value, r.value)
         FROM record r LEFT JOIN held h ON h.key = r.key WHERE r.key = ?1",
    )?;
    Ok(statement.query_row([key], |row| stored(row, 0)).optional()?)
}

fn apply(connection: &Connection, record: &ChangedRecord) -> Result<(), rusqlite::Error> {
    let deleted = match &record.value {
        Some(value) => {
            connection
                .prepare_cached("INSERT OR REPLACE INTO record (key, revision, value) VALUES (?1, ?2, ?3)")?
                .execute(params![record.key, signed(record.revision), value])?;
            None
        }
        None => {
            connection.prepare_cached("DELETE FROM record WHERE key = ?1")?.execute([&record.key])?;
            Some(signed(record.revision))
        }
    };
    connection
        .prepare_cached("INSERT OR REPLACE INTO change (key, generation, deleted) VALUES (?1, ?2, ?3)")?
        .execute(params![record.key, signed(record.changed_at), deleted])?;
    Ok(())
}

/// Each time it is written, a held record gets a revision that none ever had.
fn put_held(connection: &Connection, key: &str, value: &str) -> Result<(), rusqlite::Error> {
    let last = "SELECT value FROM held_revision";
    let last = connection.prepare_cached(last)?.query_row([], |row| row.get(0)).optional()?;
    let revision = last.map_or(HELD, unsigned) + 1;
    connection.execute("DELETE FROM held_revision", [])?;
    connection.execute("INSERT INTO held_revision VALUES (?1)", [signed(revision)])?;
    connection
        .prepare_cached(
            "INSERT INTO held (key, base, revision, value)
             VALUES (?1, (SELECT revision FROM record WHERE key = ?1), ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value",
        )?
        .execute(params![key, signed(revision), value])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, MirrorFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = MirrorFile::open(&directory.path().join("mirror.sqlite")).unwrap();
        (directory, file)
    }

    fn changed(key: &str, changed_at: u64, revision: u64, value: Option<&str>) -> ChangedRecord {
        ChangedRecord { key: key.into(), changed_at, revision, value: value.map(Into::into) }
    }

    fn apply(file: &MirrorFile, generation: u64, complete: bool, records: Vec<ChangedRecord>) {
        let origin = Origin { registry: "r".into(), history: "h".into() };
        file.apply(&Changes { generation, complete, records }, &origin).unwrap();
    }

    #[test]
    fn what_changed_is_what_a_registry_that_lost_it_gets_back() {
        let (_directory, file) = file();
        apply(&file, 3, false, vec![changed("a", 1, 1, Some("1")), changed("b", 3, 2, Some("2"))]);
        apply(&file, 4, false, vec![changed("a", 4, 4, None)]);
        let mut after = file.changed_after(1).unwrap();
        after.sort_by(|one, other| one.key.cmp(&other.key));
        assert_eq!(after, [changed("a", 4, 4, None), changed("b", 3, 2, Some("2"))]);
        assert_eq!((file.generation().unwrap(), file.get("a").unwrap()), (4, None));
        apply(&file, 9, true, vec![changed("c", 9, 9, Some("3"))]);
        assert_eq!(file.list("").unwrap().len(), 1, "what a complete list lacks is gone");
        assert_eq!(file.origin().unwrap().history, "h");
    }

    #[test]
    fn a_commit_is_noted_without_hiding_those_before_it() {
        let (_directory, file) = file();
        apply(&file, 3, false, vec![changed("a", 3, 3, Some("1"))]);
        let write =
            |value: &str| Write { key: "a".into(), expected: Expected::Revision(3), change: Change::Put(value.into()) };
        file.note(&[write("2")], 7).unwrap();
        file.note(&[write("late")], 6).unwrap();
        assert_eq!(file.get("a").unwrap(), Some(Stored { revision: 7, value: "2".into() }));
        assert_eq!((file.followed().unwrap(), file.generation().unwrap()), (3, 7));
        assert_eq!(file.changed_after(3).unwrap(), [changed("a", 7, 7, Some("2"))]);
    }

    #[test]
    fn held_records_cover_the_registrys_until_they_are_released() {
        let (_directory, file) = file();
        apply(&file, 2, false, vec![changed("job/j", 1, 1, Some("1")), changed("active/d", 2, 2, Some("1"))]);
        let keep =
            |revision| Write { key: "active/d".into(), expected: Expected::Revision(revision), change: Change::Keep };
        let put = |revision, value: &str| Write {
            key: "job/j".into(),
            expected: Expected::Revision(revision),
            change: Change::Put(value.into()),
        };
        assert_eq!(file.hold(&[keep(1), put(1, "2")]).unwrap(), Commit::Conflict("active/d".into()));
        assert!(file.held().unwrap().is_empty());
        assert_eq!(file.hold(&[keep(2), put(1, "2")]).unwrap(), Commit::Done(2));
        let first = file.get("job/j").unwrap().unwrap();
        assert_eq!(first.value, "2");
        assert_eq!(file.hold(&[put(1, "3")]).unwrap(), Commit::Conflict("job/j".into()));
        assert_eq!(file.hold(&[put(first.revision, "3")]).unwrap(), Commit::Done(2));
        let held = file.held().unwrap();
        assert_eq!((held.len(), held[0].base, held[0].value.as_str()), (1, 1, "3"));
        file.release(&Held { revision: first.revision, ..held[0].clone() }).unwrap();
        assert_eq!(file.held().unwrap().len(), 1, "it was written again since");
        file.release(&held[0]).unwrap();
        assert_eq!(file.get("job/j").unwrap().unwrap().value, "1");
        let absent = Write { key: "job/k".into(), expected: Expected::Absent, change: Change::Put("1".into()) };
        assert!(file.hold(&[absent]).is_err());
    }

    #[test]
    fn a_record_that_was_lost_does_not_take_the_place_of_what_was_served_since() {
        let (_directory, file) = file();
        apply(&file, 1, false, vec![changed("job/j", 1, 1, Some("64")), changed("job/k", 1, 1, Some("64"))]);
        let put = Write { key: "job/j".into(), expected: Expected::Revision(1), change: Change::Put("500".into()) };
        file.hold(&[put]).unwrap();
        file.hold_lost("job/j", "64").unwrap();
        file.hold_lost("job/k", "64").unwrap();
        let held: Vec<_> = file.held().unwrap().into_iter().map(|held| (held.key, held.value)).collect();
        assert_eq!(held, [("job/j".into(), "500".into()), ("job/k".into(), "64".to_owned())]);
    }
}
