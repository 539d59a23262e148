//! A report as a line: what is known of how a matched request ended for a candidate, flat.

use std::time::Duration;

use serde::Serialize;

use crate::capture::{Answer, Side};
use crate::outcome::Outcome;
use crate::shadow::Report;
use crate::telemetry::milliseconds;

/// One line, in the order of its fields. Times are in milliseconds, as fine as microseconds, and always have a
/// fraction: a store that guesses a field's type by its first value must not take it for a whole number.
#[derive(Debug, Serialize)]
pub(super) struct Line<'r> {
    /// When the request came: RFC 3339, UTC, milliseconds.
    #[serde(rename = "@timestamp")]
    timestamp: String,
    /// The version of Logstash's event schema.
    #[serde(rename = "@version")]
    version: &'static str,
    experiment: &'r str,
    candidate: &'r str,
    method: &'r str,
    /// Without the query.
    path: &'r str,
    /// The experiment's path pattern.
    route: &'r str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_ms: Option<f64>,
    /// The candidate's less the reference's, where both answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_first_byte_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_first_byte_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_bytes: Option<u64>,
    /// How many, where the answers were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<u64>,
}

impl<'r> Line<'r> {
    pub(super) fn of(report: &Report<'r>) -> Self {
        let received = humantime::format_rfc3339_millis(report.received);
        let (reference, candidate) = match report.pair {
            Some((reference, candidate, _)) => (Some(reference), Some(candidate)),
            None => (None, None),
        };
        let answers = [reference, candidate].map(answer);
        let [reference_ms, candidate_ms] = [reference, candidate].map(elapsed);
        let first_byte = |answer: Option<&Answer>| answer.map(|it| milliseconds(it.first_byte));
        let [reference_first_byte_ms, candidate_first_byte_ms] = answers.map(first_byte);
        let [reference_status, candidate_status] =
            answers.map(|answer| answer.map(|it| it.status.as_u16()));
        let [reference_bytes, candidate_bytes] = answers.map(|answer| answer.map(|it| it.body.len));
        let both_answered = answers.iter().all(Option::is_some);
        let differences = match (report.outcome, report.pair) {
            (Outcome::Equal | Outcome::Different, Some((.., differences))) => {
                Some(differences.total() as u64)
            }
            _ => None,
        };
        Self {
            timestamp: received.to_string(),
            version: "1",
            experiment: &report.experiment.name,
            candidate: &report.candidate.name,
            method: report.method.as_str(),
            path: path(report.target),
            route: &report.experiment.path,
            outcome: report.outcome.name(),
            reason: report.outcome.reason(),
            reference_status,
            candidate_status,
            reference_ms: reference_ms.map(milliseconds),
            candidate_ms: candidate_ms.map(milliseconds),
            difference_ms: reference_ms
                .zip(candidate_ms)
                .filter(|_| both_answered)
                .map(|(reference, candidate)| difference(reference, candidate)),
            reference_first_byte_ms,
            candidate_first_byte_ms,
            request_bytes: report.request_bytes,
            reference_bytes,
            candidate_bytes,
            differences,
        }
    }
}

fn answer(side: Option<&Side>) -> Option<&Answer> {
    side?.as_ref().ok()
}

/// Until its end, or until it failed.
fn elapsed(side: Option<&Side>) -> Option<Duration> {
    Some(match side? {
        Ok(answer) => answer.elapsed,
        Err(failed) => failed.elapsed,
    })
}

/// A target without its query.
fn path(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// How much longer the candidate took, of both times as they are written, in milliseconds.
fn difference(reference: Duration, candidate: Duration) -> f64 {
    let [reference, candidate] = [reference, candidate].map(milliseconds);
    ((candidate - reference) * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_query() {
        assert_eq!(path("/a?b=/c?d"), "/a");
        assert_eq!(path("/a"), "/a");
        assert_eq!(path("*"), "*");
    }

    #[test]
    fn the_difference_is_that_of_the_times_as_they_are_written() {
        for (reference, candidate, expected) in [
            (1_000_400, 3_000_600, 2.001),
            (3_000_600, 1_000_400, -2.001),
            (100_000, 300_000, 0.2),
            (5, 5, 0.0),
        ] {
            let [reference, candidate] = [reference, candidate].map(Duration::from_nanos);
            let difference = serde_json::to_string(&difference(reference, candidate));
            let expected = serde_json::to_string(&expected);
            assert_eq!(difference.ok(), expected.ok());
        }
    }
}
