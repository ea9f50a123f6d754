//! What HTTP shows beyond health needs a token, or a certificate.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Access, Refusal, Role, bearer};
use crate::tls::PeerCertificate;

/// Both ways to show a token; browsers ask for the first.
const CHALLENGE: &str = "Basic realm=\"samplerd: any user, the token as password\", Bearer";

/// Puts the check before routes.
pub(crate) fn guard<S: Clone + Send + Sync + 'static>(routes: Router<S>, access: &Arc<Access>) -> Router<S> {
    routes.layer(from_fn_with_state(Arc::clone(access), check))
}

async fn check(
    State(access): State<Arc<Access>>,
    Extension(certificate): Extension<PeerCertificate>,
    request: Request,
    next: Next,
) -> Response {
    if access.clients_certified && certificate.is_shown() {
        return next.run(request).await;
    }
    if !access.wants_tokens() && access.clients_certified {
        let message = "show a client certificate of the authority that this samplerd trusts\n";
        return (StatusCode::UNAUTHORIZED, message).into_response();
    }
    let token = token(request.headers());
    match access.check(token.as_deref(), Role::Read, request.uri().path()) {
        Ok(_) => next.run(request).await,
        Err(refusal @ Refusal::Role { .. }) => (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response(),
        Err(refusal) => {
            (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, CHALLENGE)], format!("{refusal}\n")).into_response()
        }
    }
}

/// Returns the token of a Bearer header, or the password of a Basic one.
fn token(headers: &HeaderMap) -> Option<Vec<u8>> {
    const BASIC: &[u8] = b"basic ";
    let authorization = headers.get(AUTHORIZATION)?.as_bytes();
    if let Some(token) = bearer(authorization) {
        return Some(token.to_vec());
    }
    let (scheme, encoded) = authorization.split_at_checked(BASIC.len())?;
    if !scheme.eq_ignore_ascii_case(BASIC) {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_as_bearer_or_as_password() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            token(&headers)
        };
        assert_eq!(of("Bearer sst_x").as_deref(), Some(&b"sst_x"[..]));
        assert_eq!(of("bearer  sst_x").as_deref(), Some(&b"sst_x"[..]));
        let basic = format!("Basic {}", BASE64_STANDARD.encode("me:sst_x"));
        assert_eq!(of(&basic).as_deref(), Some(&b"sst_x"[..]));
        for none in ["Basic x", "sst_x", "Digest sst_x", "Basic !!"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
