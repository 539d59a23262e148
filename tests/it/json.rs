//! What miffy takes for JSON, by the cases of `tests/data/json/cases.txt`, and the places in it, by the
//! examples of RFC 6901.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use miffy::compare::{Differences, Rules, parses_as_json};

use crate::comparison::compared;

/// One case.
struct Case {
    verdict: &'static str,
    name: &'static str,
    text: Vec<u8>,
}

impl Case {
    fn is_json(&self) -> bool {
        match self.verdict {
            "y" | "i+" => true,
            "n" | "i-" => false,
            other => panic!("{}: {other} is no verdict", self.name),
        }
    }
}

fn cases() -> Vec<Case> {
    let lines = include_str!("../data/json/cases.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let case = |line: &'static str| {
        let (said, text) = line.split_once(':').expect(line);
        let (verdict, name) = said.split_once(' ').expect(line);
        let text = bytes(text.strip_prefix(' ').unwrap_or(text));
        Case {
            verdict,
            name,
            text,
        }
    };
    lines.map(case).collect()
}

/// A text in which bytes are written as «0d 0a».
fn bytes(written: &str) -> Vec<u8> {
    let mut parts = written.split('«');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_once('»').expect(written);
        let digits = digits.split(' ');
        bytes.extend(digits.map(|byte| u8::from_str_radix(byte, 16).expect(written)));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// The cases that are too deep to be written down.
fn deep() -> Vec<Case> {
    let case = |verdict, name, text: String| Case {
        verdict,
        name,
        text: text.into_bytes(),
    };
    vec![
        case("n", "structure_100000_opening_arrays", "[".repeat(100_000)),
        case(
            "n",
            "structure_open_array_object",
            "[{\"\":".repeat(50_000) + "\n",
        ),
        // Beyond what a record's readers could follow.
        case(
            "i-",
            "structure_500_nested_arrays",
            "[".repeat(500) + &"]".repeat(500),
        ),
    ]
}

fn all() -> impl Iterator<Item = Case> {
    cases().into_iter().chain(deep())
}

fn differences(a: &[u8], b: &[u8]) -> Differences {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let answer = |body: &[u8]| (headers.clone(), body.to_vec());
    compared(&Rules::default(), &answer(a), &answer(b)).differences
}

/// Where they differ, each place once.
fn places(a: &str, b: &str) -> Vec<String> {
    let differences = differences(a.as_bytes(), b.as_bytes());
    let mut places: Vec<_> = differences
        .list()
        .iter()
        .map(|it| it.path.clone())
        .collect();
    places.dedup();
    places
}

#[test]
fn each_case_is_json_or_not_as_it_should() {
    let mut seen = [0; 4];
    for case in all() {
        assert_eq!(parses_as_json(&case.text), case.is_json(), "{}", case.name);
        let verdicts = ["y", "n", "i+", "i-"];
        let verdict = verdicts.iter().position(|it| *it == case.verdict);
        seen[verdict.unwrap()] += 1;
    }
    assert_eq!(seen, [95, 188, 10, 25]);
}

#[test]
fn what_is_json_is_equal_to_itself_with_other_white_space() {
    for case in all().filter(Case::is_json) {
        let respelt = [b"\t\n".as_slice(), &case.text, b"\r "].concat();
        let differences = differences(&case.text, &respelt);
        assert_eq!(differences.total(), 0, "{}: {differences:?}", case.name);
    }
}

#[test]
fn what_is_no_json_is_never_equal_by_what_it_would_mean() {
    for case in all().filter(|case| case.verdict == "n") {
        let respelt = [&case.text, b" ".as_slice()].concat();
        for (a, b) in [(&case.text, &respelt), (&respelt, &case.text)] {
            let differences = differences(a, b);
            let list = differences.list();
            assert!(differences.total() > 0, "{} {list:?}", case.name);
            let by_pointer = |path: &str| path.is_empty() || path.starts_with('/');
            let found = list.iter().find(|it| by_pointer(&it.path));
            assert!(found.is_none(), "{} {found:?}", case.name);
        }
    }
}

#[test]
fn json_and_what_is_none_are_different() {
    for case in all().filter(|case| !case.is_json()) {
        let differences = differences(b"{}", &case.text);
        // A byte order mark says how a text is encoded, and is no part of it.
        let is_alike = case.name == "structure_UTF-8_BOM_empty_object";
        assert_eq!(differences.total() == 0, is_alike, "{}", case.name);
    }
}

#[test]
fn serde_json_agrees_but_for_numbers_that_it_can_not_hold_and_depth() {
    let mut beyond = Vec::new();
    for case in all() {
        let theirs = serde_json::from_slice::<serde_json::Value>(&case.text);
        match theirs {
            Err(error) if error.to_string().starts_with("number out of range") => {
                beyond.push(case.name);
            }
            theirs => assert_eq!(case.is_json(), theirs.is_ok(), "{}", case.name),
        }
    }
    assert_eq!(
        beyond,
        [
            "number_huge_exp",
            "number_neg_int_huge_exp",
            "number_pos_double_huge_exp",
            "number_real_neg_overflow",
            "number_real_pos_overflow",
        ]
    );
}

/// The document of RFC 6901 §5.
const EXAMPLE: &str = r#"{
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    "k\"l": 6,
    " ": 7,
    "m~n": 8
}"#;

#[test]
fn differences_in_the_example_of_rfc_6901_are_where_its_pointers_point() {
    for (from, to, pointer) in [
        (EXAMPLE, "null", ""),
        (r#"["bar", "baz"]"#, "{}", "/foo"),
        (r#""bar""#, r#""qux""#, "/foo/0"),
        ("0", "10", "/"),
        ("1", "11", "/a~1b"),
        ("2", "12", "/c%d"),
        ("3", "13", "/e^f"),
        ("4", "14", "/g|h"),
        ("5", "15", "/i\\j"),
        ("6", "16", "/k\"l"),
        ("7", "17", "/ "),
        ("8", "18", "/m~0n"),
    ] {
        let changed = EXAMPLE.replace(from, to);
        assert_eq!(places(EXAMPLE, &changed), [pointer]);
    }
}

#[test]
fn differences_in_the_whole_example_of_rfc_6901_come_in_its_order() {
    let changed = EXAMPLE
        .replace(": ", ": 1")
        .replace("1[\"bar\"", "[\"qux\"");
    let pointers = [
        "/foo/0", "/", "/a~1b", "/c%d", "/e^f", "/g|h", "/i\\j", "/k\"l", "/ ", "/m~0n",
    ];
    assert_eq!(places(EXAMPLE, &changed), pointers);
}
