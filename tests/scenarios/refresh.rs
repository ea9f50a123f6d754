//! Features are refreshed under running jobs: one step for all ranks, exact replays, old values kept while a job needs them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;
use swift_sampler::job::Shard;
use swift_sampler::{Dataset, Engine, FeatureTable, Sampler, SamplerSpec, SamplerVersion, ServedJob};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::{Batch, BatchesRequest, RefreshRequest};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::{DrawJob, Failure};
use swift_sampler_tests::{Samplerctl, Samplerd, deadline};

const RANKS: u32 = 3;
const SWIFT: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.6,-0.8],
    "knots":[0.25,0.5,0.75],"values":[0,1,0.5,0.25,0.05]}"#;

fn named(columns: &Columns) -> Vec<(String, Vec<f64>)> {
    [("loss", &columns.loss), ("entropy", &columns.entropy), ("grad_norm", &columns.grad_norm)]
        .map(|(name, values)| (name.to_owned(), values.clone()))
        .to_vec()
}

/// The dataset that an import of these columns makes.
fn dataset(columns: &Columns) -> Arc<Dataset> {
    let table = FeatureTable::new(named(columns)).unwrap();
    Arc::new(Dataset::new(table, vec!["loss".into(), "entropy".into()], Some("grad_norm".into())).unwrap())
}

fn spec() -> SamplerSpec {
    serde_json::from_str(SWIFT).unwrap()
}

/// Imports columns as dataset `d`, with version 2 active.
fn import(ctl: &Samplerctl, folder: &Path, columns: &Columns) {
    let file = columns.write_csv(folder, "imported.csv");
    ctl.one(&["dataset", "import", "d", file.to_str().unwrap()]);
    ctl.activate("d", ctl.put("d", folder, SWIFT));
}

fn read(client: &Client, job: &str, steps: u64, rank: u32) -> Vec<Batch> {
    let request = BatchesRequest { rank, world_size: RANKS, to_step: Some(steps), ..BatchesRequest::new(job, 0) };
    client.batches(request).collect::<Result<_, _>>().unwrap()
}

/// A batch to the last bit.
fn bits(batch: &Batch) -> (u64, u64, Vec<u64>, Vec<u32>) {
    let probabilities = batch.probabilities.iter().map(|p| p.to_bits()).collect();
    (batch.step, batch.version, batch.indices.iter().collect(), probabilities)
}

