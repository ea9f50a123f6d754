//! Redis servers and Sentinels of a scenario's own, on free ports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::deadline;

/// Names the redis-server to start.
const SERVER_VARIABLE: &str = "SWIFTSAMPLER_REDIS_SERVER";
/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often another port is tried, where somebody else took the one that was free.
const PORTS_MAX: u32 = 5;

/// A running `redis-server`; killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    folder: PathBuf,
    arguments: Vec<String>,
    port: u16,
}

impl RedisServer {
    /// Starts a server on a free port that keeps nothing on disk unless `arguments` say so, and returns once it answers.
    #[must_use]
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_as(folder, arguments, &["--save", ""])
    }

    /// Starts a replica of `master`, and returns once it follows.
    #[must_use]
    pub fn start_replica(folder: &Path, master: &Self) -> Self {
        let replica_of = format!("127.0.0.1 {}", master.port);
        let replica = Self::start(folder, &["--replicaof", &replica_of, "--repl-diskless-sync-delay", "0"]);
        deadline("the replica follows", || {
            replica.ask("INFO replication")?.contains("master_link_status:up").then_some(())
        });
        // The master counts it a moment later.
        let listed = format!("port={},state=online", replica.port);
        deadline("the master counts the replica", || master.ask("INFO replication")?.contains(&listed).then_some(()));
        replica
    }

    /// Starts a Sentinel that watches `master` under the name `main`, and returns once it answers.
    #[must_use]
    pub fn start_sentinel(folder: &Path, master: &Self, quorum: u32, down_after: Duration) -> Self {
        std::fs::create_dir_all(folder).expect("a temporary folder is made");
        let file = folder.join("sentinel.conf");
        let settings = format!(
            "sentinel monitor main 127.0.0.1 {} {quorum}\nsentinel down-after-milliseconds main {}\nsentinel \
             failover-timeout main 5000\n",
            master.port,
            down_after.as_millis()
        );
        std::fs::write(&file, settings).expect("a temporary file is written");
        Self::start_as(folder, &[file.to_str().expect("temporary paths are UTF-8"), "--sentinel"], &[])
    }

    fn start_as(folder: &Path, arguments: &[&str], defaults: &[&str]) -> Self {
        std::fs::create_dir_all(folder).expect("a temporary folder is made");
        // A file of settings comes first.
        let (file, rest) =
            arguments.split_at(usize::from(arguments.first().is_some_and(|first| !first.starts_with("--"))));
        let arguments: Vec<String> = [file, defaults, rest].concat().into_iter().map(str::to_owned).collect();
        for _ in 0..PORTS_MAX {
            let port = free_port();
            let child = spawn(folder, &arguments, port);
            let mut server = Self { child, folder: folder.to_owned(), arguments: arguments.clone(), port };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server does not start with {arguments:?}: its log is in {}", folder.display());
    }

    /// Waits until it answers; `false` when it ended instead.
    fn answers(&mut self) -> bool {
        deadline("redis-server answers", || {
            if self.child.try_wait().expect("the child is ours").is_some() {
                return Some(false);
            }
            // Whoever else has the port is not this process.
            let info = self.ask("INFO server")?;
            Some(info.contains(&format!("process_id:{}\r", self.child.id())))
        })
    }

    /// Returns its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its address, as `samplerd --registry` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends one command, its words separated by spaces, and returns the answer as it comes; `None` when there is none.
    #[must_use]
    pub fn ask(&self, command: &str) -> Option<String> {
        ask(self.port, command).ok()
    }

    /// Stops the process without ending it: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Starts it again on the same port, over the same folder, and returns once it answers.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.arguments, self.port);
        assert!(self.answers(), "redis-server starts again on port {}", self.port);
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill is a POSIX command").success(), "redis-server is there to be signalled");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(folder: &Path, arguments: &[String], port: u16) -> Child {
    let server = std::env::var_os(SERVER_VARIABLE).unwrap_or_else(|| {
        panic!("{SERVER_VARIABLE} is not set: export {SERVER_VARIABLE}=$(scripts/setup-redis)/redis-server")
    });
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"));
    Command::new(server)
        .args(arguments)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder)
        .stdout(log.expect("a temporary file is opened"))
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(command.as_bytes())?;
    stream.write_all(b"\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match line.strip_prefix('$').map(str::trim_end) {
        Some(bytes) => {
            let bytes = bytes.parse().map_err(std::io::Error::other)?;
            let mut text = vec![0; bytes];
            reader.read_exact(&mut text)?;
            String::from_utf8(text).map_err(std::io::Error::other)
        }
        None => Ok(line),
    }
}
