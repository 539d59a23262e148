//! A message in a record: its headers, and its body as `null`, JSON as it was written, or base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::capture::{Captured, Content};
use crate::compare::{is_json, parses_as_json, shorten};

/// The largest parts of a message, in bytes. What is larger is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) body: usize,
    /// Of one header's value.
    pub(super) header: usize,
}

/// A message ready to be written.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    headers: Headers,
    body: Option<Form>,
    #[serde(skip)]
    cuts: [(&'static str, Cut); 2],
}

/// Headers as an object: a string each, or an array of them where a header is repeated.
#[derive(Debug)]
struct Headers(Vec<(HeaderName, Vec<String>)>);

/// What a body is in a record, if it is anything.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
enum Form {
    Json(Box<RawValue>),
    /// In base64 (RFC 4648 §4).
    Bytes(String),
}

/// How many bytes there are, and how many of them are in the record.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    size: u64,
    kept: u64,
}

/// Something that is not all there: its path in the record, its size in bytes, and how many of them are.
#[derive(Debug, Serialize)]
pub(super) struct Truncated {
    field: String,
    size: u64,
    kept: u64,
}

impl Message {
    pub(super) fn new(headers: &HeaderMap, body: &Captured, bounds: Bounds) -> Self {
        let (form, body_cut) = form(headers, body, bounds.body);
        let (headers, headers_cut) = texts(headers, bounds.header);
        Self {
            headers,
            body: form,
            cuts: [("headers", headers_cut), ("body", body_cut)],
        }
    }

    /// What of it is not all there. `path` is its own in the record.
    pub(super) fn truncated(&self, path: &str) -> impl Iterator<Item = Truncated> {
        let cut = self.cuts.iter().filter(|(_, cut)| cut.kept < cut.size);
        cut.map(move |(part, cut)| Truncated {
            field: format!("{path}.{part}"),
            size: cut.size,
            kept: cut.kept,
        })
    }
}

/// The body of a message with these headers, at most its first `max` bytes.
fn form(headers: &HeaderMap, body: &Captured, max: usize) -> (Option<Form>, Cut) {
    let size = body.len;
    if size == 0 {
        return (None, Cut::default());
    }
    let bytes = body.content.bytes();
    let json = match &body.content {
        Content::Whole(bytes) if bytes.len() <= max && is_json(headers) => json(bytes),
        _ => None,
    };
    if let Some(json) = json {
        return (Some(Form::Json(json)), Cut { size, kept: size });
    }
    let shown = &bytes[..bytes.len().min(max)];
    let kept = shown.len() as u64;
    (
        Some(Form::Bytes(STANDARD.encode(shown))),
        Cut { size, kept },
    )
}

/// A JSON text as one line, otherwise as it is; `None` if it is none.
fn json(bytes: &[u8]) -> Option<Box<RawValue>> {
    if !parses_as_json(bytes) {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii();
    // Strings hold no bare line breaks (RFC 8259 §7), so these stand between tokens.
    RawValue::from_string(text.replace(['\n', '\r'], "")).ok()
}

/// The headers, at most the first `max` bytes of each value.
fn texts(headers: &HeaderMap, max: usize) -> (Headers, Cut) {
    let mut cut = Cut::default();
    let mut text = |value: &http::HeaderValue| {
        // A value that is no Unicode can't stand in JSON; its other bytes do.
        let text = String::from_utf8_lossy(value.as_bytes());
        cut.size += text.len() as u64;
        cut.kept += text.len().min(max) as u64;
        shorten(&text, max).into_owned()
    };
    let names = headers.keys().map(|name| {
        let values = headers.get_all(name).iter().map(&mut text).collect();
        (name.clone(), values)
    });
    (Headers(names.collect()), cut)
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, values) in &self.0 {
            match &values[..] {
                [value] => map.serialize_entry(name.as_str(), value)?,
                values => map.serialize_entry(name.as_str(), values)?,
            }
        }
        map.end()
    }
}
