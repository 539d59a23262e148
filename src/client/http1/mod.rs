//! HTTP/1.1 towards backends: connections that carry one request at a time, and wait for the next one in between.
//!
//! The one that was used last is used next, so that those a backend does not need any longer grow old, and are closed.
//! No task belongs to a connection: whoever waits for an answer sends the request meanwhile, and reads the answer.
//!
//! # Layout
//!
//! - `body`: a response's body
//! - `exchange`: a request on its way, until its response's head is there
//! - `halves`: a connection that is read and written at a time
//! - `message`: a request as it goes
//! - `upload`: a request's body on its way

mod body;
mod exchange;
mod halves;
mod message;
mod upload;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::Either;
use http::Uri;
use http::uri::PathAndQuery;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tower_service::Service;

pub(super) use body::ResponseBody;
pub(super) use exchange::{Sent, Unanswered};
pub(super) use message::Message;

use super::BoxError;
use super::connect::{BackendStream, Connector};
use super::origins::Origins;
use crate::config::{BaseUrl, Pool};
use crate::http1::Wire;

/// For how long a connection that its backend has closed may go unnoticed while nobody asks for one.
const LOOK: Duration = Duration::from_secs(1);

/// Connections to backends that speak HTTP/1.1.
pub(super) struct Http1 {
    parts: Arc<Parts>,
    backends: Origins<Backend>,
}

/// What is the same for all backends.
struct Parts {
    connector: Connector,
    pool: Pool,
}

/// A backend, and the connections to it.
pub(super) struct Backend {
    parts: Arc<Parts>,
    idle: Mutex<Idle>,
}

struct Idle {
    /// Connections that wait for a request; those that were used last come last.
    connections: Vec<Waiting>,
    /// Requests that wait for one while theirs is made, by when they came.
    wanted: VecDeque<oneshot::Sender<Box<Connection>>>,
    /// Whether a task closes those that have waited for too long.
    is_tended: bool,
}

struct Waiting {
    connection: Box<Connection>,
    since: Instant,
}

/// A connection. Dropped, it ends.
pub(super) struct Connection {
    wire: Wire<BackendStream>,
    /// Whether it has waited for a request. If such a one breaks off, it was most likely closed by the backend for being
    /// idle, and the request never seen.
    has_waited: bool,
    /// Which goes away with its client, whatever waits there.
    home: Weak<Backend>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1").finish_non_exhaustive()
    }
}

impl Http1 {
    pub(super) fn new(connector: Connector, pool: Pool) -> Self {
        Self {
            parts: Arc::new(Parts { connector, pool }),
            backends: Origins::default(),
        }
    }

