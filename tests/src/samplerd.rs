//! A daemon of a scenario's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::{Samplerctl, binary, deadline};

/// Longest wait for a daemon to say where it serves.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest wait for one answer over HTTP.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running `samplerd`; killed when dropped.
pub struct Samplerd {
    child: Child,
    data_dir: PathBuf,
    grpc: String,
    http: String,
    unix: Option<String>,
    log: Arc<Mutex<String>>,
}

impl Samplerd {
    /// Starts a daemon over `data_dir` on free ports and returns once it serves.
    #[must_use]
    pub fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// As [`Self::start`], with further arguments.
    #[must_use]
    pub fn start_with(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::start_on(data_dir, "127.0.0.1:0", arguments)
    }

    /// As [`Self::start_with`], on an address.
    #[must_use]
    pub fn start_on(data_dir: &Path, listen: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary("samplerd"));
        command.args(["--listen", listen, "--http", "127.0.0.1:0"]).args(arguments);
        Self::try_start(data_dir, &mut command).unwrap_or_else(|reason| panic!("samplerd serves: {reason}"))
    }

    /// Starts a daemon over `data_dir` by a command with further arguments, and returns once it serves.
    ///
    /// # Errors
    /// What its first line was instead of where it serves, and its log.
    pub fn try_start(data_dir: &Path, command: &mut Command) -> Result<Self, String> {
        let mut child = command
            .arg("--data-dir")
            .arg(data_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("samplerd starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let sink = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                sink.lock().expect("no holder panics").push_str(&line);
                line.clear();
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, first) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // Where nobody waits any more, nobody misses the line.
            sender.send(stdout.read_line(&mut line).map(|_bytes| line)).ok();
        });
        // Whole from here on, so that a panic kills the child.
        let mut daemon =
            Self { child, data_dir: data_dir.to_owned(), grpc: String::new(), http: String::new(), unix: None, log };
        let first = first
            .recv_timeout(START_MAX)
            .map_err(|_elapsed| format!("not within {START_MAX:?}; log: {}", daemon.log()))?
            .expect("stdout is read");
        let addresses: serde_json::Value = match serde_json::from_str(&first) {
            Ok(addresses) => addresses,
            Err(error) => {
                // No line: it ended.
                daemon.child.wait().expect("the child is ours");
                reading.join().expect("the reader of the log does not panic");
                return Err(format!("first line {first:?}: {error}; log: {}", daemon.log()));
            }
        };
        let address = |name: &str| addresses.get(name).map(|it| it.as_str().expect("addresses are strings").to_owned());
        daemon.grpc = address("grpc").expect("gRPC is served");
        daemon.http = address("http").expect("HTTP is served");
        daemon.unix = address("unix");
        Ok(daemon)
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Returns the gRPC address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.grpc
    }

    /// Returns the HTTP address.
    #[must_use]
    pub fn http_address(&self) -> &str {
        &self.http
    }

    /// Returns the path of the Unix socket, as the daemon announced it.
    #[must_use]
    pub fn unix(&self) -> Option<&str> {
        self.unix.as_deref()
    }

    /// Returns a `samplerctl` that speaks to this daemon.
    #[must_use]
    pub fn ctl(&self) -> Samplerctl {
        Samplerctl::new(&self.grpc)
    }

    /// Returns what the daemon wrote to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("no holder panics").clone()
    }

    /// Asks for a path over HTTP/1.1 and returns status and body.
    #[must_use]
    pub fn http(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).expect("the HTTP address accepts");
        stream.set_read_timeout(Some(HTTP_TIMEOUT)).expect("a time-out above zero is valid");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http)
            .expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        (status, body.to_owned())
    }

    /// Returns the value of a metric, summed over its labels; `None` when it is not exported.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, body) = self.http("/metrics");
        let values: Vec<f64> = body
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Kills the daemon as `kill -9` does, and starts another over the same data.
    #[must_use]
    pub fn kill_and_restart(mut self) -> Self {
        self.kill();
        let data_dir = self.data_dir.clone();
        drop(self);
        Self::start(&data_dir)
    }

    /// Kills the daemon as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Stops the process without ending it: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill is a POSIX command").success(), "the daemon is there to be signalled");
    }

    /// Returns the process's number.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Tells whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_some()
    }

    /// Waits for the daemon to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        deadline("samplerd ends", || self.child.try_wait().expect("the child is ours"))
    }
}

impl Drop for Samplerd {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
