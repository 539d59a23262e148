//! One connection, from its handshake to its end.

use std::pin::pin;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::super::connection::{ClientConnection, Noted, Order, Patience, Socket, watch};
use super::service::{ClientService, Http2Service};
use super::{Connections, Server, http1};
use crate::http1::Wire;

impl Server {
    /// Serves one connection over TLS to its end.
    pub(super) async fn shake_hands(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
        connection: Arc<ClientConnection>,
        connections: &Connections,
    ) {
        let ordered = self.watched(&connection, connections);
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

    /// Has a connection looked at beside it; what is to be done with it arrives here.
    fn watched(
        &self,
        connection: &Arc<ClientConnection>,
        connections: &Connections,
    ) -> oneshot::Receiver<Order> {
        let (orders, ordered) = oneshot::channel();
        let (patience, closing) = (self.patience(), connections.closing.clone());
        tokio::spawn(watch(connection.clone(), patience, closing, orders));
        ordered
    }

    /// Serves one connection to its end.
    pub(super) async fn carry<IO: Socket>(
        &self,
        io: IO,
        connection: Arc<ClientConnection>,
        connections: &Connections,
    ) {
        let io = Noted::new(io, connection.clone());
        let service = self.service(&connection, connections);
        let http2 = {
            let ordered = self.watched(&connection, connections);
            let mut served = pin!(http1::serve(io, self.heads(), &service));
            tokio::select! {
                biased;
                ended = &mut served => ended,
                order = ordered => match order {
                    Ok(Order::Drop) => return self.metrics.head_timeout.increment(1),
                    // The watch never ends without an order.
                    Ok(Order::Close) | Err(_) => {
                        connection.end();
                        served.await
                    }
                },
            }
        };
        if let Some(wire) = http2 {
            // It is large, and most connections are none of these.
            Box::pin(self.carry_http2(wire, service, connections)).await;
        }
    }

    /// Serves the requests of a connection of HTTP/2.
    async fn carry_http2<IO: Socket>(
        &self,
        wire: Wire<Noted<IO>>,
        service: ClientService,
        connections: &Connections,
    ) {
        let connection = service.connection.clone();
        let service = Http2Service(Arc::new(service));
        let mut served = pin!(self.http2.serve_connection(TokioIo::new(wire), service));
        let ordered = self.watched(&connection, connections);
        tokio::select! {
            biased;
            ended = &mut served => return tell(ended),
            order = ordered => if order == Ok(Order::Drop) {
                return self.metrics.head_timeout.increment(1);
            }
        }
        served.as_mut().graceful_shutdown();
        tokio::select! {
            ended = served => tell(ended),
            () = connection.stays() => {}
        }
    }

    fn service(
        &self,
        connection: &Arc<ClientConnection>,
        connections: &Connections,
    ) -> ClientService {
        ClientService {
            proxy: self.proxy.clone(),
            connection: connection.clone(),
            leaving: connections.leaving.clone(),
            max_target: self.limits.max_target,
            too_long: self.metrics.max_target.clone(),
        }
    }
}

/// Tells how a connection ended.
fn tell(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};
    use tokio_rustls::TlsConnector;

    use super::super::Alive;
    use super::super::tests::server;
    use super::*;
    use crate::threads::Threads;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    async fn within<F: Future>(future: F) -> F::Output {
        let ended = timeout(Duration::from_secs(20), future).await;
        ended.expect("it ends in time")
    }

    /// A server, and its clients' connections.
    struct Running {
        address: SocketAddr,
        connections: Connections,
        _threads: Threads,
    }

    impl Running {
        async fn start(tables: &str, tls: Option<TlsAcceptor>) -> Self {
            let reference = backend().await;
            let config = format!("reference = \"http://{reference}\"\n{tables}");
            let (server, threads) = server(config, tls);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let (server, connections) = (Arc::new(server), Connections::default());
            let open = connections.clone();
            tokio::spawn(async move {
                let stop = std::future::pending();
                let alive = Alive::default();
                server.serve(listener, &open, &alive, stop).await;
            });
            Self {
                address,
                connections,
                _threads: threads,
            }
        }

