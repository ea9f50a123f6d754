//! Several replicas behind one client: turns, failures, moves and names.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use swift_sampler_client::proto::sampling_server::{Sampling, SamplingServer};
use swift_sampler_client::proto::{
    BatchBlock, BatchHeader, GetBatchesRequest, IndexType, Job, OpenJobRequest, SelectCropsRequest,
    SelectCropsResponse, StreamBatchesRequest,
};
use swift_sampler_client::{BatchesRequest, Client, ClientConfig, ClientError, Resolve};
use swift_sampler_proto::columns::pack_u32;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Longest wait for what must come.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What a replica does with the calls it gets.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Well,
    /// Has no place for a stream.
    Full,
    /// Asks for a pause twice, then answers.
    Busy(Duration),
    /// Closes connections at this age.
    Retiring(Duration),
}

/// What the calls of one replica came to.
#[derive(Debug)]
struct Answers {
    mood: Mood,
    calls: AtomicU64,
}

fn block(steps: impl Iterator<Item = u64>) -> BatchBlock {
    let batches: Vec<_> = steps.map(|step| BatchHeader { step, epoch: 0, version: 1, draws: 1 }).collect();
    let indices: Vec<_> = batches.iter().map(|batch| u32::try_from(batch.step).unwrap()).collect();
    BatchBlock {
        batches,
        index_type: IndexType::U32.into(),
        indices: pack_u32(&indices),
        probabilities: Vec::new().into(),
        crops: None,
    }
}

impl Answers {
    fn answer(&self) -> Result<(), Status> {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.mood {
            Mood::Busy(pause) if before < 2 => {
                let mut details = ErrorDetails::new();
                details.set_retry_info(Some(pause));
                Err(Status::with_error_details(Code::Unavailable, "the registry is away", details))
            }
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Sampling for Answers {
    type StreamBatchesStream = Pin<Box<dyn Stream<Item = Result<BatchBlock, Status>> + Send>>;

    async fn open_job(&self, _: Request<OpenJobRequest>) -> Result<Response<Job>, Status> {
        Err(Status::unimplemented("no test opens a job"))
    }

    async fn stream_batches(
        &self,
        request: Request<StreamBatchesRequest>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        self.answer()?;
        if matches!(self.mood, Mood::Full) {
            return Err(Status::resource_exhausted("1 stream is open"));
        }
        let request = request.into_inner();
        let steps = request.from_step..request.to_step.unwrap();
        Ok(Response::new(Box::pin(tokio_stream::iter(steps.map(|step| Ok(block(step..step + 1)))))))
    }

    async fn select_crops(&self, _: Request<SelectCropsRequest>) -> Result<Response<SelectCropsResponse>, Status> {
        Err(Status::unimplemented("no crops here"))
    }

    async fn get_batches(&self, request: Request<GetBatchesRequest>) -> Result<Response<BatchBlock>, Status> {
        self.answer()?;
        Ok(Response::new(block(std::iter::once(request.into_inner().from_step))))
    }
}

/// A replica on a runtime of its own, so that it can be killed with all its connections.
struct Replica {
    address: SocketAddr,
    answers: Arc<Answers>,
    runtime: Option<Runtime>,
}

impl Replica {
    async fn start(mood: Mood) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), mood).await
    }

    async fn start_at(address: SocketAddr, mood: Mood) -> Self {
        let listener = eventually(async || TcpListener::bind(address).await.ok()).await;
        let (address, listener) = (listener.local_addr().unwrap(), listener.into_std().unwrap());
        let answers = Arc::new(Answers { mood, calls: AtomicU64::new(0) });
        let service = SamplingServer::from_arc(Arc::clone(&answers));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let mut server = tonic::transport::Server::builder();
            if let Mood::Retiring(age) = mood {
                server = server.max_connection_age(age);
            }
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            server.add_service(service).serve_with_incoming(incoming).await
        });
        Self { address, answers, runtime: Some(runtime) }
    }

    async fn start_many<const COUNT: usize>(mood: Mood) -> [Self; COUNT] {
        let mut replicas = Vec::new();
        for _ in 0..COUNT {
            replicas.push(Self::start(mood).await);
        }
        replicas.try_into().unwrap_or_else(|_| unreachable!("as many as were started"))
    }

    fn calls(&self) -> u64 {
        self.answers.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Tries again and again, until there is something.
async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(start.elapsed() < WAIT_MAX);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn list(replicas: &[Replica]) -> ClientConfig {
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address.to_string()).collect();
    ClientConfig::new(&addresses.join(","))
}

