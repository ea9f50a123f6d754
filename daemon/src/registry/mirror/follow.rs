//! The thread that keeps the mirror up to date, and brings registry and mirror together when the registry is back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::file::Held;
use super::gate::PATIENCE;
use super::job_log::{Meeting, meet};
use super::{Origin, Shared};
use crate::registry::backend::{BackendError, Change, Commit, Expected, Stored, Write};
use crate::registry::records::JobRecord;
use crate::registry::redis::{ChangedRecord, Fault, Session, listen};

/// How often the registry is asked what changed, whatever it published.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How often the Sentinels are asked whether the master is still the same.
const SENTINEL_INTERVAL: Duration = Duration::from_secs(2);
/// Pause between attempts to join while calls wait for it.
const JOIN_INTERVAL: Duration = Duration::from_millis(100);
/// Pause between attempts to join afterwards.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Age of a history at which calls pass: the other daemons have found it by then and given back what they have, so that
/// nobody writes over what was acknowledged to somebody else.
const SETTLING_TIME: Duration = Duration::from_secs(1);
/// Records given back to the registry in one script, and about how many bytes of them: a script holds up everyone.
const RESTORE_RECORDS_MAX: usize = 200;
const RESTORE_BYTES_MAX: usize = 4 << 20;
/// How often a held record is decided against other writers at once; the rest comes with the next attempt to join.
const HELD_ATTEMPTS_MAX: u32 = 100;

