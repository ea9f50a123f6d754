//! Batches of every replacement mode are those of the library's plans, whoever reads them and however often the sampler
//! is swapped.

use std::collections::BTreeSet;
use std::sync::Arc;

use swift_sampler::job::{Follow, Steps};
use swift_sampler::{Dataset, FeatureTable, Plan, Replacement, Sampler, SamplerSpec, Seed, Segment};
use swift_sampler_daemon::registry::{Change, Expected, JobParameters, Registry, RegistryError, Write};
use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{
    Batch, ManualClock, SWIFT, Server, backend, columns, job, new_dataset, registry, server_with_dataset, steps, unpack,
};

const ROWS: u32 = 20_000;
const BATCH_SIZE: u32 = 70;
/// More than two epochs.
const STEPS_READ: u64 = 600;
const MODES: [(v1::ReplacementMode, Replacement); 3] = [
    (v1::ReplacementMode::Independent, Replacement::Independent),
    (v1::ReplacementMode::Stratified, Replacement::Stratified),
    (v1::ReplacementMode::Distinct, Replacement::Distinct),
];

fn job_of(mode: v1::ReplacementMode, epoch_draws: u64) -> v1::OpenJobRequest {
    v1::OpenJobRequest { mode: mode.into(), epoch_draws, ..job(&format!("{mode:?}{epoch_draws}"), BATCH_SIZE) }
}

/// The samplers of versions 1 and 2.
fn samplers() -> [Arc<Sampler>; 2] {
    let table = FeatureTable::new(columns(ROWS)).unwrap();
    let features = vec!["loss".to_owned(), "entropy".to_owned()];
    let dataset = Dataset::new(table, features, Some("grad_norm".into())).unwrap();
    [r#"{"kind":"uniform"}"#, SWIFT].map(|spec| {
        let spec: SamplerSpec = serde_json::from_str(spec).unwrap();
        Arc::new(Sampler::build(&spec, &dataset).unwrap())
    })
}

/// The draws of steps 0 to `end` by the library alone, epoch after epoch and swap after swap.
fn expected(job: &v1::Job, mode: Replacement, end: u64) -> Vec<u32> {
    let samplers = samplers();
    let (mut rows, draws) = (Vec::new(), end * u64::from(BATCH_SIZE));
    for epoch_start in (0..draws).step_by(usize::try_from(job.epoch_draws).unwrap()) {
        let end = epoch_start + job.epoch_draws;
        let first_draw = |change: &v1::VersionChange| change.from_step * u64::from(BATCH_SIZE);
        let in_force = job.log.iter().rev().find(|change| first_draw(change) <= epoch_start).unwrap();
        let inside = job.log.iter().filter(|change| (epoch_start + 1..end).contains(&first_draw(change)));
        let mut starts = vec![(epoch_start, in_force.version)];
        starts.extend(inside.map(|change| (first_draw(change), change.version)));
        let mut before: Option<Plan> = None;
        for (number, &(start, version)) in starts.iter().enumerate() {
            let sampler = Arc::clone(&samplers[usize::try_from(version).unwrap() - 1]);
            let plan =
                Plan::new(sampler, Seed(job.seed), mode, Segment { epoch_start, start, end }, before.as_ref()).unwrap();
            let until = starts.get(number + 1).map_or(end, |(start, _)| *start);
            rows.extend((start..until).map(|draw| u32::try_from(plan.draw(draw).index).unwrap()));
            before = Some(plan);
        }
    }
    rows.truncate(usize::try_from(draws).unwrap());
    rows
}

fn rows(batches: &[Batch]) -> Vec<u32> {
    batches.iter().flat_map(|batch| batch.indices.iter().copied()).collect()
}

async fn get_job(server: &Server, name: &str) -> v1::Job {
    server.control().get_job(v1::GetJobRequest { name: name.into() }).await.unwrap().into_inner()
}

/// Opens a job of each mode and swaps the sampler four times, each time at the horizon. Returns the jobs as they are then.
async fn swapped_jobs(server: &Server, epoch_draws: u64) -> Vec<(v1::Job, Replacement)> {
    let mut names = Vec::new();
    for (mode, _) in MODES {
        names.push(server.open_job(job_of(mode, epoch_draws)).await.unwrap().name);
    }
    for version in [2, 1, 2, 1] {
        for name in &names {
            let horizon = get_job(server, name).await.horizon;
            server.stream(steps(name, horizon, horizon + 1)).await.unwrap();
        }
        server.activate("d", version).await.unwrap();
    }
    let mut jobs = Vec::new();
    for (name, (_, mode)) in names.iter().zip(MODES) {
        server.stream(steps(name, STEPS_READ - 1, STEPS_READ)).await.unwrap();
        jobs.push((get_job(server, name).await, mode));
    }
    jobs
}

