//! docs/comparison.md: each of its examples is so.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use miffy::compare::{Bodies, Comparison, Difference, Head, Rules, Shown, compare};
use miffy::config::{Environment, Source, load};
use miffy::content::Body;
use miffy::redact::Redaction;

const PAGE: &str = include_str!("../../docs/comparison.md");

/// The fenced blocks of a page: what each says it is, and its text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut rest = page;
    let mut blocks = Vec::new();
    while let Some((_, block)) = rest.split_once("```") {
        let (name, text) = block.split_once('\n').unwrap();
        let (text, after) = text.split_once("```").unwrap();
        blocks.push((name, text));
        rest = after;
    }
    blocks
}

fn rules(toml: &str) -> Rules {
    let source = Source::Text(format!("routes = [{{ path = \"/\" }}]\n{toml}"));
    let loaded = load(&source, &Environment::default());
    let mut settings = loaded
        .unwrap_or_else(|problems| panic!("{problems}"))
        .settings;
    settings.routes.remove(0).rules
}

/// An answer as the page writes it.
fn answer(text: &str) -> (HeaderMap, Vec<u8>) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut headers = HeaderMap::new();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let is_document = headers.values().any(|value| value == "text/event-stream");
    let body = if is_document { body } else { body.trim_end() };
    (headers, body.as_bytes().to_vec())
}

/// Compares two answers: their headers and bodies.
pub(crate) fn compared(
    rules: &Rules,
    reference: &(HeaderMap, Vec<u8>),
    candidate: &(HeaderMap, Vec<u8>),
) -> Comparison {
    let (a, b) = (
        Body::new(&reference.0, &reference.1, rules.limits),
        Body::new(&candidate.0, &candidate.1, rules.limits),
    );
    let head = |headers| Head {
        status: StatusCode::OK,
        headers,
    };
    let redaction = Redaction::nothing();
    let bodies = Bodies::Whole(&a, &b);
    compare(
        head(&reference.0),
        head(&candidate.0),
        bodies,
        rules,
        None,
        &redaction,
    )
}

fn tell(found: &Comparison, rules: &Rules) -> String {
    let value = |shown: &Option<Shown>| shown.as_ref().map_or("nothing", Shown::as_json).to_owned();
    let mut told = String::new();
    let line = |difference: &Difference| {
        let values = (value(&difference.reference), value(&difference.candidate));
        let mut line = format!(
            "{} {} {} → {}",
            difference.path,
            difference.kind.name(),
            values.0,
            values.1
        );
        if let Some(path) = &difference.candidate_path {
            write!(line, " (candidate {path})").unwrap();
        }
        for (name, number) in [("line", difference.line), ("offset", difference.offset)] {
            if let Some(number) = number {
                write!(line, " {name} {number}").unwrap();
            }
        }
        line
    };
    for difference in found.differences.list() {
        writeln!(told, "{}", line(difference)).unwrap();
    }
    for note in &found.notes {
        writeln!(told, "note: {note}").unwrap();
    }
    let mut hits: Vec<_> = rules
        .list
        .iter()
        .zip(&found.hits)
        .filter(|(_, hits)| **hits > 0)
        .collect();
    hits.sort_by_key(|(rule, _)| rule.to_string());
    for (rule, hits) in hits {
        writeln!(told, "rule: {rule} {hits}").unwrap();
    }
    told
}

#[test]
fn each_example_of_the_page_is_so() {
    let mut toml = "";
    let mut answers = Vec::new();
    let mut examples = 0;
    for (name, text) in blocks(PAGE) {
        match name {
            "toml" => toml = text,
            "reference" | "candidate" => answers.push(answer(text)),
            "found" => {
                let rules = rules(toml);
                let [reference, candidate] = &answers[..] else {
                    panic!("two answers before {text}");
                };
                assert_eq!(tell(&compared(&rules, reference, candidate), &rules), text);
                for side in [reference, candidate] {
                    assert_eq!(compared(&rules, side, side).differences.total(), 0);
                }
                (toml, examples) = ("", examples + 1);
                answers.clear();
            }
            other => assert_eq!(other, "console"),
        }
    }
    assert!(examples >= 20, "{examples}");
}

#[test]
fn the_volatile_headers_are_those_of_the_page() {
    let (_, rest) = PAGE.split_once("a body is written: ").unwrap();
    let (list, _) = rest.split_once(". Those are").unwrap();
    let volatile: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let rules = rules("[compare]\nheaders = \"all\"");
    let differs = |name: &str| {
        let with = |value: &str| answer(&format!("{name}: {value}"));
        compared(&rules, &with("1"), &with("2")).differences.total() > 0
    };
    for name in &volatile {
        assert!(!differs(name), "{name}");
    }
    for other in [
        "x-version",
        "vary",
        "link",
        "www-authenticate",
        "content-language",
        "allow",
    ] {
        assert!(differs(other) && !volatile.contains(&other), "{other}");
    }
}
