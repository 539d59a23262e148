//! A path with parameters in it.

use std::fmt;

use http::uri::PathAndQuery;

use super::pieces::{Piece, known, pieces};

/// A path in which `{name}` is a parameter of the request's path, as it stands there, and `{{` a brace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: String,
    pieces: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Param(String),
}

impl PathTemplate {
    /// Reads one. `params` are the names of the parameters that there will be.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str, params: &[&str]) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("\"{text}\" does not start with \"/\""));
        }
        let part = |piece| match piece {
            Piece::Text(text) => match text.chars().find(|c| !may_stand_in_a_path(*c)) {
                Some('?') => Err("has a \"?\" in it: the query stays the request's".to_owned()),
                Some(c) => Err(format!("has {c:?} in it, which has to be percent-encoded")),
                None => Ok(Part::Text(text)),
            },
            Piece::Name(written) => {
                let name = written.strip_prefix('*').unwrap_or(written);
                if params.contains(&name) {
                    return Ok(Part::Param(name.to_owned()));
                }
                Err(format!("has no parameter {{{written}}}: {}", known(params)))
            }
        };
        let template = pieces(text)
            .and_then(|pieces| pieces.into_iter().map(part).collect())
            .map(|pieces| Self {
                text: text.to_owned(),
                pieces,
            })
            .map_err(|message| format!("\"{text}\" {message}"))?;
        let example: Vec<_> = params.iter().map(|name| (*name, "x")).collect();
        match template.path(&example).map(|it| it.parse::<PathAndQuery>()) {
            Some(Ok(_)) => Ok(template),
            Some(Err(error)) => Err(format!("\"{text}\" is no path: {error}")),
            None => Err(format!("\"{text}\" is no path")),
        }
    }

    /// The path with these parameters; `None` if one is missing.
    pub(super) fn path(&self, params: &[(&str, &str)]) -> Option<String> {
        self.pieces
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Param(name) => {
                    let mut params = params.iter();
                    params.find(|(of, _)| of == name).map(|(_, value)| *value)
                }
            })
            .collect()
    }
}

impl fmt::Display for PathTemplate {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a character may stand in a path as itself (RFC 3986 §3.3), or is one that servers take all the same.
fn may_stand_in_a_path(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '?' | '#' | '"' | '<' | '>' | '\\' | '^' | '`')
}
