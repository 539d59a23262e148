//! What might be called equal and is not, and the other way round.

use http::header::CONTENT_ENCODING;

use super::*;
use crate::config::Redact;

fn arrays(mode: &str) -> Action {
    Action::Arrays(mode.parse().expect("a mode"))
}

fn tolerance(text: &str) -> Action {
    Action::Tolerance(text.parse().expect("a tolerance"))
}

fn like(text: &str) -> Action {
    Action::Values(text.parse().expect("a pattern"))
}

fn fold(text: &str) -> Action {
    Action::Text(text.parse().expect("a way to fold"))
}

/// The differences by these rules, a path and a kind each.
fn found(rules: &[(&str, Action)], a: &str, b: &str) -> Vec<String> {
    let comparison = by_rules(rules, a, b);
    let list = comparison.differences.list().iter();
    list.map(|it| format!("{} {}", it.path, it.kind.name()))
        .collect()
}

/// The same of two bodies with these headers.
fn of_bodies(a: (&HeaderMap, &[u8]), b: (&HeaderMap, &[u8])) -> Vec<(String, String)> {
    let rules = Rules {
        headers: Headers::default(),
        ..Rules::default()
    };
    let head = |headers| Head {
        status: StatusCode::OK,
        headers,
    };
    let body_a = Body::new(a.0, a.1, rules.limits);
    let body_b = Body::new(b.0, b.1, rules.limits);
    let bodies = Bodies::Whole(&body_a, &body_b);
    let (head_a, head_b) = (head(a.0), head(b.0));
    let compared = compare(head_a, head_b, bodies, &rules, None, &Redaction::nothing());
    let shown = |value: &Option<Shown>| value.as_ref().map_or("", Shown::as_json).to_owned();
    let list = compared.differences.list().iter();
    list.map(|it| (shown(&it.reference), shown(&it.candidate)))
        .collect()
}

