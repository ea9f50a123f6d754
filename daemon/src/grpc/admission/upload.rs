//! A request as it is received, counted against the memory of all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::budget::Reservation;
use crate::connections::Peer;
use crate::daemon::Daemon;
use crate::grpc::REQUEST_BYTES_MAX;

/// The first bytes of a request, which are not counted: most requests have no more.
const FREE_BYTES: u64 = 4 << 10;
/// What is reserved at once, at least.
const RESERVE_BYTES: u64 = 64 << 10;

/// The body of a request.
///
/// A message is kept until it is whole, and another is received only then, so a request holds no more than the largest
/// message, however much it brings.
pub(super) struct CountedRequest {
    body: Body,
    daemon: Arc<Daemon>,
    peer: Peer,
    received: u64,
    reserved: u64,
    held: Vec<Reservation>,
}

impl CountedRequest {
    pub(super) fn new(body: Body, daemon: Arc<Daemon>, peer: Peer) -> Self {
        Self { body, daemon, peer, received: 0, reserved: FREE_BYTES, held: Vec::new() }
    }

    fn note_received(&mut self, bytes: usize) -> Result<(), axum::Error> {
        self.received += bytes as u64;
        let needed = self.received.min(REQUEST_BYTES_MAX as u64);
        if needed > self.reserved {
            let bytes = (needed - self.reserved).max(RESERVE_BYTES);
            let reserved = self.daemon.request_budget().reserve(self.peer, bytes);
            self.held.push(reserved.map_err(|full| axum::Error::new(tonic::Status::from(full)))?);
            self.reserved += bytes;
        }
        Ok(())
    }
}

impl http_body::Body for CountedRequest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.note_received(data.len())?;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
