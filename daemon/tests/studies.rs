//! Trials are leased, lost, told and collected; time is an argument.

use std::sync::Arc;

use swift_sampler::Replacement;
use swift_sampler::job::Follow;
use swift_sampler_daemon::registry::{
    DatasetRecord, FIRST_REVISION, JobParameters, Lease, NewStudy, NewTrial, OriginRecord, Outcome, Registry,
    RegistryError, Report, SamplerFigures, TrialState,
};
use swift_sampler_proto::v1;
use tempfile::TempDir;
use tonic::Code;

use crate::harness::{ManualClock, new_dataset, registry, server_with_dataset};

const DAY_MS: u64 = 24 * 3600 * 1000;
const LEASE_MS: u32 = 10_000;

struct Setup {
    registry: Registry,
    clock: Arc<ManualClock>,
    _directory: TempDir,
}

/// A study "s" of up to 2 attempts a trial, with so many trials, whose candidates are versions 2, 3, …
fn setup(trials: u64) -> Setup {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(1_000_000);
    let registry = registry(directory.path(), Arc::clone(&clock) as _);
    let (dataset, _) = registry.create_dataset(&new_dataset("d", "0")).unwrap();
    registry.create_study(&study("{\"seed\":0}")).unwrap();
    for trial in 0..trials {
        let origin = OriginRecord { study: "s".into(), trial, candidate: true };
        let version =
            registry.put_sampler(&dataset, FIRST_REVISION, "{}", &origin, SamplerFigures::default()).unwrap().0.version;
        registry.add_trial(&new_trial(trial, version, "{}")).unwrap();
    }
    Setup { registry, clock, _directory: directory }
}

fn study(config: &str) -> NewStudy {
    NewStudy { name: "s".into(), dataset: "d".into(), config_json: config.into(), attempts_max: 2 }
}

fn new_trial(number: u64, sampler_version: u64, parameters: &str) -> NewTrial {
    NewTrial { study: "s".into(), number, parameters_json: parameters.into(), sampler_version }
}

fn report(number: u64, attempt: u32, worker: &str) -> Report {
    Report { study: "s".into(), number, attempt, worker: worker.into(), report_json: String::new() }
}

fn lease(setup: &Setup, worker: &str) -> Lease {
    setup.registry.lease_trial("s", worker, LEASE_MS).unwrap()
}

fn leased(setup: &Setup, worker: &str) -> (u64, u32) {
    let trial = lease(setup, worker).trial.expect("a trial is to be had");
    (trial.number, trial.attempt)
}

#[test]
fn a_study_is_created_again_only_with_an_equal_config() {
    let setup = setup(0);
    setup.registry.create_study(&study("{ \"seed\": 0 }")).unwrap();
    let error = setup.registry.create_study(&study("{\"seed\":1}")).unwrap_err();
    assert!(matches!(error, RegistryError::Differs { field: "config", .. }), "{error}");
    assert!(matches!(setup.registry.create_study(&study("{")), Err(RegistryError::Invalid(_))));
}

#[test]
fn trials_are_added_in_order_and_once() {
    let setup = setup(1);
    assert_eq!(setup.registry.add_trial(&new_trial(0, 2, "{ }")).unwrap().number, 0);
    let other = setup.registry.add_trial(&new_trial(0, 2, "{\"x\":1}")).unwrap_err();
    assert!(matches!(other, RegistryError::TrialTaken { number: 0, .. }), "{other}");
    let gap = setup.registry.add_trial(&new_trial(2, 2, "{}")).unwrap_err();
    assert!(matches!(gap, RegistryError::Precondition(_)), "{gap}");
    let unknown = setup.registry.add_trial(&new_trial(1, 99, "{}")).unwrap_err();
    assert!(matches!(unknown, RegistryError::NoSampler { version: 99, .. }), "{unknown}");
}

#[test]
fn a_worker_gets_its_own_trial_back_and_others_the_next() {
    let setup = setup(2);
    assert_eq!(leased(&setup, "a"), (0, 1));
    assert_eq!(leased(&setup, "a"), (0, 1));
    assert_eq!(leased(&setup, "b"), (1, 1));
    let none = lease(&setup, "c");
    assert!(none.trial.is_none() && !none.study_ended);
}

