//! The client towards backends, for both sides of an experiment.
//!
//! A target's bytes are sent as they came. It follows no redirect, decodes no body, heeds no proxy variable, and adds
//! no header but the role (and a `Host` where a client of HTTP/1.0 sent none).
//!
//! # Layout
//!
//! - `connect`: TCP and TLS within a limit of time
//! - `error`: why no answer came
//! - `headers`: what travels on, and what ends here
//! - `http1`: connections that carry one request at a time
//! - `http2`: shared connections to each backend
//! - `origins`: one of something for each backend
//! - `resolve`: names to addresses
//! - `timed`: a response's body with a limit of time
//! - `unmeasured`: bodies whose size only their headers tell
//! - `watched`: bodies of requests whose failure is noted

mod connect;
mod error;
mod headers;
mod http1;
mod http2;
mod origins;
mod resolve;
mod timed;
mod unmeasured;
mod watched;

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, request};
use http_body::Body;
use tokio::time::{Instant, timeout_at};

pub use error::Error;
pub use headers::{ROLE_HEADER, make_end_to_end, strip_hop_by_hop, unify};
pub use timed::{BodyError, Timed};
pub use unmeasured::Unmeasured;

use crate::config::{Backends, BaseUrl, Pool, Protocol, Timeouts};
use crate::experiment::Role;
use crate::threads::{PerThread, cores};
use crate::tls;
use connect::{Connector, Versions};
use http1::{Http1, Message, Sent, Unanswered};
use http2::{Http2, Stream, make_http2};
use timed::Inner;
use watched::Watched;

type BoxError = Box<dyn StdError + Send + Sync>;

/// How often a request is sent again at most.
const MAX_RETRIES: u32 = 7;

/// A body that may be sent again.
pub trait Replay: Sized {
    /// The same body once more, if that is possible.
    fn replay(&self) -> Option<Self>;
}

/// Connections to backends, for requests with bodies of type `B`.
#[derive(Debug)]
pub struct Client<B> {
    pools: Arc<PerThread<Pools<B>>>,
    timeouts: Timeouts,
}

#[derive(Debug)]
struct Pools<B> {
    http1: Http1,
    /// Where some may be asked in HTTP/2.
    http2: Option<Http2<B>>,
}