        async fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.address).await;
            stream.expect("a connection")
        }

        /// Waits until so many connections are open.
        async fn until(&self, open: usize) {
            let counted = || self.connections.open.load(Ordering::Relaxed);
            within(async {
                while counted() != open {
                    sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
        }
    }

    /// A backend that answers everything.
    async fn backend() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while head(&mut stream).await.is_some() {
                        stream.write_all(ANSWER).await.expect("a reader");
                    }
                });
            }
        });
        address
    }

    /// The next head that comes.
    async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        String::from_utf8(head).ok()
    }

    async fn answer(stream: &mut (impl AsyncRead + Unpin)) {
        let head = within(head(stream)).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.expect("a body");
        assert_eq!(&body, b"{}");
    }

    async fn get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        stream.write_all(REQUEST).await.expect("a reader");
        answer(stream).await;
    }

    #[tokio::test]
    async fn a_connection_over_tls_serves_one_request_after_another() {
        let signed = generate_simple_self_signed(["localhost".to_owned()]);
        let CertifiedKey { cert, signing_key } = signed.expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a root");
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into());
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a configuration")));
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let running = Running::start("", Some(acceptor)).await;
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, running.connect().await).await;
        let mut stream = stream.expect("a handshake");
        for _ in 0..5 {
            get(&mut stream).await;
        }
        stream.shutdown().await.expect("a reader");
        running.until(0).await;
        let rest = stream.read(&mut [0]).await;
        assert_eq!(rest.expect("an end in order"), 0);
    }

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_its_connection_is_quiet_is_noticed() {
        let running = Running::start("", None).await;
        let fresh = running.connect().await;
        let mut used = running.connect().await;
        get(&mut used).await;
        running.until(2).await;
        drop(fresh);
        running.until(1).await;
        drop(used);
        running.until(0).await;
    }

    #[tokio::test]
    async fn a_head_has_no_more_time_behind_a_pause() {
        let running = Running::start("[clients]\nhead_timeout = \"200ms\"\n", None).await;
        let mut stream = running.connect().await;
        get(&mut stream).await;
        let (mut from, mut to) = stream.into_split();
        let trickle = tokio::spawn(async move {
            while to.write_all(b"G").await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        // Closed, or reset on bytes that nobody read.
        let end = within(from.read(&mut [0])).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        within(trickle).await.expect("no panic");
        running.until(0).await;
    }

    #[tokio::test]
    async fn a_connection_may_be_quiet_for_so_long() {
        let running = Running::start("[clients]\nidle_timeout = \"200ms\"\n", None).await;
        let mut stream = running.connect().await;
        get(&mut stream).await;
        let end = within(stream.read(&mut [0])).await;
        assert_eq!(end.expect("an end in order"), 0);
        running.until(0).await;
    }

    #[tokio::test]
    async fn a_stop_ends_quiet_connections() {
        let tables = "[clients]\nhead_timeout = \"1h\"\nidle_timeout = \"1h\"\n";
        let running = Running::start(tables, None).await;
        let (mut used, mut fresh) = (running.connect().await, running.connect().await);
        get(&mut used).await;
        running.until(2).await;
        within(running.connections.clone().close()).await;
        for stream in [&mut used, &mut fresh] {
            let end = within(stream.read(&mut [0])).await;
            assert_eq!(end.expect("an end in order"), 0);
        }
    }

    #[tokio::test]
    async fn what_came_with_a_request_is_served_after_it() {
        let running = Running::start("", None).await;
        let mut client = running.connect().await;
        let (start, rest) = REQUEST.split_at(7);
        let sent = [REQUEST, REQUEST, start].concat();
        client.write_all(&sent).await.expect("a reader");
        for _ in 0..2 {
            answer(&mut client).await;
        }
        // Older clients send an empty line behind their request, or two.
        for lines in [&b""[..], b"\r\n", b"\n\r\n"] {
            let rest = [rest, lines, start].concat();
            client.write_all(&rest).await.expect("a reader");
            answer(&mut client).await;
        }
    }

    #[tokio::test]
    async fn empty_lines_are_no_head() {
        let tables = "[clients]\nhead_timeout = \"200ms\"\nidle_timeout = \"1h\"\n";
        let running = Running::start(tables, None).await;
        let mut client = running.connect().await;
        client.write_all(b"\r\n").await.expect("a reader");
        sleep(Duration::from_millis(500)).await;
        get(&mut client).await;
    }

    #[tokio::test]
    async fn http2_is_known_by_a_preface_in_pieces() {
        let running = Running::start("", None).await;
        let mut client = running.connect().await;
        client.set_nodelay(true).expect("a socket");
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            client.write_u8(*byte).await.expect("a reader");
            tokio::task::yield_now().await;
        }
        let mut frame = [0; 9];
        let read = within(client.read_exact(&mut frame)).await;
        read.expect("a frame");
        // SETTINGS (RFC 9113 §6.5).
        assert_eq!(frame[3], 4);
    }

    #[tokio::test]
    async fn http1_may_begin_as_http2_does() {
        let running = Running::start("", None).await;
        let mut client = running.connect().await;
        for bytes in ["P", "R", "IVATE / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            client.write_all(bytes.as_bytes()).await.expect("a reader");
            tokio::task::yield_now().await;
        }
        answer(&mut client).await;
    }

    #[tokio::test]
    async fn the_preface_of_http2_is_one_at_the_start_only() {
        let running = Running::start("", None).await;
        let mut client = running.connect().await;
        get(&mut client).await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        client.write_all(preface).await.expect("a reader");
        let head = within(head(&mut client)).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    }
}
