//! What a backend is sent instead of what the client sent: another path, another host, other headers.
//!
//! Pure: no I/O. What the environment holds is read with the configuration.
//!
//! - Every template sees the request as it came, whatever is edited beside it.
//! - Headers are removed, then set, then added. Those that stay keep their order and, towards a backend in
//!   HTTP/1.1, their spelling; new ones stand behind them.
//! - The query is never changed.
//!
//! # Layout
//!
//! - `headers`: edits of headers
//! - `path`: a path with parameters in it
//! - `pieces`: text with names in braces
//! - `template`: a header's value, made of a request

mod headers;
mod path;
mod pieces;
mod template;

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderValue, Uri, request};

pub use headers::{Edits, is_protected};
pub use path::PathTemplate;
pub use template::Template;

/// What is changed for one backend; nothing, by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// The path, instead of the client's.
    pub path: Option<PathTemplate>,
    /// The `Host`, instead of the client's.
    pub host: Option<HeaderValue>,
    /// What becomes of the other headers.
    pub edits: Edits,
}

impl Rewrite {
    /// Whether every request stays as it is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Changes a request. `params` are those of its path, as they stand in it.
    pub fn apply(&self, head: &mut request::Parts, params: &[(&str, &str)]) {
        // Templates may ask for the client's host.
        self.edits.apply(&mut head.headers, params);
        if let Some(host) = &self.host {
            head.headers.insert(HOST, host.clone());
        }
        if let Some(path) = &self.path {
            let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
            if let Some(uri) = rewritten(path, target, params).and_then(|it| with(&head.uri, &it)) {
                head.uri = uri;
            }
        }
    }

    /// The target that a request to `target` is sent with, for records. Of its query, parts may be masked.
    #[must_use]
    pub fn target<'t>(&self, target: &'t str, params: &[(&str, &str)]) -> Cow<'t, str> {
        let path = self.path.as_ref();
        let rewritten = path.and_then(|path| rewritten(path, target, params));
        rewritten.map_or(Cow::Borrowed(target), Cow::Owned)
    }
}

/// The target with another path; `None` if it stays, since it would be longer than a target may be.
fn rewritten(path: &PathTemplate, target: &str, params: &[(&str, &str)]) -> Option<String> {
    // What the client of HTTP takes.
    const MAX_TARGET: usize = u16::MAX as usize - 1;
    let query = target.find('?').map_or("", |start| &target[start..]);
    let rewritten = path.path(params)? + query;
    (rewritten.len() <= MAX_TARGET).then_some(rewritten)
}

/// A URI with another target.
fn with(uri: &Uri, target: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
