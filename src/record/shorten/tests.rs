use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SCHEMA: &str = include_str!("../../../docs/record.schema.json");

/// A message's headers and body, each as it is written, and how many bytes its body had if not all are there.
type Parts = (String, String, Option<usize>);

fn text(body: &str) -> String {
    let value = STANDARD.encode(body);
    format!(r#"{{"type":"bytes","value":"{value}"}}"#)
}

fn json_body(body: &str) -> String {
    format!(r#"{{"type":"json","value":{body}}}"#)
}

fn plain(body: String) -> Parts {
    ("{}".to_owned(), body, None)
}

/// A record of these messages: a request and two responses.
fn record(messages: &[Parts; 3], differences: usize, more: &str) -> String {
    let [request, reference, candidate] = messages;
    let difference = |n| {
        format!(r#"{{"path":"/{n}","kind":"changed","reference":1.50,"fingerprint":"{n:016x}"}}"#)
    };
    let differences: Vec<_> = (0..differences).map(difference).collect();
    let fingerprints: Vec<_> = (0..differences.len().min(100))
        .map(|n| format!(r#""{n:016x}""#))
        .collect();
    let names = ["request", "reference.response", "candidate.response"];
    let over = messages.iter().zip(names);
    let over = over.filter_map(|((_, body, size), name)| {
        let size = (*size)?;
        let kept = bytes(body).len();
        Some(format!(
            r#"{{"field":"{name}.body","size":{size},"kept":{kept}}}"#
        ))
    });
    let over: Vec<_> = over.collect();
    format!(
        concat!(
            r#"{{"id":"01a1fdd2-d8c1-7005-b5b7-a1b8f61e86fe","timestamp":"2026-11-21T11:16:56.128Z","#,
            r#""experiment":"x","outcome":"different",{}"request":{{"method":"GET","uri":"/x","route":"/x","#,
            r#""params":{{}},"headers":{},"body":{}}},"reference":{{"url":"http://a/x","response":"#,
            r#"{{"status":200,"headers":{},"body":{}}},"elapsed_ms":1.0}},"candidate":{{"name":"c","#,
            r#""url":"http://b/x","response":{{"status":200,"headers":{},"body":{}}},"elapsed_ms":2.50}},"#,
            r#""differences":[{}],"differences_total":{},"fingerprints":[{}],"notes":["a","b"],"#,
            r#""redacted":[],"truncated":[{}]}}"#
        ),
        more,
        request.0,
        request.1,
        reference.0,
        reference.1,
        candidate.0,
        candidate.1,
        differences.join(","),
        differences.len() + 1,
        fingerprints.join(","),
        over.join(",")
    )
}

/// What a body, as it is written, stands for.
fn bytes(body: &str) -> Vec<u8> {
    let Ok(form) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(body) else {
        return Vec::new();
    };
    let value = form["value"].get();
    match form["type"].get() {
        r#""json""# => value.as_bytes().to_vec(),
        _ => STANDARD.decode(value.trim_matches('"')).expect("base64"),
    }
}

fn fields(object: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(object).expect("JSON")
}

/// A record's entry for a field.
fn entry(record: &str, field: &str) -> Option<(u64, u64)> {
    let record: Value = serde_json::from_str(record).expect("JSON");
    let cuts = record["truncated"].as_array().expect("a list");
    let mut of_field = cuts.iter().filter(|cut| cut["field"] == field);
    let cut = of_field.next()?;
    assert!(of_field.next().is_none(), "one for each field");
    Some((
        cut["size"].as_u64().expect("a number"),
        cut["kept"].as_u64().expect("a number"),
    ))
}

fn strings(headers: &str) -> Vec<String> {
    let headers = fields(headers).into_values();
    let headers =
        headers.flat_map(
            |value| match serde_json::from_str(value.get()).expect("JSON") {
                Value::Array(values) => values,
                value => vec![value],
            },
        );
    headers
        .map(|value| value.as_str().expect("text").to_owned())
        .collect()
}

/// That one is the other, but for what it says is cut.
fn check(whole: &str, short: &str) {
    assert!(!short.contains(['\n', '\r']));
    let (old, new) = (fields(whole), fields(short));
    assert!(old.keys().eq(new.keys()));
    for (name, old) in &old {
        let (old, new) = (old.get(), new[name].get());
        match name.as_str() {
            "request" => check_message(whole, short, name, [old, new]),
            "reference" | "candidate" => {
                let [old, new] = [old, new].map(fields);
                for (part, old) in &old {
                    if part != "response" {
                        assert_eq!(old.get(), new[part].get());
                    }
                }
                let responses = [old["response"].get(), new["response"].get()];
                check_message(whole, short, &format!("{name}.response"), responses);
            }
            "differences" | "fingerprints" | "notes" | "redacted" => {
                assert!(old.starts_with(new.trim_end_matches(']')), "{new} of {old}");
            }
            "truncated" => {}
            _ => assert_eq!(old, new),
        }
    }
}

fn check_message(whole: &str, short: &str, path: &str, [old, new]: [&str; 2]) {
    let [old, new] = [old, new].map(fields);
    assert!(old.keys().eq(new.keys()));
    for (name, old) in &old {
        let (old, new) = (old.get(), new[name].get());
        let field = format!("{path}.{name}");
        let (before, after) = (entry(whole, &field), entry(short, &field));
        if before == after {
            assert_eq!(old, new, "{field}");
            continue;
        }
        let (size, kept) = after.expect("what is cut stays so");
        let counted = |text: &str, is_cut: bool| {
            text.strip_suffix(MARK)
                .filter(|_| is_cut)
                .unwrap_or(text)
                .len() as u64
        };
        let all = if name == "headers" {
            let (old, new) = (strings(old), strings(new));
            assert_eq!(old.len(), new.len());
            for (old, new) in old.iter().zip(&new) {
                assert!(old == new || old.starts_with(new.strip_suffix(MARK).expect("a mark")));
            }
            let there: u64 = new.iter().map(|text| counted(text, true)).sum();
            assert_eq!(kept, there, "{new:?}");
            old.iter().map(|text| counted(text, before.is_some())).sum()
        } else {
            assert!(new.contains(r#""type":"bytes""#));
            let (old, new) = (bytes(old), bytes(new));
            assert!(old.starts_with(&new));
            assert_eq!(kept, new.len() as u64);
            old.len() as u64
        };
        assert_eq!(size, before.map_or(all, |(size, _)| size), "{field}");
        assert!(kept < before.map_or(size, |(_, kept)| kept));
    }
}

fn shortened(line: &str, max: usize) -> Option<String> {
    let short = shorten(line.as_bytes(), max)?;
    Some(String::from_utf8(short).expect("UTF-8"))
}

#[test]
fn large_bodies_are_levelled_and_small_ones_stay_whole() {
    let small = json_body(r#"{"a":1.50}"#);
    let messages = [
        plain(small.clone()),
        plain(json_body(&format!("[{}1]", "1, ".repeat(5000)))),
        plain(text(&"x".repeat(9000))),
    ];
    let line = record(&messages, 50, "");
    let short = shortened(&line, 12_000).expect("a record");
    check(&line, &short);
    assert!(short.contains(&small));
    assert!(
        short.len() > 11_990,
        "no more is cut than needed: {}",
        short.len()
    );
    let (size, kept) = entry(&short, "reference.response.body").expect("an entry");
    assert_eq!(size, 15_003);
    assert_eq!(entry(&short, "candidate.response.body"), Some((9000, kept)));
    assert_eq!(
        fields(&short)["differences"].get(),
        fields(&line)["differences"].get()
    );
}

#[test]
fn a_larger_body_gives_way_alone_as_long_as_that_is_enough() {
    let middle = text(&"y".repeat(3000));
    let messages = [
        plain(middle.clone()),
        plain("null".to_owned()),
        plain(text(&"x".repeat(9000))),
    ];
    let line = record(&messages, 1, "");
    let short = shortened(&line, line.len() - 5000).expect("a record");
    check(&line, &short);
    assert!(short.contains(&middle));
    assert!(
        entry(&short, "candidate.response.body")
            .expect("an entry")
            .1
            > 3000
    );
}

#[test]
fn a_body_that_was_not_kept_whole_keeps_its_size() {
    let body = ("{}".to_owned(), text(&"x".repeat(3000)), Some(1_000_000));
    let line = record(
        &[plain("null".to_owned()), body, plain("null".to_owned())],
        1,
        "",
    );
    let short = shortened(&line, line.len() - 2000).expect("a record");
    check(&line, &short);
    let (size, kept) = entry(&short, "reference.response.body").expect("an entry");
    assert_eq!(size, 1_000_000);
    assert!(kept < 3000);
}

#[test]
fn differences_then_headers_give_way_when_bodies_are_gone() {
    let headers = format!(
        r#"{{"a":"{}","b":["c","d"]}}"#,
        r"\u0001\u00e9\ud83d\ude00\\".repeat(200)
    );
    let with_headers = |body: &str| (headers.clone(), text(body), None);
    let line = record(
        &[
            with_headers("x"),
            with_headers(&"y".repeat(100)),
            with_headers("z"),
        ],
        100,
        "",
    );
    let counts = |short: &str| {
        let differences: Vec<Value> =
            serde_json::from_str(fields(short)["differences"].get()).expect("JSON");
        (differences.len(), entry(short, "request.headers"))
    };
    let mut seen = Vec::new();
    for max in (1000..line.len()).step_by(397) {
        let Some(short) = shortened(&line, max) else {
            continue;
        };
        check(&line, &short);
        seen.push(counts(&short));
    }
    let is_later = |pair: &[(usize, Option<(u64, u64)>)]| {
        let kept = |cut: Option<(u64, u64)>| cut.map_or(u64::MAX, |(_, kept)| kept);
        pair[0].0 <= pair[1].0 && kept(pair[0].1) <= kept(pair[1].1)
    };
    assert!(seen.windows(2).all(is_later), "{seen:?}");
    let least = cut(line.as_bytes(), 0).expect("a record");
    assert_eq!(counts(std::str::from_utf8(&least).expect("UTF-8")).0, 0);
    assert!(
        seen.iter()
            .any(|(differences, cut)| *differences > 10 && cut.is_none())
    );
    assert!(
        seen.iter()
            .any(|(differences, cut)| *differences == 10 && cut.is_some())
    );
}

#[test]
fn what_other_versions_write_stays_as_it_is() {
    let more = r#""future": {"body" : [1.50, "é"]},"#;
    let body = r#"{"type":"xml","value":"<a/>","more":[1]}"#.to_owned();
    let line = record(
        &[
            plain(body.clone()),
            plain(text(&"x".repeat(500))),
            plain("null".to_owned()),
        ],
        1,
        more,
    );
    let cut = r#"{"field":"future","by": "x"}"#;
    let line = line.replace(r#""truncated":[]"#, &format!(r#""truncated": [ {cut} ]"#));
    let short = shortened(&line, line.len() - 300).expect("a record");
    assert!(short.contains(more) && short.contains(&body));
    assert!(short.ends_with(&format!(",{cut}]}}")), "{short}");
}

#[test]
fn what_is_no_record_is_not_cut() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
    for line in ["x".repeat(100), "[".repeat(100), long] {
        assert_eq!(shorten(line.as_bytes(), 50), None);
        assert_eq!(
            shorten(line.as_bytes(), 200).as_deref(),
            Some(line.as_bytes())
        );
    }
    let halved = record(
        &[const { String::new() }; 3].map(|_| plain("null".to_owned())),
        1,
        "",
    );
    assert_eq!(shorten(&halved.as_bytes()[..500], 400), None);
}

#[test]
fn a_side_that_failed_has_nothing_to_cut() {
    let line = record(
        &[
            plain(text(&"x".repeat(500))),
            plain("null".to_owned()),
            plain("null".to_owned()),
        ],
        0,
        "",
    );
    let line = line.replace(
        r#"{"status":200,"headers":{},"body":null}"#,
        r#"{"error":"request"}"#,
    );
    let short = shortened(&line, line.len() - 100).expect("a record");
    check(&line, &short);
    assert!(entry(&short, "request.body").is_some());
}

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).expect("JSON")).expect("a schema")
});

/// No text ends as one that was cut: which of them was can't be told later.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c\"\\\\\u{1}\n…é\u{1F600}]{0,40}",
        "[ -~]{0,300}",
        "\u{1}{0,200}",
    ]
    .prop_filter("a mark", |text| !text.ends_with(MARK))
}

fn any_headers() -> impl Strategy<Value = String> {
    let values = prop_oneof![
        any_text().prop_map(Value::from),
        prop::collection::vec(any_text(), 2..4).prop_map(Value::from),
    ];
    let headers = prop::collection::btree_map("[a-z]{1,8}", values, 0..5);
    headers.prop_map(|headers| json!(headers).to_string())
}

fn any_message() -> impl Strategy<Value = Parts> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..600);
    let written =
        |bytes: &[u8]| format!(r#"{{"type":"bytes","value":"{}"}}"#, STANDARD.encode(bytes));
    let body = prop_oneof![
        Just(("null".to_owned(), None)),
        any_text().prop_map(|text| (json_body(&Value::from(text).to_string()), None)),
        prop::collection::vec(any::<f64>(), 0..50)
            .prop_map(|list| (json_body(&json!(list).to_string()), None)),
        bytes().prop_map(move |bytes| (written(&bytes), None)),
        (bytes(), 1..10_000_usize)
            .prop_map(move |(bytes, more)| { (written(&bytes), Some(bytes.len() + more)) }),
    ];
    (any_headers(), body).prop_map(|(headers, (body, size))| (headers, body, size))
}

fn any_record() -> impl Strategy<Value = String> {
    let messages = [any_message(), any_message(), any_message()];
    (messages, 0..120_usize).prop_map(|(messages, differences)| record(&messages, differences, ""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_fits_and_says_what_is_cut(line in any_record(), share in 0.0..1.1) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let max = (line.len() as f64 * share) as usize;
        let least = cut(line.as_bytes(), 0).expect("a record");
        match shortened(&line, max) {
            Some(short) => {
                prop_assert!(short.len() <= max);
                prop_assert!(max < line.len() || short == line);
                check(&line, &short);
                let errors: Vec<_> = VALIDATOR.iter_errors(&serde_json::from_str(&short).expect("JSON"))
                    .map(|error| error.to_string()).collect();
                prop_assert!(errors.is_empty(), "{errors:?}");
            }
            None => prop_assert!(max < least.len()),
        }
    }

    #[test]
    fn in_how_many_turns_it_is_cut_makes_no_difference(line in any_record(), shares in [0.0..1.0, 0.0..1.0]) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let [a, b] = shares.map(|share: f64| (line.len() as f64 * share) as usize);
        let (more, less) = (a.max(b), a.min(b));
        let Some(once) = shortened(&line, more) else {
            return Ok(());
        };
        prop_assert_eq!(shortened(&once, more), Some(once.clone()));
        let twice = shortened(&once, less);
        prop_assert_eq!(&twice, &shortened(&line, less));
        if let Some(twice) = twice {
            check(&once, &twice);
        }
    }
}
