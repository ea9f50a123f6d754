//! A daemon with something to serve, looked at from outside.

use swift_sampler_client::JobConfig;
use swift_sampler_client::blocking::Client;
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::{Samplerd, deadline};
use tempfile::TempDir;

use std::io::Write;
use std::net::TcpStream;

use super::extremes;
use super::frames::{HANDSHAKE, call, message, window};

/// The good client's job.
pub(crate) const JOB: &str = "j";
/// Its batch size.
pub(crate) const BATCH_SIZE: u32 = 256;
/// The batch size of the job "large", near what one answer may have.
const LARGE: u32 = 2 << 20;

pub(crate) struct Scene {
    pub(crate) daemon: Samplerd,
    _folder: TempDir,
}

impl Scene {
    /// A daemon with a dataset, the good client's job, and two for attackers.
    pub(crate) fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Samplerd::start(&folder.path().join("data"));
        let file = Columns::random(1000, 1).write_csv(folder.path(), "features.csv");
        daemon.ctl().one(&["dataset", "import", "d", file.to_str().unwrap()]);
        for (name, batch_size) in [(JOB, BATCH_SIZE), ("x", 32), ("large", LARGE)] {
            Client::connect(daemon.address()).unwrap().open_job(&JobConfig::new(name, "d", batch_size)).unwrap();
        }
        Self { daemon, _folder: folder }
    }

    pub(crate) fn address(&self) -> String {
        self.daemon.address().to_owned()
    }

    /// Checks that the daemon is well, and that no call found a hole in it.
    pub(crate) fn check(&self, after: &str) {
        assert_eq!(self.daemon.http("/readyz").0, 200, "{after}");
        let log = self.daemon.log();
        assert!(!log.contains("panicked"), "{after}: {log}");
        let jobs = deadline("the daemon answers", || self.daemon.ctl().run(&["job", "show", JOB]).ok());
        assert_eq!(jobs.len(), 1, "{after}");
    }

    /// Returns how many bytes of memory the daemon has.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS")
    }

    /// Returns how many it had at most.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.process())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kibibytes: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        kibibytes << 10
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.daemon.process())).unwrap().count()
    }

    pub(crate) fn wait_for_descriptors(&self, after: &str, most: usize) {
        deadline(&format!("descriptors come back after {after}"), || (self.descriptors() <= most).then_some(()));
    }

    /// Returns how many connections were closed for a reason.
    pub(crate) fn closed(&self, reason: &str) -> f64 {
        self.daemon.metric(&format!("swiftsampler_connections_closed_total{{reason=\"{reason}\"}}")).unwrap_or(0.0)
    }

    fn draws(&self) -> f64 {
        self.daemon.metric("swiftsampler_draws_served_total").unwrap()
    }

    /// A client that asks for batches and takes none, for as long as it is kept.
    pub(crate) fn stalled_consumer(&self) -> TcpStream {
        let before = self.draws();
        let mut socket = TcpStream::connect(self.daemon.address()).unwrap();
        let request = [HANDSHAKE, &window(1), &call(1, "/swiftsampler.v1.Sampling/StreamBatches", 0)].concat();
        socket.write_all(&[request, message(1, &extremes::endless_stream("x"))].concat()).unwrap();
        deadline("it is served", || (self.draws() >= before + 32.0).then_some(()));
        socket
    }
}
