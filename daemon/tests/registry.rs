//! The SQLite backend keeps its contract.

use std::sync::Arc;

use swift_sampler_daemon::registry::{Backend, Change, Expected, Sqlite, Write, conformance};

use crate::harness::backend;

#[test]
fn sqlite_conforms() {
    let mut directories = Vec::new();
    conformance::check(|| {
        let directory = tempfile::tempdir().unwrap();
        let backend = backend(directory.path());
        directories.push(directory);
        backend
    });
}

#[test]
fn records_and_generation_survive_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let write = Write { key: "a".into(), expected: Expected::Absent, change: Change::Put("1".into()) };
    let first = backend(directory.path());
    first.commit(&[write]).unwrap();
    let generation = first.generation().unwrap();
    drop(first);
    let second = backend(directory.path());
    assert_eq!(second.generation().unwrap(), generation);
    assert_eq!(second.get("a").unwrap().unwrap().value, "1");
}

#[test]
fn two_processes_opening_one_file_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second): (Arc<dyn Backend>, _) = (backend(directory.path()), backend(directory.path()));
    let write = Write { key: "a".into(), expected: Expected::Absent, change: Change::Put("1".into()) };
    first.commit(&[write]).unwrap();
    assert_eq!(second.get("a").unwrap().unwrap().value, "1");
}

#[test]
fn a_registry_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Sqlite::open(&path).unwrap_err().to_string();
    assert!(error.contains("schema has version 99"), "{error}");
}

#[test]
fn a_file_that_is_no_registry_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    std::fs::write(&path, "this is not a database, but long enough to be looked at as one").unwrap();
    assert!(Sqlite::open(&path).is_err());
}
