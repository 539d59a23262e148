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
//! - `origins`: one of something for each backend
//! - `resolve`: names to addresses
//! - `timed`: a response's body with a limit of time
//! - `unmeasured`: bodies whose size only their headers tell

mod connect;
mod error;
mod expect;
mod headers;
mod http1;
mod http2;
mod origins;
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
use tokio::sync::oneshot;
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
use expect::{Expecting, expecting, watch};
use headers::retain;
use http1::{Http1, Sent, Unanswered};
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
        mut head: request::Parts,
        body: B,
    ) -> impl Future<Output = Result<Response<Timed>, Error>> + Send + use<'c, B> {
        let started = Instant::now();
        let value = HeaderValue::from_static(role.name());
        head.headers.insert(&ROLE_HEADER, value);
        let may_upgrade = head.headers.contains_key(UPGRADE);
        let begun = self.begin(base, Request::from_parts(head, body));
        async move {
            let asking = pin!(async {
                match begun? {
                    Begun::Sent(sent, asked) => self.answer(base, sent, asked).await,
                    Begun::Waits(request) => Box::pin(self.ask(base, *request)).await,
                }
            });
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
    }

    /// Sends a request on a connection of HTTP/1.1 that is idle, unless there is none, or the backend may be one of
    /// HTTP/2.
    fn begin(&self, base: &BaseUrl, mut request: Request<B>) -> Result<Begun<B>, Error> {
        let pools = self.pools.here();
        let may_be_http1 = pools.http2.is_none() || request.headers().contains_key(UPGRADE);
        let idle = may_be_http1.then(|| pools.http1.backend(base).ready());
        let Some(connection) = idle.flatten() else {
            return Ok(Begun::Waits(Box::new(request)));
        };
        make_http1(&mut request, base)?;
        let (request, asked) = expecting(request);
        Ok(Begun::Sent(connection.send(request, true), asked))
    }

    /// The answer to a request that was sent first of all.
    async fn answer(
        &self,
        base: &BaseUrl,
        sent: Sent<B>,
        asked: Option<oneshot::Sender<()>>,
    ) -> Result<Answered, Error> {
        match sent.answer().await {
            Ok((response, connection)) => Ok((response, Held::new((connection, asked)))),
            Err(Unanswered::Unseen(request)) => {
                let retries = MAX_RETRIES - 1;
                Box::pin(self.try_http1(base, (*request, asked), retries)).await
            }
            Err(Unanswered::Failed(error)) => Err(error),
        }
    }

    async fn ask(&self, base: &BaseUrl, mut request: Request<B>) -> Result<Answered, Error> {
        // A connection that is to become another protocol's can't be shared.
        if let Some(http2) = &self.pools.here().http2
            && !request.headers().contains_key(UPGRADE)
            && let Some(connection) = connection(http2, base).await?
        {
            return ask_http2(http2, connection, base, request).await;
        }
        make_http1(&mut request, base)?;
        self.try_http1(base, expecting(request), MAX_RETRIES).await
    }

    async fn try_http1(
        &self,
        base: &BaseUrl,
        (mut request, asked): Expecting<B>,
        mut retries: u32,
    ) -> Result<Answered, Error> {
        let backend = self.pools.here().http1.backend(base);
        loop {
            let connection = backend.connection(base).await;
            let connection = connection.map_err(|error| Error::connecting(&*error))?;
            match connection.send(request, retries > 0).answer().await {
                Ok((response, connection)) => {
                    return Ok((response, Held::new((connection, asked))));
                }
                Err(Unanswered::Unseen(again)) => request = *again,
                Err(Unanswered::Failed(error)) => return Err(error),
            }
            retries -= 1;
        }
    }
}

/// A request, on its way or not.
enum Begun<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// It is on its way. Also what its answer's body is to hold.
    Sent(Sent<B>, Option<oneshot::Sender<()>>),
    /// It is for a connection that is to be waited for.
    Waits(Box<Request<B>>),
}

/// A response, and what its body is to hold.
type Answered = (Response<Incoming>, Held);

/// Makes a request one of HTTP/1.1 (RFC 9112 §3.2.1).
fn make_http1<B: Body>(request: &mut Request<B>, base: &BaseUrl) -> Result<(), Error> {
    *request.version_mut() = Version::HTTP_11;
    if !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(base.authority().as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let target = base.target(target(request.uri()));
    *request.uri_mut() = target.map_err(|error| Error::uri(&error))?.into();
    if request.headers().contains_key(TE) {
        // It would have to be named in `Connection` here.
        retain(request.headers_mut(), |name| *name != TE);
    }
    if is_of_unknown_length(request.headers(), request.body()) {
        // hyper would leave the body of a GET out.
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    Ok(())
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
    make_http2(&mut request, base)?;
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
