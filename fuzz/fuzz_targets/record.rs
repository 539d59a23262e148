//! A record is a line of JSON within its bound, holds what it says it does, and no credentials.
//!
//! The input is bytes of flags, the request's target, headers and body, and each response's headers and body.

#![no_main]

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
use miffy::compare::{Bodies, Differences, Hashed, Head, compare};
use miffy::config::{BaseUrl, Route};
use miffy::experiment::Experiment;
use miffy::outcome::{Cause, Failure, Outcome, Stage};
use miffy::record::Record;
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

fuzz_target!(|data: &[u8]| {
    let [flags, target, request_headers, request_body, answers @ ..] = sections::<8>(data);
    let flag = |at: usize| usize::from(flags.get(at).copied().unwrap_or(0xff));
    let Ok(target) = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(target)) else {
        return;
    };
    let experiment = experiment(PATTERNS[flag(0) % PATTERNS.len()]);
    let kept = flag(1) * 16;
    let request = RequestHead {
        method: Method::POST,
        target: target.clone(),
        headers: headers(request_headers),
        received: SystemTime::UNIX_EPOCH,
        extensions: Extensions::new(),
    };
    let request_body = captured(request_body, kept);
    let side = |at: usize, status| -> Side {
        if flag(2) & (1 << at) == 0 {
            return Err(Failed {
                failure: Failure {
                    stage: Stage::Body,
                    cause: Cause::Body,
                },
                elapsed: Duration::MAX,
            });
        }
        Ok(Answer {
            status,
            headers: headers(answers[2 * at]),
            body: captured(answers[2 * at + 1], kept),
            first_byte: Duration::ZERO,
            elapsed: Duration::from_nanos(1),
        })
    };
    let (reference, candidate) = (side(0, StatusCode::OK), side(1, StatusCode::NOT_FOUND));
    let (outcome, differences) = match (&reference, &candidate) {
        (Ok(a), Ok(b)) => (Outcome::Different, differences(a, b, flag(3))),
        (Ok(_), Err(_)) => (Outcome::CandidateFailed(Cause::Body), Differences::none(0)),
        (Err(_), _) => (Outcome::ReferenceFailed(Cause::Body), Differences::none(0)),
    };
    let record = Record {
        id: Uuid::nil(),
        experiment: &experiment,
        request: &request,
        request_body: &request_body,
        params: &experiment.params(target.path()),
        reference: &reference,
        candidate: &candidate,
        outcome,
        differences: &differences,
    };
    let encode = |max| record.encode(max).expect("a record");

    let all = encode(usize::MAX);
    let read = check(&record, &all);
    let listed = read["differences"].as_array().map(Vec::len);
    assert_eq!(listed, Some(differences.list().len()));
    let least = encode(0);
    assert!(least.len() <= least_size(&record), "{} bytes", least.len());
    for max in [flag(4) * 64, all.len().saturating_sub(flag(5)), all.len()] {
        let line = encode(max);
        check(&record, &line);
        assert!(line.len() <= max || line == least);
        assert!(max < all.len() || line == all);
    }
});

fn experiment(path: &str) -> Experiment {
    let base: BaseUrl = "http://backend:1/v1".parse().expect("a base URL");
    let route = Route {
        name: "experiment".to_owned(),
        path: path.to_owned(),
        methods: None,
        key: None,
        reference: base.clone(),
        candidate: base,
        max_in_flight: None,
    };
    Experiment::new(0, &route)
}

fn captured(body: &[u8], max: usize) -> Captured {
    let limits = Limits {
        max_body: max,
        budget: Budget::new(usize::MAX),
    };
    let pieces = Pieces::new(Bytes::copy_from_slice(body), &[0xff], End::Plain);
    block_on(collect(pieces, &limits))
}

fn differences(a: &Answer, b: &Answer, max: usize) -> Differences {
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
    let bodies = match (&a.body.content, &b.body.content) {
        (Content::Whole(a), Content::Whole(b)) => Bodies::Whole(a, b),
        _ => Bodies::Hashed(hashed(&a.body), hashed(&b.body)),
    };
    compare(head(a), head(b), bodies, max)
}

/// What a record may hold that is cut as far as it can be.
fn least_size(record: &Record<'_>) -> usize {
    let headers = |headers: &HeaderMap| -> usize {
        // A name, and for each value an ellipsis or the mask; what is said of being cut is in the rest.
        headers
            .iter()
            .map(|(name, _)| name.as_str().len() + 16)
            .sum()
    };
    let of = |side: &Side| side.as_ref().map_or(0, |answer| headers(&answer.headers));
    // The target stands in it three times and once more as parameters, each byte escaped at worst.
    let target = 8 * record.request.target.as_str().len();
    let headers = headers(&record.request.headers) + of(record.reference) + of(record.candidate);
    2048 + target + headers
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
    for name in CREDENTIALS {
        let field = format!("request.headers.{name}");
        let is_masked = read["redacted"]
            .as_array()
            .expect("a list")
            .contains(&field.into());
        assert_eq!(
            is_masked,
            record.request.headers.contains_key(name),
            "{text}"
        );
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
            if path == "request" && CREDENTIALS.contains(&name.as_str()) {
                assert_eq!(value, "[redacted]");
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

    let (size, kept) = match cut("body") {
        Some(cut) => (cut["size"].as_u64(), cut["kept"].as_u64()),
        None => (Some(body.len), Some(body.len)),
    };
    assert_eq!(size, Some(body.len));
    let kept = usize::try_from(kept.expect("a number")).expect("a length");
    assert!(kept as u64 <= body.len && (cut("body").is_none() || (kept as u64) < body.len));
    match message["body"]["type"].as_str() {
        None => assert_eq!(body.len, 0),
        Some("json") => {
            let written = &tree.at(&format!("{pointer}/body/value"))[0];
            let original = Tree::read(body.content.bytes()).expect("JSON");
            assert_eq!(written.meaning(), original.meaning());
            assert_eq!(written.text, original.text.replace(['\n', '\r'], ""));
        }
        Some(_) => {
            let value = message["body"]["value"].as_str().expect("base64");
            let value = STANDARD.decode(value).expect("base64");
            assert_eq!(value, body.content.bytes()[..kept]);
        }
    }
}

fn sorted_names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names.into_iter()
}
