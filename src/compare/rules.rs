//! What is compared and how, and what is no difference.
//!
//! A [`Rule`] says of a place what to make of a difference there. A difference that a rule takes out is
//! counted as that rule's, never forgotten. Where several rules of one kind lead to a place, the first one
//! counts.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

pub use crate::json::pattern::Pattern;

/// What is compared, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The most differences that are listed.
    pub max_differences: usize,
    /// The headers that are compared.
    pub headers: Headers,
    /// Whether a body's content coding and charset are compared, too.
    pub codings: bool,
    /// When two numbers are the same.
    pub numbers: Numbers,
    /// What is no difference, in order.
    pub list: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_differences: 100,
            headers: Headers::default(),
            codings: false,
            numbers: Numbers::Type,
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

/// When two JSON numbers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// If they have the same value, and both are integers or neither is: `1.5` is `1.50`, `1` is not `1.0`.
    Type,
    /// If they have the same value: `1` is `1.0`.
    Value,
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
        }
    }
}
