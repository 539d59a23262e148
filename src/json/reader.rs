//! Reads a text, from its first byte to its last, into a list of nodes, or only to see whether it can be.

use super::string::{plain, unit};
use super::{Kind, MAX_DEPTH, Node, fits};

/// Reads a whole text as one value that stands within so many levels.
pub(super) fn read<N: Nodes>(text: &[u8], levels: usize, nodes: N) -> Option<(&str, N)> {
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

/// What a parser makes of a text.
pub(super) trait Nodes {
    /// Adds a value that holds no others.
    fn leaf(&mut self, kind: Kind, start: usize, end: usize, escaped: bool);
    /// Begins an array or an object; gives its place.
    fn begin(&mut self, kind: Kind, start: usize) -> usize;
    /// Ends the one at this place.
    fn end(&mut self, place: usize, end: usize);
}

impl Nodes for Vec<Node> {
    fn leaf(&mut self, kind: Kind, start: usize, end: usize, escaped: bool) {
        self.push(Node {
            start: short(start),
            end: short(end),
            span: 1,
            kind,
            escaped,
        });
    }

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

    fn end(&mut self, place: usize, end: usize) {
        let span = short(self.len() - place);
        let node = &mut self[place];
        node.end = short(end);
        node.span = span;
    }
}

/// No nodes, where it only matters whether there could be some.
pub(super) struct Nothing;

impl Nodes for Nothing {
    fn leaf(&mut self, _: Kind, _: usize, _: usize, _: bool) {}

    fn begin(&mut self, _: Kind, _: usize) -> usize {
        0
    }

    fn end(&mut self, _: usize, _: usize) {}
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
            b'"' => return self.text(),
            b'{' => return self.object(depth),
            b'[' => return self.array(depth),
            b't' => self.word(Kind::Bool, "true")?,
            b'f' => self.word(Kind::Bool, "false")?,
            b'n' => self.word(Kind::Null, "null")?,
            _ => self.number()?,
        };
        self.nodes.leaf(kind, start, self.at, false);
        Some(())
    }

    fn text(&mut self) -> Option<()> {
        let start = self.at;
        let escaped = self.string()?;
        self.nodes.leaf(Kind::String, start, self.at, escaped);
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let place = self.nodes.begin(Kind::Array, self.at);
        self.items(b']', depth, |parser| parser.value(depth + 1))?;
        self.nodes.end(place, self.at);
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let place = self.nodes.begin(Kind::Object, self.at);
        self.items(b'}', depth, |parser| {
            parser.text()?;
            parser.skip_space();
            parser.take(b':')?;
            parser.skip_space();
            parser.value(depth + 1)
        })?;
        self.nodes.end(place, self.at);
        Some(())
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
            self.at += plain(self.bytes.get(self.at..)?);
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _control => return None,
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
        let unit = unit(self.bytes.get(self.at..self.at + 4)?)?;
        self.at += 4;
        Some(unit)
    }

    fn number(&mut self) -> Option<Kind> {
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
        Some(Kind::Number)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, kind: Kind, word: &str) -> Option<Kind> {
        let is_there = self.bytes.get(self.at..)?.starts_with(word.as_bytes());
        self.at += word.len();
        is_there.then_some(kind)
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
