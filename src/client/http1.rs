//! HTTP/1.1 towards backends: connections that carry one request at a time, and wait for the next one in between.
//!
//! The one that was used last is used next, so that those a backend does not need any longer grow old, and are closed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tower_service::Service;
use tracing::debug;

use super::BoxError;
use super::connect::Connector;
use super::expect::Expected;
use crate::config::{BaseUrl, Pool};

/// Bytes of a response's head. A connection's buffer grows as large where a backend sends a lot at once, and
/// stays so, so that the default of 400 KiB would add up.
const MAX_HEAD: usize = 128 * 1024;

/// Headers that a response may have; hyper takes 100 if it is not told otherwise.
const MAX_HEADERS: usize = 1000;

/// Connections to backends that speak HTTP/1.1.
pub(super) struct Http1<B>(Arc<Shared<B>>);

struct Shared<B> {
    connector: Connector,
    pool: Pool,
    idle: Mutex<Idle<B>>,
}

/// Connections that wait for a request, by where they lead; those that were used last come last.
struct Idle<B> {
    connections: HashMap<Place, Vec<Waiting<B>>>,
    /// Requests that wait for one while theirs is made, by when they came.
    wanted: HashMap<Place, VecDeque<oneshot::Sender<Waiting<B>>>>,
    /// Whether a task closes those that have waited for too long.
    is_tended: bool,
}

/// Where a backend is.
type Place = (Scheme, Authority);

struct Waiting<B> {
    sender: SendRequest<Expected<B>>,
    was_used: bool,
    since: Instant,
}

/// A connection for one request. Dropped, it waits for the next one once it is done with this; before the response's
/// head has come, it ends.
pub(super) struct Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Whether it has carried a response. If one that has breaks off, it was most likely closed by the backend for
    /// being idle, and the request never seen.
    pub(super) was_used: bool,
    /// Whether no response's head is due. While one is, nobody knows when it will be ready for another request.
    is_clean: bool,
    /// Empty once it is dropped.
    sender: Option<SendRequest<Expected<B>>>,
    home: Weak<Shared<B>>,
    place: Place,
}

impl<B> fmt::Debug for Http1<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1").finish_non_exhaustive()
    }
}

impl<B> Http1<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(connector: Connector, pool: Pool) -> Self {
        Self(Arc::new(Shared {
            connector,
            pool,
            idle: Mutex::new(Idle {
                connections: HashMap::new(),
                wanted: HashMap::new(),
                is_tended: false,
            }),
        }))
    }

    /// A connection to this backend.
    pub(super) async fn connection(&self, base: &BaseUrl) -> Result<Connection<B>, BoxError> {
        let place = (base.scheme().clone(), base.authority().clone());
        loop {
            let waiting = match self.0.waiting(&place) {
                Some(waiting) => waiting,
                None => match Box::pin(self.connect_or_wait(base, &place)).await? {
                    Either::Left(made) => return Ok(made),
                    Either::Right(waiting) => waiting,
                },
            };
            let Waiting {
                mut sender,
                was_used,
                ..
            } = waiting;
            if !sender.is_ready() {
                // It has still to see that its response was read.
                yield_now().await;
            }
            if sender.is_ready() {
                return Ok(self.0.lend(sender, place, was_used));
            }
            let (home, place) = (self.0.clone(), place.clone());
            tokio::spawn(async move {
                // Something of the request is on its way still, or the rest of the response is thrown away.
                if sender.ready().await.is_ok() {
                    home.wait(sender, place, was_used);
                }
            });
        }
    }

    /// A new connection, or one that is free before it is made.
    async fn connect_or_wait(
        &self,
        base: &BaseUrl,
        place: &Place,
    ) -> Result<Either<Connection<B>, Waiting<B>>, BoxError> {
        let freed = self.0.queue(place);
        tokio::select! {
            made = self.connect(base, place.clone()) => made.map(Either::Left),
            Ok(freed) = freed => Ok(Either::Right(freed)),
        }
    }

    /// A new connection. It is made to the end, and waits for a request then, should nobody want it any longer.
    async fn connect(&self, base: &BaseUrl, place: Place) -> Result<Connection<B>, BoxError> {
        let root = base.join(&PathAndQuery::from_static("/"))?;
        let (made, connected) = oneshot::channel();
        let shared = self.0.clone();
        tokio::spawn(async move {
            // Unwanted, it is dropped, as it is after a request.
            let _unwanted = made.send(shared.connect(root, place).await);
        });
        // The task ends early with its thread only.
        connected.await?
    }
}

