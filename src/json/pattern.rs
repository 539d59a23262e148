//! Patterns of places in a document: JSON Pointers (RFC 6901) in which `*` is any one segment, and `**` any
//! number of them, none included.
//!
//! `/items/*/price` is the price of every item, `/**/trace_id` a `trace_id` anywhere, and `/meta/**`
//! `meta` with all that is in it.

use std::fmt;
use std::str::FromStr;

/// From a value to one within it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Segment<'a> {
    /// By an object's key, unescaped.
    Key(&'a str),
    /// By an array's index.
    Index(usize),
}

/// A pattern of places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    /// This key, or this index.
    Literal(String),
    /// Any one segment.
    One,
    /// Any number of segments.
    Any,
}

impl Pattern {
    /// Whether it leads to the place at a JSON Pointer without patterns, or to one around it. What could be an
    /// index is one.
    #[must_use]
    pub fn is_around(&self, pointer: &str) -> bool {
        let mut tracker = Tracker::new([self]);
        let mut is_around = tracker.here().next().is_some();
        for segment in pointer.split('/').skip(1) {
            let key = unescape(segment).unwrap_or_default();
            match key.parse() {
                Ok(index) => tracker.enter(Segment::Index(index)),
                Err(_) => tracker.enter(Segment::Key(&key)),
            }
            is_around |= tracker.here().next().is_some();
        }
        is_around
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!(
                "\"{text}\" is no place in a document: a JSON Pointer begins with \"/\""
            ));
        }
        let part = |segment: &str| match segment {
            "*" => Ok(Part::One),
            "**" => Ok(Part::Any),
            _ => unescape(segment)
                .map(Part::Literal)
                .ok_or_else(|| format!("\"{text}\" has a \"~\" that is not \"~0\" or \"~1\"")),
        };
        let parts = text
            .split('/')
            .skip(1)
            .map(part)
            .collect::<Result<_, _>>()?;
        let text = text.to_owned();
        Ok(Self { text, parts })
    }
}

/// A segment of a JSON Pointer as it is meant (RFC 6901 §4).
fn unescape(segment: &str) -> Option<String> {
    let mut parts = segment.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Some(text)
}

/// The segments of what stands behind a JSON Pointer's first `/`; `None` if it is none.
pub(crate) fn segments(pointer: &str) -> Option<Vec<String>> {
    pointer.split('/').map(unescape).collect()
}

/// Writes a segment behind a JSON Pointer (RFC 6901 §3).
pub(crate) fn push_segment(pointer: &mut String, segment: Segment<'_>) {
    pointer.push('/');
    match segment {
        Segment::Key(key) if key.bytes().any(|byte| matches!(byte, b'~' | b'/')) => {
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        }
        Segment::Key(key) => pointer.push_str(key),
        Segment::Index(index) => pointer.push_str(&index.to_string()),
    }
}

/// Follows a walk through a document, and tells which of some patterns lead to where it is.
///
/// Patterns are known by their index in the list that it was made of.
#[derive(Debug)]
pub(crate) struct Tracker<'p> {
    patterns: Vec<&'p Pattern>,
    /// Of each level: how far patterns have come, as (pattern, parts passed); the levels one behind the other.
    states: Vec<(usize, usize)>,
    /// Where each level begins in `states`.
    levels: Vec<usize>,
}

impl<'p> Tracker<'p> {
    /// At the document's root.
    pub(crate) fn new(patterns: impl IntoIterator<Item = &'p Pattern>) -> Self {
        let mut tracker = Self {
            patterns: patterns.into_iter().collect(),
            states: Vec::new(),
            levels: vec![0],
        };
        for pattern in 0..tracker.patterns.len() {
            tracker.reach(0, pattern, 0);
        }
        tracker
    }

