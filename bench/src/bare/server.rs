//! The server: the same message again and again.

use std::io::Write;
use std::pin::Pin;

use swift_sampler_proto::columns::{pack_f32, pack_u32};
use swift_sampler_proto::v1::sampling_server::{Sampling, SamplingServer};
use swift_sampler_proto::v1::{
    BatchBlock, BatchHeader, GetBatchesRequest, IndexType, Job, OpenJobRequest, SelectCropsRequest,
    SelectCropsResponse, StreamBatchesRequest,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::WINDOW_BYTES;

/// Columns of one message, in bytes: what a daemon sends a reader that keeps up.
const MESSAGE_BYTES: u32 = 256 << 10;
/// Bytes a draw: index and probability.
const DRAW_BYTES: u32 = 8;

/// Serves the same message to whoever asks for batches.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Draws a batch
    #[arg(long)]
    batch_size: u32,
}

impl Serve {
    /// Listens on a free port, prints the address, and serves until the process is ended.
    ///
    /// # Errors
    /// When there is no port, or the address cannot be written.
    pub async fn run(&self, mut output: impl Write) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(output, "{}", listener.local_addr()?)?;
        output.flush()?;
        let message = message(self.batch_size);
        let incoming = TcpListenerStream::new(listener)
            .map(|connection| connection.and_then(|connection| connection.set_nodelay(true).map(|()| connection)));
        Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .add_service(SamplingServer::new(BareSampling { message }))
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    }
}

/// Makes the message: full batches up to [`MESSAGE_BYTES`], or one larger one.
fn message(batch_size: u32) -> BatchBlock {
    let batches = (MESSAGE_BYTES / DRAW_BYTES / batch_size).max(1);
    let draws = batches * batch_size;
    BatchBlock {
        batches: (0..u64::from(batches))
            .map(|step| BatchHeader { step, epoch: 0, version: 1, draws: batch_size })
            .collect(),
        index_type: IndexType::U32.into(),
        indices: pack_u32(&(0..draws).collect::<Vec<_>>()),
        probabilities: pack_f32(&vec![1e-6; draws as usize]),
        crops: None,
    }
}

#[derive(Debug)]
struct BareSampling {
    message: BatchBlock,
}

#[tonic::async_trait]
impl Sampling for BareSampling {
    type StreamBatchesStream = Pin<Box<dyn Stream<Item = Result<BatchBlock, Status>> + Send>>;

    async fn open_job(&self, _: Request<OpenJobRequest>) -> Result<Response<Job>, Status> {
        Err(Status::unimplemented("only StreamBatches is measured"))
    }

    async fn stream_batches(
        &self,
        _: Request<StreamBatchesRequest>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        let message = self.message.clone();
        Ok(Response::new(Box::pin(tokio_stream::iter(std::iter::repeat_with(move || Ok(message.clone()))))))
    }

    async fn select_crops(&self, _: Request<SelectCropsRequest>) -> Result<Response<SelectCropsResponse>, Status> {
        Err(Status::unimplemented("only StreamBatches is measured"))
    }

    async fn get_batches(&self, _: Request<GetBatchesRequest>) -> Result<Response<BatchBlock>, Status> {
        Err(Status::unimplemented("only StreamBatches is measured"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_holds_full_batches() {
        for (batch_size, batches) in [(256, 128), (4096, 8), (1 << 20, 1)] {
            let message = message(batch_size);
            assert_eq!(message.batches.len(), batches);
            assert_eq!(message.indices.len(), batches * batch_size as usize * 4);
        }
    }
}
