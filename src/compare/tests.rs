use http::header::CONTENT_TYPE;
use proptest::prelude::*;

use super::*;
use crate::config::Redact;
use crate::json::Document;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const BYTES: &str = "image/png";

fn headers(content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().expect("a header value"));
    headers
}

fn of_types(a: (&str, &[u8]), b: (&str, &[u8])) -> Differences {
    let (headers_a, headers_b) = (headers(a.0), headers(b.0));
    let head = |headers| Head {
        status: StatusCode::OK,
        headers,
    };
    let rules = Rules {
        headers: Headers::default(),
        ..Rules::default()
    };
    let body = |headers, bytes| Body::new(headers, bytes, rules.limits);
    let (body_a, body_b) = (body(&headers_a, a.1), body(&headers_b, b.1));
    let bodies = Bodies::Whole(&body_a, &body_b);
    let (head_a, head_b) = (head(&headers_a), head(&headers_b));
    compare(head_a, head_b, bodies, &rules, None, &nothing_hidden()).differences
}

fn nothing_hidden() -> Redaction {
    Redaction::with_key(Redact::default(), b"")
}

fn json(a: &str, b: &str) -> Vec<(String, &'static str, String, String)> {
    let differences = of_types((JSON, a.as_bytes()), (JSON, b.as_bytes()));
    let shown = |value: &Option<Shown>| value.as_ref().map_or("", Shown::as_json).to_owned();
    differences
        .list()
        .iter()
        .map(|d| {
            (
                d.path.clone(),
                d.kind.name(),
                shown(&d.reference),
                shown(&d.candidate),
            )
        })
        .collect()
}

fn row(path: &str, kind: &'static str, a: &str, b: &str) -> (String, &'static str, String, String) {
    (path.to_owned(), kind, a.to_owned(), b.to_owned())
}

#[test]
fn order_of_keys_white_space_and_spelling_make_no_difference() {
    assert_eq!(
        json(
            r#"{"a":1,"b":[1.50,"A"]}"#,
            "{ \"b\": [1.5, \"\\u0041\"],\n \"a\": 1 }"
        ),
        []
    );
}

#[test]
fn each_difference_says_where_of_what_kind_and_both_values() {
    let a = r#"{"id":9007199254740993,"n":{"x":1,"gone":null},"list":[1,2,3],"t":"1","a/b":1}"#;
    let b = r#"{"n":{"x":2},"list":[1,5],"t":1,"a/b":2,"id":9007199254740992,"new":[]}"#;
    assert_eq!(
        json(a, b),
        [
            row("/id", "changed", "9007199254740993", "9007199254740992"),
            row("/n/x", "changed", "1", "2"),
            row("/n/gone", "missing", "null", ""),
            row("/list/1", "changed", "2", "5"),
            row("/list/2", "missing", "3", ""),
            row("/t", "type_changed", "\"1\"", "1"),
            row("/a~1b", "changed", "1", "2"),
            row("/new", "unexpected", "", "[]"),
        ]
    );
}

