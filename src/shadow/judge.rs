//! Compares a pair, learns what is noise from its second answer, and writes its record. It waits for nothing,
//! so that it can run wherever it costs nobody time.
//!
//! What is noise is decided with this exchange counted in: if it is the one that tells a difference from
//! noise, it is reported itself.

use std::sync::Arc;

use http::uri::PathAndQuery;
use tracing::error;

use super::watch::{Unanswered, Watch};
pub(super) use crate::capture::Sent;
use crate::capture::{Answer, Captured, Content, Side};
use crate::compare::{self, Bodies, Comparison, Differences, Hashed, Head, Noise, Rules, compare};
use crate::config::{Candidate, NoiseMethod};
use crate::content::{self, Body};
use crate::delivery::Outgoing;
use crate::experiment::Experiment;
use crate::outcome::Outcome;
use crate::record::{self, Record};

/// What is a record's size beside its key and value, at most, in librdkafka's count.
const OVERHEAD: usize = 512;

/// Both sides of an exchange, over.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) sent: Arc<Sent>,
    pub(super) reference: Arc<Side>,
    pub(super) candidate: Arc<Side>,
    /// What the candidate was asked for, if a hook changed that.
    pub(super) target: Option<PathAndQuery>,
    /// Another answer of the reference's code.
    pub(super) second: Option<Arc<Answer>>,
}

/// What a pair is a pair of.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) experiment: Arc<Experiment>,
    pub(super) candidate: Arc<Candidate>,
    /// What is known of its noise, if anything is to be.
    pub(super) watch: Option<Watch>,
}

/// The bounds of what is published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of a record, its key included.
    pub(super) max_message: usize,
}

/// What became of a pair.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) comparison: Comparison,
    pub(super) record: Publication,
}

/// What is to be published of a pair.
#[derive(Debug)]
pub(super) enum Publication {
    /// There is no difference.
    Nothing,
    /// There is one.
    Record(Outgoing),
    /// There is one, and it can't be written.
    Unwritable,
}

impl Pair {
    /// Bytes that all bodies may have without their codings, for a guess at the work.
    pub(super) fn size(&self, limits: content::Limits) -> u64 {
        let of = |headers, body: &Captured| match &body.content {
            Content::Whole(bytes) => Body::new(headers, bytes, limits).most() as u64,
            // It is not decoded.
            Content::Over { .. } => body.len,
        };
        let sides = [
            (*self.reference).as_ref().ok(),
            (*self.candidate).as_ref().ok(),
        ];
        let answers = sides.into_iter().chain([self.second.as_deref()]).flatten();
        let answers = answers.map(|answer| of(&answer.headers, &answer.body));
        of(&self.sent.head.headers, &self.sent.body) + answers.sum::<u64>()
    }

    /// What differs by the rules alone, if both answered.
    pub(super) fn compare(&self, subject: &Subject) -> Option<Comparison> {
        match (&*self.reference, &*self.candidate) {
            (Ok(reference), Ok(candidate)) => {
                Some(compared(reference, candidate, &subject.experiment, None))
            }
            _ => None,
        }
    }

    /// Judges it, if it was compared before by that comparison.
    pub(super) fn judge(
        &self,
        before: Option<Comparison>,
        subject: &Subject,
        bounds: Bounds,
    ) -> Verdict {
        let (outcome, comparison) = self.settle(before, subject);
        self.publish(outcome, comparison, subject, bounds)
    }

    /// How it ended, and what differs.
    pub(super) fn settle(
        &self,
        before: Option<Comparison>,
        subject: &Subject,
    ) -> (Outcome, Comparison) {
        let experiment = &*subject.experiment;
        match (&*self.reference, &*self.candidate) {
            (Ok(_), Ok(_)) if !subject.candidate.compare => {
                (Outcome::Uncompared, Comparison::default())
            }
            (Ok(reference), Ok(candidate)) => {
                let sides = [reference, candidate];
                let comparison =
                    before.unwrap_or_else(|| compared(reference, candidate, experiment, None));
                let comparison = match &subject.watch {
                    Some(watch) => self.heed(watch, sides, experiment, comparison),
                    None => comparison,
                };
                match comparison.differences.total() {
                    0 => (Outcome::Equal, comparison),
                    _ => (Outcome::Different, comparison),
                }
            }
            (Err(failed), _) => failure(Outcome::ReferenceFailed(failed.failure.cause)),
            (_, Err(failed)) => failure(Outcome::CandidateFailed(failed.failure.cause)),
        }
    }

