//! The shared registry as Redis or Valkey holds it: records under one hash tag, changed by scripts only.
//!
//! | key | holds |
//! |---|---|
//! | `registry` | a hash: id, schema, generation, the name of its history and where that forked from the one before |
//! | `records` | a hash: of each key the revision and, after a space, the JSON text; a deleted record has no text |
//! | `keys` | a sorted set of the keys that have a record, for lists by prefix |
//! | `changes` | a sorted set: at which generation each key changed last |
//! | `tombstones` | a sorted set: the revisions of deleted records, the oldest of which are forgotten |
//! | `commit:ID` | the generation a commit made, for as long as its answer may be asked for again |
//! | `daemons`, `daemons:times` | where daemons are reached, and when they last said so |
//!
//! A script runs as of one moment, and not at all where the history is not the one that the caller joined.

mod connections;
mod fault;
mod scripts;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Connection, FromRedisValue, RedisError, Script, ScriptInvocation};

use super::backend::{BackendError, Change, Commit, Expected, PRESENCE_TTL, Stored, Write};
use connections::{Connections, Server};
use scripts::Scripts;

pub(super) use fault::Fault;
pub use url::{RedisUrl, RedisUrlError};

/// Version of the keys above.
const SCHEMA_VERSION: u32 = 1;
/// Begins every key, so that all lie in one slot of a cluster.
const HASH_TAG: &str = "{swiftsampler}";
/// Where generations are published.
const CHANNEL: &str = "{swiftsampler}:generations";
/// Generations left out where a history forks: no server loses as many commits.
const HISTORY_GAP: u64 = 1 << 20;
/// How long the outcome of a commit can be asked for again.
const OUTCOME_TTL: Duration = Duration::from_secs(60);
/// Deletions that are noted; whoever is further behind reads everything.
const TOMBSTONES_MAX: usize = 10_000;
/// How long a commit waits for the replicas to have it.
const REPLICATION_TIMEOUT: Duration = Duration::from_millis(200);

/// The registry on whichever server holds it.
#[derive(Debug)]
pub(super) struct Redis {
    connections: Connections,
    scripts: Scripts,
    /// Names this process among all that commit.
    process: String,
    names_given: AtomicU64,
}

/// A server that was joined, and the history it holds.
#[derive(Debug)]
pub(super) struct Session {
    server: Arc<Server>,
    /// The registry's id, chosen at random when it was created.
    pub(super) id: String,
    /// The history.
    pub(super) history: String,
    /// The history it forked from; empty for a registry's first.
    pub(super) parent: String,
    /// The last generation it has in common with that.
    pub(super) forked_at: u64,
    /// How old the history was when it was joined.
    pub(super) age: Duration,
}

/// What changed since a generation.
#[derive(Debug)]
pub(super) struct Changes {
    /// The generation now.
    pub(super) generation: u64,
    /// The changes are all records there are, so that what is not among them is gone.
    pub(super) complete: bool,
    /// The records that changed.
    pub(super) records: Vec<ChangedRecord>,
}

/// The present state of a record that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangedRecord {
    /// Its key.
    pub(super) key: String,
    /// When: above the revision for a record that was restored.
    pub(super) changed_at: u64,
    /// Its revision.
    pub(super) revision: u64,
    /// Its JSON text; none where it was deleted.
    pub(super) value: Option<String>,
}

/// A commit that was answered.
#[derive(Debug)]
pub(super) struct Committed {
    /// How it ended.
    pub(super) outcome: Commit,
    /// Replicas that did not say in time that they have it.
    pub(super) replicas_missing: u64,
}

impl Redis {
    pub(super) fn new(url: RedisUrl) -> Result<Self, BackendError> {
        let process = random_name().map_err(|error| BackendError::Unusable(format!("/dev/urandom: {error}")))?;
        Ok(Self {
            connections: Connections::new(url),
            scripts: Scripts::new(),
            process,
            names_given: AtomicU64::new(0),
        })
    }

    /// Returns a name that nothing else has.
    pub(super) fn fresh_name(&self) -> String {
        format!("{}-{}", self.process, self.names_given.fetch_add(1, Ordering::Relaxed))
    }

    /// Finds the server that holds the registry, and joins it; one that is empty becomes the registry of the id that is
    /// expected, or a new one. Nobody gets a generation below `known` there.
    pub(super) fn join(&self, expected_id: &str, known: u64) -> Result<Session, Fault> {
        let (server, mut connection) = self.connections.find_server()?;
        let new_id = if expected_id.is_empty() { self.fresh_name() } else { expected_id.to_owned() };
        let mut call = self.scripts.join.key(key("registry"));
        call.arg(SCHEMA_VERSION).arg(&server.replication).arg(self.fresh_name());
        call.arg(new_id).arg(expected_id).arg(known).arg(HISTORY_GAP);
        let (id, history, parent, forked_at, age_ms): (String, String, String, u64, u64) =
            call.invoke(&mut connection)?;
        Ok(Session { server, id, history, parent, forked_at, age: Duration::from_millis(age_ms) })
    }

