//! Stands for a training process: reads batches, takes its time over each, and notes what it trained on.
//!
//! Started again, it continues with the step after the last in its progress file, as a trainer does from its checkpoint.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{BatchesRequest, ClientConfig};
use swift_sampler_tests::progress::{Progress, Trained};

/// How long the daemon may be away.
const RETRY_DEADLINE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match train(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trainer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn train(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [addresses, job, progress, rank, world_size, step_micros] = arguments else {
        return Err("trainer ADDRESSES JOB PROGRESS_FILE RANK WORLD_SIZE STEP_MICROSECONDS".into());
    };
    let step_time = Duration::from_micros(step_micros.parse()?);
    let mut progress = Progress::open(Path::new(progress))?;
    let client = Client::new(ClientConfig {
        retry_deadline: Some(RETRY_DEADLINE),
        first_contact_deadline: RETRY_DEADLINE,
        ..ClientConfig::new(addresses)
    })?;
    let request = BatchesRequest {
        rank: rank.parse()?,
        world_size: world_size.parse()?,
        ..BatchesRequest::new(job, progress.next_step())
    };
    for batch in client.batches(request) {
        let batch = batch?;
        std::thread::sleep(step_time);
        progress.append(&Trained::on(&batch, 0..batch.indices.len()))?;
    }
    Ok(())
}
