//! A message in a record: its headers, and its body as `null`, JSON as it was written, or base64.
//!
//! A [`Visible`] has everything of it that may leave the process, and nothing else. It is written in full; a
//! record that is too long is cut later, so that no cut can show a part of what is hidden.

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::shape::Truncated;
use crate::capture::{Captured, Content};
use crate::content::{self, Limits};
use crate::redact::{Form, Masks, Redaction};

/// What may leave the process of a message.
#[derive(Debug, Serialize)]
pub(super) struct Visible<'m> {
    headers: Headers<'m>,
    body: Option<Body<'m>>,
    /// What is hidden of its headers, and of its body: paths below its own.
    #[serde(skip)]
    hidden: [Vec<String>; 2],
}

/// Headers by name, each with its values. Written as an object: a string each, or an array of them where a
/// header is repeated.
#[derive(Debug)]
struct Headers<'m>(Vec<(&'m HeaderName, Vec<Cow<'m, str>>)>);

#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
enum Body<'m> {
    /// As it was written, but for line breaks.
    Json(Cow<'m, RawValue>),
    Bytes(Bytes<'m>),
}

/// Bytes, written in base64 (RFC 4648 §4).
#[derive(Debug)]
struct Bytes<'m> {
    bytes: Cow<'m, [u8]>,
    /// How many there were, of which these are the first.
    size: u64,
}

/// Who hides, and within which bounds bodies are decoded for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'f> {
    pub(super) redaction: &'f Redaction,
    pub(super) limits: Limits,
    pub(super) masks: Masks,
}

impl<'m> Visible<'m> {
    pub(super) fn new(headers: &'m HeaderMap, body: &'m Captured, filter: Filter<'_>) -> Self {
        let sight = match &body.content {
            Content::Whole(bytes) => {
                let body = content::Body::new(headers, bytes, filter.limits);
                filter.redaction.body(&body, filter.masks)
            }
            Content::Over { first, digest } => {
                let redaction = filter.redaction;
                redaction.start_of_body(first, *digest, filter.masks)
            }
        };
        let (headers, hidden) = texts(headers, filter);
        Self {
            headers,
            hidden: [hidden, sight.places],
            body: self::body(sight.form, body),
        }
    }

    /// The paths of what is hidden in its headers. `path` is its own in the record.
    pub(super) fn hidden_headers(&self, path: &str) -> impl Iterator<Item = String> {
        let hidden = self.hidden[0].iter();
        hidden.map(move |name| format!("{path}.headers.{name}"))
    }

    /// The paths of what is hidden in its body.
    pub(super) fn hidden_places(&self, path: &str) -> impl Iterator<Item = String> {
        let hidden = self.hidden[1].iter();
        hidden.map(move |pointer| format!("{path}.body{pointer}"))
    }

    /// What of it is not all there, because it was not kept. `path` is its own in the record.
    pub(super) fn truncated(&self, path: &str) -> Option<Truncated> {
        let Some(Body::Bytes(Bytes { bytes, size })) = &self.body else {
            return None;
        };
        let (size, kept) = (*size, bytes.len() as u64);
        (kept < size).then(|| Truncated {
            field: format!("{path}.body"),
            size,
            kept,
        })
    }

    /// About how many bytes its body takes in a record.
    pub(super) fn size_of_body(&self) -> usize {
        match &self.body {
            None => 0,
            Some(Body::Json(text)) => text.get().len(),
            Some(Body::Bytes(it)) => it.bytes.len().div_ceil(3) * 4,
        }
    }
}

/// A body that may be shown.
fn body<'m>(form: Form<'m>, captured: &Captured) -> Option<Body<'m>> {
    if captured.len == 0 {
        return None;
    }
    let bytes = match form {
        Form::Json(text) => return line(text).map(Body::Json),
        Form::Bytes(bytes) => bytes,
        Form::Mask(mask) => {
            let size = mask.len() as u64;
            let bytes = Cow::Owned(mask.into_bytes());
            return Some(Body::Bytes(Bytes { bytes, size }));
        }
    };
    let size = match captured.content {
        Content::Over { .. } => captured.len,
        Content::Whole(_) => bytes.len() as u64,
    };
    Some(Body::Bytes(Bytes { bytes, size }))
}

/// A JSON text as one line, otherwise as it is; not copied if it is one.
fn line(text: Cow<'_, str>) -> Option<Cow<'_, RawValue>> {
    const BREAKS: [char; 2] = ['\n', '\r'];
    match text {
        Cow::Borrowed(text) if !text.trim_ascii().contains(BREAKS) => {
            serde_json::from_str(text).ok().map(Cow::Borrowed)
        }
        // Strings hold no bare line breaks (RFC 8259 §7), so these stand between tokens.
        text => {
            let line = text.trim_ascii().replace(BREAKS, "");
            RawValue::from_string(line).ok().map(Cow::Owned)
        }
    }
}

/// The headers, and what is hidden of them.
fn texts<'m>(headers: &'m HeaderMap, filter: Filter<'_>) -> (Headers<'m>, Vec<String>) {
    let mut hidden = Vec::new();
    let names = headers.keys().map(|name| {
        let values = headers.get_all(name).iter().map(|value| {
            let line = filter
                .redaction
                .header(name, value.as_bytes(), filter.masks);
            hidden.extend(line.hidden.iter().map(|part| format!("{name}{part}")));
            line.text
        });
        (name, values.collect())
    });
    let texts = Headers(names.collect());
    hidden.dedup();
    (texts, hidden)
}

impl Serialize for Headers<'_> {
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

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(&self.bytes, &STANDARD))
    }
}
