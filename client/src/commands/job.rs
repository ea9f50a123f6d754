//! `samplerctl job`.

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;
use swift_sampler_client::proto::follow_policy::Policy;

use crate::print::{Printer, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// List the jobs
    List,
    /// Show a job: its parameters, its horizon, and which version is in force from which step on
    Show {
        /// Its name
        name: String,
    },
    /// Remove a job
    Remove {
        /// Its name
        name: String,
    },
}

impl Job {
    pub(crate) fn run(self, client: &Client, printer: &mut Printer) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let jobs: Vec<Shown> = client.list_jobs()?.into_iter().map(Shown::from).collect();
                printer.list(&jobs)?;
            }
            Self::Show { name } => printer.one(&Shown::from(client.get_job(&name)?))?,
            Self::Remove { name } => {
                client.remove_job(&name)?;
                printer.done(&format!("job {name} is removed"), &json!({ "removed": name }))?;
            }
        }
        Ok(())
    }
}

/// A job as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    dataset: String,
    seed: u64,
    batch_size: u32,
    epoch_draws: u64,
    mode: &'static str,
    follow: String,
    horizon: u64,
    log: Vec<Change>,
    dataset_rows: u64,
    dataset_hash: String,
}

#[derive(Debug, Serialize)]
struct Change {
    from_step: u64,
    version: u64,
    features_revision: u64,
}

impl Change {
    fn text(&self) -> String {
        let over = match self.features_revision {
            1 => String::new(),
            revision => format!(" (features revision {revision})"),
        };
        format!("{} from {}{over}", self.version, self.from_step)
    }
}

impl From<proto::Job> for Shown {
    fn from(job: proto::Job) -> Self {
        let change = |change: &proto::VersionChange| Change {
            from_step: change.from_step,
            version: change.version,
            // A daemon of before there were revisions says nothing of them.
            features_revision: change.features_revision.max(1),
        };
        Self {
            mode: match job.mode() {
                proto::ReplacementMode::Unspecified | proto::ReplacementMode::Independent => "independent",
                proto::ReplacementMode::Stratified => "stratified",
                proto::ReplacementMode::Distinct => "distinct",
            },
            follow: match job.follow.and_then(|follow| follow.policy) {
                None | Some(Policy::Step(_)) => "step".into(),
                Some(Policy::Epoch(_)) => "epoch".into(),
                Some(Policy::Pinned(version)) => version.to_string(),
            },
            log: job.log.iter().map(change).collect(),
            name: job.name,
            dataset: job.dataset,
            seed: job.seed,
            batch_size: job.batch_size,
            epoch_draws: job.epoch_draws,
            horizon: job.horizon,
            dataset_rows: job.dataset_rows,
            dataset_hash: job.dataset_hash,
        }
    }
}

impl Row for Shown {
    const HEADS: &'static [&'static str] =
        &["name", "dataset", "seed", "batch size", "epoch draws", "mode", "follow", "horizon", "versions"];

    fn cells(&self) -> Vec<String> {
        let log: Vec<String> = self.log.iter().map(Change::text).collect();
        vec![
            self.name.clone(),
            self.dataset.clone(),
            self.seed.to_string(),
            self.batch_size.to_string(),
            self.epoch_draws.to_string(),
            self.mode.into(),
            self.follow.clone(),
            // A pinned job's versions are all decided.
            if self.horizon == u64::MAX { "-".into() } else { self.horizon.to_string() },
            log.join(", "),
        ]
    }
}
