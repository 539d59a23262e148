//! The record, held to its schema.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jsonschema::Validator;
use serde_json::{Value, json as value};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};

use crate::support::backend::{Arrived, Backend, json, nobody, read_head, response};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Setup, between};
use crate::support::within;

const SCHEMA: &str = include_str!("../../docs/record.schema.json");
const DOCUMENT: &str = include_str!("../../docs/record.md");
const RECORDED: &str = include_str!("../compat/miffy-1.0.1/records.tsv");

fn validator() -> Validator {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

/// Holds a record to the schema and to being one line.
fn check(record: &Published) -> Value {
    assert!(!record.line.contains(['\n', '\r']), "{}", record.line);
    let json = record.json();
    let errors: Vec<String> = validator()
        .iter_errors(&json)
        .map(|e| e.to_string())
        .collect();
    assert_eq!(errors, [""; 0], "{json:#}");
    json
}

async fn only_record(broker: &Broker) -> Value {
    let [record] = &broker.published().await[..] else {
        panic!("one record");
    };
    check(record)
}

#[test]
fn the_schema_tells_records_from_others() {
    let validator = validator();
    for line in RECORDED.lines() {
        let (_, record) = line.split_once('\t').unwrap();
        let old: Value = serde_json::from_str(record).unwrap();
        assert!(
            !validator.is_valid(&old),
            "Miffy 1.0.1's records lack what ours add"
        );
    }
}

#[test]
fn the_documented_record_follows_the_schema() {
    let (_, rest) = DOCUMENT.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let example = serde_json::from_str(example).unwrap();
    let errors: Vec<String> = validator()
        .iter_errors(&example)
        .map(|e| e.to_string())
        .collect();
    assert_eq!(errors, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_record_follows_the_schema() {
    let broker = Broker::start();
    let reference = Backend::start(|request: Arrived| async move {
        match request.target.as_str() {
            "/x/none" => response(204, &[], ""),
            "/x/cookies" => response(200, &[("set-cookie", "a=1"), ("set-cookie", "b=2")], "x"),
            _ => json(r#"{"a": [1, {"b": null}], "long": "x"}"#),
        }
    })
    .await;
    let candidate = Backend::start(|request: Arrived| async move {
        match request.target.as_str() {
            "/x/status" => response(500, &[("content-type", "application/json")], "{}"),
            "/x/bytes" => response(200, &[], vec![0xff, 0xfe]),
            "/x/long" => json(format!(
                r#"{{"a": [1, {{"b": 2}}, 3], "long": "{}"}}"#,
                "y".repeat(5000)
            )),
            _ => json(r#"{"a": [1.0]}"#),
        }
    })
    .await;
    let miffy = between(&reference, &candidate, &broker);
    let targets = ["none", "cookies", "status", "bytes", "long", "other?q=%2F"];
    for target in targets {
        miffy
            .get(&format!("/x/{target}"))
            .await
            .bytes()
            .await
            .unwrap();
    }
    miffy.outcomes(6).await;
    miffy.stop().await;
    let failing = Setup::of(nobody(), nobody(), &broker).start();
    failing.post("/x/down", "{}").await;
    failing.outcomes(1).await;
    failing.stop().await;
    let published = broker.published().await;
    assert_eq!(published.len(), targets.len() + 1);
    for record in &published {
        check(record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_body_stands_in_the_record_as_it_was_written() {
    let broker = Broker::start();
    let reference =
        Backend::start(|_| async { json("{\"z\" : 1.50,\r\n \"a\":9007199254740993 }\n") }).await;
    let candidate = Backend::start(|_| async { json("{}") }).await;
    let miffy = between(&reference, &candidate, &broker);
    miffy.get("/x/1").await;
    miffy.outcomes(1).await;
    miffy.stop().await;
    let line = broker.published().await[0].line.clone();
    let body = r#""body":{"type":"json","value":{"z" : 1.50, "a":9007199254740993 }}"#;
    assert!(line.contains(body), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_the_request_are_masked() {
    let broker = Broker::start();
    let (reference, candidate) = (
        Backend::start(|_| async { json("1") }).await,
        Backend::start(|_| async { json("2") }).await,
    );
    let miffy = between(&reference, &candidate, &broker);
    let secret = "s3cret";
    let request = miffy
        .client
        .get(miffy.url("/x/1"))
        .header("x-plain", "plain");
    let request = request
        .header("authorization", secret)
        .header("proxy-authorization", secret)
        .header("cookie", secret);
    request.header("x-api-key", secret).send().await.unwrap();
    miffy.outcomes(1).await;
    miffy.stop().await;
    assert_eq!(
        candidate.first().await.headers["authorization"],
        secret,
        "it needs them"
    );
    let record = only_record(&broker).await;
    assert!(!record.to_string().contains(secret));
    assert_eq!(record["request"]["headers"]["x-plain"], "plain");
    assert_eq!(record["request"]["headers"]["cookie"], "[redacted]");
    let redacted = [
        "request.headers.authorization",
        "request.headers.proxy-authorization",
        "request.headers.cookie",
        "request.headers.x-api-key",
    ];
    assert_eq!(record["redacted"], value!(redacted));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_bound_are_there_with_their_start() {
    let broker = Broker::start();
    let reference = Backend::start(|_| async { response(200, &[], "abc".repeat(1000)) }).await;
    let candidate = Backend::start(|_| async { response(200, &[], "abc".repeat(1001)) }).await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.tables("[capture]\nmax_body = \"1KiB\"\n").start();
    miffy.get("/x/1").await.bytes().await.unwrap();
    miffy.outcomes(1).await;
    miffy.stop().await;
    let record = only_record(&broker).await;
    assert_eq!(
        record["differences"][0],
        value!({
            "path": "body", "kind": "length", "reference": 3000, "candidate": 3003,
            "fingerprint": record["fingerprints"][0]
        })
    );
    let truncated = record["truncated"].as_array().unwrap();
    assert_eq!(truncated.len(), 2);
    assert_eq!(truncated[1]["field"], "candidate.response.body");
    assert_eq!(truncated[1]["size"], 3003);
    assert_eq!(truncated[1]["kept"], 1024);
    let body = &record["candidate"]["response"]["body"];
    assert_eq!(body["type"], "bytes");
    let kept = STANDARD.decode(body["value"].as_str().unwrap()).unwrap();
    assert_eq!(kept, "abc".repeat(1001).as_bytes()[..1024]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_those_of_the_exchange() {
    let broker = Broker::start();
    let (sender, mut requests) = mpsc::unbounded_channel();
    let slow = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let (finish, finished) = oneshot::channel::<()>();
            sender.send(finish).unwrap();
            finished.await.unwrap();
            stream.write_all(b"a").await.unwrap();
        }
    })
    .await;
    let candidate = Backend::start(|_| async { response(200, &[], "b") }).await;
    let miffy = between(&slow, &candidate, &broker);
    let before = SystemTime::now() - Duration::from_millis(1);
    let answer = miffy.get("/x/1").await;
    let begun = Instant::now();
    let finish = within("the request", requests.recv()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let waited = begun.elapsed().as_secs_f64() * 1e3;
    finish.send(()).unwrap();
    answer.bytes().await.unwrap();
    miffy.outcomes(1).await;
    miffy.stop().await;
    let record = only_record(&broker).await;
    let ms = |side: &str, time: &str| record[side][time].as_f64().unwrap();
    assert!(
        ms("reference", "elapsed_ms") >= ms("reference", "first_byte_ms") + waited,
        "{record:#}"
    );
    assert!(ms("candidate", "elapsed_ms") >= ms("candidate", "first_byte_ms"));
    let timestamp = record["timestamp"].as_str().unwrap();
    let received = humantime::parse_rfc3339(timestamp).unwrap();
    assert!(
        before <= received && received <= SystemTime::now(),
        "{timestamp}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_then_differences_then_headers_give_way_until_a_record_fits() {
    let broker = Broker::start();
    let answer = |n: u32| {
        move |_: Arrived| async move {
            let pairs = (0..200).map(|key| format!("\"{key}-{}\": {n}", "k".repeat(100)));
            let mut response = json(format!("{{{}}}", pairs.collect::<Vec<_>>().join(",")));
            // Each of these bytes is three in the record.
            let value = HeaderValue::from_bytes(&[0xe9; 10_000]).unwrap();
            response.headers_mut().insert("x-long", value);
            response
        }
    };
    let reference = Backend::start(answer(1)).await;
    let candidate = Backend::start(answer(2)).await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let tables = "\"message.max.bytes\" = 10000\n[compare]\nmax_differences = 1000\n";
    let miffy = setup.tables(tables).start();
    miffy.get("/x/1").await.bytes().await.unwrap();
    miffy.outcomes(1).await;
    miffy.stop().await;
    let record = only_record(&broker).await;
    assert_eq!(record["differences_total"], 200);
    assert_eq!(record["differences"].as_array().unwrap().len(), 10);
    let fields: Vec<&Value> = record["truncated"]
        .as_array()
        .unwrap()
        .iter()
        .map(|truncated| &truncated["field"])
        .collect();
    let expected = [
        "reference.response.headers",
        "reference.response.body",
        "candidate.response.headers",
        "candidate.response.body",
    ];
    assert_eq!(fields, expected.map(Value::from).iter().collect::<Vec<_>>());
    let header = record["reference"]["response"]["headers"]["x-long"]
        .as_str()
        .unwrap();
    // Both have the same share of what is left.
    let is_cut = header.ends_with("\u{FFFD}…");
    assert!(is_cut && (1024..5000).contains(&header.len()), "{header}");
    let other = &record["candidate"]["response"]["headers"]["x-long"];
    assert_eq!(other, header);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_json_reader_can_read_a_body_however_deep() {
    let broker = Broker::start();
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    // The first is as deep as is taken for JSON; the other isn't any longer.
    let reference = Backend::start(move |_| async move { json(deep(120)) }).await;
    let candidate = Backend::start(move |_| async move { json(deep(121)) }).await;
    let miffy = between(&reference, &candidate, &broker);
    miffy.get("/x/1").await.bytes().await.unwrap();
    miffy.outcomes(1).await;
    miffy.stop().await;
    let record = only_record(&broker).await;
    assert_eq!(record["reference"]["response"]["body"]["type"], "json");
    assert_eq!(record["candidate"]["response"]["body"]["type"], "bytes");
}
