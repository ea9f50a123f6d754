//! `samplerctl draw`.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde::Serialize;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto::ReplacementMode;
use swift_sampler_client::proto::follow_policy::Policy;
use swift_sampler_client::{Batch, BatchesRequest, Crops, Indices, JobConfig};

use crate::print::Printer;

#[derive(Debug, Args)]
#[command(after_help = "\
Opens the job if it is new; a job that is open keeps its parameters, and others are refused.
Prints one JSON line a step, whatever --output says:
  {\"step\":0,\"epoch\":0,\"version\":1,\"indices\":[...],\"probabilities\":[...]}
A dataset with columns image, top, left, height, width is one of crops, and the line goes on with
  \"crops\":{\"image\":[...],\"top\":[...],\"left\":[...],\"height\":[...],\"width\":[...],\"flip\":[...]}

Examples:
  samplerctl draw fashion --job train --seed 1 --batch-size 128 --steps 0..10
  samplerctl draw fashion --job train --seed 1 --batch-size 128 --steps 0..10 --rank 2 --world-size 3
  samplerctl draw fashion --job shuffled --batch-size 128 --steps 0..10 --mode stratified
  samplerctl draw fashion --job subset --batch-size 128 --steps 0..10 --mode distinct --epoch-draws 5000")]
pub(crate) struct Draw {
    /// Dataset to draw from
    dataset: String,
    /// Name of the job
    #[arg(long)]
    job: String,
    /// Seed of every draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Global batch size, over all ranks
    #[arg(long)]
    batch_size: u32,
    /// Steps to print: from the first up to, not including, the second; FROM.. goes on without end
    #[arg(long, value_name = "FROM..TO")]
    steps: Steps,
    /// Which share of each batch to print
    #[arg(long, default_value_t = 0)]
    rank: u32,
    /// Into how many shares each batch is divided
    #[arg(long, default_value_t = 1)]
    world_size: u32,
    /// How draws of one epoch relate to each other
    #[arg(long, value_enum, default_value = "independent")]
    mode: Mode,
    /// Draws of an epoch [default: as many as the dataset has rows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epoch_draws: Option<u64>,
    /// When a newly activated sampler is taken up: step, epoch, or a version to stay with
    #[arg(long, value_name = "step|epoch|VERSION", default_value = "step", value_parser = parse_follow)]
    follow: Policy,
    /// Allows a first step far beyond what the job has served
    #[arg(long)]
    seek: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// With replacement: every draw follows the probabilities alone
    Independent,
    /// Every example its share of the epoch, rounded down or up; a shuffle under the uniform sampler
    Stratified,
    /// Weighted, without replacement: no example twice in an epoch
    Distinct,
}

/// A range of steps, open at the end or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    from: u64,
    to: Option<u64>,
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (from, to) = text.split_once("..")?;
            let to = if to.is_empty() { None } else { Some(to.parse().ok()?) };
            Some(Self { from: from.parse().ok()?, to })
        };
        let steps = parse().ok_or_else(|| "right would be FROM..TO, such as 0..100".to_owned())?;
        if steps.to.is_some_and(|to| to < steps.from) {
            return Err("the range ends before it starts".into());
        }
        Ok(steps)
    }
}

fn parse_follow(text: &str) -> Result<Policy, String> {
    match text {
        "step" => Ok(Policy::Step(true)),
        "epoch" => Ok(Policy::Epoch(true)),
        version => version
            .parse()
            .map(Policy::Pinned)
            .map_err(|_not_a_number| "right would be step, epoch or a version".into()),
    }
}

impl Draw {
    pub(crate) fn run(self, client: &Client, printer: &mut Printer) -> anyhow::Result<()> {
        client.open_job(&JobConfig {
            name: self.job.clone(),
            dataset: self.dataset,
            seed: self.seed,
            batch_size: self.batch_size,
            epoch_draws: self.epoch_draws.unwrap_or(0),
            mode: match self.mode {
                Mode::Independent => ReplacementMode::Independent,
                Mode::Stratified => ReplacementMode::Stratified,
                Mode::Distinct => ReplacementMode::Distinct,
            },
            follow: self.follow,
        })?;
        let batches = client.batches(BatchesRequest {
            job: self.job,
            from_step: self.steps.from,
            to_step: self.steps.to,
            rank: self.rank,
            world_size: self.world_size,
            seek: self.seek,
            with_probabilities: true,
            with_crops: true,
        });
        for batch in batches {
            let line = batch.map_err(anyhow::Error::from).and_then(|batch| Ok(printer.line(&Line::from(&batch))?));
            if let Err(error) = line {
                // What came before is whole and stands.
                printer.flush()?;
                return Err(error);
            }
            if self.steps.to.is_none() {
                printer.flush()?;
            }
        }
        Ok(printer.flush()?)
    }
}

/// A batch as it is printed; the shortest decimals that read back as the same f32.
#[derive(Debug, Serialize)]
struct Line<'a> {
    step: u64,
    epoch: u64,
    version: u64,
    indices: &'a Indices,
    probabilities: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    crops: Option<&'a Crops>,
}

impl<'a> From<&'a Batch> for Line<'a> {
    fn from(batch: &'a Batch) -> Self {
        let Batch { step, epoch, version, indices, probabilities, crops } = batch;
        Self { step: *step, epoch: *epoch, version: *version, indices, probabilities, crops: crops.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_steps_are_read_and_refused() {
        assert_eq!("3..7".parse(), Ok(Steps { from: 3, to: Some(7) }));
        assert_eq!("3..".parse(), Ok(Steps { from: 3, to: None }));
        for text in ["", "3", "..", "..7", "7..3", "a..b", "-1..2"] {
            assert!(text.parse::<Steps>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_line_has_the_documented_form_and_probabilities_read_back() {
        let (indices, probabilities) = (vec![7u32, 8].into(), vec![1.0 / 3.0, 1e-40].into());
        let mut batch = Batch { step: 4, epoch: 1, version: 2, indices, probabilities, crops: None };
        let line = serde_json::to_string(&Line::from(&batch)).unwrap();
        assert_eq!(line, r#"{"step":4,"epoch":1,"version":2,"indices":[7,8],"probabilities":[0.33333334,1e-40]}"#);
        let column = |values: [u32; 2]| values.to_vec().into();
        batch.crops = Some(Box::new(Crops {
            image: column([5, 5]),
            top: column([0, 1]),
            left: column([2, 3]),
            height: column([8, 9]),
            width: column([6, 7]),
            flip: vec![1, 0].into(),
        }));
        let line = serde_json::to_string(&Line::from(&batch)).unwrap();
        let crops = r#","crops":{"image":[5,5],"top":[0,1],"left":[2,3],"height":[8,9],"width":[6,7],"flip":[1,0]}}"#;
        assert!(line.ends_with(crops), "{line}");
    }
}
