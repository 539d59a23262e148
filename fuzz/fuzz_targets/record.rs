//! A record is a line of JSON within its bound, holds what it says it does, and nothing that is hidden.
//!
//! The input is bytes of flags, the request's target, headers and body, and each response's headers and body.
//! It is written twice: with credentials masked, and with a secret in every body and in the query, which must
//! not be found.

#![no_main]

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode};
use libfuzzer_sys::fuzz_target;
use miffy::capture::{
    Answer, Budget, Captured, Content, Failed, Limits, RequestHead, Side, collect,
};
use miffy::compare::{Bodies, Differences, Hashed, Head, Rules, compare};
use miffy::config::{Environment, Redact, Route, Source, load};
use miffy::content::{self, Body, Media};
use miffy::experiment::Experiment;
use miffy::outcome::{Cause, Failure, Outcome, Stage};
use miffy::record::{Record, shorten};
use miffy::redact::{Glob, Redaction};
use miffy_fuzz::body::{End, Pieces, block_on};
use miffy_fuzz::tree::Tree;
use miffy_fuzz::{headers, sections};
use serde_json::Value;
use uuid::Uuid;

const PATTERNS: [&str; 3] = ["/{*rest}", "/a/{id}/{other}", "/"];
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
];

/// Levels that `serde_json` and many others read.
const READERS_DEPTH: usize = 127;

const LIMITS: content::Limits = content::Limits {
    max_decoded: 1 << 20,
    max_ratio: 200,
};

fuzz_target!(|data: &[u8]| {
    let [flags, target, request_headers, request_body, answers @ ..] = sections::<8>(data);
    let Ok(target) = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(target)) else {
        return;
    };
    let mut input = Input {
        flags,
        target,
        request: (headers(request_headers), request_body.to_vec()),
        answers: [0, 1].map(|at| (headers(answers[2 * at]), answers[2 * at + 1].to_vec())),
    };
    input.with_record(&redaction(&[], &[]), |record, flag| {
        check_all(record, flag);
    });
    let secret = secret_of(data);
    input.hide(&secret);
    input.with_record(&redaction(&["t*n"], &["/**/s"]), |record, flag| {
        for max in [usize::MAX, flag(4) * 64, 0] {
            let line = record.encode(max).expect("a record");
            check_hidden(&line, &secret);
        }
    });
});

/// What is hidden where it is to be: another for each input, so that none can hold it elsewhere. (The fuzzer learns
/// constants from comparisons and puts them into inputs.)
fn secret_of(data: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    format!("hunter2-{:016x}", hasher.finish())
}

/// A whole exchange.
struct Input<'i> {
    flags: &'i [u8],
    target: PathAndQuery,
    request: (HeaderMap, Vec<u8>),
    answers: [(HeaderMap, Vec<u8>); 2],
}

