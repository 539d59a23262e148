//! Whether two answers are alike, and what differs. Pure: no I/O, no clock, no state.
//!
//! Answers are alike if their status is the same and their bodies are: bodies that both say they are
//! JSON, and are, as JSON; all others as bytes. Bytes that are the same are not looked into. A body that
//! is JSON on one side only is a difference of type. Bodies over the bound of captured bodies are compared
//! by what they say they are, by length and by hash.
//!
//! Invariants, each held by a test: an answer is like itself; swapping the two answers swaps the values,
//! and `missing` with `unexpected`, and keeps the total; what can't be compared is different.
//!
//! # Layout
//!
//! - `difference`: where, what kind, both values
//! - `tree`: the differences of two documents

mod difference;
mod rules;
mod tree;

use http::{HeaderMap, StatusCode};

pub use difference::{Difference, Differences, Kind, Noise, Shown, shorten};
pub use rules::{Action, Headers, Numbers, Pattern, Place, Rule, Rules};

use crate::content::Media;
use crate::json::{self, Document};
use difference::common_prefix;

/// One side's answer but for its body.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, for what they say of the body.
    pub headers: &'a HeaderMap,
}

/// The reference's and the candidate's body.
#[derive(Debug, Clone, Copy)]
pub enum Bodies<'a> {
    /// All bytes of both.
    Whole(&'a [u8], &'a [u8]),
    /// What stands for both, since at least one was not kept.
    Hashed(Hashed, Hashed),
}

/// What stands for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// Its length in bytes.
    pub len: u64,
    /// Its hash, of the same function on both sides.
    pub digest: u128,
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// What differs.
    pub differences: Differences,
    /// How many differences each of the rules took out, in their order.
    pub hits: Vec<u64>,
    /// What is to be known of how it was compared.
    pub notes: Vec<String>,
}

/// Compares two answers by these rules. `noise` says which places are known to differ by themselves.
#[must_use]
pub fn compare(
    reference: Head<'_>,
    candidate: Head<'_>,
    bodies: Bodies<'_>,
    rules: &Rules,
    noise: Option<Noise<'_>>,
) -> Comparison {
    let mut findings = Findings {
        differences: Differences::none(rules.max_differences),
        noise,
    };
    if reference.status != candidate.status {
        let shown = |status: StatusCode| Some(Shown::number(status.as_u16()));
        let values = (shown(reference.status), shown(candidate.status));
        findings.add("status".to_owned(), Kind::Changed, || {
            Difference::new("status", Kind::Changed, values)
        });
    }
    let said_json = (is_json(reference.headers), is_json(candidate.headers));
    match bodies {
        Bodies::Whole(a, b) => compare_bodies(a, b, said_json, &mut findings),
        Bodies::Hashed(a, b) => compare_hashes(a, b, said_json, &mut findings),
    }
    Comparison {
        differences: findings.differences,
        hits: vec![0; rules.list.len()],
        notes: Vec::new(),
    }
}

/// What was found so far.
struct Findings<'r> {
    differences: Differences,
    noise: Option<Noise<'r>>,
}

impl Findings<'_> {
    fn add(&mut self, location: String, kind: Kind, difference: impl FnOnce() -> Difference) {
        self.differences.add(location, kind, self.noise, difference);
    }

    fn add_to_body(&mut self, kind: Kind, difference: impl FnOnce() -> Difference) {
        self.add("body".to_owned(), kind, difference);
    }
}

/// Whether a body is said to be JSON.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    Media::of(headers) == Media::Json
}

/// Whether bytes are JSON that a record can hold as such.
#[must_use]
pub fn parses_as_json(bytes: &[u8]) -> bool {
    json::is_json(bytes)
}

fn compare_bodies(a: &[u8], b: &[u8], said_json: (bool, bool), findings: &mut Findings<'_>) {
    if a == b && (said_json.0 == said_json.1 || a.is_empty()) {
        return;
    }
    let read = |said_json: bool, bytes| said_json.then(|| Document::parse(bytes)).flatten();
    match (read(said_json.0, a), read(said_json.1, b)) {
        (Some(a), Some(b)) => tree::compare(&a, &b, findings),
        (None, None) => compare_bytes(a, b, findings),
        (json_a, json_b) => {
            let name = |is_json: bool, bytes: &[u8]| match bytes {
                [] => "none",
                _ if is_json => "json",
                _ => "bytes",
            };
            let names = (name(json_a.is_some(), a), name(json_b.is_some(), b));
            add_types(names, findings);
        }
    }
}