    /// Writes its record, if it is to have one.
    pub(super) fn publish(
        &self,
        outcome: Outcome,
        comparison: Comparison,
        subject: &Subject,
        bounds: Bounds,
    ) -> Verdict {
        let record = if outcome == Outcome::Equal || !subject.candidate.compare {
            Publication::Nothing
        } else {
            self.record(subject, outcome, &comparison, bounds)
        };
        Verdict {
            outcome,
            comparison,
            record,
        }
    }

    /// Learns from the second answer, and heeds what was learned.
    fn heed(
        &self,
        watch: &Watch,
        [reference, candidate]: [&Answer; 2],
        experiment: &Experiment,
        comparison: Comparison,
    ) -> Comparison {
        if let Some(second) = &self.second {
            let differences = &comparison.differences;
            learn(
                watch,
                [reference, candidate, second],
                experiment,
                differences,
            );
        }
        let places = watch.noisy(&comparison.differences);
        if places.is_empty() {
            return comparison;
        }
        let noise = watch.noise(&places);
        let comparison = compared(reference, candidate, experiment, Some(noise));
        watch.count(&comparison.differences, &places);
        comparison
    }

    fn record(
        &self,
        subject: &Subject,
        outcome: Outcome,
        comparison: &Comparison,
        bounds: Bounds,
    ) -> Publication {
        let experiment = &*subject.experiment;
        let Sent { head, body } = &*self.sent;
        let params = experiment.params(head.target.path());
        let key = experiment.record_key(&params);
        let record = Record {
            id: record::new_id(),
            experiment,
            asked: &subject.candidate,
            target: self.target.as_ref().map(PathAndQuery::as_str),
            request: head,
            request_body: body,
            params: &params,
            reference: &self.reference,
            candidate: &self.candidate,
            outcome,
            differences: &comparison.differences,
            notes: &comparison.notes,
        };
        let max = bounds.max_message.saturating_sub(key.len() + OVERHEAD);
        match record.encode(max) {
            Ok(payload) => Publication::Record(Outgoing {
                topic: experiment.topic.clone(),
                key: key.into(),
                payload: payload.into(),
            }),
            Err(error) => {
                error!(%error, "a record can't be written");
                Publication::Unwritable
            }
        }
    }
}

/// Learns from the differences of a pair and a second answer.
fn learn(
    watch: &Watch,
    [reference, candidate, second]: [&Answer; 3],
    experiment: &Experiment,
    differences: &Differences,
) {
    let is_whole = |answer: &Answer| matches!(answer.body.content, Content::Whole(_));
    if [reference, candidate].map(is_whole) != [is_whole(second); 2] {
        // A body that was not kept differs as a whole, which tells nothing of places in one that was.
        return watch.unanswered(Unanswered::Failed);
    }
    let noise = compared(reference, second, experiment, None).differences;
    match &experiment.noise {
        // The reference was asked again because its first answer differs from the candidate's. So that this
        // choice weighs on both counts alike, both are of the second answer.
        NoiseMethod::Requery => {
            let raw = compared(second, candidate, experiment, None).differences;
            watch.learn(&raw, &noise);
        }
        NoiseMethod::Secondary(_) | NoiseMethod::Off => watch.learn(differences, &noise),
    }
}

fn failure(outcome: Outcome) -> (Outcome, Comparison) {
    (outcome, Comparison::default())
}

fn compared(
    reference: &Answer,
    candidate: &Answer,
    experiment: &Experiment,
    noise: Option<Noise<'_>>,
) -> Comparison {
    let (a, b) = (&reference.body.content, &candidate.body.content);
    let rules = &experiment.rules;
    let (body_a, body_b) = (body(reference, rules), body(candidate, rules));
    let bodies = match (a, b) {
        (Content::Whole(_), Content::Whole(_)) => Bodies::Whole(&body_a, &body_b),
        _ => Bodies::Hashed(hashed(reference.body.len, a), hashed(candidate.body.len, b)),
    };
    let (a, b) = (head(reference), head(candidate));
    compare(a, b, bodies, rules, noise, &experiment.redaction)
}

fn body<'a>(answer: &'a Answer, rules: &Rules) -> Body<'a> {
    Body::new(&answer.headers, answer.body.content.bytes(), rules.limits)
}

fn head(answer: &Answer) -> Head<'_> {
    compare::Head {
        status: answer.status,
        headers: &answer.headers,
    }
}

fn hashed(len: u64, content: &Content) -> Hashed {
    let digest = content.digest();
    Hashed { len, digest }
}
