//! The client towards backends, for both sides of an experiment.
//!
//! It is hyper-util's pooled client, because that sends a target's bytes as they came. It follows no
//! redirect, decodes no body, heeds no proxy variable, and adds no header but the role (and a `Host`
//! where a client sent none).
//!
//! # Layout
//!
//! - `connect`: TCP and TLS within a limit of time
//! - `error`: why no answer came
//! - `headers`: what travels on, and what ends here
//! - `resolve`: names to addresses
//! - `unmeasured`: bodies whose size only their headers tell

mod connect;
mod error;
mod headers;
mod resolve;
mod unmeasured;

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{Request, Response, Version, request};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client as Pooled, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

pub use connect::Tls;
pub use error::Error;
pub use headers::{ROLE_HEADER, make_end_to_end, strip_hop_by_hop};
pub use unmeasured::Unmeasured;

use crate::config::BaseUrl;
use crate::experiment::Role;
use connect::{Connector, Used};

type BoxError = Box<dyn StdError + Send + Sync>;

/// How long a connection may be idle before it is closed.
const IDLE: Duration = Duration::from_secs(30);

/// How often a request is sent again at most.
const MAX_RETRIES: u32 = 7;

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
    /// If a connection that has served before ends without an answer, the request is sent again, should
    /// its method be idempotent (RFC 9110 §9.2.2) and its body be there still: nearly always the backend
    /// had closed an idle connection just when it was to be used again, and perhaps the next one as well.
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
        if is_of_unknown_length(&head.headers, &body) {
            // hyper would leave the body of a GET out.
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(TRANSFER_ENCODING, chunked);
        }
        let answer = self.ask(Request::from_parts(head, body));
        let answer = match self.first_byte {
            Some(limit) => timeout(limit, answer)
                .await
                .map_err(|_elapsed| Error::late(limit))?,
            None => answer.await,
        };
        answer.map_err(|error| Error::request(&error))
    }

    async fn ask(&self, mut request: Request<B>) -> Result<Response<Incoming>, ClientError> {
        let mut retries = MAX_RETRIES;
        loop {
            let next = (retries > 0).then(|| again(&request)).flatten();
            match (self.pooled.request(request).await, next) {
                (Err(error), Some(next)) if error::was_closed_while_idle(&error) => request = next,
                (Err(error), _) => return Err(error),
                (Ok(answer), _) => {
                    Used::mark(answer.extensions());
                    return Ok(answer);
                }
            }
            retries -= 1;
        }
    }
}

/// Whether only its end will tell how long a body is.
fn is_of_unknown_length<B: Body>(headers: &HeaderMap, body: &B) -> bool {
    !headers.contains_key(CONTENT_LENGTH)
        && !body.is_end_stream()
        && body.size_hint().exact().is_none()
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

/// The part of a request's URI that is sent on; `/` where there is none.
#[must_use]
pub fn target(uri: &http::Uri) -> &PathAndQuery {
    static ROOT: std::sync::LazyLock<PathAndQuery> =
        std::sync::LazyLock::new(|| PathAndQuery::from_static("/"));
    uri.path_and_query().unwrap_or(&ROOT)
}
