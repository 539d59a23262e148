//! A header's value, made of a request.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::pieces::{Piece, known, pieces};

/// A header's value in which `{request.header.NAME}` is the first value of that header in the client's request,
/// `{param.NAME}` a parameter of its path as it stands there, `{env.NAME}` what the environment held when the
/// configuration was read, and `{{` a brace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Header(HeaderName),
    Param(String),
    Secret(Secret),
}

/// What the environment holds; shown nowhere.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

impl Template {
    /// Reads one. `params` are the names of the path's parameters that there will be, `environment` gives a
    /// variable's value, or says what is wrong with it.
    ///
    /// # Errors
    ///
    /// What is wrong with it; never with the value of a variable in it.
    pub fn parse(
        text: &str,
        params: &[&str],
        environment: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let part = |piece| match piece {
            Piece::Text(text) => match strange(&text) {
                None => Ok(Part::Text(text)),
                Some(c) => Err(format!("has {c:?} in it, which a header can't have")),
            },
            Piece::Name(name) => named(name, params, &environment),
        };
        let parts: Result<Vec<_>, String> = pieces(text)?.into_iter().map(part).collect();
        parts.map(Self)
    }

    /// The value for a request with these headers and parameters; `None` if something in it is not there, or
    /// it is none.
    pub(super) fn value(
        &self,
        headers: &HeaderMap,
        params: &[(&str, &str)],
    ) -> Option<HeaderValue> {
        let mut bytes = Vec::new();
        let mut is_sensitive = false;
        for part in &self.0 {
            bytes.extend_from_slice(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Header(name) => {
                    let value = headers.get(name)?;
                    is_sensitive |= value.is_sensitive();
                    value.as_bytes()
                }
                Part::Param(name) => {
                    let (_, value) = params.iter().find(|(of, _)| of == name)?;
                    value.as_bytes()
                }
                Part::Secret(secret) => {
                    is_sensitive = true;
                    secret.0.as_bytes()
                }
            });
        }
        let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).ok()?;
        value.set_sensitive(is_sensitive);
        Some(value)
    }
}

/// What stands between braces.
fn named(
    name: &str,
    params: &[&str],
    environment: impl Fn(&str) -> Result<String, String>,
) -> Result<Part, String> {
    if let Some(header) = name.strip_prefix("request.header.") {
        return HeaderName::from_bytes(header.as_bytes())
            .map(Part::Header)
            .map_err(|_| format!("has \"{header}\" in it, which is no header's name"));
    }
    if let Some(param) = name.strip_prefix("param.") {
        let param = param.strip_prefix('*').unwrap_or(param);
        if params.contains(&param) {
            return Ok(Part::Param(param.to_owned()));
        }
        return Err(format!("has no parameter {{{param}}}: {}", known(params)));
    }
    if let Some(variable) = name.strip_prefix("env.") {
        let value = environment(variable)?;
        return match strange(&value) {
            None => Ok(Part::Secret(Secret(value))),
            Some(_) => Err(format!(
                "can't have the value of the environment variable {variable}: it has something in it that a header \
                 can't have, such as the end of a line"
            )),
        };
    }
    Err(format!(
        "has {{{name}}} in it, which is none of {{request.header.NAME}}, {{param.NAME}} and {{env.NAME}}"
    ))
}

/// What of a text can't be sent in a header (RFC 9110 §5.5, without what is no ASCII).
fn strange(text: &str) -> Option<char> {
    text.chars()
        .find(|c| !matches!(c, '\t' | ' ') && !c.is_ascii_graphic())
}
