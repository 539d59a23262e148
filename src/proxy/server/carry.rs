//! One connection, from its handshake to its end.

use std::pin::pin;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::super::connection::{ClientConnection, Noted, Order, Patience, Socket, watch};
use super::service::ClientService;
use super::{Connections, Server};

impl Server {
    /// Serves one connection over TLS to its end.
    pub(super) async fn shake_hands(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
        connection: Arc<ClientConnection>,
        connections: &Connections,
    ) {
        let (orders, ordered) = oneshot::channel();
        let (patience, closing) = (self.patience(), connections.closing.clone());
        tokio::spawn(watch(connection.clone(), patience, closing, orders));
        tokio::select! {
            accepted = tls.accept(stream) => match accepted {
                Ok(stream) => self.carry(stream, connection, connections).await,
                Err(error) => debug!(%error, "a client's handshake failed"),
            },
            _late = ordered => self.metrics.head_timeout.increment(1),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            head: self.limits.head_timeout,
            quiet: self.limits.idle_timeout,
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn carry<IO: Socket>(
        &self,
        io: IO,
        connection: Arc<ClientConnection>,
        connections: &Connections,
    ) {
        let service = ClientService {
            proxy: self.proxy.clone(),
            connection: connection.clone(),
            leaving: connections.leaving.clone(),
            max_target: self.limits.max_target,
            too_long: self.metrics.max_target.clone(),
        };
        let io = Noted {
            io,
            connection: connection.clone(),
        };
        let served = self
            .builder
            .serve_connection_with_upgrades(TokioIo::new(io), service);
        let mut served = pin!(served);
        let (orders, ordered) = oneshot::channel();
        let (patience, closing) = (self.patience(), connections.closing.clone());
        tokio::spawn(watch(connection.clone(), patience, closing, orders));
        let ended = tokio::select! {
            biased;
            ended = served.as_mut() => ended,
            order = ordered => match order {
                Ok(Order::Drop) => return self.metrics.head_timeout.increment(1),
                // The watch never ends without an order.
                Ok(Order::Close) | Err(_) => {
                    served.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = served => ended,
                        () = connection.stays() => return,
                    }
                }
            },
        };
        if let Err(error) = ended {
            debug!(%error, "a client's connection ended");
        }
    }
}
