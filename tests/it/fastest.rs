//! `respond = "fastest"`: the first backend that succeeds answers, and all are compared.

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::support::backend::{Backend, json, nobody, read_head};
use crate::support::broker::Broker;
use crate::support::miffy::{Miffy, Setup, outcomes};
use crate::support::within;

const REQUEST: &[u8] = b"GET /x/1 HTTP/1.1\r\nhost: x\r\n\r\n";

/// A backend that answers once it is let.
async fn waiting(body: &'static str) -> (Backend, watch::Sender<bool>) {
    let (let_go, gate) = watch::channel(false);
    let answer = move |_| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|is_open| *is_open).await.unwrap();
            json(body)
        }
    };
    (Backend::start(answer).await, let_go)
}

async fn saying(body: &'static str) -> Backend {
    Backend::start(move |_| async move { json(body) }).await
}

fn race(reference: impl std::fmt::Display, candidate: impl std::fmt::Display) -> String {
    format!(
        "{{ path = \"/x/{{*rest}}\", name = \"x\", respond = \"fastest\", reference = \"{reference}\", candidate = \"{candidate}\" }}"
    )
}

fn start(reference: &str, candidate: &str, broker: &Broker) -> Miffy {
    let setup = Setup::of(nobody(), nobody(), broker);
    setup.routes(&race(reference, candidate)).start()
}

async fn wins(miffy: &Miffy, backend: &str) -> u64 {
    let label = format!("experiment=\"x\",backend=\"{backend}\"");
    miffy.metric("miffy_fastest_total").await[&label]
}

