//! Several daemons on one Redis: what one activates all see, and streams go on whatever becomes of Redis.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::{BatchStream, Client};
use swift_sampler_client::proto::control_client::ControlClient;
use swift_sampler_client::proto::sampling_client::SamplingClient;
use swift_sampler_client::{Batch, BatchesRequest, JobConfig, proto};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::{RedisServer, Samplerd, deadline};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const BATCH_SIZE: u32 = 16;
/// How soon an activation is seen everywhere.
const SEEN_WITHIN: Duration = Duration::from_secs(1);
/// How soon everything is caught up once Redis is back.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(5);
/// How soon a write is refused while Redis is known to be down.
const REFUSED_WITHIN: Duration = Duration::from_millis(500);

/// A daemon on a shared registry, which can be started again over the same data.
struct Daemon {
    samplerd: Samplerd,
    data_dir: PathBuf,
    registry: String,
}

impl Daemon {
    fn start(data_dir: &Path, registry: &str) -> Self {
        let samplerd = Samplerd::start_with(data_dir, &["--registry", registry]);
        Self { samplerd, data_dir: data_dir.to_owned(), registry: registry.to_owned() }
    }

    fn kill_and_restart(self) -> Self {
        let Self { samplerd, data_dir, registry } = self;
        drop(samplerd);
        Self::start(&data_dir, &registry)
    }

    fn client(&self) -> Client {
        Client::connect(self.samplerd.address()).unwrap()
    }

    /// Returns a gauge or counter of whole numbers.
    fn metric(&self, name: &str) -> u64 {
        self.samplerd.metric(&format!("swiftsampler_{name}")).unwrap().to_string().parse().unwrap()
    }

    fn is_up(&self) -> bool {
        self.metric("registry_up") == 1
    }

    /// Makes one call, without the client's retries.
    fn call<T>(&self, call: impl AsyncFnOnce(tonic::transport::Channel) -> Result<T, Status>) -> Result<T, Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.samplerd.address()));
            call(endpoint.unwrap().connect().await.unwrap()).await
        })
    }

    fn try_activate(&self, version: u64) -> Result<(), Status> {
        let request = proto::ActivateSamplerRequest { dataset: "d".into(), version };
        self.call(async |channel| ControlClient::new(channel).activate_sampler(request).await.map(drop))
    }

    fn try_open_job(&self, name: &str) -> Result<(), Status> {
        let request = proto::OpenJobRequest {
            name: name.into(),
            dataset: "d".into(),
            batch_size: BATCH_SIZE,
            mode: proto::ReplacementMode::Independent.into(),
            ..Default::default()
        };
        self.call(async |channel| SamplingClient::new(channel).open_job(request).await.map(drop))
    }
}

/// Imports the same file on every daemon: the first creates the dataset, the others store its columns. Adds samplers 2
/// and 3, and opens job "j".
fn prepare(folder: &Path, daemons: &[&Daemon]) {
    let file = Columns::random(500, 3).write_csv(folder, "features.csv");
    for daemon in daemons {
        daemon.samplerd.ctl().one(&["dataset", "import", "d", file.to_str().unwrap()]);
    }
    for at in 1..3 {
        let mut values = [0.2; 5];
        values[at] = 1.0;
        let spec = serde_json::json!({
            "kind": "swift", "features": ["loss", "entropy"], "coefficients": [0.8, 0.6],
            "knots": [0.25, 0.5, 0.75], "values": values,
        });
        daemons[0].samplerd.ctl().put("d", folder, &spec.to_string());
    }
    daemons[0].client().open_job(&JobConfig::new("j", "d", BATCH_SIZE)).unwrap();
}

fn stream(daemon: &Daemon, from_step: u64) -> BatchStream {
    daemon.client().batches(BatchesRequest::new("j", from_step))
}

fn read(stream: &mut BatchStream, batches: usize) -> Vec<Batch> {
    stream.by_ref().take(batches).map(Result::unwrap).collect()
}

/// Reads a job from its start, as one rank.
fn replay(daemon: &Daemon, batches: usize) -> Vec<Batch> {
    read(&mut stream(daemon, 0), batches)
}

