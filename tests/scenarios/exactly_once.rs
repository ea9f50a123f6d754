//! `kill -9` of the daemon, of trainers, of all, at random moments: every step is trained exactly once, on the draws of a
//! job that nothing interrupted.
//!
//! `KILLS=1000` kills more often, `SEED=n` at the moments of a failed run, which printed its seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is to be seen with --nocapture")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use swift_sampler::job::Shard;
use swift_sampler::philox4x32_10;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto::ReplacementMode;
use swift_sampler_client::{BatchesRequest, JobConfig};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::progress::Trained;
use swift_sampler_tests::{Samplerd, Trainer, binary, deadline};

const DATASET: &str = "d";
const JOB: &str = "train";
const SPECS: [&str; 2] = [
    r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.6,-0.8],
        "knots":[0.25,0.5,0.75],"values":[0.1,1,0.5,0.25,0]}"#,
    r#"{"kind":"column","column":"loss"}"#,
];
/// How long a trainer takes over a step.
const STEP_TIME: Duration = Duration::from_millis(2);
/// Longest time between a recovery and the next kill.
const RUN_MICROS_MAX: u32 = 60_000;
/// Longest life of a daemon that is killed while it starts.
const START_MICROS_MAX: u32 = 200_000;
/// The promise: the first batch comes within this once the daemon is ready.
const FIRST_BATCH_MAX: Duration = Duration::from_secs(2);

/// Scenarios wait for each other: what one measures, another must not slow down.
static ALONE: Mutex<()> = Mutex::new(());

/// What a scenario is to go through.
struct Plan {
    rows: u32,
    batch_size: u32,
    mode: ReplacementMode,
    world_size: u32,
    kills: u64,
    /// Activates another sampler halfway.
    swap: bool,
}

/// A daemon and its trainers, about to be killed.
struct Crashes {
    _alone: MutexGuard<'static, ()>,
    plan: Plan,
    seed: u32,
    chosen: u32,
    folder: PathBuf,
    /// Where the daemon may come back.
    addresses: [String; 2],
    daemon: Option<Samplerd>,
    trainers: Vec<Trainer>,
    kills: u64,
    /// From a daemon's readiness to a batch trained after it, every time.
    first_batches: Vec<Duration>,
}

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Daemon,
    Trainer,
    All,
    /// The daemon, and once more while it starts.
    StartingDaemon,
}

/// Chances of each victim, in eighths.
const VICTIMS: [Victim; 8] = [
    Victim::Daemon,
    Victim::Daemon,
    Victim::Daemon,
    Victim::Trainer,
    Victim::Trainer,
    Victim::All,
    Victim::All,
    Victim::StartingDaemon,
];

impl Crashes {
    fn start(plan: Plan, folder: &Path) -> Self {
        // A scenario that failed spoils nothing for the next.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = std::env::var("SEED").map_or_else(|_| fresh_seed(), |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        let file = Columns::random(plan.rows, 1).write_csv(folder, "features.csv");
        // Addresses of this scenario's own: nobody takes the port while the daemon is away.
        let host = |number: u32| {
            let [_, high, middle, low] = (seed ^ std::process::id() ^ plan.rows ^ number).to_be_bytes();
            format!("127.{}.{middle}.{}", 1 + high % 254, 1 + low % 254)
        };
        let hosts = [host(1), host(2)];
        let daemon = Samplerd::start_on(&folder.join("data"), &format!("{}:0", hosts[0]), &["--log", "warn"]);
        let (_, port) = daemon.address().rsplit_once(':').unwrap();
        let addresses = hosts.map(|host| format!("{host}:{port}"));
        prepare(&daemon, folder, &file, &plan);
        let rank = |rank| Trainer::new(&addresses.join(","), JOB, folder, rank, plan.world_size);
        let trainers = (0..plan.world_size).map(rank).collect();
        let folder = folder.to_owned();
        let daemon = Some(daemon);
        let mut crashes = Self {
            _alone: alone,
            plan,
            seed,
            chosen: 0,
            folder,
            addresses,
            daemon,
            trainers,
            kills: 0,
            first_batches: Vec::new(),
        };
        crashes.trainers.iter_mut().for_each(|trainer| trainer.start(STEP_TIME));
        crashes
    }

