//! Kinds of bodies, by their Content-Type (RFC 9110 §8.3).

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

/// What kind of body it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One JSON text: `application/json`, or any type with the suffix `+json` (RFC 6839 §3.1).
    Json,
    /// A JSON text per line, or each behind a record separator (RFC 7464).
    JsonLines,
    /// Server-sent events (WHATWG HTML §9.2).
    Events,
    /// Names and values of a form (WHATWG URL §5).
    Form,
    /// Any other text.
    Text,
    /// Anything else, or it doesn't say.
    Bytes,
}

/// Beside `text/*`, `+xml` and `+yaml`, types of `application` that are text.
const TEXTS: [&str; 13] = [
    "ecmascript",
    "graphql",
    "javascript",
    "sql",
    "toml",
    "typescript",
    "x-javascript",
    "x-sh",
    "x-yaml",
    "xml",
    "xml-dtd",
    "xml-external-parsed-entity",
    "yaml",
];

/// A Content-Type in parts.
struct ContentType {
    /// Type and subtype, in lower case.
    essence: String,
    /// In lower case, each with its value without quotes, if there is one.
    parameters: Vec<(String, Option<String>)>,
}

impl Media {
    /// What a message's headers say of its body, with whatever parameters.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        headers
            .get(CONTENT_TYPE)
            .map_or(Self::Bytes, |value| ContentType::read(value).media())
    }

    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonLines => "json_lines",
            Self::Events => "events",
            Self::Form => "form",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

/// The Content-Type such that two of the same meaning are the same: type, subtype and names in lower case,
/// parameters sorted by name, values in quotes only where they must be. It has no charset, which is a
/// coding: bodies are compared without it.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(CONTENT_TYPE).iter();
    let lines: Vec<String> = lines
        .map(|value| ContentType::read(value).normalised())
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// The charset that the Content-Type names, in lower case.
#[must_use]
pub fn charset(headers: &HeaderMap) -> Option<String> {
    let parameters = ContentType::read(headers.get(CONTENT_TYPE)?).parameters;
    let mut charsets = parameters.into_iter().filter(|(name, _)| name == "charset");
    let label = charsets.next()?.1?.to_ascii_lowercase();
    (!label.is_empty()).then_some(label)
}

impl ContentType {
    /// Takes what it can: there are no wrong ones.
    fn read(value: &HeaderValue) -> Self {
        let text = shown(value);
        let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
        Self {
            essence: essence.trim_ascii().to_ascii_lowercase(),
            parameters: read_parameters(parameters),
        }
    }

    fn media(&self) -> Media {
        let Some((kind, subtype)) = self.essence.split_once('/') else {
            return Media::Bytes;
        };
        if !is_token(kind) || !is_token(subtype) {
            return Media::Bytes;
        }
        let suffix = subtype.rsplit_once('+').map(|(_, suffix)| suffix);
        match (kind, subtype, suffix) {
            ("application", "json", _) | (_, _, Some("json")) => Media::Json,
            (
                "application",
                "ndjson" | "x-ndjson" | "jsonl" | "x-jsonl" | "jsonlines" | "x-jsonlines"
                | "json-seq",
                _,
            )
            | (_, _, Some("json-seq")) => Media::JsonLines,
            ("text", "event-stream", _) => Media::Events,
            ("application", "x-www-form-urlencoded", _) => Media::Form,
            ("text", _, _) | (_, _, Some("xml" | "yaml")) => Media::Text,
            ("application", name, _) if TEXTS.contains(&name) => Media::Text,
            _ => Media::Bytes,
        }
    }

    fn normalised(mut self) -> String {
        self.parameters.retain(|(name, _)| name != "charset");
        // Of equal names, the order means something.
        self.parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut text = self.essence;
        for (name, value) in &self.parameters {
            text.extend([";", name]);
            match value {
                Some(value) if is_token(value) => text.extend(["=", value]),
                Some(value) => {
                    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                    text.extend(["=\"", &escaped, "\""]);
                }
                None => {}
            }
        }
        text
    }
}

/// A value as text: UTF-8, or else each byte the character of its number, so that two that differ do so
/// still.
fn shown(value: &HeaderValue) -> Cow<'_, str> {
    let bytes = value.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// What stands behind the first semicolon (RFC 9110 §5.6.6), and white space around `=`, which some send.
fn read_parameters(mut rest: &str) -> Vec<(String, Option<String>)> {
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        if rest.is_empty() {
            return parameters;
        }
        let end = rest.find(['=', ';']).unwrap_or(rest.len());
        let name = rest[..end].trim_ascii().to_ascii_lowercase();
        rest = &rest[end..];
        let value = rest.strip_prefix('=').map(|behind| {
            let (value, behind) = read_value(behind.trim_ascii_start());
            rest = behind;
            value
        });
        parameters.push((name, value));
    }
}

