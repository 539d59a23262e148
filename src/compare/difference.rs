//! One difference: where, of what kind, and both values.

use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

/// Something that the two answers don't agree on.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Where: a JSON Pointer (RFC 6901) into the bodies, `status`, or `body` for bodies that are not
    /// compared as JSON.
    pub path: String,
    /// Of what kind.
    pub kind: Kind,
    /// Of two bodies that are not compared as JSON: the first byte that differs, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The reference's value; left out where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Shown>,
    /// The candidate's value; left out where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Shown>,
}

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Another value of the same type.
    Changed,
    /// A value of another type.
    TypeChanged,
    /// Only the reference has it.
    Missing,
    /// Only the candidate has it.
    Unexpected,
    /// Another length.
    Length,
}

impl Kind {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::TypeChanged => "type_changed",
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Length => "length",
        }
    }
}

/// A value as JSON: itself, or the start of its text, as a string that ends in "…".
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Shown(Box<RawValue>);

impl Difference {
    /// A difference by both values, without an offset.
    pub(super) fn new(
        path: impl Into<String>,
        kind: Kind,
        (reference, candidate): (Option<Shown>, Option<Shown>),
    ) -> Self {
        Self {
            path: path.into(),
            kind,
            offset: None,
            reference,
            candidate,
        }
    }
}

impl Shown {
    /// Bytes of a value's text that are shown; a longer one is shortened.
    pub(super) const MAX: usize = 256;

    /// The value's JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// A value by its JSON text, which is valid.
    pub(super) fn json(text: &str) -> Self {
        if text.len() > Self::MAX {
            return Self::text(text);
        }
        // A record is one line. Within JSON, line breaks only stand between tokens.
        let line = text.replace(['\n', '\r'], "");
        RawValue::from_string(line).map_or_else(|_| Self::text(text), Self)
    }

    /// Text as a JSON string.
    pub(super) fn text(text: &str) -> Self {
        let mut end = text.len().min(Self::MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut shown = text[..end].to_owned();
        if end < text.len() {
            shown.push('…');
        }
        let json = serde_json::to_string(&shown).and_then(RawValue::from_string);
        Self(json.unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// Bytes as a JSON string of their hexadecimal digits.
    pub(super) fn bytes(bytes: &[u8]) -> Self {
        let mut text = String::from("0x");
        for byte in bytes {
            // Writing to a String can't fail.
            let _infallible = write!(text, "{byte:02x}");
        }
        Self::text(&text)
    }

    pub(super) fn number(number: impl std::fmt::Display) -> Self {
        Self::json(&number.to_string())
    }
}

impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

/// The differences of one comparison: the first ones, and how many there are in all.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    list: Vec<Difference>,
    total: usize,
    max: usize,
}

impl Differences {
    /// None yet; at most `max` will be listed.
    #[must_use]
    pub fn none(max: usize) -> Self {
        Self {
            list: Vec::new(),
            total: 0,
            max,
        }
    }

    /// Counts a difference, and lists it if there is room.
    pub(super) fn add(&mut self, difference: impl FnOnce() -> Difference) {
        self.total += 1;
        if self.list.len() < self.max {
            self.list.push(difference());
        }
    }

    /// The first ones, in the order of the reference's document.
    #[must_use]
    pub fn list(&self) -> &[Difference] {
        &self.list
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }
}
