//! An answer, as hooks see it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::capture::{self, Content};
use crate::content::{self, Body};

/// A backend's answer, whole: nothing is masked.
///
/// ```
/// use miffy::hooks::Hooks;
///
/// let hooks = Hooks::new().finished(|exchange| {
///     if let Some(answer) = exchange.reference().answer() {
///         let text = answer.text().unwrap_or_else(|error| format!("({error})"));
///         println!("{} {text:?} in {:?}", answer.status(), answer.elapsed());
///     }
/// });
/// # let _hooks = hooks;
/// ```
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    answer: &'a capture::Answer,
    limits: content::Limits,
}

/// Why there are no bytes of a body without its codings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotWhole {
    /// It is over the bound of captured bodies.
    #[error("the body is over the bound of captured bodies")]
    NotKept,
    /// It can't be decoded.
    #[error("the body can't be decoded")]
    Undecodable,
    /// It is no text.
    #[error("the body is no text of its charset")]
    NoText,
}

impl fmt::Debug for Answer<'_> {
    /// Without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status())
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

impl<'a> Answer<'a> {
    pub(super) fn new(answer: &'a capture::Answer, limits: content::Limits) -> Self {
        Self { answer, limits }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.answer.status
    }

    /// The headers as they came.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        &self.answer.headers
    }

    /// A header's first value, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The length of the body in bytes, as it came.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.answer.body.len
    }

    /// The body's bytes as they came, content codings and all. Of one that is over the bound of captured bodies, only the
    /// first are there: [`Self::is_whole`] tells.
    #[must_use]
    pub fn bytes(&self) -> &'a Bytes {
        self.answer.body.content.bytes()
    }

    /// Whether all of the body is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.answer.body.content, Content::Whole(_))
    }

    /// The body without content codings (gzip, say). They are taken off at each call.
    pub fn decoded(&self) -> Result<Bytes, NotWhole> {
        let body = self.body()?;
        if !body.is_encoded() {
            return Ok(self.bytes().clone());
        }
        let decoded = body.decoded().map_err(|_error| NotWhole::Undecodable)?;
        Ok(Bytes::copy_from_slice(decoded))
    }

    /// The body as text, without content codings and charset.
    pub fn text(&self) -> Result<String, NotWhole> {
        let body = self.body()?;
        body.decoded().map_err(|_error| NotWhole::Undecodable)?;
        let text = body.text().map_err(|_error| NotWhole::NoText)?;
        Ok(text.to_owned())
    }

    /// Time from sending the request to the answer's head.
    #[must_use]
    pub fn first_byte(&self) -> Duration {
        self.answer.first_byte
    }

    /// Time from sending the request to the answer's end.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.answer.elapsed
    }

    fn body(&self) -> Result<Body<'a>, NotWhole> {
        if !self.is_whole() {
            return Err(NotWhole::NotKept);
        }
        Ok(Body::new(self.headers(), self.bytes(), self.limits))
    }
}
