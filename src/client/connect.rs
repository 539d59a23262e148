//! Connections to backends: TCP, TLS where the URL says https, and a limit on the time both take.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::resolve::Resolver;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a connection may be silent before the system asks whether its other end is still there; it has
/// as long again to say so. Nobody else would notice a backend that vanished. (PING would do for HTTP/2,
/// but servers of gRPC take it for abuse.)
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Opens connections, each within a limit of time.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector<Resolver>>,
    limit: Duration,
}

/// The limit was up before the connection was ready for a request.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {}", humantime::format_duration(*.0))]
pub(super) struct ConnectTimedOut(Duration);

impl Connector {
    /// Opens connections for `versions` of HTTP, those to https URLs as `tls` says.
    pub(super) fn new(limit: Duration, tls: ClientConfig, versions: Versions) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver::new());
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE / 4));
        http.set_keepalive_retries(Some(4));
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http();
        let inner = match versions {
            Versions::Http1 => builder.enable_http1().wrap_connector(http),
            Versions::Http2 => builder.enable_http2().wrap_connector(http),
            Versions::Both => builder.enable_all_versions().wrap_connector(http),
        };
        Self { inner, limit }
    }
}

/// Which HTTP is offered to a backend over TLS (ALPN, RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Http1,
    Http2,
    Both,
}

impl Service<Uri> for Connector {
    type Response = BackendStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<BackendStream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            let stream = timeout(limit, connecting)
                .await
                .map_err(|_elapsed| ConnectTimedOut(limit))??;
            Ok(BackendStream::from(stream))
        })
    }
}

/// Reads from a backend that has more each time, before it is another's turn.
const TURN: u8 = 2;

/// A connection that does not let a backend keep a thread to itself, and that lets one answer and hang up before
/// it was told everything.
///
/// Whoever reads goes on as long as there is anything to read that needs nobody to take it, such as responses
/// before the final one (RFC 9110 §15.2), or a body that nobody else waits for. A backend that sends without end would have
/// its thread for as long as it likes.
///
/// A backend may refuse an upload by its head, and close. Writing on then fails, while its answer is
/// there to be read (RFC 9112 §9.6). So what can't be written any more counts as written: reading tells how it ends.
#[derive(Debug)]
pub(super) struct BackendStream {
    inner: Transport,
    is_http2: bool,
    /// Reads since others had their turn.
    reads: u8,
    is_deaf: bool,
}

/// What carries the bytes.
#[derive(Debug)]
enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TokioIo<TokioIo<TcpStream>>>>),
}

impl From<MaybeHttpsStream<TokioIo<TcpStream>>> for BackendStream {
    fn from(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self {
            is_http2: stream.connected().is_negotiated_h2(),
            inner: match stream {
                MaybeHttpsStream::Http(tcp) => Transport::Tcp(tcp.into_inner()),
                MaybeHttpsStream::Https(tls) => Transport::Tls(Box::new(tls.into_inner())),
            },
            reads: 0,
            is_deaf: false,
        }
    }
}

impl BackendStream {
    /// Whether it agreed to HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Something else has its turn: reads count from here.
    pub(super) fn take_turn(&mut self) {
        self.reads = 0;
    }

    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if has_hung_up(&error) => {
                self.is_deaf = true;
                Poll::Ready(Ok(length))
            }
            written => written,
        }
    }
}

/// Whether something failed because the other side has closed its connection.
pub(super) fn has_hung_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        // The last one without the farewell of TLS.
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
    )
}

impl AsyncRead for BackendStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads == TURN {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = match &mut self.inner {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        };
        self.reads = if read.is_ready() { self.reads + 1 } else { 0 };
        read
    }
}

impl AsyncWrite for BackendStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = match &mut self.inner {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        };
        self.written(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TCP keeps nothing back.
        let Transport::Tls(tls) = &mut self.inner else {
            return Poll::Ready(Ok(()));
        };
        match Pin::new(tls).poll_flush(cx) {
            Poll::Ready(Err(error)) if self.is_deaf || has_hung_up(&error) => Poll::Ready(Ok(())),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Transport::Tcp(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.is_deaf {
            return Poll::Ready(Ok(length));
        }
        let written = match &mut self.inner {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Transport::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        };
        self.written(written, length)
    }
}
