//! A message in a record: its headers, and its body as `null`, JSON as it was written, or base64.
//!
//! It is made in two steps. A [`Visible`] has everything that may leave the process, and nothing else; a
//! [`Message`] is what of it fits. So no cut can show a part of what is hidden.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::capture::{Captured, Content};
use crate::compare::shorten;
use crate::content::{self, Limits};
use crate::redact::{Form, Masks, Redaction, Sight};

/// The largest parts of a message, in bytes. What is larger is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) body: usize,
    /// Of one header's value.
    pub(super) header: usize,
}

/// What may leave the process of a message.
#[derive(Debug)]
pub(super) struct Visible<'m> {
    headers: Texts<'m>,
    body: Body<'m>,
    /// What is hidden of its headers, and of its body: paths below its own.
    hidden: [Vec<String>; 2],
}

/// Headers by name, each with its values.
type Texts<'m> = Vec<(&'m HeaderName, Vec<Cow<'m, str>>)>;

#[derive(Debug)]
enum Body<'m> {
    None,
    Json {
        /// As it was written, but for line breaks.
        line: Box<RawValue>,
        text: Cow<'m, str>,
    },
    Bytes {
        bytes: Cow<'m, [u8]>,
        /// How many there were, of which these are the first.
        size: u64,
    },
}

/// A message ready to be written.
#[derive(Debug, Serialize)]
pub(super) struct Message<'m> {
    headers: Headers<'m>,
    body: Option<Written<'m>>,
    #[serde(skip)]
    cuts: [(&'static str, Cut); 2],
}

/// Headers as an object: a string each, or an array of them where a header is repeated.
#[derive(Debug)]
struct Headers<'m>(Texts<'m>);

/// What a body is in a record, if it is anything.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
enum Written<'m> {
    Json(&'m RawValue),
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
            hidden: [hidden, sight.places.clone()],
            body: self::body(sight, body),
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

    /// What of it fits.
    pub(super) fn within(&self, bounds: Bounds) -> Message<'_> {
        let (body, body_cut) = self.body.within(bounds.body);
        let mut headers_cut = Cut::default();
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, texts) in &self.headers {
            let mut shown = Vec::with_capacity(texts.len());
            for text in texts {
                headers_cut.size += text.len() as u64;
                headers_cut.kept += text.len().min(bounds.header) as u64;
                shown.push(shorten(text, bounds.header));
            }
            headers.push((*name, shown));
        }
        let headers = Headers(headers);
        Message {
            headers,
            body,
            cuts: [("headers", headers_cut), ("body", body_cut)],
        }
    }
}

impl Message<'_> {
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

/// A body that may be shown.
fn body<'m>(sight: Sight<'m>, captured: &Captured) -> Body<'m> {
    if captured.len == 0 {
        return Body::None;
    }
    let is_over = matches!(captured.content, Content::Over { .. });
    match sight.form {
        Form::Json(text) => match line(&text) {
            Some(line) => Body::Json { line, text },
            None => Body::None,
        },
        Form::Bytes(bytes) => Body::Bytes {
            size: if is_over {
                captured.len
            } else {
                bytes.len() as u64
            },
            bytes,
        },
        Form::Mask(mask) => Body::Bytes {
            size: mask.len() as u64,
            bytes: Cow::Owned(mask.into_bytes()),
        },
    }
}

impl Body<'_> {
    /// At most its first `max` bytes.
    fn within(&self, max: usize) -> (Option<Written<'_>>, Cut) {
        let (bytes, size) = match self {
            Self::None => return (None, Cut::default()),
            Self::Json { line, text } if text.len() <= max => {
                let size = text.len() as u64;
                return (Some(Written::Json(line)), Cut { size, kept: size });
            }
            Self::Json { text, .. } => (text.as_bytes(), text.len() as u64),
            Self::Bytes { bytes, size } => (&**bytes, *size),
        };
        let shown = &bytes[..bytes.len().min(max)];
        let kept = shown.len() as u64;
        (
            Some(Written::Bytes(STANDARD.encode(shown))),
            Cut { size, kept },
        )
    }
}

/// A JSON text as one line, otherwise as it is.
fn line(text: &str) -> Option<Box<RawValue>> {
    // Strings hold no bare line breaks (RFC 8259 §7), so these stand between tokens.
    let line = text.trim_ascii().replace(['\n', '\r'], "");
    RawValue::from_string(line).ok()
}

/// The headers, and what is hidden of them.
fn texts<'m>(headers: &'m HeaderMap, filter: Filter<'_>) -> (Texts<'m>, Vec<String>) {
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
    let texts = names.collect();
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
