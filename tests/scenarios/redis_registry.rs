//! A registry in Redis keeps the contract of one, also where answers are lost or the server loses its data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use swift_sampler_daemon::metrics::MirrorMetrics;
use swift_sampler_daemon::registry::{
    Backend, BackendError, Change, Commit, Expected, Mirrored, Stored, Write, conformance,
};
use swift_sampler_tests::{RedisServer, deadline};

fn open(url: &str, folder: &Path) -> Result<Mirrored, BackendError> {
    Mirrored::open(url.parse().unwrap(), &folder.join("mirror.sqlite"), MirrorMetrics::new().unwrap())
}

fn put(key: &str, expected: Expected, value: &str) -> Write {
    Write { key: key.into(), expected, change: Change::Put(value.into()) }
}

fn done(backend: &dyn Backend, writes: &[Write]) -> u64 {
    match backend.commit(writes).unwrap() {
        Commit::Done(generation) => generation,
        Commit::Conflict(key) => panic!("unexpected conflict on {key}"),
    }
}

fn value(backend: &dyn Backend, key: &str) -> Option<String> {
    backend.get(key).unwrap().map(|stored| stored.value)
}

#[test]
fn redis_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(&folder.path().join("redis"), &["--databases", "64"]);
    let mut database = 0;
    conformance::check(|| {
        database += 1;
        let mirror = folder.path().join(database.to_string());
        std::fs::create_dir(&mirror).unwrap();
        Arc::new(open(&format!("{}/{database}", server.url()), &mirror).unwrap())
    });
}

#[test]
fn a_password_is_asked_for_and_never_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(folder.path(), &[]);
    server.ask("CONFIG SET requirepass secret").unwrap();
    let with = |password: &str| open(&format!("redis://:{password}@127.0.0.1:{}", server.port()), folder.path());
    let wrong = with("sesame").unwrap_err().to_string();
    assert!(wrong.contains("authentication") && !wrong.contains("sesame"), "{wrong}");
    done(&with("secret").unwrap(), &[put("a", Expected::Absent, "1")]);
}

#[test]
fn two_mirrors_of_one_registry_agree_and_a_mirror_of_another_is_refused() {
    let [folder, first, second] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let server = RedisServer::start(folder.path(), &[]);
    let (one, other) = (open(&server.url(), first.path()).unwrap(), open(&server.url(), second.path()).unwrap());
    let generation = done(&one, &[put("a", Expected::Absent, "1")]);
    assert_eq!(other.generation().unwrap(), generation);
    assert_eq!(other.get("a").unwrap(), Some(Stored { revision: generation, value: "1".into() }));
    drop(other);
    let error = open(&format!("{}/1", server.url()), second.path());
    assert!(error.is_ok(), "an empty registry takes the mirror's records: {error:?}");
    drop(error);
    let third = tempfile::tempdir().unwrap();
    drop(open(&format!("{}/2", server.url()), third.path()).unwrap());
    let error = open(&format!("{}/2", server.url()), first.path()).unwrap_err();
    assert!(matches!(&error, BackendError::Unusable(why) if why.contains("another registry")), "{error}");
}

#[test]
fn without_redis_only_a_mirror_serves() {
    let [folder, fresh] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let mut server = RedisServer::start(folder.path(), &[]);
    let revision = done(&open(&server.url(), folder.path()).unwrap(), &[put("job/j", Expected::Absent, "1")]);
    server.kill();
    let error = open(&server.url(), fresh.path()).unwrap_err();
    assert!(matches!(&error, BackendError::Unavailable(why) if why.contains("no mirror")), "{error}");
    let backend = open(&server.url(), folder.path()).unwrap();
    assert!(backend.outage().is_some());
    assert_eq!((value(&backend, "job/j").as_deref(), backend.generation().unwrap()), (Some("1"), revision));
    let started = std::time::Instant::now();
    assert!(matches!(backend.commit(&[put("b", Expected::Absent, "1")]), Err(BackendError::Unavailable(_))));
    assert!(started.elapsed().as_millis() < 500, "an outage that is known is told at once");
}