#[test]
fn of_many_workers_asking_at_once_no_two_get_the_same_trial() {
    let setup = setup(8);
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let registry = setup.registry.clone();
            std::thread::spawn(move || {
                registry.lease_trial("s", &format!("w{worker}"), LEASE_MS).unwrap().trial.unwrap().number
            })
        })
        .collect();
    let mut numbers: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
}

#[test]
fn a_lease_that_ran_out_goes_to_another_worker_and_the_first_one_stops() {
    let setup = setup(1);
    assert_eq!(leased(&setup, "a"), (0, 1));
    setup.clock.advance(9_999);
    assert!(lease(&setup, "b").trial.is_none());
    setup.clock.advance(1);
    assert_eq!(setup.registry.trials("s").unwrap()[0].state, TrialState::Pending);
    assert_eq!(leased(&setup, "b"), (0, 2));
    let error = setup.registry.heartbeat_trial(&report(0, 1, "a"), LEASE_MS).unwrap_err();
    assert!(error.to_string().contains("lost its lease to attempt 2"), "{error}");
    let error = setup.registry.tell_trial(&report(0, 1, "a"), &Outcome::Objective(0.5)).unwrap_err();
    assert!(matches!(error, RegistryError::Precondition(_)), "{error}");
    let told = setup.registry.tell_trial(&report(0, 2, "b"), &Outcome::Objective(0.7)).unwrap();
    assert_eq!((told.state, told.objective), (TrialState::Succeeded, Some(0.7)));
}

#[test]
fn heartbeats_keep_a_lease_and_record_progress() {
    let setup = setup(1);
    leased(&setup, "a");
    for epoch in 0..5 {
        setup.clock.advance(9_000);
        let progress = Report { report_json: format!("{{\"epoch\":{epoch}}}"), ..report(0, 1, "a") };
        assert!(!setup.registry.heartbeat_trial(&progress, LEASE_MS).unwrap());
    }
    let trial = &setup.registry.trials("s").unwrap()[0];
    assert_eq!((trial.state, trial.attempt, trial.report_json.as_str()), (TrialState::Running, 1, "{\"epoch\":4}"));
}

#[test]
fn a_trial_fails_when_its_attempts_are_used_up() {
    let setup = setup(1);
    leased(&setup, "a");
    let told = setup.registry.tell_trial(&report(0, 1, "a"), &Outcome::Failed("crashed".into())).unwrap();
    assert_eq!((told.state, told.reason.as_str()), (TrialState::Pending, "crashed"));
    assert_eq!(leased(&setup, "b"), (0, 2));
    setup.clock.advance(u64::from(LEASE_MS));
    let trial = setup.registry.trials("s").unwrap().remove(0);
    assert_eq!(trial.state, TrialState::Failed);
    assert!(trial.reason.contains("attempt 2 by worker \"b\" ran out"), "{}", trial.reason);
    assert!(lease(&setup, "c").trial.is_none());
    let late = setup.registry.tell_trial(&report(0, 2, "b"), &Outcome::Objective(1.0)).unwrap_err();
    assert!(matches!(late, RegistryError::Precondition(_)), "{late}");
}

#[test]
fn a_released_trial_is_to_be_had_at_once_and_its_attempt_does_not_count() {
    let setup = setup(1);
    let release = |attempt, worker| {
        setup.registry.tell_trial(&report(0, attempt, worker), &Outcome::Released("preempted".into())).unwrap()
    };
    for attempt in 1..=3 {
        assert_eq!(leased(&setup, "a"), (0, attempt), "more often than the study has attempts");
        let told = release(attempt, "a");
        assert_eq!((told.state, told.reason.as_str()), (TrialState::Pending, "preempted"));
        assert_eq!(release(attempt, "a"), told, "the first report stands");
    }
    for (attempt, state) in [(4, TrialState::Pending), (5, TrialState::Failed)] {
        assert_eq!(leased(&setup, "b"), (0, attempt));
        let told = setup.registry.tell_trial(&report(0, attempt, "b"), &Outcome::Failed("crashed".into())).unwrap();
        assert_eq!(told.state, state, "both attempts of this study are still there");
    }
}

