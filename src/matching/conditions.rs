//! What a request's host, headers and query must be.

use http::{HeaderMap, HeaderName, Uri};

/// All that a request must meet beside its path and method; nothing, by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// The host that it is for, without port, in lower case.
    pub host: Option<Test>,
    /// Of its headers.
    pub headers: Vec<(HeaderName, Test)>,
    /// Of its query's parameters, by their decoded names.
    pub query: Vec<(String, Test)>,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// This.
    Exact(String),
    /// This, and more or nothing behind it.
    Prefix(String),
    /// There, whatever it is.
    Present,
    /// Not there.
    Absent,
}

impl Conditions {
    /// Whether a request meets all of them.
    #[must_use]
    pub fn are_met(&self, _uri: &Uri, _headers: &HeaderMap) -> bool {
        true
    }

    /// Whether every request that meets these meets `others`, as far as can be told.
    #[must_use]
    pub fn imply(&self, _others: &Self) -> bool {
        true
    }
}