impl<B> Shared<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn idle(&self) -> MutexGuard<'_, Idle<B>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self: &Arc<Self>, root: Uri, place: Place) -> Result<Connection<B>, BoxError> {
        let stream = self.connector.clone().call(root).await?;
        let (sender, connection) = Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .preserve_header_case(true)
            .handshake(stream)
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "a connection to a backend ended");
            }
        });
        Ok(self.lend(sender, place, false))
    }

    fn lend(
        self: &Arc<Self>,
        sender: SendRequest<Expected<B>>,
        place: Place,
        was_used: bool,
    ) -> Connection<B> {
        Connection {
            was_used,
            is_clean: true,
            sender: Some(sender),
            home: Arc::downgrade(self),
            place,
        }
    }

    /// The connection there that was used last, if it was not too long ago.
    fn waiting(&self, place: &Place) -> Option<Waiting<B>> {
        let mut idle = self.idle();
        let waiting = idle.connections.get_mut(place)?;
        while let Some(last) = waiting.pop() {
            if last.since.elapsed() > self.pool.idle_timeout {
                // The others are older.
                waiting.clear();
            } else if !last.sender.is_closed() {
                return Some(last);
            }
        }
        None
    }

    /// Where the next connection arrives that could wait there, unless others were there before.
    fn queue(&self, place: &Place) -> oneshot::Receiver<Waiting<B>> {
        let (sender, freed) = oneshot::channel();
        let mut idle = self.idle();
        let queue = idle.wanted.entry(place.clone()).or_default();
        // Those that have theirs by now would add up.
        queue.retain(|sender| !sender.is_closed());
        queue.push_back(sender);
        freed
    }

    /// Has a connection wait for a request, unless one waits for it, or there are enough of them.
    fn wait(self: &Arc<Self>, sender: SendRequest<Expected<B>>, place: Place, was_used: bool) {
        let mut idle = self.idle();
        let mut it = Waiting {
            sender,
            was_used,
            since: Instant::now(),
        };
        if let Some(queue) = idle.wanted.get_mut(&place) {
            while let Some(first) = queue.pop_front() {
                match first.send(it) {
                    Ok(()) => return,
                    Err(unwanted) => it = unwanted,
                }
            }
            idle.wanted.remove(&place);
        }
        let waiting = idle.connections.entry(place).or_default();
        if waiting.len() < self.pool.max_idle {
            waiting.push(it);
            if !std::mem::replace(&mut idle.is_tended, true) {
                tokio::spawn(tend(Arc::downgrade(self), self.pool.idle_timeout));
            }
        }
    }
}

/// Closes connections that have waited for too long, or twice as long, until there are none.
async fn tend<B>(shared: Weak<Shared<B>>, limit: Duration) {
    loop {
        sleep(limit).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.retain(|_, waiting| {
            waiting.retain(|it| !it.sender.is_closed() && it.since.elapsed() <= limit);
            !waiting.is_empty()
        });
        if idle.connections.is_empty() {
            idle.is_tended = false;
            return;
        }
    }
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Sends a request, and waits for the response's head. The response's body is to be read or dropped before this is.
    pub(super) async fn send(
        &mut self,
        request: Request<Expected<B>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Expected<B>>>> {
        let sender = self.sender.as_mut();
        let sender = sender.expect("it is there until it is dropped");
        self.is_clean = false;
        let answer = sender.try_send_request(request).await;
        if answer.is_ok() {
            (self.is_clean, self.was_used) = (true, true);
        }
        answer
    }
}

impl<B> Drop for Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        if let Some((sender, home)) = self.sender.take().zip(self.home.upgrade())
            && self.is_clean
            && !sender.is_closed()
            // Where there is no runtime, all is over.
            && Handle::try_current().is_ok()
        {
            home.wait(sender, self.place.clone(), self.was_used);
        }
    }
}
