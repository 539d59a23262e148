//! The record of a difference, as it is published: one line of JSON.
//!
//! A superset of Miffy 1.0.1's record: its fields keep their names, nesting and types, and everything
//! else is added beside them. `docs/record.schema.json` is its schema, and `docs/record.md` explains it.
//!
//! Invariants:
//!
//! - It is one line. A JSON body stands in it as it was written, but for line breaks between tokens.
//! - It is never larger than its bound, as long as heads and differences alone are not: bodies are
//!   shortened, the larger ones first, and it says which.
//! - Headers of the request that carry credentials are masked, and it says which.
//!
//! # Layout
//!
//! - `body`: a body's form
//! - `shape`: the fields

mod body;
mod shape;

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use uuid::Uuid;

use crate::capture::{Content, RequestHead, Side};
use crate::compare::Differences;
use crate::experiment::Experiment;
use crate::outcome::Outcome;
use body::Encoded;
use shape::{CandidateShape, RecordShape, ReferenceShape, RequestShape, ResponseShape};

/// Request headers whose values never leave the process.
static CREDENTIALS: [HeaderName; 4] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("x-api-key"),
];

/// What stands in their place.
const MASK: &str = "[redacted]";

/// The sizes that bodies are shortened to, one after the other, until a record fits.
const SHORTER: [usize; 6] = [256 * 1024, 64 * 1024, 16 * 1024, 4 * 1024, 1024, 0];

/// A difference, with everything that is published of it.
#[derive(Debug)]
pub struct Record<'a> {
    /// Unlike any other record's; consumers can drop a second one with the same.
    pub id: Uuid,
    /// What it belongs to.
    pub experiment: &'a Experiment,
    /// The request.
    pub request: &'a RequestHead,
    /// Its body.
    pub request_body: &'a Bytes,
    /// The path's parameters.
    pub params: &'a [(&'a str, &'a str)],
    /// The reference's side.
    pub reference: &'a Side,
    /// The candidate's side.
    pub candidate: &'a Side,
    /// How the request ended.
    pub outcome: Outcome,
    /// What differs, if both answered.
    pub differences: &'a Differences,
}

impl Record<'_> {
    /// The record as a line of JSON without its end, of at most `max` bytes if its bodies allow.
    pub fn encode(&self, max: usize) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = self.with_bodies_up_to(usize::MAX)?;
        for size in SHORTER {
            if line.len() <= max {
                break;
            }
            line = self.with_bodies_up_to(size)?;
        }
        Ok(line)
    }

    fn with_bodies_up_to(&self, max: usize) -> Result<Vec<u8>, serde_json::Error> {
        let content = Content::Whole(self.request_body.clone());
        let request_len = self.request_body.len() as u64;
        let request_body = Encoded::of(&self.request.headers, &content, request_len, max);
        let reference_body = side_body(self.reference, max);
        let candidate_body = side_body(self.candidate, max);
        let truncated = [
            ("request", &request_body),
            ("reference", &reference_body),
            ("candidate", &candidate_body),
        ];
        let truncated = truncated
            .iter()
            .filter_map(|(of, body)| body.truncated(of))
            .collect();
        let (headers, redacted) = redact(&self.request.headers);
        let target = &self.request.target;
        serde_json::to_vec(&RecordShape {
            id: self.id,
            timestamp: timestamp(self.request.received),
            experiment: &self.experiment.name,
            outcome: self.outcome.name(),
            reason: self.outcome.reason(),
            request: RequestShape {
                method: self.request.method.as_str(),
                uri: target.as_str(),
                route: &self.experiment.path,
                params: self.params,
                headers: &headers,
                body: &request_body.form,
            },
            reference: ReferenceShape {
                url: format!("{}{target}", self.experiment.reference),
                response: ResponseShape::of(self.reference, &reference_body),
                timing: self.reference.into(),
            },
            candidate: CandidateShape {
                name: &self.experiment.candidate.name,
                url: format!("{}{target}", self.experiment.candidate.base),
                response: ResponseShape::of(self.candidate, &candidate_body),
                timing: self.candidate.into(),
            },
            differences: self.differences.list(),
            differences_total: self.differences.total(),
            redacted,
            truncated,
        })
    }
}

fn side_body(side: &Side, max: usize) -> Encoded {
    match side {
        Ok(answer) => Encoded::of(&answer.headers, &answer.body.content, answer.body.len, max),
        Err(_) => Encoded::none(),
    }
}

/// The headers with credentials masked, and the paths of what was.
fn redact(headers: &HeaderMap) -> (HeaderMap, Vec<String>) {
    let mut shown = headers.clone();
    let mut redacted = Vec::new();
    for name in &CREDENTIALS {
        if shown.contains_key(name) {
            shown.insert(name, HeaderValue::from_static(MASK));
            redacted.push(format!("request.headers.{name}"));
        }
    }
    (shown, redacted)
}

/// RFC 3339, in UTC, to the millisecond.
fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
