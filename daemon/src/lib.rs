//! `samplerd`: holds features and the active sampler of each dataset, and streams weighted batches to training jobs.
//!
//! [`config::Config`] says how, [`app::App`] is a daemon from its parts to its end, [`daemon::Daemon`] is what all calls
//! share. Records and their rules stand in [`registry`], columns in [`store`], what is held in memory in [`loaded`]; users'
//! files are read by [`swift_sampler_files`] in a process of their own, [`parsing`], batches computed by [`batches`], both served by [`grpc`]; [`http`] serves metrics, health
//! and a page. Who may connect stands in [`tls`], who may call what in [`access`]. Nothing is global: several daemons can run in one process.

pub mod access;
pub mod app;
pub mod batches;
mod budget;
mod checks;
pub mod clock;
pub mod config;
pub mod connections;
pub mod daemon;
pub mod descriptors;
pub mod error;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod loaded;
pub mod metrics;
pub mod parsing;
pub mod registry;
mod reload;
pub mod replicas;
pub mod store;
pub mod tls;
pub mod turns;
