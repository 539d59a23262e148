//! HTTP/1.1 towards backends: connections that carry one request at a time, and wait for the next one in between.
//!
//! The one that was used last is used next, so that those a backend does not need any longer grow old, and are closed.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::uri::PathAndQuery;
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

use super::connect::Connector;
use super::error::{Error, was_hung_up_on};
use super::expect::Expected;
use super::origins::Origins;
use super::{BoxError, Replay, replay};
use crate::config::{BaseUrl, Pool};

/// Bytes of a response's head. A connection's buffer grows as large where a backend sends a lot at once, and
/// stays so, so that the default of 400 KiB would add up.
const MAX_HEAD: usize = 128 * 1024;

/// Headers that a response may have; hyper takes 100 if it is not told otherwise.
const MAX_HEADERS: usize = 1000;

/// Connections to backends that speak HTTP/1.1.
pub(super) struct Http1<B> {
    parts: Arc<Parts>,
    backends: Origins<Backend<B>>,
}

/// What is the same for all backends.
struct Parts {
    connector: Connector,
    pool: Pool,
}

/// A backend, and the connections to it.
pub(super) struct Backend<B> {
    parts: Arc<Parts>,
    idle: Mutex<Idle<B>>,
}

struct Idle<B> {
    /// Connections that wait for a request; those that were used last come last.
    connections: Vec<Waiting<B>>,
    /// Requests that wait for one while theirs is made, by when they came.
    wanted: VecDeque<oneshot::Sender<Waiting<B>>>,
    /// Whether a task closes those that have waited for too long.
    is_tended: bool,
}

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
    was_used: bool,
    /// Whether no response's head is due. While one is, nobody knows when it will be ready for another request.
    is_clean: bool,
    /// Empty once it is dropped.
    sender: Option<SendRequest<Expected<B>>>,
    home: Arc<Backend<B>>,
}

/// A request that was sent. Futures hold it, of which each copies what it is given, so that it is small.
pub(super) struct Sent<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    answer: Pin<Box<dyn Future<Output = Answer<B>> + Send>>,
    connection: Connection<B>,
    /// Whether it may be sent again.
    may_repeat: bool,
    /// The same request once more, where that can't be had of hyper.
    again: Option<Box<Request<Expected<B>>>>,
}

/// What hyper says to a request.
type Answer<B> = Result<Response<Incoming>, TrySendError<Request<Expected<B>>>>;

/// That there is no response to a request.
pub(super) enum Unanswered<B> {
    /// Most likely the backend has not seen it. It is to be sent on another connection.
    Unseen(Box<Request<Expected<B>>>),
    /// It may have seen it.
    Failed(Error),
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
        Self {
            parts: Arc::new(Parts { connector, pool }),
            backends: Origins::default(),
        }
    }

    /// This backend.
    pub(super) fn backend(&self, base: &BaseUrl) -> Arc<Backend<B>> {
        self.backends.of(base, || Backend {
            parts: self.parts.clone(),
            idle: Mutex::new(Idle {
                connections: Vec::new(),
                wanted: VecDeque::new(),
                is_tended: false,
            }),
        })
    }
}

