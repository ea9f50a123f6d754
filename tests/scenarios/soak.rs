//! A daemon under everything at once, for a while: nothing fails, and memory, descriptors and threads stay as they were.
//!
//! `SOAK_SECONDS=1800` takes half an hour, where the tests take a moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is to be seen with --nocapture")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto::{self, ReplacementMode, tell_trial_request::Outcome};
use swift_sampler_client::{BatchesRequest, ImportRequest, JobConfig};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::resources::Resources;
use swift_sampler_tests::{Samplerd, deadline};

const SECONDS_DEFAULT: u64 = 20;
const ROWS: u32 = 20_000;
const MODES: [ReplacementMode; 3] =
    [ReplacementMode::Independent, ReplacementMode::Stratified, ReplacementMode::Distinct];
/// Little, so that what is kept of epochs without repeats is at its most soon.
const PLANS_BYTES_MAX: &str = "8388608";
/// The load is to leave the machine to other tests, beside which it runs for minutes: how long a trainer takes over a step,
const STEP_TIME: Duration = Duration::from_millis(5);
/// a trial to train,
const TRIAL_TIME: Duration = Duration::from_millis(50);
/// and the pauses between two activations,
const SWAP_PAUSE: Duration = Duration::from_millis(100);
/// two imports,
const IMPORT_PAUSE: Duration = Duration::from_millis(250);
/// and two looks over HTTP.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Steps of one connection of a reader, and what it does not read any further than.
const STEPS_A_STREAM: u64 = 500;
/// What is looked at in a row is as far apart as this share of the time.
const LOOKS: u32 = 60;
/// The first of them, in which caches fill, are left out.
const WARM_UP_LOOKS: usize = 20;
/// Growth from the earlier half of the looks to the later that counts as none, in bytes: what an allocator keeps of a
/// burst, over a life of any length.
const GROWTH_BYTES_MAX: u64 = 24 << 20;
/// Descriptors and threads come and go with connections and blocking work; not more than so many more stay.
const GROWTH_COUNT_MAX: u64 = 16;

/// Everything that is done to the daemon.
struct Load<'a> {
    daemon: &'a Samplerd,
    folder: &'a Path,
    first: PathBuf,
    second: PathBuf,
    done: AtomicBool,
    batches: AtomicU64,
    swaps: AtomicU64,
    trials: AtomicU64,
    imports: AtomicU64,
}

