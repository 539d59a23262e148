//! One connection, from its handshake to its end.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::super::connection::{ClientConnection, Noted, Order, Patience, Socket, watch};
use super::super::counted::Counted;
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
            ready: self.ready,
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
        let mut io = Noted::new(io, connection);
        loop {
            if io.is_read() && !self.park(&mut io, connections).await {
                return;
            }
            // It is large, and gone while the connection is parked.
            match Box::pin(self.converse(io, connections)).await {
                Some(quiet) => io = quiet,
                None => return,
            }
        }
    }

    /// Waits for the next bytes of a connection; whether there may be something to be read, if only its end.
    async fn park<IO: Socket>(&self, io: &mut Noted<IO>, connections: &Connections) -> bool {
        let _parked = Counted::begin(&connections.parked);
        let connection = io.connection().clone();
        loop {
            tokio::select! {
                biased;
                arrived = io.arrive() => match arrived {
                    Ok(false) => {}
                    Ok(true) => return true,
                    Err(error) => {
                        debug!(%error, "a client's connection ended");
                        return false;
                    }
                },
                order = connection.expires(self.patience(), &connections.closing) => {
                    if order == Order::Drop {
                        self.metrics.head_timeout.increment(1);
                    } else {
                        let _gone = io.shutdown().await;
                    }
                    return false;
                }
            }
        }
    }

    /// Serves the requests of a connection; gives it back when it can be parked.
    async fn converse<IO: Socket>(
        &self,
        io: Noted<IO>,
        connections: &Connections,
    ) -> Option<Noted<IO>> {
        let connection = io.connection().clone();
        let service = self.service(&connection, connections);
        let mut served = self.protocols.serve(io, service);
        loop {
            let ordered = self.watched(&connection, connections);
            tokio::select! {
                biased;
                ended = &mut served => return tell(ended),
                order = ordered => match order {
                    // It has just been looked at: all that came by now is noted, and nothing waits to be written.
                    Ok(Order::Park) if connection.can_be_parked(self.patience()) => return served.into_io(),
                    Ok(Order::Park) => {}
                    Ok(Order::Drop) => {
                        self.metrics.head_timeout.increment(1);
                        return None;
                    }
                    // The watch never ends without an order.
                    Ok(Order::Close) | Err(_) => break,
                },
            }
        }
        served.graceful_shutdown();
        tokio::select! {
            ended = served => tell(ended),
            () = connection.stays() => None,
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

/// Tells how a connection ended; gives nothing back.
fn tell<IO: Socket>(ended: hyper::Result<()>) -> Option<Noted<IO>> {
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};
    use tokio_rustls::TlsConnector;

    use super::super::tests::server;
    use super::super::{Alive, Counted};
    use super::*;
    use crate::threads::Threads;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    async fn within<F: Future>(future: F) -> F::Output {
        let ended = timeout(Duration::from_secs(20), future).await;
        ended.expect("it ends in time")
    }

    /// A server that parks connections at once, and its clients' connections.
    struct Running {
        server: Arc<Server>,
        address: SocketAddr,
        connections: Connections,
        _threads: Threads,
    }

    impl Running {
        async fn start(tables: &str, tls: Option<TlsAcceptor>) -> Self {
            let reference = backend().await;
            let config = format!("reference = \"http://{reference}\"\n{tables}");
            let (mut server, threads) = server(config, tls);
            server.ready = Duration::from_millis(1);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let (server, connections) = (Arc::new(server), Connections::default());
            let (serving, open) = (server.clone(), connections.clone());
            tokio::spawn(async move {
                let stop = std::future::pending();
                serving
                    .serve(listener, &open, &Alive::default(), stop)
                    .await;
            });
            Self {
                server,
                address,
                connections,
                _threads: threads,
            }
        }

        async fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.address).await;
            stream.expect("a connection")
        }

        /// Both ends of a connection that nobody serves yet.
        async fn pair(&self) -> (TcpStream, Noted<TcpStream>) {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let client = TcpStream::connect(address).await.expect("a connection");
            let (stream, _) = listener.accept().await.expect("a connection");
            let held = (
                Counted::begin(&self.connections.open),
                self.connections.tracker.token(),
                None,
                self.server.seats.take(),
            );
            let connection = ClientConnection::new(Ipv4Addr::LOCALHOST.into(), false, held);
            (client, Noted::new(stream, connection))
        }

        /// Waits until so many connections are open, and so many of them parked.
        async fn until(&self, open: usize, parked: usize) {
            let counted = || {
                let connections = &self.connections;
                let open = connections.open.load(Ordering::Relaxed);
                (open, connections.parked.load(Ordering::Relaxed))
            };
            within(async {
                while counted() != (open, parked) {
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
    async fn a_parked_connection_serves_its_next_request() {
        let running = Running::start("", None).await;
        let mut stream = running.connect().await;
        for _ in 0..5 {
            running.until(1, 1).await;
            get(&mut stream).await;
        }
    }

    #[tokio::test]
    async fn a_parked_connection_over_tls_serves_its_next_request() {
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
            running.until(1, 1).await;
            get(&mut stream).await;
        }
        running.until(1, 1).await;
        stream.shutdown().await.expect("a reader");
        running.until(0, 0).await;
        let rest = stream.read(&mut [0]).await;
        assert_eq!(rest.expect("an end in order"), 0);
    }

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_its_connection_is_parked_is_noticed() {
        let running = Running::start("", None).await;
        let fresh = running.connect().await;
        let mut used = running.connect().await;
        get(&mut used).await;
        running.until(2, 2).await;
        drop(fresh);
        running.until(1, 1).await;
        drop(used);
        running.until(0, 0).await;
    }

    #[tokio::test]
    async fn a_head_has_no_more_time_behind_a_pause() {
        let running = Running::start("[clients]\nhead_timeout = \"200ms\"\n", None).await;
        let mut stream = running.connect().await;
        get(&mut stream).await;
        running.until(1, 1).await;
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
        running.until(0, 0).await;
    }

    #[tokio::test]
    async fn a_parked_connection_may_be_quiet_for_so_long() {
        let running = Running::start("[clients]\nidle_timeout = \"200ms\"\n", None).await;
        let mut stream = running.connect().await;
        get(&mut stream).await;
        running.until(1, 1).await;
        let end = within(stream.read(&mut [0])).await;
        assert_eq!(end.expect("an end in order"), 0);
        running.until(0, 0).await;
    }

    #[tokio::test]
    async fn a_stop_ends_parked_connections() {
        let tables = "[clients]\nhead_timeout = \"1h\"\nidle_timeout = \"1h\"\n";
        let running = Running::start(tables, None).await;
        let (mut used, mut fresh) = (running.connect().await, running.connect().await);
        get(&mut used).await;
        running.until(2, 2).await;
        within(running.connections.clone().close()).await;
        for stream in [&mut used, &mut fresh] {
            let end = within(stream.read(&mut [0])).await;
            assert_eq!(end.expect("an end in order"), 0);
        }
    }

    #[tokio::test]
    async fn what_was_read_before_a_connection_is_parked_is_served_after_it() {
        let running = Running::start("", None).await;
        let (mut client, io) = running.pair().await;
        let (start, rest) = REQUEST.split_at(7);
        let sent = [REQUEST, REQUEST, start].concat();
        client.write_all(&sent).await.expect("a reader");
        let serve = |io| running.server.converse(io, &running.connections);
        let io = within(serve(io)).await.expect("it can be parked");
        assert!(!io.is_read());
        let answers = async {
            for _ in 0..2 {
                answer(&mut client).await;
            }
            // Older clients send an empty line behind their request, or two.
            let rest = [rest, b"\r\n\n"].concat();
            client.write_all(&rest).await.expect("a reader");
            answer(&mut client).await;
            client
        };
        let (io, _client) = tokio::join!(within(serve(io)), answers);
        assert!(io.expect("it can be parked").is_read());
    }

    #[tokio::test]
    async fn http2_is_known_by_a_preface_in_pieces() {
        let running = Running::start("", None).await;
        let (mut client, mut io) = running.pair().await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for (sent, byte) in preface.iter().enumerate() {
            assert!(!io.connection().is_http2());
            client.write_u8(*byte).await.expect("a reader");
            let is_known = within(io.arrive()).await.expect("a byte");
            assert_eq!(is_known, sent + 1 == preface.len());
        }
        assert!(io.connection().is_http2());
        let mut frame = [0; 9];
        tokio::select! {
            _ended = running.server.converse(io, &running.connections) => panic!("it ended"),
            read = within(client.read_exact(&mut frame)) => read.expect("a frame"),
        };
        // SETTINGS (RFC 9113 §6.5).
        assert_eq!(frame[3], 4);
    }

    #[tokio::test]
    async fn http1_is_known_by_the_first_byte_that_is_not_the_prefaces() {
        let running = Running::start("", None).await;
        let (mut client, mut io) = running.pair().await;
        for (bytes, expected) in [(&b"P"[..], false), (b"OST / HTTP/1.1\r\n", true)] {
            client.write_all(bytes).await.expect("a reader");
            assert_eq!(within(io.arrive()).await.expect("bytes"), expected);
        }
        assert!(!io.connection().is_http2());
        let mut start = [0; 6];
        io.read_exact(&mut start).await.expect("what came");
        assert_eq!(&start, b"POST /");
    }
}