#[test]
fn a_repeated_key_is_not_lost() {
    assert_eq!(
        json(r#"{"a":1,"a":2}"#, r#"{"a":1,"a":3}"#),
        [row("/a", "changed", "2", "3")]
    );
    assert_eq!(
        json(r#"{"a":1,"a":2}"#, r#"{"a":1}"#),
        [row("/a", "missing", "2", "")]
    );
    assert_eq!(json(r#"{"b":0,"a":1,"a":2}"#, r#"{"a":1,"b":0,"a":2}"#), []);
}

#[test]
fn an_integer_is_no_fraction() {
    assert_eq!(json("1", "1.0"), [row("", "changed", "1", "1.0")]);
}

#[test]
fn what_is_not_json_on_both_sides_is_compared_as_text_or_bytes() {
    let kinds = |a: (&str, &[u8]), b: (&str, &[u8])| {
        let differences = of_types(a, b);
        let of = |d: &Difference| (d.kind.name(), d.offset, d.line);
        assert!(differences.list().iter().all(|d| d.path == "body"));
        differences.list().iter().map(of).collect::<Vec<_>>()
    };
    let text = |line| ("changed", None, line);
    assert_eq!(kinds((TEXT, b"a"), (TEXT, b"a")), []);
    assert_eq!(kinds((TEXT, b"ab"), (TEXT, b"ax")), [text(Some(1))]);
    let bytes = |kind, offset| (kind, Some(offset), None);
    assert_eq!(kinds((BYTES, b"ab"), (BYTES, b"ax")), [bytes("changed", 1)]);
    assert_eq!(kinds((BYTES, b"ab"), (BYTES, b"abc")), [bytes("length", 2)]);
    assert_eq!(
        kinds((TEXT, b"\xff"), (TEXT, b"\xfe")),
        [bytes("changed", 0)]
    );
    assert_eq!(kinds((JSON, b"{"), (JSON, b"{")), []);
    assert_eq!(kinds((JSON, b"{"), (JSON, b"{}")), [text(Some(1))]);
    let types = [("type_changed", None, None)];
    assert_eq!(kinds((JSON, b"1"), (TEXT, b"1")), types);
    assert_eq!(kinds((JSON, b"1"), (JSON, b"")), types);
    assert_eq!(kinds((JSON, b""), (TEXT, b"")), []);
}

#[test]
fn a_short_value_keeps_its_type_beside_a_long_one() {
    let long = "x".repeat(1000);
    for short in ["null", "5", "\"x\"", "[1]"] {
        let rows = json(&format!("[\"{long}\"]"), &format!("[{short}]"));
        assert_eq!(rows[0].3, short);
        let rows = json(&format!("[{short}]"), &format!("[\"{long}\"]"));
        assert_eq!(rows[0].2, short);
    }
}

#[test]
fn long_values_are_shortened_and_a_late_difference_is_in_sight() {
    let long = "x".repeat(1000);
    let [(_, _, shown, _)] = &json(&format!("[\"{long}\"]"), "[1]")[..] else {
        panic!("one difference");
    };
    assert!(shown.len() < 300 && shown.ends_with("…\""), "{shown}");
    let differences = of_types(
        (TEXT, format!("{long}A").as_bytes()),
        (TEXT, format!("{long}B").as_bytes()),
    );
    let shown = differences.list()[0].reference.as_ref().map(Shown::as_json);
    assert!(
        shown.is_some_and(|shown| shown.ends_with("xA\"")),
        "{shown:?}"
    );
}

#[test]
fn the_list_is_bounded_and_the_total_is_not() {
    let headers = headers(JSON);
    let head = Head {
        status: StatusCode::OK,
        headers: &headers,
    };
    let rules = Rules {
        max_differences: 2,
        ..Rules::default()
    };
    let body = |bytes| Body::new(&headers, bytes, rules.limits);
    let (a, b) = (body(b"[1,2,3]"), body(b"[4,5,6]"));
    let bodies = Bodies::Whole(&a, &b);
    let hidden = nothing_hidden();
    let differences = compare(head, head, bodies, &rules, None, &hidden).differences;
    assert_eq!((differences.list().len(), differences.total()), (2, 3));
}

#[test]
fn the_list_is_bounded_in_bytes_and_so_is_a_path() {
    let key = "k".repeat(2000);
    let document = |value| {
        let items: Vec<String> = (0..100).map(|_| format!("{value}")).collect();
        format!("{{\"{key}\":[{}]}}", items.join(","))
    };
    let differences = json(&document(1), &document(2));
    assert!(
        (50..70).contains(&differences.len()),
        "{}",
        differences.len()
    );
    let path = &differences[0].0;
    assert!(path.len() < 1100 && path.ends_with('…'), "{path}");
    let differences = of_types(
        (JSON, document(1).as_bytes()),
        (JSON, document(2).as_bytes()),
    );
    assert_eq!(differences.total(), 100);
}

#[test]
fn hashed_bodies_are_equal_by_type_length_and_hash_only() {
    let (headers_a, headers_b) = (headers(JSON), headers(TEXT));
    let head = Head {
        status: StatusCode::OK,
        headers: &headers_a,
    };
    let other = Head {
        headers: &headers_b,
        ..head
    };
    let hashed = Hashed { len: 5, digest: 1 };
    let rules = Rules {
        headers: Headers::default(),
        ..Rules::default()
    };
    let alike = |a, b, bodies| compare(a, b, bodies, &rules, None, &nothing_hidden()).differences;
    let bodies = Bodies::Hashed(hashed, hashed);
    assert_eq!(alike(head, head, bodies).total(), 0);
    assert_eq!(alike(head, other, bodies).list()[0].kind, Kind::TypeChanged);
    let total = |a, b| alike(head, head, Bodies::Hashed(a, b)).total();
    let body = |len, digest| Hashed { len, digest };
    assert_eq!(total(body(5, 1), body(5, 1)), 0);
    assert_eq!(total(body(5, 1), body(5, 2)), 1);
    assert_eq!(total(body(5, 1), body(6, 1)), 1);
}

/// JSON documents that are often alike.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["1", "1.0", "2", "\"a\"", "null", "true", "[]", "{}"]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 16, 4, |inner| {
            let key = prop::sample::select(vec!["a", "b", "a/b", "~"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((key, inner), 0..4).prop_map(|members| {
                    let member = |(key, value)| format!("\"{key}\": {value}");
                    format!(
                        "{{{}}}",
                        members
                            .into_iter()
                            .map(member)
                            .collect::<Vec<_>>()
                            .join(",")
                    )
                }),
            ]
        })
}

/// The same document, spelt otherwise: members of other keys the other way round, white space,
/// escapes, and further zeros.
fn respell(value: json::Value<'_>, text: &mut String) {
    text.push(' ');
    match value.kind() {
        json::Kind::Object => {
            let mut members: Vec<_> = value.members().collect();
            // Of equal keys, the order means something.
            members.sort_by_key(|(key, _)| std::cmp::Reverse(key.unescaped().into_owned()));
            text.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { " ,\n" });
                let escape = |c: char| format!("\\u{:04x}", u32::from(c));
                let key: String = key.unescaped().chars().map(escape).collect();
                text.extend(["\"", &key, "\" :"]);
                respell(value, text);
            }
            text.push('}');
        }
        json::Kind::Array => {
            text.push('[');
            for (index, value) in value.items().enumerate() {
                text.push_str(if index == 0 { "" } else { "\t," });
                respell(value, text);
            }
            text.push(']');
        }
        json::Kind::Number if value.text().contains('.') => {
            text.extend([value.text(), "00e0"]);
        }
        _ => text.push_str(value.text()),
    }
}

