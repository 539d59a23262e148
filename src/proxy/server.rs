//! The accept loop: HTTP/1.1 and HTTP/2 with prior knowledge on one port, over TLS if that is configured.

mod carry;
mod http1;
mod service;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use metrics::Counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::Proxy;
use super::connection::ClientConnection;
use super::counted::Counted;
use crate::config::Clients;
use crate::http1::Heads;
use crate::telemetry::Throttle;
use crate::telemetry::metrics::{CLIENT_LIMITS, counter};
use crate::threads::Seats;

/// How long to wait after an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether an accept loop runs.
#[derive(Debug, Clone, Default)]
pub struct Alive(Arc<AtomicBool>);

impl Alive {
    /// Whether it runs.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It runs until the guard is dropped, by whatever ends it, a panic too.
    fn begin(&self) -> AliveGuard {
        self.0.store(true, Ordering::Relaxed);
        AliveGuard(self.clone())
    }
}

struct AliveGuard(Alive);

impl Drop for AliveGuard {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// The open connections of clients, for whoever counts them or waits for their end.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    open: Arc<AtomicUsize>,
    tracker: TaskTracker,
    leaving: Arc<AtomicBool>,
    closing: CancellationToken,
}

impl Connections {
    /// How many there are.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }

    /// Has each answer from now on tell its client not to send another request on this connection.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Closes connections that are quiet, the others when they become it; ends when none is left.
    pub async fn close(self) {
        self.leave();
        self.closing.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// How clients are served.
pub struct Server {
    proxy: Arc<Proxy>,
    limits: Clients,
    tls: Option<TlsAcceptor>,
    http2: http2::Builder<TokioExecutor>,
    seats: Seats,
    /// Connections that may still be opened.
    permits: Option<Arc<Semaphore>>,
    metrics: ServerMetrics,
}

struct ServerMetrics {
    head_timeout: Counter,
    max_target: Counter,
    max_connections: Counter,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Serves `proxy` within these limits; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    #[must_use]
    pub fn register(
        proxy: Arc<Proxy>,
        limits: Clients,
        tls: Option<TlsAcceptor>,
        seats: Seats,
    ) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        // A response's date is the backend's, if it sends one.
        http2
            .auto_date_header(false)
            .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX));
        let limit = |name| counter(CLIENT_LIMITS, Some(("limit", name)));
        Self {
            proxy,
            limits,
            tls,
            http2,
            seats,
            permits: limits.max_connections.map(Semaphore::new).map(Arc::new),
            metrics: ServerMetrics {
                head_timeout: limit("head_timeout"),
                max_target: limit("max_target"),
                max_connections: limit("max_connections"),
            },
        }
    }

    /// Accepts connections until `stop`, and those that are waiting to be accepted then. They go on
    /// after that, until they are [closed](Connections::close).
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        connections: &Connections,
        alive: &Alive,
        stop: impl Future<Output = ()>,
    ) {
        let _alive = alive.begin();
        let failures = Throttle::default();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer, permit)) => self.spawn(stream, peer, permit, connections),
                Err(error) if ended_before_it_began(&error) => {}
                Err(error) => {
                    if let Some(unsaid) = failures.admit() {
                        warn!(%error, unsaid, "a connection could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        while let Some((stream, peer)) = waiting(&listener).await {
            self.spawn(stream, peer, None, connections);
        }
    }

    /// The next connection, and its permit where they are limited.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, Option<OwnedSemaphorePermit>)> {
        let permit = match &self.permits {
            None => None,
            Some(permits) => Some(self.permit(permits).await?),
        };
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer, permit))
    }

    async fn permit(&self, permits: &Arc<Semaphore>) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        self.metrics.max_connections.increment(1);
        let permit = permits.clone().acquire_owned().await;
        permit.map_err(io::Error::other)
    }

    /// How large requests' heads may be.
    fn heads(&self) -> Heads {
        Heads {
            max_bytes: self.limits.max_head,
            max_headers: self.limits.max_headers,
        }
    }

    fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
        connections: &Connections,
    ) {
        // A failure here would only cost a little latency.
        let _without = stream.set_nodelay(true);
        let stream = stream.into_std();
        let open = Counted::begin(&connections.open);
        let seat = self.seats.take();
        let worker = seat.runtime();
        let held = (open, connections.tracker.token(), permit, seat);
        let peer = peer.ip().to_canonical();
        let connection = ClientConnection::new(peer, self.tls.is_some(), held);
        let (server, connections) = (self.clone(), connections.clone());
        worker.spawn(async move {
            let stream = match stream.and_then(TcpStream::from_std) {
                Ok(stream) => stream,
                Err(error) => {
                    return debug!(%error, "a connection was lost on its way to its thread");
                }
            };
            match &server.tls {
                None => server.carry(stream, connection, &connections).await,
                // It is large, and most servers have none.
                Some(tls) => {
                    Box::pin(server.shake_hands(tls, stream, connection, &connections)).await;
                }
            }
        });
    }
}

/// The next connection that is waiting to be accepted; `None` if there is none.
async fn waiting(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => Poll::Ready(None),
        });
        match accepted.await? {
            Ok(accepted) => return Some(accepted),
            Err(error) if ended_before_it_began(&error) => {}
            Err(_) => return None,
        }
    }
}

/// Whether the failure is that of the one connection, not of accepting.
fn ended_before_it_began(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Budget, Limits};
    use crate::client::Client;
    use crate::config::{self, Environment, Source};
    use crate::experiment::Table;
    use crate::proxy::{LiveMetrics, Plan};
    use crate::threads::Threads;

    /// A server with this configuration, and the threads that it needs.
    pub(super) fn server(config: String, tls: Option<TlsAcceptor>) -> (Server, Threads) {
        let config = config::load(&Source::Text(config), &Environment::default());
        let settings = config.expect("it is valid").settings;
        let plan = Plan {
            client: Client::new(&settings.reference_backends, []).expect("a client"),
            upstream: settings.reference,
            experiments: Table::new([]),
        };
        let limits = Limits {
            max_body: 0,
            budget: Budget::new(0),
        };
        let metrics = LiveMetrics::register();
        let proxy = Arc::new(Proxy::new(plan, limits, Arc::default(), false, metrics));
        let threads = Threads::start().expect("threads");
        let server = Server::register(proxy, settings.clients, tls, threads.seats());
        (server, threads)
    }

    #[tokio::test]
    async fn an_accept_loop_is_alive_until_it_ends() {
        let (server, _threads) = server(String::new(), None);
        let server = Arc::new(server);
        let (alive, connections) = (Alive::default(), Connections::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let serving = server.serve(listener, &connections, &alive, std::future::pending());
        let mut serving = Box::pin(serving);
        tokio::select! {
            biased;
            () = &mut serving => panic!("it ended"),
            () = std::future::ready(()) => {}
        }
        assert!(alive.get());
        drop(serving);
        assert!(!alive.get());
    }
}
