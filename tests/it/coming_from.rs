//! Each recipe of `docs/coming-from.md`, run as it stands there; the test's name is the recipe's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use miffy::app::Plugs;
use miffy::config::{Environment, Source, load};
use serde_json::Value;

use crate::support::backend::{Arrived, Backend, json};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, outcomes};
use crate::support::process::anywhere;
use crate::support::until;

const PAGE: &str = include_str!("../../docs/coming-from.md");

/// The titles of the recipes, and what they say to configure.
fn recipes() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let sections = PAGE.split("\n## ").skip(1);
    let sections = sections.filter(|section| !section.starts_with("The table"));
    sections.map(|section| {
        let (title, text) = section.split_once('\n').unwrap();
        let snippet = text.split_once("```toml\n");
        let snippet = snippet.map(|(_, rest)| rest.split_once("```").unwrap().0);
        (title, snippet)
    })
}

/// A recipe at work between backends that tell who they are.
struct Scene {
    reference: Backend,
    candidate: Backend,
    other: Backend,
    broker: Broker,
    config: String,
}

impl Scene {
    async fn of(recipe: &str) -> Self {
        let answer =
            |who: &'static str| move |_| async move { json(format!("{{\"who\":\"{who}\"}}")) };
        Self::between(
            recipe,
            Backend::start(answer("reference")).await,
            Backend::start(answer("candidate")).await,
            Backend::start(answer("other")).await,
        )
    }

    fn between(recipe: &str, reference: Backend, candidate: Backend, other: Backend) -> Self {
        let (_, snippet) = recipes().find(|(title, _)| *title == recipe).unwrap();
        let broker = Broker::start();
        let config = snippet
            .unwrap()
            .replace("http://reference.internal", &reference.url())
            .replace("http://candidate.internal", &candidate.url())
            .replace("http://other.internal", &other.url());
        Self {
            config: format!("{config}\n{}", broker.config()),
            reference,
            candidate,
            other,
            broker,
        }
    }

    fn start(&self) -> Miffy {
        self.start_with(&[])
    }

    fn start_with(&self, variables: &[(&str, &str)]) -> Miffy {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
        let environment: Environment = variables.collect();
        Miffy::start(&self.config, &environment, Plugs::default())
    }

    async fn records(&self) -> Vec<Value> {
        let published = self.broker.published().await;
        published.iter().map(Published::json).collect()
    }
}

/// Who answered.
async fn who(response: reqwest::Response) -> String {
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    body["who"].as_str().unwrap().to_owned()
}

