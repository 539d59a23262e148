//! The record of a difference, as it is published: one line of JSON.
//!
//! A superset of Miffy 1.0.1's record: its fields keep their names, nesting and types, and everything
//! else is added beside them. `docs/record.schema.json` is its schema, and `docs/record.md` explains it.
//!
//! Invariants:
//!
//! - It is one line. A JSON body stands in it as it was written, but for line breaks between tokens.
//! - It is no larger than its bound: bodies, then differences, then headers' values are cut, and it says
//!   which. Only a target, or headers' names, of hundreds of KiB can make it larger. It can be cut again
//!   when it is but a line, such as when a broker says how much it takes ([`shorten()`]).
//! - What is hidden is not in it, whatever is cut: what may be seen is settled first. It says what is masked.
//!
//! # Layout
//!
//! - `captured`: records that are read again
//! - `fingerprint`: what differences of one class have in common
//! - `message`: headers, and a body's form
//! - `shape`: the fields
//! - `shorten`: fitting into a size

mod captured;
mod fingerprint;
mod message;
mod shape;
mod shorten;

use std::time::SystemTime;

use uuid::Uuid;

use crate::capture::{Captured, RequestHead, Side};
use crate::compare::{self, Differences};
use crate::config::{Backend, Candidate};
use crate::experiment::Experiment;
use crate::outcome::Outcome;
use crate::redact::{Line, Masks};
pub use captured::{CapturedAnswer, CapturedRecord, NoRecord};
use fingerprint::Fingerprint;
use message::{Filter, Visible};
use shape::{
    CandidateShape, DifferenceShape, RecordShape, ReferenceShape, RequestShape, ResponseShape,
    Truncated,
};
pub use shorten::shorten;

/// Fingerprints, masked places and notes that a record lists.
const MAX_LISTED: usize = 100;

/// Bytes of a masked place's path, and of a note, that are shown.
const MAX_TEXT: usize = 256;

/// About how many bytes a record has beside its bodies.
const USUAL_SIZE: usize = 4096;

/// A difference, with everything that is published of it.
#[derive(Debug)]
pub struct Record<'a> {
    /// Unlike any other record's; consumers can drop a second one with the same.
    pub id: Uuid,
    /// What it belongs to, which says what does not leave the process; the differences hide it already.
    pub experiment: &'a Experiment,
    /// Who was asked beside the reference.
    pub asked: &'a Candidate,
    /// What it was asked for, if that is not what the configuration says.
    pub target: Option<&'a str>,
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
    /// What is to be known of how they were compared.
    pub notes: &'a [String],
}

/// A response's status and the rest of it, or how far the exchange came.
type SideView<'v> = Result<(u16, Visible<'v>), &'static str>;

/// Another record's id: a UUID of version 7 (RFC 9562 §5.7). Nobody is kept from guessing it.
pub(crate) fn new_id() -> Uuid {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since_epoch.unwrap_or_default().as_millis();
    let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}

/// What may leave the process of a record's parts.
struct View<'v> {
    target: Line<'v>,
    request: Visible<'v>,
    reference: SideView<'v>,
    candidate: SideView<'v>,
    /// The paths of what is hidden.
    redacted: Vec<String>,
    /// Of the listed differences, or of the failure.
    fingerprints: Vec<Fingerprint>,
    /// Each of them once.
    distinct: Vec<Fingerprint>,
}

