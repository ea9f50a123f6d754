//! What every registry backend must do, as checks that a test calls with a fresh, empty backend.
//!
//! The checks panic where a backend falls short, as tests do.

use std::sync::Arc;

use super::backend::{Backend, Change, Commit, Expected, Write};

/// Runs every check; `fresh` returns an empty backend each time it is called.
///
/// # Panics
/// When the backend breaks the contract of [`Backend`].
pub fn check(mut fresh: impl FnMut() -> Arc<dyn Backend>) {
    an_empty_backend_holds_nothing(&*fresh());
    a_record_is_read_as_written(&*fresh());
    a_stale_revision_conflicts_and_changes_nothing(&*fresh());
    a_deleted_key_is_absent_and_never_gets_an_old_revision_back(&*fresh());
    a_check_guards_without_writing(&*fresh());
    a_list_is_ordered_and_keeps_to_its_prefix(&*fresh());
    what_may_be_held_is_committed(&*fresh());
    a_list_is_as_of_one_moment(&fresh());
    of_many_concurrent_increments_none_is_lost(&fresh());
    presence_changes_no_generation(&*fresh());
}

fn put(key: &str, expected: Expected, value: &str) -> Write {
    Write { key: key.into(), expected, change: Change::Put(value.into()) }
}

fn done(backend: &dyn Backend, writes: &[Write]) -> u64 {
    match backend.commit(writes).expect("the backend answers") {
        Commit::Done(generation) => generation,
        Commit::Conflict(key) => panic!("unexpected conflict on {key}"),
    }
}

fn conflict(backend: &dyn Backend, writes: &[Write]) -> String {
    match backend.commit(writes).expect("the backend answers") {
        Commit::Done(generation) => panic!("committed as generation {generation}, a conflict was due"),
        Commit::Conflict(key) => key,
    }
}

fn value(backend: &dyn Backend, key: &str) -> Option<String> {
    backend.get(key).expect("the backend answers").map(|stored| stored.value)
}

fn an_empty_backend_holds_nothing(backend: &dyn Backend) {
    assert_eq!(backend.get("a").expect("the backend answers"), None);
    assert!(backend.list("").expect("the backend answers").is_empty());
}

fn a_record_is_read_as_written(backend: &dyn Backend) {
    let before = backend.generation().expect("the backend answers");
    let text = r#"{"name":"ünïcode","n":1.5}"#;
    let generation = done(backend, &[put("a/b", Expected::Absent, text)]);
    assert!(generation > before, "a commit makes a new generation");
    let stored = backend.get("a/b").expect("the backend answers").expect("just written");
    assert_eq!((stored.revision, stored.value.as_str()), (generation, text));
    assert_eq!(backend.generation().expect("the backend answers"), generation);
}

fn a_stale_revision_conflicts_and_changes_nothing(backend: &dyn Backend) {
    let first = done(backend, &[put("a", Expected::Absent, "1"), put("b", Expected::Absent, "1")]);
    let second = done(backend, &[put("a", Expected::Revision(first), "2")]);
    let writes = [put("b", Expected::Revision(first), "2"), put("a", Expected::Revision(first), "3")];
    assert_eq!(conflict(backend, &writes), "a");
    assert_eq!(conflict(backend, &[put("b", Expected::Absent, "2")]), "b");
    assert_eq!(conflict(backend, &[put("c", Expected::Revision(first), "2")]), "c");
    assert_eq!(value(backend, "a").as_deref(), Some("2"));
    assert_eq!(value(backend, "b").as_deref(), Some("1"));
    assert_eq!(backend.generation().expect("the backend answers"), second, "a conflict makes no generation");
}

fn a_deleted_key_is_absent_and_never_gets_an_old_revision_back(backend: &dyn Backend) {
    let first = done(backend, &[put("a", Expected::Absent, "1")]);
    let delete = Write { key: "a".into(), expected: Expected::Revision(first), change: Change::Delete };
    let second = done(backend, std::slice::from_ref(&delete));
    assert!(second > first, "a deletion makes a new generation");
    assert_eq!(value(backend, "a"), None);
    assert_eq!(conflict(backend, &[delete]), "a");
    let third = done(backend, &[put("a", Expected::Absent, "1")]);
    assert!(third > second);
    assert_eq!(conflict(backend, &[put("a", Expected::Revision(first), "2")]), "a");
}

