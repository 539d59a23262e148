//! One client's connection: whom it is from, whether it is in use, and when it has been open for nothing.
//!
//! A connection is *fresh* before its first byte, *receiving* while part of a head is there, *busy* from a
//! request's head to the last byte of it and of its response (or to the end of what it was upgraded to), and
//! *quiet* otherwise. All but busy are limited in time: what happens then is up to the client and the reference.
//!
//! A task beside the connection looks at it now and then, so that requests need no timers.

mod noted;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub(super) use self::noted::{Noted, Socket};
use super::counted::Counted;
use crate::threads::Seat;

/// How long a quiet connection stays open when miffy stops: a request may be on its way.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// How long a client of HTTP/2 that was told to end its connection may take to do so.
const FAREWELL: Duration = Duration::from_secs(5);

/// It has just become what it is: whoever looks next will see since when, so that requests need no clock for it.
const SINCE_NOW: u64 = u64::MAX;

/// A client's connection, shared by all that happens on it, and open as long as anything does.
#[derive(Debug)]
pub(super) struct ClientConnection {
    /// Where the client is.
    pub(super) peer: IpAddr,
    /// Whether it came over TLS.
    pub(super) is_tls: bool,
    opened: Instant,
    busy: AtomicUsize,
    /// Whether a byte has come.
    is_begun: AtomicBool,
    /// Whether part of a head is there.
    is_receiving: AtomicBool,
    /// Whether bytes wait for the client to read on.
    is_blocked: AtomicBool,
    is_http2: AtomicBool,
    /// Whether it is to carry no further request.
    is_ending: AtomicBool,
    /// Whether its requests know no chunks.
    is_http10: AtomicBool,
    /// Whether a response broke off in a way that only its end can tell.
    is_cut: AtomicBool,
    /// When it last became quiet or receiving, in milliseconds since it was opened; or [`SINCE_NOW`].
    since: AtomicU64,
    _held: Held,
}

/// What a connection holds until its end: its count, its share of a stop, and its permit where those are
/// limited.
pub(super) type Held = (
    Counted,
    TaskTrackerToken,
    Option<OwnedSemaphorePermit>,
    Seat,
);

/// How long a connection may be what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Fresh or receiving.
    pub(super) head: Duration,
    /// Quiet; `None` for no limit.
    pub(super) quiet: Option<Duration>,
}

impl Patience {
    fn of(limit: Duration) -> Self {
        Self {
            head: limit,
            quiet: Some(limit),
        }
    }
}

/// What is to be done with a connection that has been something for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Let it end in order.
    Close,
    /// End it.
    Drop,
}

impl ClientConnection {
    /// A connection that was just opened; its first head is due.
    pub(super) fn new(peer: IpAddr, is_tls: bool, held: Held) -> Arc<Self> {
        Arc::new(Self {
            peer,
            is_tls,
            opened: Instant::now(),
            busy: AtomicUsize::new(0),
            is_begun: AtomicBool::new(false),
            is_receiving: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            is_http10: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            since: AtomicU64::new(0),
            _held: held,
        })
    }

    /// Keeps it busy as long as the guard is there.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.is_receiving.store(false, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Notes the version of its requests.
    pub(super) fn speaks(&self, version: Version) {
        match version {
            Version::HTTP_2 => self.is_http2.store(true, Ordering::Relaxed),
            Version::HTTP_10 => self.is_http10.store(true, Ordering::Relaxed),
            _ => {}
        }
    }

    /// A response broke off. Its client may know that by the framing; one of HTTP/1.0 takes the end of the
    /// connection for the response's (RFC 9112 §8), unless it is a reset.
    pub(super) fn cut(&self) {
        let is_hidden = self.is_http10.load(Ordering::Relaxed);
        self.is_cut.store(is_hidden, Ordering::Relaxed);
    }

