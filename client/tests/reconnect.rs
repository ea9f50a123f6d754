//! A stream of batches against a daemon that fails in every way the protocol knows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use swift_sampler_client::proto::sampling_server::{Sampling, SamplingServer};
use swift_sampler_client::proto::{
    BatchBlock, BatchHeader, GetBatchesRequest, IndexType, Job, OpenJobRequest, SelectCropsRequest,
    SelectCropsResponse, StreamBatchesRequest,
};
use swift_sampler_client::{Batch, BatchesRequest, Client, ClientConfig, ClientError};
use swift_sampler_proto::columns::pack_u32;
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const STEPS: u64 = 500;

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Streams end with UNAVAILABLE after this many batches.
    CutAfter(usize),
    /// From this step on, every step is one too high.
    GapAt(u64),
    /// Streams end well at this step, whatever was asked for.
    EndAt(u64),
    /// No stream ever sends anything.
    Silence,
    /// After this many streams, so many more find no place.
    Full { after: u64, refused: u64 },
}

/// A daemon whose batch `step` is the one index `step`.
#[derive(Debug, Clone)]
struct Faulty {
    fault: Fault,
    streams: Arc<AtomicU64>,
}

fn block(step: u64) -> BatchBlock {
    BatchBlock {
        batches: vec![BatchHeader { step, epoch: 0, version: 1, draws: 1 }],
        index_type: IndexType::U32.into(),
        indices: pack_u32(&[u32::try_from(step).unwrap()]),
        probabilities: Vec::new().into(),
        crops: None,
    }
}

#[tonic::async_trait]
impl Sampling for Faulty {
    type StreamBatchesStream = Pin<Box<dyn Stream<Item = Result<BatchBlock, Status>> + Send>>;

    async fn open_job(&self, _: Request<OpenJobRequest>) -> Result<Response<Job>, Status> {
        Err(Status::not_found("there is no dataset"))
    }

    async fn stream_batches(
        &self,
        request: Request<StreamBatchesRequest>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        let request = request.into_inner();
        let before = self.streams.fetch_add(1, Ordering::Relaxed);
        let steps = request.from_step..request.to_step.unwrap_or(u64::MAX);
        Ok(Response::new(match self.fault {
            Fault::CutAfter(batches) => {
                let cut = std::iter::once(Err(Status::unavailable("shutting down")));
                Box::pin(tokio_stream::iter(steps.map(|step| Ok(block(step))).take(batches).chain(cut)))
            }
            Fault::GapAt(gap) => {
                Box::pin(tokio_stream::iter(steps.map(move |step| Ok(block(step + u64::from(step >= gap))))))
            }
            Fault::EndAt(end) => Box::pin(tokio_stream::iter((steps.start..end).map(|step| Ok(block(step))))),
            Fault::Silence => Box::pin(tokio_stream::pending()),
            Fault::Full { after, refused } if (after..after.saturating_add(refused)).contains(&before) => {
                return Err(Status::resource_exhausted("1 stream is open"));
            }
            Fault::Full { .. } => Box::pin(tokio_stream::iter(steps.map(|step| Ok(block(step))))),
        }))
    }

    async fn select_crops(&self, _: Request<SelectCropsRequest>) -> Result<Response<SelectCropsResponse>, Status> {
        Err(Status::unimplemented("no crops here"))
    }

    async fn get_batches(&self, request: Request<GetBatchesRequest>) -> Result<Response<BatchBlock>, Status> {
        Ok(Response::new(block(request.into_inner().from_step)))
    }
}

async fn serve(fault: Fault) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let streams = Arc::new(AtomicU64::new(0));
    let service = SamplingServer::new(Faulty { fault, streams: Arc::clone(&streams) });
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, streams)
}

/// An address where nobody listens.
async fn deserted() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn impatient(addresses: &str) -> ClientConfig {
    ClientConfig { retry_deadline: Some(Duration::from_secs(2)), ..ClientConfig::new(addresses) }
}

async fn read(config: ClientConfig) -> (Vec<Batch>, Option<ClientError>) {
    let client = Client::new(config).unwrap();
    let mut stream = client.batches(BatchesRequest { to_step: Some(STEPS), ..BatchesRequest::new("j", 0) });
    let mut batches = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => {
                assert!(matches!(stream.next().await, Ok(None)), "a failed stream has ended");
                return (batches, Some(error));
            }
        }
    }
}

