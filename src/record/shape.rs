//! The record's fields. `docs/record.schema.json` says the same.

use http::HeaderMap;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use uuid::Uuid;

use super::body::{Encoded, Form};
use crate::capture::Side;
use crate::compare::Difference;

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
    pub(super) differences: &'a [Difference],
    pub(super) differences_total: usize,
    pub(super) redacted: Vec<String>,
    pub(super) truncated: Vec<Truncated>,
}

#[derive(Serialize)]
pub(super) struct RequestShape<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) route: &'a str,
    #[serde(serialize_with = "pairs")]
    pub(super) params: &'a [(&'a str, &'a str)],
    #[serde(serialize_with = "header_map")]
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Option<Form>,
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
        #[serde(serialize_with = "header_map")]
        headers: &'a HeaderMap,
        body: &'a Option<Form>,
    },
    Failed {
        error: &'static str,
    },
}

/// Times from the request's start, in milliseconds.
#[derive(Serialize)]
pub(super) struct Timing {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    elapsed_ms: f64,
}

/// A body that is not all there: of which message, its size, and how many bytes are.
#[derive(Serialize)]
pub(super) struct Truncated {
    pub(super) body: &'static str,
    pub(super) size: u64,
    pub(super) kept: u64,
}

impl<'a> ResponseShape<'a> {
    pub(super) fn of(side: &'a Side, body: &'a Encoded) -> Self {
        match side {
            Ok(answer) => Self::Answered {
                status: answer.status.as_u16(),
                headers: &answer.headers,
                body: &body.form,
            },
            Err(failed) => Self::Failed {
                error: failed.failure.stage.name(),
            },
        }
    }
}

impl From<&Side> for Timing {
    fn from(side: &Side) -> Self {
        let ms = |duration: std::time::Duration| {
            // Microseconds are as fine as it gets.
            (duration.as_secs_f64() * 1e6).round() / 1e3
        };
        match side {
            Ok(answer) => Self {
                first_byte_ms: Some(ms(answer.first_byte)),
                elapsed_ms: ms(answer.elapsed),
            },
            Err(failed) => Self {
                first_byte_ms: None,
                elapsed_ms: ms(failed.elapsed),
            },
        }
    }
}

/// Headers as an object: a string each, or an array of them where a header is repeated.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes the field by reference"
)]
fn header_map<S: Serializer>(headers: &&HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(headers.keys_len()))?;
    for name in headers.keys() {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            // A value that is no Unicode can't stand in JSON; its other bytes do.
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        match &values[..] {
            [value] => map.serialize_entry(name.as_str(), value)?,
            values => map.serialize_entry(name.as_str(), values)?,
        }
    }
    map.end()
}

fn pairs<S: Serializer>(pairs: &&[(&str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}
