//! `samplerctl`: datasets, samplers, jobs and draws from the command line.

mod commands;
mod import_progress;
mod print;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use swift_sampler_client::ClientError;

use crate::commands::Cli;

/// Exit code where nothing more precise is known.
const FAILED: u8 = 1;
/// Exit code for input that cannot be read or understood.
const BAD_DATA: u8 = 5;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("samplerctl: {error:#}");
            exit_code(&error)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe))
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return u8::try_from(error.exit_code()).unwrap_or(FAILED).into();
    }
    let unreadable = error.chain().any(|cause| cause.is::<std::io::Error>() || cause.is::<serde_json::Error>());
    if unreadable { BAD_DATA.into() } else { FAILED.into() }
}
