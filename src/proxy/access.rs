//! The access log: a line per request at `info`, under the target `miffy::access`.

use std::time::Duration;

use http::{Method, StatusCode, request};
use tracing::{enabled, info};

use crate::experiment::Role;
use crate::telemetry::milliseconds;

/// What the log says of a request. The query is left out: it may hold a token.
pub(super) struct Access {
    role: Role,
    method: Method,
    path: String,
}

impl Access {
    /// `None` when nobody logs it, so that it costs nothing then.
    pub(super) fn of(role: Role, head: &request::Parts) -> Option<Self> {
        enabled!(target: "miffy::access", tracing::Level::INFO).then(|| Self {
            role,
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
        })
    }

    /// Writes the line, `first_byte` after the request came.
    pub(super) fn log(&self, status: StatusCode, first_byte: Duration) {
        info!(
            target: "miffy::access",
            method = %self.method,
            path = self.path,
            role = self.role.name(),
            status = status.as_u16(),
            first_byte_ms = milliseconds(first_byte),
            "answered"
        );
    }
}
