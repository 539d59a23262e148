//! What is plugged in, in code: chosen, edited, compared, looked at, and where records go; and that nothing that a hook
//! does is felt by clients.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use http::Method;
use miffy::app::{App, Plugs};
use miffy::compare::Kind;
use miffy::config::{Environment, Source, load_for_hooks};
use miffy::hooks::{Choice, Difference, Hooks, Judgement, Record, Refusal, Sink};
use miffy::outcome::Cause;
use serde_json::Value;

use crate::support::backend::{Backend, disagreeing, json, response};
use crate::support::miffy::{Miffy, outcomes};
use crate::support::{PATIENCE, until, within};

#[path = "../../examples/comparison.rs"]
#[allow(dead_code, reason = "it is a program of its own, too")]
mod comparison;
#[path = "../../examples/geest.rs"]
#[allow(dead_code, reason = "it is a program of its own, too")]
mod geest;
#[path = "../../examples/kage.rs"]
#[allow(dead_code, reason = "it is a program of its own, too")]
mod kage;
#[path = "../../examples/sink.rs"]
#[allow(dead_code, reason = "it is a program of its own, too")]
mod sink;

/// A configuration whose backends are these instead.
fn at(config: &str, reference: &Backend, candidate: &Backend) -> String {
    config
        .replace("http://127.0.0.1:3000", &reference.url())
        .replace("http://127.0.0.1:3001", &candidate.url())
}

/// Hooks that have time enough: on a busy machine a call may take longer than anybody else would wait for it, a panic's
/// first backtrace for example.
fn patient(hooks: Hooks) -> Hooks {
    hooks.time_limit(2 * PATIENCE)
}

fn start(config: &str, hooks: Hooks) -> Miffy {
    Miffy::start(config, &Environment::default(), Plugs::from(hooks))
}

/// miffy with an experiment `x`, hooks, and no sink but theirs.
fn between(reference: &Backend, candidate: &Backend, more: &str, hooks: Hooks) -> Miffy {
    let config = format!(
        "reference = \"{reference}\"\ncandidate = \"{candidate}\"\nkafka.enabled = false\n\
         routes = [{{ path = \"/x/{{*rest}}\", name = \"x\" }}]\n{more}"
    );
    start(&config, hooks)
}