#[test]
fn what_one_daemon_activates_a_watch_on_another_sees_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&folder.path().join("redis"), &[]);
    let [one, other] = ["a", "b"].map(|name| Daemon::start(&folder.path().join(name), &redis.url()));
    prepare(folder.path(), &[&one, &other]);
    let (activating, watching) = (one.client(), other.client());
    let mut watch = watching.inner().watch_active_sampler("d");
    assert_eq!(watching.runtime().block_on(watch.next()).unwrap().version, 1);
    for round in 0..20 {
        let version = 2 + round % 2;
        let activated = activating.activate_sampler("d", version).unwrap();
        let acknowledged = Instant::now();
        let seen = watching.runtime().block_on(watch.next()).unwrap();
        assert!(acknowledged.elapsed() < SEEN_WITHIN, "seen after {:?}", acknowledged.elapsed());
        assert_eq!((seen.version, seen.generation), (version, activated.generation));
        deadline("the gauge follows", || (other.metric("active_version") == version).then_some(()));
    }
}

/// What becomes of Redis, and how it comes back.
#[derive(Clone, Copy, PartialEq)]
enum Outage {
    /// It hangs, and goes on.
    Paused,
    /// It is killed, and comes back with its data.
    Killed,
    /// It is killed, and comes back empty.
    Emptied,
}

fn streams_go_on(outage: Outage) {
    let folder = tempfile::tempdir().unwrap();
    let keeps: &[&str] =
        if outage == Outage::Killed { &["--appendonly", "yes", "--appendfsync", "always"] } else { &[] };
    let mut redis = RedisServer::start(&folder.path().join("redis"), keeps);
    let [one, other] = ["a", "b"].map(|name| Daemon::start(&folder.path().join(name), &redis.url()));
    prepare(folder.path(), &[&one, &other]);
    let mut reading = stream(&one, 0);
    let mut batches = read(&mut reading, 100);
    one.client().activate_sampler("d", 2).unwrap();
    batches.extend(read(&mut reading, 200));
    assert_eq!(batches.last().unwrap().version, 2);
    let generation = one.metric("registry_generation");

    match outage {
        Outage::Paused => redis.pause(),
        Outage::Killed | Outage::Emptied => redis.kill(),
    }
    batches.extend(read(&mut reading, 1000));
    deadline("both daemons know", || (!one.is_up() && !other.is_up()).then_some(()));
    deadline("what is served meanwhile is held", || (one.metric("registry_jobs_held") > 0).then_some(()));
    // The first write may wait for a Redis that is coming back; later ones are told at once when to try again.
    one.try_activate(3).unwrap_err();
    let writes: [&dyn Fn() -> Result<(), Status>; 2] = [&|| one.try_activate(3), &|| one.try_open_job("new")];
    for write in writes {
        let started = Instant::now();
        let status = write().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
        assert!(started.elapsed() < REFUSED_WITHIN);
    }
    one.try_open_job("j").unwrap();
    let (code, ready) = one.samplerd.http("/readyz");
    assert!(code == 200 && ready.contains("mirror"), "{code} {ready}");
    // A daemon that dies meanwhile comes back from its mirror, with what it served.
    drop(reading);
    let one = one.kill_and_restart();
    assert!(!one.is_up());
    assert_eq!(replay(&one, batches.len()), batches);
    let mut reading = stream(&one, batches.len() as u64);
    batches.extend(read(&mut reading, 300));

    match outage {
        Outage::Paused => redis.resume(),
        Outage::Killed | Outage::Emptied => redis.restart(),
    }
    let back = Instant::now();
    let horizon =
        |daemon: &Daemon| daemon.samplerd.ctl().one(&["job", "show", "j"])["horizon"].as_u64().unwrap_or(u64::MAX);
    deadline("everything is caught up", || {
        let all = one.is_up() && other.is_up() && one.metric("registry_jobs_held") == 0;
        (all && horizon(&other) >= batches.len() as u64).then_some(())
    });
    assert!(back.elapsed() < CAUGHT_UP_WITHIN, "caught up after {:?}", back.elapsed());
    assert!(one.metric("registry_generation") > generation, "no daemon goes back a generation");
    other.client().activate_sampler("d", 3).unwrap();
    deadline("the running stream takes it up", || {
        batches.extend(read(&mut reading, 100));
        (batches.last().unwrap().version == 3).then_some(())
    });
    assert_eq!(replay(&other, batches.len()), batches, "another daemon gives the same batches, throughout");
    for daemon in [&one, &other] {
        assert_eq!(daemon.metric("registry_jobs_diverged_total"), 0, "{}", daemon.samplerd.log());
    }
}

