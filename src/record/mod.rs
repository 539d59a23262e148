//! The record of a difference, as it is published: one line of JSON.
//!
//! A superset of Miffy 1.0.1's record: its fields keep their names, nesting and types, and everything
//! else is added beside them. `docs/record.schema.json` is its schema, and `docs/record.md` explains it.
//!
//! Invariants:
//!
//! - It is one line. A JSON body stands in it as it was written, but for line breaks between tokens.
//! - It is no larger than its bound: bodies, then differences, then headers' values are cut, and it says
//!   which. Only a target, or headers' names, of hundreds of KiB can make it larger.
//! - Headers of the request that carry credentials are masked, and it says which.
//!
//! # Layout
//!
//! - `captured`: records that are read again
//! - `message`: headers, and a body's form
//! - `shape`: the fields

mod captured;
mod message;
mod shape;

use std::time::SystemTime;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use uuid::Uuid;

use crate::capture::{Captured, RequestHead, Side};
use crate::compare::Differences;
use crate::experiment::Experiment;
use crate::outcome::Outcome;
pub use captured::{CapturedAnswer, CapturedRecord, NoRecord};
use message::{Bounds, Message};
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

/// How much of everything a record holds: the first of these with which it fits, else the last.
const STEPS: [Step; 11] = [
    step(usize::MAX, usize::MAX, usize::MAX),
    step(256 * 1024, usize::MAX, usize::MAX),
    step(64 * 1024, usize::MAX, usize::MAX),
    step(16 * 1024, usize::MAX, usize::MAX),
    step(4 * 1024, usize::MAX, usize::MAX),
    step(1024, usize::MAX, usize::MAX),
    step(0, usize::MAX, usize::MAX),
    step(0, 10, 1024),
    step(0, 1, 1024),
    step(0, 1, 64),
    step(0, 0, 0),
];

/// The bounds of a record's parts.
#[derive(Debug, Clone, Copy)]
struct Step {
    parts: Bounds,
    /// How many differences are listed.
    differences: usize,
}

const fn step(body: usize, differences: usize, header: usize) -> Step {
    let parts = Bounds { body, header };
    Step { parts, differences }
}

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
    pub request_body: &'a Captured,
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
    /// The record as a line of JSON without its end, of at most `max` bytes unless its target and the
    /// names of its headers alone are larger.
    pub fn encode(&self, max: usize) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = Vec::new();
        for step in STEPS {
            line = self.line(step)?;
            if line.len() <= max {
                break;
            }
        }
        Ok(line)
    }

    fn line(&self, step: Step) -> Result<Vec<u8>, serde_json::Error> {
        let mut truncated = Vec::new();
        let (headers, redacted) = redact(&self.request.headers);
        let message = Message::new(&headers, self.request_body, step.parts);
        truncated.extend(message.truncated("request"));
        let mut response = |name: &str, side: &Side| match side {
            Ok(answer) => {
                let message = Message::new(&answer.headers, &answer.body, step.parts);
                truncated.extend(message.truncated(&format!("{name}.response")));
                let status = answer.status.as_u16();
                ResponseShape::Answered { status, message }
            }
            Err(failed) => ResponseShape::Failed {
                error: failed.failure.stage.name(),
            },
        };
        let target = &self.request.target;
        let differences = self.differences.list();
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
                message,
            },
            reference: ReferenceShape {
                url: format!("{}{target}", self.experiment.reference),
                response: response("reference", self.reference),
                timing: self.reference.into(),
            },
            candidate: CandidateShape {
                name: &self.experiment.candidate.name,
                url: format!("{}{target}", self.experiment.candidate.base),
                response: response("candidate", self.candidate),
                timing: self.candidate.into(),
            },
            differences: &differences[..differences.len().min(step.differences)],
            differences_total: self.differences.total(),
            redacted,
            truncated,
        })
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
