mod bodies;

use http::header::{AUTHORIZATION, ETAG, SET_COOKIE};
use proptest::prelude::*;

use super::*;
use crate::json::pattern::Segment;

/// Hides these headers, parameters and places.
pub(super) fn redaction(headers: &[&str], query: &[&str], body: &[&str]) -> Redaction {
    let globs = |texts: &[&str]| texts.iter().map(|text| Glob::new(*text)).collect();
    let settings = Redact {
        headers: globs(headers),
        query: globs(query),
        body: body
            .iter()
            .map(|text| text.parse().expect("a pattern"))
            .collect(),
    };
    Redaction::with_key(settings, b"a key")
}

fn parse(text: &str) -> Document<'_> {
    Document::parse(text.as_bytes()).expect("JSON")
}

/// A document with its masks, all of them alike.
fn masked(patterns: &[&str], text: &str) -> Option<Redacted> {
    redaction(&[], &[], patterns).json(&parse(text), Masks::Alike)
}

/// A whole value's mask.
fn mask_of(text: &str) -> String {
    let redaction = redaction(&[], &[], &[""]);
    let document = parse(text);
    redaction
        .show(document.root(), &mut redaction.tracker(Media::Json))
        .into_owned()
}

#[test]
fn headers_are_hidden_by_name_or_glob() {
    let redaction = redaction(&["Authorization", "*cookie"], &[], &[]);
    assert!(redaction.hides_header(&AUTHORIZATION) && redaction.hides_header(&SET_COOKIE));
    assert!(!redaction.hides_header(&ETAG));
    assert_eq!(redaction.header_value(&ETAG, b"\"x\xff\""), "\"x\u{fffd}\"");
    let mask = redaction.header_value(&SET_COOKIE, b"a=1");
    assert!(mask.starts_with("[redacted ") && mask.len() == "[redacted ]".len() + 16);
    assert_eq!(mask, redaction.header_value(&SET_COOKIE, b"a=1"));
    assert_ne!(mask, redaction.header_value(&SET_COOKIE, b"a=2"));
}

#[test]
fn a_targets_hidden_parameters_are_masked_and_nothing_else() {
    let redaction = redaction(&[], &["token", "*secret*"], &[]);
    for (target, shown) in [
        ("/a?token=1&b=%zz&c", "/a?token=[redacted]&b=%zz&c"),
        ("/token=1?TOKEN=1", "/token=1?TOKEN=[redacted]"),
        ("/?a=1?my%2Dsecret-x=%", "/?a=1?my%2Dsecret-x=[redacted]"),
        ("?&&token=é&=", "?&&token=[redacted]&="),
        ("/a?b=token", "/a?b=token"),
        ("/token=1", "/token=1"),
        ("", ""),
    ] {
        assert_eq!(redaction.target(target), shown);
    }
}

#[test]
fn urls_in_any_header_are_looked_into() {
    let redaction = redaction(&[], &["token"], &[]);
    for (name, value, shown) in [
        ("location", "/b?token=1&a=2", "/b?token=[redacted]&a=2"),
        ("x-original-url", "/b?token=1", "/b?token=[redacted]"),
        ("link", "</b?token=1>; rel=next", "</b?token=[redacted]"),
        ("refresh", "0; url=/b#token=1", "0; url=/b#token=[redacted]"),
        ("etag", "token=1", "token=1"),
    ] {
        let name = HeaderName::from_static(name);
        let header = redaction.header(&name, value.as_bytes(), Masks::Alike);
        assert_eq!(header.text, shown);
    }
}

