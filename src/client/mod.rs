//! The client towards backends, for both sides of an experiment.
//!
//! It is made of hyper's connections, because these send a target's bytes as they came. It follows no redirect, decodes no body, heeds no proxy variable, and adds
//! no header but the role (and a `Host` where a client of HTTP/1.0 sent none).
//!
//! # Layout
//!
//! - `connect`: TCP and TLS within a limit of time
//! - `error`: why no answer came
//! - `expect`: uploads that wait to be asked for
//! - `headers`: what travels on, and what ends here
//! - `http1`: connections that carry one request at a time
//! - `http2`: shared connections to each backend
//! - `resolve`: names to addresses
//! - `timed`: a response's body with a limit of time
//! - `unmeasured`: bodies whose size only their headers tell

mod connect;
mod error;
mod expect;
mod headers;
mod http1;
mod http2;
mod resolve;
mod timed;
mod unmeasured;

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Version, request};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

pub use error::Error;
pub use headers::{ROLE_HEADER, make_end_to_end, strip_hop_by_hop, unify};
pub use timed::{BodyError, Timed};
pub use unmeasured::{BodyGuard, Unmeasured};

use crate::config::{Backends, BaseUrl, Pool, Protocol, Timeouts};
use crate::experiment::Role;
use crate::threads::{PerThread, cores};
use crate::tls;
use connect::{Connector, Versions};
use expect::{expecting, watch};
use headers::retain;
use http1::Http1;
use http2::{Http2, Stream, make_http2};
use timed::Held;

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
    http1: Http1<B>,
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
    /// It is sent again where that is safe: when nothing of it was sent, or the backend says that it has
    /// not begun with it; or else when a connection that has served before ends without an answer, should
    /// the method be idempotent (RFC 9110 §9.2.2) and the body be there still. Nearly always the backend
    /// had closed an idle connection just when it was to be used again, and perhaps the next one as well.
    pub async fn send(
        &self,
        base: &BaseUrl,
        role: Role,
        mut head: request::Parts,
        body: B,
    ) -> Result<Response<Timed>, Error> {
        let started = Instant::now();
        head.uri = base
            .join(target(&head.uri))
            .map_err(|error| Error::uri(&error))?;
        head.version = Version::HTTP_11;
        let value = HeaderValue::from_static(role.name());
        head.headers.insert(&ROLE_HEADER, value);
        let may_upgrade = head.headers.contains_key(UPGRADE);
        // It is large, and is not moved again.
        let asking = pin!(self.ask(base, Request::from_parts(head, body)));
        let Timeouts {
            first_byte,
            exchange,
            ..
        } = self.timeouts;
        let answer = match first_byte.into_iter().chain(exchange).min() {
            Some(limit) => timeout_at(started + limit, asking)
                .await
                .map_err(|_elapsed| Error::late(limit))?,
            None => asking.await,
        };
        let (response, kept) = answer?;
        if let Some(problem) = problem(&response, may_upgrade) {
            return Err(Error::protocol(problem));
        }
        let end = exchange.map(|limit| started + limit);
        Ok(Timed::response(response, kept, end))
    }

    async fn ask(&self, base: &BaseUrl, request: Request<B>) -> Result<Answered, Error> {
        // A connection that is to become another protocol's can't be shared.
        if let Some(http2) = &self.pools.here().http2
            && !request.headers().contains_key(UPGRADE)
            && let Some(connection) = Box::pin(connection(http2, base)).await?
        {
            return Box::pin(ask_http2(http2, connection, base, request)).await;
        }
        self.ask_http1(base, request).await
    }

    async fn ask_http1(&self, base: &BaseUrl, mut request: Request<B>) -> Result<Answered, Error> {
        make_http1(&mut request);
        let http1 = &self.pools.here().http1;
        let (mut request, asked) = expecting(request);
        let mut retries = MAX_RETRIES;
        loop {
            let connection = http1.connection(base).await;
            let mut connection = connection.map_err(|error| Error::connecting(&*error))?;
            let may_repeat = connection.was_used && retries > 0;
            let next = may_repeat.then(|| again(&request)).flatten();
            let mut error = match connection.send(request).await {
                Ok(answer) => return Ok((answer, Held::new((connection, asked)))),
                Err(error) => error,
            };
            let unsent = error.take_message().filter(|_| may_repeat);
            let error = error.into_error();
            let next = next.filter(|_| error::was_hung_up_on(&error));
            request = unsent.or(next).ok_or_else(|| Error::asking(&error))?;
            retries -= 1;
        }
    }
}

/// A response, and what its body is to hold.
type Answered = (Response<Incoming>, Held);

/// Makes a request one of HTTP/1.1 (RFC 9112 §3.2.1).
fn make_http1<B: Body>(request: &mut Request<B>) {
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let target = target(request.uri()).clone();
    *request.uri_mut() = target.into();
    if request.headers().contains_key(TE) {
        // It would have to be named in `Connection` here.
        retain(request.headers_mut(), |name| *name != TE);
    }
    if is_of_unknown_length(request.headers(), request.body()) {
        // hyper would leave the body of a GET out.
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
}

/// What is wrong with a response's head that hyper takes.
fn problem(response: &Response<Incoming>, may_upgrade: bool) -> Option<&'static str> {
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
) -> Result<Answered, Error>
where
    B: Body<Data = Bytes> + Replay + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    make_http2(&mut request);
    let (mut request, _never_asked) = expecting(request);
    let broken = watch(&mut request);
    let mut retries = MAX_RETRIES;
    loop {
        let was_used = connection.link.is_marked();
        let replayed = replay(&request);
        let is_idempotent = request.method().is_idempotent();
        let mut error = match connection.sender.try_send_request(request).await {
            Ok(answer) => {
                connection.link.mark();
                return Ok((answer, Held::new(connection.link)));
            }
            Err(error) => error,
        };
        let unsent = error.take_message();
        let error = error.into_error();
        // HTTP/2 only resets the stream, and says no more of it.
        if broken.as_ref().is_some_and(|it| it.load(Ordering::Relaxed)) {
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

/// Whether only its end will tell how long a body is.
fn is_of_unknown_length<B: Body>(headers: &HeaderMap, body: &B) -> bool {
    !headers.contains_key(CONTENT_LENGTH)
        && !body.is_end_stream()
        && body.size_hint().exact().is_none()
}

/// The same request once more, if it may be sent twice.
fn again<B: Replay>(request: &Request<B>) -> Option<Request<B>> {
    request.method().is_idempotent().then(|| replay(request))?
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