impl<B> Backend<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A connection to it, `base`.
    pub(super) async fn connection(
        self: &Arc<Self>,
        base: &BaseUrl,
    ) -> Result<Connection<B>, BoxError> {
        loop {
            if let Some(ready) = self.ready() {
                return Ok(ready);
            }
            let waiting = match self.waiting() {
                Some(waiting) => waiting,
                None => match self.connect_or_wait(base).await? {
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
                return Ok(self.lend(sender, was_used));
            }
            let home = self.clone();
            tokio::spawn(async move {
                // Something of the request is on its way still, or the rest of the response is thrown away.
                if sender.ready().await.is_ok() {
                    home.wait(sender, was_used);
                }
            });
        }
    }

    /// The connection that can carry a request at once, and was used last of those.
    pub(super) fn ready(self: &Arc<Self>) -> Option<Connection<B>> {
        let connections = &mut self.idle().connections;
        for place in (0..connections.len()).rev() {
            let it = &connections[place];
            if it.since.elapsed() > self.parts.pool.idle_timeout {
                // The others are older.
                connections.drain(..=place);
                return None;
            }
            if it.sender.is_closed() {
                connections.remove(place);
            } else if it.sender.is_ready() {
                let Waiting {
                    sender, was_used, ..
                } = connections.remove(place);
                return Some(self.lend(sender, was_used));
            }
        }
        None
    }

    /// The connection that was used last.
    fn waiting(&self) -> Option<Waiting<B>> {
        self.idle().connections.pop()
    }

    /// A new connection, or one that is free before it is made.
    async fn connect_or_wait(
        self: &Arc<Self>,
        base: &BaseUrl,
    ) -> Result<Either<Connection<B>, Waiting<B>>, BoxError> {
        let freed = self.queue();
        tokio::select! {
            made = self.connect(base) => made.map(Either::Left),
            Ok(freed) = freed => Ok(Either::Right(freed)),
        }
    }

    /// A new connection. It is made to the end, and waits for a request then, should nobody want it any longer.
    async fn connect(self: &Arc<Self>, base: &BaseUrl) -> Result<Connection<B>, BoxError> {
        let root = base.join(&PathAndQuery::from_static("/"))?;
        let (made, connected) = oneshot::channel();
        let home = self.clone();
        tokio::spawn(async move {
            // Unwanted, it is dropped, as it is after a request.
            let _unwanted = made.send(home.make(root).await);
        });
        // The task ends early with its thread only.
        connected.await?
    }

    async fn make(self: &Arc<Self>, root: Uri) -> Result<Connection<B>, BoxError> {
        let stream = self.parts.connector.clone().call(root).await?;
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
        Ok(self.lend(sender, false))
    }

    fn lend(self: &Arc<Self>, sender: SendRequest<Expected<B>>, was_used: bool) -> Connection<B> {
        Connection {
            was_used,
            is_clean: true,
            sender: Some(sender),
            home: self.clone(),
        }
    }

    /// Where the next connection arrives that could wait, unless others were there before.
    fn queue(&self) -> oneshot::Receiver<Waiting<B>> {
        let (sender, freed) = oneshot::channel();
        let mut idle = self.idle();
        // Those that have theirs by now would add up.
        idle.wanted.retain(|sender| !sender.is_closed());
        idle.wanted.push_back(sender);
        freed
    }

    /// Has a connection wait for a request, unless one waits for it, or there are enough of them.
    fn wait(self: &Arc<Self>, sender: SendRequest<Expected<B>>, was_used: bool) {
        let mut idle = self.idle();
        let mut it = Waiting {
            sender,
            was_used,
            since: Instant::now(),
        };
        while let Some(first) = idle.wanted.pop_front() {
            match first.send(it) {
                Ok(()) => return,
                Err(unwanted) => it = unwanted,
            }
        }
        let max_idle = self.parts.pool.max_idle;
        if idle.connections.len() >= max_idle {
            idle.connections.retain(|it| !it.sender.is_closed());
        }
        if idle.connections.len() >= max_idle {
            return;
        }
        idle.connections.push(it);
        if !idle.is_tended
            // Where there is no runtime, all is over.
            && let Ok(runtime) = Handle::try_current()
        {
            idle.is_tended = true;
            runtime.spawn(tend(Arc::downgrade(self), self.parts.pool.idle_timeout));
        }
    }
}

impl<B> Backend<B> {
    fn idle(&self) -> MutexGuard<'_, Idle<B>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that have waited for too long, or twice as long, until there are none.
async fn tend<B>(backend: Weak<Backend<B>>, limit: Duration) {
    loop {
        sleep(limit).await;
        let Some(backend) = backend.upgrade() else {
            return;
        };
        let mut idle = backend.idle();
        let is_old = |it: &Waiting<B>| it.sender.is_closed() || it.since.elapsed() > limit;
        idle.connections.retain(|it| !is_old(it));
        if idle.connections.is_empty() {
            idle.is_tended = false;
            return;
        }
    }
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Replay + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Sends a request, which is on its way when this returns. If it may be tried again, all is kept for that which
    /// is safe.
    pub(super) fn send(mut self, request: Request<Expected<B>>, may_retry: bool) -> Sent<B> {
        let may_repeat = may_retry && self.was_used;
        let again = may_repeat.then(|| again(&request)).flatten();
        self.is_clean = false;
        let sender = self.sender.as_mut();
        let sender = sender.expect("it is there until it is dropped");
        Sent {
            answer: Box::pin(sender.try_send_request(request)),
            connection: self,
            may_repeat,
            again,
        }
    }
}

impl<B> Sent<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// The response's head, and the connection, which is to be dropped after the response's body.
    pub(super) async fn answer(
        mut self,
    ) -> Result<(Response<Incoming>, Connection<B>), Unanswered<B>> {
        let mut error = match self.answer.await {
            Ok(response) => {
                (self.connection.is_clean, self.connection.was_used) = (true, true);
                return Ok((response, self.connection));
            }
            Err(error) => error,
        };
        let unsent = error
            .take_message()
            .filter(|_| self.may_repeat)
            .map(Box::new);
        let error = error.into_error();
        let again = self.again.filter(|_| was_hung_up_on(&error));
        Err(match unsent.or(again) {
            Some(request) => Unanswered::Unseen(request),
            None => Unanswered::Failed(Error::asking(&error)),
        })
    }
}

impl<B> Drop for Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        if self.is_clean
            && let Some(sender) = self.sender.take()
            && !sender.is_closed()
        {
            self.home.wait(sender, self.was_used);
        }
    }
}

/// The same request once more, if it may be sent twice.
fn again<B: Replay>(request: &Request<B>) -> Option<Box<Request<B>>> {
    let is_idempotent = request.method().is_idempotent();
    is_idempotent.then(|| replay(request))?.map(Box::new)
}