proptest! {
    #[test]
    fn a_document_is_like_itself_however_it_is_spelt(a in document()) {
        let read = Document::parse(a.as_bytes()).expect("JSON");
        let mut b = String::new();
        respell(read.root(), &mut b);
        prop_assert_eq!(json(&a, &b), [], "{} {}", a, b);
    }

    #[test]
    fn swapping_the_sides_swaps_what_is_said_of_them(a in document(), b in document()) {
        let swap = |kind| match kind {
            "missing" => "unexpected",
            "unexpected" => "missing",
            other => other,
        };
        let found = |a: &str, b: &str| {
            let found = of_types((JSON, a.as_bytes()), (JSON, b.as_bytes()));
            let shown = |value: &Option<Shown>| value.as_ref().map(|it| it.as_json().to_owned());
            let of = |d: &Difference| {
                let there = d.candidate_path.clone().unwrap_or_else(|| d.path.clone());
                ((d.path.clone(), there), d.kind.name(), shown(&d.reference), shown(&d.candidate))
            };
            found.list().iter().map(of).collect::<Vec<_>>()
        };
        let mut there = found(&a, &b);
        let mut back: Vec<_> = found(&b, &a)
            .into_iter()
            .map(|((here, there), kind, a, b)| ((there, here), swap(kind), b, a))
            .collect();
        there.sort();
        back.sort();
        prop_assert_eq!(there, back);
    }

    #[test]
    fn serde_json_agrees_where_it_can_tell(a in document(), b in document()) {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        // Of repeated keys it only sees the last.
        if value(&a) != value(&b) {
            prop_assert_ne!(json(&a, &b), []);
        }
    }
}