    /// Goes to a value within.
    pub(crate) fn enter(&mut self, segment: Segment<'_>) {
        let from = self.levels.last().copied().unwrap_or_default();
        let to = self.states.len();
        self.levels.push(to);
        for state in from..to {
            let (pattern, passed) = self.states[state];
            match self.patterns[pattern].parts.get(passed) {
                Some(Part::One) => self.reach(to, pattern, passed + 1),
                Some(Part::Any) => self.reach(to, pattern, passed),
                Some(Part::Literal(literal)) if is(literal, segment) => {
                    self.reach(to, pattern, passed + 1);
                }
                Some(Part::Literal(_)) | None => {}
            }
        }
    }

    /// Goes back to the value around.
    pub(crate) fn leave(&mut self) {
        let level = self.levels.pop().unwrap_or_default();
        self.states.truncate(level);
    }

    /// The patterns that lead here, in their order.
    pub(crate) fn here(&self) -> impl Iterator<Item = usize> + '_ {
        let reached = self.level().iter();
        reached
            .filter(|state| self.is_over(**state))
            .map(|(pattern, _)| *pattern)
    }

    /// How many segments from the root the first place on the way here is that a pattern leads to, this
    /// one included.
    pub(crate) fn outermost(&self) -> Option<usize> {
        let starts = self.levels.iter().copied();
        let ends = starts.clone().skip(1).chain([self.states.len()]);
        let mut levels = starts
            .zip(ends)
            .map(|(start, end)| &self.states[start..end]);
        levels.position(|level| level.iter().any(|state| self.is_over(*state)))
    }

    /// Whether a pattern leads here or to a value within.
    pub(crate) fn is_near(&self) -> bool {
        !self.level().is_empty()
    }

    fn is_over(&self, (pattern, passed): (usize, usize)) -> bool {
        passed == self.patterns[pattern].parts.len()
    }

    fn level(&self) -> &[(usize, usize)] {
        &self.states[self.levels.last().copied().unwrap_or_default()..]
    }

    /// A pattern has come so far on the level that begins at `level`.
    fn reach(&mut self, level: usize, pattern: usize, passed: usize) {
        // Those of one pattern stand together, the others need not be looked at.
        let states = self.states[level..].iter().rev();
        let mut own = states.take_while(|state| state.0 == pattern);
        if own.any(|state| state.1 == passed) {
            return;
        }
        self.states.push((pattern, passed));
        if self.patterns[pattern].parts.get(passed) == Some(&Part::Any) {
            self.reach(level, pattern, passed + 1);
        }
    }
}

