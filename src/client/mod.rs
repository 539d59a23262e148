//! The client towards backends, for both sides of an experiment.
//!
//! It is hyper-util's pooled client, because that sends a target's bytes as they came. It follows no
//! redirect, decodes no body, heeds no proxy variable, and adds no header but the role (and a `Host`
//! where a client of HTTP/1.0 sent none).
//!
//! # Layout
//!
//! - `connect`: TCP and TLS within a limit of time
//! - `headers`: what travels on, and what ends here
//! - `unmeasured`: bodies whose size only their headers tell

mod connect;
mod headers;
mod unmeasured;

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Version, request};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client as Pooled, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

pub use connect::Tls;
pub use headers::{ROLE_HEADER, make_end_to_end, strip_hop_by_hop};
pub use unmeasured::Unmeasured;

use crate::config::BaseUrl;
use crate::experiment::Role;
use crate::outcome::{Cause, Failure, Stage};
use connect::{ConnectTimedOut, Connector, Used};

type BoxError = Box<dyn StdError + Send + Sync>;

/// How long a connection may be idle before it is closed.
const IDLE: Duration = Duration::from_secs(30);

/// What one client may take its time for.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A connection, TLS included.
    pub connect: Duration,
    /// From the request's start to the response's head; `None` for no limit.
    pub first_byte: Option<Duration>,
}

/// A body that may be sent again.
pub trait Replay: Sized {
    /// The same body once more, if that is possible.
    fn replay(&self) -> Option<Self>;
}

/// A pool of connections to backends, for requests with bodies of type `B`.
#[derive(Debug, Clone)]
pub struct Client<B> {
    pooled: Pooled<Connector, B>,
    first_byte: Option<Duration>,
}

/// That no response's head came.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the ledger and the record call it.
    pub failure: Failure,
    message: String,
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Replay + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A client with a pool of its own.
    ///
    /// # Errors
    ///
    /// When TLS is needed and the platform's certificates can't be read.
    pub fn new(timeouts: Timeouts, tls: Tls) -> Result<Self, rustls::Error> {
        let connector = Connector::new(timeouts.connect, tls)?;
        let pooled = Pooled::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_preserve_header_case(true)
            .build(connector);
        Ok(Self {
            pooled,
            first_byte: timeouts.first_byte,
        })
    }

    /// Sends a request whose headers are end to end, and waits for the response's head.
    ///
    /// If a connection that has served before ends without an answer, the request is sent once more,
    /// should its method be idempotent (RFC 9110 §9.2.2) and its body be there still: nearly always the
    /// backend had closed an idle connection just when it was to be used again.
    pub async fn send(
        &self,
        base: &BaseUrl,
        role: Role,
        mut head: request::Parts,
        body: B,
    ) -> Result<Response<Incoming>, Error> {
        head.uri = base
            .join(target(&head.uri))
            .map_err(|error| Error::uri(&error))?;
        head.version = Version::HTTP_11;
        let value = HeaderValue::from_static(role.name());
        head.headers.insert(&ROLE_HEADER, value);
        let answer = self.ask(Request::from_parts(head, body));
        let answer = match self.first_byte {
            Some(limit) => timeout(limit, answer)
                .await
                .map_err(|_elapsed| Error::late(limit))?,
            None => answer.await,
        };
        answer.map_err(|error| Error::request(&error))
    }

    async fn ask(&self, request: Request<B>) -> Result<Response<Incoming>, ClientError> {
        let again = again(&request);
        let answer = match (self.pooled.request(request).await, again) {
            (Err(error), Some(again)) if was_closed_while_idle(&error) => {
                self.pooled.request(again).await
            }
            (answer, _) => answer,
        }?;
        Used::mark(answer.extensions());
        Ok(answer)
    }
}

/// The same request once more, if it may be sent twice.
fn again<B: Replay>(request: &Request<B>) -> Option<Request<B>> {
    if !request.method().is_idempotent() {
        return None;
    }
    let mut again = Request::new(request.body().replay()?);
    request.method().clone_into(again.method_mut());
    request.uri().clone_into(again.uri_mut());
    request.headers().clone_into(again.headers_mut());
    request.extensions().clone_into(again.extensions_mut());
    Some(again)
}

/// Whether a request failed because its connection, having served before, ended.
fn was_closed_while_idle(error: &ClientError) -> bool {
    let ended = |cause: &(dyn StdError + 'static)| {
        let hyper = cause.downcast_ref::<hyper::Error>();
        let io = cause.downcast_ref::<std::io::Error>();
        hyper.is_some_and(|error| error.is_incomplete_message() || error.is_canceled())
            || io.is_some_and(|error| {
                matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected
                )
            })
    };
    error.connect_info().is_some_and(Used::is_marked) && chain(error).any(ended)
}

/// The part of a request's URI that is sent on; `/` where there is none.
#[must_use]
pub fn target(uri: &http::Uri) -> &PathAndQuery {
    static ROOT: std::sync::LazyLock<PathAndQuery> =
        std::sync::LazyLock::new(|| PathAndQuery::from_static("/"));
    uri.path_and_query().unwrap_or(&ROOT)
}

impl Error {
    fn uri(error: &http::Error) -> Self {
        Self::new(Stage::Uri, Cause::Uri, error.to_string())
    }

    fn late(limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        Self::new(
            Stage::Request,
            Cause::Timeout,
            format!("no answer within {limit}"),
        )
    }

    fn request(error: &ClientError) -> Self {
        let cause = if !error.is_connect() {
            Cause::Protocol
        } else if chain(error).any(<dyn StdError>::is::<ConnectTimedOut>) {
            Cause::Timeout
        } else {
            Cause::Connect
        };
        let messages: Vec<String> = chain(error).map(ToString::to_string).collect();
        Self::new(Stage::Request, cause, messages.join(": "))
    }

    fn new(stage: Stage, cause: Cause, message: String) -> Self {
        Self {
            failure: Failure { stage, cause },
            message,
        }
    }
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
