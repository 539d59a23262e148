//! The administration: what runs, and changes to it, as JSON.
//!
//! `docs/openapi.json` describes it, and is served itself; tests hold the two to each other. Nothing is asked of
//! cookies and nothing said to other origins (CORS), so that no browser does anything here for another site.
//!
//! # Layout
//!
//! - `handlers`: what is done
//! - `refusal`: why it is not
//! - `view`: what is told of experiments

mod handlers;
mod refusal;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::timeout;
use tracing::warn;

use super::gate::Admission;
use super::{Gate, Management, Reloads};
use crate::shadow::Roster;
use crate::telemetry::Throttle;
use refusal::Refusal;

/// Bytes of a request's body.
const MAX_BODY: usize = 16 * 1024;

/// How long a request's body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a body that is too large that are read nonetheless, so that its sender gets to read why.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;

/// What the administration acts on.
#[derive(Clone)]
pub(super) struct Admin {
    gate: Arc<Gate>,
    roster: Arc<Roster>,
    reloads: Reloads,
    /// Keeps the log readable while somebody tries tokens.
    refused: Arc<Throttle>,
}

impl Admin {
    pub(super) fn of(management: &Management) -> Self {
        Self {
            gate: management.gate.clone(),
            roster: management.roster.clone(),
            reloads: management.reloads.clone(),
            refused: Arc::default(),
        }
    }
}

/// All there is, by path below `/admin` and method.
fn routes() -> [(&'static str, &'static str, MethodRouter<Admin>); 12] {
    [
        ("/openapi.json", "get", get(handlers::openapi)),
        ("/experiments", "get", get(handlers::list)),
        ("/experiments/{name}", "get", get(handlers::one)),
        ("/pause", "post", post(handlers::pause_all)),
        ("/resume", "post", post(handlers::resume_all)),
        ("/experiments/{name}/pause", "post", post(handlers::pause)),
        ("/experiments/{name}/resume", "post", post(handlers::resume)),
        ("/experiments/{name}/sample", "put", put(handlers::sample)),
        (
            "/experiments/{name}/candidates/{candidate}/breaker",
            "post",
            post(handlers::breaker),
        ),
        ("/experiments/{name}/noise", "get", get(handlers::noise)),
        (
            "/experiments/{name}/noise",
            "delete",
            delete(handlers::forget_noise),
        ),
        ("/reload", "post", post(handlers::reload)),
    ]
}

/// What is below `/admin`.
pub(super) fn router(admin: Admin) -> Router {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, _, does)| {
            router.route(path, does)
        });
    router
        .fallback(async || Refusal::no_such_place())
        .method_not_allowed_fallback(async || Refusal::method())
        .layer(from_fn_with_state(admin.clone(), guard))
        .with_state(admin)
}

/// Lets in who knows the token, with a body that is whole and small.
async fn guard(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let admission = admin.gate.admit(request.headers());
    let mut response = match admission {
        Admission::Nothing => return StatusCode::NOT_FOUND.into_response(),
        Admission::Unknown | Admission::Refused => {
            if let Some(unsaid) = admin.refused.admit() {
                let had_token = admission == Admission::Refused;
                warn!(remote = %peer.ip(), had_token, unsaid, "the administration was refused");
            }
            unauthorized(admission)
        }
        Admission::Granted => match whole(request).await {
            Ok(request) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        },
    };
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// What is said to who does not know the token (RFC 6750 §3).
fn unauthorized(admission: Admission) -> Response {
    let challenge = match admission {
        Admission::Refused => "Bearer realm=\"miffy\", error=\"invalid_token\"",
        _ => "Bearer realm=\"miffy\"",
    };
    let mut response = Refusal::unauthorized().into_response();
    let challenge = HeaderValue::from_static(challenge);
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// The request with its body, if that is not too large and comes in time.
async fn whole(request: Request) -> Result<Request, Refusal> {
    let (head, mut body) = request.into_parts();
    let reading = async {
        let mut whole = Vec::new();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::bad_request("the body is not whole"))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            size += data.len();
            if size <= MAX_BODY {
                whole.extend_from_slice(&data);
            } else if size > MAX_DISCARDED {
                break;
            }
        }
        if size > MAX_BODY {
            return Err(Refusal::too_large(MAX_BODY));
        }
        Ok(Bytes::from(whole))
    };
    let read = timeout(BODY_PATIENCE, reading).await;
    let body = read.map_err(|_elapsed| Refusal::too_slow())??;
    Ok(Request::from_parts(head, Body::from(body)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(handlers::OPENAPI).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut documented = BTreeSet::new();
        for (path, item) in paths {
            let methods = item.as_object().expect("methods").keys();
            let methods = methods.filter(|key| *key != "parameters");
            documented.extend(methods.map(|method| (path.clone(), method.clone())));
        }
        let routes = routes().map(|(path, method, _)| (format!("/admin{path}"), method.to_owned()));
        assert_eq!(documented, BTreeSet::from(routes));
    }
}
