//! TLS and HTTP/2, towards clients and towards backends.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::backend::nobody;
use crate::support::broker::Broker;
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

async fn with(reference: &Echo, tables: &str) -> Miffy {
    let broker = Broker::mock();
    let setup = Setup::of(reference.url(), nobody(), &broker);
    setup.tables(tables).start().await
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
        let miffy = with(&reference, &tables).await;
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
        let miffy = with(&reference, &table("tls.reference", entries)).await;
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
    let miffy = setup.tables(&tables.concat()).start().await;
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
        let miffy = with(&reference, &tables).await;
        for host in ["one.example", "two.example:8080"] {
            let request = miffy.client.get(miffy.url("/other")).header("host", host);
            let answer = within("an answer", request.send()).await.unwrap();
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
    )
    .await;
    assert_eq!(status(miffy).await, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_takes_the_place_of_one_that_was_idle_for_too_long() {
    let (reference, broker) = (Echo::plain().await, Broker::mock());
    let setup = Setup::of(reference.url(), nobody(), &broker);
    let tables = "[protocol]\nreference = \"http2\"\n[pool.reference]\nidle_timeout = \"50ms\"\n";
    let miffy = setup.tables(tables).start().await;
    assert_eq!(miffy.get("/other").await.status(), 200);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(miffy.post("/other", "1").await.status(), 200);
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
    let miffy = setup.tables(tables).start().await;
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
    let miffy = setup.tables(tables).start().await;
    for path in ["/x/Stream", "/other/Stream"] {
        let mut client = http2(&miffy).await;
        let (mut messages, body) = Channel::<Bytes>::new(1);
        let call = client.send_request(grpc(path, body));
        let mut answer = within("an answer", call).await.unwrap();
        for message in ["one", "two"] {
            messages.send_data(message.into()).await.unwrap();
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
    let miffy = Setup::of(reference.url(), reference.url(), &broker)
        .start()
        .await;
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
    connector.connect(name, miffy.connect().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_connect_over_tls_in_either_version() {
    let (authority, reference, broker) = (Authority::new(), Echo::plain().await, Broker::mock());
    let (certificate, key) = authority.sign("miffy");
    let tls = table("tls", &[("certificate", &certificate), ("key", &key)]);
    let setup = Setup::of(reference.url(), nobody(), &broker);
    let miffy = setup.more("forwarded = true").tables(&tls).start().await;
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
    let miffy = setup.tables(&tls).start().await;
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
