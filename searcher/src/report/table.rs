//! A report as a table.

use std::io::{self, Write};

use super::{Report, SamplerReport, Summary};
use crate::target::{Measures, Metric};

/// Writes the table.
///
/// # Errors
/// When it cannot be written.
pub fn print(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Report { study, dataset, target, seed, trials, epochs_a_trial, .. } = report;
    writeln!(
        out,
        "study {study}: target {target}, dataset {dataset}, seed {seed}, {trials} trials of {epochs_a_trial} epochs"
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "{:<22} {:>16} {:>16} {:>11} {:>10}",
        "retrained under",
        format!("test {}", report.metric.name()),
        "validation",
        "noisy mass",
        "ESS / n"
    )?;
    for sampler in &report.samplers {
        writeln!(
            out,
            "{:<22} {:>16} {:>16} {:>11} {:>10}",
            label(report, sampler),
            shown(report.metric, sampler.test_accuracy.as_ref()),
            shown(report.metric, sampler.validation_accuracy.as_ref()),
            sampler.noisy_mass.map_or_else(|| "-".to_owned(), |mass| format!("{mass:.3}")),
            format!("{:.0}%", 100.0 * sampler.effective_sample_size_ratio),
        )?;
    }
    print_measures(report, out)?;
    print_background(report, out)?;
    writeln!(out)?;
    if let Some(gain) = report.gain {
        writeln!(out, "gain          {}", gain_text(report, gain))?;
    }
    if let Some(share) = report.share_of_way {
        writeln!(out, "way           {:.0}% of the way from uniform to exact labels", 100.0 * share)?;
    }
    if let Some(ranking) = &report.ranking {
        writeln!(
            out,
            "ranking       Spearman {:+.2} of short trials and training from scratch over {} samplers (by chance: p = {:.3})",
            ranking.spearman, ranking.samplers, ranking.p
        )?;
    }
    match report.winner.activated_version {
        Some(version) => {
            writeln!(
                out,
                "active        version {version} of {dataset} (`samplerctl sampler rollback {dataset}` takes it back)"
            )?;
        }
        None => writeln!(out, "active        unchanged")?,
    }
    if let Some(verdict) = &report.winner.verdict {
        writeln!(out, "verdict       {}", verdict.text(report.metric))?;
    }
    let epochs = &report.epochs;
    writeln!(
        out,
        "epochs        {} with the search ({} start, {} trials, {} confirmation, {} training), {} without",
        epochs.with_search, epochs.start, epochs.search, epochs.confirmation, epochs.training, epochs.without_search
    )?;
    writeln!(
        out,
        "time          {:.0} s since the study began, {:.0} s of trials",
        report.seconds.wall, report.seconds.trials
    )?;
    let spec = serde_json::to_string(&report.winner.sampler).map_err(io::Error::other)?;
    writeln!(out, "sampler       {spec}")?;
    writeln!(out, "files         {}: report.json, pictures *.svg", report.work_dir.display())
}

/// Writes a line for each other measure of the test set, the samplers' values side by side.
fn print_measures(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let of = |sampler: &SamplerReport, number: usize| {
        let (_, measure) = sampler.measures.named()[number];
        measure.map(|measure| format!("{} {}", label(report, sampler), shown(report.metric, Some(measure))))
    };
    for (number, (name, _)) in Measures::<Summary>::default().named().into_iter().enumerate() {
        let values: Vec<String> = report.samplers.iter().filter_map(|sampler| of(sampler, number)).collect();
        if !values.is_empty() {
            writeln!(out, "{name:<13} {}", values.join(", "))?;
        }
    }
    Ok(())
}

/// How much of the probability lies on crops that miss their object, where that is known.
fn print_background(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let of = |sampler: &SamplerReport| {
        sampler.background_mass.map(|mass| format!("{:.1}% {}", 100.0 * mass, label(report, sampler)))
    };
    let masses: Vec<String> = report.samplers.iter().filter_map(of).collect();
    if masses.is_empty() { Ok(()) } else { writeln!(out, "\nbackground    {}", masses.join(", ")) }
}

fn label(report: &Report, sampler: &SamplerReport) -> String {
    if sampler.name == "found" { format!("found (trial {})", report.winner.trial) } else { sampler.name.clone() }
}

fn gain_text(report: &Report, gain: f64) -> String {
    let tested = |sampler: &SamplerReport| sampler.test_accuracy.as_ref().map(|tested| readings(report.metric, tested));
    match (report.metric, &report.samplers[..]) {
        (Metric::Perplexity, [uniform, found, ..]) => {
            let mean = |sampler| tested(sampler).map_or(f64::NAN, |summary| summary.mean);
            format!("test perplexity from {:.2} to {:.2}", mean(uniform), mean(found))
        }
        _ => format!("{:+.2} points of test accuracy", 100.0 * gain),
    }
}

/// Objectives as people read them, with their spread where there are several.
pub(crate) fn shown(metric: Metric, summary: Option<&Summary>) -> String {
    let Some(summary) = summary else { return "-".to_owned() };
    let (Summary { mean, sd, values }, unit) = (readings(metric, summary), metric.unit());
    if values.len() == 1 { format!("{mean:.2}{unit}") } else { format!("{mean:.2} ± {sd:.2}{unit}") }
}

/// Mean and spread of the objectives as people read them: the mean of perplexities is not the perplexity of the mean.
fn readings(metric: Metric, summary: &Summary) -> Summary {
    let values = summary.values.iter().map(|&value| metric.read(value)).collect();
    Summary::of(values).expect("a summary has values")
}
