//! JSON as `serde_json` reads it, without loss: a second opinion on miffy's own reader and comparison.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Levels of arrays and objects that miffy reads.
const MAX_DEPTH: usize = 120;

/// A value.
#[derive(Debug)]
pub struct Tree<'a> {
    /// As it is written.
    pub text: &'a str,
    shape: Shape<'a>,
}

#[derive(Debug)]
enum Shape<'a> {
    Word,
    Number,
    String(String),
    Array(Vec<Tree<'a>>),
    Object(Vec<(String, Tree<'a>)>),
}

/// What a value means: the same for all its spellings.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Word(String),
    Number(Number),
    String(String),
    Array(Vec<Meaning>),
    /// Of a repeated key, all its values in their order.
    Object(BTreeMap<String, Vec<Meaning>>),
}

/// A decimal.
#[derive(Debug, PartialEq, Eq)]
pub enum Number {
    /// 0.digits × 10^exponent, without zeros around the digits.
    Decimal {
        is_integer: bool,
        is_negative: bool,
        digits: String,
        exponent: i64,
    },
    /// Its exponent is beyond 64 bits.
    Spelling(String),
}

impl<'a> Tree<'a> {
    /// Reads a text that is JSON, and within miffy's bounds.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Option<Self> {
        Self::read_within(text, MAX_DEPTH)
    }

    /// Reads a text that is JSON, of at most so many levels.
    #[must_use]
    pub fn read_within(text: &'a [u8], levels: usize) -> Option<Self> {
        Self::of(serde_json::from_slice(text).ok()?, levels)
    }

    fn of(raw: &'a RawValue, levels: usize) -> Option<Self> {
        let text = raw.get();
        let shape = match text.as_bytes()[0] {
            b'{' | b'[' if levels == 0 => return None,
            b'{' => {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                let members = deserializer.deserialize_map(Members).ok()?;
                let member = |(key, value)| Some((key, Self::of(value, levels - 1)?));
                Shape::Object(members.into_iter().map(member).collect::<Option<_>>()?)
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let item = |item| Self::of(item, levels - 1);
                Shape::Array(items.into_iter().map(item).collect::<Option<_>>()?)
            }
            b'"' => Shape::String(serde_json::from_str(text).ok()?),
            b'-' | b'0'..=b'9' => Shape::Number,
            _ => Shape::Word,
        };
        Some(Self { text, shape })
    }

    /// What it means.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        match &self.shape {
            Shape::Word => Meaning::Word(self.text.to_owned()),
            Shape::Number => Meaning::Number(Number::read(self.text)),
            Shape::String(string) => Meaning::String(string.clone()),
            Shape::Array(items) => Meaning::Array(items.iter().map(Self::meaning).collect()),
            Shape::Object(members) => {
                let mut meanings: BTreeMap<_, Vec<_>> = BTreeMap::new();
                for (key, value) in members {
                    meanings
                        .entry(key.clone())
                        .or_default()
                        .push(value.meaning());
                }
                Meaning::Object(meanings)
            }
        }
    }

    /// The same, spelt otherwise: members in another order, white space, escapes, shifted points.
    pub fn respell(&self, to: &mut String) {
        to.push(' ');
        match &self.shape {
            Shape::Word => to.push_str(self.text),
            Shape::Number => to.push_str(&Number::read(self.text).respelt(self.text)),
            Shape::String(string) => escape(string, to),
            Shape::Array(items) => {
                to.push('[');
                for (index, item) in items.iter().enumerate() {
                    to.push_str(if index == 0 { "\r" } else { ",\t" });
                    item.respell(to);
                }
                to.push(']');
            }
            Shape::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                // A stable sort: of a repeated key, the order means something.
                members.sort_by_key(|(key, _)| std::cmp::Reverse(key));
                to.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    to.push_str(if index == 0 { "" } else { " ,\n" });
                    escape(key, to);
                    to.push_str(" :");
                    value.respell(to);
                }
                to.push('}');
            }
        }
        to.push('\n');
    }

    /// The values at a JSON Pointer (RFC 6901); more than one where keys are repeated.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Vec<&Self> {
        let mut found = vec![self];
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            found = found
                .into_iter()
                .flat_map(|tree| tree.within(&step))
                .collect();
        }
        found
    }
}

impl Tree<'_> {
    fn within(&self, step: &str) -> Vec<&Self> {
        match &self.shape {
            Shape::Array(items) => {
                let item = step.parse().ok().and_then(|at: usize| items.get(at));
                item.into_iter().collect()
            }
            Shape::Object(members) => {
                let members = members.iter().filter(|(key, _)| key == step);
                members.map(|(_, value)| value).collect()
            }
            _ => Vec::new(),
        }
    }

    /// As a `Value`, the last of repeated keys in it; numbers that it can't hold are strings of their text.
    #[must_use]
    pub fn value(&self) -> Value {
        match &self.shape {
            Shape::Object(members) => {
                let members = members.iter();
                members
                    .map(|(key, value)| (key.clone(), value.value()))
                    .collect()
            }
            Shape::Array(items) => items.iter().map(Self::value).collect(),
            _ => serde_json::from_str(self.text).unwrap_or_else(|_| self.text.into()),
        }
    }
}

impl Number {
    fn read(text: &str) -> Self {
        let spelling = || Self::Spelling(text.to_owned());
        let (mantissa, power) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i64>()),
            None => (text, Ok(0)),
        };
        let Ok(power) = power else {
            return spelling();
        };
        let plain = mantissa.trim_start_matches('-');
        let point = plain.find('.').unwrap_or(plain.len());
        let all: String = plain.chars().filter(char::is_ascii_digit).collect();
        let zeros = all.len() - all.trim_start_matches('0').len();
        let digits = all.trim_matches('0').to_owned();
        let is_zero = digits.is_empty();
        let exponent = i128::from(power) + point as i128 - zeros as i128;
        let Ok(exponent) = (if is_zero { Ok(0) } else { exponent.try_into() }) else {
            return spelling();
        };
        Self::Decimal {
            is_integer: text
                .bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_digit()),
            is_negative: mantissa.len() > plain.len() && !is_zero,
            digits,
            exponent,
        }
    }

    /// Another spelling of a number that is written as `text`, if there is one.
    fn respelt(&self, text: &str) -> String {
        match self {
            Self::Decimal {
                is_integer: false,
                is_negative,
                digits,
                exponent,
            } => {
                let sign = if *is_negative { "-" } else { "" };
                format!("{sign}0.{digits}0E{exponent:+}")
            }
            Self::Decimal { digits, .. } if digits.is_empty() => "-0".to_owned(),
            _ => text.to_owned(),
        }
    }
}

/// A string with every character escaped.
fn escape(string: &str, to: &mut String) {
    to.push('"');
    for unit in string.encode_utf16() {
        // Writing to a String can't fail.
        let _infallible = write!(to, "\\u{unit:04X}");
    }
    to.push('"');
}

/// Reads an object's members, none of them lost.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
