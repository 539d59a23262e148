//! The live path: what clients and backends see of miffy, which is nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json as value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, Notify, mpsc, watch};

use crate::support::backend::{Arrived, Backend, json, nobody, read_head, response};
use crate::support::broker::Broker;
use crate::support::client::Client;
use crate::support::miffy::{BOTH_PATHS, Setup, between, outcomes};
use crate::support::{until, within};

async fn echo(request: Arrived) -> axum::response::Response {
    json(format!(r#"{{"role":"{}"}}"#, request.role()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_answers_and_each_side_is_told_its_role() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(echo).await, Backend::start(echo).await);
    let miffy = between(&reference, &candidate, &broker);

    let answer = miffy.get("/x/1").await.text().await.unwrap();
    assert_eq!(answer, r#"{"role":"reference"}"#);
    let answer = miffy.get("/other").await.text().await.unwrap();
    assert_eq!(answer, r#"{"role":"upstream"}"#);
    let claim = miffy.client.get(miffy.url("/x/2"));
    claim
        .header("x-shadow-test-role", "admin")
        .send()
        .await
        .unwrap();

    miffy.outcomes(2).await;
    let roles = |backend: &Backend| {
        let arrived = backend.arrived();
        arrived
            .iter()
            .map(|request| request.role().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(roles(&reference), ["reference", "upstream", "reference"]);
    assert_eq!(roles(&candidate), ["candidate", "candidate"]);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_have_backends_of_its_own_behind_a_path() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(echo).await, Backend::start(echo).await);
    let nowhere = nobody();
    let routes = format!(
        r#"{{ path = "/x/{{id}}", reference = "{}/v1/", candidate = "{}/v2" }}"#,
        reference.url(),
        candidate.url()
    );
    let setup = Setup::of(&nowhere, &nowhere, &broker).routes(&routes);
    let miffy = setup.start();
    assert_eq!(miffy.get("/x/1?q=/").await.status(), 200);
    miffy.outcomes(1).await;
    assert_eq!(reference.first().await.target, "/v1/x/1?q=/");
    assert_eq!(candidate.first().await.target, "/v2/x/1?q=/");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_arrive_on_both_sides_as_they_were_sent() {
    let broker = Broker::start();
    let same = |_| async { json("{}") };
    let (reference, candidate) = (Backend::start(same).await, Backend::start(same).await);
    let miffy = between(&reference, &candidate, &broker);
    let long = format!("/x/{}", "a".repeat(8000));
    let targets = [
        "/x/a/../b",
        "/x/%2e%2e/y",
        "/x/./z",
        "/x//double",
        "/x/a%2Fb",
        "/x/a\\b",
        "/x/it's",
        "/x/{v}",
        "/x/a|b",
        "/x/q?q='y'",
        "/x/q?",
        "/x/+?a=+",
        "/x/%E2%82%AC?%C3%A4",
        "/x/%zz",
        &long,
    ];
    let mut stream = miffy.connect().await;
    for target in targets {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = within("an answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {head}");
        let mut body = [0; 2];
        within("its body", stream.read_exact(&mut body))
            .await
            .unwrap();
    }
    miffy.outcomes(u64::try_from(targets.len()).unwrap()).await;
    for backend in [&reference, &candidate] {
        let arrived: Vec<String> = backend.arrived().into_iter().map(|r| r.target).collect();
        assert_eq!(sorted(arrived), sorted(targets.map(str::to_owned).to_vec()));
    }
    miffy.stop().await;
}

fn sorted(mut items: Vec<String>) -> Vec<String> {
    items.sort();
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_forms_of_targets_are_served() {
    let broker = Broker::start();
    let same = |_| async { json("{}") };
    let (reference, candidate) = (Backend::start(same).await, Backend::start(same).await);
    let miffy = between(&reference, &candidate, &broker);
    let ask = async |request: &str| {
        let mut stream = miffy.send(request).await;
        within("an answer", read_head(&mut stream)).await
    };
    let absolute = "GET http://elsewhere:80/x/abs?q HTTP/1.1\r\nHost: ignored\r\n\r\n";
    assert!(ask(absolute).await.starts_with("HTTP/1.1 200"));
    assert!(
        ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        ask("CONNECT /x/1 HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 501")
    );
    assert!(
        ask("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 501")
    );
    assert!(
        ask("GET /x/old HTTP/1.0\r\n\r\n")
            .await
            .starts_with("HTTP/1.0 200")
    );

    let arrived = reference.arrived();
    let targets: Vec<&str> = arrived
        .iter()
        .map(|request| request.target.as_str())
        .collect();
    assert_eq!(targets, ["/x/abs?q", "*", "/x/old"]);
    assert_eq!(arrived[0].headers["host"], "elsewhere:80");
    assert_eq!(miffy.outcomes(2).await, outcomes([("equal", 2)]));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_arrive_as_sent_but_for_the_hop_by_hop_ones() {
    let broker = Broker::start();
    let same = |_| async { json("{}") };
    let (reference, candidate) = (Backend::start(same).await, Backend::start(same).await);
    let miffy = between(&reference, &candidate, &broker);
    for path in BOTH_PATHS {
        let head = [
            format!("POST {path} HTTP/1.1\r\n").as_bytes(),
            b"Host: client.example\r\nConnection: X-Hop, keep-alive\r\nX-Multi: 1\r\nX-Other: o\r\n",
            b"X-Hop: 1\r\nX-Multi: 2\r\nX-Empty:\r\nTE: trailers\r\nX-Bytes: \xe4\xf6\r\n",
            b"Keep-Alive: 5\r\nProxy-Connection: x\r\nContent-Length: 2\r\n\r\n{}",
        ]
        .concat();
        let mut stream = miffy.send(&head).await;
        assert!(
            within("an answer", read_head(&mut stream))
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
    miffy.outcomes(1).await;
    let mut arrived = reference.arrived();
    arrived.extend(candidate.arrived());
    assert_eq!(arrived.len(), 3);
    for request in arrived {
        let headers = request.headers;
        let names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        let expected = [
            "host",
            "x-multi",
            "x-other",
            "x-empty",
            "x-bytes",
            "content-length",
            "x-shadow-test-role",
        ];
        assert_eq!(names, expected);
        assert_eq!(headers["host"], "client.example");
        assert_eq!(headers["x-empty"], "");
        assert_eq!(headers["x-bytes"].as_bytes(), b"\xe4\xf6");
        let multi: Vec<_> = headers.get_all("x-multi").iter().collect();
        assert_eq!(multi, ["1", "2"]);
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responses_headers_keep_their_order() {
    let broker = Broker::start();
    let backend = Backend::answering(
        b"HTTP/1.1 200 OK\r\nA: 1\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nB: 2\r\nC: 3\r\n\
          D: 4\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let miffy = between(&backend, &backend, &broker);
    for path in BOTH_PATHS {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut stream = miffy.send(&request).await;
        let head = within("an answer", read_head(&mut stream)).await;
        let lines: Vec<&str> = head.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["A: 1", "B: 2", "C: 3", "D: 4", "Content-Length: 0", ""]
        );
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn header_names_keep_their_spelling() {
    let broker = Broker::start();
    let (sender, mut heads) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            sender.send(read_head(&mut stream).await).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nX-ReSponse: 1\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let miffy = between(&backend, &backend, &broker);
    let mut stream = miffy
        .send(b"GET /x/1 HTTP/1.1\r\nHOST: a\r\nX-ReQuest: 1\r\n\r\n")
        .await;
    let head = within("an answer", read_head(&mut stream)).await;
    assert!(head.contains("\r\nX-ReSponse: 1\r\n"), "{head}");
    for _side in ["reference", "candidate"] {
        let head = within("a request", heads.recv()).await.unwrap();
        assert!(head.contains("\r\nX-ReQuest: 1\r\n"), "{head}");
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_arrive_byte_for_byte() {
    let responses: [&'static [u8]; 8] = [
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",
        b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 404 Nothing Here\r\nx-bytes: \xe4\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nx-empty: \r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 06:58:48 GMT\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ];
    let broker = Broker::start();
    for bytes in responses {
        let backend = Backend::answering(bytes).await;
        let miffy = between(&backend, &backend, &broker);
        for path in BOTH_PATHS {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let mut stream = miffy.send(&request).await;
            let mut received = Vec::new();
            within("the response", stream.read_to_end(&mut received))
                .await
                .unwrap();
            // Each connection's own affair.
            let received = latin1(&received).replace("connection: close\r\n", "");
            assert_eq!(received, latin1(bytes), "{path}");
        }
        miffy.stop().await;
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_head_says_what_the_reference_says_of_the_body() {
    let broker = Broker::start();
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-no-length: 1\r\n\r\n",
    ] {
        let backend = Backend::answering(head.as_bytes()).await;
        let miffy = between(&backend, &backend, &broker);
        let mut stream = miffy.send(b"HEAD /x/1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(within("an answer", read_head(&mut stream)).await, head);
        assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
        miffy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_reaches_the_client_as_it_is_written() {
    let broker = Broker::start();
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let backend = Backend::raw(move |mut stream| {
        let go_on = waiting.clone();
        async move {
            let head = read_head(&mut stream).await;
            let start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst,\r\n";
            stream.write_all(start).await.unwrap();
            if !head.contains("candidate") {
                go_on.notified().await;
            }
            stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let miffy = between(&backend, &backend, &broker);
    for path in BOTH_PATHS {
        let mut response = miffy.get(path).await;
        let first = within("the first chunk", response.chunk()).await.unwrap();
        assert_eq!(first.as_deref(), Some(&b"first,"[..]), "{path}");
        go_on.notify_one();
        assert_eq!(response.text().await.unwrap(), "second");
    }
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_reference_as_it_is_written() {
    let broker = Broker::start();
    let (sender, receiver) = mpsc::unbounded_channel();
    let reference = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            for _chunk in 0..2 {
                let mut chunk = [0; 8];
                stream.read_exact(&mut chunk).await.unwrap();
                sender.send(chunk).unwrap();
            }
            stream.read_exact(&mut [0; 5]).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let arrived = Mutex::new(receiver);
    let candidate = Backend::start(|_| async { response(200, &[], Body::empty()) }).await;
    let miffy = between(&reference, &candidate, &broker);
    for path in BOTH_PATHS {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut stream = miffy.send(&head).await;
        for chunk in [b"3\r\nabc\r\n", b"3\r\ndef\r\n"] {
            stream.write_all(chunk).await.unwrap();
            let seen = within("the chunk", arrived.lock().await.recv()).await;
            assert_eq!(seen.as_ref(), Some(chunk), "{path}");
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        assert!(
            within("an answer", read_head(&mut stream))
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    let mirrored = candidate.first().await;
    assert_eq!(mirrored.body, "abcdef");
    assert_eq!(mirrored.headers["transfer-encoding"], "chunked");
    assert_eq!(mirrored.headers.get("content-length"), None);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_fails_is_answered_for_without_telling_what_is_behind() {
    let broker = Broker::start();
    let candidate = Backend::start(|_| async { json("{}") }).await;
    let hanging = Backend::hanging().await;
    let garbage = Backend::answering(b"SSH-2-OpenSSH\r\n").await;
    let closing = Backend::answering(b"").await;
    let (nowhere, candidate) = (nobody(), candidate.url());
    for (reference, status, error) in [
        (nowhere.as_str(), 502, "bad_gateway"),
        (&garbage.url(), 502, "bad_gateway"),
        (&closing.url(), 502, "bad_gateway"),
        (&hanging.url(), 504, "gateway_timeout"),
    ] {
        let mut setup = Setup::of(reference, &candidate, &broker);
        if status == 504 {
            setup = setup.tables("[timeouts.reference]\nfirst_byte = \"200ms\"\n");
        }
        let miffy = setup.start();
        for path in BOTH_PATHS {
            let response = miffy.get(path).await;
            assert_eq!(response.status(), status, "{reference}");
            assert_eq!(response.headers()["content-type"], "application/json");
            let text = response.text().await.unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(body["error"], error);
            assert!(body["message"].is_string());
            assert_eq!(body.as_object().unwrap().len(), 2);
            let authority = reference.strip_prefix("http://").unwrap();
            assert!(!text.contains(authority), "{text}");
        }
        let gateway_errors = miffy.metric("miffy_gateway_errors_total").await;
        assert_eq!(gateway_errors[&format!("status=\"{status}\"")], 2);
        miffy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_both_exchanges() {
    let broker = Broker::start();
    let (sender, mut ended) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = read_head(&mut stream).await;
            let role = if head.contains("candidate") {
                "candidate"
            } else {
                "reference"
            };
            sender.send(("begun", role)).unwrap();
            let _end = stream.read(&mut [0; 1]).await;
            sender.send(("ended", role)).unwrap();
        }
    })
    .await;
    let miffy = between(&backend, &backend, &broker);
    let stream = miffy.send(b"GET /x/1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(within("both requests", ended.recv()).await.unwrap());
    }
    drop(stream);
    for _ in 0..2 {
        seen.push(within("both ends", ended.recv()).await.unwrap());
    }
    seen.sort_unstable();
    let expected = [
        ("begun", "candidate"),
        ("begun", "reference"),
        ("ended", "candidate"),
        ("ended", "reference"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        miffy.outcomes(1).await,
        outcomes([("skipped.client_gone", 1)])
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_can_be_upgraded_inside_and_outside_of_experiments() {
    let broker = Broker::start();
    let reference = Backend::raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let head = head.to_lowercase();
        assert!(head.contains("\r\nupgrade: echo\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    })
    .await;
    let candidate = Backend::start(|_| async { json("{}") }).await;
    let miffy = between(&reference, &candidate, &broker);
    for path in BOTH_PATHS {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        );
        let mut stream = miffy.send(&request).await;
        let head = within("an answer", read_head(&mut stream)).await;
        assert!(
            head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{head}"
        );
        assert!(head.contains("upgrade: echo\r\n"), "{head}");
        stream.write_all(b"not http").await.unwrap();
        let mut back = [0; 8];
        within("the echo", stream.read_exact(&mut back))
            .await
            .unwrap();
        assert_eq!(&back, b"not http");
    }
    assert_eq!(miffy.outcomes(1).await, outcomes([("skipped.upgrade", 1)]));
    assert_eq!(candidate.arrived().len(), 0);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_with_prior_knowledge_is_served_on_the_same_port() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(echo).await, Backend::start(echo).await);
    let miffy = between(&reference, &candidate, &broker);
    let stream = TokioIo::new(miffy.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://some.host/x/1")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = within("a response", sender.send_request(request))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"role":"reference"}"#);
    assert_eq!(reference.first().await.headers["host"], "some.host");
    miffy.stop().await;
}

/// HTTP/2 has no rule of framing that would keep a body from going out (RFC 9110 §9.3.2).
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_its_own_to_head_has_no_body() {
    let broker = Broker::mock();
    let setup = Setup::of(nobody(), nobody(), &broker);
    let miffy = setup.tables("[clients]\nmax_target = \"100B\"\n").start();
    let stream = TokioIo::new(miffy.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for (path, status) in [("1".to_owned(), 502), ("1".repeat(100), 414)] {
        let mut answers = Vec::new();
        for method in ["GET", "HEAD"] {
            let request = Request::builder()
                .method(method)
                .uri(format!("http://some.host/{path}"))
                .body(Empty::<Bytes>::new())
                .unwrap();
            let answer = within("an answer", sender.send_request(request)).await;
            let (head, body) = answer.unwrap().into_parts();
            assert_eq!(head.status, status, "{method}");
            let body = body.collect().await.unwrap().to_bytes();
            answers.push((head.headers, body.len()));
        }
        assert_ne!(answers[0].1, 0);
        assert_eq!(answers[1].1, 0);
        assert_eq!(
            answers[0].0["content-length"],
            answers[1].0["content-length"]
        );
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_connection_may_be_pipelined() {
    let broker = Broker::start();
    let path = |request: Arrived| async move { response(200, &[], request.target) };
    let (reference, candidate) = (Backend::start(path).await, Backend::start(path).await);
    let miffy = between(&reference, &candidate, &broker);
    let requests = "GET /x/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /x/2 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut stream = miffy.send(&requests).await;
    for expected in ["/x/1", "/x/2"] {
        assert!(
            within("an answer", read_head(&mut stream))
                .await
                .starts_with("HTTP/1.1 200")
        );
        let mut body = [0; 4];
        within("its body", stream.read_exact(&mut body))
            .await
            .unwrap();
        assert_eq!(&body, expected.as_bytes());
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_mirrored_though_the_reference_is_away() {
    let broker = Broker::start();
    let candidate = Backend::start(|_| async { json("{}") }).await;
    let setup = Setup::of(nobody(), &candidate, &broker).start();
    let response = setup.post("/x/1", "a body").await;
    assert_eq!(response.status(), 502);
    assert_eq!(
        setup.outcomes(1).await,
        outcomes([("reference_failed.connect", 1)])
    );
    assert_eq!(candidate.first().await.body, "a body");
    setup.stop().await;
    let [record] = &broker.published().await[..] else {
        panic!("one record");
    };
    let record = record.json();
    assert_eq!(
        record["reference"]["response"],
        value!({ "error": "request" })
    );
    assert_eq!(record["candidate"]["response"]["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_closed_while_idle_costs_no_idempotent_request() {
    let broker = Broker::start();
    let (sender, mut arrived) = mpsc::unbounded_channel();
    // Answers the first request of each connection, and hangs up on the second.
    let backend = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let head = read_head(&mut stream).await;
            let _test_is_over = sender.send(head.split(' ').next().unwrap().to_owned());
        }
    })
    .await;
    let miffy = between(&backend, &backend, &broker);
    // One connection of the client, whose thread has connections of its own to the backend. The second request meets the
    // hang-up, and is sent again on another one.
    let mut client = Client::connect(miffy.address).await;
    for (method, status) in [("GET", 200), ("GET", 200), ("POST", 502)] {
        let answer = client.ask(method, "/outside").await;
        assert_eq!(answer.status(), status, "{method}");
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(within("a request", arrived.recv()).await.unwrap());
    }
    assert_eq!(seen, ["GET", "POST"]);
    assert!(arrived.try_recv().is_err(), "the POST was sent twice");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_may_have_a_body_of_unknown_length() {
    let broker = Broker::start();
    let echo = |request: Arrived| async move { response(200, &[], request.body) };
    let (reference, candidate) = (Backend::start(echo).await, Backend::start(echo).await);
    let miffy = between(&reference, &candidate, &broker);
    for path in BOTH_PATHS {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let mut stream = miffy.send(&request).await;
        let mut received = String::new();
        within("the response", stream.read_to_string(&mut received))
            .await
            .unwrap();
        assert!(received.ends_with("\r\n\r\nhello"), "{path}: {received}");
    }
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_framed_twice_arrives_whole() {
    let broker = Broker::start();
    for length in ["3", "30"] {
        let backend = Backend::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let miffy = between(&backend, &backend, &broker);
        for path in BOTH_PATHS {
            let response = miffy.get(path).await;
            assert_eq!(response.headers().get("content-length"), None);
            assert_eq!(response.text().await.unwrap(), "hello");
        }
        assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
        miffy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_with_trailers_arrives_with_them_and_is_compared() {
    let broker = Broker::start();
    let answer = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                  2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n";
    let backend = Backend::answering(answer.as_bytes()).await;
    let miffy = between(&backend, &backend, &broker);
    let request = "GET /x/1 HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, te\r\n\r\n";
    let mut stream = miffy.send(&request).await;
    let mut received = String::new();
    within("the response", stream.read_to_string(&mut received))
        .await
        .unwrap();
    assert_eq!(received.replace("connection: close\r\n", ""), answer);
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_refuses_an_upload_and_hangs_up_is_heard() {
    let broker = Broker::start();
    let backend = Backend::answering(
        b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    )
    .await;
    let miffy = between(&backend, &backend, &broker);
    for _ in 0..10 {
        for path in BOTH_PATHS {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
            let stream = miffy.send(&head).await;
            let (mut from, mut to) = stream.into_split();
            let upload = tokio::spawn(async move {
                // As much of it as anybody takes.
                let _taken = to.write_all(&vec![b'x'; 4_000_000]).await;
                // Dropped here, it would close this side of the connection.
                to
            });
            let mut status = [0; 12];
            within("the answer", from.read_exact(&mut status))
                .await
                .unwrap();
            assert_eq!(latin1(&status), "HTTP/1.1 413", "{path}");
            upload.abort();
        }
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_is_answered_before_its_upload_ends_and_mirrored_after_it() {
    let broker = Broker::start();
    let candidate = Backend::start(|_| async { json("{}") }).await;
    let miffy = Setup::of(nobody(), &candidate, &broker).start();
    let start = "POST /x/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf";
    let mut stream = miffy.send(&start).await;
    assert!(
        within("an answer", read_head(&mut stream))
            .await
            .starts_with("HTTP/1.1 502")
    );
    assert_eq!(candidate.arrived().len(), 0);
    stream.write_all(b"half").await.unwrap();
    assert_eq!(candidate.first().await.body, "halfhalf");
    assert_eq!(
        miffy.outcomes(1).await,
        outcomes([("reference_failed.connect", 1)])
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_that_were_closed_while_idle_cost_no_idempotent_request() {
    let broker = Broker::start();
    let gate = Arc::new(tokio::sync::Barrier::new(5));
    let together = gate.clone();
    // The first five requests are answered together, so that there are five connections; each hangs up
    // on its second.
    let backend = Backend::raw(move |mut stream| {
        let together = together.clone();
        async move {
            let head = read_head(&mut stream).await;
            if head.starts_with("GET /together") {
                together.wait().await;
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            read_head(&mut stream).await;
        }
    })
    .await;
    let miffy = between(&backend, &backend, &broker);
    let together = (0..5).map(|_| {
        let request = miffy.client.get(miffy.url("/together"));
        tokio::spawn(request.send())
    });
    for response in together.collect::<Vec<_>>() {
        let response = within("a response", response).await.unwrap();
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!(miffy.get("/again").await.status(), 200);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_wrong_is_not_put_down_to_the_reference() {
    let broker = Broker::start();
    let same = |_| async { json("{}") };
    let (reference, candidate) = (Backend::start(same).await, Backend::start(same).await);
    let miffy = between(&reference, &candidate, &broker);
    for path in BOTH_PATHS {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut stream = miffy.send(&head).await;
        stream.write_all(b"2\r\n{}\r\nZZ\r\n").await.unwrap();
        assert!(
            within("an answer", read_head(&mut stream))
                .await
                .starts_with("HTTP/1.1 400"),
            "{path}"
        );
    }
    let half = "POST /x/gone HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf";
    let stream = miffy.send(&half).await;
    drop(stream);
    assert_eq!(
        miffy.outcomes(2).await,
        outcomes([("skipped.client_gone", 2)])
    );
    let errors = miffy.metric("miffy_gateway_errors_total").await;
    assert_eq!(errors.values().sum::<u64>(), 0, "{errors:?}");
    miffy.stop().await;
}

/// A backend that reads a request's head, writes `before`, reads what comes of the body if that asks for
/// it, and then writes `after`. It tells what it read of the body.
async fn asked_whether(
    before: &'static [u8],
    body: &'static str,
    after: &'static [u8],
) -> (Backend, mpsc::UnboundedReceiver<String>) {
    let (sender, read) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(before).await.unwrap();
            let mut received = vec![0; body.len()];
            stream.read_exact(&mut received).await.unwrap();
            sender.send(latin1(&received)).unwrap();
            stream.write_all(after).await.unwrap();
            // Whatever comes now was not asked for.
            let mut more = Vec::new();
            let _gone = stream.read_to_end(&mut more).await;
            let _test_is_over = sender.send(latin1(&more));
        }
    })
    .await;
    (backend, read)
}

const EXPECTING: &str = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_waits_to_be_asked_for_is_asked_for_by_the_reference() {
    let broker = Broker::start();
    let ok = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for ask in [&b"HTTP/1.1 100 Continue\r\n\r\n"[..], b""] {
        let (reference, mut read) = asked_whether(ask, "body", ok).await;
        let candidate = Backend::start(|_| async { response(200, &[("content-length", "0")], "") });
        let candidate = candidate.await;
        let miffy = between(&reference, &candidate, &broker);
        for path in BOTH_PATHS {
            let mut stream = miffy
                .send(format!("PUT {path} HTTP/1.1\r\n{EXPECTING}"))
                .await;
            // A reference that does not know the question is waited for a second.
            let asked = within("to be asked for", read_head(&mut stream)).await;
            assert_eq!(asked, "HTTP/1.1 100 Continue\r\n\r\n");
            stream.write_all(b"body").await.unwrap();
            let head = within("the answer", read_head(&mut stream)).await;
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            for expected in ["body", ""] {
                let read = within("the body", read.recv()).await.unwrap();
                assert_eq!(read, expected);
            }
        }
        assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
        assert_eq!(candidate.first().await.body, "body");
        miffy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_reference_refuses_is_not_asked_for() {
    let broker = Broker::start();
    let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    let (reference, mut read) = asked_whether(b"", "", refusal).await;
    let miffy = between(&reference, &reference, &broker);
    for path in BOTH_PATHS {
        let mut stream = miffy
            .send(format!("PUT {path} HTTP/1.1\r\n{EXPECTING}"))
            .await;
        let head = within("the answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        drop(stream);
        for _nothing_before_and_after in 0..2 {
            assert_eq!(within("the end", read.recv()).await.unwrap(), "");
        }
    }
    assert_eq!(
        miffy.outcomes(1).await,
        outcomes([("skipped.request_unread", 1)])
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_an_upload_arrives_whole_and_its_connection_goes_on() {
    let broker = Broker::start();
    let (sender, release) = watch::channel(false);
    let reference = Backend::raw(move |mut stream| {
        let mut release = release.clone();
        async move {
            let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n1";
            loop {
                if !read_head(&mut stream).await.starts_with("PUT") {
                    let Ok(()) = stream.write_all(ok).await else {
                        return;
                    };
                    continue;
                }
                stream.write_all(refusal).await.unwrap();
                release.wait_for(|it| *it).await.unwrap();
                stream.write_all(b"2").await.unwrap();
                // The body that came all the same.
                stream.read_exact(&mut [0; 4]).await.unwrap();
            }
        }
    })
    .await;
    let miffy = between(&reference, &reference, &broker);
    for path in BOTH_PATHS {
        sender.send_replace(false);
        let mut stream = miffy
            .send(format!("PUT {path} HTTP/1.1\r\n{EXPECTING}"))
            .await;
        let head = within("the answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        sender.send_replace(true);
        let mut body = [0; 2];
        within("the rest", stream.read_exact(&mut body))
            .await
            .unwrap();
        assert_eq!(body, *b"12");
        let next = b"bodyGET /other HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(next).await.unwrap();
        let head = within("the next answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_are_told_the_way_of_a_request_only_if_they_are_to_be() {
    let broker = Broker::start();
    let same = |_| async { json("{}") };
    let (reference, candidate) = (Backend::start(same).await, Backend::start(same).await);
    let names = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "via",
    ];
    let told = |backend: &Backend| {
        let headers = backend.arrived().pop().unwrap().headers;
        names.map(|name| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        })
    };
    let miffy = between(&reference, &candidate, &broker);
    miffy.get("/x/1").await;
    miffy.outcomes(1).await;
    assert_eq!(told(&reference), [None, None, None, None]);
    assert_eq!(told(&candidate), [None, None, None, None]);
    miffy.stop().await;

    let setup = Setup::of(&reference, &candidate, &broker).more("forwarded = true");
    let miffy = setup.start();
    let host = miffy.address.to_string();
    miffy.get("/x/1").await;
    miffy.outcomes(1).await;
    let first = [
        Some("127.0.0.1"),
        Some("http"),
        Some(&*host),
        Some("1.1 miffy"),
    ];
    for backend in [&reference, &candidate] {
        assert_eq!(
            told(backend).each_ref().map(|value| value.as_deref()),
            first
        );
    }
    let behind = miffy.client.get(miffy.url("/outside"));
    let behind = behind
        .header(names[0], "10.0.0.1")
        .header(names[0], "10.0.0.2");
    let behind = behind
        .header(names[1], "https")
        .header(names[2], "public.example");
    behind.header("via", "2.0 front").send().await.unwrap();
    let later = [
        Some("10.0.0.1, 10.0.0.2, 127.0.0.1"),
        Some("https"),
        Some("public.example"),
        Some("2.0 front, 1.1 miffy"),
    ];
    assert_eq!(
        told(&reference).each_ref().map(|value| value.as_deref()),
        later
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_reference_may_have_a_limit_of_time() {
    let broker = Broker::start();
    let endless = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let hanging = Backend::hanging().await;
    let candidate = Backend::start(|_| async { json("{}") }).await;
    let limit = "[timeouts.reference]\nexchange = \"200ms\"\n";
    let setup = |reference| Setup::of(reference, &candidate, &broker).tables(limit);
    let miffy = setup(&endless).start();
    let mut matched = 0;
    for path in BOTH_PATHS {
        let answer = until("an answer that begins in time", || {
            matched += u64::from(path == BOTH_PATHS[0]);
            let answer = miffy.get(path);
            async { Some(answer.await).filter(|it| it.status() == 200) }
        });
        // What was cut can't be taken for all of it.
        assert!(within("the end", answer.await.bytes()).await.is_err());
    }
    let failed = outcomes([("reference_failed.timeout", matched)]);
    assert_eq!(miffy.outcomes(matched).await, failed);
    miffy.stop().await;
    let miffy = setup(&hanging).start();
    for path in BOTH_PATHS {
        assert_eq!(miffy.get(path).await.status(), 504);
    }
    let failed = outcomes([("reference_failed.timeout", 1)]);
    assert_eq!(miffy.outcomes(1).await, failed);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_the_reference_back() {
    let broker = Broker::start();
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let endless = Backend::raw(move |mut stream| {
        let written = counter.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while let Ok(more) = stream.write(&[0; 16 * 1024]).await {
                written.fetch_add(more, Ordering::Relaxed);
            }
        }
    })
    .await;
    let miffy = Setup::of(&endless, nobody(), &broker).start();
    for path in BOTH_PATHS {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut stream = miffy.send(request).await;
        let mut start = vec![0; 1024 * 1024];
        within("the start", stream.read_exact(&mut start))
            .await
            .unwrap();
        let mut last = 0;
        until("the reference to be held back", || {
            let now = written.load(Ordering::Relaxed);
            let is_held = std::mem::replace(&mut last, now) == now;
            async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                is_held.then_some(())
            }
        })
        .await;
    }
    miffy.stop().await;
}

/// Reads each request's head, answers it with these bytes all at once, and tells what it was asked for.
async fn answering_again_and_again(answer: Vec<u8>) -> (Backend, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let backend = Backend::raw(move |mut stream| {
        let answer = answer.clone();
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            while !read_head(&mut stream).await.is_empty() {
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (backend, connections)
}

/// Response splitting: what a backend sends behind a response is nobody's answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_behind_a_response_is_not_taken_for_the_next_one() {
    let broker = Broker::start();
    for size in [0, 2, 20_000, 40_000, 50_000, 60_000, 90_000] {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes();
        answer.extend(vec![b'a'; size]);
        answer.extend(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL");
        let (backend, _) = answering_again_and_again(answer).await;
        let miffy = between(&backend, &backend, &broker);
        let mut client = Client::connect(miffy.address).await;
        for turn in 0..4 {
            let answer = client.ask("GET", "/outside").await;
            assert_eq!(answer.body.len(), size, "request {turn} of {size} bytes");
        }
        miffy.stop().await;
    }
}

/// A connection that is known to be closed is not used, whatever was read on it before.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_its_backend_closed_long_ago_costs_no_request() {
    let broker = Broker::start();
    for size in [2, 40_000, 50_000, 60_000, 90_000] {
        let backend = Backend::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let mut answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes();
            answer.extend(vec![b'a'; size]);
            let _gone = stream.write_all(&answer).await;
        })
        .await;
        let miffy = between(&backend, &backend, &broker);
        let mut client = Client::connect(miffy.address).await;
        for turn in 0..3 {
            let answer = client.ask("POST", "/outside").await;
            assert_eq!(answer.status(), 200, "request {turn} of {size} bytes");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        miffy.stop().await;
    }
}

/// Many clients send all before they read anything. A backend that answers meanwhile, and at length, does not mind.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_though_the_answer_to_it_is_not_read() {
    const SIZE: usize = 32 * 1024 * 1024;
    let broker = Broker::start();
    let backend = Backend::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        let (mut from, mut to) = stream.split();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        let answered = async {
            to.write_all(head.as_bytes()).await?;
            to.write_all(&vec![b'a'; SIZE]).await
        };
        let mut room = vec![0; SIZE];
        let (_, _) = tokio::join!(answered, from.read_exact(&mut room));
    })
    .await;
    let miffy = between(&backend, &backend, &broker);
    for path in BOTH_PATHS {
        let mut stream = miffy
            .send(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        let body = vec![b'b'; SIZE];
        let sent = tokio::time::timeout(Duration::from_secs(10), stream.write_all(&body)).await;
        sent.unwrap_or_else(|_| panic!("the upload to {path} stands still"))
            .unwrap();
        let mut answer = Vec::new();
        within("the answer", stream.read_to_end(&mut answer))
            .await
            .unwrap();
        assert!(answer.len() > SIZE);
    }
    miffy.stop().await;
}

/// RFC 9110 §8.6: a length that is said twice is to be one before it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_a_response_says_twice_goes_on_as_one() {
    let broker = Broker::start();
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lengths}\r\nhello");
        let (backend, _) = answering_again_and_again(answer.into_bytes()).await;
        let miffy = between(&backend, &backend, &broker);
        for path in BOTH_PATHS {
            for method in ["GET", "POST"] {
                let mut stream = miffy
                    .send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
                    .await;
                let head = within("an answer", read_head(&mut stream)).await;
                let head = head.to_lowercase();
                let lines: Vec<&str> = head
                    .split("\r\n")
                    .filter(|line| line.starts_with("content-length:"))
                    .collect();
                // Or it is refused, or in chunks.
                assert!(
                    lines == ["content-length: 5"]
                        || head.starts_with("http/1.1 502")
                        || lines.is_empty(),
                    "{method} {path} {lengths:?}: {head}"
                );
            }
        }
        miffy.stop().await;
    }
}

/// RFC 9110 §7.8: HTTP/1.0 has no `Upgrade`.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http10_can_not_upgrade() {
    let broker = Broker::start();
    let (sender, mut heads) = mpsc::unbounded_channel();
    let reference = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = read_head(&mut stream).await.to_lowercase();
            let answer: &[u8] = if head.contains("\r\nupgrade:") {
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            };
            let _test_is_over = sender.send(head);
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let miffy = between(&reference, &reference, &broker);
    let request =
        "GET /outside HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut stream = miffy.send(request).await;
    let head = within("an answer", read_head(&mut stream)).await;
    let asked = within("a request", heads.recv()).await.unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head} to {asked}");
    miffy.stop().await;
}

/// `docker exec` does so.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_body_can_be_upgraded() {
    let broker = Broker::start();
    // Consents before the body has come, or behind it.
    for is_early in [false, true] {
        let reference = Backend::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let answer =
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
            let mut body = [0; 4];
            if is_early {
                stream.write_all(answer).await.unwrap();
            }
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(body, *b"body");
            if !is_early {
                stream.write_all(answer).await.unwrap();
            }
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        })
        .await;
        let miffy = between(&reference, &reference, &broker);
        for path in BOTH_PATHS {
            for pause in [0, 300] {
                let request = format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 4\r\n\r\n"
                );
                let mut stream = miffy.send(&request).await;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                stream.write_all(b"bodynot http").await.unwrap();
                let head = within("an answer", read_head(&mut stream)).await;
                assert!(head.starts_with("HTTP/1.1 101"), "{head}");
                let mut back = [0; 8];
                let what = format!("early: {is_early}, {path}, pause: {pause}");
                within(&what, stream.read_exact(&mut back))
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(&back, b"not http");
            }
        }
        miffy.stop().await;
    }
}

/// What miffy takes from a request's headers is not to come behind them: some backends make no difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_trailer_claims_no_role_and_says_nothing_of_the_connection() {
    let broker = Broker::start();
    let (sender, mut read) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            let mut body = Vec::new();
            while !body.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut body).await.unwrap() == 0 {
                    return;
                }
            }
            let _test_is_over = sender.send(latin1(&body).to_lowercase());
            let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(ok).await.unwrap();
        }
    })
    .await;
    let miffy = between(&backend, &backend, &broker);
    for declared in ["", "Trailer: X-Sum, X-Shadow-Test-Role, Connection\r\n"] {
        let request = format!(
            "POST /outside HTTP/1.1\r\nHost: a\r\n{declared}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Shadow-Test-Role: admin\r\nConnection: close\r\n\r\n"
        );
        let mut stream = miffy.send(&request).await;
        let head = within("an answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let body = within("a body", read.recv()).await.unwrap();
        assert!(!body.contains("role"), "{declared:?}: {body:?}");
        assert!(!body.contains("connection"), "{declared:?}: {body:?}");
    }
    miffy.stop().await;
}

/// RFC 9112 §9.3: whoever is not told that a connection ends may use it again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_its_own_to_an_upload_that_was_not_asked_for_tells_of_the_connections_end() {
    let broker = Broker::start();
    let miffy = Setup::of(nobody(), nobody(), &broker).start();
    for path in BOTH_PATHS {
        let mut stream = miffy
            .send(format!("PUT {path} HTTP/1.1\r\n{EXPECTING}"))
            .await;
        let head = within("the answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        let mut rest = Vec::new();
        let wait = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut rest));
        let is_closed = wait.await.is_ok();
        let tells = head.to_lowercase().contains("\r\nconnection: close\r\n");
        assert_eq!(is_closed, tells, "{path}: {head}");
    }
    miffy.stop().await;
}
