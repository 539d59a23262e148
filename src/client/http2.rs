//! HTTP/2 towards backends: connections to each that are shared by all requests (RFC 9113 §9.1), one unless
//! more run at a time than a backend takes on it.
//!
//! A pool by host name would not do: the authority that is asked for is the client's, and anybody could
//! make up as many of them as they like.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Request, Uri, Version};
use http_body::Body;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use super::connect::Connector;
use super::error::Error;
use super::origins::Origins;
use super::watched::Watched;
use super::{BoxError, target};
use crate::config::{BaseUrl, Pool, Protocol};
use crate::http1::retain;

/// Bytes of a response that may be on their way, or wait for its client to read on.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// Of all responses together. With less, a few clients that don't read would stop all the others, which
/// share the connection with them.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Bytes of a response's head, as in HTTP/1.1.
const MAX_HEAD: u32 = 128 * 1024;

/// Why there is no connection; shared by all requests that waited for it.
pub(super) type NotConnected = Arc<dyn StdError + Send + Sync>;

/// Connections to backends that speak HTTP/2.
pub(super) struct Http2<B> {
    connector: Connector,
    protocol: Protocol,
    idle_timeout: Duration,
    backends: Origins<Backend<B>>,
}

impl<B> fmt::Debug for Http2<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").finish_non_exhaustive()
    }
}

impl<B> Http2<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(connector: Connector, protocol: Protocol, pool: Pool) -> Self {
        Self {
            connector,
            protocol,
            idle_timeout: pool.idle_timeout,
            backends: Origins::default(),
        }
    }

    /// A connection to this backend; `None` if it is to be asked in HTTP/1.1.
    pub(super) async fn connection(
        &self,
        base: &BaseUrl,
    ) -> Result<Option<Stream<B>>, NotConnected> {
        if self.protocol == Protocol::Auto && !base.is_https() {
            return Ok(None);
        }
        let asked = Instant::now();
        let backend = self.backends.of(base, Backend::default);
        let mut backend = backend.lock().await;
        if backend.speaks_http1 {
            return Ok(None);
        }
        if let Some(connection) = backend.connection(self.idle_timeout) {
            return Ok(Some(connection));
        }
        match &backend.failed {
            // While this request waited for its turn to try.
            Some((at, error)) if *at >= asked => Err(error.clone()),
            _ => self.connect(base, &mut backend).await.map_err(|error| {
                let error: NotConnected = error.into();
                backend.failed = Some((Instant::now(), error.clone()));
                error
            }),
        }
    }

    async fn connect(
        &self,
        base: &BaseUrl,
        backend: &mut State<B>,
    ) -> Result<Option<Stream<B>>, BoxError> {
        let root = base.join(&http::uri::PathAndQuery::from_static("/"))?;
        let stream = self.connector.clone().call(root).await?;
        if base.is_https() && !stream.is_http2() {
            if self.protocol == Protocol::Http2 {
                return Err("the backend does not agree to HTTP/2".into());
            }
            backend.speaks_http1 = true;
            return Ok(None);
        }
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        let link = Arc::new(Link::default());
        link.carries(connection.current_max_send_streams());
        tokio::spawn({
            let link = link.clone();
            let mut connection = Box::pin(connection);
            async move {
                let ended = poll_fn(|cx| {
                    let ended = connection.as_mut().poll(cx);
                    link.carries(connection.current_max_send_streams());
                    ended
                });
                if let Err(error) = ended.await {
                    debug!(%error, "a connection to a backend ended");
                }
            }
        });
        let used = Instant::now();
        backend.open.push(Open { sender, link, used });
        Ok(backend.connection(self.idle_timeout))
    }
}

type Backend<B> = Mutex<State<B>>;

/// What is known of a backend. Its lock is held while a connection is made, so that there are no more of
/// them than are needed.
struct State<B> {
    /// As many as it takes: each carries only so many requests at a time.
    open: Vec<Open<B>>,
    /// When and why there was none last.
    failed: Option<(Instant, NotConnected)>,
    /// It chose HTTP/1.1 when it was asked.
    speaks_http1: bool,
}

impl<B> Default for State<B> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            failed: None,
            speaks_http1: false,
        }
    }
}

impl<B> State<B> {
    /// An open connection with room for a request, unless it was idle for too long.
    fn connection(&mut self, idle_timeout: Duration) -> Option<Stream<B>> {
        self.open
            .retain(|open| !open.sender.is_closed() && open.used.elapsed() <= idle_timeout);
        let open = self.open.iter_mut().find(|open| open.has_room())?;
        open.used = Instant::now();
        Some(Stream {
            sender: open.sender.clone(),
            link: open.link.clone(),
        })
    }
}

/// A connection.
struct Open<B> {
    sender: SendRequest<Watched<B>>,
    link: Arc<Link>,
    /// When it was last used.
    used: Instant,
}

impl<B> Open<B> {
    /// Whether the backend lets another request run on it.
    fn has_room(&self) -> bool {
        // All but this one and that of the connection's task are requests'.
        let running = Arc::strong_count(&self.link).saturating_sub(2);
        running < self.link.streams.load(Ordering::Relaxed)
    }
}

/// What is known of a connection. Each request on it holds it until its response is over.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Requests that it carries at a time.
    streams: AtomicUsize,
    /// Whether it has carried a response.
    used: AtomicBool,
}

impl Link {
    fn carries(&self, streams: usize) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    /// Marks that it carried a response.
    pub(super) fn mark(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Whether it had carried one.
    pub(super) fn is_marked(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

/// Room for one request on a connection.
pub(super) struct Stream<B> {
    pub(super) sender: SendRequest<Watched<B>>,
    pub(super) link: Arc<Link>,
}

/// Makes a request one of HTTP/2: the host that the client asked for is its authority (RFC 9113 §8.3.1).
pub(super) fn make_http2<B>(request: &mut Request<B>, base: &BaseUrl) -> Result<(), Error> {
    let uri = base.join(target(request.uri()));
    *request.uri_mut() = uri.map_err(|error| Error::uri(&error))?;
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    let Some(Ok(host)) = host.map(Authority::try_from) else {
        return Ok(());
    };
    let mut parts = request.uri().clone().into_parts();
    parts.authority = Some(host);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        retain(request.headers_mut(), |name| *name != HOST);
    }
    Ok(())
}