#[test]
fn streams_go_on_while_redis_hangs() {
    streams_go_on(Outage::Paused);
}

#[test]
fn streams_go_on_while_redis_is_gone() {
    streams_go_on(Outage::Killed);
}

#[test]
fn streams_go_on_and_redis_that_comes_back_empty_gets_everything_back() {
    streams_go_on(Outage::Emptied);
}

/// The one unhappy end: a daemon that missed an activation before Redis went down extends the same job as one that did
/// not. One log stands, and the difference is told.
#[test]
fn logs_that_differ_after_an_outage_are_reported_and_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    let keeps = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start(&folder.path().join("redis"), &keeps);
    let [one, other] = ["a", "b"].map(|name| Daemon::start(&folder.path().join(name), &redis.url()));
    prepare(folder.path(), &[&one, &other]);
    replay(&one, 10);
    let horizon = |daemon: &Daemon| daemon.samplerd.ctl().one(&["job", "show", "j"])["horizon"].as_u64();
    let frozen = deadline("both mirrors are up to date", || {
        let same = one.metric("registry_generation") == other.metric("registry_generation");
        horizon(&one).filter(|frozen| same && horizon(&other) == Some(*frozen))
    });
    let frozen = usize::try_from(frozen).unwrap();
    let Daemon { samplerd, data_dir, registry } = other;
    drop(samplerd);
    one.client().activate_sampler("d", 2).unwrap();
    redis.kill();
    let other = Daemon::start(&data_dir, &registry);
    let (ours, theirs) = (replay(&one, 2 * frozen), replay(&other, 2 * frozen));
    assert_eq!(ours[..frozen], theirs[..frozen], "what was frozen before");
    assert_eq!((ours[frozen].version, theirs[frozen].version), (2, 1), "what was frozen by each alone");
    redis.restart();
    let diverged = || one.metric("registry_jobs_diverged_total") + other.metric("registry_jobs_diverged_total");
    deadline("the difference is told", || (one.is_up() && other.is_up() && diverged() == 1).then_some(()));
    let logs = one.samplerd.log() + &other.samplerd.log();
    assert!(logs.contains("froze these steps with different sampler versions"), "{logs}");
    assert_eq!(replay(&one, 4 * frozen), replay(&other, 4 * frozen), "from here on all agree");
}

