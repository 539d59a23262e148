//! JSON as it is written (RFC 8259): numbers keep their spelling, objects their order and every
//! repeated key, and nothing is copied.
//!
//! A general parser would give numbers as f64 and the last of equal keys. What this one refuses,
//! beside what is no JSON: more than [`MAX_DEPTH`] levels, and strings that are no Unicode (a lone
//! surrogate), which a record's consumers could not read either.

use std::borrow::Cow;

/// Levels of arrays and objects within each other.
pub(super) const MAX_DEPTH: usize = 128;

/// A value and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node<'a> {
    /// As it is written, without the white space around it.
    pub(super) text: &'a str,
    pub(super) value: Value<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'a str),
    String(Text<'a>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Text<'a>, Node<'a>)>),
}

/// A string between its quotes, as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// What it stands for.
    pub(super) fn unescaped(&self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.escaped || other.escaped {
            self.unescaped() == other.unescaped()
        } else {
            self.raw == other.raw
        }
    }
}

impl Eq for Text<'_> {}

/// Reads a whole text as one value; `None` if it is none, or goes beyond the bounds above.
pub(super) fn parse(text: &[u8]) -> Option<Node<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
    };
    parser.skip_space();
    let node = parser.node(0)?;
    parser.skip_space();
    (parser.at == text.len()).then_some(node)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn node(&mut self, depth: usize) -> Option<Node<'a>> {
        let start = self.at;
        let value = match self.peek()? {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => Value::String(self.string()?),
            b't' => self.word("true", Value::Bool(true))?,
            b'f' => self.word("false", Value::Bool(false))?,
            b'n' => self.word("null", Value::Null)?,
            _ => Value::Number(self.number()?),
        };
        let text = &self.text[start..self.at];
        Some(Node { text, value })
    }

    fn object(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut members = Vec::new();
        self.items(b'}', depth, |parser| {
            let key = parser.string()?;
            parser.skip_space();
            parser.take(b':')?;
            parser.skip_space();
            members.push((key, parser.node(depth + 1)?));
            Some(())
        })?;
        Some(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut items = Vec::new();
        self.items(b']', depth, |parser| {
            items.push(parser.node(depth + 1)?);
            Some(())
        })?;
        Some(Value::Array(items))
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

    fn string(&mut self) -> Option<Text<'a>> {
        self.take(b'"')?;
        let start = self.at;
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
        let raw = &self.text[start..self.at];
        self.at += 1;
        Some(Text { raw, escaped })
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
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        unit(digits)
    }

    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
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
        Some(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        self.bytes[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
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
        let node = parse(br#" {"b": 1.50, "a": 9007199254740993, "b": 1e400} "#).expect("JSON");
        let Value::Object(members) = node.value else {
            panic!("no object");
        };
        let seen: Vec<_> = members
            .iter()
            .map(|(key, node)| (key.unescaped().into_owned(), node.text))
            .collect();
        let expected = [("b", "1.50"), ("a", "9007199254740993"), ("b", "1e400")];
        assert_eq!(seen, expected.map(|(key, text)| (key.to_owned(), text)));
    }

    #[test]
    fn strings_are_what_they_stand_for() {
        let node = parse(br#""\u0041\n\ud83d\ude00\/\"x""#).expect("JSON");
        let Value::String(text) = node.value else {
            panic!("no string");
        };
        assert_eq!(text.unescaped(), "A\n😀/\"x");
    }

    #[test]
    fn what_is_no_json_or_beyond_its_bounds_is_refused() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(deep(MAX_DEPTH).as_bytes()).is_some());
        assert!(parse(deep(MAX_DEPTH + 1).as_bytes()).is_none());
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
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_none());
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
            prop_assert_eq!(parse(text.as_bytes()).is_some(), theirs.is_ok(), "{}", text);
        }

        #[test]
        fn strings_read_as_serde_json_reads_them(text in any::<String>()) {
            let written = serde_json::to_string(&text).expect("a string can be written");
            let node = parse(written.as_bytes()).expect("JSON");
            let Value::String(read) = node.value else {
                panic!("no string");
            };
            prop_assert_eq!(read.unescaped(), text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _any = parse(&bytes);
        }
    }
}
