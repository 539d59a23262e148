//! What does not leave the process.

use http::HeaderName;

use super::reader::Section;
use crate::compare::Pattern;
use crate::redact::Glob;

/// What does not leave the process; nothing, by its own default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redact {
    /// Headers by their names, on all sides.
    pub headers: Vec<Glob>,
    /// Parameters of queries by their names.
    pub query: Vec<Glob>,
    /// Places in bodies.
    pub body: Vec<Pattern>,
}

impl Redact {
    /// Whether the values of a header of this name are hidden.
    #[must_use]
    pub fn hides_header(&self, name: &[u8]) -> bool {
        self.headers.iter().any(|glob| glob.matches(name))
    }
}

/// Reads `[redact]`; `None` if a problem was noted.
pub(super) fn read(mut section: Section<'_>) -> Option<Redact> {
    let headers = list(&mut section, "headers", header_glob);
    let query = list(&mut section, "query", parameter_glob);
    let body = list(&mut section, "body", str::parse);
    section.finish();
    Some(Redact {
        headers: headers?,
        query: query?,
        body: body?,
    })
}

/// A list of texts, each read by itself, so that every wrong one is told.
fn list<T>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let texts: Vec<String> = section.take(key)?;
    let items: Vec<Option<T>> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let noted = |message| section.problem(&format!("{key}[{index}]"), message);
            read(text).map_err(noted).ok()
        })
        .collect();
    items.into_iter().collect()
}

fn header_glob(text: &str) -> Result<Glob, String> {
    // What a "*" stands for is part of a name, as "*" itself is.
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(Glob::new(text)),
        Err(_) => Err(format!(
            "\"{text}\" is no header's name, with \"*\" for any part of it or without"
        )),
    }
}

fn parameter_glob(text: &str) -> Result<Glob, String> {
    match text {
        "" => Err("is empty, and must be a parameter's name".to_owned()),
        text => Ok(Glob::new(text)),
    }
}
