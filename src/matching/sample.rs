//! How many of the requests, and which.

use http::{HeaderMap, HeaderName};

/// Which of the requests are mirrored; all, by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// How many of them.
    pub rate: Rate,
    /// By what it is decided; by chance, without it.
    pub by: Option<SampleBy>,
}

/// A part of the whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u64);

/// What decides whether a request is in, so that all with the same value are, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SampleBy {
    /// A header's value.
    Header(HeaderName),
    /// A cookie's value.
    Cookie(String),
    /// A parameter of the path.
    Param(String),
}

impl Rate {
    /// All of it.
    pub const ALL: Self = Self(u64::MAX);

    /// As one number, to be kept where numbers are.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`to_bits`](Self::to_bits) gave.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::ALL
    }
}

impl Sample {
    /// Whether a request is in, at this rate. `params` gives the parameters of its path.
    #[must_use]
    pub fn takes<'p>(
        &self,
        _rate: Rate,
        _headers: &HeaderMap,
        _params: impl FnOnce() -> Vec<(&'p str, &'p str)>,
    ) -> bool {
        true
    }
}
