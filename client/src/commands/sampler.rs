//! `samplerctl sampler`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;

use crate::print::{Printer, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum Sampler {
    /// Store a sampler as a new version, without activating it
    #[command(after_help = "\
Specs:
  {\"kind\":\"uniform\"}
  {\"kind\":\"column\",\"column\":\"w\"}
  {\"kind\":\"swift\",\"features\":[\"loss\",\"entropy\"],\"coefficients\":[0.8,-0.6],
   \"knots\":[0.25,0.5,0.75],\"values\":[1,1,0.5,0.2,0]}")]
    Put {
        /// Dataset it is for
        dataset: String,
        /// File with the spec in JSON; - reads standard input
        spec: PathBuf,
    },
    /// List the versions of a dataset
    List {
        /// The dataset
        dataset: String,
        /// Lists the candidates of studies too
        #[arg(long)]
        candidates: bool,
    },
    /// Show a version
    Show {
        /// The dataset
        dataset: String,
        /// The version
        version: u64,
    },
    /// Make a version the active one; running jobs take it up at their horizon
    Activate {
        /// The dataset
        dataset: String,
        /// The version
        version: u64,
    },
    /// Activate the version that was active before
    Rollback {
        /// The dataset
        dataset: String,
    },
}

impl Sampler {
    pub(crate) fn run(self, client: &Client, printer: &mut Printer) -> anyhow::Result<()> {
        match self {
            Self::Put { dataset, spec } => {
                let sampler = client.put_sampler(&dataset, &read_spec(&spec)?, None)?;
                let sentence = format!(
                    "{dataset} version {}, effective sample size {:.1}; `samplerctl sampler activate {dataset} {}` \
                     makes it the active one",
                    sampler.version, sampler.effective_sample_size, sampler.version,
                );
                printer.done(&sentence, &json!({ "version": sampler.version }))?;
            }
            Self::List { dataset, candidates } => {
                let samplers = client.list_samplers(&dataset, candidates)?;
                printer.list(&samplers.into_iter().map(Shown::try_from).collect::<Result<Vec<_>, _>>()?)?;
            }
            Self::Show { dataset, version } => {
                printer.one(&Shown::try_from(client.get_sampler(&dataset, version)?)?)?;
            }
            Self::Activate { dataset, version } => activated(&client.activate_sampler(&dataset, version)?, printer)?,
            Self::Rollback { dataset } => activated(&client.rollback_sampler(&dataset)?, printer)?,
        }
        Ok(())
    }
}

fn read_spec(path: &Path) -> anyhow::Result<String> {
    let mut spec = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut spec).context("standard input")?;
    } else {
        spec = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    }
    Ok(spec)
}

fn activated(active: &proto::ActiveSampler, printer: &mut Printer) -> std::io::Result<()> {
    let before = active.previous_version.map_or_else(String::new, |version| format!(", version {version} before"));
    let over = match active.features_revision {
        0 | 1 => String::new(),
        revision => format!(", over revision {revision} of the features"),
    };
    printer.done(
        &format!("{} version {} is active{over}{before}", active.dataset, active.version),
        &json!({
            "dataset": active.dataset,
            "version": active.version,
            "previous_version": active.previous_version,
            "generation": active.generation,
            "features_revision": active.features_revision.max(1),
        }),
    )
}

/// A sampler version as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    dataset: String,
    version: u64,
    active: bool,
    features_revision: u64,
    features_hash: Option<String>,
    refreshed_from: Option<u64>,
    effective_sample_size: f64,
    total_variation: Option<f64>,
    study: Option<String>,
    trial: Option<u64>,
    candidate: bool,
    spec: Value,
    created_at_ms: u64,
}

impl TryFrom<proto::Sampler> for Shown {
    type Error = anyhow::Error;

    fn try_from(sampler: proto::Sampler) -> Result<Self, anyhow::Error> {
        let spec = serde_json::from_str(&sampler.spec_json)
            .with_context(|| format!("the daemon's spec of {} version {}", sampler.dataset, sampler.version))?;
        let origin = sampler.origin.filter(|origin| !origin.study.is_empty());
        Ok(Self {
            dataset: sampler.dataset,
            version: sampler.version,
            active: sampler.active,
            // A daemon of before there were revisions says nothing of them.
            features_revision: sampler.features_revision.max(1),
            features_hash: Some(sampler.features_hash).filter(|hash| !hash.is_empty()),
            refreshed_from: sampler.refreshed_from,
            effective_sample_size: sampler.effective_sample_size,
            total_variation: sampler.total_variation,
            trial: origin.as_ref().map(|origin| origin.trial),
            candidate: origin.as_ref().is_some_and(|origin| origin.candidate),
            study: origin.map(|origin| origin.study),
            spec,
            created_at_ms: sampler.created_at_ms,
        })
    }
}

impl Row for Shown {
    const HEADS: &'static [&'static str] =
        &["version", "active", "features revision", "effective sample size", "total variation", "origin", "spec"];

    fn cells(&self) -> Vec<String> {
        let origin = match (&self.study, self.trial, self.refreshed_from) {
            (Some(study), Some(trial), _) => format!("{study}/{trial}"),
            (_, _, Some(version)) => format!("version {version}, refreshed"),
            _ => "-".into(),
        };
        vec![
            self.version.to_string(),
            if self.active { "*" } else { "" }.into(),
            self.features_revision.to_string(),
            format!("{:.1}", self.effective_sample_size),
            self.total_variation.map_or_else(|| "-".into(), |distance| format!("{distance:.1e}")),
            origin,
            self.spec.to_string(),
        ]
    }
}