#[tokio::test]
async fn batches_are_those_of_the_librarys_plans_whatever_the_swaps_the_world_size_and_the_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.put("d", SWIFT).await.unwrap();
    let jobs = swapped_jobs(&server, 0).await;
    for (job, mode) in &jobs {
        assert_eq!(job.log.len(), 5);
        assert!(job.log[4].from_step * u64::from(BATCH_SIZE) < u64::from(ROWS), "all swaps are in the first epoch");
        let expected = expected(job, *mode, STEPS_READ);
        let batches = server.stream(steps(&job.name, 0, STEPS_READ)).await.unwrap();
        assert_eq!(rows(&batches), expected, "{mode:?}");
        for world_size in [3, 7] {
            let mut ranks = Vec::new();
            for rank in 0..world_size {
                let request = v1::StreamBatchesRequest { rank, world_size, ..steps(&job.name, 0, STEPS_READ) };
                ranks.push(server.stream(request).await.unwrap());
            }
            for (step, batch) in batches.iter().enumerate() {
                let together: Vec<u32> = ranks.iter().flat_map(|rank| rank[step].indices.clone()).collect();
                assert_eq!(together, batch.indices, "{mode:?}, step {step} of {world_size} ranks");
            }
        }
    }
    server.stopped().await;

    // A daemon that has planned nothing yet is asked for the end of an epoch first.
    let server = Server::start(directory.path()).await;
    for (job, mode) in &jobs {
        let first = job.log[4].from_step + 1;
        let batches = server.stream(steps(&job.name, first, STEPS_READ)).await.unwrap();
        let skipped = usize::try_from(first * u64::from(BATCH_SIZE)).unwrap();
        assert_eq!(rows(&batches), expected(job, *mode, STEPS_READ)[skipped..], "{mode:?}");
    }
    server.stopped().await;
}

#[tokio::test]
async fn an_epoch_holds_what_its_mode_promises() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    let stratified = server.open_job(job_of(v1::ReplacementMode::Stratified, 0)).await.unwrap();
    let all = rows(&server.stream(steps(&stratified.name, 0, STEPS_READ)).await.unwrap());
    let epoch = |rows: &[u32], number: usize, draws: usize| rows[number * draws..(number + 1) * draws].to_vec();
    for number in 0..2 {
        let mut once = epoch(&all, number, ROWS as usize);
        once.sort_unstable();
        assert_eq!(once, (0..ROWS).collect::<Vec<_>>(), "epoch {number} is a shuffle");
    }

    server.put("d", SWIFT).await.unwrap();
    let jobs = swapped_jobs(&server, 15_000).await;
    let (job, _) = &jobs[2];
    assert_eq!(job.epoch_draws, 15_000);
    let batches = server.stream(steps(&job.name, 0, STEPS_READ)).await.unwrap();
    assert!(batches.iter().all(|batch| batch.epoch == batch.step * u64::from(BATCH_SIZE) / 15_000));
    for number in 0..2 {
        let distinct: BTreeSet<u32> = epoch(&rows(&batches), number, 15_000).into_iter().collect();
        assert_eq!(distinct.len(), 15_000, "no example comes twice in epoch {number}");
    }
    server.stopped().await;
}