fn assert_consecutive(batches: &[Batch], count: u64) {
    assert_eq!(batches.iter().map(|batch| batch.step).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    assert!(batches.iter().all(|batch| batch.indices.get(0) == batch.step));
}

#[tokio::test]
async fn a_stream_cut_again_and_again_delivers_every_step_once() {
    let (address, streams) = serve(Fault::CutAfter(70)).await;
    let (batches, error) = read(ClientConfig::new(&address.to_string())).await;
    assert!(error.is_none(), "{error:?}");
    assert_consecutive(&batches, STEPS);
    assert!(streams.load(Ordering::Relaxed) >= STEPS / 70);
}

#[tokio::test]
async fn retries_end_at_the_deadline_when_no_step_comes_through() {
    let (address, streams) = serve(Fault::CutAfter(0)).await;
    let (batches, error) = read(impatient(&address.to_string())).await;
    assert!(batches.is_empty());
    let error = error.unwrap();
    assert!(matches!(&error, ClientError::Unavailable { address: at, .. } if *at == address.to_string()), "{error}");
    assert!(error.to_string().contains("shutting down"), "{error}");
    assert!(streams.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn a_gap_is_an_error_that_names_both_steps() {
    let (address, _) = serve(Fault::GapAt(100)).await;
    let (batches, error) = read(ClientConfig::new(&address.to_string())).await;
    assert_consecutive(&batches, 100);
    assert!(matches!(error, Some(ClientError::OutOfOrder { expected: 100, received: 101 })), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_ends_early_is_an_error() {
    let (address, _) = serve(Fault::EndAt(90)).await;
    let (batches, error) = read(ClientConfig::new(&address.to_string())).await;
    assert_consecutive(&batches, 90);
    assert!(matches!(error, Some(ClientError::Protocol(_))), "{error:?}");
}

#[tokio::test]
async fn a_silent_daemon_is_given_up() {
    let (address, _) = serve(Fault::Silence).await;
    let config = ClientConfig { request_timeout: Duration::from_millis(50), ..impatient(&address.to_string()) };
    let (_, error) = read(config).await;
    let error = error.unwrap();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.to_string().contains("not answered within"), "{error}");
}

#[tokio::test]
async fn a_stream_that_had_a_place_waits_for_another() {
    let (address, _) = serve(Fault::Full { after: 1, refused: 3 }).await;
    let (batches, error) = read(ClientConfig::new(&address.to_string())).await;
    assert!(error.is_none(), "{error:?}");
    assert_consecutive(&batches, STEPS);
}

#[tokio::test]
async fn a_stream_that_finds_no_place_again_ends_at_the_deadline() {
    let (address, streams) = serve(Fault::Full { after: 1, refused: u64::MAX }).await;
    let (batches, error) = read(impatient(&address.to_string())).await;
    assert!(!batches.is_empty());
    let error = error.unwrap();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("1 stream is open"), "{error}");
    assert!(streams.load(Ordering::Relaxed) > 2);
}

#[tokio::test]
async fn a_first_stream_that_finds_no_place_is_refused_at_once() {
    let (address, streams) = serve(Fault::Full { after: 0, refused: u64::MAX }).await;
    let (batches, error) = read(ClientConfig::new(&address.to_string())).await;
    assert!(batches.is_empty());
    assert!(matches!(error, Some(ClientError::ResourceExhausted(_))), "{error:?}");
    assert_eq!(streams.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn another_replica_takes_over() {
    let (address, _) = serve(Fault::CutAfter(usize::MAX)).await;
    let (batches, error) = read(ClientConfig::new(&format!("{},{address}", deserted().await))).await;
    assert!(error.is_none(), "{error:?}");
    assert_consecutive(&batches, STEPS);
}

#[tokio::test]
async fn an_absent_daemon_is_named_by_address() {
    let address = deserted().await.to_string();
    let client = Client::new(impatient(&address)).unwrap();
    let error = client.list_datasets().await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains(&address) && error.to_string().contains("samplerd"), "{error}");
}

#[tokio::test]
async fn an_answer_that_stands_is_not_asked_for_again() {
    let (address, _) = serve(Fault::Silence).await;
    let client = Client::new(address.to_string()).unwrap();
    let job = swift_sampler_client::JobConfig::new("j", "d", 1);
    assert!(matches!(client.open_job(&job).await, Err(ClientError::NotFound(_))));
    let batches = client.get_batches(GetBatchesRequest { from_step: 5, ..Default::default() }).await.unwrap();
    assert_eq!(batches[0].step, 5);
}
