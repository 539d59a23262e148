//! Where a message ends before the other has, or not as anybody would have expected.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::backend::{Backend, nobody, read_head, response};
use crate::support::broker::Broker;
use crate::support::miffy::{BOTH_PATHS, Miffy, Setup, between};
use crate::support::process;
use crate::support::wire::latin1;
use crate::support::{until, within};

/// More than any system takes for a backend that reads nothing.
const LARGE: usize = 12 << 20;

async fn rest(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut rest = Vec::new();
    let read = within("the end", stream.read_to_end(&mut rest)).await;
    read.map(|_| latin1(&rest))
}

/// Answers each request as soon as its head is there, and reads no more.
async fn answers_early() -> Backend {
    Backend::stalling(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await
}

async fn live_in_flight(miffy: &Miffy) -> u64 {
    miffy.metric("miffy_live_in_flight").await[""]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_answers_an_upload_and_does_not_read_it_keeps_nothing() {
    let reference = Backend::start(|_| async { response(200, &[], "") }).await;
    let candidate = answers_early().await;
    let miffy = Setup::of(&reference, &candidate, &Broker::start())
        .tables("[capture]\nmax_body = \"16MiB\"\n")
        .start();
    let answer = miffy.post("/x/1", vec![b'a'; LARGE]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    miffy.outcomes(1).await;
    until("the copy to be given up", || async {
        (miffy.metric("miffy_captured_bytes").await[""] == 0).then_some(())
    })
    .await;
    miffy.stop().await;
}

/// It may take what it has answered already. If it does not, nobody waits for it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_answers_an_upload_and_does_not_read_it_ends_it() {
    let reference = answers_early().await;
    let miffy = between(&reference, &reference, &Broker::start());
    let head = format!("POST /outside HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    let (mut from, mut to) = miffy.send(head).await.into_split();
    let sent = async {
        // It is told so in its own time.
        let _gone = to.write_all(&vec![b'a'; LARGE]).await;
    };
    let mut answer = Vec::new();
    let ended = async { tokio::join!(sent, from.read_to_end(&mut answer)) };
    let _reset = within("the end", ended).await;
    assert!(latin1(&answer).starts_with("HTTP/1.1 413"));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_asks_for_ends_its_connection() {
    let candidate = Backend::start(|_| async { response(200, &[], "") }).await;
    let miffy = Setup::of(nobody(), &candidate, &Broker::start()).start();
    for path in BOTH_PATHS {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 33\r\n\r\n"
        );
        let mut stream = miffy.send(head).await;
        let answer = rest(&mut stream).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    miffy.outcomes(1).await;
    assert!(candidate.arrived().is_empty());
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_may_be_said_on_several_lines() {
    let backend = Backend::start(|request| async move { response(200, &[], request.body) }).await;
    let miffy = between(&backend, &backend, &Broker::start());
    for lines in ["100-continue\r\nExpect: x", "x\r\nExpect: 100-continue"] {
        let head = format!(
            "POST /outside HTTP/1.1\r\nHost: a\r\nExpect: {lines}\r\nContent-Length: 4\r\n\r\n"
        );
        let mut stream = miffy.send(head).await;
        let asked = within("to be asked", read_head(&mut stream)).await;
        assert_eq!(asked, "HTTP/1.1 100 Continue\r\n\r\n", "{lines}");
        stream.write_all(b"body").await.unwrap();
        let answer = within("the answer", read_head(&mut stream)).await;
        assert!(answer.contains("content-length: 4\r\n"), "{answer}");
    }
    miffy.stop().await;
}

/// A close while anything is unread is a reset, which takes what is still on its way with it (RFC 9112 §9.6).
#[tokio::test(flavor = "multi_thread")]
async fn the_last_answer_arrives_whole_whatever_is_sent_behind_its_request() {
    let large = || async { response(200, &[], "a".repeat(3 << 20)) };
    let reference = Backend::start(move |_| large()).await;
    let miffy = between(&reference, &reference, &Broker::start());
    for path in BOTH_PATHS {
        let mut bytes = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        bytes.push_str(&"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4000));
        let mut stream = miffy.send(bytes).await;
        let head = within("the answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        // As a client that has other things to do first.
        sleep(Duration::from_millis(200)).await;
        let body = rest(&mut stream).await.expect("no reset");
        assert_eq!(body.len(), 3 << 20);
    }
    miffy.stop().await;
}

/// By nothing but a reset can a client of HTTP/1.0 tell (RFC 9112 §8).
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_a_stop_cuts_is_no_whole_one() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
    let reference = Backend::stalling(head).await;
    let broker = Broker::start();
    let setup = Setup::of(&reference, &reference, &broker);
    let environment = [
        ("MIFFY_SHUTDOWN_TIMEOUT", "100ms"),
        ("MIFFY_SHUTDOWN_DELAY", "off"),
    ];
    let (mut miffy, url) = process::start(&setup, &environment);
    let stream = TcpStream::connect(url.replace("http://", "")).await;
    let mut stream = stream.unwrap();
    let request = b"GET /outside HTTP/1.0\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let head = within("the answer", read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    miffy.signal("TERM");
    let end = rest(&mut stream).await;
    assert!(end.is_err(), "{end:?}");
    miffy.wait();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_missed_whatever_empty_lines_it_has_sent() {
    let hanging = Backend::hanging().await;
    let miffy = between(&hanging, &hanging, &Broker::start());
    for request in [
        "GET /outside HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        "POST /outside HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\n",
    ] {
        let stream = miffy.send(request).await;
        until("the request", || async {
            (live_in_flight(&miffy).await == 1).then_some(())
        })
        .await;
        drop(stream);
        until("it to be given up", || async {
            (live_in_flight(&miffy).await == 0).then_some(())
        })
        .await;
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_names_a_host_and_a_query_only_asks_for_the_root() {
    let backend = Backend::start(|_| async { response(200, &[], "") }).await;
    let miffy = between(&backend, &backend, &Broker::start());
    let request = "GET http://a?q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = rest(&mut miffy.send(request).await).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(backend.first().await.target, "/?q");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_becomes_another_protocols_is_not_said_to_close() {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let reference = Backend::stalling(head).await;
    let miffy = between(&reference, &reference, &Broker::start());
    let request =
        "GET /outside HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: x\r\n\r\n";
    let mut stream = miffy.send(request).await;
    let head = within("the answer", read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(!head.contains("close"), "{head}");
    drop(stream);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_content_has_no_length_in_http2_either() {
    let backend = Backend::answering(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n").await;
    let miffy = between(&backend, &backend, &Broker::start());
    let stream = TokioIo::new(miffy.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for path in BOTH_PATHS {
        let request = Request::get(format!("http://a{path}"));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = within("a response", sender.send_request(request)).await;
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(!response.headers().contains_key("content-length"));
    }
    miffy.stop().await;
}