impl Input<'_> {
    fn flag(&self, at: usize) -> usize {
        usize::from(self.flags.get(at).copied().unwrap_or(0xff))
    }

    /// Puts the secret where it is hidden; bodies are JSON if they were.
    fn hide(&mut self, secret: &str) {
        let [reference, candidate] = &mut self.answers;
        for (headers, body) in [&mut self.request, reference, candidate] {
            *body = [
                format!("{{\"s\":\"{secret}\",\"x\":").as_bytes(),
                body,
                b"}",
            ]
            .concat();
            headers.append("x-api-key", secret.parse().expect("a value"));
        }
        let separator = if self.target.query().is_some() {
            '&'
        } else {
            '?'
        };
        let target = format!("{}{separator}tok%65n={secret}", self.target);
        if let Ok(target) = PathAndQuery::from_maybe_shared(Bytes::from(target)) {
            self.target = target;
        }
    }

    fn with_record(
        &self,
        redaction: &Arc<Redaction>,
        check: impl Fn(&Record<'_>, &dyn Fn(usize) -> usize),
    ) {
        let pattern = PATTERNS[self.flag(0) % PATTERNS.len()];
        let experiment = experiment(pattern, redaction);
        let kept = self.flag(1) * 16;
        let request = RequestHead {
            method: Method::POST,
            target: self.target.clone(),
            headers: self.request.0.clone(),
            received: SystemTime::UNIX_EPOCH,
            extensions: Extensions::new(),
        };
        let request_body = captured(&self.request.1, kept);
        let (reference, candidate) = (
            self.side(0, StatusCode::OK, kept),
            self.side(1, StatusCode::NOT_FOUND, kept),
        );
        let (outcome, differences) = match (&reference, &candidate) {
            (Ok(a), Ok(b)) => (
                Outcome::Different,
                differences(a, b, self.flag(3), redaction),
            ),
            (Ok(_), Err(_)) => (Outcome::CandidateFailed(Cause::Body), Differences::none(0)),
            (Err(_), _) => (Outcome::ReferenceFailed(Cause::Body), Differences::none(0)),
        };
        let record = Record {
            id: Uuid::nil(),
            experiment: &experiment,
            asked: &experiment.candidates[0],
            target: None,
            request: &request,
            request_body: &request_body,
            params: &experiment.params(self.target.path()),
            reference: &reference,
            candidate: &candidate,
            outcome,
            differences: &differences,
            notes: &[],
        };
        check(&record, &|at| self.flag(at));
    }

    fn side(&self, at: usize, status: StatusCode, kept: usize) -> Side {
        if self.flag(2) & (1 << at) == 0 {
            return Err(Failed {
                failure: Failure {
                    stage: Stage::Body,
                    cause: Cause::Body,
                },
                elapsed: Duration::MAX,
            });
        }
        let (headers, body) = &self.answers[at];
        Ok(Answer {
            status,
            headers: headers.clone(),
            body: captured(body, kept),
            first_byte: Duration::ZERO,
            elapsed: Duration::from_nanos(1),
        })
    }
}

/// Hides credentials, and these.
fn redaction(query: &[&str], body: &[&str]) -> Arc<Redaction> {
    let globs = |names: &[&str]| names.iter().map(|name| Glob::new(*name)).collect();
    let settings = Redact {
        headers: globs(&CREDENTIALS),
        query: globs(query),
        body: body
            .iter()
            .map(|it| it.parse().expect("a pattern"))
            .collect(),
    };
    Arc::new(Redaction::with_key(settings, b"a key"))
}

/// In all its sizes.
fn check_all(record: &Record<'_>, flag: &dyn Fn(usize) -> usize) {
    let encode = |max| record.encode(max).expect("a record");
    let all = encode(usize::MAX);
    let read = check(record, &all);
    let listed = read["differences"].as_array().map(Vec::len);
    assert_eq!(listed, Some(record.differences.list().len()));
    let least = encode(0);
    assert!(least.len() <= least_size(record), "{} bytes", least.len());
    for max in [flag(4) * 64, all.len().saturating_sub(flag(5)), all.len()] {
        let line = encode(max);
        check(record, &line);
        assert!(line.len() <= max || line == least);
        assert!(max < all.len() || line == all);
        let shortened = shorten(&all, max);
        assert_eq!(shortened, (line.len() <= max).then_some(line));
    }
}

/// That the secret is nowhere in a record.
fn check_hidden(line: &[u8], secret: &str) {
    let text = std::str::from_utf8(line).expect("Unicode");
    assert!(!text.contains(secret), "{text}");
    let read = Tree::read_within(line, READERS_DEPTH)
        .expect("JSON")
        .value();
    for pointer in ["/request", "/reference/response", "/candidate/response"] {
        let body = read.pointer(&format!("{pointer}/body"));
        let Some(body) = body.filter(|body| body["type"] == "bytes") else {
            continue;
        };
        let body = STANDARD.decode(body["value"].as_str().expect("base64"));
        let body = body.expect("base64");
        let mut places = body.windows(secret.len());
        assert!(!places.any(|it| it == secret.as_bytes()), "{text}");
    }
}