    /// Makes sure that the session's server still holds the registry.
    pub(super) fn check(&self, session: &Session) -> Result<(), Fault> {
        let server = &session.server;
        // The result is looked at outside: a lost role is no error of the connection's.
        self.connections.with(server, |connection| Ok(self.connections.check(connection, server)))?
    }

    /// Makes sure that the Sentinels, if there are any that answer, name no other server.
    pub(super) fn check_sentinels(&self, session: &Session) -> Result<(), Fault> {
        if !self.connections.has_sentinels() {
            return Ok(());
        }
        match self.connections.ask_address() {
            Ok(address) if address != session.server.address => {
                Err(Fault::Lost(format!("the Sentinels name another master, {}:{}", address.0, address.1)))
            }
            // That Sentinels cannot be asked says nothing of the server.
            _ => Ok(()),
        }
    }

    /// Opens a connection of its own for the channel of generations.
    pub(super) fn connect(&self, session: &Session) -> Result<Connection, Fault> {
        self.connections.connect_to(&session.server)
    }

    pub(super) fn get(&self, session: &Session, name: &str) -> Result<Option<Stored>, Fault> {
        let mut call = self.call(&self.scripts.get, session, &["registry", "records"]);
        call.arg(name);
        let record: Option<String> = self.invoke(session, &call)?;
        record.map_or(Ok(None), |record| Ok(parse(name, &record)?.1))
    }

    pub(super) fn list(&self, session: &Session, prefix: &str) -> Result<Vec<(String, Stored)>, Fault> {
        let mut call = self.call(&self.scripts.list, session, &["registry", "records", "keys"]);
        // Keys are ASCII, so that none that begins with the prefix comes after this.
        call.arg(format!("[{prefix}")).arg(format!("({prefix}\u{7f}"));
        let flat: Vec<String> = self.invoke(session, &call)?;
        let mut found = Vec::with_capacity(flat.len() / 2);
        for pair in flat.chunks_exact(2) {
            if let (_, Some(stored)) = parse(&pair[0], &pair[1])? {
                found.push((pair[0].clone(), stored));
            }
        }
        Ok(found)
    }

    /// Returns how many records have a key that starts with `prefix`.
    pub(super) fn count(&self, session: &Session, prefix: &str) -> Result<usize, Fault> {
        let mut call = self.call(&self.scripts.count, session, &["registry", "keys"]);
        call.arg(format!("[{prefix}")).arg(format!("({prefix}\u{7f}"));
        self.invoke(session, &call)
    }

    /// Returns what changed after a generation.
    pub(super) fn changes_since(&self, session: &Session, generation: u64) -> Result<Changes, Fault> {
        let mut call = self.call(&self.scripts.changes, session, &["registry", "records", "changes"]);
        call.arg(generation);
        let flat: Vec<String> = self.invoke(session, &call)?;
        let [generation, complete, changes @ ..] = flat.as_slice() else {
            return Err(Fault::Refused("the script of changes answers without a generation".to_owned()));
        };
        let mut records = Vec::with_capacity(changes.len() / 3);
        for change in changes.chunks_exact(3) {
            let (revision, stored) = parse(&change[0], &change[2])?;
            let (key, changed_at) = (change[0].clone(), number(&change[1])?);
            records.push(ChangedRecord { key, changed_at, revision, value: stored.map(|stored| stored.value) });
        }
        Ok(Changes { generation: number(generation)?, complete: complete == "1", records })
    }

    pub(super) fn generation(&self, session: &Session) -> Result<u64, Fault> {
        let call = self.call(&self.scripts.generation, session, &["registry"]);
        self.invoke(session, &call)
    }