    /// Has it carry no further request.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Relaxed)
    }

    /// Ends when it has been something for too long, or a quarter longer.
    async fn overdue(&self, patience: Patience) -> Order {
        let shortest = patience.quiet.unwrap_or(patience.head).min(patience.head);
        loop {
            if let Some(order) = self.is_overdue(patience) {
                return order;
            }
            sleep(shortest / 8).await;
        }
    }

    /// Ends as soon as it can be closed without doing wrong to a request, for a server that stops.
    async fn unused(&self, patience: Patience) -> Order {
        if self.is_http2() {
            // It can say which requests it will still serve (RFC 9113 §6.8).
            return Order::Close;
        }
        loop {
            if let Some(order) = self.is_overdue(self.last_chance(patience)) {
                return order;
            }
            sleep(LAST_CHANCE / 4).await;
        }
    }

    /// Ends when a connection that was told to end has not, though nothing holds it up. One of HTTP/1.1 is
    /// ended from here.
    pub(super) async fn stays(&self) {
        if !self.is_http2() {
            std::future::pending::<()>().await;
        }
        self.mark();
        while self.is_overdue(Patience::of(FAREWELL)).is_none() {
            sleep(FAREWELL / 8).await;
        }
    }

    /// What remains of patience when miffy stops.
    fn last_chance(&self, patience: Patience) -> Patience {
        if self.is_begun() {
            let quiet = Some(LAST_CHANCE);
            Patience { quiet, ..patience }
        } else {
            Patience::of(LAST_CHANCE)
        }
    }

    fn is_overdue(&self, patience: Patience) -> Option<Order> {
        let (limit, order) = self.limit(patience)?;
        (self.lasted() >= limit).then_some(order)
    }

    /// How long it may be what it is, if that is limited, and what is to be done after that.
    fn limit(&self, patience: Patience) -> Option<(Duration, Order)> {
        if self.is_in_use() {
            None
        } else if self.is_head_due() {
            Some((patience.head, Order::Drop))
        } else {
            Some((patience.quiet?, Order::Close))
        }
    }

    fn is_in_use(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0 || self.is_blocked.load(Ordering::Relaxed)
    }

    /// Whether it is fresh or receiving.
    fn is_head_due(&self) -> bool {
        // In HTTP/2 there is traffic that belongs to no request.
        !self.is_begun() || self.is_receiving.load(Ordering::Relaxed) && !self.is_http2()
    }

    /// How long it has been what it is.
    fn lasted(&self) -> Duration {
        let open = self.opened.elapsed();
        let now = u64::try_from(open.as_millis()).unwrap_or(SINCE_NOW - 1);
        let fresh =
            self.since
                .compare_exchange(SINCE_NOW, now, Ordering::Relaxed, Ordering::Relaxed);
        let since = fresh.map_or_else(|since| since, |_| now);
        open.saturating_sub(Duration::from_millis(since))
    }

    /// Bytes came.
    fn came(&self) {
        self.is_begun.store(true, Ordering::Relaxed);
    }

    /// Part of a head is there.
    pub(super) fn receives(&self) {
        if !self.is_receiving.swap(true, Ordering::Relaxed) {
            self.mark();
        }
    }

    /// Bytes were written, or have to wait.
    fn wrote<T>(&self, written: Poll<T>) -> Poll<T> {
        if self.is_blocked.load(Ordering::Relaxed) != written.is_pending() {
            self.mark();
            self.is_blocked
                .store(written.is_pending(), Ordering::Relaxed);
        }
        written
    }

    fn mark(&self) {
        self.since.store(SINCE_NOW, Ordering::Relaxed);
    }
}

/// Looks at a connection until something is to be done with it, and gives the order; or until nobody waits for
/// that. A connection's own task would look each time that anything happens.
pub(super) async fn watch(
    connection: Arc<ClientConnection>,
    patience: Patience,
    closing: CancellationToken,
    mut orders: oneshot::Sender<Order>,
) {
    let overdue = async {
        tokio::select! {
            order = connection.overdue(patience) => order,
            () = closing.cancelled() => connection.unused(patience).await,
        }
    };
    tokio::select! {
        () = orders.closed() => {}
        order = overdue => {
            let _ended_meanwhile = orders.send(order);
        }
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
        self.0.busy.fetch_sub(1, Ordering::Release);
    }
}

/// A request's body, which keeps its connection busy until its end.
#[derive(Debug)]
pub(super) struct Received<B> {
    inner: B,
    busy: Option<Busy>,
}

impl<B> Received<B> {
    pub(super) fn new(inner: B, connection: &Arc<ClientConnection>) -> Self {
        let busy = Some(connection.begin());
        Self { inner, busy }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Received<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream() {
            self.busy = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
