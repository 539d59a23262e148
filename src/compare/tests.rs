mod cost;
mod doubts;

use std::collections::BTreeSet;

use http::header::CONTENT_TYPE;
use proptest::prelude::*;

use super::*;
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
    compare(head_a, head_b, bodies, &rules, None, &Redaction::nothing()).differences
}

/// The differences of two JSON texts by these rules.
fn by_rules(rules: &[(&str, Action)], a: &str, b: &str) -> Comparison {
    let list = rules.iter().map(|(place, action)| Rule {
        place: place.parse().expect("a place"),
        action: action.clone(),
    });
    let rules = Rules {
        list: list.collect(),
        max_differences: usize::MAX,
        ..Rules::default()
    };
    let headers = headers(JSON);
    let (body_a, body_b) = (
        Body::new(&headers, a.as_bytes(), rules.limits),
        Body::new(&headers, b.as_bytes(), rules.limits),
    );
    let head = Head {
        status: StatusCode::OK,
        headers: &headers,
    };
    let bodies = Bodies::Whole(&body_a, &body_b);
    compare(head, head, bodies, &rules, None, &Redaction::nothing())
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
    let hidden = Redaction::nothing();
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
    let alike =
        |a, b, bodies| compare(a, b, bodies, &rules, None, &Redaction::nothing()).differences;
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

/// JSON documents that are often alike, without repeated keys.
fn plain_document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop::sample::select(vec!["1", "1.0", "2", "3", "\"a\"", "null", "true"]);
    let leaf = leaf.prop_map(|text| serde_json::from_str(text).expect("JSON"));
    leaf.prop_recursive(3, 12, 5, |inner| {
        let key = prop::sample::select(vec!["a", "b", "c/d", "~"]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<serde_json::Value>()),
        ]
    })
}

