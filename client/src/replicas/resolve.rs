//! DNS names to addresses.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

/// Finds the addresses of a name.
#[tonic::async_trait]
pub trait Resolve: Debug + Send + Sync {
    /// Returns all addresses that the name has now, each with the port.
    ///
    /// # Errors
    /// When the name has none, or cannot be looked up now.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Resolves names as the operating system does.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[tonic::async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