/// A file of the daemon's own that fails does not mend by another session.
impl From<BackendError> for Fault {
    fn from(error: BackendError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Shared {
    /// Joins as a daemon does that has not served yet.
    pub(super) fn join_at_start(&self) -> Result<(), BackendError> {
        let started = Instant::now();
        let reason = loop {
            match self.join() {
                Ok(()) => return Ok(()),
                Err(Fault::Foreign(reason)) => {
                    return Err(BackendError::Unusable(format!("{}: {reason}", self.name)));
                }
                Err(Fault::Lost(reason) | Fault::Refused(reason)) if started.elapsed() > PATIENCE => break reason,
                Err(_not_yet) => std::thread::sleep(JOIN_INTERVAL),
            }
        };
        let unreached = format!("not reached within {PATIENCE:?}: {reason}");
        if self.file.origin()? == Origin::default() {
            return Err(BackendError::Unavailable(format!(
                "{}: {unreached}; this data directory has no mirror of it to serve from",
                self.name
            )));
        }
        tracing::warn!(registry = self.name, reason, "serving from the mirror until the registry is back");
        self.gate.still_shut(&unreached);
        Ok(())
    }

    /// Follows the registry until told to stop.
    pub(super) fn follow(&self) {
        let mut said = String::new();
        while !self.stop.load(Ordering::Relaxed) {
            let lost = match self.gate.session() {
                Some(session) => self.follow_session(&session).inspect_err(|fault| {
                    self.gate.shut(&session, &fault.to_string());
                }),
                None => self.join(),
            };
            match lost {
                Ok(()) => said.clear(),
                Err(fault) => {
                    let reason = fault.to_string();
                    self.gate.still_shut(&reason);
                    if said != reason {
                        tracing::warn!(registry = self.name, reason, "the registry cannot be used");
                        said = reason;
                    }
                    self.metrics.show_age();
                    let patient = !self.gate.patience_is_over();
                    std::thread::sleep(if patient { JOIN_INTERVAL } else { PROBE_INTERVAL });
                }
            }
        }
    }

    /// Takes over what changes, at once where it is published, until the session is lost or this daemon stops.
    fn follow_session(&self, session: &Arc<Session>) -> Result<(), Fault> {
        let mut connection = self.redis.connect(session)?;
        let mut asked = Instant::now();
        let stopped = "this daemon stops";
        let ended = listen(&mut connection, POLL_INTERVAL, || {
            if self.stop.load(Ordering::Relaxed) || self.gate.outage().is_some() {
                return Err(Fault::Lost(stopped.to_owned()));
            }
            if asked.elapsed() > SENTINEL_INTERVAL {
                asked = Instant::now();
                self.redis.check_sentinels(session)?;
            }
            self.redis.check(session)?;
            self.pull(session, 0)
        });
        if self.stop.load(Ordering::Relaxed) { Ok(()) } else { ended }
    }

    /// Joins the registry wherever it is now, brings both up to date, and lets calls pass.
    fn join(&self) -> Result<(), Fault> {
        let (known, origin) = (self.file.generation()?, self.file.origin()?);
        let session = Arc::new(self.redis.join(&origin.registry, known)?);
        {
            // No commit may be noted between: it would be of the old history, and never given to the new one.
            let _pulling = self.pulling.lock().unwrap_or_else(PoisonError::into_inner);
            if !origin.registry.is_empty() && session.history != origin.history {
                self.restore(&session, &origin)?;
            }
            self.pull_alone(&session, 0)?;
        }
        std::thread::sleep(SETTLING_TIME.saturating_sub(session.age));
        self.pull(&session, 0)?;
        self.commit_held(&session)?;
        // From here on nothing is held: what was held since is committed too.
        let _closed = self.holding.write().unwrap_or_else(PoisonError::into_inner);
        self.commit_held(&session)?;
        tracing::info!(registry = self.name, generation = self.file.generation()?, "joined the registry");
        self.gate.open(session);
        Ok(())
    }

    /// Gives the registry what the mirror has and the registry's new history may lack.
    fn restore(&self, session: &Session, origin: &Origin) -> Result<(), Fault> {
        let common = if session.parent == origin.history { session.forked_at } else { 0 };
        let records = self.file.changed_after(common)?;
        if !records.is_empty() {
            let (registry, records) = (&self.name, records.len());
            tracing::warn!(registry, records, "the registry may have lost commits: giving back what this daemon has");
        }
        for chunk in portions(&records) {
            let newer = self.redis.restore(session, chunk)?;
            for record in chunk.iter().filter(|record| newer.contains(&record.key)) {
                // Steps may have been served from a log that was lost: what is frozen stays, if the other log agrees.
                if let (true, Some(value)) = (record.key.starts_with("job/"), &record.value) {
                    self.file.hold_lost(&record.key, value)?;
                }
            }
        }
        Ok(())
    }

    /// Brings a commit of this daemon's into the mirror, with all that came before it where the registry still answers.
    ///
    /// # Errors
    /// [`Fault::Lost`] when the registry has begun another history since, to which this commit was not given: whether it
    /// has happened is to be asked there.
    pub(super) fn mirror_commit(&self, session: &Session, writes: &[Write], generation: u64) -> Result<(), Fault> {
        let Err(fault) = self.pull(session, generation) else { return Ok(()) };
        tracing::warn!(%fault, "the registry was lost right after a commit");
        let _pulling = self.pulling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.file.origin()?.history != session.history {
            return Err(fault);
        }
        Ok(self.file.note(writes, generation)?)
    }

    /// Brings what was found in the registry into the mirror before anybody acts on it: should the registry be lost now,
    /// the mirror goes on from there, and not from an older state.
    pub(super) fn mirror_found<'a>(
        &self,
        session: &Session,
        found: impl IntoIterator<Item = &'a Stored>,
    ) -> Result<(), Fault> {
        match found.into_iter().map(|stored| stored.revision).max() {
            Some(newest) if newest > self.file.followed()? => self.pull(session, newest),
            _ => Ok(()),
        }
    }

    /// Takes over what changed, unless the mirror has come to `generation` already; 0 takes over whatever there is.
    fn pull(&self, session: &Session, generation: u64) -> Result<(), Fault> {
        let _pulling = self.pulling.lock().unwrap_or_else(PoisonError::into_inner);
        self.pull_alone(session, generation)
    }

    fn pull_alone(&self, session: &Session, generation: u64) -> Result<(), Fault> {
        let known = self.file.followed()?;
        if generation > 0 && known >= generation {
            return Ok(());
        }
        let changes = self.redis.changes_since(session, known)?;
        let origin = Origin { registry: session.id.clone(), history: session.history.clone() };
        let to = changes.generation;
        if to != known || self.file.origin()? != origin {
            self.file.apply(&changes, &origin)?;
        }
        self.metrics.generation.set(i64::try_from(to).unwrap_or(i64::MAX));
        self.metrics.show_mirrored();
        if let Some(watchers) = self.watchers.get() {
            watchers.send_if_modified(|told| {
                let moved = to > *told;
                *told = to.max(*told);
                moved
            });
        }
        Ok(())
    }

    /// Commits what was held while the registry was down.
    fn commit_held(&self, session: &Session) -> Result<(), Fault> {
        let held = self.file.held()?;
        for record in &held {
            self.commit_one_held(session, record)?;
        }
        if !held.is_empty() {
            // Until the mirror has what the registry made of them, what is held is all that tells what was served.
            self.pull(session, 0)?;
            for record in &held {
                self.file.release(record)?;
            }
        }
        self.show_held();
        Ok(())
    }

    fn commit_one_held(&self, session: &Session, held: &Held) -> Result<(), Fault> {
        let damaged =
            |error: serde_json::Error| Fault::Refused(format!("the record {:?} cannot be read: {error}", held.key));
        let ours: JobRecord = serde_json::from_str(&held.value).map_err(damaged)?;
        for _ in 0..HELD_ATTEMPTS_MAX {
            let stored = self.redis.get(session, &held.key)?;
            let registry = stored.as_ref().map(|stored| serde_json::from_str::<JobRecord>(&stored.value));
            let registry = registry.transpose().map_err(damaged)?.filter(|job| job.is_same_job(&ours));
            let (Some(stored), Some(registry)) = (stored, registry) else {
                tracing::warn!(job = ours.name, "a job that was read while the registry was down was removed");
                return Ok(());
            };
            match meet(&ours, &registry) {
                Meeting::RegistryContinues => return Ok(()),
                Meeting::Diverged { from_step } => {
                    self.metrics.jobs_diverged.inc();
                    let to_step = ours.log.horizon().min(registry.log.horizon());
                    tracing::error!(
                        job = ours.name,
                        from_step,
                        to_step,
                        "while the registry was down, this daemon and another froze these steps with different sampler \
                         versions, and may have served them: the registry's log stands"
                    );
                    return Ok(());
                }
                Meeting::OursContinues => {}
            }
            let write = Write {
                key: held.key.clone(),
                expected: Expected::Revision(stored.revision),
                change: Change::Put(held.value.clone()),
            };
            if let Commit::Done(_) = self.redis.commit(session, &self.redis.fresh_name(), &[write])?.outcome {
                return Ok(());
            }
        }
        Err(Fault::Lost(format!("other writers of {:?} always came first", held.key)))
    }

    pub(super) fn show_held(&self) {
        match self.file.held() {
            Ok(held) => self.metrics.jobs_held.set(i64::try_from(held.len()).unwrap_or(i64::MAX)),
            Err(error) => tracing::warn!(%error, "the mirror does not tell what it holds"),
        }
    }
}

/// Splits records into portions for one script each.
fn portions(records: &[ChangedRecord]) -> impl Iterator<Item = &[ChangedRecord]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |record: &&ChangedRecord| {
            let before = bytes;
            bytes += record.key.len() + record.value.as_ref().map_or(0, String::len);
            before < RESTORE_BYTES_MAX
        };
        let end = rest.iter().take(RESTORE_RECORDS_MAX).take_while(fits).count();
        let portion;
        (portion, rest) = rest.split_at(end);
        (!portion.is_empty()).then_some(portion)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_bounded_and_leave_nothing_out() {
        let sizes = (0..1000).map(|at| if at % 300 == 0 { RESTORE_BYTES_MAX } else { 10 });
        let records: Vec<_> = sizes
            .map(|bytes| ChangedRecord {
                key: String::new(),
                changed_at: 1,
                revision: 1,
                value: Some("x".repeat(bytes)),
            })
            .collect();
        let portions: Vec<_> = portions(&records).collect();
        assert_eq!(portions.concat(), records);
        assert!(portions.iter().all(|portion| portion.len() <= RESTORE_RECORDS_MAX));
        let large = |portion: &[ChangedRecord]| {
            portion.iter().filter(|record| record.value.as_ref().unwrap().len() > 10).count()
        };
        assert!(portions.iter().all(|portion| large(portion) <= 1));
    }
}
