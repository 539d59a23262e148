//! One difference: where, of what kind, and both values.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Bytes of all listed differences' paths and values together.
const MAX_LISTED: usize = 64 * 1024;

/// Classes of differences that are told apart in one comparison; the rest are only counted.
const MAX_CLASSES: usize = 1000;

/// Bytes of text shown before the first one that differs, where the start is left out.
const CONTEXT: usize = 32;

/// Something that the two answers don't agree on.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Where: a JSON Pointer (RFC 6901) into the reference's body, or into the candidate's where only that has
    /// it; `status`; `header:` with the header's name; or `body` for bodies that are not compared as JSON. A
    /// long one ends in "…".
    pub path: String,
    /// Where in the candidate's body, if its array's items stand elsewhere there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_path: Option<String>,
    /// Where, for all differences alike: the path with `*` for each index of an array.
    #[serde(skip)]
    pub location: String,
    /// Of what kind.
    pub kind: Kind,
    /// Whether the place is known to differ by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub noise: bool,
    /// Of two bodies that are compared as bytes: the first byte that differs, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Of two bodies that are compared as text: the line that differs, from 1; the reference's, if it has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The reference's value; left out where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Shown>,
    /// The candidate's value; left out where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Shown>,
}

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
    /// Items of an array that are in both, in another order.
    Reordered,
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
            Self::Reordered => "reordered",
            Self::Length => "length",
        }
    }
}

impl Difference {
    /// A difference by both values, without an offset.
    pub(super) fn new(
        path: impl Into<String>,
        kind: Kind,
        (reference, candidate): (Option<Shown>, Option<Shown>),
    ) -> Self {
        Self {
            path: path.into(),
            candidate_path: None,
            location: String::new(),
            kind,
            noise: false,
            offset: None,
            line: None,
            reference,
            candidate,
        }
    }

    fn size(&self) -> usize {
        let shown = |value: &Option<Shown>| value.as_ref().map_or(0, |shown| shown.as_json().len());
        let candidate_path = self.candidate_path.as_ref().map_or(0, String::len);
        self.path.len() + candidate_path + shown(&self.reference) + shown(&self.candidate)
    }
}

/// A value as JSON: itself, or a part of its text, as a string with "…" where something is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(json) => json.serialize(serializer),
            Err(error) => Err(S::Error::custom(error)),
        }
    }
}

impl Shown {
    /// Bytes of a value's text that are shown; a longer one is shortened.
    const MAX: usize = 256;

    /// The value's JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// A value by its JSON text, which is valid.
    pub(super) fn json(text: &str) -> Self {
        if text.len() > Self::MAX {
            return Self::text(text);
        }
        // A record is one line. Within JSON, line breaks only stand between tokens.
        if text.contains(['\n', '\r']) {
            return Self(text.replace(['\n', '\r'], ""));
        }
        Self(text.to_owned())
    }

    /// Two values by their JSON texts, which are valid and not the same. Of a long one, the part is
    /// shown that begins to differ.
    pub(super) fn pair(reference: &str, candidate: &str) -> (Self, Self) {
        let start = start_of_part(reference, candidate, common_prefix(reference, candidate));
        let shown = |text: &str| match text.len() {
            0..=Self::MAX => Self::json(text),
            _ => Self::part(text, start),
        };
        (shown(reference), shown(candidate))
    }

    /// Two texts that are the same up to `offset`, as JSON strings: from their start, or from shortly
    /// before they differ.
    pub(super) fn texts(reference: &str, candidate: &str, offset: usize) -> (Self, Self) {
        let start = start_of_part(reference, candidate, offset);
        (Self::part(reference, start), Self::part(candidate, start))
    }

    /// A text from `start` on.
    fn part(text: &str, start: usize) -> Self {
        match start {
            0 => Self::text(text),
            _ => Self::text(&format!("…{}", &text[start..])),
        }
    }

    /// Text as a JSON string.
    pub(super) fn text(text: &str) -> Self {
        let shown = shorten(text, Self::MAX);
        Self(serde_json::to_string(&shown).expect("a text can be written as JSON"))
    }

    /// Up to 32 bytes from `offset` on, as a JSON string of their hexadecimal digits.
    pub(super) fn bytes(bytes: &[u8], offset: usize) -> Self {
        let mut text = String::from("0x");
        for byte in bytes[offset..].iter().take(CONTEXT) {
            // Writing to a String can't fail.
            let _infallible = write!(text, "{byte:02x}");
        }
        Self::text(&text)
    }

    pub(super) fn number(number: impl std::fmt::Display) -> Self {
        Self::json(&number.to_string())
    }
}