impl Record<'_> {
    /// The record as a line of JSON without its end, of at most `max` bytes unless its target and the
    /// names of its headers alone are larger.
    pub fn encode(&self, max: usize) -> Result<Vec<u8>, serde_json::Error> {
        // What bodies are copied into is gone before the line is cut.
        let line = self.line(&self.view())?;
        if line.len() <= max {
            return Ok(line);
        }
        shorten::cut(&line, max)
    }

    fn view(&self) -> View<'_> {
        let headers = &self.request.headers;
        // Nobody compares what is of the request.
        let request = Visible::new(headers, self.request_body, self.filter(Masks::Alike));
        let redaction = &self.experiment.redaction;
        let target = redaction.url(self.request.target.as_str(), Masks::Alike);
        let fingerprints = self.fingerprints();
        let mut view = View {
            target,
            request,
            reference: self.side(self.reference),
            candidate: self.side(self.candidate),
            redacted: Vec::new(),
            distinct: distinct(&fingerprints),
            fingerprints,
        };
        view.redacted = view.redacted();
        view
    }

    fn side<'s>(&self, side: &'s Side) -> SideView<'s> {
        let answer = side.as_ref();
        let answer = answer.map_err(|failed| failed.failure.stage.name())?;
        let filter = self.filter(Masks::Told);
        let message = Visible::new(&answer.headers, &answer.body, filter);
        Ok((answer.status.as_u16(), message))
    }

    /// Where the candidate was asked, if the reference was asked for this target.
    fn candidate_url(&self, target: &str) -> String {
        match self.target {
            Some(target) => {
                let target = self.experiment.redaction.target(target);
                format!("{}{target}", self.asked.backend.base)
            }
            None => self.url(&self.asked.backend, target),
        }
    }

    /// Where a backend was asked for this target.
    fn url(&self, backend: &Backend, target: &str) -> String {
        let target = backend.rewrite.target(target, self.params);
        format!("{}{target}", backend.base)
    }

    fn filter(&self, masks: Masks) -> Filter<'_> {
        Filter {
            redaction: &self.experiment.redaction,
            limits: self.experiment.rules.limits,
            masks,
        }
    }

    fn fingerprints(&self) -> Vec<Fingerprint> {
        let names = [self.experiment.name.as_str(), self.asked.name.as_str()];
        if self.outcome != Outcome::Different {
            return vec![Fingerprint::of_failure(names, self.outcome)];
        }
        let listed = self.differences.list().iter();
        let of = |difference| Fingerprint::of_difference(names, difference);
        listed.map(of).collect()
    }

    /// The record in full.
    fn line(&self, view: &View<'_>) -> Result<Vec<u8>, serde_json::Error> {
        let target = &view.target.text;
        let differences = self.differences.list().iter().zip(&view.fingerprints);
        let differences = differences.map(|(difference, fingerprint)| DifferenceShape {
            difference,
            fingerprint: *fingerprint,
        });
        let notes = self.notes.iter().take(MAX_LISTED);
        let mut line = Vec::with_capacity(view.size());
        let shape = RecordShape {
            id: self.id,
            timestamp: timestamp(self.request.received),
            experiment: &self.experiment.name,
            outcome: self.outcome.name(),
            reason: self.outcome.reason(),
            request: RequestShape {
                method: self.request.method.as_str(),
                uri: target,
                route: &self.experiment.path,
                params: self.params,
                message: &view.request,
            },
            reference: ReferenceShape {
                url: self.url(&self.experiment.reference, target),
                response: response(&view.reference),
                timing: self.reference.into(),
            },
            candidate: CandidateShape {
                name: &self.asked.name,
                url: self.candidate_url(target),
                response: response(&view.candidate),
                timing: self.candidate.into(),
            },
            differences: differences.collect(),
            differences_total: self.differences.total(),
            fingerprints: &view.distinct,
            notes: notes.map(|it| compare::shorten(it, MAX_TEXT)).collect(),
            redacted: &view.redacted,
            truncated: view.truncated(),
        };
        serde_json::to_writer(&mut line, &shape)?;
        Ok(line)
    }
}

impl View<'_> {
    /// The paths of what is hidden: first of heads, which are few.
    fn redacted(&self) -> Vec<String> {
        let messages = || self.messages();
        let headers = messages().flat_map(|(path, message)| message.hidden_headers(path));
        let target = self
            .target
            .hidden
            .iter()
            .map(|name| format!("request.uri{name}"));
        let places = messages().flat_map(|(path, message)| message.hidden_places(path));
        let paths = headers.chain(target).chain(places);
        let short = |path: String| compare::shorten(&path, MAX_TEXT).into_owned();
        paths.map(short).take(MAX_LISTED).collect()
    }

    /// What was not kept of bodies.
    fn truncated(&self) -> Vec<Truncated> {
        let cuts = self.messages().map(|(path, it)| it.truncated(path));
        cuts.flatten().collect()
    }

    /// About how many bytes the record has.
    fn size(&self) -> usize {
        let bodies = self.messages().map(|(_, it)| it.size_of_body());
        USUAL_SIZE + bodies.sum::<usize>()
    }

    /// Each message that there is, with its path in the record.
    fn messages(&self) -> impl Iterator<Item = (&'static str, &Visible<'_>)> {
        let responses = [
            ("reference.response", &self.reference),
            ("candidate.response", &self.candidate),
        ];
        let responses = responses.into_iter();
        let responses = responses.filter_map(|(path, side)| Some((path, &side.as_ref().ok()?.1)));
        std::iter::once(("request", &self.request)).chain(responses)
    }
}

fn response<'v>(side: &'v SideView<'_>) -> ResponseShape<'v> {
    match side {
        Ok((status, message)) => {
            let status = *status;
            ResponseShape::Answered { status, message }
        }
        Err(error) => ResponseShape::Failed { error },
    }
}

/// The first ones that are not the same.
fn distinct(fingerprints: &[Fingerprint]) -> Vec<Fingerprint> {
    let mut distinct = Vec::new();
    for fingerprint in fingerprints {
        if distinct.len() < MAX_LISTED && !distinct.contains(fingerprint) {
            distinct.push(*fingerprint);
        }
    }
    distinct
}

/// RFC 3339, in UTC, to the millisecond.
fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
