//! Other daemons that fail in every way they can while they send a dataset.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use swift_sampler_daemon::registry::Backend;
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::replicas_server::{Replicas, ReplicasServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

use crate::harness::{DEADLINE, Server, columns, csv, job, steps};
use crate::site::SharedRegistry;

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The first transfers break off in the columns.
    BreaksOff(u32),
    /// Every transfer ends well, but before the cells.
    EndsEarly,
    /// The columns have other bytes.
    OtherBytes,
    /// The columns are announced as longer than any memory.
    Endless,
    /// The files come under another name.
    OtherName,
    /// It sends as many datasets as it may.
    Full,
}

/// A daemon that sends what was taken from a good one.
#[derive(Debug)]
struct Faulty {
    fault: Fault,
    chunks: Vec<v1::FileChunk>,
    transfers: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl Replicas for Faulty {
    type FetchDatasetStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::FileChunk, Status>>>;

    async fn fetch_dataset(
        &self,
        _: Request<v1::FetchDatasetRequest>,
    ) -> Result<Response<Self::FetchDatasetStream>, Status> {
        let transfer = self.transfers.fetch_add(1, Ordering::SeqCst);
        let mut chunks: Vec<_> = self.chunks.iter().cloned().map(Ok).collect();
        let columns = chunks.iter().position(|chunk| is_of(chunk, "columns.safetensors")).unwrap();
        let chunk = chunks[columns].as_mut().unwrap();
        match self.fault {
            Fault::BreaksOff(transfers) if transfer < transfers => {
                chunk.data.truncate(chunk.data.len() / 2);
                chunks.truncate(columns + 1);
                chunks.push(Err(Status::unavailable("samplerd is shutting down")));
            }
            Fault::BreaksOff(_) => {}
            Fault::EndsEarly => chunks.retain(|chunk| !is_of(chunk, "cells.safetensors")),
            Fault::OtherBytes => {
                let mut bytes = chunk.data.to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                chunk.data = bytes.into();
            }
            Fault::Endless => chunk.size = u64::MAX,
            Fault::OtherName => chunk.file = "../../registry.sqlite".into(),
            Fault::Full => return Err(Status::resource_exhausted("as many are being sent as may be")),
        }
        Ok(Response::new(tokio_stream::iter(chunks)))
    }
}

fn is_of(chunk: &Result<v1::FileChunk, Status>, file: &str) -> bool {
    chunk.as_ref().is_ok_and(|chunk| chunk.file == file)
}

/// A registry with a dataset and a job, and what the daemon that is gone by now would have sent.
async fn abandoned(folder: &std::path::Path) -> (Arc<SharedRegistry>, Vec<v1::FileChunk>) {
    let registry = SharedRegistry::open(folder);
    let good = Server::start_over(registry.clone(), &folder.join("good"), &[]).await;
    let dataset = good.import("d", &[], &[("d.csv", csv(&columns(1000)))]).await.unwrap();
    good.open_job(job("j", 16)).await.unwrap();
    let request = v1::FetchDatasetRequest { hash: dataset.hash };
    let mut sent = good.replicas().fetch_dataset(request).await.unwrap().into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = sent.message().await.unwrap() {
        chunks.push(chunk);
    }
    good.stopped().await;
    (registry, chunks)
}

/// Lets a faulty daemon join the registry; returns how often it was asked.
async fn join(registry: &SharedRegistry, name: &str, fault: Fault, chunks: &[v1::FileChunk]) -> Arc<AtomicU32> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    registry.announce(name, &listener.local_addr().unwrap().to_string()).unwrap();
    let transfers = Arc::new(AtomicU32::new(0));
    let faulty = Faulty { fault, chunks: chunks.to_vec(), transfers: Arc::clone(&transfers) };
    let server = tonic::transport::Server::builder().add_service(ReplicasServer::new(faulty));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    transfers
}

#[tokio::test]
async fn a_transfer_that_breaks_off_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, chunks) = abandoned(folder.path()).await;
    let transfers = join(&registry, "faulty", Fault::BreaksOff(2), &chunks).await;
    let server = Server::start_over(registry.clone(), &folder.path().join("a"), &[]).await;
    assert_eq!(server.stream(steps("j", 0, 10)).await.unwrap().len(), 10);
    assert_eq!(transfers.load(Ordering::SeqCst), 3);
    server.stopped().await;
}

#[tokio::test]
async fn whatever_else_is_sent_nothing_of_it_stays() {
    for (fault, expected) in [
        (Fault::BreaksOff(u32::MAX), "samplerd is shutting down"),
        (Fault::EndsEarly, "it ended before the end of cells.safetensors"),
        (Fault::OtherBytes, "does not match its checksum"),
        (Fault::Endless, "columns.safetensors has 18446744073709551615 bytes, more than it can have"),
        (Fault::OtherName, "where Some(\"columns.safetensors\") is due"),
        (Fault::Full, "as many are being sent as may be"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (registry, chunks) = abandoned(folder.path()).await;
        join(&registry, "faulty", fault, &chunks).await;
        let data_dir = folder.path().join("a");
        let server = Server::start_over(registry.clone(), &data_dir, &[]).await;
        let status = server.stream(steps("j", 0, 10)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{fault:?}");
        assert!(status.message().contains(expected), "{fault:?}: {}", status.message());
        tokio::time::timeout(DEADLINE, server.stopped()).await.unwrap();
        for folder in ["datasets", "unfinished"] {
            let left = std::fs::read_dir(data_dir.join(folder)).unwrap().count();
            assert_eq!(left, 0, "{fault:?} left something in {folder}");
        }
    }
}

#[tokio::test]
async fn one_good_source_among_bad_ones_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, chunks) = abandoned(folder.path()).await;
    for (name, fault) in
        [("1", Fault::OtherBytes), ("2", Fault::EndsEarly), ("3", Fault::Full), ("4", Fault::BreaksOff(0))]
    {
        join(&registry, name, fault, &chunks).await;
    }
    let server = Server::start_over(registry.clone(), &folder.path().join("a"), &[]).await;
    assert_eq!(server.stream(steps("j", 0, 10)).await.unwrap().len(), 10);
    server.stopped().await;
}
