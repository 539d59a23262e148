//! Clients' connections: how long they may be open for nothing, how much may be sent on them, and how they
//! end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::backend::{Backend, json, nobody, read_head};
use crate::support::broker::Broker;
use crate::support::miffy::{Miffy, Setup};
use crate::support::tls::Authority;
use crate::support::{until, within};

/// miffy in front of a service that answers everything, with these limits.
async fn limited(limits: &str) -> (Backend, Miffy) {
    let broker = Broker::mock();
    let backend = Backend::start(|_| async { json("{}") }).await;
    let setup = Setup::of(&backend, nobody(), &broker);
    let miffy = setup.tables(&format!("[clients]\n{limits}\n")).start();
    (backend, miffy)
}

/// Waits until the other side closes a connection; gives what it sent before.
async fn closed(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    // A connection that is closed on unread bytes is reset.
    let _reset = within("the end", stream.read_to_end(&mut received)).await;
    String::from_utf8(received).unwrap()
}

async fn get(stream: &mut TcpStream) -> String {
    stream.write_all(GET.as_bytes()).await.unwrap();
    let head = within("a response", read_head(stream)).await;
    let mut body = [0; 2];
    within("its body", stream.read_exact(&mut body))
        .await
        .unwrap();
    head
}

/// A connection on which this was sent before it was ended for its silence, the answer's head, and how many were ended: a
/// busy machine may take longer to send it than the limits of these tests allow.
async fn in_time(miffy: &Miffy, request: &str) -> (TcpStream, String, u64) {
    let mut ended = 0;
    within("an answer", async {
        loop {
            let mut stream = miffy.connect().await;
            if stream.write_all(request.as_bytes()).await.is_ok() {
                let head = read_head(&mut stream).await;
                if !head.is_empty() {
                    return (stream, head, ended);
                }
            }
            ended += 1;
        }
    })
    .await
}

