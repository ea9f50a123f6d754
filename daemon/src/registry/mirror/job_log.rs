//! A job's log that was extended while the registry was down, brought together with the one the registry has.

use swift_sampler::job::JobLog;

use crate::registry::records::JobRecord;

/// What is to become of a held job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// The registry's log begins ours: ours goes on.
    OursContinues,
    /// Ours begins the registry's: nothing is to be done.
    RegistryContinues,
    /// From this step on they differ, though both are frozen: the registry's stands.
    Diverged { from_step: u64 },
}

/// Compares the log that was served here with the one that the registry has of the same job.
pub(super) fn meet(ours: &JobRecord, registry: &JobRecord) -> Meeting {
    match first_difference(&ours.log, &registry.log) {
        Some(from_step) => Meeting::Diverged { from_step },
        None if ours.log.horizon() > registry.log.horizon() => Meeting::OursContinues,
        None => Meeting::RegistryContinues,
    }
}

/// Returns the first step frozen in both that follows different versions.
fn first_difference(one: &JobLog, other: &JobLog) -> Option<u64> {
    let end = one.horizon().min(other.horizon());
    let starts = [one, other].into_iter().flat_map(JobLog::changes).map(|change| change.from_step);
    // Versions change only where a change of either starts.
    starts.filter(|&step| step < end && one.version_at(step) != other.version_at(step)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(changes: &[(u64, u64)], horizon: u64) -> JobLog {
        let changes: Vec<_> = changes
            .iter()
            .map(|(from_step, version)| serde_json::json!({"from_step": from_step, "version": version}))
            .collect();
        serde_json::from_value(serde_json::json!({"changes": changes, "horizon": horizon})).unwrap()
    }

    #[test]
    fn logs_differ_where_both_are_frozen_and_follow_different_versions() {
        let base = [(0, 1), (10, 2)];
        assert_eq!(first_difference(&log(&base, 64), &log(&base, 128)), None);
        assert_eq!(first_difference(&log(&base, 64), &log(&[(0, 1), (10, 2), (64, 3)], 128)), None);
        assert_eq!(first_difference(&log(&[(0, 1), (10, 2), (70, 3)], 128), &log(&base, 128)), Some(70));
        assert_eq!(first_difference(&log(&[(0, 1), (10, 3)], 128), &log(&[(0, 1), (20, 3)], 64)), Some(10));
        assert_eq!(first_difference(&log(&[(0, 1), (64, 2)], 128), &log(&[(0, 1), (64, 3)], 192)), Some(64));
    }
}
