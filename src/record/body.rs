//! A body's form in a record: `null`, JSON as it was written, or base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;

use super::shape::Truncated;
use crate::capture::Content;
use crate::compare::{is_json, parses_as_json};

/// A body ready to be written.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) form: Option<Form>,
    /// The body's length in bytes, and how many of them are in the record.
    len: u64,
    kept: u64,
}

/// What a body is in a record, if it is anything.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub(super) enum Form {
    Json(Box<RawValue>),
    /// In base64 (RFC 4648 §4).
    Bytes(String),
}

impl Encoded {
    /// A body that there is not.
    pub(super) fn none() -> Self {
        Self {
            form: None,
            len: 0,
            kept: 0,
        }
    }

    /// The body of a message with these headers, at most its first `max` bytes.
    pub(super) fn of(headers: &HeaderMap, content: &Content, len: u64, max: usize) -> Self {
        let (bytes, is_whole) = match content {
            Content::Whole(bytes) => (bytes, true),
            Content::Over { first, .. } => (first, false),
        };
        if len == 0 {
            return Self::none();
        }
        let json = (is_whole && bytes.len() <= max && is_json(headers))
            .then(|| json(bytes))
            .flatten();
        let (form, kept) = match json {
            Some(json) => (Form::Json(json), len),
            None => {
                let kept = &bytes[..bytes.len().min(max)];
                (Form::Bytes(STANDARD.encode(kept)), kept.len() as u64)
            }
        };
        Self {
            form: Some(form),
            len,
            kept,
        }
    }

    /// What to say of it if it is not all there. `of` names the message.
    pub(super) fn truncated(&self, of: &'static str) -> Option<Truncated> {
        (self.kept < self.len).then_some(Truncated {
            body: of,
            size: self.len,
            kept: self.kept,
        })
    }
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
