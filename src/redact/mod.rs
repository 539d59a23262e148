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
//! - `body`: what may be shown of a body
//! - `document`: hidden values of JSON, and what a value is known by
//! - `glob`: names with `*`
//! - `parameters`: hidden values of queries and forms

mod body;
mod document;
mod glob;
mod parameters;

use std::borrow::Cow;
use std::fmt::Write;

use http::HeaderName;
use regex::bytes::Regex;
use ring::hmac;
use ring::rand::SystemRandom;

pub(crate) use body::Form;
pub use glob::Glob;

use crate::config::Redact;
use crate::content::Media;
use crate::json::pattern::{self, Pattern, Segment, Tracker};
use crate::json::{Document, Value};

/// The mask of what nobody compares.
const MASK: &str = "[redacted]";

/// Bytes of a value's HMAC that its mask shows.
const SHOWN_BYTES: usize = 8;

/// Places that are told of one body.
const MAX_PLACES: usize = 100;

/// Hides what is not to leave the process.
#[derive(Debug)]
pub struct Redaction {
    settings: Redact,
    /// All globs of headers in one: it is asked for each header of each record.
    headers: Regex,
    /// The places of bodies in the arrays that lines of JSON are compared as: those of each line, too.
    in_lines: Vec<Pattern>,
    /// The same of events, and of their data.
    in_events: Vec<Pattern>,
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
    /// Where they are, as JSON Pointers, at most 100.
    pub(crate) places: Vec<String>,
}

