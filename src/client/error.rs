//! Why no response's head came.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use super::connect::{ConnectTimedOut, has_hung_up};
use crate::outcome::{Cause, Failure, Stage};
use crate::rewrite::NoTarget;

/// That no response's head came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backend gave none.
    #[error("{message}")]
    Backend {
        /// What the ledger and the record call it.
        failure: Failure,
        /// What happened, for the log.
        message: String,
    },
    /// Whoever sent the request did not send the whole of its body, or not in a valid form.
    #[error("{0}")]
    RequestBody(String),
}

impl Error {
    pub(super) fn uri(error: &dyn StdError) -> Self {
        Self::backend(Stage::Uri, Cause::Uri, error.to_string())
    }

    pub(super) fn late(limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        let message = format!("no answer within {limit}");
        Self::backend(Stage::Request, Cause::Timeout, message)
    }

    /// No connection.
    pub(super) fn connecting(error: &(dyn StdError + 'static)) -> Self {
        let cause = if chain(error).any(<dyn StdError>::is::<ConnectTimedOut>) {
            Cause::Timeout
        } else {
            Cause::Connect
        };
        Self::backend(Stage::Request, cause, told(error))
    }

    /// An answer that is none in HTTP.
    pub(super) fn protocol(problem: &str) -> Self {
        Self::backend(Stage::Request, Cause::Protocol, problem.to_owned())
    }

    /// A connection, and no answer on it.
    pub(super) fn asking(error: &(dyn StdError + 'static)) -> Self {
        if chain(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_user)) {
            return Self::request_body(error);
        }
        Self::backend(Stage::Request, Cause::Protocol, told(error))
    }

    /// A connection, and a request's body that failed on it.
    pub(super) fn request_body(error: &(dyn StdError + 'static)) -> Self {
        Self::RequestBody(told(error))
    }

    fn backend(stage: Stage, cause: Cause, message: String) -> Self {
        Self::Backend {
            failure: Failure { stage, cause },
            message,
        }
    }
}

impl From<NoTarget> for Error {
    fn from(error: NoTarget) -> Self {
        Self::uri(&error)
    }
}

/// Whether a request failed because its connection ended.
pub(super) fn was_hung_up_on(error: &(dyn StdError + 'static)) -> bool {
    let ended = |cause: &(dyn StdError + 'static)| {
        let hyper = cause.downcast_ref::<hyper::Error>();
        let io = cause.downcast_ref::<std::io::Error>();
        hyper.is_some_and(|error| error.is_incomplete_message() || error.is_canceled())
            || io.is_some_and(|error| has_hung_up(error) || error.kind() == ErrorKind::NotConnected)
    };
    chain(error).any(ended)
}

/// Whether a backend says that it has not begun with a request: it refused the stream, or is closing the
/// connection and named a last stream before it (RFC 9113 §8.7).
pub(super) fn was_never_begun(error: &(dyn StdError + 'static)) -> bool {
    let refused = |error: &h2::Error| {
        error.is_remote()
            && (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
                || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    chain(error).any(|cause| cause.downcast_ref().is_some_and(refused))
}

fn told(error: &(dyn StdError + 'static)) -> String {
    let messages: Vec<String> = chain(error).map(ToString::to_string).collect();
    messages.join(": ")
}

/// An error and what caused it, outermost first.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
