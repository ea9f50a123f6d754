//! Connections retire at their age; what runs on them ends at a batch boundary.

use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{DEADLINE, Server, columns, csv, job, steps, unpack};

/// The flags of a daemon whose connections live for a second, give or take a tenth.
const SHORT_LIVED: [&str; 2] = ["--max-connection-age", "1"];

#[tokio::test]
async fn an_endless_stream_ends_at_a_batch_boundary_and_goes_on_over_a_new_connection() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), &SHORT_LIVED).await;
    server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    server.open_job(job("j", 8)).await.unwrap();
    let endless = |from| v1::StreamBatchesRequest { to_step: None, ..steps("j", from, 0) };
    let mut next = 0;
    for _ in 0..2 {
        let mut blocks = server.sampling().stream_batches(endless(next)).await.unwrap().into_inner();
        let ended = async {
            loop {
                match blocks.message().await {
                    Ok(block) => {
                        for batch in unpack(&block.expect("an endless stream does not end well")) {
                            assert_eq!((batch.step, batch.indices.len()), (next, 8), "no step is lost or repeated");
                            next += 1;
                        }
                    }
                    Err(status) => return status,
                }
            }
        };
        let status = tokio::time::timeout(DEADLINE, ended).await.unwrap();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("reached its age"), "{status}");
    }
    let (_, metrics) = server.get("/metrics").await;
    let accepted = metrics.lines().find_map(|line| line.strip_prefix("swiftsampler_connections_accepted_total "));
    assert!(accepted.unwrap().parse::<u32>().unwrap() >= 2, "{accepted:?}");
    server.stopped().await;
}

#[tokio::test]
async fn a_watch_ends_with_its_connection() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), &SHORT_LIVED).await;
    server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    let request = v1::WatchActiveSamplerRequest { dataset: "d".into() };
    let mut changes = server.control().watch_active_sampler(request).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().version, 1);
    let ended = tokio::time::timeout(DEADLINE, changes.message()).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
    server.stopped().await;
}