#[test]
fn a_rule_is_not_widened_by_a_later_one_of_its_kind() {
    let strict = [("/a", tolerance("0.1")), ("/**", tolerance("10"))];
    assert_eq!(
        found(&strict, r#"{"a":1.5}"#, r#"{"a":2.5}"#),
        ["/a changed"]
    );
    let strict = [("/a", fold("exact")), ("/**", fold("case"))];
    assert_eq!(
        found(&strict, r#"{"a":"x"}"#, r#"{"a":"X"}"#),
        ["/a changed"]
    );
    assert_eq!(found(&strict, r#"{"b":"x"}"#, r#"{"b":"X"}"#), [""; 0]);
    let strict = [("/a", like("/[0-9]/")), ("/**", like("/.*/"))];
    assert_eq!(
        found(&strict, r#"{"a":"x"}"#, r#"{"a":"y"}"#),
        ["/a changed"]
    );
    let order = [("/a", arrays("order")), ("/**", arrays("set"))];
    let comparison = by_rules(&order, r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#);
    assert_eq!(comparison.differences.total(), 1);
    assert_eq!(comparison.hits, [1, 0]);
}

#[test]
fn items_without_a_key_keep_their_place_too() {
    let (a, b) = (r#"[{"id":1},{"x":1}]"#, r#"[{"x":1},{"id":1}]"#);
    assert_eq!(found(&[("", arrays("key:id"))], a, b), [" reordered"]);
    assert_eq!(found(&[("", arrays("set:id"))], a, b), [""; 0]);
}

#[test]
fn items_of_a_set_that_have_no_key_are_the_same_in_any_order() {
    let set = [("", arrays("set:id"))];
    let (a, b) = (r#"[null,1,{"id":1},"a"]"#, r#"["a",{"id":1},1,null]"#);
    assert_eq!(found(&set, a, b), [""; 0]);
    assert_eq!(
        found(&set, "[1,1,2]", "[2,2,1]"),
        ["/1 missing", "/1 unexpected"]
    );
}

#[test]
fn items_of_a_set_may_differ_as_rules_say() {
    let set = ("", arrays("set"));
    let near = [set.clone(), ("/*", tolerance("0.02"))];
    assert_eq!(found(&near, "[1.0,5.0,3.0]", "[5.01,3.0,1.01]"), [""; 0]);
    assert_eq!(found(&near, "[1.0,5.0]", "[5.1,1.01]"), ["/1 changed"]);
    let prices = [set.clone(), ("/*/p", tolerance("0.02"))];
    let (a, b) = (r#"[{"p":1.00},{"p":2.00}]"#, r#"[{"p":2.01},{"p":1.01}]"#);
    assert_eq!(found(&prices, a, b), [""; 0]);
    let versions = [set, ("/*", like("/[0-9]+/"))];
    assert_eq!(
        found(&versions, r#"["a1","b2"]"#, r#"["b3","a4"]"#),
        [""; 0]
    );
}

#[test]
fn what_moved_is_told_where_it_stood() {
    let near = [("/*/p", tolerance("1"))];
    let a = r#"[{"i":1,"p":1},{"i":2,"p":1},{"i":3,"p":1}]"#;
    let b = r#"[{"i":3,"p":9},{"i":1,"p":1},{"i":2,"p":9}]"#;
    let expected = [" reordered", "/1/p changed", "/2/p changed"];
    assert_eq!(found(&near, a, b), expected);
    // The same at most places, and so compared place by place.
    let fill = ",7".repeat(30);
    let text = |start: &str, end: &str| format!("[{start}{fill},{end}]");
    let (a, b) = (
        text(r#"1,{"p":1},2"#, r#"{"p":2},3"#),
        text(r#"2,{"p":9},1"#, r#"{"p":9},4"#),
    );
    let expected = [" reordered", "/1/p changed", "/33/p changed", "/34 changed"];
    assert_eq!(found(&[("/*/p", tolerance("1"))], &a, &b), expected);
}

#[test]
fn a_long_list_without_another_order_is_not_called_reordered() {
    let a: Vec<String> = (0..5000).map(|it| it.to_string()).collect();
    let b = (0..5000).map(|it| match it % 7 {
        0 | 3 => format!("\"{it}\""),
        5 => format!("{it},true"),
        _ => it.to_string(),
    });
    let (a, b) = (a.join(","), b.collect::<Vec<_>>().join(","));
    let found = found(&[], &format!("[{a}]"), &format!("[{b}]"));
    assert!(!found.iter().any(|it| it.ends_with("reordered")));
}

#[test]
fn nothing_in_a_coding_is_nothing() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    for content_type in [JSON, TEXT, BYTES] {
        let plain = headers(content_type);
        let mut coded = plain.clone();
        coded.insert(CONTENT_ENCODING, "gzip".parse().expect("a value"));
        assert_eq!(of_bodies((&plain, b""), (&coded, gzip)), []);
    }
}

#[test]
fn json_and_lines_of_json_have_two_names() {
    let (json, lines) = (headers(JSON), headers("application/x-ndjson"));
    let names = ("\"json\"".to_owned(), "\"json_lines\"".to_owned());
    assert_eq!(of_bodies((&json, b"[1]"), (&lines, b"1\n")), [names]);
}

#[test]
fn the_same_bytes_are_not_equal_where_only_one_side_can_be_read() {
    let (utf_8, latin) = (headers(TEXT), headers("text/plain; charset=iso-8859-1"));
    let names = ("\"bytes\"".to_owned(), "\"text\"".to_owned());
    assert_eq!(of_bodies((&utf_8, b"\xe9"), (&latin, b"\xe9")), [names]);
    assert_eq!(of_bodies((&utf_8, b"e"), (&latin, b"e")), []);
}

#[test]
fn the_same_hash_is_not_equal_in_another_charset() {
    let hashed = Hashed { len: 5, digest: 1 };
    let rules = Rules {
        headers: Headers::default(),
        ..Rules::default()
    };
    let total = |a: &str, b: &str| {
        let (a, b) = (headers(a), headers(b));
        let head = |headers| Head {
            status: StatusCode::OK,
            headers,
        };
        let bodies = Bodies::Hashed(hashed, hashed);
        let nothing = Redaction::nothing();
        let compared = compare(head(&a), head(&b), bodies, &rules, None, &nothing);
        compared.differences.total()
    };
    assert_eq!(total("text/html; charset=latin1", "text/html"), 1);
    assert_eq!(total("text/html; charset=UTF-8", "text/html"), 0);
    assert_eq!(total("image/png; charset=latin1", "image/png"), 0);
}

#[test]
fn what_is_hidden_at_an_index_is_so_on_both_sides() {
    let redact = Redact {
        body: vec!["/0/s".parse().expect("a pattern")],
        ..Redact::default()
    };
    let redaction = Redaction::with_key(redact, b"key");
    let headers = headers(JSON);
    let rules = Rules::default();
    let body = |text: &'static str| Body::new(&headers, text.as_bytes(), rules.limits);
    let a = body(r#"[{"i":0},{"i":1,"s":"public"}]"#);
    let b = body(r#"[{"i":1,"s":"secret"}]"#);
    let head = Head {
        status: StatusCode::OK,
        headers: &headers,
    };
    let bodies = Bodies::Whole(&a, &b);
    let found = compare(head, head, bodies, &rules, None, &redaction).differences;
    assert!(found.total() > 0);
    let text = format!("{:?}", found.list());
    assert!(!text.contains("secret"), "{text}");
}
