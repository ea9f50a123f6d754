//! What is counted of certificates, tokens and refusals.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::{counter, options};

/// What is counted of certificates, tokens and refusals.
#[derive(Debug, Clone)]
pub struct SecurityMetrics {
    /// Handshakes of TLS that failed.
    pub handshake_failures: IntCounter,
    /// Times that certificates changed and could not be taken.
    pub tls_reload_failures: IntCounter,
    /// Times that the file of tokens changed and could not be taken.
    pub tokens_reload_failures: IntCounter,
    /// Calls refused for want of a token or a role, by reason.
    pub refused: IntCounterVec,
    certificate_expires: IntGaugeVec,
}

impl SecurityMetrics {
    /// Creates the metrics, not yet registered.
    ///
    /// # Errors
    /// When a name is none; these are.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            handshake_failures: counter("tls_handshake_failures_total", "Handshakes of TLS that failed.")?,
            tls_reload_failures: counter(
                "tls_reload_failures_total",
                "Times that certificates changed and could not be taken; those before stay in force.",
            )?,
            tokens_reload_failures: counter(
                "tokens_reload_failures_total",
                "Times that the file of tokens changed and could not be taken; what was before stays in force.",
            )?,
            refused: IntCounterVec::new(
                options("calls_refused_total", "Calls refused for want of a token, a role or a quota."),
                &["reason"],
            )?,
            certificate_expires: IntGaugeVec::new(
                options("tls_certificate_expires_seconds", "Unix time at which the certificate in force ends."),
                &[],
            )?,
        })
    }

    /// Shows when the certificate in force ends; without TLS there is no such gauge.
    pub fn show_expiry(&self, expires_s: u64) {
        self.certificate_expires.with_label_values::<&str>(&[]).set(i64::try_from(expires_s).unwrap_or(i64::MAX));
    }

    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.handshake_failures.clone()),
            Box::new(self.tls_reload_failures.clone()),
            Box::new(self.tokens_reload_failures.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.certificate_expires.clone()),
        ]
    }
}
