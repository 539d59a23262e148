//! One client's connection: whom it is from, whether it is in use, and when it has been open for nothing.
//!
//! A connection is *busy* from a request's head to its response's last byte (or to the end of what it was
//! upgraded to), *receiving* while part of a head is there, and *quiet* otherwise. Only the last two are
//! limited in time; what happens while it is busy is up to the client and the reference.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::counted::Counted;

/// How long a quiet connection stays open when miffy stops: a request may be on its way.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// A client's connection, shared by all that happens on it, and open as long as anything does.
#[derive(Debug)]
pub(super) struct ClientConnection {
    /// Where the client is.
    pub(super) peer: IpAddr,
    /// Whether it came over TLS.
    pub(super) is_tls: bool,
    opened: Instant,
    busy: AtomicUsize,
    /// Whether part of a head is there.
    receiving: AtomicBool,
    is_http2: AtomicBool,
    /// When it last became quiet or receiving, in milliseconds since it was opened.
    since: AtomicU64,
    _held: Held,
}

/// What a connection holds until its end: its count, its share of a stop, and its permit where those are
/// limited.
pub(super) type Held = (Counted, TaskTrackerToken, Option<OwnedSemaphorePermit>);

/// How long a connection may be what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) receiving: Duration,
    pub(super) quiet: Option<Duration>,
}

impl Patience {
    /// That of a server that is stopping.
    pub(super) fn last(self) -> Self {
        Self {
            quiet: Some(LAST_CHANCE),
            ..self
        }
    }
}

/// What a connection has been for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Receiving,
    Quiet,
}

impl ClientConnection {
    /// A connection that was just opened; its first head is due.
    pub(super) fn new(peer: IpAddr, is_tls: bool, held: Held) -> Arc<Self> {
        Arc::new(Self {
            peer,
            is_tls,
            opened: Instant::now(),
            busy: AtomicUsize::new(0),
            receiving: AtomicBool::new(true),
            is_http2: AtomicBool::new(false),
            since: AtomicU64::new(0),
            _held: held,
        })
    }

    /// Keeps it busy as long as the guard is there.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.receiving.store(false, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Notes the version of its requests.
    pub(super) fn speaks(&self, version: Version) {
        if version == Version::HTTP_2 {
            self.is_http2.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Ends when it has been receiving or quiet for longer than that, or a quarter longer.
    pub(super) async fn overdue(&self, patience: Patience) -> Overdue {
        let look_every = patience.quiet.unwrap_or(patience.receiving);
        let look_every = look_every.min(patience.receiving) / 4;
        loop {
            if let Some(overdue) = self.is_overdue(patience) {
                return overdue;
            }
            sleep(look_every).await;
        }
    }

    fn is_overdue(&self, patience: Patience) -> Option<Overdue> {
        if self.busy.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        let lasted = self.opened.elapsed().saturating_sub(since);
        // In HTTP/2 there is traffic that belongs to no request.
        let (limit, overdue) = if self.receiving.load(Ordering::Relaxed) && !self.is_http2() {
            (Some(patience.receiving), Overdue::Receiving)
        } else {
            (patience.quiet, Overdue::Quiet)
        };
        limit
            .is_some_and(|limit| lasted >= limit)
            .then_some(overdue)
    }

    /// Bytes came.
    fn received(&self) {
        if self.busy.load(Ordering::Relaxed) == 0 && !self.receiving.swap(true, Ordering::Relaxed) {
            self.mark();
        }
    }

    fn mark(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(now, Ordering::Relaxed);
    }
}

/// Keeps a connection busy.
#[derive(Debug)]
pub(super) struct Busy(Arc<ClientConnection>);

impl Busy {
    pub(super) fn connection(&self) -> &ClientConnection {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.mark();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's bytes, whose arrival is noted.
#[derive(Debug)]
pub(super) struct Noted<IO> {
    pub(super) io: IO,
    pub(super) connection: Arc<ClientConnection>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Noted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.received();
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Noted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }
}
