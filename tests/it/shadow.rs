//! The candidate's side: every matched request ends in one outcome, and none in the client's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Body;
use miffy::app::Plugs;
use miffy::shadow::{Observer, Report};
use serde_json::json as value;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::support::backend::{Arrived, Backend, json, nobody, read_head, response};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, Setup, between, outcomes};
use crate::support::{until, within};

async fn ok(_: Arrived) -> axum::response::Response {
    json(r#"{"n":1}"#)
}

/// Sends one request, stops miffy, and compares the outcome and the number of records.
async fn one_request(miffy: Miffy, broker: &Broker, outcome: &str, records: usize) {
    miffy.get("/x/1").await.bytes().await.unwrap();
    assert_eq!(miffy.outcomes(1).await, outcomes([(outcome, 1)]));
    miffy.stop().await;
    assert_eq!(broker.published().await.len(), records, "{outcome}");
}

/// Waits until no body is held for comparison any longer.
async fn nothing_is_captured(miffy: &Miffy) {
    until("what was captured to be released", || async {
        (miffy.metric("miffy_captured_bytes").await[""] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_equal_or_different() {
    let reference = Backend::start(ok).await;
    for (answer, outcome, records) in [
        (r#"{ "n" : 1 }"#, "equal", 0),
        (r#"{"n":2}"#, "different", 1),
    ] {
        let broker = Broker::start();
        let candidate = Backend::start(move |_| async move { json(answer) }).await;
        let miffy = between(&reference, &candidate, &broker);
        one_request(miffy, &broker, outcome, records).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_is_a_difference_with_its_cause() {
    let reference = Backend::start(ok).await;
    let hanging = Backend::hanging().await;
    let silent = Backend::answering(b"").await;
    let garbage = Backend::answering(b"\x16\x03\x01 no http").await;
    let cut = Backend::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
    let stalling = Backend::stalling(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
    for (candidate, cause, error) in [
        (nobody(), "connect", "request"),
        (hanging.url(), "timeout", "request"),
        (silent.url(), "protocol", "request"),
        (garbage.url(), "protocol", "request"),
        (cut.url(), "body", "body"),
        (stalling.url(), "timeout", "body"),
    ] {
        let broker = Broker::start();
        let mut setup = Setup::of(&reference, &candidate, &broker);
        if cause == "timeout" {
            setup = setup.tables("[timeouts.candidate]\nexchange = \"300ms\"\n");
        }
        let (outcome, miffy) = (format!("candidate_failed.{cause}"), setup.start());
        let mut sent = 0;
        until("a head in time, if there is to be one", || {
            sent += 1;
            let (miffy, outcome) = (&miffy, outcome.as_str());
            async move {
                assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), r#"{"n":1}"#);
                assert_eq!(miffy.outcomes(sent).await, outcomes([(outcome, sent)]));
                let heads = miffy.metric("miffy_first_byte_seconds_count").await;
                let has_come = heads.get("role=\"candidate\"").is_some_and(|it| *it > 0);
                (error != "body" || has_come).then_some(())
            }
        })
        .await;
        miffy.stop().await;
        let records = broker.published().await;
        assert_eq!(records.len() as u64, sent, "{outcome}");
        let response = value!({ "error": error });
        let mut records = records.iter().map(Published::json);
        let record = records.find(|it| it["candidate"]["response"] == response);
        let record = record.unwrap_or_else(|| panic!("{outcome}"));
        assert_eq!(record["outcome"], "candidate_failed");
        assert_eq!(record["reason"], cause);
        assert_eq!(record["reference"]["response"]["status"], 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_fails_is_a_difference_with_its_cause() {
    let candidate = Backend::start(ok).await;
    let hanging = Backend::hanging().await;
    let garbage = Backend::answering(b"no http").await;
    let cut = Backend::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
    for (reference, cause) in [
        (nobody(), "connect"),
        (hanging.url(), "timeout"),
        (garbage.url(), "protocol"),
        (cut.url(), "body"),
    ] {
        let broker = Broker::start();
        let mut setup = Setup::of(&reference, &candidate, &broker);
        if cause == "timeout" {
            setup = setup.tables("[timeouts.reference]\nfirst_byte = \"200ms\"\n");
        }
        let (outcome, miffy) = (format!("reference_failed.{cause}"), setup.start());
        // A body that is cut off is cut off for the client, too.
        let _cut = miffy.get("/x/1").await.bytes().await;
        assert_eq!(miffy.outcomes(1).await, outcomes([(outcome.as_str(), 1)]));
        miffy.stop().await;
        let [record] = &broker.published().await[..] else {
            panic!("one record for {outcome}");
        };
        assert_eq!(record.json()["candidate"]["response"]["status"], 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sides_that_fail_are_not_equal() {
    let broker = Broker::start();
    let nobody = nobody();
    let miffy = Setup::of(&nobody, &nobody, &broker).start();
    one_request(miffy, &broker, "reference_failed.connect", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_their_answers_while_the_candidate_hangs() {
    let broker = Broker::start();
    let reference = Backend::start(ok).await;
    let hanging = Backend::hanging().await;
    let setup = Setup::of(&reference, &hanging, &broker).tables("[shadow]\nmax_in_flight = 3\n");
    let miffy = setup.start();
    for _ in 0..10 {
        assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), r#"{"n":1}"#);
    }
    // The three that hang hold their permits, so that the others were skipped.
    assert_eq!(
        miffy.outcomes(7).await,
        outcomes([("skipped.in_flight", 7)])
    );
    assert_eq!(miffy.metric("miffy_shadow_in_flight").await[""], 3);
    miffy.tell_to_stop().abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_slowly_hold_up_nobodys_mirroring() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.tables("[shadow]\nmax_in_flight = 1\n").start();
    let start = "POST /x/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{";
    let mut slow = miffy.send(&start).await;
    until("the upload to have begun", || async {
        (miffy.metric("miffy_captured_bytes").await[""] == 1).then_some(())
    })
    .await;
    miffy.get("/x/1").await;
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    slow.write_all(b"}").await.unwrap();
    assert_eq!(miffy.outcomes(2).await, outcomes([("equal", 2)]));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_methods_of_a_route_are_mirrored() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let setup = Setup::of(&reference, &candidate, &broker)
        .routes(r#"{ path = "/x/{*rest}", methods = ["GET"] }"#);
    let miffy = setup.start();
    miffy.post("/x/1", "{}").await;
    miffy.get("/x/1").await;
    let expected = outcomes([("equal", 1), ("skipped.method", 1)]);
    assert_eq!(miffy.outcomes(2).await, expected);
    assert_eq!(candidate.arrived().len(), 1);
    assert_eq!(reference.arrived()[0].role(), "upstream");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_candidate_is_sent_the_request_that_the_reference_was_sent() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let miffy = between(&reference, &candidate, &broker);
    let request = miffy.client.put(miffy.url("/x/1?q=%2F")).body("the body");
    request.header("x-own", "1").send().await.unwrap();
    miffy.outcomes(1).await;
    let (there, here) = (reference.first().await, candidate.first().await);
    assert_eq!(
        (&there.method, &there.target, &there.body),
        (&here.method, &here.target, &here.body)
    );
    assert_eq!(here.body, "the body");
    let without_role = |mut request: Arrived| {
        request.headers.remove("x-shadow-test-role");
        request.headers
    };
    assert_eq!(without_role(there), without_role(here));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_the_bound_reaches_the_reference_and_is_not_mirrored() {
    let broker = Broker::start();
    let echo = |request: Arrived| async move { response(200, &[], request.body) };
    let (reference, candidate) = (Backend::start(echo).await, Backend::start(echo).await);
    let setup = Setup::of(&reference, &candidate, &broker).tables("[capture]\nmax_body = 1000\n");
    let miffy = setup.start();
    let body = "x".repeat(200_000);
    let answer = miffy.post("/x/1", body.clone()).await;
    assert_eq!(answer.text().await.unwrap(), body);
    assert_eq!(
        miffy.outcomes(1).await,
        outcomes([("skipped.request_too_large", 1)])
    );
    assert_eq!(candidate.arrived().len(), 0);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_over_the_bound_stream_on_and_are_compared_by_length_and_hash() {
    let long = |last: char| format!("{}{last}", "x".repeat(300_000));
    for (bounds, theirs, outcome, kind) in [
        ("max_body = 1000", long('a'), "equal", ""),
        ("max_body = 1000", long('b'), "different", "changed"),
        ("max_body = 1000", long('a') + "!", "different", "length"),
        ("max_total = 1000", long('a'), "equal", ""),
        ("max_body = 300001", long('a') + "!", "different", "length"),
    ] {
        let broker = Broker::start();
        let reference = Backend::start(move |_| async move { response(200, &[], long('a')) }).await;
        let candidate = Backend::start(move |_| {
            let theirs = theirs.clone();
            async move { response(200, &[], theirs) }
        })
        .await;
        let tables = format!("[capture]\n{bounds}\n");
        let setup = Setup::of(&reference, &candidate, &broker).tables(&tables);
        let miffy = setup.start();
        assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), long('a'));
        assert_eq!(
            miffy.outcomes(1).await,
            outcomes([(outcome, 1)]),
            "{bounds}"
        );
        nothing_is_captured(&miffy).await;
        miffy.stop().await;
        let kinds: Vec<_> = broker
            .published()
            .await
            .iter()
            .map(|record| record.json()["differences"][0]["kind"].clone())
            .collect();
        assert_eq!(
            kinds,
            if kind.is_empty() {
                vec![]
            } else {
                vec![value!(kind)]
            }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_answers_before_the_request_is_whole_is_not_compared() {
    let broker = Broker::start();
    let reference =
        Backend::answering(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
    let candidate = Backend::start(ok).await;
    let miffy = between(&reference, &candidate, &broker);
    let head = "POST /x/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nonly the start";
    let mut stream = miffy.send(&head).await;
    assert!(
        within("an answer", read_head(&mut stream))
            .await
            .starts_with("HTTP/1.1 413")
    );
    assert_eq!(
        miffy.outcomes(1).await,
        outcomes([("skipped.request_unread", 1)])
    );
    assert_eq!(candidate.arrived().len(), 0);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_whose_reference_does_not_end_is_given_up() {
    let broker = Broker::start();
    let (sender, mut go_on) = mpsc::channel::<()>(1);
    let sender = std::sync::Arc::new(std::sync::Mutex::new(Some(sender)));
    let endless = Backend::raw(move |mut stream| {
        let held = sender.lock().unwrap().take();
        async move {
            read_head(&mut stream).await;
            let start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n";
            stream.write_all(start).await.unwrap();
            // Until the client goes away.
            let _end = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1]).await;
            drop(held);
        }
    })
    .await;
    let candidate = Backend::start(ok).await;
    let setup = Setup::of(&endless, &candidate, &broker).tables("[shadow]\nmax_wait = \"100ms\"\n");
    let miffy = setup.start();
    let mut streaming = miffy.get("/x/1").await;
    assert_eq!(
        streaming.chunk().await.unwrap().as_deref(),
        Some(&b"{}"[..])
    );
    assert_eq!(
        miffy.outcomes(1).await,
        outcomes([("skipped.reference_slow", 1)])
    );
    nothing_is_captured(&miffy).await;
    assert!(
        go_on
            .try_recv()
            .is_err_and(|e| e == mpsc::error::TryRecvError::Empty),
        "it streams on"
    );
    drop(streaming);
    assert_eq!(within("the stream's end", go_on.recv()).await, None);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pairs_are_compared_too() {
    let broker = Broker::start();
    let body = |last: &str| {
        let items: Vec<String> = (0..20_000).map(|n| format!("{{\"n\":{n}}}")).collect();
        format!("[{},{last}]", items.join(","))
    };
    let reference = Backend::start(move |_| async move { json(body("1.50")) }).await;
    let candidate = Backend::start(move |_| async move { json(body("1.5")) }).await;
    let miffy = between(&reference, &candidate, &broker);
    one_request(miffy, &broker, "equal", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_running_exchanges_finish_and_gives_up_the_rest() {
    let broker = Broker::start();
    let (sender, mut begun) = mpsc::unbounded_channel();
    let reference = Backend::start(ok).await;
    let candidate = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = read_head(&mut stream).await;
            let (answer, go_on) = tokio::sync::oneshot::channel::<()>();
            sender.send(answer).unwrap();
            if head.starts_with("GET /x/finish ") && go_on.await.is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
            std::future::pending::<()>().await;
        }
    })
    .await;
    let setup = Setup::of(&reference, &candidate, &broker).more("shutdown_timeout = \"3s\"");
    let miffy = setup.start();
    miffy.get("/x/finish").await.bytes().await.unwrap();
    let finish = within("the first exchange", begun.recv()).await.unwrap();
    miffy.get("/x/hang").await.bytes().await.unwrap();
    let _hang = within("the second exchange", begun.recv()).await.unwrap();
    let management = format!("http://{}/readyz", miffy.management);
    let client = miffy.client.clone();
    let running = miffy.tell_to_stop();
    until("not to be ready", || async {
        let response = client.get(&management).send().await.ok()?;
        (response.status() == 503).then_some(())
    })
    .await;
    finish.send(()).unwrap();
    within("the end", running).await.unwrap().unwrap();
    let records = broker.published().await;
    assert_eq!(
        records.len(),
        1,
        "the one that finished, and was told on the way out"
    );
    assert_eq!(records[0].json()["request"]["uri"], "/x/finish");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_that_panics_costs_no_record_and_no_count() {
    struct Panicking;
    impl Observer for Panicking {
        fn ended(&self, report: &Report<'_>) {
            panic!("asked to, at {}", report.target);
        }
    }
    let broker = Broker::start();
    let reference = Backend::start(ok).await;
    let candidate = Backend::start(|_| async { json("{}") }).await;
    let plugs = Plugs {
        observer: Some(Arc::new(Panicking)),
        ..Plugs::default()
    };
    let setup = Setup::of(&reference, &candidate, &broker)
        .routes(r#"{ path = "/x/{*rest}", methods = ["GET"] }"#);
    let miffy = setup.start_with(plugs);
    for answer in [miffy.get("/x/1").await, miffy.post("/x/1", "").await] {
        assert_eq!(answer.bytes().await.unwrap(), r#"{"n":1}"#);
    }
    let expected = outcomes([("different", 1), ("skipped.method", 1)]);
    assert_eq!(miffy.outcomes(2).await, expected);
    miffy.stop().await;
    assert_eq!(broker.published().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_adds_up_under_load_with_everything_going_wrong() {
    let broker = Broker::start();
    let reference = Backend::start(|request: Arrived| async move {
        if request.target.ends_with('9') {
            return response(500, &[], Body::empty());
        }
        json(r#"{"n":1}"#)
    })
    .await;
    let candidate = Backend::start(|request: Arrived| async move {
        match request.target.as_bytes().last() {
            Some(b'1') => std::future::pending().await,
            Some(b'2' | b'3') => json(r#"{"n":2}"#),
            Some(b'4') => response(200, &[("content-length", "5")], Body::from("12345")),
            _ => json(r#"{"n":1}"#),
        }
    })
    .await;
    let setup = Setup::of(&reference, &candidate, &broker)
        .tables("[shadow]\nmax_in_flight = 8\n[timeouts.candidate]\nexchange = \"100ms\"\n");
    let miffy = setup.start();
    let clients = (0..8).map(|client: u32| {
        let (http, url) = (miffy.client.clone(), miffy.url("/x/"));
        tokio::spawn(async move {
            for n in 0..50 {
                let url = format!("{url}{}", client * 50 + n);
                let answer = http.get(url).send().await.unwrap();
                assert!(matches!(answer.status().as_u16(), 200 | 500));
                answer.bytes().await.unwrap();
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let ended = miffy.outcomes(400).await;
    assert_eq!(ended.values().sum::<u64>(), 400, "{ended:?}");
    for outcome in ["equal", "different", "candidate_failed.timeout"] {
        assert!(ended[outcome] > 0, "{outcome}: {ended:?}");
    }
    let records: u64 = ended
        .iter()
        .filter(|(name, _)| *name == "different" || name.contains("failed"))
        .map(|(_, number)| number)
        .sum();
    miffy.stop().await;
    assert_eq!(broker.published().await.len() as u64, records, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_again_and_again_is_left_alone_until_it_answers() {
    let broker = Broker::start();
    let reference = Backend::start(ok).await;
    let is_well = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    // Hangs up on those who ask it, until it is well.
    let candidate = {
        let (is_well, asked) = (is_well.clone(), asked.clone());
        Backend::raw(move |mut stream| {
            let (is_well, asked) = (is_well.clone(), asked.clone());
            async move {
                read_head(&mut stream).await;
                asked.fetch_add(1, Ordering::Relaxed);
                if is_well.load(Ordering::Relaxed) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{\"n\":1}";
                    stream.write_all(answer).await.unwrap();
                }
            }
        })
        .await
    };
    let tables = "[shadow.breaker]\nfailures = 2\npause = \"300ms\"\n";
    let setup = Setup::of(&reference, &candidate, &broker).tables(tables);
    let miffy = setup.start();
    for n in 1..=2 {
        miffy.get("/x/1").await;
        let expected = outcomes([("candidate_failed.protocol", n)]);
        assert_eq!(miffy.outcomes(n).await, expected);
    }
    let is_open = async || {
        miffy.metric("miffy_breaker_open").await["experiment=\"x\",candidate=\"candidate\",role=\"candidate\""]
            == 1
    };
    assert!(is_open().await);
    // On a busy machine the pause may be over before the next request comes.
    let mut sent = 2;
    let ended = until("a request to be left out", || {
        sent += 1;
        let (miffy, sent) = (&miffy, sent);
        async move {
            miffy.get("/x/1").await;
            let ended = miffy.outcomes(sent).await;
            ended.contains_key("skipped.breaker").then_some(ended)
        }
    })
    .await;
    let failed = ended["candidate_failed.protocol"];
    assert_eq!(asked.load(Ordering::Relaxed), failed);
    is_well.store(true, Ordering::Relaxed);
    until("the candidate to be asked again", || async {
        miffy.get("/x/1").await;
        miffy
            .outcomes_so_far()
            .await
            .contains_key("equal")
            .then_some(())
    })
    .await;
    assert!(!is_open().await);
    miffy.stop().await;
    assert_eq!(broker.published().await.len() as u64, failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_may_have_a_limit_of_its_own() {
    let broker = Broker::start();
    let reference = Backend::start(ok).await;
    let hanging = Backend::hanging().await;
    let routes =
        r#"{ path = "/x/{id}", name = "x", max_in_flight = 1 }, { path = "/y/{id}", name = "y" }"#;
    let setup = Setup::of(&reference, &hanging, &broker).routes(routes);
    let miffy = setup.more("shutdown_timeout = \"100ms\"").start();
    for path in ["/x/1", "/x/2", "/x/3", "/y/1", "/y/2"] {
        assert_eq!(miffy.get(path).await.status(), 200);
    }
    assert_eq!(
        miffy.outcomes(2).await,
        outcomes([("skipped.in_flight", 2)])
    );
    until("three requests to the candidate", || async {
        (hanging.arrived().len() == 3).then_some(())
    })
    .await;
    miffy.stop().await;
}
