//! The worker processes of a search: started, restarted after a crash, and ended with it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::SearcherError;

/// Crashes in a row after which a worker is given up and the search with it: more than the attempts at two bad trials.
const CRASHES_MAX: u32 = 8;
/// Pause before the first restart; each further one doubles it.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// A worker that lived this long has not crashed in a row with the last.
const SOUND_LIFE: Duration = Duration::from_secs(60);
/// How long workers may take to end once their standard input is closed.
const END_PATIENCE: Duration = Duration::from_secs(5);
const END_POLL: Duration = Duration::from_millis(20);
/// What an error shows of a crashed worker's log, in bytes.
const LOG_TAIL_BYTES: u64 = 600;

/// How workers are started.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// How many.
    pub jobs: usize,
    /// Address of the daemon.
    pub daemon: String,
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
}

/// A worker that ended though its study goes on.
#[derive(Debug)]
pub struct CrashedWorker {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
}

#[derive(Debug)]
struct Slot {
    number: usize,
    child: Option<Child>,
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
        let mut pool = Self { slots: Vec::with_capacity(config.jobs), config };
        for number in 0..pool.config.jobs {
            let (child, now) = (pool.spawn(number)?, Instant::now());
            pool.slots.push(Slot { number, child: Some(child), started: now, restart_at: now, crashes: 0 });
        }
        Ok(pool)
    }

    /// Restarts workers that crashed, after a pause that doubles with each crash in a row, and returns those found crashed
    /// since the last call. Call it often.
    ///
    /// # Errors
    /// [`SearcherError::WorkersCrash`] when one crashed eight times in a row.
    pub fn supervise(&mut self) -> Result<Vec<CrashedWorker>, SearcherError> {
        let mut crashed = Vec::new();
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
                tracing::warn!(worker = number, %status, crashes, "worker ended");
                if crashes >= CRASHES_MAX {
                    return Err(self.gave_up(number, crashes, status));
                }
                crashed.push(CrashedWorker { name: worker_name(&self.config.work_dir, number), status });
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

    fn spawn(&self, number: usize) -> Result<Child, SearcherError> {
        let program = std::env::current_exe().map_err(SearcherError::file("searcher"))?;
        let log_path = self.log_path(number);
        let log =
            OpenOptions::new().create(true).append(true).open(&log_path).map_err(SearcherError::file(&log_path))?;
        let mut command = Command::new(&program);
        command
            .args(["worker", "--until-stdin-closes", "--study", &self.config.study])
            .args(["--daemon", &self.config.daemon, "--name", &worker_name(&self.config.work_dir, number)])
            .arg("--work-dir")
            .arg(&self.config.work_dir)
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

    fn gave_up(&self, number: usize, crashes: u32, status: ExitStatus) -> SearcherError {
        let path = self.log_path(number);
        let tail = log_tail(&path).unwrap_or_else(|error| format!("({}: {error})", path.display()));
        SearcherError::WorkersCrash { crashes, status: status.to_string(), tail }
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

/// A worker's name: the same for the same place in a restarted search, so that it gets its unfinished trial back at once.
///
/// The work folder, which one searcher at a time may use, keeps searches on other machines or folders apart.
fn worker_name(work_dir: &Path, number: usize) -> String {
    let place = format!("{}:{}", host_name(), work_dir.display());
    format!("worker-{number}-{:016x}", crate::randomness::seed_for(0, 0, &place))
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