const GET: &str = "GET /other HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_ends_its_connection() {
    let (_backend, miffy) = limited("head_timeout = \"200ms\"").await;
    for start in ["", "GET /other HTTP/1.1\r\nHost:", "PRI * HTTP/2.0\r\n"] {
        let mut stream = miffy.send(start).await;
        assert_eq!(closed(&mut stream).await, "", "{start}");
    }
    let (mut stream, _, ended) = in_time(&miffy, GET).await;
    // A second head is no different from the first.
    stream.write_all(b"GET").await.unwrap();
    assert_eq!(closed(&mut stream).await, "{}");
    let limits = miffy.metric("miffy_client_limits_total").await;
    assert_eq!(limits["limit=\"head_timeout\""], 4 + ended);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_byte_by_byte_has_no_more_time() {
    let (_backend, miffy) = limited("head_timeout = \"200ms\"").await;
    let (mut from, mut to) = miffy.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        while to.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // Closed, or reset on bytes that nobody read.
    let end = within("the end", from.read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    within("the end", trickle).await.unwrap();
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_quiet_for_so_long() {
    let (_backend, miffy) = limited("idle_timeout = \"200ms\"").await;
    let (mut stream, head, _) = in_time(&miffy, GET).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(closed(&mut stream).await, "{}");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_waits_for_its_answer_is_not_quiet() {
    let broker = Broker::mock();
    let slow = Backend::start(|_| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        json("{}")
    })
    .await;
    let limits = "[clients]\nidle_timeout = \"100ms\"\nhead_timeout = \"100ms\"\n";
    let miffy = Setup::of(&slow, nobody(), &broker).tables(limits).start();
    let (_stream, head, _) = in_time(&miffy, GET).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(slow.arrived().len(), 1, "none was left for its answer");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_targets_are_limited() {
    let limits = "max_headers = 10\nmax_head = \"8KiB\"\nmax_target = \"100B\"";
    let (backend, miffy) = limited(limits).await;
    let headers = |number| "x: 1\r\n".repeat(number);
    for (target, headers, status) in [
        ("/".to_owned(), headers(9), "200"),
        ("/".to_owned(), headers(10), "431"),
        (
            "/".to_owned(),
            format!("x: {}\r\n", "x".repeat(20_000)),
            "431",
        ),
        (format!("/{}", "x".repeat(99)), headers(0), "200"),
        (format!("/{}", "x".repeat(100)), headers(0), "414"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let mut stream = miffy.send(request).await;
        let head = within("a response", read_head(&mut stream)).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
    }
    assert_eq!(backend.arrived().len(), 2);
    let limits = miffy.metric("miffy_client_limits_total").await;
    assert_eq!(limits["limit=\"max_target\""], 1);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_may_be_large_if_nothing_is_said() {
    let broker = Broker::mock();
    let headers = format!("x: {}\r\n", "x".repeat(1000)).repeat(120);
    // The answer's headers are the request's.
    let backend = Backend::raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let (_, headers) = head.split_once("a\r\n").unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{headers}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let miffy = Setup::of(&backend, nobody(), &broker).start();
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
    let mut stream = miffy.send(request).await;
    let head = within("a response", read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains(&headers), "{head}");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_limit_waits_for_another_to_end() {
    let (_backend, miffy) = limited("max_connections = 1").await;
    let mut first = miffy.connect().await;
    get(&mut first).await;
    let mut second = miffy.send(GET).await;
    until("the limit to be met", || async {
        let limits = miffy.metric("miffy_client_limits_total").await;
        (limits["limit=\"max_connections\""] == 1).then_some(())
    })
    .await;
    assert_eq!(
        miffy.metric("miffy_requests_total").await["role=\"upstream\""],
        1
    );
    drop(first);
    let head = within("a response", read_head(&mut second)).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_serves_what_is_on_its_way_and_says_that_it_ends() {
    let (_backend, miffy) = limited("").await;
    let mut quiet = miffy.connect().await;
    get(&mut quiet).await;
    let mut fresh = miffy.connect().await;
    until("both connections", || async {
        (miffy.metric("miffy_connections").await[""] == 2).then_some(())
    })
    .await;
    let stopping = miffy.tell_to_stop();
    // Sent while miffy stops, or before it knows: a client can't tell until it is told.
    for stream in [&mut quiet, &mut fresh] {
        let mut is_told = false;
        while !is_told {
            let head = get(stream).await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            is_told = head.contains("connection: close\r\n");
        }
        assert_eq!(closed(stream).await, "");
    }
    within("the end", stopping).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_answered_early_may_take_its_time() {
    let broker = Broker::mock();
    let (sender, mut read) = mpsc::unbounded_channel();
    let reference = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let mut body = [0; 10];
            sender
                .send(stream.read_exact(&mut body).await.is_ok())
                .unwrap();
        }
    })
    .await;
    let miffy = Setup::of(&reference, nobody(), &broker)
        .tables("[clients]\nhead_timeout = \"100ms\"\nidle_timeout = \"100ms\"\n")
        .start();
    let request = "POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let (mut stream, head, _) = in_time(&miffy, request).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for _ in 0..10 {
        stream.write_all(b"x").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(within("the body", read.recv()).await.unwrap());
    miffy.stop().await;
}

/// The start of a connection of HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http2_that_is_told_to_end_its_connection_and_does_not_is_left() {
    let (_backend, miffy) = limited("idle_timeout = \"100ms\"").await;
    let mut stream = miffy.send(PREFACE).await;
    let mut received = Vec::new();
    let _reset = within("the end", stream.read_to_end(&mut received)).await;
    // GOAWAY, among other frames.
    assert!(received.windows(5).any(|bytes| bytes == b"\x08\x07\0\0\0"));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_counts_and_lives_until_a_stop_is_over() {
    let broker = Broker::mock();
    let (sender, mut ended) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            let answer =
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let (mut from, mut to) = stream.split();
            let _broken = tokio::io::copy(&mut from, &mut to).await;
            sender.send(()).unwrap();
        }
    })
    .await;
    let miffy = Setup::of(&backend, nobody(), &broker).start();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut stream = miffy.send(request).await;
    within("the answer", read_head(&mut stream)).await;
    let echo = async |stream: &mut TcpStream| {
        stream.write_all(b"x").await.unwrap();
        within("the echo", stream.read_exact(&mut [0; 1]))
            .await
            .unwrap();
    };
    echo(&mut stream).await;
    assert_eq!(miffy.metric("miffy_connections").await[""], 1);
    let address = miffy.address;
    let stopping = miffy.tell_to_stop();
    until("the port to be closed", || async {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    echo(&mut stream).await;
    assert!(!stopping.is_finished());
    drop(stream);
    within("the end of the tunnel", ended.recv()).await.unwrap();
    within("the end", stopping).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_comes_does_not_hold_up_a_stop() {
    let (authority, broker) = (Authority::new(), Broker::mock());
    let (certificate, key) = authority.sign("miffy");
    let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    for (tls, sent) in [("", &b""[..]), ("", PREFACE), (&*tls, b"")] {
        let setup = Setup::of(nobody(), nobody(), &broker).more("shutdown_timeout = \"1h\"");
        let tables = format!("[clients]\nhead_timeout = \"1h\"\n{tls}");
        let miffy = setup.tables(&tables).start();
        let _silent = miffy.send(sent).await;
        until("the connection", || async {
            (miffy.metric("miffy_connections").await[""] == 1).then_some(())
        })
        .await;
        miffy.stop().await;
    }
}
