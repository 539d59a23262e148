//! What a backend is sent instead of what the client sent: another path, another host, other headers.
//!
//! Pure: no I/O. What the environment holds is read with the configuration.

use http::{HeaderValue, request};

/// What is changed for one backend; nothing, by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// The `Host`, instead of the client's.
    pub host: Option<HeaderValue>,
}

impl Rewrite {
    /// Whether every request stays as it is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Changes a request. `params` are those of its path, as they stand in it.
    pub fn apply(&self, _head: &mut request::Parts, _params: &[(&str, &str)]) {}

    /// The target that a request to `target` is sent with, for records.
    #[must_use]
    pub fn target<'t>(
        &self,
        target: &'t str,
        _params: &[(&str, &str)],
    ) -> std::borrow::Cow<'t, str> {
        target.into()
    }
}
