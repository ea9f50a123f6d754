//! `searcher`: finds a better sampler and swaps it into the daemon.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use swift_sampler_searcher::cli::{
    Cli, Command, Format, Output, PlotOptions, PrepareOptions, TrainOptions, WorkerOptions,
};
use swift_sampler_searcher::error::SearcherError;
use swift_sampler_searcher::listing::{Listing, Studies};
use swift_sampler_searcher::pictures::Pictures;
use swift_sampler_searcher::preparation::prepare;
use swift_sampler_searcher::progress::Progress;
use swift_sampler_searcher::report::print_table;
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::work_dir::WorkDir;
use swift_sampler_searcher::worker::{self, TrialOfEnvironment, WorkerConfig};
use swift_sampler_searcher::worker_pool::PoolConfig;
use swift_sampler_searcher::{baseline, search, worker_pool};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(matches!(cli.command, Some(Command::Worker(_))));
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed there is nobody to tell.
            drop(writeln!(std::io::stderr(), "searcher: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), SearcherError> {
    if let Some(check) = cli.check()? {
        return print_json(&serde_json::to_value(check.run()?).expect("numbers and text"));
    }
    let stop = Stop::default();
    match &cli.command {
        None => {
            stop.on_signals().map_err(SearcherError::file("signals"))?;
            let mut progress = Progress::new();
            let report = search::run(&cli.search.config()?, &stop, &mut progress)?;
            progress.finish();
            match cli.search.output {
                Output::Json => print_json(&serde_json::to_value(&report).expect("a report is plain data")),
                Output::Table => written(print_table(&report, &mut std::io::stdout().lock())),
            }
        }
        Some(Command::Features(options)) => features(options, &stop),
        Some(Command::Logits(options)) => options.run(),
        Some(Command::Worker(options)) => work(options, &stop),
        Some(Command::Trial) => {
            stop.on_signals().map_err(SearcherError::file("signals"))?;
            let environment = TrialOfEnvironment::read(|name| std::env::var(name).ok())?;
            print_json(&worker::run_trial_of(&environment, &stop)?)
        }
        Some(Command::Train(options)) => train(options, &stop),
        Some(Command::Canvases(options)) => written(writeln!(std::io::stdout().lock(), "{}", options.run()?.display())),
        Some(Command::Show(options)) => {
            let listing = Listing::fetch(&options.study.daemon.connect()?, &options.study.study)?;
            match options.output {
                Output::Json => print_json(&listing.json()),
                Output::Table => written(listing.print(&mut std::io::stdout().lock())),
            }
        }
        Some(Command::Studies(options)) => {
            let studies = Studies::fetch(&options.daemon.connect()?)?;
            match options.output {
                Output::Json => print_json(&studies.json()),
                Output::Table => written(studies.print(&mut std::io::stdout().lock())),
            }
        }
        Some(Command::Export(options)) => {
            let listing = Listing::fetch(&options.study.daemon.connect()?, &options.study.study)?;
            match options.format {
                Format::Csv => written(listing.write_csv(&mut std::io::stdout().lock())),
                Format::Json => print_json(&listing.json()),
                Format::Optuna => written(listing.write_optuna(&mut std::io::stdout().lock())),
            }
        }
        Some(Command::Plot(options)) => plot(options),
        Some(Command::Remove(options)) => {
            options.daemon.connect()?.remove_study(&options.study)?;
            Ok(())
        }
    }
}

fn features(options: &PrepareOptions, stop: &Stop) -> Result<(), SearcherError> {
    stop.on_signals().map_err(SearcherError::file("signals"))?;
    let target = options.target()?;
    let work_dir = WorkDir::open(&options.work_dir(&options.default_study()?))?;
    let mut progress = Progress::new();
    progress.measure(target.metric());
    let preparation = prepare(&target, work_dir.path(), stop, &mut |step| {
        progress.prepare(step);
        std::ops::ControlFlow::Continue(())
    })?;
    print_json(&serde_json::json!({ "features": preparation.features, "reused": preparation.reused }))
}

fn train(options: &TrainOptions, stop: &Stop) -> Result<(), SearcherError> {
    stop.on_signals().map_err(SearcherError::file("signals"))?;
    let report = baseline::run(&options.config()?, stop, &mut Progress::new())?;
    match options.output {
        Output::Json => print_json(&serde_json::to_value(&report).expect("a report is plain data")),
        Output::Table => written(report.print(&mut std::io::stdout().lock())),
    }
}

fn plot(options: &PlotOptions) -> Result<(), SearcherError> {
    let listing = Listing::fetch(&options.study.daemon.connect()?, &options.study.study)?;
    let work_dir = options.work_dir();
    let pictures = Pictures::of(&listing, &work_dir)?;
    let written = pictures.write(options.dir.as_deref().unwrap_or(&work_dir))?;
    print_json(&serde_json::json!({ "pictures": written, "left_out": pictures.left_out() }))
}

fn work(options: &WorkerOptions, stop: &Stop) -> Result<(), SearcherError> {
    if options.until_stdin_closes {
        stop.on_stdin_closed().map_err(SearcherError::file("standard input"))?;
    }
    stop.on_signals().map_err(SearcherError::file("signals"))?;
    let work_dir = options.work_dir.clone().unwrap_or_else(|| Path::new("searcher-work").join(&options.study));
    let name = options.name.clone().unwrap_or_else(worker_pool::process_name);
    let (daemon, study) = (options.daemon.clone(), options.study.clone());
    let (trial_command, limits) = (options.trial_command.clone(), options.runners.limits());
    let places = options.places.places();
    if options.runners.jobs.is_some() {
        if !places.is_empty() {
            let reason = "--data, --target and --weights are for a worker without --jobs: start one for each";
            return Err(SearcherError::Config(reason.to_owned()));
        }
        let devices = options.runners.placements(true)?;
        std::fs::create_dir_all(&work_dir).map_err(SearcherError::file(&work_dir))?;
        let config = PoolConfig { names: name, devices, limits, trial_command, daemon, study, work_dir };
        return worker_pool::run(config, stop);
    }
    let gpu = options.runners.gpu();
    worker::run(&WorkerConfig { daemon, study, work_dir, places, name, trial_command, limits, gpu }, stop)
}

fn print_json(value: &serde_json::Value) -> Result<(), SearcherError> {
    written(writeln!(std::io::stdout().lock(), "{value}"))
}

/// A reader that has seen enough, such as `head`, is no failure.
fn written(result: std::io::Result<()>) -> Result<(), SearcherError> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(SearcherError::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Logs go to standard error; `RUST_LOG` says which. A search has its own progress lines and logs warnings only.
fn start_logging(worker: bool) {
    let default = if worker { "info" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