#[test]
fn ranks_take_new_values_up_at_the_same_step_and_a_restart_and_an_engine_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    // Revision r has the columns of seed r; versions 1 and 2 are over the import, version 1 + r over revision r.
    let revisions: BTreeMap<u64, Columns> =
        (1..=4).map(|r| (r, Columns::random(20_000, r))).map(|(r, c)| (u64::from(r), c)).collect();
    import(&ctl, folder.path(), &revisions[&1]);
    let job = DrawJob { name: "load", dataset: "d", seed: 1, batch_size: 64, follow: "step" };
    ctl.draw(&job, 0..1, 0, 1);
    let mut modes = vec!["load".to_owned()];
    for mode in ["stratified", "distinct"] {
        // An epoch holds several revisions.
        let steps = ["--steps", "0..40", "--batch-size", "100", "--seed", "2", "--job", mode, "--mode", mode];
        ctl.run(&[&["draw", "d"][..], &steps].concat()).unwrap();
        modes.push(mode.to_owned());
    }

    let stop = AtomicBool::new(false);
    let seen: Vec<AtomicU64> = (0..RANKS).map(|_| AtomicU64::new(0)).collect();
    let (seen, address) = (seen.as_slice(), daemon.address());
    let follow = |rank: u32| {
        let client = Client::connect(address).unwrap();
        let mut batches: Vec<Batch> = Vec::new();
        for batch in client.batches(BatchesRequest { rank, world_size: RANKS, ..BatchesRequest::new("load", 0) }) {
            let batch = batch.unwrap();
            seen[rank as usize].store(batch.version, Ordering::Relaxed);
            batches.push(batch);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        batches
    };
    let ranks: Vec<Vec<Batch>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..RANKS).map(|rank| scope.spawn(move || follow(rank))).collect();
        let client = Client::connect(address).unwrap();
        for (&revision, columns) in revisions.iter().skip(1) {
            let request = RefreshRequest::new("d", named(columns));
            let refreshed = client.refresh_features(&request).unwrap().dataset.unwrap();
            assert_eq!((refreshed.features_revision, refreshed.active_version), (revision, revision + 1));
            assert_eq!(refreshed.features_hash, dataset(columns).hash(), "as an import of the same values");
            assert_eq!(
                client.refresh_features(&request).unwrap().dataset.unwrap(),
                refreshed,
                "a retry changes nothing"
            );
            deadline("every rank takes up the new values", || {
                seen.iter().all(|seen| seen.load(Ordering::Relaxed) == revision + 1).then_some(())
            });
            for mode in ["stratified", "distinct"] {
                let to = format!("0..{}", 20 + 40 * revision);
                let steps = ["--steps", &to, "--batch-size", "100", "--seed", "2", "--job", mode, "--mode", mode];
                ctl.run(&[&["draw", "d"][..], &steps].concat()).unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });

    let samplers: BTreeMap<u64, Sampler> = revisions
        .iter()
        .map(|(revision, columns)| (revision + 1, Sampler::build(&spec(), &dataset(columns)).unwrap()))
        .collect();
    let probabilities: BTreeMap<u64, Vec<f64>> =
        samplers.iter().map(|(version, sampler)| (*version, sampler.probabilities())).collect();
    let steps = ranks.iter().map(Vec::len).min().unwrap();
    for step in 0..steps {
        let version = ranks[0][step].version;
        for rank in &ranks {
            assert_eq!((rank[step].step, rank[step].version), (step as u64, version), "ranks agree");
            for (index, probability) in rank[step].indices.iter().zip(rank[step].probabilities.iter()) {
                let expected = probabilities[&version][usize::try_from(index).unwrap()];
                assert!(expected > 0.0, "step {step} draws an example that the new values leave out");
                assert!((f64::from(*probability) - expected).abs() <= 1e-6 * expected);
            }
        }
    }
    let mut order: Vec<u64> = ranks[0].iter().map(|batch| batch.version).collect();
    order.dedup();
    assert_eq!(order, [2, 3, 4, 5], "every revision served, in order");
    let shown = ctl.one(&["dataset", "show", "d"]);
    assert_eq!((&shown["features_revision"], &shown["kept_revisions"]), (&4.into(), &serde_json::json!([1, 2, 3, 4])));
    assert_eq!(daemon.metric("swiftsampler_features_revision"), Some(4.0));

    let shown = ctl.one(&["job", "show", "load"]);
    let log = shown["log"].as_array().unwrap();
    for change in log {
        assert_eq!(change["version"].as_u64().unwrap(), change["features_revision"].as_u64().unwrap() + 1, "{shown}");
    }
    assert_eq!(log.len(), 4, "{shown}");

    // What was served is served again after kill -9, and by an engine that has the revisions' values.
    let served: Vec<Vec<Vec<Batch>>> = modes
        .iter()
        .map(|job| {
            let client = Client::connect(daemon.address()).unwrap();
            let steps = if job == "load" { steps as u64 } else { 180 };
            (0..RANKS).map(|rank| read(&client, job, steps, rank)).collect()
        })
        .collect();
    for (rank, first) in ranks.iter().enumerate() {
        assert!(served[0][rank].iter().map(bits).eq(first[..steps].iter().map(bits)));
    }
    let daemon = daemon.kill_and_restart();
    let (ctl, client) = (daemon.ctl(), Client::connect(daemon.address()).unwrap());
    for (job, served) in modes.iter().zip(&served) {
        let engine = replay(&ctl, job, &revisions);
        for (rank, served) in (0..).zip(served) {
            let again = read(&client, job, served.len() as u64, rank);
            assert!(again.iter().map(bits).eq(served.iter().map(bits)), "{job} after a restart");
            let computed = engine.batches(0..served.len() as u64, Shard::new(rank, RANKS).unwrap());
            assert!(computed.map(|batch| bits(&batch.unwrap())).eq(served.iter().map(bits)), "{job} by an engine");
        }
    }
    let rolled_back = ctl.one(&["sampler", "rollback", "d"]);
    assert_eq!((&rolled_back["version"], &rolled_back["features_revision"]), (&4.into(), &3.into()));
}