#[test]
fn a_daemon_without_a_mirror_does_not_start_without_redis() {
    let folder = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(&folder.path().join("redis"), &[]);
    redis.kill();
    let start = |registry: &str| {
        let output = std::process::Command::new(swift_sampler_tests::binary("samplerd"))
            .args(["--data-dir", folder.path().join("data").to_str().unwrap(), "--registry", registry])
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = start(&format!("redis://me:secret@127.0.0.1:{}", redis.port()));
    assert!(code == 4 && message.contains("no mirror") && !message.contains("secret"), "{code} {message}");
    let (code, message) = start("redis://me:secret@127.0.0.1:port");
    assert!(code == 3 && message.contains("HOST:PORT") && !message.contains("secret"), "{code} {message}");
}

/// Three daemons read one job as three ranks while versions are activated on each in turn and the master dies.
#[test]
fn with_the_master_killed_no_acknowledged_activation_is_lost_and_no_daemon_goes_back() {
    const ACTIVATIONS_AFTER: u64 = 30;
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name);
    let mut master = RedisServer::start(&in_folder("master"), &[]);
    let replicas = ["replica1", "replica2"].map(|name| RedisServer::start_replica(&in_folder(name), &master));
    let down_after = Duration::from_millis(500);
    let sentinels = ["sentinel1", "sentinel2", "sentinel3"]
        .map(|name| RedisServer::start_sentinel(&in_folder(name), &master, 2, down_after));
    for sentinel in &sentinels {
        deadline("the Sentinels know each other and the replicas", || {
            let told = sentinel.ask("SENTINEL CKQUORUM main")?;
            let info = sentinel.ask("INFO sentinel")?;
            (told.contains("OK 3 usable") && info.contains("slaves=2,sentinels=3")).then_some(())
        });
    }
    let addresses: Vec<_> = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
    let registry = format!("redis-sentinel://{}/main", addresses.join(","));
    let daemons = ["a", "b", "c"].map(|name| Daemon::start(&in_folder(name), &registry));
    prepare(folder.path(), &daemons.each_ref());

    let (stop, activations) = (AtomicBool::new(false), AtomicU64::new(0));
    let ranks: Vec<Vec<Batch>> = std::thread::scope(|scope| {
        let activating = scope.spawn(|| {
            let clients = daemons.each_ref().map(Daemon::client);
            let mut acknowledged = (0, 1);
            for (client, version) in clients.iter().cycle().zip([2, 3].into_iter().cycle()) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let active = client.activate_sampler("d", version).unwrap();
                assert!(active.generation > acknowledged.0, "{active:?} after {acknowledged:?}: lost, or gone back");
                acknowledged = (active.generation, active.version);
                activations.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        });
        let watching = daemons.each_ref().map(|daemon| {
            scope.spawn(|| {
                let (client, mut last) = (daemon.client(), 0);
                let mut watch = client.inner().watch_active_sampler("d");
                while !stop.load(Ordering::Relaxed) {
                    let waited = async { tokio::time::timeout(SEEN_WITHIN, watch.next()).await };
                    if let Ok(active) = client.runtime().block_on(waited) {
                        let active = active.unwrap();
                        assert!(active.generation > last, "a watch goes back from {last} to {active:?}");
                        last = active.generation;
                    }
                }
            })
        });
        let mut streams: Vec<_> = (0..)
            .zip(&daemons)
            .map(|(rank, daemon)| {
                daemon.client().batches(BatchesRequest { rank, world_size: 3, ..BatchesRequest::new("j", 0) })
            })
            .collect();
        let mut ranks = vec![Vec::new(); streams.len()];
        let mut generations = [0; 3];
        let mut read_until = |what: &str, done: &dyn Fn() -> bool| {
            deadline(what, || {
                for (rank, stream) in streams.iter_mut().enumerate() {
                    ranks[rank].extend(read(stream, 20));
                    let generation = daemons[rank].metric("registry_generation");
                    assert!(generation >= generations[rank], "{} goes back", daemons[rank].registry);
                    generations[rank] = generation;
                }
                done().then_some(())
            });
        };
        let count = || activations.load(Ordering::Relaxed);
        read_until("activations and streams run", &|| count() >= 10);
        master.kill();
        let before = count();
        read_until("a replica is promoted and all goes on", &|| {
            count() >= before + ACTIVATIONS_AFTER && daemons.iter().all(Daemon::is_up)
        });
        stop.store(true, Ordering::Relaxed);
        let (generation, version) = activating.join().unwrap();
        for daemon in &daemons {
            assert_eq!(daemon.client().get_dataset("d").unwrap().active_version, version, "the last acknowledged");
            // Activating what is active changes nothing.
            assert_eq!(daemon.client().activate_sampler("d", version).unwrap().generation, generation);
        }
        for watcher in watching {
            watcher.join().unwrap();
        }
        ranks
    });
    let roles = replicas.map(|replica| replica.ask("INFO replication").unwrap().contains("role:master"));
    assert!(roles.contains(&true), "a replica is the master now");
    let whole = replay(&daemons[1], ranks[0].len());
    for (step, batch) in whole.iter().enumerate() {
        let parts = ranks.iter().flat_map(|rank| rank[step].indices.iter());
        assert!(parts.eq(batch.indices.iter()), "step {step}: three ranks on three daemons read what one rank reads");
    }
    assert!(daemons.iter().all(|daemon| daemon.metric("registry_jobs_diverged_total") == 0));
}
