//! Noise, told from differences by second answers of the reference's code, and never in anybody's way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use miffy::app::Plugs;
use miffy::config::{Environment, NoiseMethod, Settings, Source, load};
use miffy::shadow::{Observer, Report};
use serde_json::{Value, json as value};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::support::backend::{Arrived, Backend, json, nobody, read_head};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, Setup, outcomes};
use crate::support::process;
use crate::support::{until, within};

/// An answer of which only the price is the same each time.
fn noisy_answer(price: u32) -> Response {
    let random = || Uuid::now_v7().as_u128().reverse_bits();
    let mut list: Vec<u32> = (0..10).collect();
    list.sort_by_cached_key(|_| random());
    let answer = value!({
        "at": random().to_string(),
        "items": [{ "id": Uuid::now_v7() }, { "id": Uuid::now_v7() }],
        "list": list,
        "price": price,
    });
    json(answer.to_string())
}

async fn noisy() -> Backend {
    Backend::start(|_| async { noisy_answer(1) }).await
}

/// As noisy, and wrong at `/x/bad`.
async fn noisy_candidate() -> Backend {
    let price = |request: &Arrived| if request.target == "/x/bad" { 2 } else { 1 };
    Backend::start(move |request| async move { noisy_answer(price(&request)) }).await
}