#[test]
fn a_clock_that_is_set_back_by_a_day_keeps_no_trial_of_a_worker_that_is_gone() {
    let setup = setup(2);
    setup.clock.advance(2 * DAY_MS);
    assert_eq!((leased(&setup, "gone"), leased(&setup, "here")), ((0, 1), (1, 1)));
    setup.clock.set_back(DAY_MS);
    assert!(!setup.registry.heartbeat_trial(&report(1, 1, "here"), LEASE_MS).unwrap(), "its lease goes on");
    assert_eq!(setup.registry.workers("s").unwrap(), 1, "nobody is one of the study for a day");
    assert_eq!(leased(&setup, "new"), (0, 2));
    let told = setup.registry.tell_trial(&report(1, 1, "here"), &Outcome::Objective(0.5)).unwrap();
    assert_eq!((told.state, told.objective), (TrialState::Succeeded, Some(0.5)));
}

#[test]
fn a_clock_that_jumps_ahead_by_a_day_costs_no_result_of_a_worker_that_is_there() {
    let setup = setup(1);
    assert_eq!(leased(&setup, "here"), (0, 1));
    setup.clock.advance(DAY_MS);
    assert!(!setup.registry.heartbeat_trial(&report(0, 1, "here"), LEASE_MS).unwrap(), "its lease goes on");
    assert!(lease(&setup, "other").trial.is_none());
    setup.clock.advance(DAY_MS);
    let told = setup.registry.tell_trial(&report(0, 1, "here"), &Outcome::Objective(0.5)).unwrap();
    assert_eq!((told.state, told.objective), (TrialState::Succeeded, Some(0.5)));
}

#[test]
fn generations_grow_whatever_the_clock_does() {
    let setup = setup(1);
    setup.clock.advance(2 * DAY_MS);
    let before = setup.registry.activate("d", 2).unwrap();
    setup.clock.set_back(DAY_MS);
    let after = setup.registry.activate("d", 1).unwrap();
    assert!(after.generation > before.generation, "{before:?}, {after:?}");
}

#[test]
fn the_first_report_of_an_attempt_stands() {
    let setup = setup(1);
    leased(&setup, "a");
    let first = setup.registry.tell_trial(&report(0, 1, "a"), &Outcome::Objective(0.5)).unwrap();
    setup.clock.advance(5);
    assert_eq!(setup.registry.tell_trial(&report(0, 1, "a"), &Outcome::Objective(0.9)).unwrap(), first);
    let never = setup.registry.tell_trial(&report(0, 2, "a"), &Outcome::Objective(0.9)).unwrap_err();
    assert!(never.to_string().contains("never leased"), "{never}");
}

#[test]
fn a_trial_that_was_never_leased_is_not_reported_on() {
    let setup = setup(1);
    let told = setup.registry.tell_trial(&report(0, 0, ""), &Outcome::Objective(0.5)).unwrap_err();
    let beaten = setup.registry.heartbeat_trial(&report(0, 0, ""), LEASE_MS).unwrap_err();
    for error in [told, beaten] {
        assert!(matches!(error, RegistryError::Precondition(_)), "{error}");
        assert!(error.to_string().contains("attempt 0 of trial 0 of study \"s\" was never leased"), "{error}");
    }
    assert_eq!(leased(&setup, "a"), (0, 1));
}

#[test]
fn an_objective_that_is_not_finite_is_infeasible() {
    let setup = setup(2);
    for (number, objective) in [(0, f64::NAN), (1, f64::INFINITY)] {
        leased(&setup, "a");
        let told = setup.registry.tell_trial(&report(number, 1, "a"), &Outcome::Objective(objective)).unwrap();
        assert_eq!((told.state, told.objective), (TrialState::Infeasible, None));
        assert!(told.reason.contains("not finite"), "{}", told.reason);
    }
}

