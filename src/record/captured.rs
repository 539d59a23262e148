//! Reads records again, those of Miffy 1.0.1 among them.
//!
//! Bodies are taken as they are written, so that no number loses a digit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::content::{Media, media_type};

/// Objects in a line that may be the record.
const MAX_STARTS: usize = 8;

/// A record that was read.
#[derive(Debug)]
pub struct CapturedRecord {
    /// The experiment's name, if it is there.
    pub experiment: Option<String>,
    /// The experiment's path pattern.
    pub route: String,
    /// The request's target.
    pub target: String,
    /// How it ended, and why, if both sides did not answer.
    pub failed: Option<String>,
    /// The reference's answer, if there is one.
    pub reference: Option<CapturedAnswer>,
    /// The candidate's answer, if there is one.
    pub candidate: Option<CapturedAnswer>,
    /// The recorded differences, each by its path and kind.
    pub differences: Vec<(String, String)>,
    /// How many there are beside them.
    pub unlisted: usize,
    /// Whether a part of a response is missing, so that it can't be compared again.
    pub is_cut: bool,
}

/// An answer that was recorded.
#[derive(Debug)]
pub struct CapturedAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as far as they say of the body how it is recorded.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub enum NoRecord {
    /// It has no fields of a record.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// A body is not the base64 that it is said to be.
    #[error("a body is no base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// A header or a status can't be one.
    #[error("{0}")]
    Head(#[from] http::Error),
}

#[derive(Deserialize)]
struct Shape<'a> {
    experiment: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    request: Request,
    #[serde(borrow)]
    reference: Side<'a>,
    #[serde(borrow)]
    candidate: Side<'a>,
    #[serde(default)]
    differences: Vec<Difference>,
    #[serde(default)]
    differences_total: usize,
    #[serde(default)]
    redacted: Vec<String>,
    #[serde(default)]
    truncated: Vec<Truncated>,
}

#[derive(Deserialize)]
struct Request {
    uri: String,
    route: String,
}

#[derive(Deserialize)]
struct Side<'a> {
    #[serde(borrow)]
    response: Response<'a>,
}

#[derive(Deserialize)]
struct Response<'a> {
    error: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: serde_json::Map<String, serde_json::Value>,
    #[serde(borrow)]
    body: Option<Form<'a>>,
}

#[derive(Deserialize)]
struct Form<'a> {
    r#type: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Deserialize)]
struct Difference {
    path: String,
    kind: String,
}

#[derive(Deserialize)]
struct Truncated {
    field: String,
}

impl CapturedRecord {
    /// Reads a line, whatever stands before the record: kcat may write the key there.
    pub fn read(line: &str) -> Result<Self, NoRecord> {
        let shape = shape(line)?;
        let responses = [&shape.reference.response, &shape.candidate.response];
        let error = responses.iter().find_map(|it| it.error.as_deref());
        let failed = error.map(|error| {
            let outcome = shape.outcome.as_deref().unwrap_or("failed");
            format!("{outcome}.{}", shape.reason.as_deref().unwrap_or(error))
        });
        let is_cut = shape
            .truncated
            .iter()
            .any(|part| part.field.contains(".response."));
        // What is masked was decoded for it.
        let is_masked = |side: &str| {
            let body = format!("{side}.response.body");
            shape.redacted.iter().any(|path| path.starts_with(&body))
        };
        let reference = answer(responses[0], is_masked("reference"));
        let candidate = answer(responses[1], is_masked("candidate"));
        Ok(Self {
            experiment: shape.experiment,
            route: shape.request.route,
            target: shape.request.uri,
            failed,
            reference: reference?,
            candidate: candidate?,
            unlisted: shape
                .differences_total
                .saturating_sub(shape.differences.len()),
            differences: shape
                .differences
                .into_iter()
                .map(|it| (it.path, it.kind))
                .collect(),
            is_cut,
        })
    }
}

/// A record's fields, behind a key or not. Unless a route has another, its key is its path, such as
/// `/user/{id}`.
fn shape(line: &str) -> Result<Shape<'_>, serde_json::Error> {
    let braces = line.match_indices('{').map(|(at, _)| &line[at..]);
    let is_object = |text: &&str| text[1..].trim_start().starts_with('"');
    let mut first = None;
    for text in braces.filter(is_object).take(MAX_STARTS) {
        match serde_json::from_str(text) {
            Ok(shape) => return Ok(shape),
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        Some(error) => Err(error),
        None => serde_json::from_str(line),
    }
}

fn answer(response: &Response<'_>, is_masked: bool) -> Result<Option<CapturedAnswer>, NoRecord> {
    let Some(status) = response.status else {
        return Ok(None);
    };
    let status = StatusCode::from_u16(status).map_err(http::Error::from)?;
    let mut headers = headers(&response.headers)?;
    if is_masked {
        headers.remove(CONTENT_ENCODING);
    }
    let body = match &response.body {
        None => Vec::new(),
        Some(form) if form.r#type == "json" => {
            as_text(&mut headers);
            form.value.get().as_bytes().to_owned()
        }
        Some(form) => STANDARD.decode(serde_json::from_str::<String>(form.value.get())?)?,
    };
    Ok(Some(CapturedAnswer {
        status,
        headers,
        body,
    }))
}

/// Makes the headers say what a body is that was recorded as JSON: without codings, and UTF-8.
fn as_text(headers: &mut HeaderMap) {
    headers.remove(CONTENT_ENCODING);
    let media = media_type(headers).and_then(|media| media.parse().ok());
    if let Some(media) = media
        && Media::of(headers) == Media::Json
    {
        headers.insert(CONTENT_TYPE, media);
    }
}

fn headers(map: &serde_json::Map<String, serde_json::Value>) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::new();
    for (name, values) in map {
        let name: HeaderName = name.parse()?;
        let values = match values {
            serde_json::Value::Array(values) => &values[..],
            value => std::slice::from_ref(value),
        };
        for value in values.iter().filter_map(serde_json::Value::as_str) {
            headers.append(&name, HeaderValue::from_bytes(value.as_bytes())?);
        }
    }
    Ok(headers)
}
