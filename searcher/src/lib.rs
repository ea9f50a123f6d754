//! The policy and the driver of Swift Sampler: finds a sampler by Bayesian optimisation over short trials, each of which
//! trains a network on batches that a daemon draws.
//!
//! [`policy`] decides, as a pure function of a study's trials, which trial comes next, by the [`optimiser`]; [`gp`] is its
//! surrogate and [`acquisition`] how it looks ahead; [`space`] maps samplers to points. [`search`] drives a study: it keeps
//! [`worker`] processes busy and ends with a [`report`]. Trials live in the daemon's registry, never in this process.
//! [`target`] is the seam to what is trained: a network (feature `torch`), or a closed formula ([`simulated`]).

pub mod acquisition;
pub mod baseline;
pub mod behaviour;
pub mod cli;
pub mod columns;
pub mod command_target;
pub mod daemon_options;
pub mod data;
pub mod devices;
pub mod error;
pub mod features_file;
pub mod gp;
pub mod insight;
pub mod landscape;
pub mod language;
pub mod lbfgs;
pub mod limits;
pub mod listing;
pub mod memory;
pub mod optimiser;
pub mod pictures;
pub mod plot;
pub mod policy;
pub mod preparation;
pub mod progress;
pub mod randomness;
pub mod report;
pub mod search;
pub mod simulated;
pub mod space;
pub mod stop;
pub mod study;
pub mod target;
#[cfg(feature = "torch")]
pub mod torch;
mod vectors;
pub mod work_dir;
pub mod worker;
pub mod worker_pool;
