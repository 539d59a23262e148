//! What a route's requests must be beside their path: `host`, `headers` and `query`.

use config::{Value, ValueKind};
use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use super::reader::{FromValue, Section, literal, origin};
use crate::matching::{Conditions, Pattern, Test};

/// What a test is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Host,
    Header,
    Query,
}

/// Reads the conditions of a route; `None` if a problem was noted.
pub(super) fn read(section: &mut Section<'_>) -> Option<Conditions> {
    let host = match section.take_value("host") {
        None => Some(None),
        Some(value) => test(section, "host", value, Subject::Host).map(Some),
    };
    let headers = tests(section, "headers", Subject::Header, header_name);
    let query = tests(section, "query", Subject::Query, |name| match name {
        "" => Err("is empty, and must be a parameter's name".to_owned()),
        name => Ok(name.to_owned()),
    });
    Some(Conditions {
        host: host?,
        headers: headers?,
        query: query?,
    })
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let read = HeaderName::from_bytes(name.as_bytes());
    match read.map_err(|_| format!("\"{name}\" is no header's name"))? {
        http::header::HOST => Err("is for host, which HTTP/2 tells in another way".to_owned()),
        name => Ok(name),
    }
}

/// The tests of a table of names.
fn tests<N: PartialEq>(
    section: &mut Section<'_>,
    key: &'static str,
    subject: Subject,
    named: impl Fn(&str) -> Result<N, String>,
) -> Option<Vec<(N, Test)>> {
    let Some(value) = section.take_value(key) else {
        return Some(Vec::new());
    };
    let is_table = matches!(value.kind, ValueKind::Table(_));
    let mut section = section.child(key, value);
    let mut tests: Vec<(N, Test)> = Vec::new();
    let mut all_right = is_table;
    for (written, value) in section.take_rest() {
        let name = named(&written).and_then(|name| {
            let is_new = tests.iter().all(|(of, _)| *of != name);
            is_new
                .then_some(name)
                .ok_or("stands there twice, spelt in two ways".to_owned())
        });
        let noted = |message| section.problem(&written, format!("{message}{}", origin(&value)));
        let name = name.map_err(noted).ok();
        match name.zip(test(&section, &written, value, subject)) {
            Some(read) => tests.push(read),
            None => all_right = false,
        }
    }
    all_right.then_some(tests)
}

/// A text, which the value has to be, or a table that says something else of it.
fn test(section: &Section<'_>, key: &str, value: Value, subject: Subject) -> Option<Test> {
    let place = origin(&value);
    match &value.kind {
        ValueKind::Table(table) if table.is_empty() => {
            section.problem(key, format!("is empty{place}"));
            None
        }
        ValueKind::Table(_) => one_of(section.child(key, value), &place, subject),
        _ => {
            let test = literal(value).and_then(|text| subject.exact(&text));
            let noted = |message| section.problem(key, format!("{message}{place}"));
            test.map_err(noted).ok()
        }
    }
}

/// The one test that a table holds.
fn one_of(mut section: Section<'_>, place: &str, subject: Subject) -> Option<Test> {
    let mut given = Vec::new();
    for key in subject.tests() {
        if let Some(value) = section.take_value(key) {
            given.push((*key, subject.test(key, value)));
        }
    }
    let test = match &given[..] {
        // What stands there instead is told as unknown.
        [] => None,
        [(_, Ok(test))] => Some(test.clone()),
        [(key, Err(message))] => {
            section.problem(key, format!("{message}{place}"));
            None
        }
        several => {
            let keys: Vec<&str> = several.iter().map(|(key, _)| *key).collect();
            section.problem_of_all(format!("says {}: choose one", keys.join(" and ")));
            None
        }
    };
    section.finish();
    test
}

impl Subject {
    /// The tests that there are of it.
    fn tests(self) -> &'static [&'static str] {
        match self {
            // Every request has one.
            Self::Host => &["exact", "prefix", "regex"],
            Self::Header | Self::Query => &["exact", "prefix", "regex", "present", "absent"],
        }
    }

    /// The test under such a key.
    fn test(self, key: &str, value: Value) -> Result<Test, String> {
        let truth = match key {
            "exact" => return self.exact(&literal(value)?),
            "prefix" => return self.prefix(&literal(value)?),
            "regex" => return self.regex(&literal(value)?),
            "present" => Test::Present,
            _ => Test::Absent,
        };
        match bool::from_value(value) {
            Ok(true) => Ok(truth),
            Ok(false) => Err("must be true, or left out".to_owned()),
            Err(message) => Err(message),
        }
    }

    fn exact(self, text: &str) -> Result<Test, String> {
        match self {
            Self::Query => {}
            Self::Host => {
                let written: Authority = text.parse().map_err(|_| no_host(text))?;
                if written.as_str() != written.host() || text.is_empty() {
                    return Err(no_host(text));
                }
                return Ok(Test::Exact(text.to_ascii_lowercase()));
            }
            Self::Header => {
                legal_in_a_header(text)?;
                if text.trim() != text {
                    return Err("begins or ends with a space, which no header does".to_owned());
                }
            }
        }
        Ok(Test::Exact(text.to_owned()))
    }

    fn prefix(self, text: &str) -> Result<Test, String> {
        if text.is_empty() {
            return Err("is empty, which everything begins with".to_owned());
        }
        match self {
            Self::Query => {}
            Self::Host => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~[:]".contains(c);
                let is_address = text.starts_with('[');
                if !text.chars().all(is_part) || text.contains(':') && !is_address {
                    return Err(no_host(text));
                }
                return Ok(Test::Prefix(text.to_ascii_lowercase()));
            }
            Self::Header => {
                legal_in_a_header(text)?;
                if text.trim_start() != text {
                    return Err("begins with a space, which no header does".to_owned());
                }
            }
        }
        Ok(Test::Prefix(text.to_owned()))
    }

    fn regex(self, text: &str) -> Result<Test, String> {
        let pattern = match self {
            Self::Host => Pattern::caseless(text),
            Self::Header | Self::Query => Pattern::new(text),
        };
        let pattern = pattern.map_err(|message| format!("\"{text}\" {message}"))?;
        Ok(Test::Regex(pattern))
    }
}

fn no_host(text: &str) -> String {
    format!(
        "\"{text}\" is no host as clients send it: its name or address alone, in ASCII, without a port"
    )
}

fn legal_in_a_header(text: &str) -> Result<(), String> {
    HeaderValue::from_bytes(text.as_bytes())
        .map(|_| ())
        .map_err(|_| format!("{text:?} is nothing that a header can be"))
}