/// Where to begin showing two texts that are the same up to `offset`, so that it is in sight.
fn start_of_part(reference: &str, candidate: &str, offset: usize) -> usize {
    let mut start = match offset {
        0..=CONTEXT => 0,
        _ if offset + CONTEXT <= Shown::MAX => 0,
        _ => offset - CONTEXT,
    };
    while !reference.is_char_boundary(start) || !candidate.is_char_boundary(start) {
        start -= 1;
    }
    start
}

/// A text of at most `max` bytes, or its start with "…" behind it.
#[must_use]
pub fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// A path with `*` for each index, if it is a JSON Pointer.
fn location(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let is_index = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    let parts = path
        .split('/')
        .map(|part| if is_index(part) { "*" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// How many bytes two texts begin with in common.
pub(super) fn common_prefix(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> usize {
    let pairs = a.as_ref().iter().zip(b.as_ref());
    pairs.take_while(|(a, b)| a == b).count()
}

/// Places that are known to differ by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Noise<'n> {
    /// Their locations.
    pub locations: &'n HashSet<String>,
    /// Whether what differs there is no difference; else it is one, and said to be noise.
    pub suppress: bool,
}

/// The differences of one comparison: the first ones, and how many there are of which class.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    list: Vec<Difference>,
    total: usize,
    /// How many at each location and of each kind, noise among them.
    classes: HashMap<Kind, HashMap<String, usize>>,
    noise: usize,
    /// How many more may be listed, and how many bytes of them.
    room: usize,
    room_bytes: usize,
}

impl Differences {
    /// None yet; at most `max` will be listed, and at most 64 KiB of their paths and values.
    #[must_use]
    pub fn none(max: usize) -> Self {
        Self {
            room: max,
            room_bytes: MAX_LISTED,
            ..Self::default()
        }
    }

    /// Counts a difference, and lists it if there is room.
    pub(super) fn add(
        &mut self,
        location: String,
        kind: Kind,
        noise: Option<Noise<'_>>,
        difference: impl FnOnce() -> Difference,
    ) {
        let known = noise.filter(|noise| noise.locations.contains(&location));
        self.classify(&location, kind);
        if known.is_some_and(|noise| noise.suppress) {
            self.noise += 1;
            return;
        }
        self.total += 1;
        if self.room == 0 {
            return;
        }
        let difference = Difference {
            location,
            noise: known.is_some(),
            ..difference()
        };
        match self.room_bytes.checked_sub(difference.size()) {
            Some(left) => {
                self.room -= 1;
                self.room_bytes = left;
                self.list.push(difference);
            }
            // The list has no gaps.
            None => self.room = 0,
        }
    }

    /// Adds what was found elsewhere than in [`compare`](super::compare()): by its path, and by the JSON texts of
    /// both values as they may be shown.
    pub(crate) fn add_found(
        &mut self,
        path: &str,
        kind: Kind,
        values: (Option<String>, Option<String>),
    ) {
        let location = location(path);
        let (reference, candidate) = match values {
            (Some(reference), Some(candidate)) if reference != candidate => {
                let (reference, candidate) = Shown::pair(&reference, &candidate);
                (Some(reference), Some(candidate))
            }
            (reference, candidate) => (
                reference.map(|text| Shown::json(&text)),
                candidate.map(|text| Shown::json(&text)),
            ),
        };
        self.add(location, kind, None, || {
            let path = shorten(path, Shown::MAX).into_owned();
            Difference::new(path, kind, (reference, candidate))
        });
    }

    fn classify(&mut self, location: &str, kind: Kind) {
        let known: usize = self.classes.values().map(HashMap::len).sum();
        let classes = self.classes.entry(kind).or_default();
        if let Some(number) = classes.get_mut(location) {
            *number += 1;
        } else if known < MAX_CLASSES {
            classes.insert(location.to_owned(), 1);
        }
    }

    /// The first ones, in the order of the reference's document.
    #[must_use]
    pub fn list(&self) -> &[Difference] {
        &self.list
    }

    /// How many there are, but for those that are suppressed.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many are suppressed as noise.
    #[must_use]
    pub fn noise(&self) -> usize {
        self.noise
    }

    /// How many at each location and of each kind, noise among them, for the first 1000 of such classes; in no
    /// order.
    pub fn classes(&self) -> impl Iterator<Item = (&str, Kind, usize)> {
        let classes = self.classes.iter();
        classes.flat_map(|(kind, classes)| {
            let classes = classes.iter();
            classes.map(|(location, number)| (location.as_str(), *kind, *number))
        })
    }
}
