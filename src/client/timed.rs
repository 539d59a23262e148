//! A response's body with a limit of time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::BoxError;
use super::http1::ResponseBody;
use super::http2::Link;

/// A response's body, which fails when its time is up, if that is limited.
#[derive(Debug)]
pub struct Timed {
    inner: Inner,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// A response's body in either version of HTTP.
#[derive(Debug)]
pub(super) enum Inner {
    /// With its connection.
    Http1(ResponseBody),
    /// With its part of a connection, which is dropped after it.
    Http2(
        Incoming,
        #[expect(dead_code, reason = "it is only to be dropped")] Arc<Link>,
    ),
}

/// Why a response's body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Its time was up.
    #[error("it took too long")]
    Late,
    /// The connection ended before, or went on in something else than HTTP.
    #[error(transparent)]
    Broken(BoxError),
}

impl Timed {
    pub(super) fn response(response: Response<Inner>, deadline: Option<Instant>) -> Response<Self> {
        response.map(|inner| Self {
            inner,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
        })
    }

    /// The connection, which has become another protocol's, once all of the request has gone.
    pub(crate) async fn upgraded(
        self,
    ) -> Option<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        match self.inner {
            Inner::Http1(body) => body.upgraded().await,
            Inner::Http2(..) => None,
        }
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
        let frame = match &mut self.inner {
            Inner::Http1(body) => ready!(Pin::new(body).poll_frame(cx)),
            Inner::Http2(body, _) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                frame.map(|frame| frame.map_err(BoxError::from))
            }
        };
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Http1(body) => body.is_end_stream(),
            Inner::Http2(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Http1(body) => body.size_hint(),
            Inner::Http2(body, _) => body.size_hint(),
        }
    }
}