async fn equal() -> (Backend, Backend) {
    (
        Backend::start(|_| async { json(r#"{"n":1}"#) }).await,
        Backend::start(|_| async { json(r#"{"n":1}"#) }).await,
    )
}

/// Lines that somebody tells.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn tell(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let told = self.0.clone();
        move |line| told.lock().unwrap().push(line.to_owned())
    }

    async fn first(&self, count: usize) -> Vec<String> {
        until("lines", || async {
            let told = self.0.lock().unwrap();
            (told.len() >= count).then(|| told.clone())
        })
        .await
    }
}

/// Keeps whoever comes until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The last one of the test, whatever became of it.
        self.open();
    }
}

/// Records that were taken.
fn records() -> (Arc<Mutex<Vec<Value>>>, impl Sink + use<>) {
    let records = Arc::new(Mutex::new(Vec::new()));
    let taken = records.clone();
    let take = move |record: &Record<'_>| {
        let record = serde_json::from_slice(record.payload).unwrap();
        taken.lock().unwrap().push(record);
        Ok(())
    };
    (records, take)
}

async fn failures(miffy: &Miffy, hook: &str, reason: &str) -> u64 {
    let failures = miffy.metric("miffy_hook_failures_total").await;
    failures[&format!("hook=\"{hook}\",reason=\"{reason}\"")]
}

#[tokio::test(flavor = "multi_thread")]
async fn kages_example() {
    let (reference, candidate) = disagreeing().await;
    let told = Told::default();
    let miffy = start(
        &at(kage::CONFIG, &reference, &candidate),
        patient(kage::hooks(told.tell())),
    );
    assert_eq!(
        miffy.post("/a", "b").await.text().await.unwrap(),
        r#"{"n":1}"#
    );
    assert_eq!(
        miffy.outcomes(2).await,
        outcomes([("skipped.not_chosen", 2)])
    );
    assert!(candidate.arrived().is_empty());
    assert_eq!(miffy.get("/a?b").await.text().await.unwrap(), r#"{"n":1}"#);
    let lines = told.first(1).await.remove(0);
    assert!(lines.starts_with("GET /a\n  reference: 200 in "), "{lines}");
    assert!(lines.contains("\n  sandbox: 200 in "), "{lines}");
    assert!(lines.contains("\n  sandbox: different [\"/n\"]"), "{lines}");
    assert!(!lines.contains("next"), "{lines}");
    let arrived = candidate.first().await;
    assert_eq!(arrived.headers["host"], "sandbox.example");
    assert_eq!(arrived.headers["x-overridden"], "yes");
    for request in reference.arrived() {
        assert_ne!(request.headers["host"], "sandbox.example");
    }
    let request = miffy.client.get(miffy.url("/b")).header("x-ticket", "1");
    request.send().await.unwrap().bytes().await.unwrap();
    let lines = told.first(2).await.remove(1);
    assert!(lines.contains("\n  next: different"), "{lines}");
    assert_eq!(candidate.arrived().len(), 3);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn geests_example() {
    let (reference, candidate) = disagreeing().await;
    let told = Told::default();
    let config = at(geest::CONFIG, &reference, &candidate);
    let miffy = start(&config, patient(geest::hooks(told.tell())));
    miffy.get("/next/1").await.bytes().await.unwrap();
    let ended = outcomes([("equal", 1), ("skipped.not_chosen", 1)]);
    assert_eq!(miffy.outcomes(2).await, ended);
    assert_eq!(told.first(1).await, ["next Replace([])"]);
    // The first that answers is the client's, and nobody chooses.
    let text = miffy.get("/fast/1").await.text().await.unwrap();
    assert!(text == r#"{"n":1}"# || text == r#"{"n":2}"#, "{text}");
    miffy.outcomes(3).await;
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_comparison() {
    let reference = Backend::start(|_| async { json(r#"{"price":100}"#) }).await;
    let candidate = Backend::start(|request| async move {
        let price = request.target.trim_start_matches('/').to_owned();
        json(format!(r#"{{"price":{price}}}"#))
    })
    .await;
    let (records, take) = records();
    let hooks = patient(comparison::hooks()).sink("taken", take);
    let config = at(comparison::CONFIG, &reference, &candidate);
    let miffy = start(&config.replace("stdout.enabled = true", ""), hooks);
    miffy.get("/101").await.bytes().await.unwrap();
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
    miffy.get("/102").await.bytes().await.unwrap();
    let ended = outcomes([("different", 1), ("equal", 1)]);
    assert_eq!(miffy.outcomes(2).await, ended);
    miffy.stop().await;
    let records = records.lock().unwrap();
    let difference = &records[0]["differences"][0];
    assert_eq!(difference["path"], "/price");
    assert_eq!(difference["candidate"], 102);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_sink() {
    let (reference, candidate) = disagreeing().await;
    let directory = tempfile::tempdir().unwrap();
    let config = at(sink::CONFIG, &reference, &candidate);
    let miffy = start(&config, patient(sink::hooks(directory.path())));
    for n in 0..20 {
        miffy.get(&format!("/{n}")).await.bytes().await.unwrap();
    }
    miffy.outcomes(20).await;
    let published = until("records", || async {
        let published = miffy.metric("miffy_records_published_total").await;
        (published["sink=\"directory\""] == 20).then_some(published)
    })
    .await;
    assert_eq!(published.len(), 1);
    let lines = std::fs::read_to_string(directory.path().join("differences.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 20);
    for line in lines.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_request_stays_a_valid_one_and_the_record_says_where_it_went() {
    let (reference, candidate) = disagreeing().await;
    let (records, take) = records();
    let hooks = patient(Hooks::new()).sink("taken", take).edit(|edit| {
        assert_eq!(edit.request().body(), edit.body());
        edit.set_target("/y/2?z=%20").unwrap();
        for invalid in ["", "x", "*", "/#", "/\r\n", "http://h/"] {
            edit.set_target(invalid).unwrap_err();
        }
        edit.set_body("longer than it was");
        edit.set_header("content-length", "3");
        edit.set_header("transfer-encoding", "chunked");
        edit.set_header("connection", "x-hop");
        edit.set_header("x-hop", "1");
    });
    let miffy = between(&reference, &candidate, "", hooks);
    miffy.post("/x/1", "body").await.bytes().await.unwrap();
    assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
    let arrived = candidate.first().await;
    assert_eq!(arrived.method, Method::POST);
    assert_eq!(arrived.target, "/y/2?z=%20");
    assert_eq!(arrived.body, "longer than it was");
    assert_eq!(arrived.headers["content-length"], "18");
    for gone in ["transfer-encoding", "connection", "x-hop"] {
        assert!(!arrived.headers.contains_key(gone), "{gone}");
    }
    let arrived = reference.first().await;
    assert_eq!((&*arrived.target, &*arrived.body), ("/x/1", &b"body"[..]));
    miffy.stop().await;
    let records = records.lock().unwrap();
    let url = |side: &str| records[0][side]["url"].as_str().unwrap().to_owned();
    assert_eq!(url("candidate"), format!("{candidate}/y/2?z=%20"));
    assert_eq!(url("reference"), format!("{reference}/x/1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_be_sent_is_not() {
    let (reference, candidate) = equal().await;
    let hooks = patient(Hooks::new()).edit(|edit| match edit.request().path() {
        "/x/name" => edit.set_header("no name", "1"),
        "/x/value" => edit.set_header("x", "1\r\nx-more: 2"),
        "/x/host" => edit.set_header("host", "user@host"),
        _ => {
            let host = "other".parse().unwrap();
            edit.headers_mut().append("host", host);
        }
    });
    let miffy = between(&reference, &candidate, "", hooks);
    for path in ["name", "value", "host", "hosts"] {
        miffy
            .get(&format!("/x/{path}"))
            .await
            .bytes()
            .await
            .unwrap();
    }
    assert_eq!(miffy.outcomes(4).await, outcomes([("skipped.hook", 4)]));
    assert_eq!(failures(&miffy, "edit", "invalid").await, 4);
    assert!(candidate.arrived().is_empty());
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_adds_and_replaces_and_hidden_values_are_masked() {
    let headers = [("content-type", "application/json"), ("x-token", "s3cret")];
    let reference = Backend::start(move |_| async move { response(200, &headers, r#"{"n":1}"#) });
    let candidate = Backend::start(move |_| async move { response(200, &headers, r#"{"n":1}"#) });
    let (reference, candidate) = (reference.await, candidate.await);
    let (records, take) = records();
    let hooks = patient(Hooks::new()).sink("taken", take).compare(|pair| {
        assert_eq!(pair.total(), 0);
        let secret = pair.reference().header("x-token").unwrap().to_owned();
        let found = |path: &str| {
            Difference::new(path, Kind::Changed)
                .reference(secret.clone())
                .candidate("shown")
        };
        let user = Difference::new("/user", Kind::Missing)
            .reference(serde_json::json!({ "name": "n", "password": secret }));
        let list = ["/user/password", "header:x-token", "elsewhere"].map(found);
        Judgement::Add(list.into_iter().chain([user]).collect())
    });
    let redact = "[redact]\nbody = [\"/user/password\"]\nheaders = [\"x-token\"]";
    let miffy = between(&reference, &candidate, redact, hooks);
    miffy.get("/x/1").await.bytes().await.unwrap();
    assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
    miffy.stop().await;
    let records = records.lock().unwrap();
    let text = records[0].to_string();
    assert!(!text.contains("s3cret"), "{text}");
    assert_eq!(records[0]["differences_total"], 4);
    assert_eq!(records[0]["differences"][3]["reference"]["name"], "n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_fails_never_makes_equal() {
    let reference = Backend::start(|_| async { json(r#"{"n":1}"#) }).await;
    let candidate = Backend::start(|request| async move {
        json(format!(
            r#"{{"n":{}}}"#,
            request.target.trim_start_matches("/x/")
        ))
    })
    .await;
    let (records, take) = records();
    let hooks = patient(Hooks::new()).sink("taken", take);
    let hooks = hooks.compare(|_| panic!("a hook's defect"));
    let miffy = between(&reference, &candidate, "", hooks);
    miffy.get("/x/1").await.bytes().await.unwrap();
    miffy.get("/x/2").await.bytes().await.unwrap();
    let ended = outcomes([("different", 1), ("skipped.hook", 1)]);
    assert_eq!(miffy.outcomes(2).await, ended);
    assert_eq!(failures(&miffy, "compare", "panic").await, 2);
    miffy.stop().await;
    let notes = &records.lock().unwrap()[0]["notes"];
    assert_eq!(notes[0], "not compared in code: panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_that_panic_with_a_lock_held_cost_no_client_anything() {
    let (reference, candidate) = disagreeing().await;
    let lock = Mutex::new(());
    let hooks = patient(Hooks::new()).choose(move |_| {
        let _held = lock.lock().unwrap();
        panic!("a hook's defect")
    });
    let miffy = between(&reference, &candidate, "", hooks);
    for n in 0..5 {
        let text = miffy.get(&format!("/x/{n}")).await.text().await.unwrap();
        assert_eq!(text, r#"{"n":1}"#);
    }
    assert_eq!(miffy.outcomes(5).await, outcomes([("skipped.hook", 5)]));
    assert_eq!(failures(&miffy, "choose", "panic").await, 5);
    assert!(candidate.arrived().is_empty());
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_that_hang_are_cut_off_and_then_not_called() {
    let (reference, candidate) = equal().await;
    let (gate, calls) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (kept, counted) = (gate.0.clone(), calls.clone());
    let hooks = Hooks::new()
        .time_limit(Duration::from_millis(50))
        .max_calls(2)
        .finished(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let open = kept.0.lock().unwrap();
            drop(kept.1.wait_while(open, |open| !*open).unwrap());
        });
    let miffy = between(&reference, &candidate, "", hooks);
    for n in 0..10 {
        miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
    }
    assert_eq!(miffy.outcomes(10).await, outcomes([("equal", 10)]));
    until("failures", || async {
        let reasons = ["timeout", "busy"].map(|reason| failures(&miffy, "finished", reason));
        let [timeout, busy] = reasons;
        (timeout.await == 2 && busy.await == 8).then_some(())
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    // Once they have returned, there is room again.
    gate.open();
    until("a call", || async {
        miffy.get("/x/more").await.bytes().await.unwrap();
        (calls.load(Ordering::SeqCst) > 2).then_some(())
    })
    .await;
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_hook_that_hangs() {
    let (reference, candidate) = disagreeing().await;
    let gate = Gate::default();
    let [choose, compare, finished, sink] = [(); 4].map(|()| Gate(gate.0.clone()));
    let hang = |gate: Gate| {
        let gate = std::mem::ManuallyDrop::new(gate);
        move || gate.pass()
    };
    let [choose, compare, finished, sink] = [choose, compare, finished, sink].map(hang);
    let hooks = Hooks::new()
        .time_limit(Duration::from_hours(1))
        .choose(move |request| {
            if request.path() == "/x/choose" {
                choose();
            }
            Choice::All
        })
        .compare(move |pair| {
            if pair.request().path() == "/x/compare" {
                compare();
            }
            Judgement::as_it_is()
        })
        .finished(move |_| finished())
        .sink("hangs", move |_: &Record<'_>| {
            sink();
            Ok(())
        });
    let more = "shutdown_timeout = \"1s\"";
    let config = format!(
        "{more}\nreference = \"{reference}\"\ncandidate = \"{candidate}\"\nkafka.enabled = false\n\
         routes = [{{ path = \"/x/{{*rest}}\", name = \"x\" }}]"
    );
    let miffy = start(&config, hooks);
    for path in ["/x/choose", "/x/compare", "/x/1", "/x/2"] {
        assert_eq!(miffy.get(path).await.text().await.unwrap(), r#"{"n":1}"#);
    }
    until("two records", || async {
        let found = miffy.metric("miffy_records_found_total").await;
        (found["sink=\"hangs\""] == 2).then_some(())
    })
    .await;
    // More than there are places, and than may wait for one.
    let many = (0..400).map(|_| async { miffy.get("/x/choose").await.text().await.unwrap() });
    for text in within("the answers", futures_util::future::join_all(many)).await {
        assert_eq!(text, r#"{"n":1}"#);
    }
    until("those that have no place", || async {
        let ended = miffy.outcomes_so_far().await;
        (ended.get("skipped.hook") > Some(&100)).then_some(())
    })
    .await;
    let stopping = miffy.tell_to_stop();
    within("the end", stopping).await.unwrap().unwrap();
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_gets_its_records_again_in_order_and_holds_up_no_other() {
    let (reference, candidate) = disagreeing().await;
    let (records, take) = records();
    let (others, take_others) = self::records();
    let (mut take, mut tries) = (take, 0);
    let hooks = patient(Hooks::new()).sink("others", take_others).sink(
        "fails",
        move |record: &Record<'_>| {
            tries += 1;
            match tries {
                2 => Err(Refusal::Retry("the disk is away".to_owned())),
                3 => panic!("a sink's defect"),
                _ => take.write(record),
            }
        },
    );
    let miffy = between(&reference, &candidate, "", hooks);
    for n in 0..5 {
        miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
        miffy.outcomes(n + 1).await;
    }
    until("the other's", || async {
        (others.lock().unwrap().len() == 5).then_some(())
    })
    .await;
    until("all", || async {
        (records.lock().unwrap().len() >= 5).then_some(())
    })
    .await;
    assert_eq!(failures(&miffy, "sink", "panic").await, 1);
    miffy.stop().await;
    let records = records.lock().unwrap();
    let uris: Vec<&str> = records
        .iter()
        .map(|record| record["request"]["uri"].as_str().unwrap())
        .collect();
    assert_eq!(uris, ["/x/0", "/x/1", "/x/2", "/x/3", "/x/4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sink_rejects_is_dropped_and_counted() {
    let (reference, candidate) = disagreeing().await;
    let (records, mut take) = records();
    let hooks = patient(Hooks::new()).sink("picky", move |record: &Record<'_>| {
        if String::from_utf8_lossy(record.payload).contains("/x/1") {
            return Err(Refusal::Reject("not this one".to_owned()));
        }
        take.write(record)
    });
    let miffy = between(&reference, &candidate, "", hooks);
    for n in 0..3 {
        miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
    }
    miffy.outcomes(3).await;
    until("both", || async {
        (records.lock().unwrap().len() == 2).then_some(())
    })
    .await;
    until("the drop", || async {
        let dropped = miffy.metric("miffy_records_dropped_total").await;
        (dropped["sink=\"picky\",reason=\"rejected\""] == 1).then_some(())
    })
    .await;
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_get_to_the_disk_while_a_sink_hangs() {
    let (reference, candidate) = disagreeing().await;
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let kept = std::mem::ManuallyDrop::new(Gate(gate.0.clone()));
    let hooks = patient(Hooks::new()).sink("hangs", move |_: &Record<'_>| {
        kept.pass();
        Ok(())
    });
    let spool = format!("[spool]\ndirectory = {:?}", directory.path());
    let miffy = between(&reference, &candidate, &spool, hooks);
    for n in 0..5 {
        miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
    }
    until("the spool", || async {
        let spooled = miffy.metric("miffy_spool_records").await;
        (spooled["sink=\"hangs\""] == 5).then_some(())
    })
    .await;
    gate.open();
    until("the records", || async {
        let published = miffy.metric("miffy_records_published_total").await;
        (published["sink=\"hangs\""] == 5).then_some(())
    })
    .await;
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_on_sees_failures_and_bodies_without_their_codings() {
    let reference = Backend::start(|_| async { json(r#"{"n":1}"#) }).await;
    let zipped = {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut zip, br#"{"n":1}"#).unwrap();
        zip.finish().unwrap()
    };
    let good = Backend::start(move |_| {
        let zipped = zipped.clone();
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ];
        async move { response(200, &headers, zipped) }
    })
    .await;
    let bad = Backend::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1").await;
    let told = Told::default();
    let tell = told.tell();
    let hooks = patient(Hooks::new()).finished(move |exchange| {
        for backend in exchange.backends() {
            let text = backend.answer().map(|answer| answer.text().unwrap());
            let error = backend.error().map(Cause::name);
            tell(&format!(
                "{} {:?} {text:?} {error:?}",
                backend.name(),
                backend.role()
            ));
        }
    });
    let config = format!(
        "reference = \"{reference}\"\nkafka.enabled = false\n\
         routes = [{{ path = \"/x\", candidates = {{ good = \"{good}\", bad = \"{bad}\" }} }}]"
    );
    let miffy = start(&config, hooks);
    miffy.get("/x").await.bytes().await.unwrap();
    let mut told = told.first(3).await;
    told.sort();
    assert_eq!(
        told,
        [
            r#"bad Candidate None Some("body")"#,
            r#"good Candidate Some("{\"n\":1}") None"#,
            r#"reference Reference Some("{\"n\":1}") None"#,
        ]
    );
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_has_a_name_of_its_own() {
    let config = "kafka.enabled = false\nroutes = []";
    for names in [
        ["kafka", "a"],
        ["a", "a"],
        ["a", "no/path"],
        ["", "a"],
        ["outcomes_file", "a"],
    ] {
        let sink = |_: &Record<'_>| Ok(());
        let hooks = names
            .iter()
            .fold(Hooks::new(), |hooks, name| hooks.sink(name, sink));
        let loaded = load_for_hooks(&Source::Text(config.to_owned()), &Environment::default());
        let mut settings = loaded.unwrap().settings;
        settings.listen = ([127, 0, 0, 1], 0).into();
        settings.management_listen = settings.listen;
        let error = App::bind(&settings, hooks.into()).unwrap_err().to_string();
        assert!(error.contains("name of a sink"), "{names:?}: {error}");
    }
}