/// A value at the start of a text, without quotes and escapes (RFC 9110 §5.6.4), and the text behind it.
fn read_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    if let Some(quoted) = text.strip_prefix('"') {
        let mut characters = quoted.chars();
        while let Some(character) = characters.next().filter(|it| *it != '"') {
            let escaped = (character == '\\').then(|| characters.next());
            value.push(escaped.flatten().unwrap_or(character));
        }
        rest = characters.as_str();
    }
    // Behind quotes, there should be nothing; but what is there is no secret.
    let end = rest.find(';').unwrap_or(rest.len());
    value.push_str(rest[..end].trim_ascii());
    (value, &rest[end..])
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(value).expect("a header value");
        headers.insert(CONTENT_TYPE, value);
        headers
    }

    fn media(value: &str) -> Media {
        Media::of(&headers(value.as_bytes()))
    }

    #[test]
    fn json_is_told_by_its_type_or_suffix() {
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "application/vnd.api+json;v=1",
            "application/json; x=\"é\"",
            " application/json ",
        ] {
            assert_eq!(media(json), Media::Json, "{json}");
        }
        for other in [
            "text/plain",
            "application/jsonp",
            "application/json-seq",
            "json",
            "",
        ] {
            assert_ne!(media(other), Media::Json, "{other}");
        }
    }

    #[test]
    fn each_kind_has_its_types() {
        let kinds: [(Media, &[&str]); 5] = [
            (
                Media::JsonLines,
                &[
                    "application/x-ndjson",
                    "application/ndjson; charset=utf-8",
                    "application/jsonl",
                    "Application/X-JsonLines",
                    "application/json-seq",
                    "application/geo+json-seq",
                ],
            ),
            (Media::Events, &["text/event-stream;charset=UTF-8"]),
            (Media::Form, &["application/x-www-form-urlencoded"]),
            (
                Media::Text,
                &[
                    "text/html",
                    "text/x",
                    "application/xml",
                    "image/svg+xml",
                    "application/xhtml+xml",
                    "application/javascript",
                    "application/graphql",
                    "application/yaml",
                    "application/openapi+yaml",
                ],
            ),
            (
                Media::Bytes,
                &[
                    "",
                    ";",
                    "text",
                    "text/",
                    "/plain",
                    "text/a b",
                    "text/plain, text/html",
                    "image/png",
                    "application/octet-stream",
                    "multipart/form-data; boundary=x",
                ],
            ),
        ];
        for (kind, types) in kinds {
            for value in types {
                assert_eq!(media(value), kind, "{value}");
            }
        }
        assert_eq!(Media::of(&HeaderMap::new()), Media::Bytes);
    }

    #[test]
    fn types_of_one_meaning_are_written_alike() {
        for (value, expected) in [
            ("Text/HTML; Charset=\"UTF-8\"; a=B", "text/html;a=B"),
            ("text/html;b=\"2\" ; A=1;charset=x;;", "text/html;a=1;b=2"),
            (r#"a/b;x="\1 \"2\\";"#, r#"a/b;x="1 \"2\\""#),
            ("a/b;x=;y=\"\";z", "a/b;x=\"\";y=\"\";z"),
            ("a/b;a=2;a=1", "a/b;a=2;a=1"),
            ("a/b;x=\"not; closed", "a/b;x=\"not; closed\""),
            ("a/b;x=\"y\"z", "a/b;x=yz"),
            ("a/b; x = y", "a/b;x=y"),
            ("NONE", "none"),
        ] {
            let normalised = media_type(&headers(value.as_bytes()));
            assert_eq!(normalised.as_deref(), Some(expected), "{value}");
        }
        assert_eq!(media_type(&HeaderMap::new()), None);
        let latin1 = media_type(&headers(b"a/b;x=\xe9"));
        assert_eq!(latin1.as_deref(), Some("a/b;x=\"é\""));
    }

    #[test]
    fn a_second_line_is_a_difference_and_no_other_kind() {
        let mut headers = headers(b"application/json");
        headers.append(CONTENT_TYPE, HeaderValue::from_static("Text/HTML"));
        assert_eq!(Media::of(&headers), Media::Json);
        let both = media_type(&headers);
        assert_eq!(both.as_deref(), Some("application/json, text/html"));
    }

    #[test]
    fn a_charset_may_have_quotes_and_is_the_first() {
        for (value, expected) in [
            ("text/html", None),
            ("text/html; charset=UTF-8", Some("utf-8")),
            ("text/html; CHARSET=\"Shift_JIS\"", Some("shift_jis")),
            ("a;b=\";charset=x\";charset=y;charset=z", Some("y")),
            ("text/html; charset=", None),
            ("text/html; charset", None),
            ("text/html; x-charset=a", None),
        ] {
            let label = charset(&headers(value.as_bytes()));
            assert_eq!(label.as_deref(), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_normalised_stays_as_it_is(value in "[a-zA-Z/;=\", \\\\é\u{a0}-]{0,24}") {
            if let Some(once) = media_type(&headers(value.as_bytes())) {
                let twice = media_type(&headers(once.as_bytes()));
                prop_assert_eq!(Some(once), twice);
            }
        }
    }
}