#[test]
fn hidden_values_are_cut_out_of_a_document() {
    for (pattern, text, expected, places) in [
        (
            "/a/b",
            r#" { "a" : {"b": [1, 2], "c": 1.50} }"#,
            r#"{ "a" : {"b": "[redacted]", "c": 1.50} }"#,
            vec!["/a/b"],
        ),
        (
            "/**/n",
            r#"[{"n":1},{"x":{"n":{"n":2}}}]"#,
            r#"[{"n":"[redacted]"},{"x":{"n":"[redacted]"}}]"#,
            vec!["/0/n", "/1/x/n"],
        ),
        (
            "/n",
            r#"{"n":1,"\u006e":2}"#,
            r#"{"n":"[redacted]","\u006e":"[redacted]"}"#,
            vec!["/n", "/n"],
        ),
        (
            "/*",
            r#"{"a/b":null,"":[]}"#,
            r#"{"a/b":"[redacted]","":"[redacted]"}"#,
            vec!["/a~1b", "/"],
        ),
        ("", "true", "\"[redacted]\"", vec![""]),
    ] {
        let redacted = masked(&[pattern], text).expect("something hidden");
        assert_eq!(redacted.text, expected);
        assert_eq!(redacted.places, places);
    }
    assert_eq!(masked(&["/a/b"], r#"{"a":1,"b":2}"#), None);
    assert_eq!(masked(&[], r#"{"a":1}"#), None);
}

#[test]
fn a_long_key_is_not_kept_for_each_value_within() {
    let key = "é".repeat(50_000);
    let text = format!("{{\"{key}\":[{}0]}}", "0,".repeat(50_000));
    let redacted = masked(&["/*/*"], &text).expect("something hidden");
    assert_eq!(redacted.text.matches("redacted").count(), 50_001);
    assert_eq!(redacted.places.len(), MAX_PLACES);
    assert!(redacted.places.iter().all(|place| place.len() <= 512));
}

#[test]
fn a_mask_depends_on_the_value_and_not_on_how_it_is_written() {
    for (a, b) in [
        ("1.50", "15e-1"),
        (r#""A\n""#, r#""\u0041\u000a""#),
        (r#"{"a":1,"b":[2]}"#, r#" { "b" : [ 2 ], "\u0061" : 1 }"#),
    ] {
        assert_eq!(mask_of(a), mask_of(b), "{a} {b}");
    }
    for (a, b) in [
        ("1", "\"1\""),
        ("1", "1.0"),
        ("null", "\"null\""),
        ("[[],1]", "[[1]]"),
        (r#"["a","b"]"#, r#"["ab"]"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
        ("[]", "{}"),
    ] {
        assert_ne!(mask_of(a), mask_of(b), "{a} {b}");
    }
}

#[test]
fn masks_of_another_process_are_others() {
    let new = || Redaction::new(Redact::default()).expect("random numbers");
    assert_ne!(new().mask(b"a"), new().mask(b"a"));
}

#[test]
fn a_value_is_shown_by_where_it_stands() {
    let redaction = redaction(&[], &[], &["/a/b"]);
    let document = parse(r#"{"a": {"b": {"c": 1}, "d": 2}}"#);
    let mut tracker = redaction.tracker(Media::Json);
    let root = document.root();
    let within = redaction.show(root, &mut tracker).into_owned();
    assert!(
        within.starts_with(r#"{"a": {"b": "[redacted "#) && within.ends_with(r#"]", "d": 2}}"#)
    );
    let (_, a) = root.members().next().expect("a member");
    tracker.enter(Segment::Key("a"));
    assert_eq!(
        within,
        format!(r#"{{"a": {}}}"#, redaction.show(a, &mut tracker))
    );
    let values: Vec<_> = a.members().map(|(_, value)| value).collect();
    tracker.enter(Segment::Key("b"));
    assert!(
        redaction
            .show(values[0], &mut tracker)
            .starts_with("\"[redacted ")
    );
    tracker.enter(Segment::Key("c"));
    let (_, below) = values[0].members().next().expect("a member");
    assert!(
        redaction
            .show(below, &mut tracker)
            .starts_with("\"[redacted ")
    );
    tracker.leave();
    tracker.leave();
    tracker.enter(Segment::Key("d"));
    assert_eq!(redaction.show(values[1], &mut tracker), "2");
}

/// A document as text, and the same one with masks for all values of the key "hidden". Only those hold
/// the secret.
fn document() -> impl Strategy<Value = (String, String)> {
    let plain = prop::sample::select(vec![
        "1",
        "1.50",
        "\"a \\u0041\"",
        "null",
        "[]",
        "{ }",
        "\"\"",
    ]);
    let leaf = plain.prop_map(|text| (text.to_owned(), text.to_owned()));
    leaf.prop_recursive(5, 40, 4, |inner| {
        let key = prop::sample::select(vec!["a", "b c", "hidden", "\\u0068idden", "hiddenX", ""]);
        let secret = prop::sample::select(vec![
            r#""top-secret""#,
            r#"{"x":["top-secret"]}"#,
            r#"{"hidden":"top-secret"}"#,
            r#"["top-secret\n"]"#,
        ]);
        let member = (key, secret, inner.clone()).prop_map(|(key, secret, (text, masked))| {
            if key.ends_with("idden") {
                (
                    format!("\"{key}\" : {secret}"),
                    format!("\"{key}\" : \"[redacted]\""),
                )
            } else {
                (
                    format!("\"{key}\" : {text}"),
                    format!("\"{key}\" : {masked}"),
                )
            }
        });
        let joined = |open: &'static str, close: &'static str| {
            move |parts: Vec<(String, String)>| {
                let (texts, masked): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
                let join = |parts: Vec<String>| format!("{open} {} {close}", parts.join(" ,\n"));
                (join(texts), join(masked))
            }
        };
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(joined("[", "]")),
            prop::collection::vec(member, 0..4).prop_map(joined("{", "}")),
        ]
    })
}

proptest! {
    #[test]
    fn a_secret_never_appears_and_all_else_stays_as_it_is((text, expected) in document()) {
        let redacted = masked(&["/**/hidden"], &text);
        let found = redacted.as_ref().map_or(text.as_str(), |redacted| redacted.text.as_str());
        prop_assert_eq!(found, expected);
        prop_assert!(!found.contains("secret"));
        prop_assert!(Document::parse(found.as_bytes()).is_some());
        let masks = found.matches("[redacted]").count();
        prop_assert_eq!(redacted.map_or(0, |redacted| redacted.places.len()), masks);
    }

    #[test]
    fn any_target_is_masked_without_a_panic(target in "[a=&;?#%+0-9tokenT]{0,40}") {
        let redaction = redaction(&[], &["token"], &[]);
        let shown = redaction.target(&target);
        let (path, _) = target.split_once('?').unwrap_or((&target, ""));
        prop_assert!(shown.starts_with(path));
        // Every part but for its value is still there.
        let parts = shown.split('&').zip(target.split('&'));
        for (shown, part) in parts {
            match shown.strip_suffix("[redacted]") {
                Some(start) => prop_assert!(part.starts_with(start)),
                None => prop_assert_eq!(shown, part),
            }
        }
    }
}

#[test]
fn a_place_in_lines_and_events_is_shown_as_a_mask() {
    let redaction = redaction(&[], &[], &["/a/b"]);
    let shown = |media, text| {
        let document = parse(text);
        let shown = redaction.show(document.root(), &mut redaction.tracker(media));
        shown.matches("[redacted").count()
    };
    let lines = r#"[{"a":{"b":1}},{"a":{"b":2}}]"#;
    assert_eq!(shown(Media::JsonLines, lines), 2);
    assert_eq!(shown(Media::Json, lines), 0);
    assert_eq!(
        shown(Media::Events, r#"[{"data":{"a":{"b":1}}},{"a":{"b":2}}]"#),
        2
    );
}

#[test]
fn what_is_found_elsewhere_is_masked_by_its_path() {
    let settings = Redact {
        body: vec![
            "/user/+5".parse().expect("a pattern"),
            "/id/5".parse().expect("a pattern"),
        ],
        ..Redact::default()
    };
    let redaction = Redaction::with_key(settings, b"a key");
    let shown = |path: &str, text: &str| {
        let found = redaction.found(path, text, Media::Json);
        found == text
    };
    assert!(shown("status", "200"));
    assert!(shown("/user/5", "1"));
    assert!(shown("/user", r#"{"5":1}"#));
    for (path, text) in [
        ("/user/+5", "1"),
        ("/user/+5/below", "1"),
        ("/user", r#"{"+5":1}"#),
        ("/id/5", "1"),
        ("elsewhere", "1"),
        ("/~", "1"),
        ("header:x", "[1]"),
        ("header:no name", "\"1\""),
    ] {
        assert!(!shown(path, text), "{path}");
    }
}