#[test]
fn a_commit_that_a_replica_does_not_confirm_stands_and_is_counted() {
    let [folder, mirror] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let master = RedisServer::start(&folder.path().join("master"), &[]);
    let replica = RedisServer::start_replica(&folder.path().join("replica"), &master);
    let metrics = MirrorMetrics::new().unwrap();
    let url = master.url().parse().unwrap();
    let backend = Mirrored::open(url, &mirror.path().join("mirror.sqlite"), metrics.clone()).unwrap();
    let first = done(&backend, &[put("a", Expected::Absent, "1")]);
    assert_eq!(metrics.commits_unreplicated.get(), 0);
    replica.pause();
    let second = done(&backend, &[put("a", Expected::Revision(first), "2")]);
    assert_eq!(metrics.commits_unreplicated.get(), 1);
    replica.resume();
    done(&backend, &[put("a", Expected::Revision(second), "3")]);
}

/// One daemon writes, and the server dies as soon as another has read that: what was read stays.
#[test]
fn what_was_read_the_mirror_still_has_when_the_server_is_gone_at_once() {
    const ROUNDS: u64 = 5;
    let folder = tempfile::tempdir().unwrap();
    let keeps = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = RedisServer::start(&folder.path().join("redis"), &keeps);
    let [writes, reads] = ["a", "b"].map(|name| {
        let mirror = folder.path().join(name);
        std::fs::create_dir(&mirror).unwrap();
        open(&server.url(), &mirror).unwrap()
    });
    done(&writes, &[put("n", Expected::Absent, "-1")]);
    for round in (0..ROUNDS).map(|round| round.to_string()) {
        let read = |at_once: bool| {
            let found = if at_once { reads.get("n").unwrap() } else { reads.list("n").unwrap().pop().map(|(_, n)| n) };
            found.filter(|stored| stored.value == round)
        };
        let expected = Expected::Revision(writes.get("n").unwrap().unwrap().revision);
        let found = std::thread::scope(|scope| {
            // Its answer may be lost with the server.
            scope.spawn(|| writes.commit(&[put("n", expected, &round)]).ok());
            let mut at_once = false;
            let found = std::iter::from_fn(|| {
                at_once = !at_once;
                Some(read(at_once))
            });
            let found = found.flatten().next();
            server.kill();
            found
        });
        deadline("the mirror serves", || reads.outage().map(drop));
        assert_eq!(reads.get("n").unwrap(), found, "round {round}");
        server.restart();
        deadline("both join again", || (writes.outage().is_none() && reads.outage().is_none()).then_some(()));
    }
}

/// Redis refuses writes when its disk or memory is full, or it lacks replicas.
#[test]
fn a_server_that_refuses_writes_is_as_good_as_down_until_it_takes_them() {
    let [folder, mirror] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let server = RedisServer::start(folder.path(), &[]);
    let backend = open(&server.url(), mirror.path()).unwrap();
    for (refuse, take, code) in [
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM"),
    ] {
        let key = format!("job/{code}");
        let job = serde_json::json!({
            "name": code, "dataset": "d", "dataset_hash": "0", "rows": 10, "seed": 0, "batch_size": 1,
            "mode": "independent", "follow": "step", "created_at_ms": 1,
            "log": {"changes": [{"from_step": 0, "version": 1}], "horizon": 1},
        });
        let revision = done(&backend, &[put(&key, Expected::Absent, &job.to_string())]);
        server.ask(refuse).unwrap();
        let mut extended = job.clone();
        extended["log"]["horizon"] = 2.into();
        let write = put(&key, Expected::Revision(revision), &extended.to_string());
        let refused = backend.commit(std::slice::from_ref(&write)).unwrap_err().to_string();
        assert!(refused.contains(code), "{refused}");
        deadline("what may not wait is held", || match backend.commit_or_hold(std::slice::from_ref(&write)).unwrap() {
            Commit::Done(_) => Some(()),
            Commit::Conflict(_) => None,
        });
        assert!(backend.outage().unwrap().contains(code));
        server.ask(take).unwrap();
        deadline("it is joined again", || backend.outage().is_none().then_some(()));
        assert_eq!(value(&backend, &key), Some(extended.to_string()), "what was held is committed");
    }
}