impl<B> Clone for Client<B> {
    /// The same connections.
    fn clone(&self) -> Self {
        Self {
            pools: self.pools.clone(),
            timeouts: self.timeouts,
        }
    }
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Replay + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A client with connections of its own, to the backends at `bases`.
    ///
    /// # Errors
    ///
    /// When TLS is needed, and the certificates that it needs can't be used.
    pub fn new<'b>(
        backends: &Backends,
        bases: impl IntoIterator<Item = &'b BaseUrl>,
    ) -> Result<Self, tls::Error> {
        let has_tls = bases.into_iter().any(BaseUrl::is_https);
        let tls = if has_tls {
            backends.tls.config()?
        } else {
            tls::unused()?
        };
        let connector = |versions| Connector::new(backends.timeouts.connect, tls.clone(), versions);
        // What all threads have together is what is configured.
        let pool = Pool {
            max_idle: backends.pool.max_idle.div_ceil(cores()),
            ..backends.pool
        };
        let versions = match backends.protocol {
            Protocol::Auto if has_tls => Some(Versions::Both),
            Protocol::Http2 => Some(Versions::Http2),
            Protocol::Auto | Protocol::Http1 => None,
        };
        let http2 = |versions| Http2::new(connector(versions), backends.protocol, pool);
        let pools = || Pools {
            http1: Http1::new(connector(Versions::Http1), pool),
            http2: versions.map(http2),
        };
        Ok(Self {
            pools: Arc::new(PerThread::new(pools)),
            timeouts: backends.timeouts,
        })
    }

    /// Sends a request whose headers are end to end, and waits for the response's head.
    ///
    /// It is sent again where that is safe, on a connection that has served before: when nothing of it was sent; or
    /// else when the connection ends without an answer, should the method be idempotent (RFC 9110 §9.2.2) and the
    /// body be there still. In HTTP/2, also when the backend says that it has not begun with it. Nearly always the backend
    /// had closed an idle connection just when it was to be used again, and perhaps the next one as well.
    ///
    /// To be called on the thread that is to wait: where a connection is idle there, the request is on its way when
    /// this returns, so that what is large about it is not carried by what waits.
    pub fn send<'c>(
        &'c self,
        base: &'c BaseUrl,
        role: Role,
        head: request::Parts,
        body: B,
    ) -> impl Future<Output = Result<Response<Timed>, Error>> + Send + use<'c, B> {
        self.finish(base, self.begin(base, role, head, body))
    }

    /// Sends a request on a connection of HTTP/1.1 that is idle, unless there is none, or the backend may be one of
    /// HTTP/2.
    pub(crate) fn begin(
        &self,
        base: &BaseUrl,
        role: Role,
        head: request::Parts,
        body: B,
    ) -> Begun<B> {
        let Timeouts {
            first_byte,
            exchange,
            ..
        } = self.timeouts;
        let is_limited = first_byte.is_some() || exchange.is_some();
        let started = is_limited.then(Instant::now);
        let pools = self.pools.here();
        let may_upgrade = head.headers.contains_key(UPGRADE);
        let may_be_http1 = pools.http2.is_none() || may_upgrade;
        let idle = may_be_http1.then(|| pools.http1.backend(base).ready());
        let asked = match idle.flatten() {
            None => Asked::Waits(Box::new((head, body, role))),
            Some(connection) => match Message::new(head, body, base, role) {
                Ok(message) => Asked::Sent(connection.send(message, true)),
                Err(error) => Asked::Not(Box::new(error)),
            },
        };
        Begun {
            asked,
            started,
            may_upgrade,
        }
    }

    /// Waits for the head of the response to what was begun.
    pub(crate) async fn finish(
        &self,
        base: &BaseUrl,
        begun: Begun<B>,
    ) -> Result<Response<Timed>, Error> {
        let Begun {
            asked,
            started,
            may_upgrade,
        } = begun;
        let asking = async {
            match asked {
                Asked::Sent(sent) => self.answer(base, sent).await,
                Asked::Waits(request) => Box::pin(self.ask(base, *request)).await,
                Asked::Not(error) => Err(*error),
            }
        };
        let Timeouts {
            first_byte,
            exchange,
            ..
        } = self.timeouts;
        let after = |limit| started.map(|started| started + limit);
        let limit = first_byte.into_iter().chain(exchange).min();
        let answer = match limit.and_then(|limit| Some((limit, after(limit)?))) {
            Some((limit, end)) => timeout_at(end, asking)
                .await
                .map_err(|_elapsed| Error::late(limit))?,
            None => asking.await,
        };
        let response = answer?;
        if let Some(problem) = problem(&response, may_upgrade) {
            return Err(Error::protocol(problem));
        }
        let end = exchange.and_then(after);
        Ok(Timed::response(response, end))
    }

    /// The answer to a request that was sent first of all.
    async fn answer(&self, base: &BaseUrl, sent: Sent<B>) -> Result<Response<Inner>, Error> {
        match sent.answer().await {
            Ok(response) => Ok(response.map(Inner::Http1)),
            Err(Unanswered::Unseen(message)) => {
                let retries = MAX_RETRIES - 1;
                Box::pin(self.try_http1(base, message, retries)).await
            }
            Err(Unanswered::Failed(error)) => Err(error),
        }
    }

    async fn ask(
        &self,
        base: &BaseUrl,
        (mut head, body, role): (request::Parts, B, Role),
    ) -> Result<Response<Inner>, Error> {
        // A connection that is to become another protocol's can't be shared.
        if let Some(http2) = &self.pools.here().http2
            && !head.headers.contains_key(UPGRADE)
            && let Some(connection) = connection(http2, base).await?
        {
            let value = HeaderValue::from_static(role.name());
            head.headers.insert(&ROLE_HEADER, value);
            let request = Request::from_parts(head, body);
            return ask_http2(http2, connection, base, request).await;
        }
        let message = Message::new(head, body, base, role)?;
        self.try_http1(base, message, MAX_RETRIES).await
    }

    async fn try_http1(
        &self,
        base: &BaseUrl,
        mut message: Message<B>,
        mut retries: u32,
    ) -> Result<Response<Inner>, Error> {
        let backend = self.pools.here().http1.backend(base);
        loop {
            let connection = backend.connection(base).await;
            let connection = connection.map_err(|error| Error::connecting(&*error))?;
            match connection.send(message, retries > 0).answer().await {
                Ok(response) => return Ok(response.map(Inner::Http1)),
                Err(Unanswered::Unseen(again)) => message = again,
                Err(Unanswered::Failed(error)) => return Err(error),
            }
            retries -= 1;
        }
    }
}