fn is(literal: &str, segment: Segment<'_>) -> bool {
    match segment {
        Segment::Key(key) => literal == key,
        // An index has one spelling, without zeros before it or a sign (RFC 6901 §4).
        Segment::Index(index) => {
            let is_index =
                literal == "0" || literal.starts_with(|first| matches!(first, '1'..='9'));
            is_index && literal.parse() == Ok(index)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, Kind, Value};

    /// The place that a plain pointer names, as the walk gets there.
    fn lead_to(patterns: &[&str], pointer: &str) -> (Vec<usize>, bool) {
        let patterns: Vec<Pattern> = patterns
            .iter()
            .map(|text| text.parse().expect("a pattern"))
            .collect();
        let mut tracker = Tracker::new(&patterns);
        for segment in pointer.split('/').skip(1) {
            let key = unescape(segment).expect("a pointer");
            match key.parse() {
                Ok(index) => tracker.enter(Segment::Index(index)),
                Err(_) => tracker.enter(Segment::Key(&key)),
            }
        }
        (tracker.here().collect(), tracker.is_near())
    }

    #[test]
    fn a_pattern_leads_to_the_places_that_it_says() {
        for (pattern, pointer) in [
            ("", ""),
            ("/", "/"),
            ("/a", "/a"),
            ("/items/*/price", "/items/3/price"),
            ("/items/3", "/items/3"),
            ("/*", "/a"),
            ("/**", ""),
            ("/**", "/a/b"),
            ("/**/id", "/id"),
            ("/**/id", "/a/0/b/id"),
            ("/a/**/b/**/c", "/a/x/b/b/y/c"),
            ("/a/**", "/a"),
            ("/a~1b/~0", "/a~1b/~0"),
        ] {
            assert_eq!(lead_to(&[pattern], pointer).0, [0], "{pattern} {pointer}");
        }
    }

    #[test]
    fn a_pattern_leads_nowhere_else() {
        for (pattern, pointer, near) in [
            ("", "/a", false),
            ("/a", "", true),
            ("/a", "/b", false),
            ("/a", "/a/b", false),
            ("/items/*/price", "/items/price", true),
            ("/*", "/a/b", false),
            ("/**/id", "/id/x", true),
            ("/03", "/3x", false),
            ("/03", "/3", false),
            ("/+3", "/3", false),
            ("/-", "/0", false),
        ] {
            let found = lead_to(&[pattern], pointer);
            assert_eq!(found, (vec![], near), "{pattern} {pointer}");
        }
    }

    #[test]
    fn patterns_keep_their_order_and_a_walk_comes_back() {
        let (here, _) = lead_to(&["/**/b", "/x", "/a/*", "/**/**/b"], "/a/b");
        assert_eq!(here, [0, 2, 3]);
        let patterns = ["/a/b".parse().expect("a pattern")];
        let mut tracker = Tracker::new(&patterns);
        tracker.enter(Segment::Key("x"));
        tracker.leave();
        tracker.enter(Segment::Key("a"));
        tracker.enter(Segment::Key("b"));
        assert_eq!(tracker.here().count(), 1);
        tracker.leave();
        assert!(tracker.is_near() && tracker.here().next().is_none());
    }

    /// The values that a pattern leads to, as they are written.
    fn found<'d>(value: Value<'d>, tracker: &mut Tracker<'_>, values: &mut Vec<&'d str>) {
        if tracker.here().next().is_some() {
            values.push(value.text());
        }
        match value.kind() {
            Kind::Object => {
                for (key, value) in value.members() {
                    tracker.enter(Segment::Key(&key.unescaped()));
                    found(value, tracker, values);
                    tracker.leave();
                }
            }
            Kind::Array => {
                for (index, value) in value.items().enumerate() {
                    tracker.enter(Segment::Index(index));
                    found(value, tracker, values);
                    tracker.leave();
                }
            }
            _ => {}
        }
    }

    #[test]
    fn the_pointers_of_rfc_6901_lead_to_its_values() {
        let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        let document = Document::parse(text.as_bytes()).expect("JSON");
        for (pointer, value) in [
            ("", text),
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            let pattern = [pointer.parse().expect("a pattern")];
            let mut values = Vec::new();
            found(document.root(), &mut Tracker::new(&pattern), &mut values);
            assert_eq!(values, [value], "{pointer}");
        }
    }

    #[test]
    fn the_first_place_on_the_way_is_known_below_it() {
        let patterns = ["/a/b", "/a/b/c/d", "/x/**"].map(|text| text.parse().expect("a pattern"));
        let mut tracker = Tracker::new(&patterns);
        assert_eq!(tracker.outermost(), None);
        for (key, outermost) in [("a", None), ("b", Some(2)), ("c", Some(2)), ("d", Some(2))] {
            tracker.enter(Segment::Key(key));
            assert_eq!(tracker.outermost(), outermost, "{key}");
        }
        for _ in 0..4 {
            tracker.leave();
        }
        tracker.enter(Segment::Key("x"));
        assert_eq!(tracker.outermost(), Some(1));
        let everything = ["".parse().expect("a pattern")];
        assert_eq!(Tracker::new(&everything).outermost(), Some(0));
    }

    #[test]
    fn what_is_no_pointer_is_told() {
        for text in ["a", "$.a", "/a~2", "/~"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
