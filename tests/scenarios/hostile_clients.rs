//! Clients that flood, stall, lie or babble: others keep getting their batches, memory and descriptors stay bounded, and
//! the daemon lives.
//!
//! `RELIABILITY=1` attacks for longer and measures what it costs the others; `ATTACK=flood` only attacks whose name has
//! that in it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is to be seen with --nocapture")]

#[path = "hostile_clients/attacker.rs"]
mod attacker;
#[path = "hostile_clients/attacks.rs"]
mod attacks;
#[path = "hostile_clients/extremes.rs"]
mod extremes;
#[path = "hostile_clients/frames.rs"]
mod frames;
#[path = "hostile_clients/good_client.rs"]
mod good_client;
#[path = "hostile_clients/scene.rs"]
mod scene;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::attacker::Attacker;
use self::attacks::{ATTACKS, Attack};
use self::good_client::{GoodClient, Waits};
use self::scene::Scene;

/// Threads that attack at once, each over as many connections as its attack takes.
const ATTACKERS: u8 = 3;
/// What the daemon may take beyond what it has while it serves the good client alone, in bytes.
const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Descriptors that may still be on their way out.
const DESCRIPTORS_SPARE: usize = 16;
/// How long 99 of 100 waits of the good client may be in every run, whatever else the machine does.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Scenarios wait for each other: what one measures, another must not slow down.
static ALONE: Mutex<()> = Mutex::new(());

fn is_long() -> bool {
    std::env::var_os("RELIABILITY").is_some()
}

fn chosen() -> impl Iterator<Item = (&'static str, Attack)> {
    let only = std::env::var("ATTACK").unwrap_or_default();
    ATTACKS.into_iter().filter(move |(name, _)| name.contains(&only))
}

/// Runs an attack for a while beside what `meanwhile` does.
fn under<T>(scene: &Scene, attack: Attack, time: Duration, meanwhile: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    let address = scene.address();
    std::thread::scope(|threads| {
        for number in 0..ATTACKERS {
            let (address, stop) = (&address, &stop);
            threads.spawn(move || {
                // As if it were elsewhere: it takes what the good client and the daemon leave of the processor.
                rustix::process::nice(19).unwrap();
                attack(&Attacker::new(address, number, stop));
            });
        }
        let started = Instant::now();
        let done = meanwhile();
        std::thread::sleep(time.saturating_sub(started.elapsed()));
        stop.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn no_attack_costs_others_their_batches_or_the_daemon_its_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let time = if is_long() { Duration::from_secs(5) } else { Duration::from_millis(1200) };
    let scene = Scene::set();
    let mut good = GoodClient::new(&scene);
    let usual = good.waits(time);
    let (memory, descriptors) = (scene.memory(), scene.descriptors());
    let (mut worst, mut worst_called, mut tried) = (0.0f64, 0.0f64, 0);
    for (name, attack) in chosen() {
        let alone = if is_long() { good.waits(time) } else { usual };
        let attacked = under(&scene, attack, time, || good.waits(time));
        scene.check(name);
        let grown = scene.peak_memory().saturating_sub(memory);
        println!(
            "{name}: p99 of a batch {:.2} ms alone, {:.2} ms attacked, of a call {:.2} and {:.2} ms; memory at most +{} MiB",
            millis(alone.streamed),
            millis(attacked.streamed),
            millis(alone.called),
            millis(attacked.called),
            grown >> 20
        );
        assert!(grown <= MEMORY_BYTES_MAX, "{name}: {} MiB more than before", grown >> 20);
        assert!(attacked.streamed.max(attacked.called) <= WAIT_MAX, "{name}: {attacked:?}, alone {alone:?}");
        scene.wait_for_descriptors(name, descriptors + DESCRIPTORS_SPARE);
        let ratio = |of: fn(Waits) -> Duration| millis(of(attacked)) / millis(of(alone));
        let (streamed, called) = (ratio(|waits| waits.streamed), ratio(|waits| waits.called));
        println!("figure: hostile_p99_ratio[{name}] {streamed:.2} times, of calls {called:.2}");
        (worst, worst_called) = (worst.max(streamed), worst_called.max(called));
        tried += 1;
    }
    assert!(tried > 0, "no attack has such a name");
    println!("figure: hostile_p99_ratio_worst {worst:.2} times, of calls {worst_called:.2}");
    println!("figure: hostile_memory_growth {} MiB", scene.peak_memory().saturating_sub(memory) >> 20);
    good.check_replay();
    scene.check("after all");
}

#[test]
fn connections_that_do_not_begin_are_closed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::set();
    let before = scene.closed("handshake");
    let stop = AtomicBool::new(false);
    let attacker = Attacker::new(scene.daemon.address(), 0, &stop);
    let mut held: Vec<_> = (0..100).map(|_| attacker.tcp().unwrap()).collect();
    swift_sampler_tests::deadline("all of them are closed", || {
        held.retain_mut(attacker::drain);
        held.is_empty().then_some(())
    });
    assert!(scene.closed("handshake") - before > 99.0);
    scene.check("half-open");
}

/// What others lose by a consumer that takes nothing: none that could be told from noise, where one tenth is allowed.
#[test]
fn a_stalled_consumer_does_not_stop_the_others() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (rounds, time) = if is_long() { (9, Duration::from_secs(2)) } else { (1, Duration::from_millis(500)) };
    let scene = Scene::set();
    let mut good = GoodClient::new(&scene);
    // Warm, as it is when a job has run for a while.
    good.batches_within(time);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(good.batches_within(time));
        let stalled = scene.stalled_consumer();
        beside.push(good.batches_within(time));
        drop(stalled);
    }
    alone.sort_unstable();
    beside.sort_unstable();
    let (alone, beside) = (alone[rounds / 2], beside[rounds / 2]);
    #[allow(clippy::cast_precision_loss, reason = "far fewer batches than 2^52")]
    let lost = 100.0 * (1.0 - beside as f64 / alone as f64);
    println!("{alone} batches alone, {beside} beside a stalled consumer");
    println!("figure: stalled_consumer_cost {lost:.1} %");
    assert!(beside > alone / 10, "{beside} batches beside a stalled consumer, {alone} without");
    good.check_replay();
    scene.check("a stalled consumer");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
