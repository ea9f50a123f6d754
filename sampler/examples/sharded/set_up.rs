//! Setting up shards: two passes over the rows, each host over its own, and what goes over the network between them.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use swift_sampler::{
    Cells, FeatureTable, GradientSums, Resolution, SamplerSpec, ShardRows, ShardSummary, ShardedCells, ValueRun,
    merge_axis, value_runs,
};

/// Name of the column of gradient norms.
pub(crate) const GRADIENT_NORM: &str = "grad_norm";

/// Cells whose gradient norms a host adds up before it passes the sums on.
const CELLS_AT_ONCE: usize = 128;

/// What a host holds of its shard: its rows by cell, and as the single cell of the uniform sampler.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) by_cell: ShardRows,
    pub(crate) whole: ShardRows,
}

impl Rows {
    /// Returns the rows by the cells that a spec is over.
    pub(crate) fn of_spec(&self, spec: &SamplerSpec) -> &ShardRows {
        if matches!(spec, SamplerSpec::Uniform {}) { &self.whole } else { &self.by_cell }
    }
}

/// What set-up took: times of the slowest host, or of the one that merges; bytes of the largest shard.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// Pass 1: sorting a shard's features.
    pub(crate) sort: Duration,
    /// Merging the sorted values of all shards, every feature.
    pub(crate) merge: Duration,
    /// Pass 2: sorting a shard's rows by cell.
    pub(crate) group: Duration,
    /// Merging the summaries of all shards.
    pub(crate) share: Duration,
    /// Adding up gradient norms, one shard.
    pub(crate) gradients: Duration,
    pub(crate) values_merged: u64,
    pub(crate) run_bytes: u64,
    pub(crate) summary_bytes: u64,
    pub(crate) sums_bytes: u64,
}

/// Sets up the shards of a table whose rows end at `ends` and have indices from `first_row` on. The table's last column is
/// [`GRADIENT_NORM`], those before it are the features.
pub(crate) fn set_up(
    table: &FeatureTable,
    ends: &[usize],
    first_row: u64,
    resolution: Resolution,
) -> Result<(Vec<Rows>, Cost), Box<dyn Error>> {
    let features: Vec<String> = table.names().iter().filter(|name| *name != GRADIENT_NORM).cloned().collect();
    let starts = [0].into_iter().chain(ends.iter().copied());
    let ranges: Vec<Range<usize>> = starts.zip(ends).map(|(start, &end)| start..end).collect();
    // Each host has its rows' columns, nothing more.
    let tables = ranges.iter().map(|rows| part(table, rows)).collect::<Result<Vec<_>, _>>()?;
    let mut cost = Cost::default();

    // First pass: every host sorts each feature; one host merges what all have sorted.
    let mut axes = Vec::new();
    for feature in &features {
        let mut sorted: Vec<Vec<ValueRun>> = Vec::new();
        for table in &tables {
            let column = table.column(feature)?;
            sorted.push(slowest(&mut cost.sort, || value_runs(column)));
        }
        cost.values_merged += sorted.iter().map(|runs| runs.len() as u64).sum::<u64>();
        let longest = sorted.iter().map(Vec::len).max().unwrap_or(0);
        cost.run_bytes += (longest * size_of::<ValueRun>()) as u64;
        let begun = Instant::now();
        axes.push(merge_axis(sorted, table.rows() as u64, resolution)?);
        cost.merge += begun.elapsed();
    }
    // Meanwhile the gradient norms are summed, from host to host.
    let mut sums = GradientSums::default();
    for table in &tables {
        sums.add(table.column(GRADIENT_NORM)?);
    }
    let floor = sums.floor().ok_or("there are no rows")?;

    // Second pass: every host sorts its rows by cell; summaries go to all.
    let mut cells: Vec<Arc<Cells>> = Vec::new();
    for table in &tables {
        let own = slowest(&mut cost.group, || Cells::over_axes(table, &features, axes.clone()))?;
        cells.push(Arc::new(own));
    }
    let first_rows: Vec<u64> = ranges.iter().map(|rows| first_row + rows.start as u64).collect();
    let summaries: Vec<ShardSummary> =
        cells.iter().zip(&first_rows).map(|(cells, &first_row)| ShardSummary::of(first_row, cells)).collect();
    let of_summary = |summary: &ShardSummary| 4 * (summary.counts.len() + summary.intervals.len()) as u64;
    cost.summary_bytes = summaries.iter().map(of_summary).max().unwrap_or(0);
    let begun = Instant::now();
    let shared = Arc::new(ShardedCells::merge(features, &axes, &summaries)?);
    cost.share = begun.elapsed();

    // The sum of each cell's gradient norms goes from host to host, too, some cells at a time.
    let mut sums = vec![0.0; shared.len()];
    cost.sums_bytes = 8 * sums.len() as u64;
    let of_shard = |(shard, cells)| ShardRows::new(&shared, shard, Arc::clone(cells));
    let rows = cells.iter().enumerate().map(of_shard).collect::<Result<Vec<_>, _>>()?;
    let gradients = tables.iter().map(|table| table.column(GRADIENT_NORM)).collect::<Result<Vec<_>, _>>()?;
    let mut times = vec![Duration::ZERO; rows.len()];
    for first in (0..shared.len()).step_by(CELLS_AT_ONCE) {
        let cells = first..shared.len().min(first + CELLS_AT_ONCE);
        for ((rows, gradients), time) in rows.iter().zip(&gradients).zip(&mut times) {
            let begun = Instant::now();
            rows.add_gradients(gradients, floor, cells.clone(), &mut sums[cells.clone()]);
            *time += begun.elapsed();
        }
    }
    cost.gradients = times.into_iter().max().unwrap_or_default();
    let shared = Arc::new(ShardedCells::clone(&shared).with_gradient_mass(sums)?);

    // The uniform sampler has one cell of all rows.
    let one_cell: Vec<Arc<Cells>> = tables.iter().map(|table| Arc::new(Cells::whole(table))).collect();
    let summaries: Vec<ShardSummary> =
        one_cell.iter().zip(&first_rows).map(|(cells, &first_row)| ShardSummary::of(first_row, cells)).collect();
    let whole = Arc::new(ShardedCells::merge(Vec::new(), &[], &summaries)?);
    let rows = cells.into_iter().zip(one_cell).enumerate().map(|(shard, (by_cell, one_cell))| {
        Ok(Rows { by_cell: ShardRows::new(&shared, shard, by_cell)?, whole: ShardRows::new(&whole, shard, one_cell)? })
    });
    Ok((rows.collect::<Result<_, Box<dyn Error>>>()?, cost))
}

fn part(table: &FeatureTable, rows: &Range<usize>) -> Result<FeatureTable, Box<dyn Error>> {
    let columns = table.columns().map(|(name, values)| (name.to_owned(), values[rows.clone()].to_vec()));
    Ok(FeatureTable::new(columns.collect())?)
}

/// Hosts work side by side: what counts is the slowest.
fn slowest<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    *time = begun.elapsed().max(*time);
    done
}
