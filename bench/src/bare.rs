//! gRPC alone: a server that sends the messages a daemon would, without drawing, and a client that counts them.
//!
//! What it reaches is the most that a daemon could on the same transport. The client does not cut messages into batches.

mod server;

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use swift_sampler_proto::v1::StreamBatchesRequest;
use swift_sampler_proto::v1::sampling_client::SamplingClient;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonic::transport::Endpoint;

pub use server::Serve;

use crate::sample::Sink;

/// The peer.
const TONIC: &str = "tonic";
/// How long a server may take to start, or a message to come.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// What may be on the way, in bytes: enough that no sender waits for a window.
const WINDOW_BYTES: u32 = 4 << 20;

/// Indices a second of a bare server and client, two processes on loopback.
#[derive(Debug, clap::Args)]
pub struct Bare {
    /// Row of the table
    #[arg(long)]
    row: String,
    /// Draws a batch
    #[arg(long)]
    batch_size: u32,
    /// How long to read
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

impl Bare {
    /// Starts this program again as the server, and reads from it.
    ///
    /// # Errors
    /// When the server does not start or a message does not come, or a sample cannot be written.
    pub async fn run(&self, sink: &mut Sink<impl Write>) -> anyhow::Result<()> {
        let (mut server, address) = start_server(self.batch_size).await?;
        let rate = self.read(address).await;
        server.kill().await?;
        Ok(sink.put(&self.row, TONIC, rate?, &[("batch_size", self.batch_size.into())])?)
    }

    async fn read(&self, address: SocketAddr) -> anyhow::Result<f64> {
        let channel = Endpoint::try_from(format!("http://{address}"))?
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .connect_timeout(ANSWER_MAX)
            .connect()
            .await?;
        let mut blocks =
            SamplingClient::new(channel).stream_batches(StreamBatchesRequest::default()).await?.into_inner();
        let mut indices = 0;
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < self.seconds {
            let block = timeout(ANSWER_MAX, blocks.message()).await.context("no message came")??;
            let block = block.context("the stream without end ended")?;
            let draws: u64 = block.batches.iter().map(|batch| u64::from(batch.draws)).sum();
            ensure!(block.indices.len() as u64 == draws * 4, "{} bytes of indices", block.indices.len());
            indices += draws;
        }
        Ok(indices as f64 / start.elapsed().as_secs_f64())
    }
}

/// Starts the server as a process of its own and returns it with its address.
async fn start_server(batch_size: u32) -> anyhow::Result<(Child, SocketAddr)> {
    let mut server = Command::new(std::env::current_exe()?)
        .args(["serve-bare", "--batch-size", &batch_size.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut line = String::new();
    let stdout = server.stdout.take().context("the server's output was asked for")?;
    timeout(ANSWER_MAX, BufReader::new(stdout).read_line(&mut line)).await.context("the server did not start")??;
    Ok((server, line.trim().parse().context("the server prints its address")?))
}
