//! TLS and HTTP/2, towards clients and towards backends.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::backend::{Backend, nobody, read_head};
use crate::support::broker::Broker;
use crate::support::client::Client;
use crate::support::miffy::{Miffy, Setup, outcomes};
use crate::support::tls::{Authority, Echo, roots};
use crate::support::{until, within};

/// A table with these entries, of which those that are paths are quoted.
fn table(name: &str, entries: &[(&str, &Path)]) -> String {
    let entries = entries
        .iter()
        .map(|(key, path)| format!("{key} = \"{}\"\n", path.display()));
    format!("[{name}]\n{}", entries.collect::<String>())
}

fn with(reference: &Echo, tables: &str) -> Miffy {
    let broker = Broker::mock();
    let setup = Setup::of(reference.url(), nobody(), &broker);
    setup.tables(tables).start()
}

async fn status(miffy: Miffy) -> u16 {
    let status = miffy.get("/other").await.status().as_u16();
    miffy.stop().await;
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_is_believed_by_its_authority_or_when_nobody_is_to_be_checked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let reference = Echo::over_tls(&authority, &["http/1.1"]).await;
    let own = table("tls.reference", &[("ca", &authority.file())]);
    let wrong = table("tls.reference", &[("ca", &other.file())]);
    let anybody = "[tls.reference]\ninsecure = true\n".to_owned();
    for (tables, expected) in [
        (own, 200),
        (wrong, 502),
        (anybody, 200),
        (String::new(), 502),
    ] {
        let miffy = with(&reference, &tables);
        assert_eq!(status(miffy).await, expected, "{tables}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_asks_for_a_certificate_is_shown_one() {
    let authority = Authority::new();
    let reference = Echo::for_known_clients(&authority).await;
    let (certificate, key) = authority.sign("client");
    let file = authority.file();
    let unknown = [("ca", file.as_path())];
    let known = [
        unknown[0],
        ("certificate", certificate.as_path()),
        ("key", key.as_path()),
    ];
    for (entries, expected) in [(&unknown[..], 502), (&known, 200)] {
        let miffy = with(&reference, &table("tls.reference", entries));
        assert_eq!(status(miffy).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_asked_over_tls() {
    let (authority, broker) = (Authority::new(), Broker::start());
    let reference = Echo::over_tls(&authority, &["h2", "http/1.1"]).await;
    let candidate = Echo::over_tls(&authority, &["http/1.1"]).await;
    let file = authority.file();
    let tables = ["tls.reference", "tls.candidate"].map(|name| table(name, &[("ca", &file)]));
    let setup = Setup::of(reference.url(), candidate.url(), &broker);
    let miffy = setup.tables(&tables.concat()).start();
    let answer = miffy.post("/x/1", "a body").await;
    assert_eq!(answer.text().await.unwrap(), "a body");
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    assert_eq!(reference.seen()[0].version, Version::HTTP_2);
    assert_eq!(candidate.seen()[0].version, Version::HTTP_11);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_where_both_want_it_and_the_clients_host_stays() {
    let authority = Authority::new();
    for (alpn, protocol, version) in [
        (&["h2", "http/1.1"][..], "auto", Version::HTTP_2),
        (&["http/1.1"], "auto", Version::HTTP_11),
        (&[], "auto", Version::HTTP_11),
        (&["h2", "http/1.1"], "http1", Version::HTTP_11),
        (&["h2"], "http2", Version::HTTP_2),
    ] {
        let reference = Echo::over_tls(&authority, alpn).await;
        let ca = table("tls.reference", &[("ca", &authority.file())]);
        let tables = format!("{ca}\n[protocol]\nreference = \"{protocol}\"\n");
        let miffy = with(&reference, &tables);
        let mut client = Client::connect(miffy.address).await;
        for host in ["one.example", "two.example:8080"] {
            let answer = client.ask_as(host, "GET", "/other").await;
            assert_eq!(answer.status(), 200, "{alpn:?} {protocol}");
        }
        let seen = reference.seen();
        let told: Vec<_> = seen
            .iter()
            .map(|seen| (seen.version, &*seen.authority))
            .collect();
        let expected = [(version, "one.example"), (version, "two.example:8080")];
        assert_eq!(told, expected, "{alpn:?} {protocol}");
        if version == Version::HTTP_2 {
            assert_eq!(reference.connections(), 1);
            assert!(seen.iter().all(|seen| !seen.headers.contains_key("host")));
        }
        miffy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_http2_is_not_asked_in_http2() {
    let authority = Authority::new();
    let reference = Echo::over_tls(&authority, &["http/1.1"]).await;
    let ca = table("tls.reference", &[("ca", &authority.file())]);
    let miffy = with(
        &reference,
        &format!("{ca}\n[protocol]\nreference = \"http2\"\n"),
    );
    assert_eq!(status(miffy).await, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_takes_the_place_of_one_that_was_idle_for_too_long() {
    let (reference, broker) = (Echo::plain().await, Broker::mock());
    let setup = Setup::of(reference.url(), nobody(), &broker);
    let tables = "[protocol]\nreference = \"http2\"\n[pool.reference]\nidle_timeout = \"50ms\"\n";
    let miffy = setup.tables(tables).start();
    let mut client = Client::connect(miffy.address).await;
    assert_eq!(client.ask("GET", "/other").await.status(), 200);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(client.ask("POST", "/other").await.status(), 200);
    assert_eq!(reference.connections(), 2);
    miffy.stop().await;
}

async fn http2<B>(miffy: &Miffy) -> SendRequest<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let stream = TokioIo::new(miffy.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

fn grpc<B>(path: &str, body: B) -> Request<B> {
    let request = Request::post(format!("http://grpc.example{path}"));
    let request = request
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    request.body(body).unwrap()
}

/// The bytes and trailers of an answer.
async fn whole(answer: Response<Incoming>) -> (Bytes, HeaderMap) {
    let body = within("the body", answer.into_body().collect())
        .await
        .unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (body.to_bytes(), trailers)
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_pass_with_their_trailers() {
    let (reference, candidate) = (Echo::plain().await, Echo::plain().await);
    let broker = Broker::start();
    let setup = Setup::of(reference.url(), candidate.url(), &broker);
    let tables = "[protocol]\nreference = \"http2\"\ncandidate = \"http2\"\n";
    let miffy = setup.tables(tables).start();
    let mut client = http2(&miffy).await;
    for path in ["/x/Unary", "/other/Unary"] {
        let call = client.send_request(grpc(path, Full::from("message")));
        let (body, trailers) = whole(within("an answer", call).await.unwrap()).await;
        assert_eq!(body, "message");
        assert_eq!(trailers["grpc-status"], "0");
    }
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    for seen in reference.seen().iter().chain(&candidate.seen()) {
        assert_eq!(seen.version, Version::HTTP_2);
        assert_eq!(seen.authority, "grpc.example");
        assert_eq!(seen.headers["te"], "trailers");
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_streams_pass_message_by_message() {
    let (reference, broker) = (Echo::plain().await, Broker::start());
    let setup = Setup::of(reference.url(), reference.url(), &broker);
    let tables = "[protocol]\nreference = \"http2\"\ncandidate = \"http2\"\n";
    let miffy = setup.tables(tables).start();
    for path in ["/x/Stream", "/other/Stream"] {
        let mut client = http2(&miffy).await;
        let (mut messages, body) = Channel::<Bytes>::new(1);
        let call = client.send_request(grpc(path, body));
        let mut answer = within("an answer", call).await.unwrap();
        for message in ["one", "two"] {
            let sent = messages.send_data(message.into());
            within("the message to be sent", sent).await.unwrap();
            let back = within("the message", answer.frame())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(back.into_data().unwrap(), message);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().unwrap());
        messages.send_trailers(trailers).await.unwrap();
        drop(messages);
        let (body, trailers) = whole(answer).await;
        assert_eq!(body, r#"{"x-end": "1"}"#);
        assert_eq!(trailers["grpc-status"], "0");
    }
    assert_eq!(miffy.outcomes(1).await.values().sum::<u64>(), 1);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_clients_are_served_by_backends_of_http1() {
    let (reference, broker) = (Echo::plain().await, Broker::start());
    let miffy = Setup::of(reference.url(), reference.url(), &broker).start();
    let mut client = http2(&miffy).await;
    let call = client.send_request(grpc("/x/1", Full::from("message")));
    let (body, trailers) = whole(within("an answer", call).await.unwrap()).await;
    assert_eq!(body, "message");
    assert_eq!(
        trailers.get("grpc-status"),
        None,
        "nobody asked the backend for trailers"
    );
    let seen = &reference.seen()[0];
    assert_eq!(
        (seen.version, &*seen.authority),
        (Version::HTTP_11, "grpc.example")
    );
    assert_eq!(seen.headers.get("te"), None);
    miffy.stop().await;
}

async fn over_tls(miffy: &Miffy, ca: &Path, alpn: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(ca))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let handshake = connector.connect(name, miffy.connect().await);
    within("the handshake", handshake).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_connect_over_tls_in_either_version() {
    let (authority, reference, broker) = (Authority::new(), Echo::plain().await, Broker::mock());
    let (certificate, key) = authority.sign("miffy");
    let tls = table("tls", &[("certificate", &certificate), ("key", &key)]);
    let setup = Setup::of(reference.url(), nobody(), &broker);
    let miffy = setup.more("forwarded = true").tables(&tls).start();
    let ca = authority.file();

    let mut stream = over_tls(&miffy, &ca, "http/1.1").await.unwrap();
    let request = b"GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let stream = TokioIo::new(over_tls(&miffy, &ca, "h2").await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/other").body(Empty::<Bytes>::new());
    let answer = within("an answer", sender.send_request(request.unwrap()))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    for seen in reference.seen() {
        assert_eq!(seen.headers["x-forwarded-proto"], "https");
    }
    // Without TLS, nothing is served.
    let mut plain = miffy.send(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut answer = Vec::new();
    let _reset = within("the end", plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_as_soon_as_it_is_there() {
    let (authority, reference, broker) = (Authority::new(), Echo::plain().await, Broker::mock());
    let (certificate, key) = authority.sign("miffy");
    let tls = table("tls", &[("certificate", &certificate), ("key", &key)]);
    let setup = Setup::of(reference.url(), nobody(), &broker);
    let miffy = setup.tables(&tls).start();
    let shown = async || {
        let stream = over_tls(&miffy, &authority.file(), "h2").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap().to_vec()
    };
    let first = shown().await;
    authority.sign("miffy");
    until("the new certificate", || async {
        (shown().await != first).then_some(())
    })
    .await;
    miffy.stop().await;
}

/// Serves HTTP/2 as a backend with these limits would.
async fn speaking_http2<F, Fut>(server: server::Builder<TokioExecutor>, answer: F) -> String
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answering = answer(request);
                async { Ok::<_, Infallible>(answering.await) }
            });
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

/// miffy in front of a backend that speaks HTTP/2 only.
fn in_front_of(reference: &str) -> Miffy {
    let broker = Broker::mock();
    let setup = Setup::of(reference, nobody(), &broker);
    let tables = "[protocol]\nreference = \"http2\"\n";
    setup.tables(tables).start()
}

fn server() -> server::Builder<TokioExecutor> {
    server::Builder::new(TokioExecutor::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_backend_does_not_end_hold_up_no_others() {
    let mut few = server();
    few.max_concurrent_streams(2);
    let started = Arc::new(Semaphore::new(0));
    let endless = started.clone();
    let reference = speaking_http2(few, move |request| {
        let endless = endless.clone();
        async move {
            if request.uri().path() == "/endless" {
                endless.add_permits(1);
                std::future::pending::<()>().await;
            }
            Response::new(Full::from("done"))
        }
    })
    .await;
    let miffy = in_front_of(&reference);
    assert_eq!(miffy.get("/first").await.status(), 200);
    let mut held = Vec::new();
    for number in 1..=4 {
        held.push(miffy.send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await);
        let started = within("the request", started.acquire_many(number));
        drop(started.await.unwrap());
    }
    assert_eq!(miffy.get("/other").await.status(), 200);
    drop(held);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_hold_up_no_others() {
    // More than all buffers on the way take.
    let large = Bytes::from(vec![0; 64 * 1024 * 1024]);
    let reference = speaking_http2(server(), move |request| {
        let is_large = request.uri().path() == "/large";
        let body = large.slice(..if is_large { large.len() } else { 1 });
        async { Response::new(Full::from(body)) }
    })
    .await;
    let miffy = in_front_of(&reference);
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut stream = miffy.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
        within("a head", read_head(&mut stream)).await;
        held.push(stream);
    }
    // Until the responses have come to a halt.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let small = async { miffy.get("/small").await.bytes().await };
    let small = within("a small response", small).await.unwrap();
    assert_eq!(small.len(), 1);
    drop(held);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_of_http2_may_have_large_heads() {
    let reference = speaking_http2(server(), |_| async {
        let mut response = Response::new(Full::from(""));
        let value = http::HeaderValue::from_str(&"x".repeat(1000)).unwrap();
        for _ in 0..120 {
            response.headers_mut().append("x", value.clone());
        }
        response
    })
    .await;
    let miffy = in_front_of(&reference);
    let head = within("a response", async {
        read_head(&mut miffy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await).await
    });
    let head = head.await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.len() > 120_000);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_the_clients_failure_in_http2_too() {
    let reference = speaking_http2(server(), |request| async move {
        if request.into_body().collect().await.is_err() {
            // Nobody is to hear of it but by the client's own end.
            std::future::pending::<()>().await;
        }
        Response::new(Full::from(""))
    })
    .await;
    let miffy = in_front_of(&reference);
    let head = "POST /other HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stream = miffy.send(format!("{head}no size\r\n")).await;
    let head = within("a response", read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    miffy.stop().await;
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32) -> [u8; 9] {
    let [a, b, c, d] = stream.to_be_bytes();
    [0, 0, 0, kind, flags, a, b, c, d]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_http2_that_ends_is_replaced_if_it_had_served() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    let (asked, is_well) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(true)),
    );
    let (seen, answers) = (asked.clone(), is_well.clone());
    // Answers one request on each connection while it is well, and hangs up on the others.
    let serve = async move |mut stream: TcpStream, seen: Arc<AtomicUsize>, answers: bool| {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0)).await.unwrap();
        let mut answered = !answers;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let [_, high, low, kind, flags, id @ ..] = head;
            let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            stream.read_exact(&mut payload).await.unwrap();
            match kind {
                SETTINGS if flags == 0 => {
                    stream.write_all(&frame(SETTINGS, 1, 0)).await.unwrap();
                }
                HEADERS if answered => {
                    seen.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                HEADERS => {
                    answered = true;
                    let mut head = frame(HEADERS, 5, u32::from_be_bytes(id)).to_vec();
                    head[2] = 1;
                    // `:status: 200`, which HPACK has a number for.
                    head.push(0x88);
                    stream.write_all(&head).await.unwrap();
                }
                _ => {}
            }
        }
    };
    let reference =
        Backend::raw(move |stream| serve(stream, seen.clone(), answers.load(Ordering::Relaxed)))
            .await;
    let miffy = in_front_of(&reference.url());
    let mut client = Client::connect(miffy.address).await;
    for _ in 0..3 {
        assert_eq!(client.ask("GET", "/other").await.status(), 200);
    }
    // It may have been carried out.
    assert_eq!(client.ask("POST", "/other").await.status(), 502);
    // One that has not served is no idle connection that was closed.
    is_well.store(false, Ordering::Relaxed);
    let before = asked.load(Ordering::Relaxed);
    assert_eq!(client.ask("GET", "/other").await.status(), 502);
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
    miffy.stop().await;
}

/// It answers the first request, and takes the head of the second, if there is one, for which it is too late.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_without_a_farewell_while_idle_costs_no_idempotent_request() {
    let authority = Authority::new();
    let acceptor = authority.acceptor();
    let reference = Backend::raw(move |stream| {
        let accepting = acceptor.accept(stream);
        async move {
            let Ok(mut stream) = accepting.await else {
                return;
            };
            let (mut head, mut answered) = (Vec::new(), false);
            while let Ok(1..) = stream.read_buf(&mut head).await {
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                if answered {
                    // Without the alert that TLS ends with.
                    return;
                }
                answered = true;
                head.clear();
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await;
    let url = format!("https://{}", reference.address);
    let ca = table("tls.reference", &[("ca", &authority.file())]);
    let setup = Setup::of(url, nobody(), &Broker::mock());
    let miffy = setup.tables(&ca).start();
    let mut client = Client::connect(miffy.address).await;
    for _ in 0..4 {
        assert_eq!(client.ask("GET", "/other").await.status(), 200);
    }
    miffy.stop().await;
}
