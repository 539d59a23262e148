//! The record's fields. `docs/record.schema.json` says the same.

use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use std::borrow::Cow;

use super::fingerprint::Fingerprint;
use super::message::Visible;
use crate::capture::Side;
use crate::compare::Difference;
use crate::telemetry::milliseconds;

#[derive(Serialize)]
pub(super) struct RecordShape<'a> {
    pub(super) id: Uuid,
    pub(super) timestamp: String,
    pub(super) experiment: &'a str,
    pub(super) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    pub(super) request: RequestShape<'a>,
    pub(super) reference: ReferenceShape<'a>,
    pub(super) candidate: CandidateShape<'a>,
    pub(super) differences: Vec<DifferenceShape<'a>>,
    pub(super) differences_total: usize,
    pub(super) fingerprints: &'a [Fingerprint],
    pub(super) notes: Vec<Cow<'a, str>>,
    pub(super) redacted: &'a [String],
    pub(super) truncated: Vec<Truncated>,
}

#[derive(Serialize)]
pub(super) struct DifferenceShape<'a> {
    #[serde(flatten)]
    pub(super) difference: &'a Difference,
    pub(super) fingerprint: Fingerprint,
}

#[derive(Serialize)]
pub(super) struct RequestShape<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) route: &'a str,
    #[serde(serialize_with = "pairs")]
    pub(super) params: &'a [(&'a str, &'a str)],
    #[serde(flatten)]
    pub(super) message: &'a Visible<'a>,
}

#[derive(Serialize)]
pub(super) struct ReferenceShape<'a> {
    pub(super) url: String,
    pub(super) response: ResponseShape<'a>,
    #[serde(flatten)]
    pub(super) timing: Timing,
}

#[derive(Serialize)]
pub(super) struct CandidateShape<'a> {
    pub(super) name: &'a str,
    pub(super) url: String,
    pub(super) response: ResponseShape<'a>,
    #[serde(flatten)]
    pub(super) timing: Timing,
}

/// A response, or how far the exchange came without one.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ResponseShape<'a> {
    Answered {
        status: u16,
        #[serde(flatten)]
        message: &'a Visible<'a>,
    },
    Failed {
        error: &'static str,
    },
}

/// Something that is not all there: its path in the record, its size in bytes, and how many of them are.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Truncated {
    pub(super) field: String,
    pub(super) size: u64,
    pub(super) kept: u64,
}

/// Times from the request's start, in milliseconds.
#[derive(Serialize)]
pub(super) struct Timing {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    elapsed_ms: f64,
}

impl From<&Side> for Timing {
    fn from(side: &Side) -> Self {
        match side {
            Ok(answer) => Self {
                first_byte_ms: Some(milliseconds(answer.first_byte)),
                elapsed_ms: milliseconds(answer.elapsed),
            },
            Err(failed) => Self {
                first_byte_ms: None,
                elapsed_ms: milliseconds(failed.elapsed),
            },
        }
    }
}

fn pairs<S: Serializer>(pairs: &&[(&str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}