/// Replays a job from what the daemon says of it and the values of each revision.
fn replay(ctl: &Samplerctl, job: &str, revisions: &BTreeMap<u64, Columns>) -> Engine {
    let job: ServedJob = serde_json::from_value(ctl.one(&["job", "show", job])).unwrap();
    assert!(job.log.len() >= 4, "{job:?}");
    let version = |version: u64| {
        let sampler = ctl.one(&["sampler", "show", "d", &version.to_string()]);
        let spec: SamplerSpec = serde_json::from_value(sampler["spec"].clone()).unwrap();
        Some(match sampler["features_hash"].as_str() {
            None => SamplerVersion::from(spec),
            Some(hash) => {
                let revision = sampler["features_revision"].as_u64().unwrap();
                SamplerVersion::over(spec, dataset(&revisions[&revision]), hash).unwrap()
            }
        })
    };
    Engine::replay(dataset(&revisions[&1]), &job, version).unwrap()
}

/// The contents that are stored, by hash.
fn stored(data_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data_dir.join("datasets")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn refresh(ctl: &Samplerctl, file: &Path, more: &[&str]) -> Result<Vec<Value>, Failure> {
    ctl.run(&[&["dataset", "refresh", "d", file.to_str().unwrap()], more].concat())
}

#[test]
fn a_daemon_killed_while_it_refreshes_loses_nothing_and_the_refresh_can_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut daemon = Samplerd::start(&data_dir);
    import(&daemon.ctl(), folder.path(), &Columns::random(100_000, 1));
    let job = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 64, follow: "step" };
    let mut served = daemon.ctl().draw(&job, 0..10, 0, 1);
    for round in 0..2u32 {
        let new = Columns::random(100_000, 2 + round);
        let file = new.write_csv(folder.path(), "new.csv");
        let (before, ctl) = (daemon.ctl().one(&["dataset", "show", "d"]), daemon.ctl());
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| refresh(&ctl, &file, &[]));
            // While the values are received, or as soon as they are stored.
            let unfinished = data_dir.join("unfinished");
            let hash = dataset(&new).hash();
            deadline("the refresh is under way", || {
                let is_received = || std::fs::read_dir(&unfinished).unwrap().next().is_some();
                let is_due = if round == 0 { is_received() } else { stored(&data_dir).contains(&hash) };
                (is_due || sent.is_finished()).then_some(())
            });
            daemon.kill();
            // Its client tries another second or two before it gives up, or has the answer.
            drop(sent.join().unwrap());
        });
        daemon = Samplerd::start(&data_dir);
        let ctl = daemon.ctl();
        let shown = ctl.one(&["dataset", "show", "d"]);
        if shown["features_revision"] == before["features_revision"] {
            assert_eq!(shown, before);
        } else {
            assert_eq!(shown["features_hash"], dataset(&new).hash());
        }
        let again = refresh(&ctl, &file, &[]).unwrap().remove(0);
        assert_eq!(again["features_hash"], dataset(&new).hash());
        assert_eq!(again["features_revision"], 2 + round, "sent twice, it is one revision");
        let from = served.len() as u64;
        assert_eq!(ctl.draw(&job, 0..from, 0, 1), served);
        served.extend(ctl.draw(&job, from..from + 10, 0, 1));
        assert_eq!(served.last().unwrap()["version"], again["version"]);
    }
}

