//! Jobs are opened and batches read.

use std::sync::Arc;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::sampling_server::Sampling;
use tonic::{Request, Response, Status};

use super::control::shown_job;
use super::stream::BatchStream;
use super::{convert, crops, stream};
use crate::access::{Caller, Tenant};
use crate::batches::{JobReader, Reading};
use crate::connections::ConnectionInfo;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::registry::JobParameters;

/// Most batches of one unary answer.
pub(crate) const STEPS_MAX: u32 = 4096;
/// Most draws of one unary answer.
pub(crate) const DRAWS_MAX: u64 = 4_194_304;

/// Serves `swiftsampler.v1.Sampling`.
#[derive(Debug)]
pub struct SamplingService {
    daemon: Arc<Daemon>,
}

impl SamplingService {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }
}

#[tonic::async_trait]
impl Sampling for SamplingService {
    type StreamBatchesStream = BatchStream;

    async fn open_job(&self, request: Request<v1::OpenJobRequest>) -> Result<Response<v1::Job>, Status> {
        let owner = Tenant::job_owner(Caller::tenant_of(&request).as_ref());
        let request = request.into_inner();
        let parameters = JobParameters {
            mode: convert::replacement(request.mode)?,
            follow: convert::follow(request.follow),
            name: request.name,
            dataset: request.dataset,
            seed: request.seed,
            batch_size: request.batch_size,
            epoch_draws: (request.epoch_draws > 0).then_some(request.epoch_draws),
        };
        let open = move |daemon: &Daemon| shown_job(daemon, daemon.registry.open_job_of(&parameters, &owner)?);
        Ok(Response::new(self.daemon.with_registry(open).await?))
    }

    async fn stream_batches(
        &self,
        request: Request<v1::StreamBatchesRequest>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        let connection = ConnectionInfo::of(&request);
        let request = request.into_inner();
        if self.daemon.shutdown.is_cancelled() {
            return Err(Error::ShuttingDown.into());
        }
        let permit = self.daemon.admit_stream(connection.peer())?;
        let reading = Reading {
            steps: request.from_step..request.to_step.unwrap_or(u64::MAX),
            shard: convert::shard(request.rank, request.world_size)?,
            job: request.job,
            seek: request.seek,
            probabilities: !request.without_probabilities,
            crops: !request.without_crops,
        };
        let mut reader = JobReader::open(&self.daemon, reading).await?;
        reader.freeze_first().await?;
        let batches = stream::spawn(Arc::clone(&self.daemon), reader, request.batches_per_message, connection, permit)?;
        Ok(Response::new(batches))
    }

    async fn get_batches(&self, request: Request<v1::GetBatchesRequest>) -> Result<Response<v1::BatchBlock>, Status> {
        let peer = ConnectionInfo::of(&request).peer();
        let request = request.into_inner();
        if !(1..=STEPS_MAX).contains(&request.steps) {
            let message = format!("steps is {}: it must be from 1 to {STEPS_MAX}", request.steps);
            return Err(Error::Invalid(message).into());
        }
        let steps = u64::from(request.steps);
        let reading = Reading {
            steps: request.from_step..request.from_step.saturating_add(steps),
            shard: convert::shard(request.rank, request.world_size)?,
            job: request.job,
            seek: request.seek,
            probabilities: !request.without_probabilities,
            crops: !request.without_crops,
        };
        let mut reader = JobReader::open(&self.daemon, reading).await?;
        let draws = steps * u64::from(reader.draws_a_batch());
        if draws > DRAWS_MAX {
            let message = format!("{steps} steps are {draws} draws of this rank: ask for at most {DRAWS_MAX} at once");
            return Err(Error::Invalid(message).into());
        }
        reader.freeze_first().await?;
        // As columns, and encoded.
        let reservation = reader.reserve(peer, 2 * steps)?;
        let mut blocks = vec![reader.next_block(steps).await?];
        while !reader.is_done() {
            blocks.push(reader.next_block(steps).await?);
        }
        let block = join(blocks);
        stream::count(&self.daemon, &block);
        let mut response = Response::new(block);
        response.extensions_mut().insert(reservation);
        Ok(response)
    }

    async fn select_crops(
        &self,
        request: Request<v1::SelectCropsRequest>,
    ) -> Result<Response<v1::SelectCropsResponse>, Status> {
        Ok(Response::new(crops::select(&self.daemon, request.into_inner()).await?))
    }
}

/// Makes one block of blocks that follow each other.
fn join(mut blocks: Vec<v1::BatchBlock>) -> v1::BatchBlock {
    if blocks.len() == 1 {
        return blocks.swap_remove(0);
    }
    let column = |of: fn(&v1::BatchBlock) -> &[u8]| blocks.iter().map(of).collect::<Vec<_>>().concat().into();
    let crops = blocks[0].crops.is_some().then(|| {
        let column = |of: fn(&v1::Crops) -> &[u8]| {
            blocks.iter().filter_map(|block| block.crops.as_ref()).map(of).collect::<Vec<_>>().concat().into()
        };
        v1::Crops {
            image: column(|crops| &crops.image),
            top: column(|crops| &crops.top),
            left: column(|crops| &crops.left),
            height: column(|crops| &crops.height),
            width: column(|crops| &crops.width),
            flip: column(|crops| &crops.flip),
        }
    });
    v1::BatchBlock {
        crops,
        index_type: blocks[0].index_type,
        indices: column(|block| &block.indices),
        probabilities: column(|block| &block.probabilities),
        batches: blocks.into_iter().flat_map(|block| block.batches).collect(),
    }
}
