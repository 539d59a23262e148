//! What is compared and how, and what is no difference.
//!
//! A [`Rule`] says of a place what to make of a difference there. A difference that a rule takes out is
//! counted as that rule's, never forgotten. Where several rules of one kind lead to a place, the first one
//! counts.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use http::header::{CONTENT_TYPE, LOCATION};

use super::like::Like;
use crate::content;
pub use crate::json::number::{Numbers, Tolerance};
pub use crate::json::pattern::Pattern;
use crate::json::pattern::{Segment, push_segment, segments};

/// What is compared, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The most differences that are listed.
    pub max_differences: usize,
    /// The headers that are compared.
    pub headers: Headers,
    /// Whether bodies' content codings and charsets are compared, too.
    pub codings: bool,
    /// When two numbers are the same.
    pub numbers: Numbers,
    /// The bounds of decoding.
    pub limits: content::Limits,
    /// What is no difference, in order.
    pub list: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_differences: 100,
            headers: Headers {
                all: false,
                names: vec![CONTENT_TYPE, LOCATION],
            },
            codings: false,
            numbers: Numbers::default(),
            limits: content::Limits {
                max_decoded: 16 << 20,
                max_ratio: 200,
            },
            list: Vec::new(),
        }
    }
}

/// Which headers are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// All but the volatile ones.
    pub all: bool,
    /// These, volatile or not.
    pub names: Vec<HeaderName>,
}

/// What to make of a difference at some places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub place: Place,
    /// What.
    pub action: Action,
}

/// Where a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The status.
    Status,
    /// A header.
    Header(HeaderName),
    /// The whole body, of whatever kind.
    Body,
    /// Places in JSON bodies.
    Pointer(Pattern),
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing there is a difference.
    Ignore,
    /// The items of arrays there belong together in this way.
    Arrays(Arrays),
    /// Numbers there may be so far apart.
    Tolerance(Tolerance),
    /// Texts and numbers there may differ in what matches.
    Values(Like),
    /// Texts there may differ in this.
    Text(Fold),
}

/// Which items of two arrays belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrays {
    /// Those with the same value here within them; those that are alike, where there is no key.
    pub key: Option<Vec<String>>,
    /// Whether another order is no difference.
    pub any_order: bool,
}

/// In what two texts may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fold {
    /// Capital letters and small ones.
    pub case: bool,
    /// How much white space is between words, and any around them.
    pub whitespace: bool,
}

impl Fold {
    /// A text without that in which it may differ.
    pub(super) fn apply(self, text: &str) -> String {
        let text = if self.whitespace {
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        } else {
            text.to_owned()
        };
        if self.case { text.to_lowercase() } else { text }
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.case, self.whitespace) {
            (true, true) => "case whitespace",
            (true, false) => "case",
            (false, true) => "whitespace",
            (false, false) => "exact",
        })
    }
}

impl FromStr for Fold {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fold = Self::default();
        for word in text.split_whitespace() {
            match word {
                "case" => fold.case = true,
                "whitespace" => fold.whitespace = true,
                "exact" => {}
                _ => {
                    return Err(format!(
                        "\"{text}\" is not \"case\", \"whitespace\", \"case whitespace\" or \"exact\""
                    ));
                }
            }
        }
        Ok(fold)
    }
}

impl fmt::Display for Arrays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(key) = &self.key else {
            return f.write_str(if self.any_order { "set" } else { "order" });
        };
        f.write_str(if self.any_order { "set:" } else { "key:" })?;
        match &key[..] {
            [name] if !name.starts_with('/') => f.write_str(name),
            path => {
                let mut pointer = String::new();
                for name in path {
                    push_segment(&mut pointer, Segment::Key(name));
                }
                f.write_str(&pointer)
            }
        }
    }
}

impl FromStr for Arrays {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let any_order = text.starts_with("set");
        let key = match text {
            "order" | "set" => None,
            _ => {
                let key = text
                    .strip_prefix("key:")
                    .or_else(|| text.strip_prefix("set:"));
                let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
                    format!("\"{text}\" is not \"order\", \"set\", \"key:NAME\" or \"set:NAME\"")
                })?;
                Some(match key.strip_prefix('/') {
                    None => vec![key.to_owned()],
                    Some(pointer) => segments(pointer).ok_or_else(|| {
                        format!("\"{key}\" has a \"~\" that is not \"~0\" or \"~1\"")
                    })?,
                })
            }
        };
        Ok(Self { key, any_order })
    }
}

/// The rules for the texts at one place, each with its index.
#[derive(Clone, Copy)]
pub(super) struct TextRules<'r> {
    pub(super) values: Option<(usize, &'r Like)>,
    pub(super) text: Option<(usize, &'r Fold)>,
}

impl TextRules<'_> {
    /// The rule that takes out what two texts differ in. `are_alike` applies what a rule covers to them.
    pub(super) fn covering(
        &self,
        are_alike: impl Fn(&dyn Fn(&str, &str) -> bool) -> bool,
    ) -> Option<usize> {
        let values = self.values;
        let values = values.filter(|(_, like)| are_alike(&|a, b| like.covers(a, b)));
        let text = self.text;
        let text = text.filter(|(_, fold)| are_alike(&|a, b| fold.apply(a) == fold.apply(b)));
        values.map(|(rule, _)| rule).or(text.map(|(rule, _)| rule))
    }
}

impl Action {
    pub(super) fn ignore(&self) -> Option<()> {
        (*self == Self::Ignore).then_some(())
    }

    pub(super) fn tolerance(&self) -> Option<&Tolerance> {
        match self {
            Self::Tolerance(tolerance) => Some(tolerance),
            _ => None,
        }
    }

    pub(super) fn like(&self) -> Option<&Like> {
        match self {
            Self::Values(like) => Some(like),
            _ => None,
        }
    }

    pub(super) fn fold(&self) -> Option<&Fold> {
        match self {
            Self::Text(fold) => Some(fold),
            _ => None,
        }
    }
}

impl Place {
    pub(super) fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Pointer(pattern) => Some(pattern),
            Self::Status | Self::Header(_) | Self::Body => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Body => f.write_str("body"),
            Self::Pointer(pattern) => pattern.fmt(f),
        }
    }
}

impl FromStr for Place {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("header:")) {
            ("status", _) => Ok(Self::Status),
            ("body", _) => Ok(Self::Body),
            (_, Some(name)) => name
                .parse()
                .map(Self::Header)
                .map_err(|_| format!("\"{name}\" is no header's name")),
            _ => text.parse().map(Self::Pointer),
        }
    }
}

impl fmt::Display for Rule {
    /// As in `ignore /items/*/updated_at`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Ignore => write!(f, "ignore {}", self.place),
            Action::Arrays(arrays) => write!(f, "arrays {} = {arrays}", self.place),
            Action::Tolerance(tolerance) => write!(f, "tolerance {} = {tolerance}", self.place),
            Action::Values(like) => write!(f, "values {} = {like}", self.place),
            Action::Text(fold) => write!(f, "text {} = {fold}", self.place),
        }
    }
}