#[test]
fn bad_values_are_refused_by_name_and_the_present_ones_keep_serving() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    import(&ctl, folder.path(), &Columns::random(100, 1));
    let before = ctl.one(&["dataset", "show", "d"]);
    let job = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 10, follow: "step" };
    ctl.draw(&job, 0..5, 0, 1);
    let file = |text: String| -> PathBuf {
        let path = folder.path().join("new.csv");
        std::fs::write(&path, text).unwrap();
        path
    };
    let losses = |rows: usize, other: &str| {
        let rows = (0..rows).map(|row| if row == 41 { other.to_owned() } else { row.to_string() });
        format!("loss\n{}\n", rows.collect::<Vec<_>>().join("\n"))
    };
    let cases: [(String, &[&str], &[&str]); 7] = [
        (losses(99, "1"), &[], &["99 rows", "has 100"]),
        (losses(100, "NaN"), &[], &["\"loss\"", "row 41", "finite"]),
        (losses(100, "x"), &[], &["\"loss\"", "row 41", "must be a number"]),
        (losses(100, "1").replace("loss", "margin"), &[], &["\"margin\"", "entropy, grad_norm, loss"]),
        (losses(60, "1"), &["--first-row", "41"], &["60 rows from example 41", "below 100"]),
        (losses(100, "-3").replace("loss", "grad_norm"), &[], &["\"grad_norm\"", "41", "-3"]),
        ("loss\n".into(), &[], &["is empty"]),
    ];
    for (text, options, words) in cases {
        let refused = refresh(&ctl, &file(text), options).unwrap_err();
        assert_eq!(refused.code, 5, "{}", refused.message);
        for word in words {
            assert!(refused.message.contains(word), "{word:?} in {}", refused.message);
        }
    }
    let unknown = ctl.run(&["dataset", "refresh", "none", file(losses(100, "1")).to_str().unwrap()]).unwrap_err();
    assert!(unknown.message.contains("none"), "{}", unknown.message);
    assert_eq!(ctl.one(&["dataset", "show", "d"]), before);
    assert!(ctl.draw(&job, 5..200, 0, 1).iter().all(|batch| batch["version"] == 2));
}

#[test]
fn values_are_kept_while_a_job_follows_them_and_deleted_after() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let daemon = Samplerd::start(&data_dir);
    let ctl = daemon.ctl();
    import(&ctl, folder.path(), &Columns::random(500, 1));
    let hashes: Vec<String> = (1..=5).map(|seed| dataset(&Columns::random(500, seed)).hash()).collect();
    let refresh_to =
        |seed: u32| refresh(&ctl, &Columns::random(500, seed).write_csv(folder.path(), "new.csv"), &[]).unwrap();
    let kept = |of: &[usize]| {
        let mut names: Vec<String> = of.iter().map(|revision| hashes[revision - 1].clone()).collect();
        names.sort();
        assert_eq!(stored(&data_dir), names);
        let revisions: Vec<usize> =
            serde_json::from_value(ctl.one(&["dataset", "show", "d"])["kept_revisions"].clone()).unwrap();
        assert_eq!(revisions, of);
    };
    refresh_to(2);
    let job = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 10, follow: "step" };
    let served = ctl.draw(&job, 0..5, 0, 1);
    refresh_to(3);
    refresh_to(4);
    // The import; what a job's log names; what a rollback goes back to; what is active.
    kept(&[1, 2, 3, 4]);
    refresh_to(5);
    kept(&[1, 2, 4, 5]);
    assert_eq!(ctl.draw(&job, 0..5, 0, 1), served);
    let dropped = ctl.run(&["sampler", "activate", "d", "4"]).unwrap_err();
    assert!(
        dropped.message.contains("revision 3") && dropped.message.contains("no longer kept"),
        "{}",
        dropped.message
    );
    ctl.run(&["job", "remove", "j"]).unwrap();
    kept(&[1, 4, 5]);
    // Some columns of some rows: the others are those of revision 5.
    let mut mixed = Columns::random(500, 5);
    mixed.loss[30..33].copy_from_slice(&[7.0, 8.0, 9.0]);
    let some = folder.path().join("some.csv");
    std::fs::write(&some, "loss\n7\n8\n9\n").unwrap();
    let refreshed = refresh(&ctl, &some, &["--first-row", "30"]).unwrap().remove(0);
    assert_eq!(refreshed["features_hash"], dataset(&mixed).hash());
    ctl.run(&["dataset", "remove", "d"]).unwrap();
    assert_eq!(stored(&data_dir), Vec::<String>::new());
}