#[test]
fn an_ended_study_stops_workers_and_collects_its_candidates() {
    let setup = setup(4);
    let registry = &setup.registry;
    let open = |name: &str, version| {
        let follow = Follow::Pinned(version);
        let parameters = JobParameters {
            name: name.into(),
            dataset: "d".into(),
            seed: 0,
            batch_size: 8,
            epoch_draws: None,
            mode: Replacement::Independent,
            follow,
        };
        registry.open_job(&parameters).unwrap();
    };
    open("s/trial-0", 2);
    open("mine", 3);
    registry.activate("d", 4).unwrap();
    leased(&setup, "a");
    registry.end_study("s", "{\"best\":2}").unwrap();
    assert!(registry.heartbeat_trial(&report(0, 1, "a"), LEASE_MS).unwrap(), "the worker is told to stop");
    assert!(lease(&setup, "b").study_ended);
    let added = registry.add_trial(&new_trial(4, 4, "{}")).unwrap_err();
    assert!(matches!(added, RegistryError::Precondition(_)), "{added}");
    let jobs: Vec<_> = registry.jobs().unwrap().into_iter().map(|job| job.name).collect();
    assert_eq!(jobs, ["mine"]);
    let versions: Vec<_> =
        registry.samplers("d").unwrap().into_iter().map(|s| (s.version, s.origin.candidate)).collect();
    // Uniform, the candidate a person's job reads, and the one that was activated, an ordinary version since.
    assert_eq!(versions, [(1, false), (3, true), (4, false)]);
    registry.end_study("s", "{\"best\":2}").unwrap();
    assert!(registry.end_study("s", "{\"best\":3}").is_err());
}

#[test]
fn a_candidate_needs_a_study_that_runs_on_its_dataset() {
    let setup = setup(1);
    let (registry, dataset) = (&setup.registry, setup.registry.dataset("d").unwrap());
    let put = |dataset: &DatasetRecord, study: &str| {
        let origin = OriginRecord { study: study.into(), trial: 1, candidate: true };
        registry.put_sampler(dataset, FIRST_REVISION, "{}", &origin, SamplerFigures::default())
    };
    let (other, _) = registry.create_dataset(&new_dataset("other", "1")).unwrap();
    for refused in [put(&dataset, "none"), put(&other, "s")] {
        assert!(matches!(refused, Err(RegistryError::Precondition(_))), "{refused:?}");
    }
    registry.end_study("s", "").unwrap();
    let ended = put(&dataset, "s").unwrap_err();
    assert!(ended.to_string().contains("study \"s\": no such study is running on dataset \"d\""), "{ended}");
    assert_eq!(registry.samplers("d").unwrap().len(), 1);
}

#[test]
fn a_study_is_removed_unless_a_trial_is_running() {
    let setup = setup(2);
    leased(&setup, "a");
    let error = setup.registry.remove_study("s").unwrap_err();
    assert!(error.to_string().contains("trial 0 of study \"s\" is running"), "{error}");
    assert!(setup.registry.remove_dataset("d").unwrap_err().to_string().contains("study \"s\""));
    setup.clock.advance(u64::from(LEASE_MS));
    setup.registry.remove_study("s").unwrap();
    assert!(matches!(setup.registry.trials("s"), Err(RegistryError::NoStudy(_))));
    assert_eq!(setup.registry.samplers("d").unwrap().len(), 1);
    setup.registry.remove_dataset("d").unwrap();
}

#[tokio::test]
async fn a_study_runs_over_the_wire() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    let mut studies = server.studies();
    let create =
        v1::CreateStudyRequest { name: "s".into(), dataset: "d".into(), config_json: "{}".into(), attempts_max: 0 };
    assert_eq!(studies.create_study(create.clone()).await.unwrap().into_inner().attempts_max, 3);
    let long = v1::CreateStudyRequest { config_json: format!("\"{}\"", "{".repeat(1 << 19)), ..create.clone() };
    let status = studies.create_study(long).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "the message fits, however long the configs are: {status}");
    let missing = v1::CreateStudyRequest { dataset: "nowhere".into(), name: "t".into(), ..create };
    assert_eq!(studies.create_study(missing).await.unwrap_err().code(), Code::NotFound);
    let add = v1::AddTrialRequest { study: "s".into(), number: 0, parameters_json: "[0.5]".into(), sampler_version: 1 };
    studies.add_trial(add.clone()).await.unwrap();
    let other = v1::AddTrialRequest { parameters_json: "[0.6]".into(), ..add };
    assert_eq!(studies.add_trial(other).await.unwrap_err().code(), Code::Aborted);
    let lease = v1::LeaseTrialRequest { study: "s".into(), worker: "w".into(), lease_ms: 0, wait_ms: 0 };
    let trial = studies.lease_trial(lease.clone()).await.unwrap().into_inner().trial.unwrap();
    let heartbeat = v1::HeartbeatTrialRequest {
        study: "s".into(),
        number: 0,
        attempt: trial.attempt,
        worker: "w".into(),
        lease_ms: 0,
        report_json: "{\"epoch\":1}".into(),
    };
    assert!(!studies.heartbeat_trial(heartbeat).await.unwrap().into_inner().stop);
    let tell = v1::TellTrialRequest {
        study: "s".into(),
        number: 0,
        attempt: trial.attempt,
        worker: "w".into(),
        outcome: Some(v1::tell_trial_request::Outcome::Objective(0.25)),
        report_json: String::new(),
    };
    studies.tell_trial(tell).await.unwrap();
    let trials = studies.list_trials(v1::ListTrialsRequest { study: "s".into() }).await.unwrap().into_inner().trials;
    assert_eq!((trials.len(), trials[0].objective, trials[0].report_json.as_str()), (1, Some(0.25), "{\"epoch\":1}"));
    studies.end_study(v1::EndStudyRequest { name: "s".into(), result_json: "{}".into() }).await.unwrap();
    assert!(studies.lease_trial(lease).await.unwrap().into_inner().study_ended);
    server.stopped().await;
}

