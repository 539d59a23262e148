//! A candidate's request that can be changed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};

use super::Request;
use crate::client::{self, strip_hop_by_hop};
use crate::config;

/// Bytes of a target, as the client of HTTP takes it.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// What one candidate is going to be sent. It begins as the client's request with what the configuration rewrites.
///
/// The method stays. So that the request stays a valid one, `Content-Length` follows the body, headers that are
/// for one connection only are taken out, and there must be no more than one `Host`; with several, or one that is no
/// host, the hook has failed, and the candidate is not asked.
///
/// ```
/// use miffy::hooks::Hooks;
///
/// let hooks = Hooks::new().edit(|edit| {
///     let target = format!("/v2{}", edit.target());
///     // One that would be too long stays as it is.
///     let _too_long = edit.set_target(&target);
///     if edit.method() == http::Method::POST {
///         edit.set_body(edit.body().to_ascii_lowercase());
///     }
/// });
/// # let _hooks = hooks;
/// ```
pub struct Edit {
    request: Request,
    candidate: Arc<config::Candidate>,
    head: request::Parts,
    target: PathAndQuery,
    /// What it was.
    before: PathAndQuery,
    body: Bytes,
    /// The reason why it can't be sent.
    problem: Option<&'static str>,
}

/// An edit that is over.
pub(crate) struct Edited {
    pub(crate) head: request::Parts,
    pub(crate) body: Bytes,
    /// The target, if it was changed.
    pub(crate) target: Option<PathAndQuery>,
}

/// A text that is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no path with or without a query: it must begin with a slash, have no fragment, and be escaped"
)]
pub struct InvalidTarget;

impl fmt::Debug for Edit {
    /// Without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("candidate", &self.candidate())
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl Edit {
    pub(crate) fn new(
        request: Request,
        candidate: Arc<config::Candidate>,
        head: request::Parts,
        body: Bytes,
    ) -> Self {
        let target = client::target(&head.uri).clone();
        Self {
            request,
            candidate,
            head,
            before: target.clone(),
            target,
            body,
            problem: None,
        }
    }

    /// Whom it is for.
    #[must_use]
    pub fn candidate(&self) -> &str {
        &self.candidate.name
    }

    /// The request as the client sent it.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The path and query, below the base URL of the candidate.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// Sets path and query, as in `/v2/users?page=1`. What is no target changes nothing.
    pub fn set_target(&mut self, target: &str) -> Result<(), InvalidTarget> {
        if !target.starts_with('/') || target.contains('#') || target.len() > MAX_TARGET {
            return Err(InvalidTarget);
        }
        self.target = target.parse().map_err(|_invalid| InvalidTarget)?;
        Ok(())
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The headers, to be changed.
    #[must_use]
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.head.headers
    }

    /// Sets a header in place of all its values. With a name or a value that can't be one, the candidate will not be
    /// asked.
    pub fn set_header(&mut self, name: &str, value: &str) {
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            (Ok(name), Ok(value)) => {
                self.head.headers.insert(name, value);
            }
            _ => self.problem = Some("a header's name or value can't be one"),
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Sets the body.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = body.into();
    }

    /// The request to be sent, or what is wrong with it.
    pub(super) fn finish(mut self) -> Result<Edited, &'static str> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let sent = self.request.sent();
        let headers = &mut self.head.headers;
        let trailers = HeaderValue::from_static("trailers");
        let wants_trailers = headers.get(TE) == Some(&trailers);
        strip_hop_by_hop(headers);
        if wants_trailers {
            headers.insert(TE, trailers);
        }
        let is_same_body = self.body == *sent.body.content.bytes();
        let length = match sent.head.headers.get(CONTENT_LENGTH) {
            length if is_same_body => length.cloned(),
            _ => Some(self.body.len().into()),
        };
        match length {
            Some(length) if headers.get_all(CONTENT_LENGTH).iter().ne([&length]) => {
                headers.insert(CONTENT_LENGTH, length);
            }
            Some(_) => {}
            None => {
                headers.remove(CONTENT_LENGTH);
            }
        }
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err("it has several hosts");
        }
        let is_host = |host: &HeaderValue| {
            host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|it| is_bare(&it))
        };
        if host != sent.head.headers.get(HOST) && !host.is_none_or(is_host) {
            return Err("its host is none");
        }
        let target = (self.target != self.before).then_some(self.target);
        if let Some(target) = &target {
            self.head.uri = target.clone().into();
        }
        Ok(Edited {
            head: self.head,
            body: self.body,
            target,
        })
    }
}

/// Whether nobody's name or password stands before the host.
fn is_bare(authority: &Authority) -> bool {
    !authority.as_str().contains('@')
}