#[tokio::test]
async fn one_answer_covers_many_epochs() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    for (mode, _) in MODES {
        // Two epochs in three batches, and in mode independent and stratified three in one.
        for epoch_draws in [105, 23] {
            let request = job_of(mode, epoch_draws);
            if mode == v1::ReplacementMode::Distinct && epoch_draws < u64::from(BATCH_SIZE) {
                let status = server.open_job(request).await.unwrap_err();
                assert_eq!(status.code(), Code::InvalidArgument);
                assert!(status.message().contains("no longer than an epoch"), "{}", status.message());
                continue;
            }
            let job = server.open_job(request).await.unwrap();
            let get = v1::GetBatchesRequest { job: job.name.clone(), steps: 40, world_size: 2, ..Default::default() };
            let block = server.sampling().get_batches(get).await.unwrap().into_inner();
            let request = v1::StreamBatchesRequest { world_size: 2, ..steps(&job.name, 0, 40) };
            assert_eq!(unpack(&block), server.stream(request).await.unwrap(), "{mode:?}");
        }
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_job_is_opened_again_only_with_the_mode_and_the_epoch_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    let open = |mode: v1::ReplacementMode, epoch_draws| {
        server.open_job(v1::OpenJobRequest { mode: mode.into(), epoch_draws, ..job("j", BATCH_SIZE) })
    };
    let opened = open(v1::ReplacementMode::Stratified, 0).await.unwrap();
    assert_eq!(opened.epoch_draws, u64::from(ROWS));
    assert_eq!(open(v1::ReplacementMode::Stratified, u64::from(ROWS)).await.unwrap(), opened);
    for (mode, epoch_draws, message) in [
        (v1::ReplacementMode::Distinct, 0, "mode: it has stratified, distinct was given"),
        (v1::ReplacementMode::Stratified, 99, "epoch_draws: it has 20000, 99 was given"),
        (v1::ReplacementMode::Stratified, (1 << 32) + 1, "epoch_draws: it has 20000"),
    ] {
        let status = open(mode, epoch_draws).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        assert!(status.message().contains(message), "{}", status.message());
    }
    let status = server.open_job(job_of(v1::ReplacementMode::Stratified, (1 << 32) + 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
    server.stopped().await;
}

/// Seeking costs what starting costs: the same commits, the same log.
#[tokio::test]
async fn a_seek_to_step_a_billion_makes_as_many_commits_and_log_entries_as_step_0() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    let commits = backend(directory.path());
    for (mode, _) in MODES {
        let mut made = Vec::new();
        for step in [0, 1_000_000_000] {
            let name = format!("{mode:?}{step}");
            server.open_job(v1::OpenJobRequest { name: name.clone(), ..job_of(mode, 0) }).await.unwrap();
            let before = commits.generation().unwrap();
            let request = v1::StreamBatchesRequest { seek: true, ..steps(&name, step, step + 1) };
            assert_eq!(server.stream(request).await.unwrap()[0].step, step);
            made.push((commits.generation().unwrap() - before, get_job(&server, &name).await.log));
        }
        assert_eq!(made[0], made[1]);
        assert_eq!((made[0].0, made[0].1.len()), (1, 1), "a commit moves the generation by one");
    }
    server.stopped().await;
}

/// A record as the version before this field wrote it.
const RECORD_WITHOUT_EPOCH_DRAWS: &str = include_str!("fixtures/job_without_epoch_draws.json");

#[test]
fn a_job_from_before_epochs_had_a_length_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry_with_dataset(directory.path());
    let change = Change::Put(RECORD_WITHOUT_EPOCH_DRAWS.trim().to_owned());
    let write = Write { key: "job/train".into(), expected: Expected::Absent, change };
    backend(directory.path()).commit(&[write]).unwrap();
    let job = registry.job("train").unwrap();
    assert_eq!(job.steps(), Steps { batch_size: 32, epoch_draws: 100 });
    assert_eq!(job.log.version_at(64), Some(2));
    let parameters = JobParameters { name: "train".into(), ..parameters(Replacement::Independent) };
    assert_eq!(registry.open_job(&parameters).unwrap(), job);
    let given = JobParameters { epoch_draws: Some(100), ..parameters.clone() };
    assert_eq!(registry.open_job(&given).unwrap(), job);
    let other = JobParameters { epoch_draws: Some(99), ..parameters };
    assert!(matches!(registry.open_job(&other), Err(RegistryError::Differs { field: "epoch_draws", .. })));
    let frozen = registry.freeze("train", 128..=128, 64, false).unwrap();
    assert!(frozen.job.is_same_job(&job), "its readers go on");
}

fn parameters(mode: Replacement) -> JobParameters {
    JobParameters {
        name: "train".into(),
        dataset: "d".into(),
        seed: 7,
        batch_size: 32,
        epoch_draws: None,
        mode,
        follow: Follow::Step,
    }
}

fn registry_with_dataset(directory: &std::path::Path) -> Registry {
    let registry = registry(directory, ManualClock::at(1));
    registry.create_dataset(&new_dataset("d", "0")).unwrap();
    registry
}