fn experiment(path: &str, redaction: &Arc<Redaction>) -> Experiment {
    static ROUTE: LazyLock<Route> = LazyLock::new(|| {
        let source = Source::Text("routes = [{ path = \"/\", name = \"experiment\" }]".to_owned());
        let loaded = load(&source, &Environment::default()).expect("it is valid");
        loaded.settings.routes[0].clone()
    });
    let route = Route {
        path: path.to_owned(),
        rules: Rules {
            limits: LIMITS,
            ..Rules::default()
        },
        ..ROUTE.clone()
    };
    Experiment::new(&route, redaction.clone())
}

fn captured(body: &[u8], max: usize) -> Captured {
    let limits = Limits {
        max_body: max,
        budget: Budget::new(usize::MAX),
    };
    let pieces = Pieces::new(Bytes::copy_from_slice(body), &[0xff], End::Plain);
    block_on(collect(pieces, &limits))
}

fn differences(a: &Answer, b: &Answer, max: usize, redaction: &Redaction) -> Differences {
    fn head(answer: &Answer) -> Head<'_> {
        Head {
            status: answer.status,
            headers: &answer.headers,
        }
    }
    let hashed = |body: &Captured| Hashed {
        len: body.len,
        digest: body.content.digest(),
    };
    let body = |answer: &'_ Answer| answer.body.content.bytes().clone();
    let (bytes_a, bytes_b) = (body(a), body(b));
    let body_a = Body::new(&a.headers, &bytes_a, LIMITS);
    let body_b = Body::new(&b.headers, &bytes_b, LIMITS);
    let bodies = match (&a.body.content, &b.body.content) {
        (Content::Whole(_), Content::Whole(_)) => Bodies::Whole(&body_a, &body_b),
        _ => Bodies::Hashed(hashed(&a.body), hashed(&b.body)),
    };
    let rules = Rules {
        max_differences: max,
        limits: LIMITS,
        ..Rules::default()
    };
    compare(head(a), head(b), bodies, &rules, None, redaction).differences
}

/// What a record may hold that is cut as far as it can be.
fn least_size(record: &Record<'_>) -> usize {
    let headers = |headers: &HeaderMap| -> usize {
        // A name, and for each value an ellipsis; what is said of being cut and masked is in the rest.
        headers
            .iter()
            .map(|(name, _)| name.as_str().len() + 16)
            .sum()
    };
    let of = |side: &Side| side.as_ref().map_or(0, |answer| headers(&answer.headers));
    // The target stands in it three times and once more as parameters, each byte escaped at worst.
    let target = 8 * record.request.target.as_str().len();
    let headers = headers(&record.request.headers) + of(record.reference) + of(record.candidate);
    4096 + target + headers
}

/// A record holds what it was made of, but for what it says is cut.
fn check(record: &Record<'_>, line: &[u8]) -> Value {
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    let text = std::str::from_utf8(line).expect("Unicode");
    let tree = Tree::read_within(line, READERS_DEPTH).expect("JSON");
    let read = tree.value();
    assert_eq!(read["request"]["uri"], record.request.target.as_str());
    assert_eq!(read["differences_total"], record.differences.total());

    check_message(
        &tree,
        &read,
        "request",
        &record.request.headers,
        record.request_body,
    );
    for (name, side) in [
        ("reference", record.reference),
        ("candidate", record.candidate),
    ] {
        let path = format!("{name}.response");
        match side {
            Ok(answer) => check_message(&tree, &read, &path, &answer.headers, &answer.body),
            Err(_) => assert_eq!(read[name]["response"]["error"], "body"),
        }
    }
    let paths = read["redacted"].as_array().expect("a list");
    for name in record.request.headers.keys() {
        let is_hidden = CREDENTIALS.contains(&name.as_str());
        let field = format!("request.headers.{name}");
        // Few are listed in a record that is cut as far as it can be.
        if !is_hidden || paths.len() < 10 {
            assert_eq!(paths.contains(&field.into()), is_hidden, "{text}");
        }
    }
    read
}

