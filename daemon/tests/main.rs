//! The daemon in one process: its rules against a real SQLite file, and its services over real sockets.

mod activation;
mod harness;
mod importing;
mod job_log;
mod registry;
mod restart;
mod samplers;
mod serving;
mod studies;