/// A socket that accepts, as the system does for a process that hangs, and says nothing.
async fn mute() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

async fn ask(client: &Client) -> Result<(), ClientError> {
    client.get_batches(GetBatchesRequest { from_step: 5, steps: 1, ..Default::default() }).await.map(drop)
}

/// Reads the steps from 0 up to `to_step` and checks that each comes once.
async fn read(client: &Client, to_step: u64) -> Result<(), ClientError> {
    let mut stream = client.batches(BatchesRequest { to_step: Some(to_step), ..BatchesRequest::new("j", 0) });
    let mut next = 0;
    while let Some(batch) = stream.next().await? {
        assert_eq!((batch.step, batch.indices.to_vec()), (next, vec![next]));
        next += 1;
    }
    assert_eq!(next, to_step);
    Ok(())
}

/// Records that a test may change.
#[derive(Debug, Default)]
struct Records {
    records: Mutex<HashMap<String, Vec<SocketAddr>>>,
    look_ups: AtomicU64,
}

impl Records {
    fn set(&self, name: &str, addresses: &[SocketAddr]) {
        self.records.lock().unwrap().insert(name.into(), addresses.to_vec());
    }
}

#[tonic::async_trait]
impl Resolve for Records {
    async fn resolve(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        self.look_ups.fetch_add(1, Ordering::Relaxed);
        let known = self.records.lock().unwrap().get(host).cloned();
        known.ok_or_else(|| io::Error::other("no such name"))
    }
}

#[tokio::test]
async fn calls_go_to_the_replicas_in_turn() {
    let replicas: [Replica; 3] = Replica::start_many(Mood::Well).await;
    let client = Client::new(list(&replicas)).unwrap();
    for _ in 0..12 {
        ask(&client).await.unwrap();
    }
    assert_eq!(replicas.each_ref().map(Replica::calls), [4, 4, 4]);
    // A hundred thousand steps are dozens of windows.
    read(&client, 100_000).await.unwrap();
    assert!(replicas.iter().all(|replica| replica.calls() > 6), "{:?}", replicas.each_ref().map(Replica::calls));
}

#[tokio::test]
async fn clients_begin_at_different_replicas() {
    let replicas: [Replica; 2] = Replica::start_many(Mood::Well).await;
    for _ in 0..40 {
        ask(&Client::new(list(&replicas)).unwrap()).await.unwrap();
    }
    // With probability 1 - 2^-39.
    assert!(replicas.iter().all(|replica| replica.calls() > 0));
}