fn check_message(tree: &Tree<'_>, read: &Value, path: &str, headers: &HeaderMap, body: &Captured) {
    let pointer = format!("/{}", path.replace('.', "/"));
    let message = read.pointer(&pointer).expect("a message");
    let cut = |part: &str| {
        let field = format!("{path}.{part}");
        let truncated = read["truncated"].as_array().expect("a list");
        truncated.iter().find(|cut| cut["field"] == field)
    };

    let names = message["headers"].as_object().expect("an object").keys();
    assert!(names.eq(sorted_names(headers)));
    if cut("headers").is_none() {
        for (name, value) in message["headers"].as_object().expect("an object") {
            if CREDENTIALS.contains(&name.as_str()) {
                check_masks(value, path == "request");
                continue;
            }
            let texts = headers.get_all(name).iter();
            let texts: Vec<_> = texts
                .map(|it| String::from_utf8_lossy(it.as_bytes()))
                .collect();
            match &texts[..] {
                [text] => assert_eq!(value, text.as_ref()),
                texts => assert_eq!(value, &Value::from(texts.to_vec())),
            }
        }
    }

    let source = source(headers, body);
    let whole = match &body.content {
        Content::Whole(_) => source.len() as u64,
        Content::Over { .. } => body.len,
    };
    let (size, kept) = match cut("body") {
        Some(cut) => (cut["size"].as_u64(), cut["kept"].as_u64()),
        None => (Some(whole), Some(whole)),
    };
    assert_eq!(size, Some(whole));
    let kept = usize::try_from(kept.expect("a number")).expect("a length");
    assert!(kept as u64 <= whole && (cut("body").is_none() || (kept as u64) < whole));
    match message["body"]["type"].as_str() {
        None => assert_eq!(body.len, 0),
        Some("json") => {
            let written = &tree.at(&format!("{pointer}/body/value"))[0];
            let original = Tree::read(&source).expect("JSON");
            assert_eq!(written.meaning(), original.meaning());
            assert_eq!(written.text.as_bytes(), &*source);
        }
        Some(_) => {
            let value = message["body"]["value"].as_str().expect("base64");
            let value = STANDARD.decode(value).expect("base64");
            assert_eq!(value, source[..kept]);
        }
    }
}

/// What of a body a record holds, if it is large enough: its text as one line if that is JSON and says so, else
/// its bytes.
fn source<'b>(headers: &HeaderMap, body: &'b Captured) -> Cow<'b, [u8]> {
    let bytes = body.content.bytes();
    let content = content::Body::new(headers, bytes, LIMITS);
    let is_over = matches!(body.content, Content::Over { .. });
    if is_over || content.media() != Media::Json {
        return Cow::Borrowed(bytes);
    }
    let decoded = content.decoded().ok();
    let text = decoded.filter(|bytes| Tree::read(bytes).is_some());
    let text = text.or_else(|| content.text().ok().map(str::as_bytes));
    match text.and_then(Tree::read) {
        Some(tree) => Cow::Owned(tree.text.replace(['\n', '\r'], "").into_bytes()),
        None => Cow::Borrowed(bytes),
    }
}

/// A header's masks, which are told from each other in responses only.
fn check_masks(value: &Value, is_request: bool) {
    let masks: Vec<&Value> = match value {
        Value::Array(masks) => masks.iter().collect(),
        mask => vec![mask],
    };
    for mask in masks {
        let mask = mask.as_str().expect("text");
        let digits = mask.strip_prefix("[redacted ");
        let digits = digits.and_then(|it| it.strip_suffix(']'));
        match digits {
            Some(digits) => assert!(!is_request && digits.len() == 16, "{mask}"),
            None => assert!(is_request && mask == "[redacted]", "{mask}"),
        }
    }
}

fn sorted_names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names.into_iter()
}
