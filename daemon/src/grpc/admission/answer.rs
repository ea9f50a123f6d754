//! An answer on its way, with what it holds until it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::budget::Reservation;
use crate::connections::OpenAnswer;

/// The body of an answer, which tells its connection when there is a part to take.
pub(super) struct WatchedAnswer {
    body: Body,
    open: Option<OpenAnswer>,
    _held: (OwnedSemaphorePermit, Option<Reservation>),
}

impl WatchedAnswer {
    pub(super) fn new(body: Body, open: Option<OpenAnswer>, held: (OwnedSemaphorePermit, Option<Reservation>)) -> Self {
        Self { body, open, _held: held }
    }
}

impl http_body::Body for WatchedAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(open) = &self.open {
            open.note_taken();
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let (Some(open), Poll::Ready(Some(_))) = (&self.open, &polled) {
            open.note_offered();
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