#[tokio::test]
async fn a_worker_waits_at_the_daemon_for_a_trial() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    let mut studies = server.studies();
    let create = v1::CreateStudyRequest { name: "s".into(), dataset: "d".into(), ..Default::default() };
    studies.create_study(v1::CreateStudyRequest { config_json: "{}".into(), ..create }).await.unwrap();
    let lease = v1::LeaseTrialRequest { study: "s".into(), worker: "w".into(), lease_ms: 0, wait_ms: 30_000 };
    let long = v1::LeaseTrialRequest { wait_ms: 30_001, ..lease.clone() };
    let status = studies.lease_trial(long).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "wait_ms is 30001: it must be at most 30000")
    );
    let short = v1::LeaseTrialRequest { wait_ms: 50, ..lease.clone() };
    assert!(studies.lease_trial(short).await.unwrap().into_inner().trial.is_none());

    let mut waiting = server.studies();
    let mut waiter = std::pin::pin!(waiting.lease_trial(lease.clone()));
    let add = v1::AddTrialRequest { study: "s".into(), number: 0, parameters_json: "{}".into(), sampler_version: 1 };
    tokio::select! {
        biased;
        answer = &mut waiter => panic!("there is no trial yet: {answer:?}"),
        added = studies.add_trial(add) => assert_eq!(added.unwrap().into_inner().number, 0),
    }
    // The trial was added after the waiter had asked, and comes without being asked for again.
    assert_eq!(waiter.await.unwrap().into_inner().trial.unwrap().number, 0);

    let other = v1::LeaseTrialRequest { worker: "v".into(), ..lease };
    let mut others = server.studies();
    let mut waiter = std::pin::pin!(others.lease_trial(other));
    tokio::select! {
        biased;
        answer = &mut waiter => panic!("no other trial is to be had: {answer:?}"),
        ended = studies.end_study(v1::EndStudyRequest { name: "s".into(), result_json: "{}".into() }) => drop(ended.unwrap()),
    }
    assert!(waiter.await.unwrap().into_inner().study_ended);
    server.stopped().await;
}

#[test]
fn workers_that_ask_or_hold_a_trial_are_counted() {
    let setup = setup(1);
    assert_eq!(setup.registry.workers("s").unwrap(), 0);
    leased(&setup, "busy");
    for _ in 0..3 {
        assert!(lease(&setup, "idle").trial.is_none());
    }
    assert_eq!(setup.registry.workers("s").unwrap(), 2);

    // Both fall silent: one still holds a trial for as long as its lease lasts.
    setup.registry.heartbeat_trial(&report(0, 1, "busy"), 60_000).unwrap();
    setup.clock.advance(16_000);
    assert_eq!(setup.registry.workers("s").unwrap(), 1);
    lease(&setup, "idle");
    assert_eq!(setup.registry.workers("s").unwrap(), 2);

    setup.registry.end_study("s", "").unwrap();
    assert_eq!(setup.registry.workers("s").unwrap(), 0);
    assert!(matches!(setup.registry.workers("t"), Err(RegistryError::NoStudy(_))));
}
