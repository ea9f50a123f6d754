//! Every call of gRPC is checked before it is read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tonic::Status;
use tonic::service::Routes;

use super::streams::PlacedAnswer;
use super::{Access, Needed, Refusal, Tenant, bearer, needed};
use crate::error::Error;

/// The method whose streams are counted.
const STREAM: &str = "/swiftsampler.v1.Sampling/StreamBatches";

/// Puts the check before all services.
pub(crate) fn guard(routes: Routes, access: &Arc<Access>) -> Routes {
    if !access.wants_tokens() {
        return routes;
    }
    Routes::from(routes.into_axum_router().layer(from_fn_with_state(Arc::clone(access), check)))
}

async fn check(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let Needed::Role(role) = needed(path) else { return next.run(request).await };
    let token = request.headers().get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    match access.check(token, role, path) {
        Ok(caller) => {
            // Nothing behind this has a use for it.
            request.headers_mut().remove(AUTHORIZATION);
            let Some(caller) = caller else { return next.run(request).await };
            request.extensions_mut().insert(caller.as_ref().clone());
            match &caller.tenant {
                Some(tenant) if request.uri().path() == STREAM => stream(&access, tenant, request, next).await,
                _ => next.run(request).await,
            }
        }
        Err(refusal) => status(&refusal).into_http(),
    }
}

/// Holds a place of the tenant's while the stream is open.
async fn stream(access: &Access, tenant: &Tenant, request: Request, next: Next) -> Response {
    let Some(max) = tenant.quotas.streams_max else { return next.run(request).await };
    match access.streams.admit(tenant, max).await {
        Some(place) => next.run(request).await.map(|body| Body::new(PlacedAnswer::new(body, place))),
        None => {
            access.refused.with_label_values(&["quota"]).inc();
            let message = format!("the tenant {:?} has its quota of {max} streams open: end some", tenant.name);
            Status::from(Error::Busy(message)).into_http()
        }
    }
}

fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::NoToken | Refusal::Unknown | Refusal::Expired(_) => Status::unauthenticated(refusal.to_string()),
        Refusal::Role { .. } => Status::permission_denied(refusal.to_string()),
    }
}
