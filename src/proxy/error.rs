//! What clients see when the reference gives no answer. It says nothing of what is behind miffy.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use crate::outcome::Cause;

/// An error's body: `{"error": …, "message": …}`.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody {
    error: &'static str,
    message: &'static str,
}

/// For a method that makes no sense in front of a service (RFC 9110 §9.3.6).
pub(super) const CONNECT: ErrorBody = ErrorBody {
    error: "method_not_allowed",
    message: "CONNECT is for proxies that clients choose themselves",
};

/// Answers that a gateway gives itself (RFC 9110 §15.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GatewayError {
    /// 502: no answer, or none in HTTP.
    BadGateway,
    /// 504: no answer in time.
    Timeout,
}

impl GatewayError {
    pub(super) fn of(cause: Cause) -> Self {
        match cause {
            Cause::Timeout => Self::Timeout,
            Cause::Uri | Cause::Connect | Cause::Protocol | Cause::Body => Self::BadGateway,
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(super) fn response(self) -> Response {
        let body = match self {
            Self::BadGateway => ErrorBody {
                error: "bad_gateway",
                message: "the service could not be reached, or gave no valid answer",
            },
            Self::Timeout => ErrorBody {
                error: "gateway_timeout",
                message: "the service did not answer in time",
            },
        };
        response(self.status(), &body)
    }
}

pub(super) fn response(status: StatusCode, body: &ErrorBody) -> Response {
    (status, Json(body)).into_response()
}
