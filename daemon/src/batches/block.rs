//! The draws of consecutive steps, as columns.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use swift_sampler::job::Shard;
use swift_sampler::{CropBank, Crops, Indices, Plan};
use swift_sampler_proto::v1;

use super::buffers::{Buffers, pack_once};
use super::drawing::Drawing;
use super::plans::Plans;
use super::{Error, Run};
use crate::registry::JobRecord;

/// What does not change within a block.
pub(super) struct Block {
    pub(super) job: Arc<JobRecord>,
    pub(super) shard: Shard,
    pub(super) probabilities: bool,
    /// The crops that the dataset's examples are, where they are wanted.
    pub(super) crop_bank: Option<CropBank>,
    pub(super) plans: Plans,
}

impl Block {
    /// Draws frozen steps, each run with the version that it follows; in place where there is no `drawing`.
    pub(super) fn draw(
        &mut self,
        runs: &[(Range<u64>, Run)],
        buffers: &Buffers,
        drawing: Option<&Drawing>,
    ) -> Result<v1::BatchBlock, Error> {
        let draw_into = |plan: &Plan, draws, rows: &mut [u32], probabilities: &mut [f32]| match drawing {
            None => plan.draw_into(draws, rows, probabilities),
            Some(drawing) => drawing.draw_into(plan, draws, rows, probabilities),
        };
        let steps = self.job.steps();
        let slice = self.shard.slice(self.job.batch_size);
        let draws_a_batch = (slice.end - slice.start) as usize;
        let batches: usize = runs.iter().map(|(steps, _)| usize::try_from(steps.end - steps.start).unwrap_or(0)).sum();
        let mut headers = Vec::with_capacity(batches);
        let mut rows = buffers.narrow.take(batches * draws_a_batch);
        let mut probabilities = buffers.probabilities.take(batches * draws_a_batch);
        let mut at = 0;
        for (run_steps, run) in runs {
            headers.extend(run_steps.clone().map(|step| v1::BatchHeader {
                step,
                epoch: steps.epoch(step),
                version: run.version,
                draws: slice.end - slice.start,
            }));
            // The draws of whole batches follow each other, so all of a run's are made at once.
            let whole = self.shard == Shard::WHOLE;
            let at_once = if whole { run_steps.end - run_steps.start } else { 1 };
            for first in run_steps.clone().step_by(usize::try_from(at_once.max(1)).unwrap_or(1)) {
                let draws = steps.draws(first, self.shard);
                let draws = draws.start..draws.end + (at_once - 1) * u64::from(self.job.batch_size);
                let to = at + draws_a_batch * usize::try_from(at_once).unwrap_or(1);
                let plan_of = |draw| self.plans.plan(&self.job, draw, &run.sampler);
                Plan::draw_across(draws, &mut rows[at..to], &mut probabilities[at..to], plan_of, draw_into)?;
                at = to;
            }
        }
        let (first_row, dataset_rows) =
            runs.first().map_or((0, 0), |(_, run)| (run.sampler.first_row(), run.sampler.rows()));
        let crops = self.crop_bank.as_ref().map(|bank| packed(bank.crops(&rows)));
        let (index_type, indices) = match Indices::of_rows(rows, first_row, dataset_rows) {
            Indices::U32(indices) => (v1::IndexType::U32, buffers.narrow.pack(indices.into_vec())),
            Indices::U64(indices) => (v1::IndexType::U64, pack_once(indices.into_vec())),
        };
        let probabilities = buffers.probabilities.pack(probabilities);
        Ok(v1::BatchBlock {
            batches: headers,
            index_type: index_type.into(),
            indices,
            probabilities: if self.probabilities { probabilities } else { Bytes::new() },
            crops,
        })
    }
}

fn packed(crops: Crops) -> v1::Crops {
    let Crops { image, top, left, height, width, flip } = crops;
    let [image, top, left, height, width] =
        [image, top, left, height, width].map(|column| pack_once(column.into_vec()));
    v1::Crops { image, top, left, height, width, flip: flip.into_vec().into() }
}