/// Nobody tells the daemon that its server became a replica but the server itself.
#[test]
fn a_master_that_becomes_a_replica_is_left_and_joined_again_when_it_is_one_no_more() {
    let [folder, mirror] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let [server, other] = ["one", "two"].map(|name| RedisServer::start(&folder.path().join(name), &[]));
    let backend = open(&server.url(), mirror.path()).unwrap();
    let first = done(&backend, &[put("a", Expected::Absent, "1")]);
    // It takes over the other's data, which is none.
    server.ask(&format!("REPLICAOF 127.0.0.1 {}", other.port())).unwrap();
    let write = put("a", Expected::Revision(first), "2");
    assert!(matches!(backend.commit(std::slice::from_ref(&write)), Err(BackendError::Unavailable(_))));
    assert_eq!(value(&backend, "a").as_deref(), Some("1"), "the mirror serves");
    server.ask("REPLICAOF NO ONE").unwrap();
    deadline("it is joined again", || backend.outage().is_none().then_some(()));
    assert!(done(&backend, &[write]) > first);
}

/// A server whose data is gone, or of long ago, gets back what its daemons have.
#[test]
fn what_the_server_lost_the_mirrors_give_back() {
    let folder = tempfile::tempdir().unwrap();
    let mirrors: [_; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let mut server = RedisServer::start(&folder.path().join("redis"), &[]);
    let url = server.url();
    let [behind, ahead] = [0, 1].map(|at: usize| open(&url, mirrors[at].path()).unwrap());
    let a = done(&behind, &[put("a", Expected::Absent, "1"), put("gone", Expected::Absent, "1")]);
    deadline("both mirrors are up to date", || (ahead.generation().ok()? >= a).then_some(()));
    // One mirror stays behind: it misses a change, a deletion and a new record.
    drop(behind);
    let b = done(&ahead, &[put("a", Expected::Revision(a), "2"), put("b", Expected::Absent, "1")]);
    let delete = Write { key: "gone".into(), expected: Expected::Revision(a), change: Change::Delete };
    let c = done(&ahead, &[delete]);
    drop(ahead);
    server.kill();
    server.restart();
    // The one that is behind comes first, and writes.
    let behind = open(&url, mirrors[0].path()).unwrap();
    assert_eq!(value(&behind, "a").as_deref(), Some("1"));
    let d = done(&behind, &[put("new", Expected::Absent, "1")]);
    assert!(d > c, "no generation comes twice: {d} after {c}");
    let ahead = open(&url, mirrors[1].path()).unwrap();
    assert!(ahead.generation().unwrap() > c);
    for backend in [&ahead, &behind] {
        let records = backend.list("").unwrap().into_iter().map(|(key, stored)| (key, stored.revision, stored.value));
        let expected = [("a", b, "2"), ("b", b, "1"), ("new", d, "1")];
        assert_eq!(
            records.collect::<Vec<_>>(),
            expected.map(|(key, revision, value)| (key.into(), revision, value.into()))
        );
    }
    // A mirror that never was there sees the same.
    let fresh = open(&url, mirrors[2].path()).unwrap();
    assert_eq!(fresh.list("").unwrap(), ahead.list("").unwrap());
    // A record that was written after the loss is not overwritten by what was lost.
    assert_eq!(value(&fresh, "new").as_deref(), Some("1"));
}

/// Daemons count up while the server dies and comes back empty, again and again. What was acknowledged stays; of what was
/// not, each may have happened or not, and even conflict with itself where another daemon gave back what it did.
#[test]
fn no_acknowledged_increment_is_lost_while_the_server_comes_back_empty_again_and_again() {
    const DEATHS: u64 = 4;
    const BETWEEN: u64 = 50;
    let folder = tempfile::tempdir().unwrap();
    let mut server = RedisServer::start(&folder.path().join("redis"), &[]);
    let backends = ["a", "b", "c"].map(|name| {
        let mirror = folder.path().join(name);
        std::fs::create_dir(&mirror).unwrap();
        open(&server.url(), &mirror).unwrap()
    });
    done(&backends[0], &[put("n", Expected::Absent, "0")]);
    let (acknowledged, unknown) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let increment = |backend: &dyn Backend, last: &mut u64| {
        let Some(stored) = backend.get("n").unwrap() else { return };
        let next = stored.value.parse::<u64>().unwrap() + 1;
        match backend.commit(&[put("n", Expected::Revision(stored.revision), &next.to_string())]) {
            Ok(Commit::Done(generation)) => {
                assert!(generation > *last, "generation {generation} comes after {last}");
                *last = generation;
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Commit::Conflict(_)) | Err(_) => drop(unknown.fetch_add(1, Ordering::SeqCst)),
        }
    };
    std::thread::scope(|scope| {
        for backend in &backends {
            scope.spawn(|| {
                let mut last = 0;
                while !stop.load(Ordering::SeqCst) {
                    increment(backend, &mut last);
                }
            });
        }
        for death in 0..=DEATHS {
            let before = acknowledged.load(Ordering::SeqCst);
            deadline("daemons count", || (acknowledged.load(Ordering::SeqCst) >= before + BETWEEN).then_some(()));
            if death < DEATHS {
                server.kill();
                server.restart();
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let n: u64 = value(&backends[1], "n").unwrap().parse().unwrap();
    let (acknowledged, unknown) = (acknowledged.into_inner(), unknown.into_inner());
    assert!((acknowledged..=acknowledged + unknown).contains(&n), "{n} after {acknowledged} and perhaps {unknown}");
}

/// Passes everything on to a server; told to, it drops the answer to the next commit together with the connection.
struct Proxy {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
    cuts: Arc<AtomicU32>,
}

impl Proxy {
    fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let proxy = Self { address, cut: Arc::clone(&cut), cuts: Arc::clone(&cuts) };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (cut, cuts) = (Arc::clone(&cut), Arc::clone(&cuts));
                // Ends with the connection; the listener's thread ends with the test.
                std::thread::spawn(move || carry(client, server, &cut, &cuts));
            }
        });
        proxy
    }
}

/// Requests one way, answers the other, in turn.
fn carry(mut client: TcpStream, mut server: TcpStream, cut: &AtomicBool, cuts: &AtomicU32) {
    let answers = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let silent = Arc::new(AtomicBool::new(false));
    let silence = Arc::clone(&silent);
    std::thread::spawn(move || {
        let (mut server, mut client) = answers;
        let mut bytes = [0; 65_536];
        while let Ok(read @ 1..) = server.read(&mut bytes) {
            if silence.load(Ordering::SeqCst) || client.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        client.shutdown(Shutdown::Both).ok();
    });
    let mut bytes = [0; 65_536];
    while let Ok(read @ 1..) = client.read(&mut bytes) {
        let commits = bytes[..read].windows(16).any(|window| window == b"swiftsampler}:co");
        if commits && cut.swap(false, Ordering::SeqCst) {
            silent.store(true, Ordering::SeqCst);
            cuts.fetch_add(1, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    server.shutdown(Shutdown::Both).ok();
}

#[test]
fn a_commit_whose_answer_was_lost_happens_once_and_is_answered_as_it_was() {
    const ROUNDS: u64 = 20;
    let [folder, mirror] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let server = RedisServer::start(folder.path(), &[]);
    let proxy = Proxy::start(server.port());
    let backend = open(&format!("redis://{}", proxy.address), mirror.path()).unwrap();
    let mut generation = done(&backend, &[put("n", Expected::Absent, "0")]);
    for round in 1..=ROUNDS {
        proxy.cut.store(true, Ordering::SeqCst);
        let write = put("n", Expected::Revision(generation), &round.to_string());
        let made = done(&backend, std::slice::from_ref(&write));
        assert_eq!(made, generation + 1, "round {round}: applied once");
        assert_eq!(proxy.cuts.load(Ordering::SeqCst), u32::try_from(round).unwrap(), "its answer was lost");
        assert_eq!(backend.get("n").unwrap(), Some(Stored { revision: made, value: round.to_string() }));
        generation = made;
        // A commit of its own that comes too late conflicts, whether or not its answer is lost.
        proxy.cut.store(true, Ordering::SeqCst);
        assert_eq!(backend.commit(&[write]).unwrap(), Commit::Conflict("n".into()));
        proxy.cuts.fetch_sub(1, Ordering::SeqCst);
    }
}
