//! The stream of outcomes: a line for every matched request and candidate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonschema::Validator;
use miffy::app::Plugs;
use miffy::config::{Environment, Source, load};
use miffy::outcome::Outcome;
use miffy::shadow::{Observer, Report};
use serde_json::{Value, json as value};
use tempfile::TempDir;

use crate::support::backend::{Arrived, Backend, disagreeing, json, nobody, read_head, response};
use crate::support::broker::Broker;
use crate::support::miffy::{Miffy, Setup};
use crate::support::{process, until};

const SCHEMA: &str = include_str!("../../docs/outcome.schema.json");
const DOCUMENT: &str = include_str!("../../docs/outcomes.md");

fn validator() -> Validator {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

/// Holds a line to the schema, to being flat, and to times that no store takes for whole numbers.
fn check(line: &str) -> Value {
    let json: Value = serde_json::from_str(line).unwrap();
    let errors: Vec<String> = validator()
        .iter_errors(&json)
        .map(|e| e.to_string())
        .collect();
    assert_eq!(errors, [""; 0], "{json:#}");
    for (name, value) in json.as_object().unwrap() {
        assert!(value.is_string() || value.is_number(), "{name}: {value}");
        assert_eq!(name.ends_with("_ms"), value.is_f64(), "{name}: {value}");
    }
    json
}

/// A directory with the files of outcomes and of differences.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A table of outcomes that go to a file.
    fn outcomes(&self, more: &str) -> String {
        let path = self.path("outcomes.jsonl");
        format!("[outcomes]\npath = '{}'\n{more}\n", path.display())
    }

    /// Differences in a file instead of Kafka, and this after it.
    fn differences(&self, more: &str) -> String {
        let path = self.path("differences.jsonl");
        let path = path.display();
        format!("enabled = false\n[file]\npath = '{path}'\n{more}\n")
    }

    fn read(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let lines = text.lines().map(|line| match name {
            "outcomes.jsonl" => check(line),
            _ => serde_json::from_str(line).unwrap(),
        });
        lines.collect()
    }
}

/// How many lines there are of each outcome, as in `skipped.method`.
fn counts(lines: &[Value]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let outcome = line["outcome"].as_str().unwrap();
        let name = match line["reason"].as_str() {
            Some(reason) => format!("{outcome}.{reason}"),
            None => outcome.to_owned(),
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// miffy with a second candidate, the same backend under another name.
fn with_two_candidates(setup: &Setup) -> Miffy {
    let source = Source::Text(setup.toml());
    let mut settings = load(&source, &Environment::default()).unwrap().settings;
    for route in &mut settings.routes {
        let mut second = route.candidates[0].clone();
        "second".clone_into(&mut second.name);
        route.candidates.push(second);
    }
    Miffy::start_as(settings, Plugs::default())
}

async fn get(miffy: &Miffy, path: &str) -> u16 {
    let answer = miffy.get(path).await;
    let status = answer.status().as_u16();
    answer.bytes().await.unwrap();
    status
}

/// A sink's sample of a metric.
async fn of(miffy: &Miffy, name: &str, labels: &str) -> u64 {
    let samples = miffy.metric(name).await;
    samples.get(labels).copied().unwrap_or_default()
}

#[test]
fn the_documented_line_follows_the_schema() {
    let (_, rest) = DOCUMENT.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    check(example);
}

#[test]
fn the_schema_knows_every_outcome_and_reason_and_no_other() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let listed = |name: &str| -> BTreeSet<String> {
        serde_json::from_value(schema["properties"][name]["enum"].clone()).unwrap()
    };
    let outcomes = Outcome::all().map(|outcome| outcome.name().to_owned());
    assert_eq!(listed("outcome"), outcomes.collect());
    let reasons = Outcome::all().filter_map(Outcome::reason);
    assert_eq!(listed("reason"), reasons.map(str::to_owned).collect());
}

#[test]
fn every_field_of_the_schema_is_documented() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
}

