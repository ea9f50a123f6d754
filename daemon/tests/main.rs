//! The daemon in one process: its rules against a real SQLite file, and its services over real sockets.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod activation;
mod connection_age;
#[path = "../../sampler/files/tests/crafted.rs"]
mod crafted;
mod crops;
mod faulty_replicas;
mod harness;
mod hostile_files;
mod importing;
mod job_log;
mod limits;
mod missing_values;
mod modes;
mod quarantine;
mod races;
mod refreshing;
mod registry;
mod removals;
mod replicas;
mod restart;
mod samplers;
mod serving;
mod shared_folder;
mod site;
mod studies;
