//! Connections that retire under a running stream.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use swift_sampler_client::BatchesRequest;
use swift_sampler_client::blocking::Client;
use swift_sampler_tests::Samplerd;
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;

/// Connections that the stream outlives.
const CONNECTIONS: f64 = 4.0;
/// The daemon is asked how many there were once in so many steps.
const STEPS_A_LOOK: u64 = 500;

#[test]
fn a_stream_goes_on_over_connections_that_retire_without_a_gap_or_a_repetition() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start_with(&folder.path().join("data"), &["--max-connection-age", "1"]);
    let ctl = daemon.ctl();
    let file = Columns::random(1000, 1).write_csv(folder.path(), "features.csv");
    ctl.one(&["dataset", "import", "d", file.to_str().unwrap()]);
    let job = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 32, follow: "step" };
    ctl.draw(&job, 0..1, 0, 1);
    let before = daemon.metric("swiftsampler_connections_accepted_total").unwrap();
    let mut next = 0;
    for batch in Client::connect(daemon.address()).unwrap().batches(BatchesRequest::new("j", 0)) {
        let batch = batch.unwrap();
        assert_eq!((batch.step, batch.indices.len()), (next, 32));
        next += 1;
        if next % STEPS_A_LOOK == 0
            && daemon.metric("swiftsampler_connections_accepted_total").unwrap() >= before + CONNECTIONS
        {
            break;
        }
    }
}