/// The value of a header that arrived.
fn header<'a>(request: &'a Arrived, name: &str) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[test]
fn every_recipe_is_run_and_every_entry_leads_to_one() {
    let code = include_str!("coming_from.rs");
    let anchors: BTreeSet<String> = recipes()
        .map(|(title, _)| title.to_lowercase().replace(' ', "-"))
        .collect();
    for anchor in &anchors {
        let name = format!("async fn {}()", anchor.replace('-', "_"));
        assert!(code.contains(&name) || anchor == "in-code", "{name}");
    }
    let mut led_to = BTreeSet::new();
    for row in PAGE.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let here = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let links: Vec<_> = here.split("](#").skip(1).collect();
        let links = links
            .iter()
            .map(|it| it.split(')').next().unwrap().to_owned());
        let links: Vec<String> = links.collect();
        let said = ["not done", "unchanged"]
            .iter()
            .any(|word| here.contains(word));
        assert!(said || !links.is_empty(), "{row}");
        led_to.extend(links);
    }
    assert!(led_to.is_subset(&anchors), "{led_to:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_between_two_services() {
    let scene = Scene::of("A path between two services").await;
    let miffy = scene.start();
    assert_eq!(who(miffy.get("/user/7").await).await, "reference");
    assert_eq!(who(miffy.get("/other").await).await, "reference");
    assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
    miffy.stop().await;
    let published = scene.broker.published().await;
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].key, "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_some_methods() {
    let scene = Scene::of("Only some methods").await;
    let miffy = scene.start();
    miffy.get("/user/7").await;
    assert_eq!(who(miffy.post("/user/7", "x").await).await, "reference");
    let expected = outcomes([("different", 1), ("skipped.method", 1)]);
    assert_eq!(miffy.outcomes(2).await, expected);
    assert_eq!(scene.candidate.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions() {
    let scene = Scene::of("Conditions").await;
    let miffy = scene.start();
    for (query, host, headers, is_mirrored) in [
        (
            "version=2.1",
            "api.example.com",
            vec![("x-beta", "1")],
            true,
        ),
        ("version=1", "api.example.com", vec![("x-beta", "1")], false),
        ("version=2", "example.com", vec![("x-beta", "1")], false),
        ("version=2", "api.example.com", vec![], false),
        (
            "version=2",
            "api.example.com",
            vec![("x-beta", "1"), ("x-robot", "yes")],
            false,
        ),
    ] {
        let mut request = miffy.client.get(miffy.url(&format!("/search?{query}")));
        request = request.header("host", host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let before = scene.reference.arrived().len();
        request.send().await.unwrap();
        let asked = &scene.reference.arrived()[before];
        let role = if is_mirrored { "reference" } else { "upstream" };
        assert_eq!(asked.role(), role, "{query} {host}");
    }
    assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_experiments_on_one_path() {
    let scene = Scene::of("Several experiments on one path").await;
    let miffy = scene.start();
    miffy.get("/user/1").await;
    let beta = miffy.client.get(miffy.url("/user/2")).header("x-beta", "");
    beta.send().await.unwrap();
    miffy.outcomes(2).await;
    assert_eq!(scene.candidate.arrived()[0].target, "/user/1");
    assert_eq!(scene.other.arrived()[0].target, "/user/2");
    miffy.stop().await;
    let records = scene.records().await;
    let experiments: BTreeSet<_> = records.iter().map(|it| it["experiment"].as_str()).collect();
    assert_eq!(
        experiments,
        BTreeSet::from([Some("user"), Some("user-beta")])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_requests() {
    let scene = Scene::of("A share of the requests").await;
    let miffy = scene.start();
    for _ in 0..100 {
        miffy.get("/user/7").await;
    }
    let outcomes = miffy.outcomes(100).await;
    // That all or none of them are in the sample happens once in 2^99 times.
    assert_eq!(outcomes["different"] + outcomes["skipped.sampled_out"], 100);
    assert_eq!(
        scene.candidate.arrived().len() as u64,
        outcomes["different"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_wholly_in_or_out() {
    let scene = Scene::of("Sessions wholly in or out").await;
    let miffy = scene.start();
    for session in 0..50 {
        for path in ["/user/1", "/user/2"] {
            let request = miffy.client.get(miffy.url(path));
            let cookie = format!("a=b; session={session}");
            request.header("cookie", cookie).send().await.unwrap();
        }
    }
    let outcomes = miffy.outcomes(100).await;
    assert_eq!(outcomes["different"] + outcomes["skipped.sampled_out"], 100);
    let mut requests: BTreeMap<String, usize> = BTreeMap::new();
    for request in scene.candidate.arrived() {
        let session = header(&request, "cookie").unwrap().to_owned();
        *requests.entry(session).or_default() += 1;
    }
    assert!(requests.values().all(|number| *number == 2), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_candidates() {
    let scene = Scene::of("Several candidates").await;
    let miffy = scene.start();
    assert_eq!(who(miffy.get("/user/7").await).await, "reference");
    assert_eq!(miffy.outcomes(2).await, outcomes([("different", 2)]));
    miffy.stop().await;
    let records = scene.records().await;
    let names: BTreeSet<_> = records
        .iter()
        .map(|it| it["candidate"]["name"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from([Some("rewrite"), Some("cache")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_path_for_a_backend() {
    let scene = Scene::of("Another path for a backend").await;
    let miffy = scene.start();
    miffy.get("/v1/user/7?a=b").await;
    miffy.outcomes(1).await;
    assert_eq!(scene.reference.arrived()[0].target, "/v1/user/7?a=b");
    assert_eq!(
        scene.candidate.arrived()[0].target,
        "/v2/users/7/profile?a=b"
    );
    miffy.stop().await;
    let record = &scene.records().await[0];
    assert_eq!(record["request"]["uri"], "/v1/user/7?a=b");
    let url = format!("{}/v2/users/7/profile?a=b", scene.candidate.url());
    assert_eq!(record["candidate"]["url"], url);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_headers_for_a_backend() {
    let scene = Scene::of("Other headers for a backend").await;
    let miffy = scene.start_with(&[("CANDIDATE_TOKEN", "the candidate's own")]);
    let request = miffy.client.get(miffy.url("/user/7"));
    let request = request
        .header("authorization", "Basic live")
        .header("cookie", "session=1")
        .header("idempotency-key", "42");
    request.send().await.unwrap();
    miffy.outcomes(1).await;
    let (live, shadow) = (scene.reference.first().await, scene.candidate.first().await);
    assert_eq!(header(&live, "authorization"), Some("Basic live"));
    assert_eq!(header(&live, "cookie"), Some("session=1"));
    assert_eq!(header(&live, "x-tag"), None);
    for (name, value) in [
        ("authorization", Some("Bearer the candidate's own")),
        ("x-original-authorization", Some("Basic live")),
        ("x-user", Some("7")),
        ("idempotency-key", Some("42-shadow")),
        ("x-tag", Some("shadow")),
        ("cookie", None),
        ("host", Some("users.next.example.com")),
    ] {
        assert_eq!(header(&shadow, name), value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_and_forget() {
    let scene = Scene::of("Send and forget").await;
    let miffy = scene.start();
    miffy.get("/user/7").await;
    assert_eq!(miffy.outcomes(1).await, outcomes([("uncompared", 1)]));
    assert_eq!(scene.candidate.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fastest_answers() {
    let scene = Scene::of("The fastest answers").await;
    let miffy = scene.start();
    let answered = who(miffy.get("/user/7").await).await;
    assert!(["reference", "candidate"].contains(&answered.as_str()));
    assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
    let label = format!("experiment=\"/user/{{id}}\",backend=\"{answered}\"");
    assert_eq!(miffy.metric("miffy_fastest_total").await[&label], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_of_each_backend() {
    let reference = Backend::start(|_| async { json("1") }).await;
    let (hanging, other) = (Backend::hanging().await, Backend::hanging().await);
    let recipe = "Timeouts of each backend";
    let scene = Scene::between(recipe, reference, hanging, other);
    let miffy = scene.start();
    miffy.get("/user/7").await;
    let expected = outcomes([("candidate_failed.timeout", 1)]);
    assert_eq!(miffy.outcomes(1).await, expected);
    let loaded = load(&Source::Text(scene.config.clone()), &Environment::default());
    let route = &loaded.unwrap().settings.routes[0];
    let timeouts = route.reference.asked.timeouts;
    assert_eq!(timeouts.first_byte.unwrap().as_secs(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_by_a_second_instance() {
    let scene = Scene::of("Noise by a second instance").await;
    let miffy = scene.start();
    miffy.get("/user/7").await;
    miffy.outcomes(1).await;
    assert_eq!(scene.other.arrived()[0].role(), "secondary");
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_by_asking_again() {
    let scene = Scene::of("Noise by asking again").await;
    let miffy = scene.start();
    miffy.get("/user/7").await;
    miffy.outcomes(1).await;
    let arrived = scene.reference.arrived();
    let roles: Vec<_> = arrived.iter().map(Arrived::role).collect();
    assert_eq!(roles, ["reference", "secondary"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_difference() {
    let answer = |time: u32| {
        move |_| async move {
            let mut response = json(format!("{{\"time\":{time},\"name\":\"x\"}}"));
            response.headers_mut().insert("x-version", time.into());
            response
        }
    };
    let scene = Scene::between(
        "What is no difference",
        Backend::start(answer(1)).await,
        Backend::start(answer(2)).await,
        Backend::start(answer(3)).await,
    );
    let miffy = scene.start();
    miffy.get("/user/7").await;
    assert_eq!(miffy.outcomes(1).await, outcomes([("equal", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_in_a_log() {
    let mut scene = Scene::of("Every request in a log").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("outcomes.jsonl");
    let path = file.display().to_string();
    scene.config = scene.config.replace("outcomes.jsonl", &path);
    let miffy = scene.start();
    miffy.get("/user/7").await;
    miffy.outcomes(1).await;
    miffy.stop().await;
    let line: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(line["outcome"], "different");
    assert_eq!(line["reference_status"], 200);
    assert_eq!(line["candidate_status"], 200);
    assert!(line["difference_ms"].is_number(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_while_it_runs() {
    let scene = Scene::of("Changed while it runs").await;
    let (config, changed) = (
        scene.config.clone(),
        scene.config.replace("/user/{id}", "/people/{id}"),
    );
    let (running, address, management, file) = tokio::task::spawn_blocking(move || {
        let command = anywhere(&config).env("MIFFY_LOGGING", "json");
        let file = command.path("config.toml");
        let running = command.spawn();
        let started = running.stderr.event("started");
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        let (address, management) = (text("address"), text("management_address"));
        (running, address, management, file)
    })
    .await
    .unwrap();
    let client = crate::support::http_client();
    let get = |path: &str| client.get(format!("http://{address}{path}")).send();
    get("/user/7").await.unwrap();
    std::fs::write(file, changed).unwrap();
    until("the new path", || async {
        get("/people/7").await.unwrap();
        let arrived = scene.reference.arrived();
        let last = arrived.last().unwrap();
        (last.role() == "reference").then_some(())
    })
    .await;
    let pause = client.post(format!("http://{management}/admin/experiments/user/pause"));
    let pause = pause.bearer_auth("a-token-of-sixteen-or-more");
    assert!(pause.send().await.unwrap().status().is_success());
    get("/people/7").await.unwrap();
    assert_eq!(scene.reference.arrived().last().unwrap().role(), "upstream");
    drop(running);
}
