//! Streams of a tenant that are open at once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Tenant;

/// How long a stream waits for another of its tenant to end: a reader asks for its next window just before.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Streams of each tenant that are open.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// By tenant: how many there may be, and the places left. A quota that changes begins to count anew.
    places: Mutex<HashMap<String, (u64, Arc<Semaphore>)>>,
}

impl Streams {
    /// Admits a stream of a tenant; `None` where it has as many as it may.
    pub(super) async fn admit(&self, tenant: &Tenant, max: u64) -> Option<OwnedSemaphorePermit> {
        let places = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let known = places.entry(tenant.name.clone()).or_insert_with(|| (max, of(max)));
            if known.0 != max {
                *known = (max, of(max));
            }
            Arc::clone(&known.1)
        };
        tokio::time::timeout(PLACE_WAIT_MAX, places.acquire_owned()).await.ok()?.ok()
    }
}

fn of(max: u64) -> Arc<Semaphore> {
    let places = usize::try_from(max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(places))
}

/// An answer that holds its place until it is sent.
pub(super) struct PlacedAnswer {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl PlacedAnswer {
    pub(super) fn new(body: Body, place: OwnedSemaphorePermit) -> Self {
        Self { body, _place: place }
    }
}

impl http_body::Body for PlacedAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
