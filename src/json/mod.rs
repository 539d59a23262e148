//! JSON as it is written (RFC 8259): numbers keep their spelling, objects their order and every
//! repeated key, and nothing is copied.
//!
//! A general parser would give numbers as f64 and the last of equal keys. What this one refuses,
//! beside what is no JSON: more than [`MAX_DEPTH`] levels, and strings that are no Unicode (a lone
//! surrogate), which a record's consumers could not read either.
//!
//! A [`Document`] is one list of nodes, each before those within it, of 16 bytes each: a tree of boxes
//! would take up to a hundred times the memory of the text that it is made of.
//!
//! # Layout
//!
//! - `reader`: from a text to nodes
//! - `string`: what strings stand for
//! - `number`: decimals, as written
//! - `pattern`: places in a document

pub(crate) mod number;
pub(crate) mod pattern;
mod reader;
mod string;

use std::borrow::Cow;
use std::ops::Range;

use reader::{Nothing, read};
use string::unescape;

/// Levels of arrays and objects within each other. Those of a record around a body come on top, and many
/// readers end at 128.
pub(crate) const MAX_DEPTH: usize = 120;

/// A text that is JSON.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

/// A value, or an object's key, which stands right before its value.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Where its text is.
    start: u32,
    end: u32,
    /// How many nodes it is made of, itself among them.
    span: u32,
    kind: Kind,
    /// Of a string: whether there are escapes in it.
    escaped: bool,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A value in its document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    at: usize,
}

impl<'a> Document<'a> {
    /// Reads a whole text as one value; `None` if it is none, or goes beyond the bounds above.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        // A value and what is around it rarely take less; where they do, the list grows.
        let nodes = Vec::with_capacity(text.len() / size_of::<Node>());
        let (text, nodes) = read(text, 0, nodes)?;
        Some(Self { text, nodes })
    }

    /// How many values there are in it, keys among them.
    pub(crate) fn values(&self) -> usize {
        self.nodes.len()
    }

    /// The value that it is.
    pub(crate) fn root(&self) -> Value<'_> {
        Value {
            document: self,
            at: 0,
        }
    }
}

/// Whether [`Document::parse`] would read a text, at no cost of memory.
pub(crate) fn is_json(text: &[u8]) -> bool {
    is_json_within(text, 0)
}

/// Whether [`Document::parse`] would read a text where it stands within so many levels.
pub(crate) fn is_json_within(text: &[u8], levels: usize) -> bool {
    read(text, levels, Nothing).is_some()
}

/// Whether a text is as short as [`Document::parse`] needs it: places in it are kept as 32 bits.
pub(crate) fn fits(text: &str) -> bool {
    u32::try_from(text.len()).is_ok()
}

impl<'d> Value<'d> {
    fn node(self) -> &'d Node {
        &self.document.nodes[self.at]
    }

    /// As it is written, without the white space around it.
    pub(crate) fn text(self) -> &'d str {
        let node = self.node();
        &self.document.text[node.start as usize..node.end as usize]
    }

    /// Which of its document's values it is, from 0: less than [`Document::values`].
    pub(crate) fn index(self) -> usize {
        self.at
    }

    /// Where its text is in the document's.
    pub(crate) fn place(self) -> Range<usize> {
        let node = self.node();
        node.start as usize..node.end as usize
    }

    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    /// Of a string: what it stands for.
    pub(crate) fn unescaped(self) -> Cow<'d, str> {
        let text = self.text();
        let raw = &text[1..text.len() - 1];
        if self.node().escaped {
            Cow::Owned(unescape(raw))
        } else {
            Cow::Borrowed(raw)
        }
    }

    /// Whether two strings stand for the same.
    pub(crate) fn is_same_string(self, other: Value<'_>) -> bool {
        let is_escaped = self.node().escaped || other.node().escaped;
        self.text() == other.text() || is_escaped && self.unescaped() == other.unescaped()
    }

    /// Of an array: its items.
    pub(crate) fn items(self) -> impl Iterator<Item = Value<'d>> + Clone {
        let end = self.at + self.node().span as usize;
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let item = Value { at, ..self };
            (at < end).then(|| {
                at += item.node().span as usize;
                item
            })
        })
    }

    /// Of an object: its members, each a key and its value.
    pub(crate) fn members(self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> + Clone {
        let mut parts = self.items();
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spelling_order_and_repetition_survive() {
        let text = br#" {"b": 1.50, "a": [9007199254740993, {}], "b": 1e400} "#;
        let document = Document::parse(text).expect("JSON");
        assert_eq!(document.root().kind(), Kind::Object);
        let members = document.root().members();
        let seen: Vec<_> = members
            .map(|(key, value)| (key.text(), value.text(), value.items().count()))
            .collect();
        let expected = [
            ("\"b\"", "1.50", 0),
            ("\"a\"", "[9007199254740993, {}]", 2),
            ("\"b\"", "1e400", 0),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_document_takes_little_more_memory_than_its_text() {
        assert_eq!(size_of::<Node>(), 16);
        let text = "[[0],[0],[0],[0]]";
        let document = Document::parse(text.as_bytes()).expect("JSON");
        assert_eq!(document.nodes.len(), 9);
    }

    #[test]
    fn strings_are_what_they_stand_for() {
        let document = Document::parse(br#""\u0041\n\ud83d\ude00\/\"x""#).expect("JSON");
        assert_eq!(document.root().unescaped(), "A\n😀/\"x");
    }

    #[test]
    fn what_is_no_json_or_beyond_its_bounds_is_refused() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(is_json(deep(MAX_DEPTH).as_bytes()));
        assert!(!is_json(deep(MAX_DEPTH + 1).as_bytes()));
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "nul",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "1 2",
            "[1 2]",
            "'a'",
            "NaN",
            "\u{feff}1",
            "tru\u{e9}",
        ] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
        assert!(!is_json(b"\"\xff\""));
    }

    /// A text made of JSON's own pieces is JSON often enough to say something.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"a\"",
            "\"\\u0041\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "0",
            "-1",
            "1.5",
            "2e3",
            "0.",
            "true",
            "null",
            "\"",
            "\\",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_json_on_what_is_json(text in nearly_json()) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert_eq!(is_json(text.as_bytes()), theirs.is_ok(), "{}", text);
            let document = Document::parse(text.as_bytes());
            prop_assert_eq!(document.is_some(), theirs.is_ok(), "{}", text);
        }

        #[test]
        fn strings_read_as_serde_json_reads_them(text in any::<String>()) {
            let written = serde_json::to_string(&text).expect("a string can be written");
            let document = Document::parse(written.as_bytes()).expect("JSON");
            prop_assert_eq!(document.root().unescaped(), text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _any = Document::parse(&bytes);
        }
    }
}