fn compare_bytes(a: &[u8], b: &[u8], findings: &mut Findings<'_>) {
    if a == b {
        return;
    }
    let offset = common_prefix(a, b);
    let kind = if offset == a.len().min(b.len()) {
        Kind::Length
    } else {
        Kind::Changed
    };
    let (reference, candidate) = match (std::str::from_utf8(a), std::str::from_utf8(b)) {
        (Ok(a), Ok(b)) => Shown::texts(a, b, offset),
        _ => (Shown::bytes(a, offset), Shown::bytes(b, offset)),
    };
    findings.add_to_body(kind, || Difference {
        offset: Some(offset as u64),
        ..Difference::new("body", kind, (Some(reference), Some(candidate)))
    });
}

fn compare_hashes(a: Hashed, b: Hashed, said_json: (bool, bool), findings: &mut Findings<'_>) {
    let name = |said_json, hashed: Hashed| match hashed.len {
        0 => "none",
        _ if said_json => "json",
        _ => "bytes",
    };
    let names = (name(said_json.0, a), name(said_json.1, b));
    if names.0 != names.1 {
        add_types(names, findings);
    } else if a.len != b.len {
        let values = (Some(Shown::number(a.len)), Some(Shown::number(b.len)));
        findings.add_to_body(Kind::Length, || {
            Difference::new("body", Kind::Length, values)
        });
    } else if a.digest != b.digest {
        let shown = |digest: u128| Some(Shown::bytes(&digest.to_be_bytes(), 0));
        let values = (shown(a.digest), shown(b.digest));
        findings.add_to_body(Kind::Changed, || {
            Difference::new("body", Kind::Changed, values)
        });
    }
}

/// Adds that the bodies are of two types.
fn add_types((reference, candidate): (&str, &str), findings: &mut Findings<'_>) {
    let values = (Some(Shown::text(reference)), Some(Shown::text(candidate)));
    findings.add_to_body(Kind::TypeChanged, || {
        Difference::new("body", Kind::TypeChanged, values)
    });
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use proptest::prelude::*;

    use super::*;

    const JSON: &str = "application/json";
    const TEXT: &str = "text/plain";

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
        compare(
            head(&headers_a),
            head(&headers_b),
            Bodies::Whole(a.1, b.1),
            &Rules::default(),
            None,
        )
        .differences
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

    fn row(
        path: &str,
        kind: &'static str,
        a: &str,
        b: &str,
    ) -> (String, &'static str, String, String) {
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
    fn what_is_not_json_on_both_sides_is_compared_as_bytes() {
        let kinds = |a: (&str, &[u8]), b: (&str, &[u8])| {
            let differences = of_types(a, b);
            let of = |d: &Difference| (d.path.clone(), d.kind.name(), d.offset);
            differences.list().iter().map(of).collect::<Vec<_>>()
        };
        let body = || "body".to_owned();
        assert_eq!(kinds((TEXT, b"a"), (TEXT, b"a")), []);
        assert_eq!(
            kinds((TEXT, b"ab"), (TEXT, b"ax")),
            [(body(), "changed", Some(1))]
        );
        assert_eq!(
            kinds((TEXT, b"ab"), (TEXT, b"abc")),
            [(body(), "length", Some(2))]
        );
        assert_eq!(kinds((JSON, b"{"), (JSON, b"{")), []);
        assert_eq!(
            kinds((JSON, b"{"), (JSON, b"{}")),
            [(body(), "type_changed", None)]
        );
        assert_eq!(
            kinds((JSON, b"1"), (TEXT, b"1")),
            [(body(), "type_changed", None)]
        );
        assert_eq!(
            kinds((JSON, b"1"), (JSON, b"")),
            [(body(), "type_changed", None)]
        );
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
        let bodies = Bodies::Whole(b"[1,2,3]", b"[4,5,6]");
        let differences = compare(head, head, bodies, &rules, None).differences;
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
        let rules = Rules::default();
        let alike = |a, b, bodies| compare(a, b, bodies, &rules, None).differences;
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
            let mut there = json(&a, &b);
            let mut back: Vec<_> = json(&b, &a)
                .into_iter()
                .map(|(path, kind, a, b)| (path, swap(kind), b, a))
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
}
