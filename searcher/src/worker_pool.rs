//! The worker processes of a search: started, restarted after a crash, and ended with it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientError, proto};

use crate::daemon_options::DaemonOptions;
use crate::devices::Device;
use crate::error::SearcherError;
use crate::limits::TrialLimits;
use crate::memory;
use crate::stop::Stop;
use crate::worker::{fate, over_memory};

/// Crashes in a row after which a worker is given up and the search with it: more than the attempts at two bad trials.
const CRASHES_MAX: u32 = 8;
/// Pause before the first restart; each further one doubles it.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// A worker that lived this long has not crashed in a row with the last.
const SOUND_LIFE: Duration = Duration::from_secs(60);
/// How long workers may take to end once their standard input is closed.
const END_PATIENCE: Duration = Duration::from_secs(5);
const END_POLL: Duration = Duration::from_millis(20);
/// How often to see how much memory workers use.
const MEMORY_INTERVAL: Duration = Duration::from_millis(500);
/// How often a pool without a search sees whether the study ended.
const STUDY_INTERVAL: Duration = Duration::from_secs(2);
/// Pause between two looks at the workers of a pool without a search.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// What an error shows of a crashed worker's log, in bytes.
const LOG_TAIL_BYTES: u64 = 600;

/// How workers are started.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// What the workers' names have in common: unique among the study's pools.
    pub names: String,
    /// The device of each.
    pub devices: Vec<Device>,
    /// Limits of an attempt at a trial.
    pub limits: TrialLimits,
    /// What runs the trials instead of the study's target.
    pub trial_command: Option<String>,
    /// Where the daemon is.
    pub daemon: DaemonOptions,
    /// The study.
    pub study: String,
    /// Folder of the start network and of the workers' logs.
    pub work_dir: PathBuf,
}

/// Running workers. Dropping it ends them; they also end by themselves when this process dies, because their standard
/// input closes.
#[derive(Debug)]
pub struct WorkerPool {
    config: PoolConfig,
    slots: Vec<Slot>,
    /// When their memory was measured.
    measured: Instant,
    /// Processes that the kernel had ended for lack of memory when last looked.
    kills: Option<u64>,
}

/// A worker that ended though its study goes on.
#[derive(Debug)]
pub struct CrashedWorker {
    /// Its name.
    pub name: String,
    /// Why its trial failed.
    pub reason: String,
}

#[derive(Debug)]
struct Slot {
    number: usize,
    child: Option<Child>,
    /// It was ended from here, for this reason.
    ended: Option<String>,
    started: Instant,
    restart_at: Instant,
    crashes: u32,
}

impl WorkerPool {
    /// Starts the workers.
    ///
    /// # Errors
    /// [`SearcherError`] when a process or its log cannot be started.
    pub fn start(config: PoolConfig) -> Result<Self, SearcherError> {
        let slots = Vec::with_capacity(config.devices.len());
        let mut pool = Self { slots, config, measured: Instant::now(), kills: memory::kills() };
        for number in 0..pool.config.devices.len() {
            let (child, now) = (pool.spawn(number)?, Instant::now());
            let child = Some(child);
            pool.slots.push(Slot { number, child, ended: None, started: now, restart_at: now, crashes: 0 });
        }
        Ok(pool)
    }