/// Makes the candidate's document of the reference's by what differs: values are changed first, at the
/// reference's paths; then taken out, from the last to the first; then put in, at the candidate's paths.
fn apply(document: &mut serde_json::Value, differences: &[Difference]) {
    let value = |shown: &Option<Shown>| -> serde_json::Value {
        let text = shown.as_ref().expect("a value").as_json();
        serde_json::from_str(text).expect("JSON")
    };
    let is_within = |path: &str, around: &str| {
        path.strip_prefix(around)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    // An array in another order is taken whole.
    let mut whole: Vec<(&str, &str)> = Vec::new();
    let mut own = Vec::new();
    for difference in differences {
        let here = difference.path.as_str();
        let there = difference.candidate_path.as_deref().unwrap_or(here);
        let is_part = whole.iter().any(|(a, b)| match difference.kind {
            Kind::Unexpected => is_within(there, b),
            _ => is_within(here, a),
        });
        if is_part {
            continue;
        }
        if difference.kind == Kind::Reordered {
            whole.push((here, there));
        }
        own.push(difference);
    }
    for difference in &own {
        if !matches!(difference.kind, Kind::Missing | Kind::Unexpected) {
            let place = document.pointer_mut(&difference.path).expect("a place");
            *place = value(&difference.candidate);
        }
    }
    for difference in own.iter().rev().filter(|it| it.kind == Kind::Missing) {
        let (around, key) = difference.path.rsplit_once('/').expect("a place within");
        let key = key.replace("~1", "/").replace("~0", "~");
        match document.pointer_mut(around).expect("a place") {
            serde_json::Value::Array(items) => {
                items.remove(key.parse().expect("an index"));
            }
            around => {
                around.as_object_mut().expect("an object").remove(&key);
            }
        }
    }
    for difference in own.iter().filter(|it| it.kind == Kind::Unexpected) {
        let (around, key) = difference.path.rsplit_once('/').expect("a place within");
        let key = key.replace("~1", "/").replace("~0", "~");
        match document.pointer_mut(around).expect("a place") {
            serde_json::Value::Array(items) => {
                items.insert(key.parse().expect("an index"), value(&difference.candidate));
            }
            around => {
                let members = around.as_object_mut().expect("an object");
                members.insert(key, value(&difference.candidate));
            }
        }
    }
}

/// A document without the members of this name, wherever they are.
fn without(document: &serde_json::Value, name: &str) -> serde_json::Value {
    match document {
        serde_json::Value::Array(items) => items.iter().map(|item| without(item, name)).collect(),
        serde_json::Value::Object(members) => members
            .iter()
            .filter(|(key, _)| *key != name)
            .map(|(key, value)| (key.clone(), without(value, name)))
            .collect(),
        other => other.clone(),
    }
}

/// A document with the items of its arrays the other way round.
fn reversed(document: &serde_json::Value) -> serde_json::Value {
    match document {
        serde_json::Value::Array(items) => items.iter().rev().map(reversed).collect(),
        serde_json::Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), reversed(value)))
            .collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn what_differs_makes_the_candidates_document_of_the_references(
        a in plain_document(),
        b in plain_document(),
    ) {
        let found = by_rules(&[], &a.to_string(), &b.to_string());
        let differences = found.differences.list();
        let is_long = |shown: &Option<Shown>| {
            shown.as_ref().is_some_and(|shown| shown.as_json().contains('…'))
        };
        prop_assume!(!differences.iter().any(|it| is_long(&it.candidate)));
        let mut made = a.clone();
        apply(&mut made, differences);
        prop_assert_eq!(made, b, "{:#?}", differences);
    }

    #[test]
    fn what_is_ignored_is_as_if_it_were_not_there(a in plain_document(), b in plain_document()) {
        let ignore = [("/**/a", Action::Ignore)];
        let found = by_rules(&ignore, &a.to_string(), &b.to_string());
        let is_same = without(&a, "a") == without(&b, "a");
        prop_assert_eq!(found.differences.total() == 0, is_same);
        let is_taken_out = found.hits[0] > 0;
        prop_assert!(!is_same || is_taken_out == (a != b));
    }

    #[test]
    fn sets_have_no_order(a in plain_document()) {
        let arrays = Arrays { key: None, any_order: true };
        let sets = [("/**", Action::Arrays(arrays))];
        let other = reversed(&a);
        let found = by_rules(&sets, &a.to_string(), &other.to_string());
        prop_assert_eq!(found.differences.total(), 0);
        prop_assert_eq!(found.hits[0] > 0, a != other);
    }

    #[test]
    fn a_list_in_another_order_differs_in_its_order_alone(
        (a, b) in prop::collection::vec(0..99_u8, 0..99)
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle()))
    ) {
        let document = |list: &[u8]| format!("{{\"list\":{list:?}}}");
        let found = by_rules(&[], &document(&a), &document(&b)).differences;
        let reordered = [("/list", Kind::Reordered, 1)];
        let expected = reordered.get(usize::from(a == b)..).unwrap_or_default();
        prop_assert_eq!(found.classes().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_difference_is_of_a_class(a in plain_document(), b in plain_document()) {
        let found = by_rules(&[], &a.to_string(), &b.to_string()).differences;
        let counted: usize = found.classes().map(|(_, _, number)| number).sum();
        prop_assert_eq!(counted, found.total());
        for difference in found.list() {
            let mut classes = found.classes();
            prop_assert!(classes.any(|(at, kind, _)| (at, kind) == (&difference.location, difference.kind)));
        }
    }
}

#[test]
fn a_long_list_with_an_insertion_at_the_front_has_one_difference() {
    let list = |from: usize| {
        let items: Vec<String> = (from..10_000).map(|n| format!("{{\"id\":{n}}}")).collect();
        format!("[{}]", items.join(","))
    };
    assert_eq!(
        json(&list(1), &list(0)),
        [row("/0", "unexpected", "", "{\"id\":0}")]
    );
}

#[test]
fn items_are_aligned_beside_what_rules_take_out() {
    let list = |ids: &[u32], time: &str| {
        let item = |id| format!("{{\"id\":{id},\"at\":\"{time}\"}}");
        format!("[{}]", ids.iter().map(item).collect::<Vec<_>>().join(","))
    };
    let (a, b) = (list(&[1, 2, 3], "10:00"), list(&[0, 1, 2, 3], "10:01"));
    let found = by_rules(&[("/*/at", Action::Ignore)], &a, &b);
    assert_eq!(found.differences.total(), 1);
    assert_eq!(found.differences.list()[0].path, "/0");
    assert_eq!(found.hits, [3]);
}

#[test]
fn noise_is_told_or_taken_out() {
    let locations = ["/a".to_owned()].into();
    let rules = Rules::default();
    let headers = headers(JSON);
    let body = |text: &'static [u8]| Body::new(&headers, text, rules.limits);
    let (a, b) = (body(br#"{"a":1,"b":1}"#), body(br#"{"a":2,"b":2}"#));
    let head = Head {
        status: StatusCode::OK,
        headers: &headers,
    };
    let found = |suppress| {
        let noise = Noise {
            locations: &locations,
            suppress,
        };
        let bodies = Bodies::Whole(&a, &b);
        compare(
            head,
            head,
            bodies,
            &rules,
            Some(noise),
            &Redaction::nothing(),
        )
        .differences
    };
    let told = found(false);
    let noise: Vec<bool> = told.list().iter().map(|it| it.noise).collect();
    assert_eq!(
        (noise, told.total(), told.noise()),
        (vec![true, false], 2, 0)
    );
    let taken_out = found(true);
    assert_eq!(
        (taken_out.list().len(), taken_out.total(), taken_out.noise()),
        (1, 1, 1)
    );
    assert_eq!(taken_out.classes().count(), 2);
}

#[test]
fn noise_within_the_items_of_a_list_in_no_order_stays_where_it_is_if_the_list_is_a_set() {
    let list = |ids: &[u32], at: u32| {
        let item = |id| format!("{{\"id\":{id},\"price\":{id}.5,\"at\":{}}}", at + id);
        format!("[{}]", ids.iter().map(item).collect::<Vec<_>>().join(","))
    };
    let (a, b) = (list(&[1, 2, 3, 4], 100), list(&[3, 1, 4, 2], 200));
    let set = Arrays {
        key: None,
        any_order: true,
    };
    let locations = |rules: &[(&str, Action)]| {
        let found = by_rules(rules, &a, &b).differences;
        let locations = found.classes().map(|(location, ..)| location.to_owned());
        locations.collect::<BTreeSet<_>>()
    };
    assert_eq!(
        locations(&[("", Action::Arrays(set))]),
        ["/*/at".to_owned()].into()
    );
    // No two items are alike, and those at the same place are compared.
    let all = ["/*/at", "/*/id", "/*/price"].map(str::to_owned);
    assert_eq!(locations(&[]), all.into());
}

#[test]
fn what_is_found_elsewhere_is_counted_by_its_place_and_shown_as_it_is() {
    let mut differences = Differences::none(2);
    let text = |text: &str| Some(text.to_owned());
    differences.add_found("/a/12/b", Kind::Changed, (text("1"), text("\"x\"")));
    differences.add_found("/a/3/b", Kind::Changed, (None, text("[1]")));
    differences.add_found("elapsed 7", Kind::Changed, (text("1"), text("1")));
    assert_eq!(differences.total(), 3);
    let listed = differences.list().iter();
    let listed: Vec<_> = listed.map(|it| (&*it.path, &*it.location)).collect();
    assert_eq!(listed, [("/a/12/b", "/a/*/b"), ("/a/3/b", "/a/*/b")]);
    let first = &differences.list()[0];
    assert_eq!(first.reference.as_ref().map(Shown::as_json), Some("1"));
    assert_eq!(first.candidate.as_ref().map(Shown::as_json), Some("\"x\""));
}
