//! What is hidden appears nowhere outside the process, in no spelling.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use flate2::Compression;
use flate2::write::GzEncoder;
use miffy::app::Plugs;
use miffy::experiment::Role;
use miffy::shadow::{Observer, Report};
use serde_json::{Value, json as value};

use crate::support::backend::{Arrived, Backend, json, response};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, Setup};
use crate::support::process::start;

/// Something that is nowhere else.
const SECRET: &str = "hunter2-Tr0ub4dor";

/// Another one, which the candidate has where the two differ.
const OTHER: &str = "hunter3-C0rrecth0";

const REDACT: &str = r#"
[redact]
query = ["token", "*secret*"]
body = ["/user/password", "/**/ssn"]
[capture]
max_body = "4KiB"
"#;

/// All ways in which a text may stand in a line: as it is, percent-encoded, in base64 at any place.
fn stands_in(text: &str, line: &str) -> bool {
    let decoded = percent_decoded(line);
    let in_base64 = (0..3).any(|before| {
        let bytes = [&vec![0; before][..], text.as_bytes()].concat();
        let encoded = STANDARD_NO_PAD.encode(&bytes);
        // The first and the last digits depend on what is around.
        let part = &encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6];
        line.contains(part)
    });
    in_base64 || line.contains(text) || decoded.contains(text)
}

fn percent_encoded(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    bytes.concat()
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                decoded.push(byte);
                decoded.extend(&part.as_bytes()[2..]);
            }
            _ => decoded.extend(part.as_bytes()),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[test]
fn a_secret_is_found_in_all_spellings() {
    let encoded = percent_encoded(SECRET);
    for text in [
        SECRET.to_owned(),
        encoded,
        STANDARD.encode(SECRET),
        STANDARD.encode(format!("x{SECRET}")),
        STANDARD.encode(format!("xy{SECRET}z")),
    ] {
        assert!(stands_in(SECRET, &format!("\"{text}\"")), "{text}");
        assert!(!stands_in(OTHER, &format!("\"{text}\"")), "{text}");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A JSON text with the secret where it is hidden, and something that differs elsewhere.
fn document(secret: &str, n: usize) -> String {
    format!(
        r#"{{ "n": {n}, "user": {{"password": "{secret}", "name": "x"}}, "all": [{{"ssn": ["{secret}"]}}] }}"#
    )
}

/// Answers as the target's path says; both sides have the secret and differ elsewhere.
async fn answer(request: Arrived) -> Response {
    let is_candidate = request.role() == Role::Candidate.name();
    let n = usize::from(is_candidate);
    let differing = if is_candidate { OTHER } else { SECRET };
    let typed = |content_type, body: String| {
        let status = if is_candidate { 500 } else { 200 };
        response(status, &[("content-type", content_type)], body)
    };
    let path = request.target.split('?').next().unwrap();
    match path.strip_prefix("/x/").unwrap() {
        "json" => json(document(SECRET, n)),
        "differing" => json(document(differing, 0)),
        "missing" if is_candidate => json("{\"all\": []}"),
        "missing" => json(document(SECRET, 0)),
        "gzip" => {
            let headers = [
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
            ];
            response(200, &headers, gzip(&document(SECRET, n)))
        }
        "unnamed" => response(
            200 + 300 * u16::from(is_candidate),
            &[],
            document(SECRET, 0),
        ),
        "unnamed-differing" => response(200, &[], document(SECRET, n)),
        "broken" => typed("application/json", document(SECRET, 0) + ","),
        "broken-differing" => typed("application/json", document(differing, 0) + ","),
        "unlike" => typed("text/plain", document(SECRET, 0) + ","),
        "unknown-coding" => {
            let mut response = typed("application/json", document(SECRET, 0));
            let coding = "rot13".parse().unwrap();
            response.headers_mut().insert("content-encoding", coding);
            response
        }
        "huge" => json(document(SECRET, n) + &" ".repeat(8 * 1024)),
        "lines" => {
            let lines = format!("{}\n1\n", document(SECRET, 0));
            typed("application/x-ndjson", lines)
        }
        "events" => {
            let events = format!("data: {}\n\ndata: 1\n\n", document(SECRET, 0));
            typed("text/event-stream", events)
        }
        "lines-differing" => typed("application/x-ndjson", document(differing, 0) + "\n"),
        "events-differing" => {
            let events = format!("data: {}\n\n", document(differing, 0));
            typed("text/event-stream", events)
        }
        "form-differing" => {
            let form = format!("ssn={differing}");
            typed("application/x-www-form-urlencoded", form)
        }
        "form" => {
            let form = format!("a=1&ssn={SECRET}&user[password]={SECRET}");
            typed("application/x-www-form-urlencoded", form)
        }
        "multipart" => {
            let part = format!("--b\r\ncontent-disposition: form-data; name=ssn\r\n\r\n{SECRET}");
            typed("multipart/form-data; boundary=b", part + "\r\n--b--\r\n")
        }
        "headers" => {
            let mut response = json(n.to_string());
            let headers = response.headers_mut();
            headers.append("set-cookie", format!("a={SECRET}").parse().unwrap());
            headers.append("set-cookie", format!("b={differing}").parse().unwrap());
            headers.insert("x-auth-thing", SECRET.parse().unwrap());
            let location = format!("/next?a=1&token={SECRET}#b");
            headers.insert("location", location.parse().unwrap());
            response
        }
        _ => json(n.to_string()),
    }
}

struct Run {
    backend: Backend,
    broker: Broker,
    tables: String,
}

impl Run {
    async fn new(kafka: &str) -> Self {
        Self {
            backend: Backend::start(answer).await,
            broker: Broker::start(),
            tables: format!("{kafka}\n{REDACT}"),
        }
    }

    fn setup(&self) -> Setup {
        Setup::of(&self.backend, &self.backend, &self.broker).tables(&self.tables)
    }

    /// Stops miffy when so many requests have ended, and gives the records by their targets' last segment.
    async fn records(&self, miffy: Miffy, number: usize) -> Vec<(String, Value)> {
        miffy.outcomes(number as u64).await;
        miffy.stop().await;
        let records = self.broker.published().await;
        assert_eq!(records.len(), number);
        records.iter().map(check).collect()
    }
}

/// That nothing of it stands in a record, which is given by its target's last segment.
fn check(record: &Published) -> (String, Value) {
    for secret in [SECRET, OTHER] {
        assert!(!stands_in(secret, &record.line), "{}", record.line);
    }
    let json = record.json();
    let uri = json["request"]["uri"].as_str().unwrap();
    let name = uri.split('?').next().unwrap().rsplit('/').next().unwrap();
    (name.to_owned(), json)
}

fn of<'r>(records: &'r [(String, Value)], name: &str) -> &'r Value {
    let found = records.iter().find(|(target, _)| target == name);
    &found.unwrap_or_else(|| panic!("no record of {name}")).1
}