/// A request that is on its way, if that was possible at once.
pub(crate) struct Begun<B> {
    asked: Asked<B>,
    /// Where there is a limit of time.
    started: Option<Instant>,
    may_upgrade: bool,
}

enum Asked<B> {
    /// It is on its way.
    Sent(Sent<B>),
    /// It is for a connection that is to be waited for.
    Waits(Box<(request::Parts, B, Role)>),
    /// It can't be asked.
    Not(Box<Error>),
}

impl<B> From<Error> for Begun<B> {
    /// One that can't be asked.
    fn from(error: Error) -> Self {
        Self {
            asked: Asked::Not(Box::new(error)),
            started: None,
            may_upgrade: false,
        }
    }
}

/// What is wrong with a response's head that is well-formed.
fn problem(response: &Response<Inner>, may_upgrade: bool) -> Option<&'static str> {
    let is_known = |coding: &HeaderValue| {
        let coding = coding.as_bytes();
        coding.eq_ignore_ascii_case(b"chunked") || coding.eq_ignore_ascii_case(b"identity")
    };
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_upgrade {
        Some("it switches protocols unasked")
    } else if !codings.all(is_known) {
        // What is left of them would stay, and nobody would know (RFC 9112 §6.1).
        Some("it has a transfer coding that is not understood")
    } else {
        None
    }
}

async fn connection<B>(http2: &Http2<B>, base: &BaseUrl) -> Result<Option<Stream<B>>, Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let connection = http2.connection(base).await;
    connection.map_err(|error| Error::connecting(&*error))
}

async fn ask_http2<B>(
    http2: &Http2<B>,
    mut connection: Stream<B>,
    base: &BaseUrl,
    mut request: Request<B>,
) -> Result<Response<Inner>, Error>
where
    B: Body<Data = Bytes> + Replay + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    make_http2(&mut request, base)?;
    let mut request = request.map(Watched::new);
    let failed = request.body().failed();
    let mut retries = MAX_RETRIES;
    loop {
        let was_used = connection.link.is_marked();
        let replayed = replay(&request);
        let is_idempotent = request.method().is_idempotent();
        let mut error = match connection.sender.try_send_request(request).await {
            Ok(answer) => {
                connection.link.mark();
                return Ok(answer.map(|body| Inner::Http2(body, connection.link)));
            }
            Err(error) => error,
        };
        let unsent = error.take_message();
        let error = error.into_error();
        // HTTP/2 only resets the stream, and says no more of it.
        if failed.load(Ordering::Relaxed) {
            return Err(Error::request_body(&error));
        }
        let may_be_repeated = error::was_never_begun(&error)
            || is_idempotent && was_used && error::was_hung_up_on(&error);
        let next = unsent.or_else(|| replayed.filter(|_| may_be_repeated));
        request = match next {
            Some(next) if retries > 0 => next,
            _ => return Err(Error::asking(&error)),
        };
        retries -= 1;
        connection = match self::connection(http2, base).await? {
            Some(connection) => connection,
            None => return Err(Error::asking(&error)),
        };
    }
}

/// The same request once more, if its body is there still.
fn replay<B: Replay>(request: &Request<B>) -> Option<Request<B>> {
    let mut again = Request::new(request.body().replay()?);
    request.method().clone_into(again.method_mut());
    request.uri().clone_into(again.uri_mut());
    *again.version_mut() = request.version();
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