#[tokio::test]
async fn a_dead_replica_is_left_out_until_it_serves_again() {
    let [first, second] = Replica::start_many(Mood::Well).await;
    let client = Client::new(format!("{}, {}", first.address, second.address)).unwrap();
    read(&client, 1000).await.unwrap();
    let address = first.address;
    drop(first);
    for _ in 0..10 {
        ask(&client).await.unwrap();
        read(&client, 1000).await.unwrap();
    }
    let again = Replica::start_at(address, Mood::Well).await;
    eventually(async || {
        ask(&client).await.unwrap();
        (again.calls() > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_hangs_costs_one_stall() {
    let well = Replica::start(Mood::Well).await;
    let (address, _listener) = mute().await;
    let stall_timeout = Duration::from_millis(400);
    let config = ClientConfig { stall_timeout, ..ClientConfig::new(&format!("{address},{}", well.address)) };
    let client = Client::new(config.clone()).unwrap();
    let start = Instant::now();
    for _ in 0..20 {
        ask(&client).await.unwrap();
    }
    read(&client, 10_000).await.unwrap();
    assert!(start.elapsed() < 5 * stall_timeout, "{:?}", start.elapsed());
    // The same where a stream is the first to notice.
    let start = Instant::now();
    read(&Client::new(config).unwrap(), 10_000).await.unwrap();
    assert!(start.elapsed() < 5 * stall_timeout, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_daemon_that_comes_back_on_another_address_of_the_list_is_found() {
    let [here, there] = Replica::start_many(Mood::Well).await;
    let there_address = there.address;
    drop(there);
    let client = Client::new(format!("{}, {there_address}", here.address)).unwrap();
    ask(&client).await.unwrap();
    drop(here);
    let (asked, _there) = tokio::join!(ask(&client), Replica::start_at(there_address, Mood::Well));
    asked.unwrap();
    read(&client, 1000).await.unwrap();
}

#[tokio::test]
async fn every_record_of_a_name_is_a_replica_and_a_changed_one_is_found() {
    let [first, second, third] = Replica::start_many(Mood::Well).await;
    let records = Arc::new(Records::default());
    records.set("samplers.example", &[first.address, second.address]);
    let client = Client::with_resolver("samplers.example:7431", Arc::clone(&records) as _).unwrap();
    for _ in 0..8 {
        ask(&client).await.unwrap();
    }
    assert_eq!([first.calls(), second.calls()], [4, 4]);
    assert_eq!(records.look_ups.load(Ordering::Relaxed), 1);

    records.set("samplers.example", &[third.address]);
    drop(first);
    drop(second);
    // The calls that fail have the name looked up again at once.
    ask(&client).await.unwrap();
    read(&client, 1000).await.unwrap();
    assert!(third.calls() > 0);
}

#[tokio::test]
async fn a_name_without_an_address_is_named() {
    let config =
        ClientConfig { first_contact_deadline: Duration::from_millis(300), ..ClientConfig::new("absent.example:7431") };
    let error = ask(&Client::with_resolver(config, Arc::new(Records::default())).unwrap()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("absent.example: no such name"), "{error}");
}

#[tokio::test]
async fn a_name_that_is_lost_keeps_its_last_addresses() {
    let replica = Replica::start(Mood::Retiring(Duration::from_millis(100))).await;
    let records = Arc::new(Records::default());
    records.set("samplers.example", &[replica.address]);
    let client = Client::with_resolver("samplers.example:7431", Arc::clone(&records) as _).unwrap();
    ask(&client).await.unwrap();
    records.records.lock().unwrap().clear();
    // Connections that are made again have the name looked up again.
    eventually(async || {
        ask(&client).await.unwrap();
        (records.look_ups.load(Ordering::Relaxed) > 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_that_the_daemon_retires_are_made_again_without_an_error() {
    let replica = Replica::start(Mood::Retiring(Duration::from_millis(20))).await;
    // One attempt a call, so that any failure shows.
    let config = ClientConfig {
        retry_deadline: Some(Duration::ZERO),
        first_contact_deadline: Duration::ZERO,
        ..list(std::slice::from_ref(&replica))
    };
    let client = Client::new(config).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        ask(&client).await.unwrap();
        read(&client, 500).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_finds_the_replica_that_has_a_place() {
    let (full, well) = (Replica::start(Mood::Full).await, Replica::start(Mood::Well).await);
    for _ in 0..4 {
        let client = Client::new(format!("{}, {}", full.address, well.address)).unwrap();
        read(&client, 1000).await.unwrap();
    }
    let other = Replica::start(Mood::Full).await;
    let client = Client::new(format!("{}, {}", full.address, other.address)).unwrap();
    let error = read(&client, 1000).await.unwrap_err();
    assert!(matches!(error, ClientError::ResourceExhausted(_)), "{error}");
}

#[tokio::test]
async fn a_pause_that_the_daemon_asks_for_is_made() {
    let pause = Duration::from_millis(400);
    let replica = Replica::start(Mood::Busy(pause)).await;
    let client = Client::new(list(std::slice::from_ref(&replica))).unwrap();
    let start = Instant::now();
    ask(&client).await.unwrap();
    assert!(start.elapsed() >= 2 * pause, "{:?}", start.elapsed());
    assert_eq!(replica.calls(), 3);
}