fn redacted(record: &Value) -> Vec<&str> {
    let paths = record["redacted"].as_array().unwrap();
    paths.iter().map(|path| path.as_str().unwrap()).collect()
}

/// A body of type bytes, as text.
fn text(body: &Value) -> String {
    assert_eq!(body["type"], "bytes");
    let bytes = STANDARD.decode(body["value"].as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn is_mask(text: &str) -> bool {
    let digits = text
        .strip_prefix("[redacted ")
        .and_then(|it| it.strip_suffix(']'));
    digits.is_some_and(|it| it.len() == 16 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_response_appears_in_no_record() {
    let run = Run::new("").await;
    let miffy = run.setup().start();
    let cut_out = ["json", "gzip", "unnamed", "form"];
    let whole = [
        "broken",
        "unlike",
        "unknown-coding",
        "huge",
        "lines",
        "events",
        "multipart",
    ];
    for target in cut_out.iter().chain(&whole) {
        miffy
            .get(&format!("/x/{target}"))
            .await
            .bytes()
            .await
            .unwrap();
    }
    let records = run.records(miffy, cut_out.len() + whole.len()).await;
    for name in whole {
        let record = of(&records, name);
        let body = &record["reference"]["response"]["body"];
        assert!(is_mask(&text(body)), "{name}: {body}");
        assert!(redacted(record).contains(&"reference.response.body"));
    }
    for name in ["json", "gzip"] {
        let record = of(&records, name);
        let body = &record["candidate"]["response"]["body"];
        let mask = &body["value"]["user"]["password"];
        assert!(is_mask(mask.as_str().unwrap()), "{name}: {mask}");
        assert_eq!(body["value"]["user"]["name"], "x");
        assert_eq!(body["type"], "json");
        let path = "candidate.response.body/user/password";
        assert!(redacted(record).contains(&path), "{record:#}");
        assert!(redacted(record).contains(&"reference.response.body/all/0/ssn"));
        let reference = &record["reference"]["response"]["body"];
        assert_eq!(&reference["value"]["user"]["password"], mask);
    }
    let unnamed = &of(&records, "unnamed")["reference"]["response"]["body"];
    assert!(text(unnamed).starts_with(r#"{ "n": 0, "user": {"password": "[redacted "#));
    let form = &of(&records, "form")["reference"]["response"]["body"];
    assert!(text(form).starts_with("a=1&ssn=[redacted "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_request_appears_in_no_record() {
    let run = Run::new("").await;
    let miffy = run.setup().start();
    let bodies = [
        ("json-body", "application/json", document(SECRET, 0)),
        ("plain-body", "text/plain", document(SECRET, 0)),
        (
            "form-body",
            "application/x-www-form-urlencoded",
            format!("a=1&ssn={SECRET}"),
        ),
        ("broken-body", "application/json", document(SECRET, 0) + "}"),
    ];
    for (target, content_type, body) in &bodies {
        let request = miffy
            .client
            .post(miffy.url(&format!("/x/{target}")))
            .body(body.clone());
        let request = request.header("content-type", *content_type);
        request.send().await.unwrap();
    }
    let encoded = percent_encoded(SECRET);
    let target = format!("/x/target?a=%zz&token={SECRET}&My%2DSecret={encoded}&b=1");
    let request = miffy.client.get(miffy.url(&target));
    let request = request
        .header(
            "authorization",
            format!("Basic {}", STANDARD.encode(SECRET)),
        )
        .header("x-my-token", SECRET)
        .header("referer", format!("http://x/?token={SECRET}"));
    request.send().await.unwrap();
    let records = run.records(miffy, bodies.len() + 1).await;
    let body = |name| &of(&records, name)["request"]["body"];
    assert_eq!(
        body("json-body")["value"]["all"],
        value!([{ "ssn": "[redacted]" }])
    );
    assert_eq!(body("json-body")["value"]["user"]["name"], "x");
    assert!(text(body("plain-body")).contains(r#""password": "[redacted]""#));
    assert_eq!(text(body("form-body")), "a=1&ssn=[redacted]");
    assert_eq!(text(body("broken-body")), "[redacted]");
    let target = of(&records, "target");
    let uri = "/x/target?a=%zz&token=[redacted]&My%2DSecret=[redacted]&b=1";
    assert_eq!(target["request"]["uri"], uri);
    let url = format!("{}{uri}", run.backend.url());
    assert_eq!(target["reference"]["url"], url);
    assert_eq!(target["candidate"]["url"], url);
    assert_eq!(target["request"]["headers"]["x-my-token"], "[redacted]");
    let mut redacted = redacted(target);
    redacted.sort_unstable();
    let expected = [
        "request.headers.authorization",
        "request.headers.referer?token",
        "request.headers.x-my-token",
        "request.uri?My-Secret",
        "request.uri?token",
    ];
    assert_eq!(redacted, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_responses_are_masked_value_by_value() {
    let run = Run::new("").await;
    let miffy = run.setup().start();
    miffy.get("/x/headers").await;
    let records = run.records(miffy, 1).await;
    let record = of(&records, "headers");
    let header = |side: &str, name: &str| record[side]["response"]["headers"][name].clone();
    let cookies = [
        header("reference", "set-cookie"),
        header("candidate", "set-cookie"),
    ];
    for cookie in cookies.iter().flat_map(|it| it.as_array().unwrap()) {
        assert!(is_mask(cookie.as_str().unwrap()), "{cookie}");
    }
    assert_eq!(cookies[0][0], cookies[1][0]);
    assert_ne!(
        cookies[0][1], cookies[1][1],
        "what differs is seen to differ"
    );
    let location = header("candidate", "location");
    let location = location.as_str().unwrap();
    assert!(
        location.starts_with("/next?a=1&token=[redacted "),
        "{location}"
    );
    for path in [
        "candidate.response.headers.set-cookie",
        "reference.response.headers.x-auth-thing",
        "reference.response.headers.location?token",
    ] {
        assert!(redacted(record).contains(&path), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_to_fit_holds_no_part_of_a_secret() {
    for max in [1000, 2000, 3000, 4000] {
        let run = Run::new(&format!("\"message.max.bytes\" = {max}")).await;
        let miffy = run.setup().start();
        let targets = ["json", "gzip", "unnamed", "form", "headers", "broken"];
        for target in targets {
            let url = miffy.url(&format!("/x/{target}?token={SECRET}"));
            let request = miffy.client.post(url).body(document(SECRET, 0));
            request.send().await.unwrap().bytes().await.unwrap();
        }
        // Too large ones are refused by librdkafka, at the least of bounds.
        miffy.outcomes(targets.len() as u64).await;
        miffy.stop().await;
        let records = run.broker.published().await;
        assert!(max < 2000 || !records.is_empty());
        for record in &records {
            check(record);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_differs_is_masked_in_both_bodies_by_other_masks() {
    let run = Run::new("").await;
    let miffy = run.setup().start();
    miffy.get("/x/differing").await.bytes().await.unwrap();
    let records = run.records(miffy, 1).await;
    let record = of(&records, "differing");
    let mask = |side: &str| &record[side]["response"]["body"]["value"]["user"]["password"];
    assert!(is_mask(mask("reference").as_str().unwrap()));
    assert_ne!(mask("reference"), mask("candidate"));
    let differences = record["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 2);
    assert_eq!(differences[0]["path"], "/user/password");
    assert_eq!(&differences[0]["reference"], mask("reference"));
    assert_eq!(&differences[0]["candidate"], mask("candidate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_of_what_is_around_or_is_no_json_hold_no_secret() {
    let run = Run::new("").await;
    let miffy = run.setup().start();
    let targets = [
        "missing",
        "headers",
        "broken-differing",
        "unnamed-differing",
        "lines-differing",
        "events-differing",
        "form-differing",
    ];
    for target in targets {
        let answer = miffy.get(&format!("/x/{target}")).await;
        answer.bytes().await.unwrap();
    }
    let records = run.records(miffy, targets.len()).await;
    let missing = of(&records, "missing")["differences"].as_array().unwrap();
    let user = missing.iter().find(|it| it["path"] == "/user").unwrap();
    let password = user["reference"]["password"].as_str().unwrap();
    assert!(is_mask(password), "{user}");
    assert_eq!(user["reference"]["name"], "x");
}

/// Collects the targets of what ended.
#[derive(Default)]
struct Targets(Mutex<Vec<String>>);

impl Observer for Targets {
    fn ended(&self, report: &Report<'_>) {
        self.0.lock().unwrap().push(report.target.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_are_told_masked_targets() {
    let run = Run::new("").await;
    let targets = Arc::new(Targets::default());
    let plugs = Plugs {
        observer: Some(targets.clone()),
        ..Plugs::default()
    };
    let setup = run
        .setup()
        .routes(r#"{ path = "/x/{*rest}", methods = ["GET"] }"#);
    let miffy = setup.start_with(plugs);
    let target = format!("/x/1?token={SECRET}");
    miffy.get(&target).await.bytes().await.unwrap();
    miffy.post(&target, "").await.bytes().await.unwrap();
    miffy.outcomes(2).await;
    miffy.stop().await;
    let expected = ["/x/1?token=[redacted]"; 2];
    assert_eq!(*targets.0.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_appears_in_no_log_at_whatever_level() {
    let run = Run::new("").await;
    let (mut miffy, url) = start(&run.setup(), &[("RUST_LOG", "trace")]);
    let client = crate::support::http_client();
    for target in ["json", "gzip", "headers", "huge"] {
        let request = client
            .post(format!("{url}/x/{target}?token={SECRET}"))
            .header("authorization", SECRET)
            .header("content-type", "application/json")
            .body(document(SECRET, 0));
        // A body over the bound, too.
        request.send().await.unwrap().bytes().await.unwrap();
    }
    let sent = client.get(format!("{url}/elsewhere?token={SECRET}"));
    let _no_experiment = sent.header("cookie", SECRET).send().await;
    miffy.signal("TERM");
    assert!(miffy.wait().success());
    let lines = [miffy.stderr.all(), miffy.stdout.all()].concat();
    assert!(lines.iter().any(|line| line.contains("miffy::access")));
    for line in &lines {
        assert!(!stands_in(SECRET, line), "{line}");
    }
    for record in run.broker.published().await {
        check(&record);
    }
}