impl Load<'_> {
    fn goes_on(&self) -> bool {
        !self.done.load(Ordering::Relaxed)
    }

    fn client(&self) -> Client {
        Client::connect(self.daemon.address()).unwrap()
    }

    /// Reads a job of its own in short streams over new connections, and opens another job after a few of them.
    fn read(&self, reader: u64) {
        let mut life = 0;
        while self.goes_on() {
            let (name, mode) = (format!("soak-{reader}-{life}"), MODES[usize::try_from(reader).unwrap() % MODES.len()]);
            let client = self.client();
            client.open_job(&JobConfig { mode, seed: life, ..JobConfig::new(&name, "d", 64) }).unwrap();
            for stream in 0..3 {
                let from = stream * STEPS_A_STREAM;
                let request =
                    BatchesRequest { to_step: Some(from + STEPS_A_STREAM), ..BatchesRequest::new(&name, from) };
                for (step, batch) in (from..).zip(self.client().batches(request)) {
                    assert_eq!(batch.unwrap().step, step);
                    self.batches.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(STEP_TIME);
                    if !self.goes_on() {
                        return;
                    }
                }
            }
            client.remove_job(&name).unwrap();
            life += 1;
        }
    }

    /// Puts samplers and activates them, old and new.
    fn swap(&self) {
        let client = self.client();
        let specs = [r#"{"kind":"column","column":"loss"}"#, r#"{"kind":"column","column":"entropy"}"#];
        let versions = specs.map(|spec| client.put_sampler("d", spec, None).unwrap().version);
        let mut generation = 0;
        for turn in 0.. {
            if !self.goes_on() {
                return;
            }
            let active = client.activate_sampler("d", versions[turn % versions.len()]).unwrap();
            assert!(active.generation > generation, "{active:?} after {generation}");
            generation = active.generation;
            self.swaps.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(SWAP_PAUSE);
        }
    }

    /// Imports a dataset, puts a sampler, removes it all.
    fn import(&self) {
        let client = self.client();
        while self.goes_on() {
            client.import_dataset(&ImportRequest::new("passing", [&self.second]), |_| {}).unwrap();
            client.put_sampler("passing", r#"{"kind":"column","column":"loss"}"#, None).unwrap();
            client.fetch_columns(&client.get_dataset("passing").unwrap().hash, &self.folder.join("fetched")).unwrap();
            client.remove_dataset("passing").unwrap();
            self.imports.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(IMPORT_PAUSE);
        }
    }

    /// Runs studies of a few trials, with a candidate each, to their end.
    fn search(&self) {
        let client = self.client();
        for number in 0.. {
            if !self.goes_on() {
                return;
            }
            let study = format!("soak-{number}");
            client
                .create_study(proto::CreateStudyRequest {
                    name: study.clone(),
                    dataset: "d".into(),
                    config_json: "{}".into(),
                    attempts_max: 1,
                })
                .unwrap();
            for trial in 0..5 {
                let origin = proto::Origin { study: study.clone(), trial, candidate: true };
                let spec = r#"{"kind":"column","column":"grad_norm"}"#;
                let candidate = client.put_sampler("d", spec, Some(origin)).unwrap();
                self.try_trial(&client, &study, trial, candidate.version);
            }
            client.end_study(&study, "{}").unwrap();
            client.remove_study(&study).unwrap();
        }
    }

    fn try_trial(&self, client: &Client, study: &str, number: u64, sampler_version: u64) {
        let add = proto::AddTrialRequest { study: study.into(), number, parameters_json: "{}".into(), sampler_version };
        client.add_trial(add).unwrap();
        let lease = proto::LeaseTrialRequest { study: study.into(), worker: "w".into(), lease_ms: 0, wait_ms: 0 };
        let leased = client.lease_trial(lease).unwrap().trial.unwrap();
        let tell = proto::TellTrialRequest {
            study: study.into(),
            number,
            attempt: leased.attempt,
            worker: "w".into(),
            outcome: Some(Outcome::Objective(0.5)),
            report_json: String::new(),
        };
        client.tell_trial(tell).unwrap();
        self.trials.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(TRIAL_TIME);
    }

    /// Looks at metrics, health and the page, as Prometheus, Kubernetes and people do.
    fn look(&self) {
        while self.goes_on() {
            for path in ["/metrics", "/readyz", "/healthz", "/"] {
                assert_eq!(self.daemon.http(path).0, 200, "{path}");
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}

#[test]
fn memory_descriptors_and_threads_stay_flat_under_everything_at_once() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(SECONDS_DEFAULT, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--log", "warn", "--max-connection-age", "5", "--plans-bytes-max", PLANS_BYTES_MAX];
    let daemon = Samplerd::start_with(&folder.path().join("data"), &arguments);
    let load = Load {
        daemon: &daemon,
        folder: folder.path(),
        first: Columns::random(ROWS, 1).write_csv(folder.path(), "first.csv"),
        second: Columns::random(ROWS, 2).write_csv(folder.path(), "second.csv"),
        done: AtomicBool::new(false),
        batches: AtomicU64::new(0),
        swaps: AtomicU64::new(0),
        trials: AtomicU64::new(0),
        imports: AtomicU64::new(0),
    };
    load.client().import_dataset(&ImportRequest::new("d", [&load.first]), |_| {}).unwrap();
    let looks = std::thread::scope(|scope| {
        let load = &load;
        let mut work = vec![scope.spawn(|| load.swap()), scope.spawn(|| load.import()), scope.spawn(|| load.search())];
        work.push(scope.spawn(|| load.look()));
        work.extend((0..6).map(|reader| scope.spawn(move || load.read(reader))));
        let start = Instant::now();
        let looks: Vec<Resources> = (1..=LOOKS)
            .map(|look| {
                let at = start + Duration::from_secs(seconds).mul_f64(f64::from(look) / f64::from(LOOKS));
                // A failure of one ends all.
                while Instant::now() < at && !work.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Resources::of(daemon.process())
            })
            .collect();
        load.done.store(true, Ordering::Relaxed);
        looks
    });
    let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
    for (what, count) in
        [("batches", &load.batches), ("swaps", &load.swaps), ("trials", &load.trials), ("imports", &load.imports)]
    {
        assert!(counted(count) > 0, "no {what}");
        println!("figure: {what} in {seconds} s: {}", counted(count));
    }
    check_flat("resident memory, bytes", &looks, |it| it.resident_bytes, GROWTH_BYTES_MAX);
    check_flat("descriptors", &looks, |it| it.descriptors as u64, GROWTH_COUNT_MAX);
    check_flat("threads", &looks, |it| it.threads, GROWTH_COUNT_MAX);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    deadline("the connections are gone", || daemon.metric("swiftsampler_streams").filter(|streams| *streams < 1.0));
}

/// The lowest of a half is what is held; what is above it comes and goes.
fn check_flat(what: &str, looks: &[Resources], value: impl Fn(&Resources) -> u64, growth_max: u64) {
    let (earlier, later) = looks[WARM_UP_LOOKS..].split_at((looks.len() - WARM_UP_LOOKS) / 2);
    let lowest = |half: &[Resources]| half.iter().map(&value).min().unwrap();
    let (earlier, later, highest) = (lowest(earlier), lowest(later), looks.iter().map(&value).max().unwrap());
    println!("figure: {what}: {earlier} at least in the earlier half, {later} in the later, {highest} at most");
    assert!(later <= earlier + growth_max, "{what} grew from {earlier} to {later}: {looks:?}");
}
