//! Where the daemon is, and how it is known.

use std::path::PathBuf;

use clap::Args;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::{AccessFlags, ClientConfig, ClientError};

/// Where the daemon is, and how it is known.
#[derive(Debug, Clone, Args)]
pub struct DaemonOptions {
    /// Address of the daemon, https:// before it for TLS; several replicas' separated by commas
    #[arg(long, env = "SWIFTSAMPLER_DAEMON", default_value = ClientConfig::ADDRESS_DEFAULT)]
    pub daemon: String,
    /// TLS and the token.
    #[command(flatten)]
    pub access: AccessFlags,
}

impl DaemonOptions {
    /// Takes an address, and everything else from the environment.
    #[must_use]
    pub fn at(daemon: &str) -> Self {
        Self { daemon: daemon.to_owned(), access: AccessFlags::default() }
    }

    /// Returns how a client is to reach it.
    ///
    /// # Errors
    /// As [`ClientConfig::from_environment`].
    pub fn config(&self) -> Result<ClientConfig, ClientError> {
        self.access.config(&self.daemon)
    }

    /// Returns a client, which connects when first used.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn connect(&self) -> Result<Client, ClientError> {
        Client::new(self.config()?)
    }

    /// Returns the variables that give a child process the same TLS and token.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        self.access.variables()
    }
}
