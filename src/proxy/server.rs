//! The accept loop: HTTP/1.1 and HTTP/2 with prior knowledge on one port.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::counted::Counted;
use crate::telemetry::Throttle;

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
#[derive(Debug, Default)]
pub struct Connections {
    graceful: GracefulShutdown,
    open: Arc<AtomicUsize>,
}

impl Connections {
    /// How many there are.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }

    /// Closes idle connections at once and the others after their running request; ends when none is
    /// left.
    pub async fn close(self) {
        self.graceful.shutdown().await;
    }
}

/// Accepts connections and serves `router` on each, until it is dropped. Connections go on after that,
/// until they are [closed](Connections::close).
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: &Connections,
    alive: &Alive,
) {
    let _alive = alive.begin();
    let failures = Throttle::default();
    let mut builder = auto::Builder::new(TokioExecutor::new()).preserve_header_case(true);
    // A response's date is the backend's, if it sends one.
    builder.http1().auto_date_header(false);
    builder.http2().auto_date_header(false);
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => spawn(stream, &builder, &router, connections),
            Err(error) if ended_before_it_began(&error) => {}
            Err(error) => {
                if let Some(unsaid) = failures.admit() {
                    warn!(%error, unsaid, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn spawn(
    stream: TcpStream,
    builder: &auto::Builder<TokioExecutor>,
    router: &Router,
    connections: &Connections,
) {
    // A failure here would only cost a little latency.
    let _without = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone());
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    let watched = connections.graceful.watch(connection);
    let open = Counted::begin(&connections.open);
    tokio::spawn(async move {
        let _open = open;
        if let Err(error) = watched.await {
            debug!(%error, "a client's connection ended");
        }
    });
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

    #[tokio::test]
    async fn an_accept_loop_is_alive_until_it_ends() {
        let alive = Alive::default();
        let connections = Connections::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let serving = serve(listener, Router::new(), &connections, &alive);
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