/// How many answers of a role began, by the histogram of their times.
async fn answers(miffy: &Miffy, role: &str) -> u64 {
    let samples = miffy.metric("miffy_first_byte_seconds_count").await;
    let label = format!("role=\"{role}\"");
    samples.get(&label).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_first_is_the_clients_and_the_other_is_compared() {
    let broker = Broker::start();
    let (reference, let_go) = waiting("1").await;
    let candidate = saying("2").await;
    let miffy = start(&reference.url(), &candidate.url(), &broker);
    assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), "2");
    assert!(miffy.outcomes_so_far().await.is_empty());
    assert_eq!(answers(&miffy, "reference").await, 0);
    assert_eq!(answers(&miffy, "candidate").await, 1);
    let_go.send_replace(true);
    assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
    assert_eq!(answers(&miffy, "reference").await, 1);
    assert_eq!(wins(&miffy, "candidate").await, 1);
    let asked = |backend: &Backend| backend.arrived()[0].role().to_owned();
    assert_eq!(asked(&reference), "reference");
    assert_eq!(asked(&candidate), "candidate");
    miffy.stop().await;
    let record = broker.published().await[0].json();
    assert_eq!(record["reference"]["response"]["body"]["value"], 1);
    assert_eq!(record["candidate"]["response"]["body"]["value"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_wins_when_it_is_first() {
    let broker = Broker::start();
    let (candidate, let_go) = waiting("1").await;
    let reference = saying("1").await;
    let miffy = start(&reference.url(), &candidate.url(), &broker);
    assert_eq!(miffy.post("/x/1", "x").await.text().await.unwrap(), "1");
    let_go.send_replace(true);
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    assert_eq!(wins(&miffy, "reference").await, 1);
    assert_eq!(candidate.arrived()[0].body, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_does_not_win() {
    let broker = Broker::start();
    let failing = Backend::start(|_| async { (StatusCode::INTERNAL_SERVER_ERROR, "no") }).await;
    let (good, let_go) = waiting("1").await;
    for (reference, candidate) in [(&failing, &good), (&good, &failing)] {
        let_go.send_replace(true);
        let miffy = start(&reference.url(), &candidate.url(), &broker);
        assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), "1");
        assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
        miffy.stop().await;
    }
    for (reference, candidate, expected) in [
        (nobody(), good.url(), ("reference_failed.connect", 1)),
        (good.url(), nobody(), ("candidate_failed.connect", 1)),
    ] {
        let miffy = start(&reference, &candidate, &broker);
        assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), "1");
        assert_eq!(miffy.outcomes(1).await, outcomes([expected]));
        miffy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_succeeds_the_reference_answers_if_it_does_at_all() {
    let broker = Broker::start();
    let failing = |text: &'static str| {
        Backend::start(move |_| async move { (StatusCode::SERVICE_UNAVAILABLE, text) })
    };
    let (reference, candidate) = (failing("the reference").await, failing("candidate").await);
    let miffy = start(&reference.url(), &candidate.url(), &broker);
    let response = miffy.get("/x/1").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.text().await.unwrap(), "the reference");
    miffy.outcomes(1).await;
    miffy.stop().await;
    let miffy = start(&nobody(), &candidate.url(), &broker);
    assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), "candidate");
    miffy.stop().await;
    let miffy = start(&nobody(), &nobody(), &broker);
    assert_eq!(miffy.get("/x/1").await.status(), 502);
    let expected = outcomes([("reference_failed.connect", 1)]);
    assert_eq!(miffy.outcomes(1).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_the_bound_goes_to_the_reference_alone_and_whole() {
    let broker = Broker::start();
    let (reference, candidate) = (saying("1").await, saying("1").await);
    let miffy = Setup::of(nobody(), nobody(), &broker)
        .routes(&race(&reference, &candidate))
        .tables("[capture]\nmax_body = 1000")
        .start();
    let body = "0123456789".repeat(200);
    let answer = miffy.post("/x/1", body.clone()).await;
    assert_eq!(answer.text().await.unwrap(), "1");
    assert_eq!(reference.arrived()[0].body, body);
    assert_eq!(candidate.arrived().len(), 0);
    let expected = outcomes([("skipped.request_too_large", 1)]);
    assert_eq!(miffy.outcomes(1).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_left_alone_does_not_take_part() {
    let broker = Broker::start();
    let reference = saying("1").await;
    let miffy = Setup::of(nobody(), nobody(), &broker)
        .routes(&race(&reference, nobody()))
        .tables("[shadow.breaker]\nfailures = 1\npause = \"1h\"")
        .start();
    for request in 1..=2 {
        assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), "1");
        miffy.outcomes(request).await;
    }
    let expected = outcomes([("candidate_failed.connect", 1), ("skipped.breaker", 1)]);
    assert_eq!(miffy.outcomes(2).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_while_it_uploads_is_counted() {
    let broker = Broker::start();
    let miffy = start(&nobody(), &nobody(), &broker);
    let mut client = miffy.connect().await;
    let head = b"POST /x/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n";
    client.write_all(head).await.unwrap();
    client.write_all(b"a part").await.unwrap();
    drop(client);
    let expected = outcomes([("skipped.client_gone", 1)]);
    assert_eq!(miffy.outcomes(1).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_failed_does_not_hold_its_permit_for_as_long_as_the_reference_hangs() {
    let broker = Broker::start();
    let candidate = Backend::start(|_| async { (StatusCode::SERVICE_UNAVAILABLE, "no") }).await;
    let reference = Backend::hanging().await;
    let miffy = Setup::of(nobody(), nobody(), &broker)
        .routes(&race(reference.url(), &candidate))
        .tables("[shadow]\nmax_wait = \"10ms\"\n[timeouts.candidate]\nexchange = \"1s\"")
        .start();
    let mut client = miffy.connect().await;
    client.write_all(REQUEST).await.unwrap();
    let expected = outcomes([("skipped.reference_slow", 1)]);
    assert_eq!(miffy.outcomes(1).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn losers_are_not_listened_to_once_nobody_wants_to_know() {
    let broker = Broker::start();
    let (asked, mut is_asked) = watch::channel(false);
    let (hung_up, mut is_hung_up) = watch::channel(false);
    let reference = Backend::raw(move |mut stream| {
        let (asked, hung_up) = (asked.clone(), hung_up.clone());
        async move {
            let mut all = Vec::new();
            read_head(&mut stream).await;
            asked.send_replace(true);
            let _whatever = stream.read_to_end(&mut all).await;
            hung_up.send_replace(true);
        }
    })
    .await;
    // Its answer never ends. It waits for the request: what comes before one is no answer to it.
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\na part";
    let candidate = Backend::stalling(head).await;
    let miffy = start(&reference.url(), &candidate.url(), &broker);
    let mut client = miffy.connect().await;
    client.write_all(REQUEST).await.unwrap();
    let first_byte = within("the answer", client.read_u8());
    first_byte.await.unwrap();
    let asked = is_asked.wait_for(|is_asked| *is_asked);
    within("the reference to be asked", asked).await.unwrap();
    drop(client);
    let expected = outcomes([("skipped.client_gone", 1)]);
    assert_eq!(miffy.outcomes(1).await, expected);
    let gone = is_hung_up.wait_for(|is_hung_up| *is_hung_up);
    within("the end of its connection", gone).await.unwrap();
}
