//! A response's body with a limit of time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// A response's body, which fails when its time is up, if that is limited.
#[derive(Debug)]
pub struct Timed {
    inner: Incoming,
    deadline: Option<Pin<Box<Sleep>>>,
    _held: Held,
}

/// What a response's body holds until it is dropped, and drops after what it reads from.
pub(super) struct Held(#[expect(dead_code, reason = "it is only to be dropped")] Box<dyn Send>);

impl Held {
    pub(super) fn new(held: impl Send + 'static) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

/// Why a response's body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Its time was up.
    #[error("it took too long")]
    Late,
    /// The connection ended before, or went on in something else than HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl Timed {
    pub(super) fn response(
        response: Response<Incoming>,
        held: Held,
        deadline: Option<Instant>,
    ) -> Response<Self> {
        response.map(|inner| Self {
            inner,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            _held: held,
        })
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.deadline.as_mut();
        deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // First of all, since a body that never ends may never have to be waited for either.
        if self.is_late(cx) {
            return Poll::Ready(Some(Err(BodyError::Late)));
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
