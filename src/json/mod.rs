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
//! - `number`: decimals, as written
//! - `pattern`: places in a document

pub(crate) mod number;
pub(crate) mod pattern;

use std::borrow::Cow;
use std::ops::Range;

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
        let (text, nodes) = read(text, 0, Vec::new())?;
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

fn read<N: Nodes>(text: &[u8], levels: usize, nodes: N) -> Option<(&str, N)> {
    let text = std::str::from_utf8(text).ok()?;
    if !fits(text) {
        return None;
    }
    let mut parser = Parser {
        bytes: text.as_bytes(),
        at: 0,
        nodes,
    };
    parser.skip_space();
    parser.value(levels)?;
    parser.skip_space();
    (parser.at == text.len()).then_some((text, parser.nodes))
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
        if self.node().escaped || other.node().escaped {
            self.unescaped() == other.unescaped()
        } else {
            self.text() == other.text()
        }
    }

    /// Of an array: its items.
    pub(crate) fn items(self) -> impl Iterator<Item = Value<'d>> {
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
    pub(crate) fn members(self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let mut parts = self.items();
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }
}

/// What a parser makes of a text.
trait Nodes {
    /// Begins a value of this kind; gives its place.
    fn begin(&mut self, kind: Kind, start: usize) -> usize;
    /// Ends the value at this place.
    fn end(&mut self, place: usize, end: usize, escaped: bool);
}

impl Nodes for Vec<Node> {
    fn begin(&mut self, kind: Kind, start: usize) -> usize {
        self.push(Node {
            start: short(start),
            end: 0,
            span: 0,
            kind,
            escaped: false,
        });
        self.len() - 1
    }

    fn end(&mut self, place: usize, end: usize, escaped: bool) {
        let span = short(self.len() - place);
        let node = &mut self[place];
        node.end = short(end);
        node.span = span;
        node.escaped = escaped;
    }
}

/// No nodes, where it only matters whether there could be some.
struct Nothing;

impl Nodes for Nothing {
    fn begin(&mut self, _: Kind, _: usize) -> usize {
        0
    }

    fn end(&mut self, _: usize, _: usize, _: bool) {}
}

/// A place in a text, or a number of nodes, of which there are no more than bytes.
fn short(place: usize) -> u32 {
    u32::try_from(place).expect("the length of the text is one of 32 bits")
}

struct Parser<'a, N> {
    bytes: &'a [u8],
    at: usize,
    nodes: N,
}

impl<N: Nodes> Parser<'_, N> {
    fn value(&mut self, depth: usize) -> Option<()> {
        let start = self.at;
        let kind = match self.peek()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        };
        let place = self.nodes.begin(kind, start);
        let mut escaped = false;
        match kind {
            Kind::Object => self.object(depth)?,
            Kind::Array => self.items(b']', depth, |parser| parser.value(depth + 1))?,
            Kind::String => escaped = self.string()?,
            Kind::Bool if self.peek() == Some(b't') => self.word("true")?,
            Kind::Bool => self.word("false")?,
            Kind::Null => self.word("null")?,
            Kind::Number => self.number()?,
        }
        self.nodes.end(place, self.at, escaped);
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.items(b'}', depth, |parser| {
            if parser.peek()? != b'"' {
                return None;
            }
            parser.value(depth + 1)?;
            parser.skip_space();
            parser.take(b':')?;
            parser.skip_space();
            parser.value(depth + 1)
        })
    }

    /// What stands between an opening bracket and `close`, separated by commas.
    fn items(
        &mut self,
        close: u8,
        depth: usize,
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.skip_space();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            self.skip_space();
            let next = self.peek()?;
            self.at += 1;
            if next == close {
                return Some(());
            }
            if next != b',' {
                return None;
            }
            self.skip_space();
        }
    }

    /// Gives whether there are escapes in it.
    fn string(&mut self) -> Option<bool> {
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(escaped)
    }

    fn escape(&mut self) -> Option<()> {
        let kind = *self.bytes.get(self.at + 1)?;
        self.at += 2;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.unit()? {
                0xd800..=0xdbff => {
                    self.take(b'\\')?;
                    self.take(b'u')?;
                    matches!(self.unit()?, 0xdc00..=0xdfff).then_some(())
                }
                0xdc00..=0xdfff => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    /// The four hexadecimal digits of a UTF-16 unit.
    fn unit(&mut self) -> Option<u16> {
        let digits: Range<usize> = self.at..self.at + 4;
        let unit = unit(self.bytes.get(digits)?)?;
        self.at += 4;
        Some(unit)
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.bytes[self.at..]
            .starts_with(word.as_bytes())
            .then(|| self.at += word.len())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// Four hexadecimal digits as a number.
fn unit(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

/// The characters of a string that was read before, so that its escapes are known to be right.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match kind {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (character, length) = unicode(rest);
                text.push(character);
                rest = &rest[length..];
            }
            other => text.push(char::from(other)),
        }
    }
    text.push_str(rest);
    text
}

/// The character whose `\u` escape `rest` goes on with, and how many bytes of `rest` it takes.
fn unicode(rest: &str) -> (char, usize) {
    let at = |start: usize| rest.as_bytes().get(start..start + 4).and_then(unit);
    let first = at(0).unwrap_or_default();
    if let Some(character) = char::from_u32(u32::from(first)) {
        return (character, 4);
    }
    // A pair of surrogates: the second one's digits stand behind another `\u`.
    let units = [first, at(6).unwrap_or_default()];
    let character = char::decode_utf16(units).next().and_then(Result::ok);
    (character.unwrap_or(char::REPLACEMENT_CHARACTER), 10)
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
