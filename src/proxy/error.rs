//! Answers that miffy gives itself. They say nothing of what is behind it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

/// An answer with the body `{"error": …, "message": …}`.
#[derive(Debug, Serialize)]
pub(super) struct OwnAnswer {
    #[serde(skip)]
    pub(super) status: StatusCode,
    error: &'static str,
    message: &'static str,
}

/// For a method that makes no sense in front of a service (RFC 9110 §9.3.6); one that is not recognized,
/// so that no `Allow` is due (§15.6.2).
pub(super) const CONNECT: OwnAnswer = OwnAnswer {
    status: StatusCode::NOT_IMPLEMENTED,
    error: "not_implemented",
    message: "CONNECT is for proxies that clients choose themselves",
};

/// For a request that does not name the one host that it is for (RFC 9112 §3.2).
pub(super) const BAD_HOST: OwnAnswer = OwnAnswer {
    status: StatusCode::BAD_REQUEST,
    error: "bad_request",
    message: "the request has no Host, several, or an invalid one",
};

/// For a target that is neither a path nor a URI (RFC 9112 §3.2).
pub(super) const BAD_TARGET: OwnAnswer = OwnAnswer {
    status: StatusCode::BAD_REQUEST,
    error: "bad_request",
    message: "the request's target is a host",
};

/// For a body that would stay encoded (RFC 9112 §6.1).
pub(super) const UNKNOWN_CODING: OwnAnswer = OwnAnswer {
    status: StatusCode::NOT_IMPLEMENTED,
    error: "not_implemented",
    message: "chunked is the only transfer coding that is understood",
};

/// For a target over the configured length (RFC 9110 §15.5.15).
pub(super) const URI_TOO_LONG: OwnAnswer = OwnAnswer {
    status: StatusCode::URI_TOO_LONG,
    error: "uri_too_long",
    message: "the request's target is too long",
};

/// For a body that ended before its end, or is not in the form that was announced.
pub(super) const BAD_REQUEST: OwnAnswer = OwnAnswer {
    status: StatusCode::BAD_REQUEST,
    error: "bad_request",
    message: "the request's body is incomplete or malformed",
};

/// For a backend that gave no answer, or none in HTTP (RFC 9110 §15.6.3).
pub(super) const BAD_GATEWAY: OwnAnswer = OwnAnswer {
    status: StatusCode::BAD_GATEWAY,
    error: "bad_gateway",
    message: "the service could not be reached, or gave no valid answer",
};

/// For a backend that gave no answer in time (RFC 9110 §15.6.5).
pub(super) const GATEWAY_TIMEOUT: OwnAnswer = OwnAnswer {
    status: StatusCode::GATEWAY_TIMEOUT,
    error: "gateway_timeout",
    message: "the service did not answer in time",
};

impl OwnAnswer {
    pub(super) fn response(&self) -> Response {
        (self.status, Json(self)).into_response()
    }
}
