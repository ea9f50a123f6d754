//! A new sampler takes over under running streams: no pause, no mixed batch, every rank at the same step.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{Batch, BatchesRequest};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{Samplerd, deadline};

const RANKS: u32 = 3;
const SWAPS: u64 = 5;

/// Version v keeps the examples whose loss lies in the v-th of eight slices.
fn slice_spec(slice: u32) -> String {
    let mut values = [0.0; 9];
    values[slice as usize] = 1.0;
    let knots: Vec<f64> = (1..8).map(|knot| f64::from(knot) / 8.0).collect();
    serde_json::json!({
        "kind": "swift", "features": ["loss"], "coefficients": [1.0],
        "knots": knots, "values": values, "transform": "cdf",
    })
    .to_string()
}

#[test]
fn under_load_ranks_switch_at_the_same_step_and_no_batch_mixes_versions() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    let file = Columns::random(20_000, 5).write_csv(folder.path(), "features.csv");
    ctl.one(&["dataset", "import", "d", file.to_str().unwrap()]);
    let versions: Vec<u64> =
        (1..=SWAPS).map(|slice| ctl.put("d", folder.path(), &slice_spec(u32::try_from(slice).unwrap()))).collect();
    let job = DrawJob { name: "load", dataset: "d", seed: 1, batch_size: 64, follow: "step" };
    ctl.draw(&job, 0..1, 0, 1);

    // Ranks read as fast as they can until told to stop; the swaps happen meanwhile.
    let stop = AtomicBool::new(false);
    let seen: Vec<AtomicU64> = (0..RANKS).map(|_| AtomicU64::new(0)).collect();
    let (seen, address) = (seen.as_slice(), daemon.address());
    let read = |rank: u32| {
        let client = Client::connect(address).unwrap();
        let request = BatchesRequest { rank, world_size: RANKS, ..BatchesRequest::new("load", 0) };
        let mut batches: Vec<Batch> = Vec::new();
        for batch in client.batches(request) {
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
        let readers: Vec<_> = (0..RANKS).map(|rank| scope.spawn(move || read(rank))).collect();
        for version in &versions {
            ctl.activate("d", *version);
            deadline("every rank takes up the new version", || {
                seen.iter().all(|seen| seen.load(Ordering::Relaxed) == *version).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });

    let probabilities: Vec<Vec<f64>> = std::iter::once(vec![1.0 / 20_000.0; 20_000])
        .chain(versions.iter().map(|version| daemon_probabilities(*version)))
        .collect();
    let steps = ranks.iter().map(Vec::len).min().unwrap();
    for step in 0..steps {
        let version = ranks[0][step].version;
        for rank in &ranks {
            assert_eq!(rank[step].step, step as u64, "no step is lost or repeated");
            assert_eq!(rank[step].version, version, "ranks agree at step {step}");
            let p = &probabilities[usize::try_from(version).unwrap() - 1];
            for (index, probability) in rank[step].indices.iter().zip(rank[step].probabilities.iter()) {
                let expected = p[usize::try_from(index).unwrap()];
                assert!(expected > 0.0, "step {step} draws an example its version never does");
                assert!((f64::from(*probability) - expected).abs() <= 1e-6 * expected);
            }
        }
    }
    let mut order: Vec<u64> = ranks[0].iter().map(|batch| batch.version).collect();
    order.dedup();
    assert_eq!(order, (1..=SWAPS + 1).collect::<Vec<_>>(), "every version served, in order");
    let log = ctl.one(&["job", "show", "load"]);
    assert_eq!(log["log"].as_array().unwrap().len() as u64, SWAPS + 1, "{log}");
}

/// The probabilities of the sampler stored as `version`, computed here.
fn daemon_probabilities(version: u64) -> Vec<f64> {
    use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec};
    let columns = Columns::random(20_000, 5);
    let table = FeatureTable::new(vec![("loss".into(), columns.loss)]).unwrap();
    let dataset = Dataset::new(table, vec!["loss".into()], None).unwrap();
    let spec: SamplerSpec = serde_json::from_str(&slice_spec(u32::try_from(version).unwrap() - 1)).unwrap();
    Sampler::build(&spec, &dataset).unwrap().probabilities()
}

#[test]
fn epoch_jobs_switch_at_epoch_starts_and_pinned_jobs_never() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    let file = Columns::random(1000, 6).write_csv(folder.path(), "features.csv");
    ctl.one(&["dataset", "import", "d", file.to_str().unwrap()]);
    let by_epoch = DrawJob { name: "epochs", dataset: "d", seed: 1, batch_size: 100, follow: "epoch" };
    let pinned = DrawJob { name: "pinned", dataset: "d", seed: 1, batch_size: 100, follow: "1" };
    let draw = |steps: std::ops::Range<u64>| -> Vec<u64> {
        assert!(ctl.draw(&pinned, steps.clone(), 0, 1).iter().all(|batch| batch["version"] == 1));
        ctl.draw(&by_epoch, steps, 0, 1).iter().map(|batch| batch["version"].as_u64().unwrap()).collect()
    };
    let mut versions = draw(0..5);
    let two = ctl.put("d", folder.path(), &slice_spec(2));
    ctl.activate("d", two);
    versions.extend(draw(5..12));
    let three = ctl.put("d", folder.path(), &slice_spec(3));
    ctl.activate("d", three);
    versions.extend(draw(12..25));
    // Epochs are 10 steps: the first swap waits for step 10, the second for step 20.
    assert_eq!(versions, [[1u64; 10].as_slice(), &[2; 10], &[3; 5]].concat());
    ctl.run(&["sampler", "rollback", "d"]).unwrap();
    assert_eq!(draw(25..35), [[3u64; 5].as_slice(), &[2; 5]].concat());
}
