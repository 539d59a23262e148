//! Whether two answers are alike, and what differs. Pure: no I/O, no clock, no state.
//!
//! Answers are alike if their status is the same, and the headers that the rules choose, and their bodies.
//! Bodies are compared without content codings and charset: as documents if both are what they say (JSON,
//! lines of JSON, events), as text line by line if both are text, else as bytes. Bytes that are the same are
//! not looked into. Bodies over the bound of captured bodies are compared by what they say they are, by
//! length and by hash. `docs/comparison.md` tells it to users.
//!
//! Invariants, each held by a test: an answer is like itself; swapping the two answers swaps the values,
//! and `missing` with `unexpected`, and keeps the total; what can't be compared is different; the list of a
//! document's differences makes the candidate's of the reference's.
//!
//! # Layout
//!
//! - `align`: which items of two lists belong together
//! - `arrays`: arrays of documents
//! - `bodies`: what bodies are, and so how they are compared
//! - `difference`: where, what kind, both values
//! - `findings`: what was found so far
//! - `headers`: the headers that are compared
//! - `like`: texts that are alike but for what follows a pattern
//! - `prints`: which values are alike
//! - `rules`: what is no difference
//! - `subsequence`: what two lists have in common, in order
//! - `text`: texts, line by line
//! - `tree`: the differences of two documents

mod align;
mod arrays;
mod bodies;
mod difference;
mod findings;
mod headers;
mod like;
mod prints;
mod rules;
mod subsequence;
mod text;
mod tree;

use http::{HeaderMap, StatusCode};

pub use difference::{Difference, Differences, Kind, Noise, Shown, shorten};
pub use like::Like;
pub use rules::{Action, Arrays, Fold, Headers, Numbers, Pattern, Place, Rule, Rules, Tolerance};

use crate::content::Body;
use crate::json;
use crate::redact::Redaction;
use findings::Findings;

/// One side's answer but for its body.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// The reference's and the candidate's body.
#[derive(Clone, Copy)]
pub enum Bodies<'a> {
    /// All of both.
    Whole(&'a Body<'a>, &'a Body<'a>),
    /// What stands for both, since at least one was not kept.
    Hashed(Hashed, Hashed),
}

/// What stands for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// Its length in bytes.
    pub len: u64,
    /// Its hash, of the same function on both sides.
    pub digest: u128,
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// What differs.
    pub differences: Differences,
    /// By rule, in their order: the differences that it took out; of a rule for arrays, those it aligned.
    pub hits: Vec<u64>,
    /// What is to be known of how it was compared.
    pub notes: Vec<String>,
}

/// Compares two answers by these rules. `noise` says which places are known to differ by themselves, and
/// `redaction` which values are not shown.
#[must_use]
pub fn compare(
    reference: Head<'_>,
    candidate: Head<'_>,
    bodies: Bodies<'_>,
    rules: &Rules,
    noise: Option<Noise<'_>>,
    redaction: &Redaction,
) -> Comparison {
    let mut findings = Findings::none(rules, noise);
    if reference.status != candidate.status {
        let shown = |status: StatusCode| Some(Shown::number(status.as_u16()));
        findings.add_at(&Place::Status, Kind::Changed, || {
            (shown(reference.status), shown(candidate.status))
        });
    }
    headers::compare(
        reference.headers,
        candidate.headers,
        redaction,
        &mut findings,
    );
    match bodies {
        Bodies::Whole(a, b) => bodies::compare(a, b, redaction, &mut findings),
        Bodies::Hashed(a, b) => {
            let (a, b) = ((reference.headers, a), (candidate.headers, b));
            bodies::compare_hashes(a, b, redaction, &mut findings);
        }
    }
    findings.into_comparison()
}

/// Whether bytes are JSON that a record can hold as such.
#[must_use]
pub fn parses_as_json(bytes: &[u8]) -> bool {
    json::is_json(bytes)
}

#[cfg(test)]
mod tests;
