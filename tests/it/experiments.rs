//! Experiments as the field has them: told apart by conditions, sampled, with backends that are sent what is theirs.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use miffy::app::Plugs;
use miffy::config::Environment;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::support::backend::{Arrived, Backend, json, nobody, read_head};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, Setup, outcomes};
use crate::support::process;
use crate::support::tls::{Authority, Echo};
use crate::support::within;

async fn ok(_: Arrived) -> axum::response::Response {
    json(r#"{"n":1}"#)
}

async fn other(_: Arrived) -> axum::response::Response {
    json(r#"{"n":2}"#)
}

/// Sends a request with these headers.
async fn get(miffy: &Miffy, path: &str, headers: &[(&str, &str)]) {
    let request = miffy.client.get(miffy.url(path));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let answer = within("a response", request.send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
}

/// How many outcomes each experiment has had.
async fn by_experiment(miffy: &Miffy) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (labels, count) in miffy.metric("miffy_outcomes_total").await {
        let (_, rest) = labels.split_once("experiment=\"").unwrap();
        let name = rest.split('"').next().unwrap().to_owned();
        if count > 0 {
            *counts.entry(name).or_default() += count;
        }
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    outcomes(expected)
}

/// The values of a header that arrived, as text.
fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

async fn records(broker: &Broker) -> Vec<Value> {
    let published = broker.published().await;
    published.iter().map(Published::json).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_of_one_path_are_told_apart_by_conditions() {
    let broker = Broker::start();
    let backend = Backend::start(ok).await;
    let routes = r#"
        { path = "/x/{id}", name = "host", host = "Beta.Example" },
        { path = "/x/{id}", name = "header", headers = { "X-Beta" = "1", "x-debug" = { absent = true } } },
        { path = "/x/{id}", name = "query", query = { "a b" = { regex = "^é$" } } },
        { path = "/x/{id}", name = "writes", methods = ["POST"] },
        { path = "/x/{id}", name = "rest" },
        { path = "/x/special", name = "special", headers = { accept = { prefix = "text/" } } },
    "#;
    let miffy = Setup::of(&backend, &backend, &broker)
        .routes(routes)
        .start();
    get(&miffy, "/x/1", &[("host", "BETA.example:8080")]).await;
    get(&miffy, "/x/1", &[("x-beta", "0"), ("x-beta", "1")]).await;
    get(&miffy, "/x/1", &[("x-beta", "1"), ("x-debug", "")]).await;
    get(&miffy, "/x/1?a+b=no&a%20b=%C3%A9", &[]).await;
    get(&miffy, "/x/1?a+b=no", &[]).await;
    get(&miffy, "/x/special", &[("accept", "text/html")]).await;
    get(&miffy, "/x/special", &[("accept", "image/png")]).await;
    miffy.post("/x/1", "{}").await.bytes().await.unwrap();
    get(&miffy, "/y", &[]).await;
    miffy.outcomes(8).await;
    assert_eq!(
        by_experiment(&miffy).await,
        counts([
            ("host", 1),
            ("header", 1),
            ("query", 1),
            ("writes", 1),
            ("rest", 3),
            ("special", 1),
        ])
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_http2_is_its_authority() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let routes = r#"{ path = "/x/{id}", name = "h2", host = "api.example",
        candidate = { path = "/v2/{id}", host = "other.example" } }"#;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.routes(routes).start();
    let stream = TokioIo::new(miffy.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for authority in ["API.example:8080", "elsewhere.example"] {
        let uri = format!("http://{authority}/x/7?q");
        let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let answer = within("an answer", sender.send_request(request));
        answer.await.unwrap().collect().await.unwrap();
    }
    miffy.outcomes(1).await;
    assert_eq!(by_experiment(&miffy).await, counts([("h2", 1)]));
    assert_eq!(reference.arrived().len(), 2);
    let sent = candidate.first().await;
    assert_eq!(sent.target, "/v2/7?q");
    assert_eq!(values(&sent.headers, "host"), ["other.example"]);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_cookies_hold_for_those_that_http2_sends_apart() {
    let broker = Broker::start();
    let backend = Backend::start(ok).await;
    let routes = r#"{ path = "/x", name = "both", headers = { cookie = "a=1; b=2" } }"#;
    let setup = Setup::of(&backend, &backend, &broker);
    let miffy = setup.routes(routes).start();
    get(&miffy, "/x", &[("cookie", "a=1; b=2")]).await;
    let stream = TokioIo::new(miffy.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://host/x")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let answer = within("an answer", sender.send_request(request));
    answer.await.unwrap().collect().await.unwrap();
    miffy.outcomes(2).await;
    assert_eq!(by_experiment(&miffy).await, counts([("both", 2)]));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_not_asked_for_another_path_because_its_own_is_too_long() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let routes = r#"{ path = "/x/{id}", candidate = { path = "/{id}/{id}" } }"#;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.routes(routes).start();
    let id = "7".repeat(40_000);
    get(&miffy, &format!("/x/{id}"), &[]).await;
    let ended = miffy.outcomes(1).await;
    assert_eq!(ended, outcomes([("candidate_failed.uri", 1)]));
    assert!(candidate.arrived().is_empty());
    miffy.stop().await;
    let record = &records(&broker).await[0];
    let url = record["candidate"]["url"].as_str().unwrap();
    assert!(url.ends_with(&format!("/{id}/{id}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_wholly_in_a_sample_or_out_of_it() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let routes = r#"{ path = "/x/{id}", sample = 0.5, sample_by = "cookie:session" }"#;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.routes(routes).start();
    for round in 0..3 {
        for session in 0..20 {
            let cookie = format!("a=b; session={session}");
            get(&miffy, &format!("/x/{round}"), &[("cookie", &cookie)]).await;
        }
    }
    let ended = miffy.outcomes(60).await;
    let mut sessions = BTreeMap::<String, u64>::new();
    for request in candidate.arrived() {
        let [cookie] = &values(&request.headers, "cookie")[..] else {
            panic!("one cookie");
        };
        *sessions.entry(cookie.clone()).or_default() += 1;
    }
    assert!(
        sessions.values().all(|requests| *requests == 3),
        "{sessions:?}"
    );
    let taken = u64::try_from(sessions.len()).unwrap();
    assert!((1..20).contains(&taken));
    let expected = outcomes([
        ("equal", 3 * taken),
        ("skipped.sampled_out", 60 - 3 * taken),
    ]);
    assert_eq!(ended, expected);
    let roles = miffy.metric("miffy_requests_total").await;
    assert_eq!(roles["role=\"upstream\""], 60 - 3 * taken);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_nothing_mirrors_nothing() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup
        .routes("{ path = \"/x/{*rest}\", name = \"x\", sample = 0 }")
        .start();
    get(&miffy, "/x/1", &[]).await;
    let ended = miffy.outcomes(1).await;
    assert_eq!(ended, outcomes([("skipped.sampled_out", 1)]));
    assert!(candidate.arrived().is_empty());
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_backend_is_sent_what_is_its_own() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(other).await);
    let setup = Setup::of(&reference, &candidate, &broker).routes("").toml();
    let routes = r#"
        [[routes]]
        path = "/v1/user/{id}"
        name = "user"
        [routes.reference]
        path = "/internal/{id}"
        remove_headers = ["x-internal"]
        [routes.candidates.rewrite]
        path = "/v2/user/{id}/{{all}}"
        host = "rewrite.example"
        remove_headers = ["Cookie"]
        [routes.candidates.rewrite.set_headers]
        Idempotency-Key = "{request.header.idempotency-key}-shadow"
        authorization = "Bearer {env.CANDIDATE_TOKEN}"
        x-user = "user {param.id} of {request.header.host}"
        x-missing = "{request.header.x-none}"
        [routes.candidates.rewrite.add_headers]
        x-tag = "shadow"
        [routes.candidates.second]
    "#;
    let setup = setup.replace("routes = []", "") + routes;
    let environment: Environment = [("CANDIDATE_TOKEN", "s3cret")].into_iter().collect();
    let miffy = Miffy::start(&setup, &environment, Plugs::default());
    let sent = [
        ("host", "client.example"),
        ("cookie", "session=1"),
        ("idempotency-key", "k1"),
        ("authorization", "Bearer client"),
        ("x-missing", "here"),
        ("x-tag", "own"),
        ("x-internal", "1"),
    ];
    get(&miffy, "/v1/user/a%20b?q=%2f&", &sent).await;
    get(&miffy, "/v1/user/2", &[("host", "client.example")]).await;
    let ended = miffy.outcomes(4).await;
    assert_eq!(ended, outcomes([("different", 4)]));
    miffy.stop().await;

    let arrived = |backend: &Backend, start: &str| -> Arrived {
        let arrived = backend.arrived();
        let found = arrived.iter().find(|it| it.target.starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start}: {arrived:?}"))
            .clone()
    };
    let all = |request: &Arrived, name: &str| values(&request.headers, name);
    let first = arrived(&reference, "/internal/a%20b");
    assert_eq!(first.target, "/internal/a%20b?q=%2f&");
    assert_eq!(all(&first, "cookie"), ["session=1"]);
    assert_eq!(all(&first, "host"), ["client.example"]);
    assert!(all(&first, "x-internal").is_empty());

    let first = arrived(&candidate, "/v2/user/a%20b");
    assert_eq!(first.target, "/v2/user/a%20b/{all}?q=%2f&");
    assert_eq!(all(&first, "host"), ["rewrite.example"]);
    assert!(all(&first, "cookie").is_empty());
    assert_eq!(all(&first, "idempotency-key"), ["k1-shadow"]);
    assert_eq!(all(&first, "authorization"), ["Bearer s3cret"]);
    assert_eq!(all(&first, "x-user"), ["user a%20b of client.example"]);
    assert!(all(&first, "x-missing").is_empty());
    assert_eq!(all(&first, "x-tag"), ["own", "shadow"]);
    assert_eq!(all(&first, "x-internal"), ["1"]);

    let second = arrived(&candidate, "/v2/user/2");
    assert!(all(&second, "idempotency-key").is_empty());

    let plain = arrived(&candidate, "/v1/user/a%20b");
    assert_eq!(plain.target, "/v1/user/a%20b?q=%2f&");
    for (name, value) in sent {
        assert_eq!(all(&plain, name), [value], "{name}");
    }

    let records = records(&broker).await;
    assert_eq!(records.len(), 4);
    for record in &records {
        assert!(!record.to_string().contains("s3cret"), "{record}");
    }
    let of = |name: &str| {
        let is_it = |record: &&Value| {
            record["candidate"]["name"] == name && record["request"]["params"]["id"] == "a%20b"
        };
        let found = records.iter().find(is_it);
        found.unwrap_or_else(|| panic!("{name}: {records:?}"))
    };
    let record = of("rewrite");
    assert_eq!(record["request"]["uri"], "/v1/user/a%20b?q=%2f&");
    assert_eq!(
        record["candidate"]["url"],
        format!("{candidate}/v2/user/a%20b/{{all}}?q=%2f&")
    );
    assert_eq!(
        record["reference"]["url"],
        format!("{reference}/internal/a%20b?q=%2f&")
    );
    assert_eq!(
        of("second")["candidate"]["url"],
        format!("{candidate}/v1/user/a%20b?q=%2f&")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_headers_keep_their_spelling_and_their_order() {
    let broker = Broker::start();
    let reference = Backend::start(ok).await;
    let (heads, mut arrived) = mpsc::unbounded_channel();
    let candidate = Backend::raw(move |mut stream| {
        let heads = heads.clone();
        async move {
            let head = read_head(&mut stream).await;
            let _gone = heads.send(head);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"n\":1}";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let routes = format!(
        r#"{{ path = "/x", candidate = {{ url = "{candidate}", set_headers = {{ "x-tenant" = "b", "X-New" = "c" }},
             remove_headers = ["x-gone"] }} }}"#
    );
    let setup = Setup::of(&reference, nobody(), &broker);
    let miffy = setup.routes(&routes).start();
    let request = "GET /x HTTP/1.1\r\nHost: a\r\nX-Gone: 1\r\nX-Tenant: a\r\nX-Tenant: z\r\nX-gOnE: 2\r\nX-Last: 1\r\n\
                   Connection: close\r\n\r\n";
    let mut stream = miffy.send(request).await;
    let mut answer = Vec::new();
    within("the answer", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    let head = within("the head", arrived.recv()).await.unwrap();
    let lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(
        lines,
        [
            "GET /x HTTP/1.1",
            "Host: a",
            "X-Tenant: b",
            "X-Last: 1",
            "x-new: c",
            "x-shadow-test-role: candidate",
        ]
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_mirrored_are_rewritten_for_the_reference_too() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(ok).await);
    let routes = r#"{ path = "/x/{*rest}", safe_only = true, reference = { path = "/old/{*rest}",
        set_headers = { x-user = "{param.rest}" } } }"#;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.routes(routes).start();
    let answer = miffy.post("/x/a/b?q", "body").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(miffy.outcomes(1).await, outcomes([("skipped.method", 1)]));
    let sent = reference.first().await;
    assert_eq!(sent.target, "/old/a/b?q");
    assert_eq!(values(&sent.headers, "x-user"), ["a/b"]);
    assert_eq!(sent.body, "body");
    assert!(candidate.arrived().is_empty());
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_not_compared_is_asked_all_the_same() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(ok).await, Backend::start(other).await);
    let routes = format!(
        r#"{{ path = "/x", candidates = {{ load = {{ url = "{candidate}", compare = false }}, tested = "{candidate}" }} }}"#
    );
    let setup = Setup::of(&reference, nobody(), &broker);
    let miffy = setup.routes(&routes).start();
    get(&miffy, "/x", &[]).await;
    let ended = miffy.outcomes(2).await;
    assert_eq!(ended, outcomes([("different", 1), ("uncompared", 1)]));
    assert_eq!(candidate.arrived().len(), 2);
    miffy.stop().await;
    let records = records(&broker).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["candidate"]["name"], "tested");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_candidate_has_its_own_patience_and_its_own_outcome() {
    let broker = Broker::start();
    let (reference, same) = (Backend::start(ok).await, Backend::start(ok).await);
    let hanging = Backend::hanging().await;
    let routes = format!(
        r#"{{ path = "/x", candidates = {{ same = "{same}", hurried = {{ url = "{}", timeouts = {{ exchange = "300ms" }} }} }} }}"#,
        hanging.url()
    );
    let setup = Setup::of(&reference, nobody(), &broker);
    let miffy = setup.routes(&routes).start();
    get(&miffy, "/x", &[]).await;
    let ended = miffy.outcomes(2).await;
    let expected = outcomes([("candidate_failed.timeout", 1), ("equal", 1)]);
    assert_eq!(ended, expected);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_at_one_place_are_each_asked_in_their_own_way() {
    let (broker, authority, other) = (Broker::start(), Authority::new(), Authority::new());
    let reference = Echo::plain().await;
    let candidate = Echo::over_tls(&authority, &["h2", "http/1.1"]).await;
    let url = candidate.url();
    let (ca, wrong) = (authority.file(), other.file());
    let candidates = format!(
        r#"known = {{ url = "{url}", tls = {{ ca = "{}" }} }},
           old = {{ url = "{url}", tls = {{ insecure = true }}, protocol = "http1" }},
           strange = {{ url = "{url}", tls = {{ ca = "{}" }} }}"#,
        ca.display(),
        wrong.display()
    );
    let routes = format!(r#"{{ path = "/x", candidates = {{ {candidates} }} }}"#);
    let setup = Setup::of(reference.url(), nobody(), &broker);
    let miffy = setup.routes(&routes.replace('\n', " ")).start();
    let answer = miffy.post("/x", "a body").await;
    assert_eq!(answer.text().await.unwrap(), "a body");
    let ended = miffy.outcomes(3).await;
    let expected = outcomes([("candidate_failed.connect", 1), ("equal", 2)]);
    assert_eq!(ended, expected);
    let mut versions: Vec<Version> = candidate.seen().iter().map(|seen| seen.version).collect();
    versions.sort_by_key(|version| *version == Version::HTTP_2);
    assert_eq!(versions, [Version::HTTP_11, Version::HTTP_2]);
    miffy.stop().await;
}

#[test]
fn check_lists_routes_in_the_order_in_which_they_are_tried() {
    let config = r#"
        reference = "http://old:1"
        candidate = "http://new:1"
        [[routes]]
        path = "/{*rest}"
        name = "all"
        safe_only = true
        [[routes]]
        path = "/user/{id}"
        name = "beta"
        methods = ["GET"]
        host = "beta.example"
        headers = { authorization = { prefix = "Basic" }, x-beta = "1" }
        query = { debug = { absent = true } }
        [[routes]]
        path = "/user/{id}"
        name = "user"
        methods = ["*"]
        sample = 0.05
        sample_by = "cookie:session"
        respond = "fastest"
        [routes.reference]
        path = "/v1/{id}"
        [routes.candidates.rewrite]
        path = "/v2/user/{id}"
        set_headers = { authorization = "Bearer {env.TOKEN}" }
        [routes.candidates.load]
        url = "http://load:1"
        compare = false
        [[routes]]
        path = "/user/me"
        methods = ["GET"]
        [stdout]
        enabled = true
        [kafka]
        enabled = false
    "#;
    let miffy = process::Miffy::new(&["check"]).config(config);
    let ended = miffy.env("TOKEN", "s3cret").output();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
    let (_, routes) = ended.stdout.split_once("# routes\n").unwrap();
    insta::assert_snapshot!(format!("{routes}\n{}", ended.stderr));
}
