//! Calls and the watch of the control service, against a daemon that answers as it is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swift_sampler_client::proto::control_server::{Control, ControlServer};
use swift_sampler_client::proto::{self, ActiveSampler, Sampler};
use swift_sampler_client::{Client, ClientConfig, ClientError};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

/// What becomes of a change to the samplers.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// It is made, and answered.
    Answered,
    /// The daemon takes it and answers UNAVAILABLE.
    Unavailable,
    /// The daemon takes it and never answers.
    Silence,
}

/// The messages of one watch; then it ends well.
type Watch = Vec<Result<ActiveSampler, Code>>;

/// A daemon that answers as it is told.
#[derive(Debug)]
struct Told {
    change: Change,
    /// Changes asked for.
    changes: AtomicU64,
    /// What each watch, one after another, is to see.
    watches: Mutex<VecDeque<Watch>>,
}

impl Told {
    async fn answer<T>(&self, value: T) -> Result<Response<T>, Status> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        match self.change {
            Change::Answered => Ok(Response::new(value)),
            Change::Unavailable => Err(Status::unavailable("shutting down")),
            Change::Silence => std::future::pending().await,
        }
    }
}

/// Implements the service; calls that no test makes are refused.
macro_rules! told {
    ($($unused:ident($request:ty) -> $answer:ty;)*) => {
        #[tonic::async_trait]
        impl Control for Told {
            type WatchActiveSamplerStream = Pin<Box<dyn Stream<Item = Result<ActiveSampler, Status>> + Send>>;

            type ImportDatasetWithProgressStream =
                Pin<Box<dyn Stream<Item = Result<proto::ImportDatasetProgress, Status>> + Send>>;

            async fn import_dataset_with_progress(
                &self,
                _: Request<tonic::Streaming<proto::ImportDatasetRequest>>,
            ) -> Result<Response<Self::ImportDatasetWithProgressStream>, Status> {
                Err(Status::unimplemented("no test makes this call"))
            }

            async fn put_sampler(&self, _: Request<proto::PutSamplerRequest>) -> Result<Response<Sampler>, Status> {
                self.answer(Sampler { version: 2, ..Default::default() }).await
            }

            async fn activate_sampler(
                &self,
                _: Request<proto::ActivateSamplerRequest>,
            ) -> Result<Response<ActiveSampler>, Status> {
                self.answer(active(1, 2)).await
            }

            async fn rollback_sampler(
                &self,
                _: Request<proto::RollbackSamplerRequest>,
            ) -> Result<Response<ActiveSampler>, Status> {
                self.answer(active(1, 2)).await
            }

            async fn watch_active_sampler(
                &self,
                _: Request<proto::WatchActiveSamplerRequest>,
            ) -> Result<Response<Self::WatchActiveSamplerStream>, Status> {
                let watch = self.watches.lock().unwrap().pop_front();
                let watch = watch.ok_or_else(|| Status::not_found("no dataset d"))?;
                let told = watch.into_iter().map(|message| message.map_err(|code| Status::new(code, "as told")));
                Ok(Response::new(Box::pin(tokio_stream::iter(told))))
            }

            $(async fn $unused(&self, _: Request<$request>) -> Result<Response<$answer>, Status> {
                Err(Status::unimplemented("no test makes this call"))
            })*
        }
    };
}

told! {
    import_dataset(tonic::Streaming<proto::ImportDatasetRequest>) -> proto::Dataset;
    list_datasets(proto::ListDatasetsRequest) -> proto::ListDatasetsResponse;
    get_dataset(proto::GetDatasetRequest) -> proto::Dataset;
    remove_dataset(proto::RemoveDatasetRequest) -> proto::RemoveDatasetResponse;
    list_samplers(proto::ListSamplersRequest) -> proto::ListSamplersResponse;
    get_sampler(proto::GetSamplerRequest) -> Sampler;
    list_jobs(proto::ListJobsRequest) -> proto::ListJobsResponse;
    get_job(proto::GetJobRequest) -> proto::Job;
    remove_job(proto::RemoveJobRequest) -> proto::RemoveJobResponse;
    get_stats(proto::GetStatsRequest) -> proto::Stats;
    refresh_features(tonic::Streaming<proto::RefreshFeaturesRequest>) -> proto::RefreshedFeatures;
}

