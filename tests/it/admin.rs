//! The administration on the management port.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use jsonschema::Validator;
use serde_json::{Value, json as value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::support::admin::{ADMIN, Admin, Answer, TOKEN};
use crate::support::backend::{Backend, disagreeing, json};
use crate::support::broker::Broker;
use crate::support::miffy::{Miffy, Setup, outcomes};
use crate::support::process;
use crate::support::{until, within};

const DOCUMENT: &str = include_str!("../../docs/openapi.json");

/// A miffy that learns noise, and its administration.
async fn with_admin() -> (Miffy, Admin, Broker, (Backend, Backend)) {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let routes = r#"{ path = "/x/{*rest}", name = "x" }, { path = "/user/{id}" }"#;
    let setup = setup.routes(routes).more("noise = \"requery\"");
    let miffy = setup.tables(ADMIN).start();
    let admin = admin_of(&miffy);
    (miffy, admin, broker, (reference, candidate))
}

fn admin_of(miffy: &Miffy) -> Admin {
    Admin::at(format!("http://{}", miffy.management))
}

/// The experiments' states by name.
fn states(experiments: &Value) -> BTreeMap<&str, &str> {
    let experiments = experiments["experiments"].as_array().unwrap().iter();
    experiments
        .map(|it| (it["name"].as_str().unwrap(), it["state"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_there_unless_a_token_is_configured() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let miffy = Setup::of(&reference, &candidate, &broker).start();
    let admin = admin_of(&miffy);
    for path in [
        "/admin",
        "/admin/",
        "/admin/experiments",
        "/admin/openapi.json",
        "/admin/x",
    ] {
        let answer = admin.ask(Method::GET, path, "").await;
        assert_eq!((answer.status, answer.body), (404, Value::Null), "{path}");
    }
    let answer = admin.ask(Method::POST, "/admin/pause", "").await;
    assert_eq!((answer.status, answer.body), (404, Value::Null));
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_nor_done_without_the_token() {
    let (miffy, _, _broker, _backends) = with_admin().await;
    for token in [None, Some("wrong-horse-battery-staple"), Some("")] {
        let admin = admin_of(&miffy).with_token(token);
        for (method, path) in [
            (Method::GET, "/admin/experiments"),
            (Method::POST, "/admin/pause"),
            (Method::GET, "/admin/openapi.json"),
            (Method::GET, "/admin/nothing"),
            (Method::PATCH, "/admin/reload"),
        ] {
            let answer = admin.ask(method, path, "").await;
            assert_eq!(answer.status, 401, "{path}: {answer:?}");
            assert_eq!(answer.body["error"], "unauthorized");
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer realm="), "{challenge}");
        }
    }
    let listed = admin_of(&miffy).get("/admin/experiments").await;
    assert_eq!(states(&listed)["x"], "running");
    // What a browser would send for another site.
    let answer = reqwest::Client::new()
        .get(format!("http://{}/admin/experiments", miffy.management))
        .bearer_auth(TOKEN)
        .header("origin", "http://evil.example")
        .send()
        .await
        .unwrap();
    let cors = answer
        .headers()
        .keys()
        .filter(|it| it.as_str().starts_with("access-control"));
    assert_eq!(cors.count(), 0);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_is_paused_and_goes_on() {
    let (miffy, admin, _broker, (_reference, candidate)) = with_admin().await;
    let user = "/admin/experiments/%2Fuser%2F%7Bid%7D";
    assert_eq!(
        admin.post(&format!("{user}/pause"), "").await["state"],
        "paused"
    );
    let listed = admin.get("/admin/experiments").await;
    assert_eq!(
        states(&listed),
        BTreeMap::from([("/user/{id}", "paused"), ("x", "running")])
    );
    let ready: Value = serde_json::from_str(&miffy.manage("/readyz").await.1).unwrap();
    assert_eq!(ready["paused"], value!(["/user/{id}"]));
    let paused = miffy.metric("miffy_experiment_paused").await;
    assert_eq!(
        (
            paused["experiment=\"x\""],
            paused["experiment=\"/user/{id}\""]
        ),
        (0, 1)
    );
    miffy.get("/user/1").await.bytes().await.unwrap();
    assert_eq!(miffy.outcomes(1).await, outcomes([("skipped.paused", 1)]));
    assert_eq!(
        admin.get(user).await["candidates"][0]["outcomes"],
        value!({ "skipped.paused": 1 })
    );
    admin.post("/admin/pause", "").await;
    let listed = admin.post("/admin/resume", "").await;
    assert_eq!(
        states(&listed),
        BTreeMap::from([("/user/{id}", "running"), ("x", "running")])
    );
    miffy.get("/user/1").await.bytes().await.unwrap();
    candidate.first().await;
    let expected = outcomes([("different", 1), ("skipped.paused", 1)]);
    assert_eq!(miffy.outcomes(2).await, expected);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_sees_what_is_under_way_to_its_end() {
    const IN_FLIGHT: u64 = 8;
    let broker = Broker::mock();
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let reference = Backend::start(|_| async { json("1") }).await;
    let candidate = Backend::start(move |_| {
        let held = held.clone();
        async move {
            held.acquire().await.unwrap().forget();
            json("1")
        }
    })
    .await;
    let miffy = Setup::of(&reference, &candidate, &broker)
        .tables(ADMIN)
        .start();
    let admin = admin_of(&miffy);
    for n in 0..IN_FLIGHT {
        miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
    }
    until("the candidate to be asked", || async {
        (candidate.arrived().len() as u64 == IN_FLIGHT).then_some(())
    })
    .await;
    admin.post("/admin/pause", "").await;
    miffy.get("/x/late").await.bytes().await.unwrap();
    gate.add_permits(100);
    let expected = outcomes([("equal", IN_FLIGHT), ("skipped.paused", 1)]);
    assert_eq!(miffy.outcomes(IN_FLIGHT + 1).await, expected);
    assert_eq!(candidate.arrived().len() as u64, IN_FLIGHT);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_set() {
    let (miffy, admin, _broker, _backends) = with_admin().await;
    let sample = "/admin/experiments/x/sample";
    let set = admin.ok(Method::PUT, sample, r#"{"rate": 0}"#).await;
    assert_eq!(set["sample_rate"], 0.0);
    for n in 0..5 {
        miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
    }
    assert_eq!(
        miffy.outcomes(5).await,
        outcomes([("skipped.sampled_out", 5)])
    );
    let set = admin.ok(Method::PUT, sample, r#"{"rate": 0.05}"#).await;
    assert_eq!(set["sample_rate"], 0.05);
    let (_, text) = miffy.manage("/metrics").await;
    assert!(
        text.contains("miffy_experiment_sample_rate{experiment=\"x\"} 0.05\n"),
        "{text}"
    );
    for wrong in [
        "",
        "{}",
        r#"{"rate": 1.01}"#,
        r#"{"rate": -0.1}"#,
        r#"{"rate": "1"}"#,
        r#"{"rate": null}"#,
        r#"{"rate": 1e999}"#,
        r#"{"rate": NaN}"#,
        r#"{"rate": 1, "more": 1}"#,
        "[0.5]",
        "0.5",
        r#"{"rate": 1} {"rate": 0}"#,
        "{\"rate\": 1",
    ] {
        let answer = admin.ask(Method::PUT, sample, wrong).await;
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (400, &value!("bad_request")),
            "{wrong}"
        );
    }
    assert_eq!(admin.get("/admin/experiments/x").await["sample_rate"], 0.05);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_is_opened_by_hand_stays_open_until_it_is_closed_by_hand() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let tables = format!("{ADMIN}[shadow.breaker]\npause = \"1ms\"\n");
    let miffy = Setup::of(&reference, &candidate, &broker)
        .tables(&tables)
        .start();
    let admin = admin_of(&miffy);
    let breaker = "/admin/experiments/x/candidates/candidate/breaker";
    let open = admin.post(breaker, r#"{"state": "open"}"#).await;
    let held = value!({ "state": "open", "by_hand": true });
    assert_eq!(open["candidates"][0]["breaker"], held);
    for n in 0..20 {
        miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
    }
    assert_eq!(
        miffy.outcomes(20).await,
        outcomes([("skipped.breaker", 20)])
    );
    assert_eq!(candidate.arrived().len(), 0);
    assert_eq!(
        admin.get("/admin/experiments/x").await["candidates"][0]["breaker"],
        held
    );
    let is_open = miffy.metric("miffy_breaker_open").await;
    assert!(is_open.values().any(|value| *value == 1), "{is_open:?}");
    let closed = admin.post(breaker, r#"{"state": "closed"}"#).await;
    assert_eq!(
        closed["candidates"][0]["breaker"],
        value!({ "state": "closed", "by_hand": false })
    );
    miffy.get("/x/1").await.bytes().await.unwrap();
    candidate.first().await;
    for (path, body, status) in [
        (breaker, r#"{"state": "half_open"}"#, 400),
        (breaker, r#"{"state": "Open"}"#, 400),
        (
            "/admin/experiments/x/candidates/other/breaker",
            r#"{"state": "open"}"#,
            404,
        ),
        (
            "/admin/experiments/y/candidates/candidate/breaker",
            r#"{"state": "open"}"#,
            404,
        ),
    ] {
        assert_eq!(
            admin.ask(Method::POST, path, body).await.status,
            status,
            "{path} {body}"
        );
    }
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn learned_noise_is_shown_and_forgotten() {
    let broker = Broker::mock();
    let count = std::sync::atomic::AtomicU64::new(0);
    let count = Arc::new(count);
    let noisy = || {
        let count = count.clone();
        move |_| {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { json(format!(r#"{{"n":{n}}}"#)) }
        }
    };
    let (reference, candidate) = (Backend::start(noisy()).await, Backend::start(noisy()).await);
    let setup = Setup::of(&reference, &candidate, &broker).more("noise = \"requery\"");
    let tables = format!("{ADMIN}[compare.noise]\nrequery_rate = 1000\n");
    let miffy = setup.tables(&tables).start();
    let admin = admin_of(&miffy);
    for n in 1..=12 {
        miffy.get("/x/1").await.bytes().await.unwrap();
        miffy.outcomes(n).await;
    }
    let path = "/admin/experiments/x/noise";
    let expected = value!({ "experiment": "x", "candidates": [{
        "name": "candidate",
        "exchanges": 12,
        "locations": [{
            "location": "/n", "candidate_differed": 12, "reference_differed": 12, "is_noise": true,
        }],
    }]});
    assert_eq!(admin.get(path).await, expected);
    assert_eq!(
        admin.get("/admin/experiments/x").await["candidates"][0]["noise_locations"],
        1
    );
    let nothing = value!({ "experiment": "x", "candidates": [
        { "name": "candidate", "exchanges": 0, "locations": [] },
    ]});
    assert_eq!(admin.ok(Method::DELETE, path, "").await, nothing);
    assert_eq!(
        admin.get("/admin/experiments/x").await["candidates"][0]["noise_locations"],
        0
    );
    let gauge = miffy.metric("miffy_noise_locations").await;
    assert!(gauge.values().all(|value| *value == 0), "{gauge:?}");
    miffy.get("/x/1").await.bytes().await.unwrap();
    miffy.outcomes(13).await;
    assert_eq!(admin.get(path).await["candidates"][0]["exchanges"], 1);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_percent_encoded_and_nonsense_is_refused() {
    let (miffy, admin, _broker, _backends) = with_admin().await;
    let name = |answer: Answer| (answer.status, answer.body["name"].clone());
    for path in ["%2Fuser%2F%7Bid%7D", "%2fuser%2f%7bid%7d", "%2Fuser%2F{id}"] {
        let answer = admin
            .ask(Method::GET, &format!("/admin/experiments/{path}"), "")
            .await;
        assert_eq!(name(answer), (200, value!("/user/{id}")), "{path}");
    }
    for (path, status) in [
        ("/admin/experiments/nobody", 404),
        ("/admin/experiments//user/{id}", 404),
        ("/admin/experiments/%FF%FE", 400),
        ("/admin/experiments/%00", 404),
        ("/admin/experiments/x/", 404),
        ("/admin/experiments/x/y", 404),
        ("/admin", 404),
    ] {
        let answer = admin.ask(Method::GET, path, "").await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.body["message"].is_string(), "{path}: {answer:?}");
    }
    let answer = admin.ask(Method::DELETE, "/admin/experiments/x", "").await;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (405, &value!("method_not_allowed"))
    );
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded() {
    let (miffy, admin, _broker, _backends) = with_admin().await;
    let sample = "/admin/experiments/x/sample";
    for path in [sample, "/admin/pause"] {
        let method = if path == sample {
            Method::PUT
        } else {
            Method::POST
        };
        let answer = admin.ask(method, path, vec![b' '; 10 << 20]).await;
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (413, &value!("too_large")),
            "{path}"
        );
    }
    let listed = admin.get("/admin/experiments").await;
    assert_eq!(states(&listed)["x"], "running", "it was not done");
    let mut padded = vec![b' '; 16 * 1024 - 11];
    padded.extend_from_slice(br#"{"rate":.5}"#);
    let answer = admin.ask(Method::PUT, sample, padded).await;
    assert_eq!(answer.status, 400, "it is not JSON, and not too large");
    // A chunk that never comes.
    let mut stream = tokio::net::TcpStream::connect(miffy.management)
        .await
        .unwrap();
    let head = format!(
        "PUT {sample} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{\"ra"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within("an answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_asked_for_and_its_outcome_told() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = || Setup::of(&reference, &candidate, &broker).tables(ADMIN);
    let (mut miffy, _url) = process::start(&setup(), &[]);
    let admin = Admin::at(miffy.management());
    let routes = r#"{ path = "/y", methods = ["GET"] }"#;
    let tables = format!("[capture]\nmax_body = 7\n{ADMIN}");
    miffy.configure(&setup().routes(routes).tables(&tables).toml());
    let mut reloaded = admin.post("/admin/reload", "").await;
    reloaded["warnings"] = value!([]);
    let expected = value!({
        "file": "config.toml", "added": ["/y"], "changed": [], "removed": ["x"],
        "needs_restart": ["capture"], "warnings": [],
    });
    assert_eq!(reloaded, expected);
    miffy.configure("[admin]\ntoken = \"too-short\"\nport = 7\n");
    let answer = admin.ask(Method::POST, "/admin/reload", "").await;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (422, &value!("invalid_configuration"))
    );
    let problems = answer.body["problems"].as_array().unwrap().iter();
    let keys: Vec<&str> = problems.map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["admin.token", "admin.port"]);
    assert!(!answer.body.to_string().contains("too-short"));
    // Another token takes the place of the first, and none is the end of it.
    let other = "another-horse-battery-staple";
    miffy.configure(&setup().toml().replace(TOKEN, other));
    admin.post("/admin/reload", "").await;
    assert_eq!(
        admin
            .ask(Method::GET, "/admin/experiments", "")
            .await
            .status,
        401
    );
    let admin = admin.with_token(Some(other));
    miffy.configure(&setup().tables("").toml());
    admin.post("/admin/reload", "").await;
    assert_eq!(
        admin
            .ask(Method::GET, "/admin/experiments", "")
            .await
            .status,
        404
    );
    let log = miffy.stderr.all().join("\n");
    assert!(log.contains("\"remote\":\"127.0.0.1\""), "{log}");
    for secret in [TOKEN, other, "too-short"] {
        assert!(!log.contains(secret), "{log}");
    }
    miffy.signal("TERM");
    assert!(miffy.wait().success());
}

#[test]
fn the_token_is_read_from_a_file_or_the_environment_and_never_shown() {
    let check = |miffy: process::Miffy| {
        let ended = miffy.output();
        assert!(!format!("{ended:?}").contains(&TOKEN[4..]), "{ended:?}");
        ended
    };
    let miffy = || process::Miffy::new(&["check"]);
    for miffy in [
        miffy().config(ADMIN),
        miffy().env("MIFFY_ADMIN_TOKEN", TOKEN),
        miffy()
            .config("[admin]\ntoken_file = \"secret\"\n")
            .file("secret", &format!("{TOKEN}\n")),
    ] {
        let ended = check(miffy);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    for (miffy, problem) in [
        (
            miffy().config("[admin]\ntoken = \"too-short\"\n"),
            "admin.token: has fewer than 16",
        ),
        (
            miffy().env("MIFFY_ADMIN_TOKEN", &format!("{TOKEN} {TOKEN}")),
            "admin.token: has characters",
        ),
        (
            miffy().config("[admin]\ntoken_file = \"none\"\n"),
            "admin.token_file: none can't be read",
        ),
        (
            miffy()
                .config("[admin]\ntoken_file = \"secret\"\n")
                .file("secret", ""),
            "admin.token_file: has fewer than 16",
        ),
        (
            miffy()
                .config(&format!("{ADMIN}token_file = \"secret\"\n"))
                .file("secret", TOKEN),
            "admin.token_file: makes no sense beside token",
        ),
    ] {
        let ended = check(miffy);
        assert_eq!(ended.code, 64);
        assert!(ended.stderr.contains(problem), "{ended:?}");
    }
}

/// The document, and how answers are held to it.
struct Document(Value);

impl Document {
    fn new() -> Self {
        Self(serde_json::from_str(DOCUMENT).unwrap())
    }

    /// What a reference within the document leads to.
    fn resolve<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value["$ref"].as_str() {
            Some(pointer) => self.0.pointer(pointer.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// Every operation: path, method and what is said of it.
    fn operations(&self) -> impl Iterator<Item = (&str, Method, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            let operations = operations.filter(|(key, _)| *key != "parameters");
            operations.map(move |(method, operation)| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                (path.as_str(), method, operation)
            })
        })
    }

    /// Holds an answer to what is said of this operation.
    fn accepts(&self, operation: &Value, answer: &Answer) {
        let id = &operation["operationId"];
        let response = &operation["responses"][answer.status.to_string()];
        assert!(
            response.is_object(),
            "{id} has no {}: {answer:?}",
            answer.status
        );
        let schema = &self.resolve(response)["content"]["application/json"]["schema"];
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator: Validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&answer.body)
            .map(|it| it.to_string())
            .collect();
        assert!(
            errors.is_empty(),
            "{id} {}: {errors:?}\n{answer:?}",
            answer.status
        );
        assert_eq!(answer.headers["content-type"], "application/json", "{id}");
        let headers = self.resolve(response)["headers"].as_object();
        for header in headers.into_iter().flatten().map(|(name, _)| name) {
            assert!(answer.headers.contains_key(header), "{id}: {header}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_is_answered() {
    let (miffy, admin, _broker, _backends) = with_admin().await;
    for path in ["/x/1", "/user/1"] {
        miffy.get(path).await.bytes().await.unwrap();
    }
    miffy.outcomes(2).await;
    let document = Document::new();
    assert_eq!(admin.get("/admin/openapi.json").await, document.0);
    let stranger = admin_of(&miffy).with_token(None);
    let mut asked = 0;
    for (template, method, operation) in document.operations() {
        let path = template
            .replace("{name}", "x")
            .replace("{candidate}", "candidate");
        let body = &operation["requestBody"]["content"]["application/json"];
        let example = match &body["example"] {
            Value::Null => String::new(),
            example => example.to_string(),
        };
        let answer = admin.ask(method.clone(), &path, example.clone()).await;
        document.accepts(operation, &answer);
        // This one was not started from a file.
        let expected = if template == "/admin/reload" {
            409
        } else {
            200
        };
        assert_eq!(answer.status, expected, "{template}");
        let answer = stranger.ask(method.clone(), &path, example.clone()).await;
        assert_eq!(answer.status, 401, "{template}");
        document.accepts(operation, &answer);
        let answer = admin.ask(method.clone(), &path, vec![b'x'; 20 << 10]).await;
        assert_eq!(answer.status, 413, "{template}");
        document.accepts(operation, &answer);
        let answer = admin.ask(Method::PATCH, &path, "").await;
        assert_eq!(answer.status, 405, "{template}");
        document.accepts(operation, &answer);
        if path != template {
            let path = template
                .replace("{name}", "nobody")
                .replace("{candidate}", "nobody");
            let answer = admin.ask(method.clone(), &path, example.clone()).await;
            assert_eq!(answer.status, 404, "{template}");
            document.accepts(operation, &answer);
        }
        if !example.is_empty() {
            let answer = admin.ask(method.clone(), &path, "{").await;
            assert_eq!(answer.status, 400, "{template}");
            document.accepts(operation, &answer);
        }
        asked += 1;
    }
    assert_eq!(asked, 12);
    miffy.stop().await;
}
