//! Client of the Swift Sampler daemon, `samplerd`.
//!
//! [`Client`] is asynchronous, [`blocking::Client`] is not. Both connect when first used, reconnect when the connection
//! is lost, and continue a stream of batches at the next step not yet delivered: a batch is a pure function of the job
//! and the step, so asking again is always safe.
//!
//! ```no_run
//! use swift_sampler_client::{BatchesRequest, JobConfig, blocking::Client};
//!
//! let client = Client::connect("127.0.0.1:7431")?;
//! client.open_job(&JobConfig::new("train", "fashion", 128))?;
//! for batch in client.batches(BatchesRequest { to_step: Some(10), ..BatchesRequest::new("train", 0) }) {
//!     let batch = batch?;
//!     println!("step {}: {} examples", batch.step, batch.indices.len());
//! }
//! # Ok::<(), swift_sampler_client::ClientError>(())
//! ```

mod batch;
pub mod blocking;
mod client;
mod columns;
mod config;
mod error;
#[cfg(feature = "samplerctl")]
mod flags;
mod import;
mod lease;
mod refresh;
mod replicas;
mod retry;
mod selection;
mod stream;
mod target;
mod tls;
mod token;
mod upload;
mod watch;

pub use client::{Client, JobConfig};
pub use config::ClientConfig;
pub use error::ClientError;
#[cfg(feature = "samplerctl")]
pub use flags::AccessFlags;
pub use import::{ImportPhase, ImportProgress, ImportRequest};
pub use lease::{Leased, TrialLease, TrialRequest};
pub use refresh::{NewValues, RefreshRequest};
pub use replicas::{Resolve, SystemResolver};
pub use selection::{CropsRequest, SelectedCrops, WeighedBy};
pub use stream::{BatchStream, BatchesRequest};
pub use swift_sampler::{Batch, CropColumn, Crops, Indices, SharedSlice};
pub use swift_sampler_proto::v1 as proto;
pub use tls::TlsConfig;
pub use token::{Token, TokenSource};
pub use watch::ActiveSamplerWatch;