    /// Returns a random number below a limit.
    fn choose(&mut self, below: u32) -> u32 {
        self.chosen += 1;
        philox4x32_10([self.chosen, 0, 0, 0], [self.seed, 0])[0] % below
    }

    fn daemon(&self) -> &Samplerd {
        self.daemon.as_ref().expect("a daemon runs between kills")
    }

    fn epoch_steps(&self) -> u64 {
        u64::from(self.plan.rows.div_ceil(self.plan.batch_size))
    }

    /// Returns what the slowest rank has trained.
    fn steps(&self) -> u64 {
        self.trainers.iter().map(Trainer::steps).min().unwrap()
    }

    /// Kills until an epoch is trained, there were as many kills as planned, and the swap, if one is, came in its middle.
    fn run(&mut self) {
        let half = self.epoch_steps() / 2;
        // On a busy machine half of the epoch takes more kills than planned.
        while self.kills < self.plan.kills || self.plan.swap {
            let micros = self.choose(RUN_MICROS_MAX);
            std::thread::sleep(Duration::from_micros(micros.into()));
            let victim = VICTIMS[self.choose(8) as usize];
            self.kill(victim);
            if self.plan.swap && self.steps() >= half {
                self.daemon().ctl().activate(DATASET, 3);
                self.plan.swap = false;
            }
        }
        // What is left of the epoch is trained as fast as it comes.
        self.trainers.iter_mut().for_each(|trainer| trainer.start(Duration::ZERO));
        deadline("an epoch is trained", || (self.steps() >= self.epoch_steps()).then_some(()));
        self.trainers.iter_mut().for_each(Trainer::kill);
    }

    fn kill(&mut self, victim: Victim) {
        if let Victim::Trainer | Victim::All = victim {
            let one = self.choose(self.plan.world_size) as usize;
            for (number, trainer) in self.trainers.iter_mut().enumerate() {
                if number == one || matches!(victim, Victim::All) {
                    trainer.kill();
                    self.kills += 1;
                }
            }
        }
        if !matches!(victim, Victim::Trainer) {
            self.daemon = None;
            self.kills += 1;
        }
        if let Victim::Trainer | Victim::All = victim {
            // At once, whether the daemon is there or not.
            self.trainers.iter_mut().filter(|trainer| !trainer.runs()).for_each(|trainer| trainer.start(STEP_TIME));
        }
        if let Victim::StartingDaemon = victim {
            self.kill_while_it_starts();
            self.kills += 1;
        }
        if self.daemon.is_none() {
            let address = &self.addresses[self.chosen as usize % 2];
            self.daemon = Some(Samplerd::start_on(&self.folder.join("data"), address, &["--log", "warn"]));
            // Otherwise it may be killed before it has served any.
            if self.choose(2) == 0 {
                self.await_first_batches();
            }
        }
    }

    fn kill_while_it_starts(&mut self) {
        let micros = self.choose(START_MICROS_MAX);
        let mut starting = Command::new(binary("samplerd"))
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--listen", &self.addresses[0], "--http", "127.0.0.1:0", "--log", "warn"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(micros.into()));
        starting.kill().unwrap();
        starting.wait().unwrap();
    }

    /// Measures how soon every rank trains again, on a batch that came after this daemon had served some.
    fn await_first_batches(&mut self) {
        let ready = Instant::now();
        let daemon = self.daemon.as_ref().unwrap();
        let served = || daemon.metric("swiftsampler_batches_served_total").filter(|&served| served > 0.0);
        deadline("the daemon serves", served);
        let before: Vec<u64> = self.trainers.iter().map(Trainer::steps).collect();
        let ranks = self.trainers.iter().zip(&before);
        let went_on = |(trainer, before): (&Trainer, &u64)| trainer.steps() > *before;
        deadline("every rank goes on", || ranks.clone().all(went_on).then_some(()));
        self.first_batches.push(ready.elapsed());
    }