fn a_check_guards_without_writing(backend: &dyn Backend) {
    let first = done(backend, &[put("a", Expected::Absent, "1")]);
    let keep = |revision| Write { key: "a".into(), expected: Expected::Revision(revision), change: Change::Keep };
    done(backend, &[keep(first), put("b", Expected::Absent, "1")]);
    let stored = backend.get("a").expect("the backend answers").expect("written above");
    assert_eq!(stored.revision, first, "a check leaves the revision");
    let second = done(backend, &[put("a", Expected::Revision(first), "2")]);
    assert_eq!(conflict(backend, &[keep(first), put("c", Expected::Absent, "1")]), "a");
    assert_eq!(value(backend, "c"), None);
    done(backend, &[keep(second)]);
    assert_eq!(backend.generation().expect("the backend answers"), second, "a bare check makes no generation");
}

fn a_list_is_ordered_and_keeps_to_its_prefix(backend: &dyn Backend) {
    for key in ["s/b/2", "s/a/10", "s/a/02", "sa", "t/a", "s/a-b/1"] {
        done(backend, &[put(key, Expected::Absent, "1")]);
    }
    let keys = |prefix: &str| -> Vec<String> {
        backend.list(prefix).expect("the backend answers").into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys("s/a/"), ["s/a/02", "s/a/10"]);
    assert_eq!(keys("s/"), ["s/a-b/1", "s/a/02", "s/a/10", "s/b/2"]);
    assert_eq!(keys("u/"), [""; 0]);
    for prefix in ["s/a/", "s/", "s", "u/", ""] {
        assert_eq!(backend.count(prefix).expect("the backend answers"), keys(prefix).len(), "{prefix:?}");
    }
}

fn what_may_be_held_is_committed(backend: &dyn Backend) {
    assert_eq!(backend.outage(), None, "the checks want a registry that answers");
    let first = done(backend, &[put("a", Expected::Absent, "1")]);
    let outcome = backend.commit_or_hold(&[put("a", Expected::Revision(first), "2")]).expect("the backend answers");
    assert_eq!(outcome, Commit::Done(first + 1));
    let stale = backend.commit_or_hold(&[put("a", Expected::Revision(first), "3")]).expect("the backend answers");
    assert_eq!(stale, Commit::Conflict("a".into()));
    assert_eq!(value(backend, "a").as_deref(), Some("2"));
}

fn a_list_is_as_of_one_moment(backend: &Arc<dyn Backend>) {
    const ROUNDS: u64 = 50;
    let mut revision = done(&**backend, &[put("p/a", Expected::Absent, "0"), put("p/b", Expected::Absent, "0")]);
    let writer = {
        let backend = Arc::clone(backend);
        std::thread::spawn(move || {
            for round in 1..=ROUNDS {
                let [a, b] = ["p/a", "p/b"].map(|key| put(key, Expected::Revision(revision), &round.to_string()));
                revision = done(&*backend, &[a, b]);
            }
        })
    };
    let mut last = 0;
    while last < ROUNDS {
        let list = backend.list("p/").expect("the backend answers");
        let [(_, a), (_, b)] = list.as_slice() else { panic!("two records were written, {list:?} was read") };
        assert_eq!(a, b, "both are of one commit");
        assert!(a.value.parse::<u64>().is_ok_and(|round| round >= last), "what was read does not go back");
        last = a.value.parse().expect("a number was written");
    }
    writer.join().expect("no writer panics");
}

fn presence_changes_no_generation(backend: &dyn Backend) {
    let before = backend.generation().expect("the backend answers");
    for (daemon, address) in [("one", "a:1"), ("two", "b:2"), ("one", "c:3")] {
        backend.announce(daemon, address).expect("the backend answers");
    }
    let daemons = backend.daemons().expect("the backend answers");
    let both = [("one".to_owned(), "c:3".to_owned()), ("two".to_owned(), "b:2".to_owned())];
    assert!(daemons.is_empty() || daemons == both, "all that were announced, or none that has others: {daemons:?}");
    assert!(backend.list("").expect("the backend answers").is_empty());
    assert_eq!(backend.generation().expect("the backend answers"), before);
}

fn of_many_concurrent_increments_none_is_lost(backend: &Arc<dyn Backend>) {
    const THREADS: u64 = 4;
    const INCREMENTS: u64 = 25;
    done(&**backend, &[put("n", Expected::Absent, "0")]);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let backend = Arc::clone(backend);
            std::thread::spawn(move || (0..INCREMENTS).for_each(|_| increment(&*backend)))
        })
        .collect();
    for thread in threads {
        thread.join().expect("no increment failed");
    }
    assert_eq!(value(&**backend, "n"), Some((THREADS * INCREMENTS).to_string()));
}

fn increment(backend: &dyn Backend) {
    loop {
        let stored = backend.get("n").expect("the backend answers").expect("written at the start");
        let next = stored.value.parse::<u64>().expect("a number") + 1;
        let write = put("n", Expected::Revision(stored.revision), &next.to_string());
        if let Commit::Done(_) = backend.commit(&[write]).expect("the backend answers") {
            return;
        }
    }
}
