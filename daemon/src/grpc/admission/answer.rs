//! An answer on its way, with what it holds until it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::budget::Reservation;
use crate::connections::OpenAnswer;

/// The body of an answer, which tells its connection when there is a part to take.
pub(super) struct WatchedAnswer {
    body: Body,
    open: OpenAnswer,
    has_ended: bool,
    _held: (Reservation, Option<Reservation>),
}

impl WatchedAnswer {
    pub(super) fn new(body: Body, open: OpenAnswer, held: (Reservation, Option<Reservation>)) -> Self {
        Self { body, open, has_ended: false, _held: held }
    }
}

impl Drop for WatchedAnswer {
    fn drop(&mut self) {
        if self.has_ended || self.body.is_end_stream() {
            self.open.note_ended();
        }
    }
}

impl http_body::Body for WatchedAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.open.note_taken();
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(_)) = &polled {
            self.open.note_offered();
        }
        // Nothing follows trailers, and it is not asked again.
        self.has_ended |= match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(None) => true,
            _ => false,
        };
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
