//! A daemon in this process, and shorthand for its calls.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use swift_sampler_daemon::app::{App, Listeners};
use swift_sampler_daemon::clock::{Clock, SystemClock};
use swift_sampler_daemon::config::{Config, Flags};
use swift_sampler_daemon::parsing::Parsing;
use swift_sampler_daemon::registry::{Backend, NewDataset, Registry, Sqlite};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::control_client::ControlClient;
use swift_sampler_proto::v1::import_dataset_request::Part;
use swift_sampler_proto::v1::replicas_client::ReplicasClient;
use swift_sampler_proto::v1::sampling_client::SamplingClient;
use swift_sampler_proto::v1::studies_client::StudiesClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// No call of a test takes longer; one that does hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A clock that stands still unless it is moved.
#[derive(Debug, Default)]
pub(crate) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(crate) fn at(now_ms: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now_ms)))
    }

    pub(crate) fn advance(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, by_ms: u64) {
        self.0.fetch_sub(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A registry in a file of its own, without a daemon.
pub(crate) fn registry(directory: &Path, clock: Arc<dyn Clock>) -> Registry {
    Registry::new(backend(directory), clock)
}

/// What a registry is told of a dataset of 100 examples, which nobody stores.
pub(crate) fn new_dataset(name: &str, hash: &str) -> NewDataset {
    NewDataset {
        name: name.into(),
        hash: hash.into(),
        rows: 100,
        first_row: 0,
        features: vec![],
        gradient_norm: None,
        columns: vec!["loss".into()],
        cells: 1,
    }
}

pub(crate) fn backend(directory: &Path) -> Arc<dyn Backend> {
    Arc::new(Sqlite::open(&directory.join("registry.sqlite")).unwrap())
}

fn config(data_dir: &Path, flags: &[&str]) -> Config {
    let data_dir = data_dir.to_str().unwrap();
    let all = [&["samplerd", "--data-dir", data_dir, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"], flags];
    let config = Config::resolve(Flags::try_parse_from(all.concat()).unwrap()).unwrap();
    Config { parsing: Parsing::Child(env!("CARGO_BIN_EXE_samplerd").into()), ..config }
}

/// What calls are made on: a connection, and the token they show.
pub(crate) type Line = InterceptedService<Channel, Shown>;

/// The token that calls show, if any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Option<MetadataValue<Ascii>>);

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A daemon that serves on ports of its own.
pub(crate) struct Server {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    channel: Channel,
    shown: Shown,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[]).await
    }

    pub(crate) async fn start_with(data_dir: &Path, flags: &[&str]) -> Self {
        let config = config(data_dir, flags);
        Self::serve(tokio::task::spawn_blocking(move || App::build(&config)).await.unwrap().unwrap()).await
    }

    /// Starts a daemon over a registry that others use as well.
    pub(crate) async fn start_over(backend: Arc<dyn Backend>, data_dir: &Path, flags: &[&str]) -> Self {
        let config = config(data_dir, flags);
        let registry = Registry::new(backend, Arc::new(SystemClock));
        Self::serve(tokio::task::spawn_blocking(move || App::build_over(&config, registry)).await.unwrap().unwrap())
            .await
    }

    async fn serve(app: App) -> Self {
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (grpc, http) = (grpc_listener.local_addr().unwrap(), http_listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let listeners = Listeners { grpc: grpc_listener, unix: None, http: http_listener };
            app.serve(listeners, async { stopped.await.unwrap_or(()) }).await.unwrap();
        });
        // What a reader has not taken is frozen already: a small window keeps activations prompt.
        let endpoint = Channel::from_shared(format!("http://{grpc}")).unwrap().initial_stream_window_size(65_535);
        let channel = endpoint.timeout(DEADLINE).connect().await.unwrap();
        Self { grpc, http, channel, shown: Shown::default(), stop, ended }
    }

    /// Tells the daemon to stop; [`Self::stopped`] waits until it has.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.ended
    }

    pub(crate) async fn stopped(self) {
        tokio::time::timeout(DEADLINE, self.stop()).await.unwrap().unwrap();
    }

    pub(crate) fn sampling(&self) -> SamplingClient<Line> {
        SamplingClient::new(self.line()).max_decoding_message_size(1 << 28)
    }

    pub(crate) fn control(&self) -> ControlClient<Line> {
        ControlClient::new(self.line())
    }

    pub(crate) fn replicas(&self) -> ReplicasClient<Line> {
        ReplicasClient::new(self.line())
    }

    pub(crate) fn studies(&self) -> StudiesClient<Line> {
        StudiesClient::new(self.line())
    }

    /// Imports files as they are named.
    pub(crate) async fn import(
        &self,
        name: &str,
        features: &[&str],
        files: &[(&str, Vec<u8>)],
    ) -> Result<v1::Dataset, Status> {
        let import_file = |(name, _): &(&str, Vec<u8>)| v1::ImportFile { name: (*name).to_owned(), format: 0 };
        let header = v1::ImportHeader {
            name: name.to_owned(),
            features: features.iter().map(ToString::to_string).collect(),
            gradient_norm: String::new(),
            files: files.iter().map(import_file).collect(),
            first_row: 0,
            on_missing: 0,
        };
        let mut parts = vec![v1::ImportDatasetRequest { part: Some(Part::Header(header)) }];
        for (file, (_, bytes)) in (0..).zip(files) {
            for chunk in bytes.chunks(1 << 20) {
                let chunk = v1::ImportChunk { file, data: chunk.to_vec().into() };
                parts.push(v1::ImportDatasetRequest { part: Some(Part::Chunk(chunk)) });
            }
        }
        Ok(self.control().import_dataset(tokio_stream::iter(parts)).await?.into_inner())
    }

    pub(crate) async fn put(&self, dataset: &str, spec_json: &str) -> Result<v1::Sampler, Status> {
        let request = v1::PutSamplerRequest { dataset: dataset.into(), spec_json: spec_json.into(), origin: None };
        Ok(self.control().put_sampler(request).await?.into_inner())
    }

    pub(crate) async fn activate(&self, dataset: &str, version: u64) -> Result<v1::ActiveSampler, Status> {
        let request = v1::ActivateSamplerRequest { dataset: dataset.into(), version };
        Ok(self.control().activate_sampler(request).await?.into_inner())
    }

    pub(crate) async fn open_job(&self, request: v1::OpenJobRequest) -> Result<v1::Job, Status> {
        Ok(self.sampling().open_job(request).await?.into_inner())
    }

    /// Reads batches of one rank as a stream.
    pub(crate) async fn stream(&self, request: v1::StreamBatchesRequest) -> Result<Vec<Batch>, Status> {
        let mut blocks = self.sampling().stream_batches(request).await?.into_inner();
        let mut batches = Vec::new();
        while let Some(block) = blocks.message().await? {
            batches.extend(unpack(&block));
        }
        Ok(batches)
    }

    /// Makes later calls show a token.
    pub(crate) fn show_token(&mut self, token: &str) {
        self.shown = Shown(Some(format!("Bearer {token}").parse().unwrap()));
    }

    fn line(&self) -> Line {
        InterceptedService::new(self.channel.clone(), self.shown.clone())
    }

    /// Returns the connection that calls are made on.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Asks over HTTP; returns the status line and the body.
    pub(crate) async fn get(&self, path: &str) -> (String, String) {
        self.get_as("Accept: */*", path).await
    }

    /// As [`Self::get`], with a further header.
    pub(crate) async fn get_as(&self, header: &str, path: &str) -> (String, String) {
        let mut connection = TcpStream::connect(self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

/// One batch of one rank.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    pub(crate) step: u64,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) indices: Vec<u32>,
    pub(crate) probabilities: Vec<f32>,
}

pub(crate) fn unpack(block: &v1::BatchBlock) -> Vec<Batch> {
    let (mut indices, mut probabilities) = (Vec::new(), Vec::new());
    swift_sampler_proto::columns::unpack_u32(&block.indices, &mut indices).unwrap();
    swift_sampler_proto::columns::unpack_f32(&block.probabilities, &mut probabilities).unwrap();
    let draws: usize = block.batches.iter().map(|batch| batch.draws as usize).sum();
    assert_eq!(draws, indices.len(), "the headers account for every index");
    let mut at = 0;
    let batches = block.batches.iter().map(|header| {
        let range = at..at + header.draws as usize;
        at = range.end;
        Batch {
            step: header.step,
            epoch: header.epoch,
            version: header.version,
            indices: indices[range.clone()].to_vec(),
            probabilities: if probabilities.is_empty() { Vec::new() } else { probabilities[range].to_vec() },
        }
    });
    batches.collect()
}

/// A job on dataset "d".
pub(crate) fn job(name: &str, batch_size: u32) -> v1::OpenJobRequest {
    v1::OpenJobRequest {
        name: name.into(),
        dataset: "d".into(),
        seed: 7,
        batch_size,
        mode: v1::ReplacementMode::Independent.into(),
        follow: None,
        epoch_draws: 0,
    }
}

pub(crate) fn steps(job: &str, from: u64, to: u64) -> v1::StreamBatchesRequest {
    v1::StreamBatchesRequest {
        job: job.into(),
        from_step: from,
        to_step: Some(to),
        world_size: 1,
        ..Default::default()
    }
}

/// Columns of `rows` examples, the same at every call.
pub(crate) fn columns(rows: u32) -> Vec<(String, Vec<f64>)> {
    let column = |name: &str, multiplier: u32| {
        let values = (0..rows).map(|row| f64::from(row.wrapping_mul(multiplier) % 1009) / 1009.0 + 0.001);
        (name.to_owned(), values.collect())
    };
    vec![column("loss", 2_654_435_761), column("entropy", 40_503), column("grad_norm", 2_246_822_519)]
}

/// The columns as a CSV file.
pub(crate) fn csv(columns: &[(String, Vec<f64>)]) -> Vec<u8> {
    let header: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = header.join(",");
    for row in 0..columns[0].1.len() {
        let cells: Vec<_> = columns.iter().map(|(_, values)| values[row].to_string()).collect();
        text.push('\n');
        text.push_str(&cells.join(","));
    }
    text.into_bytes()
}

/// A sampler that prefers small losses.
pub(crate) const SWIFT: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.8,0.6],
    "knots":[0.25,0.5,0.75],"values":[1,0.9,0.4,0.1,0]}"#;

/// Starts a daemon with dataset "d" of so many examples.
pub(crate) async fn server_with_dataset(data_dir: &Path, rows: u32) -> Server {
    let server = Server::start(data_dir).await;
    server.import("d", &[], &[("d.csv", csv(&columns(rows)))]).await.unwrap();
    server
}
