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

/// A request can't be sent with the path that it is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("with the path that it is rewritten to, the target is longer than 64 KiB")]
pub struct NoTarget;

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
    ///
    /// # Errors
    ///
    /// When there is no target that it could be sent with. It is not to be sent then.
    pub fn apply(
        &self,
        head: &mut request::Parts,
        params: &[(&str, &str)],
    ) -> Result<(), NoTarget> {
        // Templates may ask for the client's host.
        self.edits.apply(&mut head.headers, params);
        if let Some(host) = &self.host {
            head.headers.insert(HOST, host.clone());
        }
        if let Some(path) = &self.path {
            let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
            let uri = rewritten(path, target, params).and_then(|it| with(&head.uri, &it));
            head.uri = uri.ok_or(NoTarget)?;
        }
        Ok(())
    }

    /// The target that a request to `target` is sent with, for records, or would be if it were not too long. Of its
    /// query, parts may be masked.
    #[must_use]
    pub fn target<'t>(&self, target: &'t str, params: &[(&str, &str)]) -> Cow<'t, str> {
        let path = self.path.as_ref();
        let rewritten = path.and_then(|path| rewritten(path, target, params));
        rewritten.map_or(Cow::Borrowed(target), Cow::Owned)
    }
}

/// The target with another path; `None` if a parameter is missing.
fn rewritten(path: &PathTemplate, target: &str, params: &[(&str, &str)]) -> Option<String> {
    let query = target.find('?').map_or("", |start| &target[start..]);
    Some(path.path(params)? + query)
}

/// A URI with another target; `None` if it is longer than a URI may be (64 KiB).
fn with(uri: &Uri, target: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