    /// Ends workers that use too much memory, restarts those that crashed, after a pause that doubles with each crash in a
    /// row, and returns those found crashed since the last call. Call it often.
    ///
    /// # Errors
    /// [`SearcherError::WorkersCrash`] when one crashed eight times in a row.
    pub fn supervise(&mut self) -> Result<Vec<CrashedWorker>, SearcherError> {
        let mut crashed = Vec::new();
        self.end_the_greedy();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if let Some(child) = &mut slot.child {
                let Some(status) = child.try_wait().map_err(SearcherError::file("worker"))? else { continue };
                slot.child = None;
                if slot.started.elapsed() > SOUND_LIFE {
                    slot.crashes = 0;
                }
                slot.crashes += 1;
                let (number, crashes) = (slot.number, slot.crashes);
                slot.restart_at = Instant::now() + RESTART_PAUSE * 2u32.pow(crashes - 1);
                let (kills, ended) = (memory::kills(), slot.ended.take());
                let killed_for_memory = kills > self.kills;
                self.kills = kills;
                let fate = fate::of_process(status, killed_for_memory);
                let reason = ended.unwrap_or_else(|| format!("its worker crashed: {fate}"));
                tracing::warn!(worker = number, reason, crashes, "worker ended");
                if crashes >= CRASHES_MAX {
                    return Err(self.gave_up(number, crashes, reason));
                }
                crashed.push(CrashedWorker { name: self.name(number), reason });
            } else if slot.restart_at <= Instant::now() {
                let number = slot.number;
                let child = self.spawn(number)?;
                let slot = &mut self.slots[index];
                slot.child = Some(child);
                slot.started = Instant::now();
            }
        }
        Ok(crashed)
    }

    /// The memory of a trial in its worker is watched from outside; that of a command, by its worker.
    fn end_the_greedy(&mut self) {
        let Some(limit) = self.config.limits.memory_bytes else { return };
        if self.measured.elapsed() < MEMORY_INTERVAL {
            return;
        }
        self.measured = Instant::now();
        for slot in &mut self.slots {
            let Some(child) = &mut slot.child else { continue };
            let used = memory::of_group(child.id());
            if used > limit && slot.ended.is_none() {
                slot.ended = Some(over_memory(used, limit));
                if let Err(error) = child.kill() {
                    tracing::warn!(worker = slot.number, %error, "worker could not be ended");
                }
            }
        }
    }

    fn name(&self, number: usize) -> String {
        format!("worker-{number}-{}", self.config.names)
    }

    fn spawn(&self, number: usize) -> Result<Child, SearcherError> {
        let (device, limits) = (self.config.devices[number], &self.config.limits);
        let program = std::env::current_exe().map_err(SearcherError::file("searcher"))?;
        let log_path = self.log_path(number);
        let log =
            OpenOptions::new().create(true).append(true).open(&log_path).map_err(SearcherError::file(&log_path))?;
        let mut command = Command::new(&program);
        command
            .args(["worker", "--until-stdin-closes", "--study", &self.config.study])
            .args(["--daemon", &self.config.daemon.daemon, "--name", &self.name(number)])
            .args(["--devices", &device.to_string()])
            .args(["--hang-timeout", &format!("{}ms", limits.hang.as_millis())])
            .args(limits.timeout.iter().flat_map(|it| ["--trial-timeout".to_owned(), format!("{}ms", it.as_millis())]))
            .args(limits.memory_bytes.iter().flat_map(|it| ["--trial-memory".to_owned(), it.to_string()]))
            .args(self.config.trial_command.iter().flat_map(|command| ["--trial-command", command]))
            .arg("--work-dir")
            .arg(&self.config.work_dir)
            .envs(self.config.daemon.variables())
            .env("CUDA_VISIBLE_DEVICES", device.visible_gpus())
            // One intra-op thread: spinning threads of several processes slow each other down by an order of magnitude.
            .env("OMP_NUM_THREADS", "1")
            .env("MKL_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        detach_from_terminal(&mut command);
        command.spawn().map_err(SearcherError::file(program))
    }

    fn log_path(&self, number: usize) -> PathBuf {
        self.config.work_dir.join(format!("worker-{number}.log"))
    }

    fn gave_up(&self, number: usize, crashes: u32, reason: String) -> SearcherError {
        let path = self.log_path(number);
        let tail = log_tail(&path).unwrap_or_else(|error| format!("({}: {error})", path.display()));
        SearcherError::WorkersCrash { crashes, reason, tail }
    }

    /// Ends the workers: first by closing their standard input, then by force.
    pub fn end(&mut self) {
        for slot in &mut self.slots {
            if let Some(child) = &mut slot.child {
                drop(child.stdin.take());
            }
        }
        let deadline = Instant::now() + END_PATIENCE;
        for slot in &mut self.slots {
            let Some(mut child) = slot.child.take() else { continue };
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(END_POLL);
            }
            if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
                tracing::warn!(worker = slot.number, %error, "worker could not be ended");
            }
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the name of a worker that was given none.
#[must_use]
pub fn process_name() -> String {
    format!("{}-{}", host_name(), std::process::id())
}

fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname").map_or_else(|_| "host".to_owned(), |name| name.trim().to_owned())
}

/// Returns what the names of a search's workers have in common: the same for the same place in a restarted search, so that
/// its workers get their unfinished trials back at once.
///
/// The work folder, which one searcher at a time may use, keeps searches on other machines or folders apart.
#[must_use]
pub fn place_name(work_dir: &Path) -> String {
    let place = format!("{}:{}", host_name(), work_dir.display());
    format!("{:016x}", crate::randomness::seed_for(0, 0, &place))
}

/// Keeps a pool's workers running until the study ends or `stop` is set, without proposing trials: for workers elsewhere.
///
/// # Errors
/// [`SearcherError`] when workers cannot be started, crash again and again, or the daemon stays unreachable.
pub fn run(config: PoolConfig, stop: &Stop) -> Result<(), SearcherError> {
    let client = config.daemon.connect()?;
    let study = config.study.clone();
    let mut pool = WorkerPool::start(config)?;
    let mut looked = Instant::now();
    while !stop.wait_timeout(LOOK_INTERVAL) {
        for crashed in pool.supervise()? {
            fail_trials_of(&client, &study, &crashed)?;
        }
        if looked.elapsed() > STUDY_INTERVAL {
            looked = Instant::now();
            if client.get_study(&study)?.state() == proto::StudyState::Ended {
                break;
            }
        }
    }
    pool.end();
    Ok(())
}

/// Tells the trials of a crashed worker as failed. Its successor has its name and would get them back as they were, again
/// and again if it is the trial that crashes it.
///
/// # Errors
/// [`SearcherError`] when the daemon cannot be reached.
pub fn fail_trials_of(client: &Client, study: &str, crashed: &CrashedWorker) -> Result<(), SearcherError> {
    for trial in client.list_trials(study)? {
        if trial.worker != crashed.name || trial.state() != proto::TrialState::Running {
            continue;
        }
        let request = proto::TellTrialRequest {
            study: study.to_owned(),
            number: trial.number,
            attempt: trial.attempt,
            worker: crashed.name.clone(),
            outcome: Some(proto::tell_trial_request::Outcome::Failed(crashed.reason.clone())),
            report_json: String::new(),
        };
        match client.tell_trial(request) {
            // Its lease ran out and another worker has it.
            Ok(_) | Err(ClientError::FailedPrecondition(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Ctrl-C goes to every process of a terminal's group; the workers' end is the parent's to decide.
#[cfg(unix)]
fn detach_from_terminal(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn detach_from_terminal(_: &mut Command) {}

fn log_tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
