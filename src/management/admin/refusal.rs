//! Why something was not done, for who asked.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::management::NotReloaded;

/// That something was not done, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    told: Told,
}

#[derive(Debug, Serialize)]
struct Told {
    /// For programs.
    error: &'static str,
    /// For people.
    message: String,
    /// What is wrong with a configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    key: String,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        let told = Told {
            error,
            message: message.into(),
            problems: Vec::new(),
        };
        Self { status, told }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "the configured token has to be sent: \"Authorization: Bearer TOKEN\"";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn no_such_place() -> Self {
        let message = "there is nothing here; /admin/openapi.json tells what there is";
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn no_such(what: &str, name: &str) -> Self {
        let message = format!("there is no {what} \"{name}\"");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn method() -> Self {
        let message = "this is not done with this method; the header Allow has the right ones";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        )
    }

    pub(super) fn too_slow() -> Self {
        let message = "the body took too long";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }
}

impl From<NotReloaded> for Refusal {
    fn from(error: NotReloaded) -> Self {
        let message = error.to_string();
        match error {
            NotReloaded::Invalid(problems) => {
                let message = "the configuration is wrong, and stays as it was";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                let mut refusal = Self::new(status, "invalid_configuration", message);
                let problems = problems.iter().cloned().map(|problem| Problem {
                    key: problem.key,
                    message: problem.message,
                });
                refusal.told.problems = problems.collect();
                refusal
            }
            NotReloaded::Unusable(_) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "unusable_configuration", message)
            }
            NotReloaded::Nowhere => Self::conflict(message),
            NotReloaded::Busy | NotReloaded::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.told)).into_response()
    }
}
