//! What may leave the process, and what only its mask may.
//!
//! Invariants:
//!
//! - What is hidden is cut out before anything is shortened, compared for the eye, or written down. What
//!   can't be cut out for sure is hidden as a whole.
//! - What is not hidden stays as it is, byte by byte.
//! - A mask tells nothing but whether two values of one process are the same: it is a part of their
//!   HMAC-SHA-256, under a key that this process alone has, and forgets.
//!
//! # Layout
//!
//! - `document`: hidden values of JSON, and what a value is known by
//! - `glob`: names with `*`
//! - `parameters`: hidden values of queries and forms

mod document;
mod glob;
mod parameters;

use std::borrow::Cow;
use std::fmt::Write;

use http::HeaderName;
use ring::hmac;
use ring::rand::SystemRandom;

pub use glob::Glob;

use crate::config::Redact;
use crate::json::pattern::Tracker;
use crate::json::{Document, Value};

/// The mask of what nobody compares.
const MASK: &str = "[redacted]";

/// Bytes of a value's HMAC that its mask shows.
const SHOWN_BYTES: usize = 8;

/// Hides what is not to leave the process.
#[derive(Debug)]
pub struct Redaction {
    settings: Redact,
    key: hmac::Key,
}

/// What stands in place of a hidden value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masks {
    /// The same for every value.
    Alike,
    /// Another one for another value.
    Told,
}

/// A text in which something was hidden.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redacted {
    /// With masks in it.
    pub(crate) text: String,
    /// Where they are, as JSON Pointers.
    pub(crate) places: Vec<String>,
}

/// The system gives no random numbers, so no key can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

impl Redaction {
    /// Hides what the settings say, under a new key.
    pub fn new(settings: Redact) -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_unspecified| NoRandomness)?;
        Ok(Self { settings, key })
    }

    /// Hides nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::with_key(Redact::default(), b"")
    }

    /// Hides what the settings say, under a known key: for tests, whose masks are always the same.
    #[must_use]
    pub fn with_key(settings: Redact, key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { settings, key }
    }

    /// Whether a header's values are hidden.
    #[must_use]
    pub fn hides_header(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        self.settings.headers.iter().any(|glob| glob.matches(name))
    }

    /// A response's header as it may be shown; bytes that are no Unicode are replaced.
    #[must_use]
    pub fn header_value<'v>(&self, name: &HeaderName, value: &'v [u8]) -> Cow<'v, str> {
        if self.hides_header(name) {
            return Cow::Owned(self.mask_of(b'h', value));
        }
        String::from_utf8_lossy(value)
    }

    /// A request's target with the values of hidden parameters masked. All else of it is as it was, whatever
    /// it is.
    #[must_use]
    pub fn target<'t>(&self, target: &'t str) -> Cow<'t, str> {
        let Some(query) = target.find('?').filter(|_| !self.settings.query.is_empty()) else {
            return Cow::Borrowed(target);
        };
        let query = query + 1;
        let found = parameters::find(&target.as_bytes()[query..], |name| {
            self.hides_parameter(name)
        });
        if found.is_empty() {
            return Cow::Borrowed(target);
        }
        let places = found
            .iter()
            .map(|it| it.place.start + query..it.place.end + query);
        Cow::Owned(splice(target, places.map(|place| (place, MASK.to_owned()))))
    }

    fn hides_parameter(&self, name: &[u8]) -> bool {
        self.settings.query.iter().any(|glob| glob.matches(name))
    }

    /// Whether there is anything to hide in bodies.
    #[must_use]
    pub fn hides_bodies(&self) -> bool {
        !self.settings.body.is_empty()
    }

    /// Follows a walk through a document, for [`Self::show`]. It stands at the root.
    pub(crate) fn tracker(&self) -> Tracker<'_> {
        Tracker::new(&self.settings.body)
    }

    /// A value of a response as it may be shown: as it is written but for hidden values within it, or the
    /// mask that stands for it. `tracker` is this redaction's, and stands at the value's place.
    pub(crate) fn show<'v>(&self, value: Value<'v>, tracker: &mut Tracker<'_>) -> Cow<'v, str> {
        if !self.hides_bodies() {
            return Cow::Borrowed(value.text());
        }
        if tracker.outermost().is_some() {
            return Cow::Owned(self.quoted(value, Masks::Told));
        }
        let hidden = document::find(value, tracker);
        if hidden.is_empty() {
            return Cow::Borrowed(value.text());
        }
        let start = value.place().start;
        let cuts = hidden.iter().map(|hidden| {
            let place = hidden.place();
            let mask = self.quoted(hidden.value, Masks::Told);
            (place.start - start..place.end - start, mask)
        });
        Cow::Owned(splice(value.text(), cuts))
    }

    /// A whole document with a mask for each hidden value; `None` if there is none. All else is as it is
    /// written, the white space around the document aside.
    pub(crate) fn json(&self, document: &Document<'_>, masks: Masks) -> Option<Redacted> {
        if !self.hides_bodies() {
            return None;
        }
        let root = document.root();
        let hidden = document::find(root, &mut self.tracker());
        if hidden.is_empty() {
            return None;
        }
        let start = root.place().start;
        let cuts = hidden.iter().map(|hidden| {
            let place = hidden.place();
            let mask = self.quoted(hidden.value, masks);
            (place.start - start..place.end - start, mask)
        });
        Some(Redacted {
            text: splice(root.text(), cuts),
            places: hidden.iter().map(|hidden| hidden.pointer.clone()).collect(),
        })
    }

    /// A value's mask, as JSON.
    fn quoted(&self, value: Value<'_>, masks: Masks) -> String {
        match masks {
            Masks::Alike => format!("\"{MASK}\""),
            Masks::Told => format!("\"{}\"", self.mask(&document::canonical(value))),
        }
    }

    /// What stands for these bytes, as in `[redacted 0123456789abcdef]`: the same for the same ones.
    #[must_use]
    pub fn mask(&self, canonical: &[u8]) -> String {
        let tag = hmac::sign(&self.key, canonical);
        let mut mask = String::from("[redacted ");
        for byte in tag.as_ref().iter().take(SHOWN_BYTES) {
            // Writing to a String can't fail.
            let _infallible = write!(mask, "{byte:02x}");
        }
        mask.push(']');
        mask
    }

    /// The mask of bytes of a kind, which no other kind's bytes have.
    fn mask_of(&self, kind: u8, bytes: &[u8]) -> String {
        self.mask(&[&[kind], bytes].concat())
    }
}

/// A text with other texts in some places, which follow each other.
fn splice(text: &str, cuts: impl Iterator<Item = (std::ops::Range<usize>, String)>) -> String {
    let mut spliced = String::with_capacity(text.len());
    let mut from = 0;
    for (place, instead) in cuts {
        spliced.push_str(&text[from..place.start]);
        spliced.push_str(&instead);
        from = place.end;
    }
    spliced.push_str(&text[from..]);
    spliced
}

#[cfg(test)]
mod tests;
