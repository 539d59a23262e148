//! Miffy 1.0.1's configuration runs unchanged, and its records come out the same.
//!
//! `tests/compat/miffy-1.0.1` holds a configuration that Miffy 1.0.1 ran with, and the records that it
//! wrote for the requests below, as key, tab and value. Ours may say more, never less or otherwise, but
//! for `date` headers, a JSON body's spelling, and JSON that has a charset, which Miffy took for bytes; and
//! unless all headers are to be published, cookies have masks.

use axum::body::Body;
use axum::response::Response;
use miffy::app::Plugs;
use miffy::config::Environment;
use serde_json::{Value, json};

use crate::support::backend::{Arrived, Backend, response};
use crate::support::broker::Broker;
use crate::support::miffy::Miffy;

const CONFIG: &str = include_str!("../compat/miffy-1.0.1/config.toml");
const RECORDS: &str = include_str!("../compat/miffy-1.0.1/records.tsv");

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_requests_give_the_recorded_records() {
    let config = format!("{CONFIG}\n[redact]\nheaders = []\n");
    let ours = records(&config).await;
    assert!(ours.iter().any(|(_, record)| has_cookies(record)));
    compare(ours, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_configuration_gives_the_recorded_records_without_cookies() {
    let ours = records(CONFIG).await;
    assert!(!ours.iter().any(|(_, record)| has_cookies(record)));
    compare(ours, |record| {
        let mut record = expected(record);
        for side in ["reference", "candidate"] {
            let headers = record.pointer_mut(&format!("/{side}/response/headers"));
            if let Some(headers) = headers.and_then(Value::as_object_mut) {
                headers.remove("set-cookie");
            }
        }
        record
    });
}

/// Whether a record has the cookies of its sides' responses as they were sent.
fn has_cookies(record: &Value) -> bool {
    let cookies = |side: &str| &record[side]["response"]["headers"]["set-cookie"];
    let sent = json!(["a=1", "b=2"]);
    *cookies("reference") == sent && *cookies("candidate") == sent
}

/// The records of all requests with this configuration, and their keys.
async fn records(config: &str) -> Vec<(String, Value)> {
    let broker = Broker::start();
    let reference =
        Backend::start(|request| async move { service(&request, Side::Reference) }).await;
    let candidate =
        Backend::start(|request| async move { service(&request, Side::Candidate) }).await;
    let environment: Environment = [
        ("MIFFY_REFERENCE", reference.url()),
        ("MIFFY_CANDIDATE", candidate.url()),
        ("MIFFY_KAFKA_TOPIC", broker.topic.clone()),
        ("KAFKA_BOOTSTRAP_SERVERS", broker.address.clone()),
    ]
    .into_iter()
    .collect();
    let miffy = Miffy::start(config, &environment, Plugs::default());
    let sent = send_requests(&miffy).await;
    miffy.outcomes(sent).await;
    miffy.stop().await;

    let published = broker.published().await;
    let ours = published.iter().map(|record| {
        let value = record
            .line
            .replace(&reference.url(), "http://127.0.0.1:13000")
            .replace(&candidate.url(), "http://127.0.0.1:13001");
        (
            record.key.clone(),
            serde_json::from_str::<Value>(&value).unwrap(),
        )
    });
    ours.collect()
}

/// Holds our records to those that Miffy 1.0.1 wrote, of which `expected` is there.
fn compare(mut ours: Vec<(String, Value)>, expected: impl Fn(Value) -> Value) {
    for (key, theirs) in recorded() {
        let same = |(our_key, our): &(String, Value)| {
            *our_key == key && missing("", &expected(theirs.clone()), our).is_empty()
        };
        let Some(found) = ours.iter().position(same) else {
            let near: Vec<_> = ours.iter().filter(|(our_key, _)| *our_key == key).collect();
            panic!("no record like {key} {theirs}\namong {near:#?}");
        };
        ours.remove(found);
    }
    assert_eq!(ours, [], "records that Miffy 1.0.1 did not write");
}

/// Sends the requests in their order, and tells how many there were.
async fn send_requests(miffy: &Miffy) -> u64 {
    let gets = [
        "/user/7?x=1",
        "/problem",
        "/bin",
        "/charset",
        "/text",
        "/empty",
        "/cookies",
    ];
    for target in gets {
        miffy.get(target).await;
    }
    for (content_type, body) in [
        ("application/json", r#"{"q":[1,2]}"#),
        ("text/plain", "plain words"),
    ] {
        let request = miffy.client.post(miffy.url("/echo")).body(body);
        request
            .header("content-type", content_type)
            .send()
            .await
            .unwrap();
    }
    miffy.get("/down/a/b").await;
    let request = miffy.client.get(miffy.url("/user/8"));
    request
        .header("accept", "application/json")
        .send()
        .await
        .unwrap();
    11
}

fn recorded() -> Vec<(String, Value)> {
    let line = |line: &str| {
        let (key, value) = line.split_once('\t').unwrap();
        (key.to_owned(), serde_json::from_str(value).unwrap())
    };
    RECORDS.lines().map(line).collect()
}

/// A recorded value as it has to be in ours: without dates, and JSON with a charset as JSON.
fn expected(mut record: Value) -> Value {
    for side in ["reference", "candidate"] {
        let Some(response) = record.pointer_mut(&format!("/{side}/response")) else {
            continue;
        };
        let Some(headers) = response.get_mut("headers").and_then(Value::as_object_mut) else {
            continue;
        };
        headers.remove("date");
        if headers.get("content-type") == Some(&json!("application/json; charset=utf-8")) {
            let b = if side == "reference" { 2 } else { 3 };
            response["body"] = json!({ "type": "json", "value": { "a": 1, "b": b } });
        }
    }
    record
}

/// The paths at which `ours` lacks or contradicts something of `theirs`.
fn missing(path: &str, theirs: &Value, ours: &Value) -> Vec<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => theirs
            .iter()
            .flat_map(|(key, value)| {
                let path = format!("{path}/{key}");
                match ours.get(key) {
                    Some(our) => missing(&path, value, our),
                    None => vec![path],
                }
            })
            .collect(),
        (theirs, ours) if theirs == ours => Vec::new(),
        _ => vec![path.to_owned()],
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Reference,
    Candidate,
}

/// What the two recorded services answered.
fn service(request: &Arrived, side: Side) -> Response {
    let choose = |reference: &'static str, candidate: &'static str| match side {
        Side::Reference => reference,
        Side::Candidate => candidate,
    };
    let json = "application/json";
    let path = request.target.split('?').next().unwrap();
    let (status, content_type, body): (u16, &'static str, Vec<u8>) = match path {
        "/problem" => {
            let status = if side == Side::Reference { 404 } else { 500 };
            (
                status,
                "application/problem+json",
                br#"{"title":"nope","status":404}"#.to_vec(),
            )
        }
        "/bin" => {
            let last = if side == Side::Reference { 254 } else { 255 };
            (200, "application/octet-stream", vec![0, 1, 2, last])
        }
        "/charset" => {
            let body = choose(r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#);
            (200, "application/json; charset=utf-8", body.into())
        }
        "/text" => (200, "text/plain", choose("hello", "hullo").into()),
        "/empty" => return empty(side),
        "/cookies" => (200, json, choose(r#"{"v":1}"#, r#"{"v":2}"#).into()),
        "/echo" => {
            let got = serde_json::to_string(&String::from_utf8_lossy(&request.body)).unwrap();
            (
                200,
                json,
                format!(r#"{{"got": {got}, "side": "{}"}}"#, choose("r", "c")).into(),
            )
        }
        user if user.starts_with("/user/") => {
            let (id, name) = (&user["/user/".len()..], choose("Nia", "Mia"));
            (
                200,
                json,
                format!(r#"{{"id": "{id}", "name": "{name}", "score": 1.5}}"#).into(),
            )
        }
        _ => (200, json, r#"{"ok":true}"#.into()),
    };
    let server = ("server", "BaseHTTP/0.6 Python/3.11.7");
    let mut headers = vec![server, ("content-type", content_type)];
    if path == "/cookies" {
        headers.extend([("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    }
    response(status, &headers, Body::from(body))
}

fn empty(side: Side) -> Response {
    let server = ("server", "BaseHTTP/0.6 Python/3.11.7");
    match side {
        Side::Reference => response(204, &[server, ("x-side", "r")], Body::empty()),
        Side::Candidate => {
            let length = ("content-length", "0");
            response(200, &[server, ("x-side", "c"), length], Body::empty())
        }
    }
}
