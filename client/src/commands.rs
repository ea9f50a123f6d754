//! The commands: arguments in, calls of the client, results out.

mod bench;
mod dataset;
mod draw;
mod job;
mod sampler;
mod token;

use std::num::NonZeroU8;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::{AccessFlags, ClientConfig};

use crate::print::{Output, Printer};

/// Datasets, samplers, jobs and draws of a Swift Sampler daemon.
#[derive(Debug, Parser)]
#[command(
    name = "samplerctl",
    version,
    after_help = "\
Examples:
  samplerctl dataset import fashion features.parquet
  echo '{\"kind\":\"column\",\"column\":\"loss\"}' | samplerctl sampler put fashion -
  samplerctl sampler activate fashion 2
  samplerctl draw fashion --job train --batch-size 128 --steps 0..10

Exit codes: 0 ok, 1 failed, 2 usage, 3 config, 4 unavailable, 5 bad data"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    connection: Connection,

    /// Form of the results
    #[arg(long, value_enum, default_value = "table", global = true)]
    output: Output,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Connection {
    /// Address of samplerd, or a name with several, https:// before it for TLS, or unix:PATH; more of any separated by commas
    #[arg(
        long,
        env = "SWIFTSAMPLER_DAEMON",
        value_name = "HOST:PORT",
        default_value = ClientConfig::ADDRESS_DEFAULT,
        global = true
    )]
    daemon: String,

    /// How long an unreachable daemon is tried again
    #[arg(long, value_name = "SECONDS", default_value_t = 2, global = true)]
    retry_seconds: u64,

    /// Most connections to one replica
    #[arg(long, value_name = "COUNT", default_value_t = ClientConfig::default().connections, global = true)]
    connections: NonZeroU8,

    #[command(flatten)]
    access: AccessFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import, list, show and remove datasets
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    /// Store, list, show, activate and roll back sampler versions
    #[command(subcommand)]
    Sampler(sampler::Sampler),
    /// Print the batches of a job, one JSON line a step
    Draw(draw::Draw),
    /// List, show and remove jobs
    #[command(subcommand)]
    Job(job::Job),
    /// Make tokens, which samplerd's --tokens takes
    #[command(subcommand)]
    Token(token::Token),
    /// Measure how fast a dataset's batches arrive
    Bench(bench::Bench),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut printer = Printer::new(self.output);
        let command = match self.command {
            Command::Token(token) => return token.run(self.output, &mut printer),
            command => command,
        };
        let retry_deadline = Duration::from_secs(self.connection.retry_seconds);
        let config = ClientConfig {
            connections: self.connection.connections,
            retry_deadline: Some(retry_deadline),
            first_contact_deadline: retry_deadline,
            ..self.connection.access.config(&self.connection.daemon)?
        };
        let client = Client::new(config)?;
        match command {
            Command::Dataset(dataset) => dataset.run(&client, &mut printer),
            Command::Sampler(sampler) => sampler.run(&client, &mut printer),
            Command::Draw(draw) => draw.run(&client, &mut printer),
            Command::Job(job) => job.run(&client, &mut printer),
            Command::Bench(bench) => bench.run(&client, &mut printer),
            Command::Token(_) => unreachable!("it was done above, without a daemon"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_measurement_lasts_between_a_second_and_a_day() {
        let bench = |seconds| Cli::try_parse_from(["samplerctl", "bench", "d", "--seconds", seconds]);
        for fit in ["1", "86400"] {
            bench(fit).unwrap();
        }
        for unfit in ["0", "86401", "18446744073709551615"] {
            assert_eq!(bench(unfit).unwrap_err().kind(), ErrorKind::ValueValidation, "{unfit}");
        }
    }
}
