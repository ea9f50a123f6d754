//! Draws in process, one thread: the engine beside `rand_distr`'s alias table over the same probabilities.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use swift_sampler::{Plan, Replacement, Sampler, Seed, Segment};

use crate::features;
use crate::pace::a_second;
use crate::sample::{SWIFT, Sink};

/// Draws at a time: as many as the largest message of a daemon holds.
const BUFFER_DRAWS: usize = 32 << 10;
/// The peer with the fastest generator of `rand`, and with its default one.
const RAND_DISTR_SMALL: &str = "rand_distr (SmallRng)";
const RAND_DISTR_STD: &str = "rand_distr (StdRng)";
const SEED: u64 = 7;

/// Draws a second over one dataset, with probabilities.
#[derive(Debug, clap::Args)]
pub struct Draws {
    /// Row of the table
    #[arg(long)]
    row: String,
    /// Examples of the dataset
    #[arg(long)]
    examples: usize,
    /// Spaces the draws of an epoch out evenly; the peer has nothing like it
    #[arg(long)]
    stratified: bool,
    /// Measurements of each
    #[arg(long, default_value_t = 5)]
    repeats: u32,
    /// Length of one, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

impl Draws {
    /// Measures the engine and the peer in turns.
    ///
    /// # Errors
    /// When the sampler or the peer's table cannot be built, or a sample cannot be written.
    pub fn run(&self, sink: &mut Sink<impl Write>) -> anyhow::Result<()> {
        let dataset = features::dataset(self.examples, 2, SEED)?;
        let sampler = Arc::new(Sampler::build(&features::spec(2, SEED), &dataset)?);
        let peer = if self.stratified { None } else { Some(alias_index(&sampler)?) };
        let cells = sampler.cells().len();
        let (mut small, mut standard) = (SmallRng::seed_from_u64(SEED), StdRng::seed_from_u64(SEED));
        let mut first = 0;
        for _ in 0..self.repeats {
            let rate = if self.stratified { self.stratified(&sampler) } else { self.independent(&sampler, &mut first) };
            sink.put(&self.row, SWIFT, rate, &[("examples", self.examples.into()), ("cells", cells.into())])?;
            if let Some(peer) = &peer {
                let details = [("examples", self.examples.into())];
                sink.put(&self.row, RAND_DISTR_SMALL, self.peer(peer, &mut small), &details)?;
                sink.put(&self.row, RAND_DISTR_STD, self.peer(peer, &mut standard), &details)?;
            }
        }
        Ok(())
    }

    fn independent(&self, sampler: &Sampler, first: &mut u64) -> f64 {
        let (mut indices, mut probabilities) = (vec![0; BUFFER_DRAWS], vec![0.0; BUFFER_DRAWS]);
        a_second(self.seconds, || {
            let draws = *first..*first + BUFFER_DRAWS as u64;
            *first = draws.end;
            sampler.draw_into(Seed(SEED), draws, &mut indices, &mut probabilities);
            black_box((&indices, &probabilities));
            BUFFER_DRAWS as u64
        })
    }

    /// Epochs of as many draws as there are examples, each planned anew.
    fn stratified(&self, sampler: &Arc<Sampler>) -> f64 {
        let (mut indices, mut probabilities) = (vec![0; BUFFER_DRAWS], vec![0.0; BUFFER_DRAWS]);
        let mut epoch_start = 0;
        a_second(self.seconds, || {
            let end = epoch_start + self.examples as u64;
            let segment = Segment { epoch_start, start: epoch_start, end };
            let plan = Plan::new(Arc::clone(sampler), Seed(SEED), Replacement::Stratified, segment, None)
                .expect("a whole epoch can be planned");
            let mut next = epoch_start;
            while next < end {
                let until = end.min(next + BUFFER_DRAWS as u64);
                let count = usize::try_from(until - next).expect("no more than a buffer");
                plan.draw_into(next..until, &mut indices[..count], &mut probabilities[..count]);
                black_box((&indices, &probabilities));
                next = until;
            }
            epoch_start = end;
            self.examples as u64
        })
    }

    fn peer(&self, table: &WeightedAliasIndex<f32>, random: &mut impl Rng) -> f64 {
        let mut indices = vec![0_u32; BUFFER_DRAWS];
        a_second(self.seconds, || {
            for index in &mut indices {
                *index = u32::try_from(table.sample(random)).expect("its table has at most 2^32 entries");
            }
            black_box(&indices);
            BUFFER_DRAWS as u64
        })
    }
}

/// Builds the peer's table: an entry an example, as it knows no cells. Its weights are f32, which makes it faster.
#[allow(clippy::cast_possible_truncation, reason = "its draws are timed, not tested")]
fn alias_index(sampler: &Sampler) -> anyhow::Result<WeightedAliasIndex<f32>> {
    let weights = sampler.probabilities().into_iter().map(|probability| probability as f32).collect();
    Ok(WeightedAliasIndex::new(weights)?)
}