/// The lines of requests with every outcome, for two candidates each, and what the metrics say of them.
async fn of_every_outcome() -> (Vec<Value>, BTreeMap<String, u64>) {
    let files = Files::new();
    let reference = Backend::start(|_| async { json(r#"{"a":1,"b":2}"#) }).await;
    let candidate = Backend::start(|request: Arrived| async move {
        match request.target.as_str() {
            "/x/different" => response(500, &[("content-type", "application/json")], "[1]"),
            _ => json(r#"{"b": 2, "a": 1}"#),
        }
    })
    .await;
    let breaking = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut";
    let breaking = Backend::answering(breaking).await;
    let broker = Broker::mock();
    let routes = format!(
        r#"{{ path = "/x/{{*rest}}", name = "x", methods = ["GET", "POST"] }},
        {{ path = "/f/candidate", methods = ["GET"], candidate = "{breaking}" }},
        {{ path = "/f/reference", methods = ["GET"], reference = "{breaking}" }}"#
    );
    let setup = Setup::of(&reference, &candidate, &broker)
        .routes(&routes)
        .tables(&files.differences(&files.outcomes("")));
    let miffy = with_two_candidates(&setup);
    for path in ["/x/equal?a=b", "/x/different", "/f/candidate", "/elsewhere"] {
        get(&miffy, path).await;
    }
    miffy.post("/x/post", "four").await.bytes().await.unwrap();
    let _broken_off = miffy.get("/f/reference").await.bytes().await;
    let put = miffy.client.put(miffy.url("/x/put"));
    put.send().await.unwrap().bytes().await.unwrap();
    let ledger = miffy.outcomes(12).await;
    miffy.stop().await;
    (files.read("outcomes.jsonl"), ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_matched_request_has_one_line_for_each_candidate() {
    let before = SystemTime::now();
    let (lines, ledger) = of_every_outcome().await;
    let after = SystemTime::now();
    assert_eq!(counts(&lines), ledger);
    let expected = [
        ("candidate_failed.body", 2),
        ("different", 2),
        ("equal", 4),
        ("reference_failed.body", 2),
        ("skipped.method", 2),
    ];
    assert_eq!(
        ledger,
        expected.map(|(name, n)| (name.to_owned(), n)).into()
    );
    for name in ["candidate", "second"] {
        let of_it = lines.iter().filter(|line| line["candidate"] == name);
        assert_eq!(of_it.count(), 6);
    }
    for line in &lines {
        let text = |name: &str| line[name].as_str().unwrap();
        let path = text("path");
        let expected = if path.starts_with("/x/") {
            ["x", "/x/{*rest}"]
        } else {
            [path, path]
        };
        assert_eq!(["experiment", "route"].map(text), expected);
        let time = humantime::parse_rfc3339(text("@timestamp")).unwrap();
        // It is cut off to milliseconds.
        assert!(before <= time + Duration::from_millis(1) && time <= after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_are_those_of_the_exchange() {
    let (lines, _) = of_every_outcome().await;
    for line in &lines {
        let ms = |name: &str| line[name].as_f64();
        if let Some(difference) = ms("difference_ms") {
            let expected = ms("candidate_ms").unwrap() - ms("reference_ms").unwrap();
            assert!((difference - expected).abs() < 1e-6, "{line}");
        }
        for side in ["reference", "candidate"] {
            let first = ms(&format!("{side}_first_byte_ms"));
            let elapsed = ms(&format!("{side}_ms"));
            assert!(first.is_none() || first <= elapsed, "{line}");
        }
    }
    let has = |path: &str, expected: &Value| {
        let line = lines.iter().find(|line| line["path"] == path).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name}: {line}");
        }
    };
    let equal = value!({
        "method": "GET", "reference_status": 200, "candidate_status": 200, "differences": 0,
        "request_bytes": 0, "reference_bytes": 13, "candidate_bytes": 16,
    });
    has("/x/equal", &equal);
    // The status, and the body's type.
    let different = value!({"reference_status": 200, "candidate_status": 500, "differences": 2});
    has("/x/different", &different);
    has("/x/post", &value!({"method": "POST", "request_bytes": 4}));
    let failing =
        value!({"reference_status": 200, "candidate_status": null, "difference_ms": null});
    has("/f/candidate", &failing);
    has(
        "/f/reference",
        &value!({"reference_status": null, "candidate_status": 200}),
    );
    has(
        "/x/put",
        &value!({"method": "PUT", "reference_ms": null, "request_bytes": null}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_not_compared_has_lines_too() {
    let files = Files::new();
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    let tables = files.differences(&files.outcomes(""));
    let setup = Setup::of(&reference, &candidate, &broker).tables(&tables);
    let source = Source::Text(setup.toml());
    let mut settings = load(&source, &Environment::default()).unwrap().settings;
    settings.routes[0].candidates[0].compare = false;
    let miffy = Miffy::start_as(settings, Plugs::default());
    get(&miffy, "/x/1").await;
    miffy.outcomes(1).await;
    miffy.stop().await;
    let lines = files.read("outcomes.jsonl");
    assert_eq!(counts(&lines), [("uncompared".to_owned(), 1)].into());
    assert!(lines[0]["difference_ms"].is_f64() && lines[0]["differences"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_takes_requests_with_all_their_candidates_or_not_at_all() {
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    for (sample, range) in [("0", 0..=0), ("0.5", 1..=63), ("1.0", 64..=64)] {
        let files = Files::new();
        let outcomes = files.outcomes(&format!("sample = {sample}"));
        let setup =
            Setup::of(&reference, &candidate, &broker).tables(&files.differences(&outcomes));
        let miffy = with_two_candidates(&setup);
        for n in 0..64 {
            get(&miffy, &format!("/x/{n}")).await;
        }
        miffy.outcomes(128).await;
        miffy.stop().await;
        let mut requests: BTreeMap<String, u32> = BTreeMap::new();
        for line in files.read("outcomes.jsonl") {
            let path = line["path"].as_str().unwrap().to_owned();
            *requests.entry(path).or_default() += 1;
        }
        assert!(
            range.contains(&requests.len()),
            "{sample}: {}",
            requests.len()
        );
        assert!(requests.values().all(|lines| *lines == 2), "{requests:?}");
        assert_eq!(files.read("differences.jsonl").len(), 128);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_gets_them_under_the_experiments_name_whether_differences_go_to_kafka_or_not() {
    let (reference, candidate) = disagreeing().await;
    let files = Files::new();
    for tables in [String::new(), files.differences("")] {
        let broker = Broker::start();
        let topic = format!("{}-outcomes", broker.topic);
        let tables = format!("{tables}[outcomes]\ntopic = \"{topic}\"\n");
        let setup = Setup::of(&reference, &candidate, &broker).tables(&tables);
        let is_on = !tables.contains("enabled = false");
        let miffy = setup.start();
        for n in 0..5 {
            get(&miffy, &format!("/x/{n}")).await;
        }
        miffy.outcomes(5).await;
        miffy.stop().await;
        let lines = broker.published_to(&topic).await;
        assert_eq!(lines.len(), 5);
        for line in lines {
            assert_eq!(line.key, "x");
            assert_eq!(check(&line.line)["outcome"], "different");
        }
        if is_on {
            let records = broker.published().await;
            assert!(records.iter().all(|it| !it.json()["id"].is_null()));
            assert_eq!(records.len(), 5);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_costs_lines_only_and_they_are_counted() {
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    broker.controls().broker_down(1).unwrap();
    let files = Files::new();
    let outcomes = "[outcomes]\ntopic = \"outcomes\"\nqueue_records = 3\n";
    let miffy = Setup::of(&reference, &candidate, &broker)
        .more("shutdown_timeout = \"2s\"")
        .tables(&files.differences(outcomes))
        .start();
    for n in 0..10 {
        assert_eq!(get(&miffy, &format!("/x/{n}")).await, 200);
    }
    miffy.outcomes(10).await;
    until("the differences", || async {
        let published = of(&miffy, "miffy_records_published_total", "sink=\"file\"").await;
        (published == 10).then_some(())
    })
    .await;
    let sink = "sink=\"outcomes_kafka\"";
    let full = format!("{sink},reason=\"queue_full\"");
    until("what there is no room for to be dropped", || async {
        let dropped = of(&miffy, "miffy_records_dropped_total", &full).await;
        let waiting = of(&miffy, "miffy_delivery_waiting_records", sink).await;
        (dropped == 7 && waiting == 3).then_some(())
    })
    .await;
    until("the reason", || async {
        let (code, text) = miffy.manage("/readyz").await;
        assert_eq!(code, 200);
        let failing = r#""outcomes_kafka":{"state":"failing","problem":"no broker is reached"#;
        text.contains(failing).then_some(())
    })
    .await;
    miffy.stop().await;
    assert_eq!(files.read("differences.jsonl").len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_through_where_differences_have_no_room() {
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    broker.controls().broker_down(1).unwrap();
    let files = Files::new();
    let tables = format!("[delivery]\nqueue_records = 3\n{}", files.outcomes(""));
    let miffy = Setup::of(&reference, &candidate, &broker)
        .more("shutdown_timeout = \"2s\"")
        .tables(&tables)
        .start();
    for n in 0..10 {
        assert_eq!(get(&miffy, &format!("/x/{n}")).await, 200);
    }
    miffy.outcomes(10).await;
    let full = "sink=\"kafka\",reason=\"queue_full\"";
    until("what there is no room for to be dropped", || async {
        let dropped = of(&miffy, "miffy_records_dropped_total", full).await;
        (dropped == 7).then_some(())
    })
    .await;
    miffy.stop().await;
    assert_eq!(files.read("outcomes.jsonl").len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_output_that_nobody_reads_costs_lines_only() {
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    let files = Files::new();
    let outcomes = "[outcomes]\nstdout = true\nqueue_records = 3\n";
    let setup = Setup::of(&reference, &candidate, &broker)
        .more("shutdown_timeout = \"2s\"")
        .tables(&files.differences(outcomes));
    let (unread, stdout) = std::io::pipe().unwrap();
    let (mut miffy, url) = process::start_to(&setup, stdout);
    let client = crate::support::http_client();
    // More than a pipe holds.
    let long = "x".repeat(30_000);
    for n in 0..20 {
        let answer = client
            .get(format!("{url}/x/{n}/{long}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    // What takes its time now is the lines' way out.
    miffy.outcomes(20).await;
    miffy.signal("TERM");
    assert!(miffy.wait().success());
    let stopped = miffy.stderr.event("stopped");
    let of = |name| stopped[name].as_u64().unwrap();
    assert_eq!((of("published"), of("dropped")), (20, 0), "{stopped}");
    assert_eq!(of("outcome_lines"), 20, "{stopped}");
    assert!(of("outcome_lines_dropped") > 0, "{stopped}");
    let ended = of("outcome_lines_published") + of("outcome_lines_dropped");
    assert_eq!(ended, 20, "{stopped}");
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_has_nothing_but_lines_and_a_stop_writes_them_all() {
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    let setup = Setup::of(&reference, &candidate, &broker).tables("[outcomes]\nstdout = true\n");
    let (mut miffy, url) = process::start(&setup, &[]);
    let client = crate::support::http_client();
    for n in 0..5 {
        client.get(format!("{url}/x/{n}")).send().await.unwrap();
    }
    miffy.signal("TERM");
    assert!(miffy.wait().success());
    let lines = miffy.stdout.all();
    assert_eq!(lines.len(), 5);
    for line in &lines {
        check(line);
    }
    let stopped = miffy.stderr.event("stopped");
    assert_eq!(
        (&stopped["outcome_lines"], &stopped["records"]),
        (&5.into(), &5.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_in_no_line() {
    const SECRET: &str = "s3cr3t-0f-a-query";
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    let files = Files::new();
    let redact = "[redact]\nquery = [\"token\"]\n";
    let setup = Setup::of(&reference, &candidate, &broker)
        .routes(r#"{ path = "/x/{*rest}", methods = ["GET"] }"#)
        .tables(&files.differences(&files.outcomes(redact)));
    let miffy = setup.start();
    let target = format!("/x/1?token={SECRET}&other={SECRET}");
    get(&miffy, &target).await;
    let skipped = miffy.post(&target, SECRET).await;
    skipped.bytes().await.unwrap();
    miffy.outcomes(2).await;
    miffy.stop().await;
    let lines = files.read("outcomes.jsonl");
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(!line.to_string().contains(SECRET), "{line}");
        assert_eq!(line["path"], "/x/1");
    }
}

struct Panicking;

impl Observer for Panicking {
    fn ended(&self, _report: &Report<'_>) {
        panic!("a defect of an observer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_observer_that_panics_costs_no_line() {
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    let files = Files::new();
    let plugs = Plugs {
        observer: Some(Arc::new(Panicking)),
        ..Plugs::default()
    };
    let miffy = Setup::of(&reference, &candidate, &broker)
        .tables(&files.differences(&files.outcomes("")))
        .start_with(plugs);
    get(&miffy, "/x/1").await;
    miffy.outcomes(1).await;
    miffy.stop().await;
    assert_eq!(files.read("outcomes.jsonl").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_away_or_hangs_up_is_a_reason() {
    let files = Files::new();
    let reference = Backend::start(|_| async { json("1") }).await;
    let broker = Broker::mock();
    let setup = Setup::of(&reference, nobody(), &broker);
    let miffy = setup
        .tables(&files.differences(&files.outcomes("")))
        .start();
    get(&miffy, "/x/1").await;
    miffy.outcomes(1).await;
    miffy.stop().await;
    let lines = files.read("outcomes.jsonl");
    assert_eq!(
        counts(&lines),
        [("candidate_failed.connect".to_owned(), 1)].into()
    );

    let files = Files::new();
    let hanging_up = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let setup = Setup::of(&hanging_up, &reference, &broker);
    let miffy = setup
        .tables(&files.differences(&files.outcomes("")))
        .start();
    assert_eq!(get(&miffy, "/x/1").await, 502);
    miffy.outcomes(1).await;
    miffy.stop().await;
    let lines = files.read("outcomes.jsonl");
    assert_eq!(
        counts(&lines),
        [("reference_failed.protocol".to_owned(), 1)].into()
    );
    // What the client got is miffy's own, and no status of the reference's.
    assert!(lines[0]["reference_status"].is_null() && lines[0]["candidate_status"] == 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_table_there_is_no_trace_of_it() {
    let (reference, candidate) = disagreeing().await;
    let broker = Broker::mock();
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.tables("[outcomes]\nsample = 0.5\n").start();
    get(&miffy, "/x/1").await;
    miffy.outcomes(1).await;
    for path in ["/metrics", "/readyz"] {
        let (_, text) = miffy.manage(path).await;
        assert!(!text.contains("\"outcomes_"), "{text}");
    }
    miffy.stop().await;
}

#[test]
fn each_error_names_its_key() {
    let file = "[file]\npath = \"a.jsonl\"\n[outcomes]\npath = \"a.jsonl\"";
    for (toml, key) in [
        ("[outcomes]\nsample = 1.5", "outcomes.sample: "),
        ("[outcomes]\nsample = \"5%\"", "outcomes.sample: "),
        ("[outcomes]\nstdout = 3", "outcomes.stdout: "),
        ("[outcomes]\npath = \"a/..\"", "outcomes.path: "),
        ("[outcomes]\nmax_size = 10", "outcomes.max_size: "),
        ("[outcomes]\nmax_files = 0", "outcomes.max_files: "),
        (
            "[outcomes]\ncompression = \"lz4\"",
            "outcomes.compression: ",
        ),
        ("[outcomes]\ntopic = \"{route}\"", "outcomes.topic: "),
        ("[outcomes]\nqueue_records = 0", "outcomes.queue_records: "),
        ("[outcomes]\nqueue_bytes = 0", "outcomes.queue_bytes: "),
        ("[outcomes]\nsampel = 1", "outcomes.sampel: unknown key"),
        (
            "[stdout]\nenabled = true\n[outcomes]\nstdout = true",
            "outcomes.stdout: ",
        ),
        (
            "routes = [{ path = \"/a\" }]\n[outcomes]\ntopic = \"miffy\"",
            "outcomes.topic: ",
        ),
        (file, "outcomes.path: "),
        (
            "[file]\npath = \"a\"\n[kafka]\nenabled = false\n\"bootstrap.servers\" = \"\"\n[outcomes]\ntopic = \"t\"",
            "kafka.\"bootstrap.servers\": ",
        ),
    ] {
        let loaded = load(&Source::Text(toml.to_owned()), &Environment::default());
        let problems = loaded.expect_err(toml).to_string();
        let lines: Vec<&str> = problems.lines().skip(1).collect();
        let [problem] = lines[..] else {
            panic!("{toml}: {problems}");
        };
        assert!(problem.trim_start().starts_with(key), "{toml}: {problem}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_with_its_key() {
    let config = "[outcomes]\npath = \"missing/outcomes.jsonl\"\n";
    let ended = process::anywhere(config).output();
    assert_eq!(ended.code, 1, "{ended:?}");
    let line = "miffy: outcomes.path: missing/outcomes.jsonl: No such file or directory";
    assert!(ended.stderr.contains(line), "{ended:?}");
}
