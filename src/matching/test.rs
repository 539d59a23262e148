//! What a value must be.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// What a value must be. Where there are several values under one name, one of them has to be that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// This.
    Exact(String),
    /// This, and more or nothing behind it.
    Prefix(String),
    /// One in which this is found.
    Regex(Pattern),
    /// There, whatever it is.
    Present,
    /// Not there.
    Absent,
}

/// A regular expression. It is found anywhere in a value, unless it says otherwise (`^…$`).
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Test {
    /// Whether any of these values meets it, or none is there if none is to be.
    pub fn is_met<V: AsRef<[u8]>>(&self, mut values: impl Iterator<Item = V>) -> bool {
        match self {
            Self::Exact(text) => values.any(|value| value.as_ref() == text.as_bytes()),
            Self::Prefix(text) => values.any(|value| value.as_ref().starts_with(text.as_bytes())),
            Self::Regex(pattern) => values.any(|value| pattern.is_found(value.as_ref())),
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
        }
    }

    /// Whether whatever meets this meets `other`, as far as can be told.
    #[must_use]
    pub fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) | (Self::Present, Self::Present) => true,
            (Self::Absent | Self::Present, _) | (_, Self::Absent) => false,
            (_, Self::Present) => true,
            (Self::Exact(text), other) => other.is_met(std::iter::once(text)),
            (Self::Prefix(text), Self::Prefix(prefix)) => text.starts_with(prefix.as_str()),
            (Self::Regex(a), Self::Regex(b)) => a == b,
            // What a regular expression finds is not looked into.
            (Self::Prefix(_) | Self::Regex(_), _) => false,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "= {text:?}"),
            Self::Prefix(text) => write!(f, "begins with {text:?}"),
            Self::Regex(pattern) => write!(f, "has /{pattern}/"),
            Self::Present => f.write_str("is there"),
            Self::Absent => f.write_str("is not there"),
        }
    }
}

impl Pattern {
    /// The pattern of this text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it is no regular expression.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::build(RegexBuilder::new(text))
    }

    /// The same, for values in which capital letters are not told from others.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it is no regular expression.
    pub fn caseless(text: &str) -> Result<Self, String> {
        let mut builder = RegexBuilder::new(text);
        builder.case_insensitive(true);
        Self::build(builder)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is made for this one pattern"
    )]
    fn build(builder: RegexBuilder) -> Result<Self, String> {
        builder.build().map(Self).map_err(|error| {
            // What stands above the last line is a drawing of the place.
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ");
            format!("is no regular expression: {reason}")
        })
    }

    fn is_found(&self, value: &[u8]) -> bool {
        self.0.is_match(value)
    }
}

impl PartialEq for Pattern {
    /// By their texts. Those that are compared are all for the same kind of value.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(test: &Test, values: &[&str]) -> bool {
        test.is_met(values.iter())
    }

    fn regex(text: &str) -> Test {
        Test::Regex(Pattern::new(text).expect("a pattern"))
    }

    #[test]
    fn one_of_several_values_is_enough() {
        for (test, yes, no) in [
            (Test::Exact("b".into()), &["a", "b"][..], &["a", "bb"][..]),
            (Test::Prefix("b".into()), &["a", "bb"], &["ab"]),
            (regex("b.d"), &["x", "abcde"], &["bd"]),
            (regex("^b$"), &["b"], &["ab", "bc"]),
            (Test::Present, &[""], &[]),
            (Test::Absent, &[], &[""]),
        ] {
            assert!(met(&test, yes), "{test}: {yes:?}");
            assert!(!met(&test, no), "{test}: {no:?}");
        }
    }

    #[test]
    fn a_pattern_is_found_in_what_is_no_unicode() {
        assert!(regex("b$").is_met([b"\xff\xfeb"].iter()));
        assert!(!regex("^.b$").is_met([b"\xffb"].iter()));
    }

    #[test]
    fn what_is_no_pattern_is_said_in_one_line() {
        let error = Pattern::new("a(b\nc").expect_err("it is open");
        assert_eq!(error, "is no regular expression: unclosed group");
        let error = Pattern::new("(a{9999}){9999}").expect_err("it is too large");
        assert!(error.contains("size limit"), "{error}");
    }
}