    /// This backend.
    pub(super) fn backend(&self, base: &BaseUrl) -> Arc<Backend> {
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

impl Backend {
    /// A connection to it, `base`.
    pub(super) async fn connection(
        self: &Arc<Self>,
        base: &BaseUrl,
    ) -> Result<Box<Connection>, BoxError> {
        loop {
            if let Some(ready) = self.ready() {
                return Ok(ready);
            }
            match self.connect_or_wait(base).await? {
                Either::Left(made) => return Ok(made),
                Either::Right(mut freed) => {
                    if freed.is_open() {
                        return Ok(freed);
                    }
                }
            }
        }
    }

    /// The idle connection that was used last.
    pub(super) fn ready(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle();
        while let Some(Waiting {
            mut connection,
            since,
        }) = idle.connections.pop()
        {
            if since.elapsed() > self.parts.pool.idle_timeout {
                // The others are older.
                idle.connections.clear();
                return None;
            }
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    /// A new connection, or one that is free before it is made.
    async fn connect_or_wait(
        self: &Arc<Self>,
        base: &BaseUrl,
    ) -> Result<Either<Box<Connection>, Box<Connection>>, BoxError> {
        let freed = self.queue();
        tokio::select! {
            made = self.connect(base) => made.map(Either::Left),
            Ok(freed) = freed => Ok(Either::Right(freed)),
        }
    }

    /// A new connection. It is made to the end, and waits for a request then, should nobody want it any longer.
    async fn connect(self: &Arc<Self>, base: &BaseUrl) -> Result<Box<Connection>, BoxError> {
        let root = base.join(&PathAndQuery::from_static("/"))?;
        let (made, connected) = oneshot::channel();
        let home = self.clone();
        tokio::spawn(async move {
            let connection = home.make(root).await.map(Some).map(Unclaimed);
            // Unclaimed, it waits.
            let _unwanted = made.send(connection);
        });
        // The task ends early with its thread only.
        let mut made = connected.await??;
        Ok(made.0.take().expect("it is claimed once"))
    }

    async fn make(self: &Arc<Self>, root: Uri) -> Result<Box<Connection>, BoxError> {
        let stream = self.parts.connector.clone().call(root).await?;
        Ok(Box::new(Connection {
            wire: Wire::new(stream),
            has_waited: false,
            home: Arc::downgrade(self),
        }))
    }

    /// Where the next connection arrives that could wait, unless others were there before.
    fn queue(&self) -> oneshot::Receiver<Box<Connection>> {
        let (sender, freed) = oneshot::channel();
        let mut idle = self.idle();
        if idle.wanted.len() == idle.wanted.capacity() {
            // Those that have theirs by now would add up. Room for as many as are left lets this be seldom.
            idle.wanted.retain(|sender| !sender.is_closed());
            let left = idle.wanted.len();
            idle.wanted.reserve(left + 1);
        }
        idle.wanted.push_back(sender);
        freed
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that was made for a request, which may have another one by now.
struct Unclaimed(Option<Box<Connection>>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.rest();
        }
    }
}

impl Connection {
    /// Whether it can carry a request, as far as is known here: nothing has come on it, its end neither.
    fn is_open(&mut self) -> bool {
        self.wire.io_mut().take_turn();
        let mut cx = Context::from_waker(Waker::noop());
        self.wire.is_read() && self.wire.poll_read_more(&mut cx).is_pending()
    }

    /// Has it wait for a request if it persists, and nothing is left of this one on it.
    fn rest_if(self: Box<Self>, persists: bool) {
        // Something may be: a backend may answer the start of a head, or go on behind its answer.
        if persists && self.wire.is_settled() {
            self.rest();
        }
    }

    /// Has it wait for a request, unless one waits for it, or there are enough of them.
    fn rest(mut self: Box<Self>) {
        self.has_waited = true;
        let Some(home) = self.home.upgrade() else {
            return;
        };
        let mut idle = home.idle();
        let mut it = self;
        while let Some(first) = idle.wanted.pop_front() {
            match first.send(it) {
                Ok(()) => return,
                Err(unwanted) => it = unwanted,
            }
        }
        if idle.connections.len() >= home.parts.pool.max_idle {
            // Some of them may be closed by now. To look at all of them here would be to do so for each that is too many.
            return;
        }
        idle.connections.push(Waiting {
            connection: it,
            since: Instant::now(),
        });
        if !idle.is_tended
            // Where there is no runtime, all is over.
            && let Ok(runtime) = Handle::try_current()
        {
            idle.is_tended = true;
            runtime.spawn(tend(Arc::downgrade(&home), home.parts.pool.idle_timeout));
        }
    }
}

/// Closes connections that have waited for too long, and those that their backend has closed, until there are none.
async fn tend(backend: Weak<Backend>, limit: Duration) {
    loop {
        sleep(limit.min(LOOK)).await;
        let Some(backend) = backend.upgrade() else {
            return;
        };
        let mut idle = backend.idle();
        let is_of_use = |it: &mut Waiting| it.since.elapsed() <= limit && it.connection.is_open();
        idle.connections.retain_mut(is_of_use);
        if idle.connections.is_empty() {
            idle.is_tended = false;
            return;
        }
    }
}