async fn steady(_: Arrived) -> Response {
    json(r#"{"n":1}"#)
}

/// Sends so many requests, one after the other, and waits for their outcomes; so many ended before.
async fn send(miffy: &Miffy, path: &str, times: u64, before: u64) {
    for n in 1..=times {
        let answer = miffy.get(path).await;
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        miffy.outcomes(before + n).await;
    }
}

/// Where a record has differences that are said to be noise, or are not.
fn places(record: &Value, noise: bool) -> BTreeSet<String> {
    let differences = record["differences"].as_array().unwrap().iter();
    let chosen = differences.filter(|d| (d["noise"] == value!(true)) == noise);
    let first = |d: &Value| {
        let path = d["path"].as_str().unwrap();
        path.split('/').nth(1).unwrap().to_owned()
    };
    chosen.map(first).collect()
}

/// The records of requests to this path.
async fn records(broker: &Broker, path: &str) -> Vec<Value> {
    let all = broker.published().await;
    let all = all.iter().map(Published::json);
    all.filter(|record| record["request"]["uri"] == path)
        .collect()
}

/// A sample of a metric of the experiment.
async fn of_experiment(miffy: &Miffy, metric: &str, label: &str) -> u64 {
    let samples = miffy.metric(metric).await;
    samples[&format!("experiment=\"x\",candidate=\"candidate\"{label}")]
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_between_two_instances_is_said_to_be_noise() {
    let broker = Broker::start();
    let (reference, secondary) = (noisy().await, noisy().await);
    let candidate = noisy_candidate().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.more(&format!("secondary = \"{secondary}\"")).start();
    send(&miffy, "/x/good", 12, 0).await;
    send(&miffy, "/x/bad", 1, 12).await;
    assert_eq!(miffy.outcomes(13).await, outcomes([("different", 13)]));
    assert!(of_experiment(&miffy, "miffy_noise_locations", "").await >= 3);
    let flagged = of_experiment(
        &miffy,
        "miffy_noise_differences_total",
        ",suppressed=\"false\"",
    );
    assert!(flagged.await > 0);
    let requests = miffy.metric("miffy_requests_total").await;
    assert_eq!(requests["role=\"secondary\""], 13);
    miffy.stop().await;
    let noise = names(["at", "items", "list"]);
    let [bad] = &records(&broker, "/x/bad").await[..] else {
        panic!("one record");
    };
    assert_eq!(places(bad, true), noise);
    assert_eq!(places(bad, false), names(["price"]));
    let good = records(&broker, "/x/good").await;
    assert_eq!(
        places(&good[0], true),
        names([]),
        "nothing is known at first"
    );
    assert_eq!(places(&good[11], true), noise);
    assert_eq!(places(&good[11], false), names([]));
    for (backend, role) in [
        (&reference, "reference"),
        (&candidate, "candidate"),
        (&secondary, "secondary"),
    ] {
        let arrived = backend.arrived();
        assert_eq!(arrived.len(), 13);
        assert!(
            arrived.iter().all(|request| request.role() == role),
            "{role}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_that_is_suppressed_leaves_what_is_real() {
    let broker = Broker::start();
    let (reference, secondary) = (noisy().await, noisy().await);
    let candidate = noisy_candidate().await;
    let setup = Setup::of(&reference, &candidate, &broker)
        .more(&format!("secondary = \"{secondary}\""))
        .tables("[compare.noise]\nsuppress = true\nmin_exchanges = 5\n");
    let miffy = setup.start();
    send(&miffy, "/x/good", 8, 0).await;
    // The fifth counts before it is judged.
    let expected = outcomes([("different", 4), ("equal", 4)]);
    assert_eq!(miffy.outcomes(8).await, expected);
    send(&miffy, "/x/bad", 1, 8).await;
    let suppressed = of_experiment(
        &miffy,
        "miffy_noise_differences_total",
        ",suppressed=\"true\"",
    );
    assert!(suppressed.await >= 5 * 3);
    miffy.stop().await;
    let [bad] = &records(&broker, "/x/bad").await[..] else {
        panic!("one record");
    };
    assert_eq!(places(bad, false), names(["price"]));
    assert_eq!(places(bad, true), names([]));
    assert_eq!(bad["differences_total"], 1);
    assert_eq!(records(&broker, "/x/good").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_asked_again_where_there_is_no_second_instance() {
    let broker = Broker::start();
    let (reference, candidate) = (noisy().await, noisy_candidate().await);
    let setup = Setup::of(&reference, &candidate, &broker)
        .more("noise = \"requery\"")
        .tables("[compare.noise]\nsuppress = true\nmin_exchanges = 5\nrequery_rate = 6\n");
    let (miffy, began) = (setup.start(), Instant::now());
    send(&miffy, "/x/good", 40, 0).await;
    let expected = outcomes([("different", 4), ("equal", 36)]);
    assert_eq!(miffy.outcomes(40).await, expected);
    send(&miffy, "/x/bad", 1, 40).await;
    let arrived = reference.arrived();
    let again = arrived
        .iter()
        .filter(|request| request.role() == "secondary")
        .count();
    // A second's worth at once, and what came back since.
    let allowed = 6 * u128::from(began.elapsed().as_secs() + 2);
    assert!(again as u128 <= allowed, "{again} of {allowed}");
    let unasked = of_experiment(&miffy, "miffy_noise_unanswered_total", ",reason=\"rate\"").await;
    assert_eq!(again as u64 + unasked, 41, "all of them differ");
    assert_eq!(arrived.len(), 41 + again);
    miffy.stop().await;
    let [bad] = &records(&broker, "/x/bad").await[..] else {
        panic!("one record");
    };
    assert_eq!(places(bad, false), names(["price"]));
    assert!(
        candidate
            .arrived()
            .iter()
            .all(|request| request.role() == "candidate")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_leave_of_records_they_leave_of_answers() {
    const RULES: &str = "[compare]\nignore = [\"/at\"]\narrays = { \"/list\" = \"set\" }\n\
        values = { \"/items/*/id\" = \"uuid\" }\n";
    let (reference, candidate) = (noisy().await, noisy_candidate().await);
    let setup = |broker: &Broker, rules: &str| {
        let setup = Setup::of(&reference, &candidate, broker);
        setup.tables(rules)
    };
    let session = |setup: Setup| async {
        let miffy = setup.start();
        send(&miffy, "/x/good", 5, 0).await;
        send(&miffy, "/x/bad", 1, 5).await;
        let outcomes = miffy.outcomes(6).await;
        miffy.stop().await;
        outcomes
    };
    let (before, after) = (Broker::start(), Broker::start());
    let found = session(setup(&before, "")).await;
    assert_eq!(found, outcomes([("different", 6)]));
    let captured = before.published().await;
    let captured: Vec<String> = captured.into_iter().map(|record| record.line).collect();
    let said = process::Miffy::new(&["check", "--against", "captured.jsonl"])
        .config(&setup(&before, RULES).toml())
        .file("captured.jsonl", &captured.join("\n"))
        .output()
        .stdout;
    for line in [
        "x           /at          changed    6       0",
        "x           /items/*/id  changed    6       0",
        "x           /list        reordered  6       0",
        "x           /price       changed    1       1",
        "records that would remain: 1 of 6",
        "  arrays /list = set: 6",
        "  ignore /at: 6",
        "  values /items/*/id = uuid: 12",
    ] {
        assert!(said.lines().any(|it| it == line), "{line}\n{said}");
    }
    let found = session(setup(&after, RULES)).await;
    assert_eq!(found, outcomes([("different", 1), ("equal", 5)]));
    let [bad] = &records(&after, "/x/bad").await[..] else {
        panic!("one record");
    };
    assert_eq!(places(bad, false), names(["price"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_differs_now_and_then_is_noise_when_asked_again_too() {
    /// Which of two values it is nobody knows. Of all that can come, these differ at first: what the
    /// reference answers, the candidate, and the reference again.
    const PAIRS: [[&str; 3]; 4] = [
        ["[1]", "[2]", "[1]"],
        ["[1]", "[2]", "[2]"],
        ["[2]", "[1]", "[2]"],
        ["[2]", "[1]", "[1]"],
    ];
    let answer = |request: Arrived| async move {
        let pair: usize = request.target.trim_start_matches("/x/").parse().unwrap();
        let roles = ["reference", "candidate", "secondary"];
        let role = roles.iter().position(|role| *role == request.role());
        json(PAIRS[pair][role.unwrap()])
    };
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(answer).await, Backend::start(answer).await);
    let setup = Setup::of(&reference, &candidate, &broker)
        .more("noise = \"requery\"")
        .tables("[compare.noise]\nmin_exchanges = 12\nrequery_rate = 100\n");
    let miffy = setup.start();
    for n in 0..12 {
        send(&miffy, &format!("/x/{}", n % 4), 1, n).await;
    }
    // By the first answers alone, the candidate would differ twice as often as the reference.
    assert_eq!(of_experiment(&miffy, "miffy_noise_locations", "").await, 1);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_differs_and_is_safe_is_asked_again() {
    let broker = Broker::start();
    let reference = Backend::start(steady).await;
    let candidate = Backend::start(|request: Arrived| async move {
        json(if request.target == "/x/same" {
            r#"{"n":1}"#
        } else {
            r#"{"n":2}"#
        })
    })
    .await;
    let setup = Setup::of(&reference, &candidate, &broker).more("noise = \"requery\"");
    let miffy = setup.start();
    let mut ended = 0;
    for method in ["POST", "PUT", "PATCH", "DELETE", "FROB", "GET", "OPTIONS"] {
        let method: http::Method = method.parse().unwrap();
        let request = miffy.client.request(method, miffy.url("/x/1"));
        request.send().await.unwrap().bytes().await.unwrap();
        ended += 1;
        miffy.outcomes(ended).await;
    }
    send(&miffy, "/x/same", 1, ended).await;
    let arrived = reference.arrived();
    let again = arrived
        .iter()
        .filter(|request| request.role() == "secondary");
    let again: Vec<(&str, &str)> = again
        .map(|request| (request.method.as_str(), request.target.as_str()))
        .collect();
    assert_eq!(again, [("GET", "/x/1"), ("OPTIONS", "/x/1")]);
    assert_eq!(
        miffy.outcomes(8).await,
        outcomes([("different", 7), ("equal", 1)])
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_secondary_does_pairs_are_compared_as_ever_and_it_is_left_alone() {
    let reference = Backend::start(steady).await;
    let candidate = Backend::start(|request: Arrived| async move {
        json(if request.target == "/x/bad" {
            r#"{"n":2}"#
        } else {
            r#"{"n":1}"#
        })
    })
    .await;
    let hanging = Backend::hanging().await;
    let garbage = Backend::answering(b"\x16\x03\x01 no http").await;
    let cut = Backend::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
    let flooding = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let start = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n";
        let mut sent = stream.write_all(start).await;
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 4096]).await;
        }
    })
    .await;
    let urls = [&hanging, &garbage, &cut, &flooding].map(Backend::url);
    for secondary in urls.into_iter().chain([nobody()]) {
        let broker = Broker::start();
        let setup = Setup::of(&reference, &candidate, &broker)
            .more(&format!("secondary = \"{secondary}\""))
            .tables("[shadow.breaker]\nfailures = 2\npause = \"1h\"\n");
        let miffy = setup.start();
        for n in 1..=6 {
            let path = if n % 2 == 0 { "/x/bad" } else { "/x/good" };
            let answer = miffy.get(path).await.text().await.unwrap();
            assert_eq!(answer, r#"{"n":1}"#);
            miffy.outcomes(n).await;
        }
        let expected = outcomes([("different", 3), ("equal", 3)]);
        assert_eq!(miffy.outcomes(6).await, expected, "{secondary}");
        for (role, is_open) in [("secondary", 1), ("candidate", 0)] {
            // The secondary is nobody's in particular.
            let candidate = if role == "candidate" { role } else { "" };
            let label = format!("experiment=\"x\",candidate=\"{candidate}\",role=\"{role}\"");
            assert_eq!(miffy.metric("miffy_breaker_open").await[&label], is_open);
        }
        for (reason, number) in [("failed", 2), ("breaker", 4), ("rate", 0)] {
            let label = format!(",reason=\"{reason}\"");
            let unanswered = of_experiment(&miffy, "miffy_noise_unanswered_total", &label);
            assert_eq!(unanswered.await, number, "{secondary} {reason}");
        }
        until("what was captured to be released", || async {
            (miffy.metric("miffy_captured_bytes").await[""] == 0).then_some(())
        })
        .await;
        miffy.stop().await;
        for record in records(&broker, "/x/bad").await {
            assert_eq!(places(&record, false), names(["n"]));
        }
    }
    assert_eq!(hanging.arrived().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_hangs_is_not_waited_for_as_long_as_it_may_take() {
    let broker = Broker::start();
    let (reference, candidate) = (Backend::start(steady).await, Backend::start(steady).await);
    let hanging = Backend::hanging().await;
    let setup = Setup::of(&reference, &candidate, &broker)
        .more(&format!("secondary = \"{hanging}\""))
        .tables("[timeouts.candidate]\nexchange = \"10m\"\n[shadow]\nmax_in_flight = 1\n");
    let miffy = setup.start();
    send(&miffy, "/x/1", 1, 0).await;
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    until("the permit to be given back", || async {
        (miffy.metric("miffy_shadow_in_flight").await[""] == 0).then_some(())
    })
    .await;
    send(&miffy, "/x/1", 1, 1).await;
    assert_eq!(miffy.outcomes(2).await, outcomes([("equal", 2)]));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_where_answers_rarely_differ_by_themselves_is_reported() {
    /// Answers `[1]`, or `[odd]` once in `every` times.
    async fn now_and_then(odd: u32, every: u32) -> Backend {
        let count = Arc::new(AtomicU32::new(0));
        Backend::start(move |_| {
            let is_odd = count.fetch_add(1, Ordering::Relaxed).is_multiple_of(every);
            async move { json(format!("[{}]", if is_odd { odd } else { 1 })) }
        })
        .await
    }
    let broker = Broker::start();
    let reference = Backend::start(|_| async { json("[1]") }).await;
    let (secondary, candidate) = (now_and_then(2, 10).await, now_and_then(3, 2).await);
    let setup = Setup::of(&reference, &candidate, &broker)
        .more(&format!("secondary = \"{secondary}\""))
        .tables("[compare.noise]\nsuppress = true\n");
    let miffy = setup.start();
    send(&miffy, "/x/1", 40, 0).await;
    let expected = outcomes([("different", 20), ("equal", 20)]);
    assert_eq!(miffy.outcomes(40).await, expected);
    assert_eq!(of_experiment(&miffy, "miffy_noise_locations", "").await, 0);
    miffy.stop().await;
    assert_eq!(broker.published().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_noise_like_anything_else_as_long_as_the_candidate_fails_no_more_often() {
    /// Answers 503 once in `every` times, from the `first` time on.
    async fn failing(first: u32, every: u32) -> Backend {
        let count = Arc::new(AtomicU32::new(0));
        Backend::start(move |_| {
            let n = count.fetch_add(1, Ordering::Relaxed);
            let fails = n >= first && (n - first).is_multiple_of(every);
            async move { http::StatusCode::from_u16(if fails { 503 } else { 200 }).unwrap() }
        })
        .await
    }
    let broker = Broker::start();
    let reference = Backend::start(|_| async { http::StatusCode::OK }).await;
    let (secondary, candidate) = (failing(0, 4).await, failing(1, 4).await);
    let setup = Setup::of(&reference, &candidate, &broker)
        .more(&format!("secondary = \"{secondary}\""))
        .tables("[compare.noise]\nsuppress = true\n");
    let miffy = setup.start();
    send(&miffy, "/x/1", 20, 0).await;
    // The second and the sixth came before anything was known.
    let expected = outcomes([("different", 2), ("equal", 18)]);
    assert_eq!(miffy.outcomes(20).await, expected);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_answer_that_was_not_kept_tells_nothing_of_those_that_were() {
    async fn saying(text: &'static str, times: usize) -> Backend {
        Backend::start(move |_| async move { text.repeat(times).into_response() }).await
    }
    let broker = Broker::start();
    let (reference, candidate) = (saying("a", 9).await, saying("b", 9).await);
    let secondary = saying("a", 2000).await;
    let setup = Setup::of(&reference, &candidate, &broker)
        .more(&format!("secondary = \"{secondary}\""))
        .tables(
            "[capture]\nmax_body = \"1KiB\"\n[compare.noise]\nsuppress = true\nmin_exchanges = 5\n",
        );
    let miffy = setup.start();
    send(&miffy, "/x/1", 8, 0).await;
    assert_eq!(miffy.outcomes(8).await, outcomes([("different", 8)]));
    let failed = of_experiment(&miffy, "miffy_noise_unanswered_total", ",reason=\"failed\"");
    assert_eq!(failed.await, 8);
    miffy.stop().await;
}

/// Keeps the outcomes that it is told of.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn ended(&self, report: &Report<'_>) {
        let reason = report.outcome.reason().unwrap_or_default();
        let outcome = format!("{}.{reason}", report.outcome.name());
        self.0.lock().unwrap().push(outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_second_answer_and_loses_no_difference() {
    let broker = Broker::start();
    // Beside the pair, and behind it: there the reference hangs when it is asked again.
    for (number, method) in ["secondary", "requery"].into_iter().enumerate() {
        let hanging = Backend::hanging().await;
        let reference = Backend::start(move |request: Arrived| async move {
            if request.role() == "secondary" {
                std::future::pending::<()>().await;
            }
            steady(request).await
        })
        .await;
        // A second answer may take a second longer than its pair: longer than the stop.
        let candidate = Backend::start(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            json("{}")
        })
        .await;
        let setup = Setup::of(&reference, &candidate, &broker);
        let more = match method {
            "requery" => "noise = \"requery\"".to_owned(),
            _ => format!("secondary = \"{hanging}\""),
        };
        let told = Arc::new(Told::default());
        let plugs = Plugs {
            observer: Some(told.clone()),
            ..Plugs::default()
        };
        let setup = setup.more(&format!("shutdown_timeout = \"1500ms\"\n{more}"));
        let miffy = setup.start_with(plugs);
        miffy.get("/x/1").await.bytes().await.unwrap();
        until("the second answer to be asked for", || async {
            let again = reference.arrived().len() + hanging.arrived().len();
            (again == 2).then_some(())
        })
        .await;
        let began = Instant::now();
        within("the end", miffy.tell_to_stop())
            .await
            .unwrap()
            .unwrap();
        assert!(began.elapsed() < Duration::from_secs(20), "{method}");
        assert_eq!(*told.0.lock().unwrap(), ["different."], "{method}");
        let records = broker.published().await.len();
        assert_eq!(records, number + 1, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_where_noise_is_and_never_what_it_is() {
    let secretive = |_| async { json(format!("{{\"token\":\"s3cret-{}\"}}", Uuid::now_v7())) };
    let broker = Broker::start();
    let (reference, secondary) = (
        Backend::start(secretive).await,
        Backend::start(secretive).await,
    );
    let candidate = Backend::start(secretive).await;
    let setup = Setup::of(&reference, &candidate, &broker)
        .more(&format!("secondary = \"{secondary}\""))
        .tables("[compare.noise]\nmin_exchanges = 2\n");
    let (mut miffy, url) = process::start(&setup, &[]);
    let client = crate::support::http_client();
    for _ in 0..2 {
        let answer = client.get(format!("{url}/x/1")).send();
        within("an answer", answer).await.unwrap();
    }
    let learned = miffy.stderr.event("noise was learned");
    for (field, value) in [("experiment", "x"), ("location", "/token")] {
        assert_eq!(learned[field], value);
    }
    for field in ["raw", "noise", "exchanges"] {
        assert_eq!(learned[field], 2, "{field}");
    }
    miffy.signal("TERM");
    miffy.wait();
    let log = miffy.stderr.all().join("\n");
    assert!(!log.contains("s3cret"), "{log}");
}

fn settings(toml: &str) -> Result<Settings, String> {
    let loaded = load(&Source::Text(toml.to_owned()), &Environment::default());
    loaded
        .map(|loaded| loaded.settings)
        .map_err(|problems| problems.to_string())
}

#[test]
fn a_route_says_for_itself_how_noise_is_told() {
    let secondary = "secondary = \"http://a:1\"";
    let requery = "noise = \"requery\"";
    for (above, own, expected) in [
        ("", "", ""),
        (secondary, "", "http://a:1"),
        (secondary, "secondary = \"http://b:2\"", "http://b:2"),
        (secondary, "secondary = \"off\"", ""),
        (secondary, "noise = \"off\"", "http://a:1"),
        (secondary, requery, "requery"),
        (requery, "", "requery"),
        (requery, "noise = \"off\"", ""),
        (requery, "secondary = \"off\"", "requery"),
        (requery, secondary, "http://a:1"),
        (
            "",
            "noise = \"off\", secondary = \"http://b:2\"",
            "http://b:2",
        ),
    ] {
        let comma = if own.is_empty() { "" } else { ", " };
        let toml = format!("{above}\nroutes = [{{ path = \"/x\"{comma}{own} }}]");
        let method = match &settings(&toml).unwrap().routes[0].noise {
            NoiseMethod::Off => String::new(),
            NoiseMethod::Secondary(base) => base.to_string(),
            NoiseMethod::Requery => "requery".to_owned(),
        };
        assert_eq!(method, expected, "{toml}");
    }
}

#[test]
fn what_is_wrong_with_noise_is_told_with_its_key() {
    for (toml, problem) in [
        (
            "secondary = \"http://a:1\"\nnoise = \"requery\"",
            "noise: can't be \"requery\" beside secondary",
        ),
        (
            "routes = [{ path = \"/x\", secondary = \"http://a:1\", noise = \"requery\" }]",
            "routes[0].noise: can't be \"requery\" beside secondary",
        ),
        (
            "noise = \"on\"",
            "noise: \"on\" is not \"requery\", nor \"off\"",
        ),
        (
            "secondary = \"http://localhost:8080\"\nroutes = [{ path = \"/x\" }]",
            "routes[0].secondary: http://localhost:8080 is where miffy itself listens",
        ),
        (
            "[compare.noise]\nrelative = 101",
            "compare.noise.relative: \"101\" is not a percentage",
        ),
        (
            "[compare.noise]\nabsolut = 1",
            "compare.noise.absolut: unknown key",
        ),
        (
            "[compare.noise]\nrequery_rate = 0",
            "compare.noise.requery_rate: ",
        ),
    ] {
        let problems = settings(toml).unwrap_err();
        assert!(problems.contains(problem), "{problems}");
    }
}

#[test]
fn a_secondary_that_is_the_reference_itself_is_warned_of() {
    let toml = "reference = \"http://a:1\"\nsecondary = \"http://a:1\"\nroutes = [{ path = \"/x\", methods = [\"GET\"] }]";
    let loaded = load(&Source::Text(toml.to_owned()), &Environment::default()).unwrap();
    let is_told = |warning: &String| warning.contains("the reference itself as its secondary");
    assert!(loaded.warnings.iter().any(is_told), "{:?}", loaded.warnings);
}

#[test]
fn check_shows_how_noise_is_told_where_it_is() {
    let toml = "secondary = \"http://a:1\"\nroutes = [{ path = \"/x\", name = \"x\" }, { path = \"/y\", noise = \"requery\" }]";
    let shown = process::Miffy::new(&["check"]).config(toml).output().stdout;
    let table: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("#   "))
        .collect();
    let cells = |row: usize| {
        table[row]
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty() && *cell != "#")
    };
    assert!(cells(0).any(|cell| cell == "noise"), "{shown}");
    assert!(
        cells(1).any(|cell| cell == "secondary http://a:1"),
        "{shown}"
    );
    assert!(cells(2).any(|cell| cell == "requery"), "{shown}");
}