fn active(generation: u64, version: u64) -> ActiveSampler {
    ActiveSampler { dataset: "d".into(), version, generation, previous_version: None, features_revision: 1 }
}

async fn serve(change: Change, watches: Vec<Watch>) -> (SocketAddr, Arc<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = Arc::new(Told { change, changes: AtomicU64::new(0), watches: Mutex::new(watches.into()) });
    let server = tonic::transport::Server::builder().add_service(ControlServer::from_arc(Arc::clone(&told)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, told)
}

/// An address where nobody listens.
async fn deserted() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A client that would have the time to ask again.
fn client(addresses: &str) -> Client {
    let config = ClientConfig { request_timeout: Duration::from_millis(200), ..ClientConfig::new(addresses) };
    Client::new(config).unwrap()
}

#[tokio::test]
async fn a_change_that_may_have_been_made_is_not_asked_for_again() {
    for change in [Change::Unavailable, Change::Silence] {
        let (address, told) = serve(change, Vec::new()).await;
        let client = client(&address.to_string());
        let error = client.put_sampler("d", "{}", None).await.unwrap_err();
        assert!(matches!(error, ClientError::Unavailable { .. }), "{change:?}: {error}");
        assert_eq!(told.changes.load(Ordering::Relaxed), 1, "{change:?}");
        let error = client.rollback_sampler("d").await.unwrap_err();
        assert!(matches!(error, ClientError::Unavailable { .. }), "{change:?}: {error}");
        assert_eq!(told.changes.load(Ordering::Relaxed), 2, "{change:?}");
    }
}

#[tokio::test]
async fn a_change_that_can_be_made_twice_is_asked_for_again() {
    let (address, told) = serve(Change::Unavailable, Vec::new()).await;
    let error = client(&address.to_string()).activate_sampler("d", 2).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    assert!(told.changes.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn a_change_that_was_never_sent_goes_to_another_replica() {
    let (address, told) = serve(Change::Answered, Vec::new()).await;
    let addresses = format!("{},{address}", deserted().await);
    assert_eq!(client(&addresses).put_sampler("d", "{}", None).await.unwrap().version, 2);
    assert_eq!(client(&addresses).rollback_sampler("d").await.unwrap().version, 2);
    assert_eq!(told.changes.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_watch_reconnects_and_tells_each_change_once() {
    let watches = vec![
        vec![Ok(active(1, 1)), Ok(active(2, 5)), Err(Code::Unavailable)],
        vec![Ok(active(2, 5))],
        vec![Ok(active(2, 5)), Ok(active(3, 1))],
    ];
    let (address, _) = serve(Change::Answered, watches).await;
    let mut watch = client(&address.to_string()).watch_active_sampler("d");
    for expected in [active(1, 1), active(2, 5), active(3, 1)] {
        assert_eq!(watch.next().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_watch_tells_what_a_dataset_imported_anew_activates() {
    let watches = vec![
        vec![Ok(active(7, 6)), Err(Code::NotFound)],
        vec![Ok(active(1, 1)), Ok(active(2, 2)), Err(Code::Unavailable)],
        // Removed and imported again while the connection was lost.
        vec![Ok(active(2, 3))],
    ];
    let (address, _) = serve(Change::Answered, watches).await;
    let mut watch = client(&address.to_string()).watch_active_sampler("d");
    assert_eq!(watch.next().await.unwrap(), active(7, 6));
    assert!(matches!(watch.next().await, Err(ClientError::NotFound(_))));
    for expected in [active(1, 1), active(2, 2), active(2, 3)] {
        assert_eq!(watch.next().await.unwrap(), expected);
    }
    assert!(matches!(watch.next().await, Err(ClientError::NotFound(_))), "the daemon knows no dataset");
}