    /// Commits, once however often it is called with the same `name`, and waits until the replicas have it.
    pub(super) fn commit(&self, session: &Session, name: &str, writes: &[Write]) -> Result<Committed, Fault> {
        let mut call = self.call(
            &self.scripts.commit,
            session,
            &["registry", "records", "keys", "changes", "tombstones", &format!("commit:{name}")],
        );
        call.arg(CHANNEL).arg(milliseconds(OUTCOME_TTL)).arg(TOMBSTONES_MAX);
        for write in writes {
            let expected = match write.expected {
                Expected::Absent => String::new(),
                Expected::Revision(revision) => revision.to_string(),
            };
            let (change, value) = match &write.change {
                Change::Put(value) => ("put", value.as_str()),
                Change::Delete => ("delete", ""),
                Change::Keep => ("keep", ""),
            };
            call.arg(&write.key).arg(expected).arg(change).arg(value);
        }
        let changes = writes.iter().any(|write| write.change != Change::Keep);
        let (outcome, missing): ((String, String), u64) = self.connections.with(&session.server, |connection| {
            let outcome: (String, String) = call.invoke(connection)?;
            let replicas = if changes && outcome.0 == "done" { session.server.replicas() } else { 0 };
            Ok((outcome, replicas_missing(connection, replicas)))
        })?;
        let outcome = match outcome.0.as_str() {
            "done" => Commit::Done(number(&outcome.1)?),
            _ => Commit::Conflict(outcome.1),
        };
        Ok(Committed { outcome, replicas_missing: missing })
    }

    /// Gives the registry records that it may have lost, and returns the keys of which it has a newer state.
    pub(super) fn restore(&self, session: &Session, records: &[ChangedRecord]) -> Result<Vec<String>, Fault> {
        let keys = ["registry", "records", "keys", "changes", "tombstones"];
        let mut call = self.call(&self.scripts.restore, session, &keys);
        call.arg(CHANNEL);
        for record in records {
            call.arg(&record.key).arg(record.revision).arg(record.value.as_deref().unwrap_or_default());
        }
        self.invoke(session, &call)
    }

    pub(super) fn announce(&self, session: &Session, daemon: &str, address: &str) -> Result<(), Fault> {
        let mut call = self.scripts.announce.prepare_invoke();
        call.key(key("daemons")).key(key("daemons:times"));
        call.arg(daemon).arg(address).arg(milliseconds(PRESENCE_TTL));
        self.invoke(session, &call)
    }

    pub(super) fn daemons(&self, session: &Session) -> Result<Vec<(String, String)>, Fault> {
        let mut call = self.scripts.daemons.prepare_invoke();
        call.key(key("daemons")).key(key("daemons:times")).arg(milliseconds(PRESENCE_TTL));
        let flat: Vec<String> = self.invoke(session, &call)?;
        let mut daemons: Vec<_> = flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        daemons.sort();
        Ok(daemons)
    }

    /// Begins a call of a script that wants the session's history.
    fn call<'a>(&self, script: &'a Script, session: &Session, keys: &[&str]) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        for name in keys {
            call.key(key(name));
        }
        call.arg(&session.history);
        call
    }

    fn invoke<T: FromRedisValue>(&self, session: &Session, call: &ScriptInvocation<'_>) -> Result<T, Fault> {
        self.connections.with(&session.server, |connection| call.invoke(connection))
    }
}

/// Subscribes to the generations that commits publish, and calls `moved` when one may have been, or `interval` is over,
/// until that fails.
pub(super) fn listen(
    connection: &mut Connection,
    interval: Duration,
    mut moved: impl FnMut() -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut channel = connection.as_pubsub();
    channel.subscribe(CHANNEL)?;
    channel.set_read_timeout(Some(interval))?;
    loop {
        moved()?;
        match channel.get_message() {
            Ok(_generation) => {}
            Err(error) if error.is_timeout() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until replicas have what this connection committed, and returns how many do not say so.
fn replicas_missing(connection: &mut Connection, replicas: u64) -> u64 {
    if replicas == 0 {
        return 0;
    }
    let mut wait = redis::cmd("WAIT");
    wait.arg(replicas).arg(milliseconds(REPLICATION_TIMEOUT));
    // The commit stands even if the server is gone by now.
    let have: Result<u64, RedisError> = wait.query(connection);
    replicas.saturating_sub(have.unwrap_or(0))
}

/// Splits a record into its revision and, unless it was deleted, what is stored.
fn parse(key: &str, record: &str) -> Result<(u64, Option<Stored>), Fault> {
    let (revision, value) = record.split_once(' ').map_or((record, None), |(revision, value)| (revision, Some(value)));
    match revision.parse() {
        Ok(revision) => Ok((revision, value.map(|value| Stored { revision, value: value.to_owned() }))),
        Err(_not_a_number) => Err(Fault::Refused(format!("the record {key:?} does not begin with its revision"))),
    }
}

fn number(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_not_a_number| Fault::Refused(format!("{text:?} came where a generation was due")))
}

fn key(name: &str) -> String {
    format!("{HASH_TAG}:{name}")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn random_name() -> Result<String, std::io::Error> {
    use std::io::Read;
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
