//! The first pass over the shards' rows: one axis a feature, from the values that each shard has sorted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ShardsError;
use crate::axis::{Axis, AxisBuilder, distinct_values, sorted};
use crate::resolution::Resolution;

/// Most distinct values of a feature whose cells are exact.
const EXACT_VALUES_MAX: u64 = u32::MAX as u64;

/// A distinct value of a feature, and how many rows have it.
pub type ValueRun = (f64, u64);

/// Returns the distinct values of a shard's column, ascending, in O(n log n).
#[must_use]
pub fn value_runs(column: &[f64]) -> Vec<ValueRun> {
    distinct_values(&sorted(column)).collect()
}

/// Merges the distinct values of all shards, each shard's ascending, into the axis of the feature over all `rows`: the
/// one that a single data set of them has, to the bit. Takes O(values · log shards) time; of each shard one run is held
/// at a time, so the runs can come from files or from other hosts.
///
/// # Errors
/// [`ShardsError`] when a shard's runs do not ascend or are not of as many rows.
pub fn merge_axis<R>(runs: impl IntoIterator<Item = R>, rows: u64, resolution: Resolution) -> Result<Axis, ShardsError>
where
    R: IntoIterator<Item = ValueRun>,
{
    if !(1..=AxisBuilder::ROWS_MAX).contains(&rows) {
        return Err(ShardsError::AxisRows { rows });
    }
    let mut sources: Vec<Source<R::IntoIter>> = runs
        .into_iter()
        .enumerate()
        .map(|(shard, runs)| Source { shard, runs: runs.into_iter(), last: None })
        .collect();
    let mut heap = BinaryHeap::with_capacity(sources.len());
    for source in &mut sources {
        if let Some(run) = source.next()? {
            heap.push(Reverse((run.key, source.shard, run.count)));
        }
    }
    let mut builder = AxisBuilder::new(rows, resolution);
    let (mut left, mut distinct) = (rows, 0);
    while let Some(&Reverse((key, ..))) = heap.peek() {
        let mut count = 0u64;
        while let Some(mut top) = heap.peek_mut().filter(|top| top.0.0 == key) {
            let Reverse((_, shard, own)) = *top;
            count = count.saturating_add(own);
            match sources[shard].next()? {
                Some(run) => *top = Reverse((run.key, shard, run.count)),
                None => drop(std::collections::binary_heap::PeekMut::pop(top)),
            }
        }
        left = left.checked_sub(count).ok_or(ShardsError::RunRows { rows })?;
        distinct += 1;
        if resolution == Resolution::Exact && distinct > EXACT_VALUES_MAX {
            return Err(ShardsError::DistinctValues);
        }
        builder.push(key.value(), count);
    }
    if left > 0 { Err(ShardsError::RunRows { rows }) } else { Ok(builder.finish()) }
}

/// One shard's runs.
struct Source<R> {
    shard: usize,
    runs: R,
    last: Option<Key>,
}

struct Run {
    key: Key,
    count: u64,
}

impl<R: Iterator<Item = ValueRun>> Source<R> {
    /// Returns the next run, once it is known to follow the one before it.
    fn next(&mut self) -> Result<Option<Run>, ShardsError> {
        let Some((value, count)) = self.runs.next() else { return Ok(None) };
        let key = Key::of(value);
        if !value.is_finite() || count == 0 || self.last.is_some_and(|last| last >= key) {
            return Err(ShardsError::Run { shard: self.shard, value, count });
        }
        self.last = Some(key);
        Ok(Some(Run { key, count }))
    }
}

/// A finite number as an integer that sorts like it; -0 and 0 are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

/// The bit of a number's sign.
const SIGN: u64 = 1 << 63;

impl Key {
    fn of(value: f64) -> Self {
        let bits = (value + 0.0).to_bits();
        // Negative numbers sort against their bits, and below all others.
        Self(if bits & SIGN == 0 { bits | SIGN } else { !bits })
    }

    fn value(self) -> f64 {
        f64::from_bits(if self.0 & SIGN == 0 { !self.0 } else { self.0 & !SIGN })
    }
}