/// A header's value, or a URL, as it may be shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'t> {
    pub(crate) text: Cow<'t, str>,
    /// What is hidden in it: `?token` for a parameter, nothing for all of it.
    pub(crate) hidden: Vec<String>,
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
        Ok(Self::of(settings, key))
    }

    /// Hides nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::with_key(Redact::default(), b"")
    }

    /// Hides what the settings say, under a known key: for tests, whose masks are always the same.
    #[must_use]
    pub fn with_key(settings: Redact, key: &[u8]) -> Self {
        Self::of(settings, hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn of(settings: Redact, key: hmac::Key) -> Self {
        let below = |around: &[&str]| {
            let places = settings.body.iter();
            let places =
                places.flat_map(|place| around.iter().map(move |it| format!("{it}{place}")));
            let pattern = |text: String| text.parse().expect("a pattern behind another is one");
            places.map(pattern).collect()
        };
        Self {
            in_lines: below(&["", "/*"]),
            in_events: below(&["", "/*", "/*/data"]),
            headers: glob::any(&settings.headers),
            settings,
            key,
        }
    }

    /// Whether a header's values are hidden.
    #[must_use]
    pub fn hides_header(&self, name: &HeaderName) -> bool {
        self.headers.is_match(name.as_str().as_bytes())
    }

    /// A response's header as it may be shown; bytes that are no Unicode are replaced.
    #[must_use]
    pub fn header_value<'v>(&self, name: &HeaderName, value: &'v [u8]) -> Cow<'v, str> {
        self.header(name, value, Masks::Told).text
    }

    /// A header's value as it may be shown.
    pub(crate) fn header<'v>(&self, name: &HeaderName, value: &'v [u8], masks: Masks) -> Line<'v> {
        if self.hides_header(name) {
            return Line {
                text: Cow::Owned(self.masked(masks, b'h', value)),
                hidden: vec![String::new()],
            };
        }
        // Which headers hold URLs, nobody can say.
        match String::from_utf8_lossy(value) {
            Cow::Borrowed(text) => self.url(text, masks),
            Cow::Owned(text) => self.url(&text, masks).into_owned(),
        }
    }

    /// A request's target with the values of hidden parameters masked. All else of it is as it was, whatever
    /// it is.
    #[must_use]
    pub fn target<'t>(&self, target: &'t str) -> Cow<'t, str> {
        self.url(target, Masks::Alike).text
    }

    /// A URL of whatever form, with the values of hidden parameters masked: those of the query, and those
    /// that a fragment is made of.
    pub(crate) fn url<'t>(&self, url: &'t str, masks: Masks) -> Line<'t> {
        let begins = url.find(['?', '#']);
        let Some(query) = begins.filter(|_| !self.settings.query.is_empty()) else {
            return Line::from(Cow::Borrowed(url));
        };
        let query = query + 1;
        let found = parameters::find(&url.as_bytes()[query..], |name| self.hides_parameter(name));
        if found.is_empty() {
            return Line::from(Cow::Borrowed(url));
        }
        let cuts = found.iter().map(|it| {
            let place = it.place.start + query..it.place.end + query;
            let mask = self.masked(masks, b'q', &url.as_bytes()[place.clone()]);
            (place, mask)
        });
        Line {
            text: Cow::Owned(splice(url, cuts)),
            hidden: found.iter().map(|it| format!("?{}", it.name)).collect(),
        }
    }

    fn hides_parameter(&self, name: &[u8]) -> bool {
        self.settings.query.iter().any(|glob| glob.matches(name))
    }

    /// Whether there is anything to hide in bodies.
    #[must_use]
    pub fn hides_bodies(&self) -> bool {
        !self.settings.body.is_empty()
    }

    /// Follows a walk through what a body of this kind is as JSON, for [`Self::show`]. It stands at the root.
    pub(crate) fn tracker(&self, media: Media) -> Tracker<'_> {
        Tracker::new(match media {
            Media::JsonLines => &self.in_lines,
            Media::Events => &self.in_events,
            Media::Json | Media::Form | Media::Text | Media::Bytes => &self.settings.body,
        })
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
        let hidden = document::find(value, tracker).values;
        if hidden.is_empty() {
            return Cow::Borrowed(value.text());
        }
        Cow::Owned(self.cut_out(value, &hidden, Masks::Told))
    }

    /// A value by its JSON text as it may be shown that somebody found at this path: a JSON Pointer, `status`,
    /// `header:` with a name, or anything else, which may come from wherever. `media` says what the body is that
    /// pointers lead into.
    pub(crate) fn found<'v>(&self, path: &str, text: &'v str, media: Media) -> Cow<'v, str> {
        let mask = || Cow::Owned(format!("\"{}\"", self.mask(text.as_bytes())));
        if path == "status" {
            return Cow::Borrowed(text);
        }
        if let Some(name) = path.strip_prefix("header:") {
            return match serde_json::from_str::<String>(text) {
                Ok(value) => match name.parse() {
                    Ok(name) => {
                        let shown = self.header_value(&name, value.as_bytes());
                        Cow::Owned(serde_json::Value::from(shown.into_owned()).to_string())
                    }
                    Err(_) => mask(),
                },
                // A header's value is text; what else it may hold, nobody knows.
                Err(_) => mask(),
            };
        }
        if !self.hides_bodies() {
            return Cow::Borrowed(text);
        }
        let segments = match path.strip_prefix('/') {
            Some(pointer) => pattern::segments(pointer),
            None => None,
        };
        let (Some(segments), Some(document)) = (segments, Document::parse(text.as_bytes())) else {
            return mask();
        };
        let mut tracker = self.tracker(media);
        for segment in &segments {
            // An index has one spelling (RFC 6901 §4).
            let index = segment.parse().ok();
            let index = index.filter(|index: &usize| index.to_string() == *segment);
            tracker.enter(index.map_or(Segment::Key(segment), Segment::Index));
        }
        Cow::Owned(self.show(document.root(), &mut tracker).into_owned())
    }

    /// A whole document with a mask for each hidden value; `None` if there is none. All else is as it is
    /// written, the white space around the document aside.
    pub(crate) fn json(&self, document: &Document<'_>, masks: Masks) -> Option<Redacted> {
        if !self.hides_bodies() {
            return None;
        }
        let hidden = document::find(document.root(), &mut self.tracker(Media::Json));
        (!hidden.values.is_empty()).then(|| Redacted {
            text: self.cut_out(document.root(), &hidden.values, masks),
            places: hidden.places,
        })
    }

    /// A value's text with masks for these values within it.
    fn cut_out(&self, value: Value<'_>, hidden: &[Value<'_>], masks: Masks) -> String {
        let start = value.place().start;
        let cuts = hidden.iter().map(|hidden| {
            let place = hidden.place();
            let mask = self.quoted(*hidden, masks);
            (place.start - start..place.end - start, mask)
        });
        splice(value.text(), cuts)
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

    /// The mask of bytes of a kind; those of another kind have other masks.
    fn masked(&self, masks: Masks, kind: u8, bytes: &[u8]) -> String {
        match masks {
            Masks::Alike => MASK.to_owned(),
            Masks::Told => self.mask(&[&[kind], bytes].concat()),
        }
    }
}

impl<'t> From<Cow<'t, str>> for Line<'t> {
    fn from(text: Cow<'t, str>) -> Self {
        let hidden = Vec::new();
        Self { text, hidden }
    }
}

impl Line<'_> {
    fn into_owned(self) -> Line<'static> {
        Line {
            text: Cow::Owned(self.text.into_owned()),
            hidden: self.hidden,
        }
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