    /// Checks every rank's record against a single reader's, of a daemon that nothing happens to.
    fn assert_exactly_once(&self, daemon: &Samplerd) {
        let records: Vec<Vec<Trained>> = self.trainers.iter().map(Trainer::trained).collect();
        let to_step = records.iter().map(|record| record.len() as u64).max().unwrap();
        let request = BatchesRequest { to_step: Some(to_step), seek: true, ..BatchesRequest::new(JOB, 0) };
        let mut versions = Vec::new();
        let mut read = 0;
        for batch in Client::connect(daemon.address()).unwrap().batches(request) {
            let batch = batch.unwrap();
            versions.push(batch.version);
            for (trainer, record) in self.trainers.iter().zip(&records) {
                let Some(trained) = record.get(read) else { continue };
                let slice = Shard::new(trainer.rank(), self.plan.world_size).unwrap().slice(self.plan.batch_size);
                let expected = Trained::on(&batch, slice.start as usize..slice.end as usize);
                assert_eq!(*trained, expected, "rank {}, SEED={}", trainer.rank(), self.seed);
            }
            read += 1;
        }
        assert_eq!(read as u64, to_step);
        versions.dedup();
        println!("{to_step} steps, {} kills, sampler versions {versions:?}", self.kills);
    }

    /// Tells how soon batches came, and checks that it was soon enough.
    fn assert_first_batches_are_soon(&mut self) {
        self.first_batches.sort_unstable();
        let (median, longest) = (self.first_batches[self.first_batches.len() / 2], *self.first_batches.last().unwrap());
        println!(
            "first batch after the daemon is ready: median {median:.2?}, longest {longest:.2?} of {} times",
            self.first_batches.len()
        );
        assert!(longest <= FIRST_BATCH_MAX, "{longest:?}, SEED={}", self.seed);
    }
}

fn fresh_seed() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()
}

fn kills(otherwise: u64) -> u64 {
    std::env::var("KILLS").map_or(otherwise, |kills| kills.parse().unwrap())
}

/// Imports the dataset, stores the samplers, activates the first and opens the job.
fn prepare(daemon: &Samplerd, folder: &Path, file: &Path, plan: &Plan) {
    let ctl = daemon.ctl();
    ctl.one(&["dataset", "import", DATASET, file.to_str().unwrap()]);
    for spec in SPECS {
        ctl.put(DATASET, folder, spec);
    }
    ctl.activate(DATASET, 2);
    let job = JobConfig { seed: 5, mode: plan.mode, ..JobConfig::new(JOB, DATASET, plan.batch_size) };
    Client::connect(daemon.address()).unwrap().open_job(&job).unwrap();
}

#[test]
fn a_killed_job_trains_each_step_once_as_a_job_elsewhere_that_nothing_interrupts() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        rows: 1_000_000,
        batch_size: 100,
        mode: ReplacementMode::Independent,
        world_size: 1,
        kills: kills(200),
        swap: false,
    };
    let mut crashes = Crashes::start(plan, folder.path());
    crashes.run();
    let elsewhere = Samplerd::start(&folder.path().join("elsewhere"));
    prepare(&elsewhere, folder.path(), &folder.path().join("features.csv"), &crashes.plan);
    crashes.assert_exactly_once(&elsewhere);
    crashes.assert_first_batches_are_soon();
}

#[test]
fn a_job_killed_around_a_hot_swap_is_replayed_with_the_swap() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        rows: 100_000,
        batch_size: 100,
        mode: ReplacementMode::Stratified,
        world_size: 1,
        kills: kills(200) / 5,
        swap: true,
    };
    let mut crashes = Crashes::start(plan, folder.path());
    crashes.run();
    crashes.assert_exactly_once(crashes.daemon());
    crashes.assert_first_batches_are_soon();
}

#[test]
fn killed_ranks_train_their_shares_of_the_batches_that_one_rank_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        rows: 100_000,
        batch_size: 100,
        mode: ReplacementMode::Distinct,
        world_size: 3,
        kills: kills(200) / 4,
        swap: true,
    };
    let mut crashes = Crashes::start(plan, folder.path());
    crashes.run();
    crashes.assert_exactly_once(crashes.daemon());
    crashes.assert_first_batches_are_soon();
}
