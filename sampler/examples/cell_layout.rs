//! What the resolution of cells costs and gives, on made-up features: `cell_layout ROWS FEATURES [BITS…]`, one line a
//! correlation and resolution. Without BITS, that of a dataset of this size.
//!
//! `distance` is the total variation distance to the exact sampler over random specs, as estimated; `brute` the largest
//! difference of an estimate to the sum over all rows with every row in a cell of its own, over the first specs.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use swift_sampler::{
    Cells, Dataset, FeatureTable, Resolution, Sampler, SamplerSpec, SwiftSpec, Transform, philox4x32_10,
};

/// Specs a line.
const SPECS: u32 = 40;
/// Specs that are compared by brute force, where BRUTE is set.
const BRUTE_SPECS: u32 = 3;
/// Correlations of the features' common part.
const CORRELATIONS: [f64; 3] = [0.0, 0.7, 0.99];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().map(|text| text.parse::<u32>()).transpose();
    let (Some(rows), Some(features)) = (number()?, number()?) else {
        return Err("usage: cell_layout ROWS FEATURES [BITS...]".into());
    };
    let mut resolutions = Vec::new();
    while let Some(bits) = number()? {
        resolutions.push(Resolution::Bits(bits));
    }
    if resolutions.is_empty() {
        resolutions.push(Resolution::for_table(rows as usize, features as usize));
    }
    let brute = std::env::var_os("BRUTE").is_some();
    println!(
        "| rows | features | correlation | resolution | cells | cells built | sampler built | distance, mean | largest | brute |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let names: Vec<String> = (0..features).map(|feature| format!("f{feature}")).collect();
    for correlation in CORRELATIONS.into_iter().take(if features == 1 { 1 } else { 3 }) {
        let table = table(rows, &names, correlation)?;
        let exact = if brute { Some(dataset(&table, &names, Resolution::Exact)?) } else { None };
        for &resolution in &resolutions {
            let started = Instant::now();
            let dataset = dataset(&table, &names, resolution)?;
            let build = started.elapsed();
            let (mut swap, mut distances, mut worst) = (Duration::MAX, Vec::new(), 0.0f64);
            for number in 0..SPECS {
                let spec = spec(&names, number);
                let started = Instant::now();
                let Ok(sampler) = Sampler::build(&spec, &dataset) else { continue };
                swap = swap.min(started.elapsed());
                let distance = sampler.total_variation(&dataset)?;
                distances.push(distance);
                if let Some(exact) = exact.as_ref().filter(|_| number < BRUTE_SPECS) {
                    let (p, q) = (sampler.probabilities(), Sampler::build(&spec, exact)?.probabilities());
                    let sum: f64 = p.iter().zip(&q).map(|(p, q)| 0.5 * (p - q).abs()).sum();
                    worst = worst.max((sum - distance).abs());
                }
            }
            let mean = distances.iter().sum::<f64>() / distances.len() as f64;
            let largest = distances.iter().copied().fold(0.0, f64::max);
            println!(
                "| {rows} | {features} | {correlation} | {resolution:?} | {} | {:.2} s | {:.1} ms | {mean:.1e} | {largest:.1e} | {worst:.1e} |",
                dataset.cells().len(),
                build.as_secs_f64(),
                swap.as_secs_f64() * 1e3,
            );
        }
    }
    Ok(())
}

fn dataset(table: &FeatureTable, names: &[String], resolution: Resolution) -> Result<Dataset, Box<dyn Error>> {
    let cells = Cells::build(table, names, Some("g"), resolution)?;
    Ok(Dataset::from_stored(table.clone(), Some("g".into()), cells)?)
}

/// Skewed features with a common part, and gradient norms that follow the first.
fn table(rows: u32, names: &[String], correlation: f64) -> Result<FeatureTable, Box<dyn Error>> {
    let column = |feature: u32| -> Vec<f64> {
        let own = (1.0 - correlation).sqrt();
        (0..rows).map(|row| (correlation.sqrt() * normal(row, 0) + own * normal(row, feature)).exp()).collect()
    };
    let mut columns: Vec<_> = names.iter().cloned().zip((1..).map(column)).collect();
    let gradient =
        columns[0].1.iter().zip(0..).map(|(loss, row)| loss.sqrt() * (0.3 * normal(row, 99)).exp()).collect();
    columns.push(("g".into(), gradient));
    Ok(FeatureTable::new(columns)?)
}

/// A spec drawn as a search draws its first ones.
fn spec(names: &[String], number: u32) -> SamplerSpec {
    let uniform = |count: usize, kind: u32| {
        (0..u32::try_from(count).unwrap_or(u32::MAX))
            .map(move |position| f64::from(philox4x32_10([number, position, kind, 0], [7, 0])[0]) / 4294967296.0)
    };
    SamplerSpec::Swift(SwiftSpec {
        features: names.to_vec(),
        coefficients: uniform(names.len(), 0).map(|u| 2.0 * u - 1.0).collect(),
        knots: uniform(3, 1).collect(),
        values: uniform(5, 2).collect(),
        transform: if number.is_multiple_of(2) { Transform::Cgf } else { Transform::Cdf },
    })
}

/// Nearly normal: the sum of four uniform numbers, of variance one.
fn normal(row: u32, kind: u32) -> f64 {
    let words = philox4x32_10([row, kind, 0, 0], [1, 2]);
    (words.iter().map(|&word| f64::from(word) / 4294967296.0).sum::<f64>() - 2.0) * 3f64.sqrt()
}
