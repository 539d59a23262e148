//! A body that keeps its size to itself.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Passes `inner` through without telling its size, and holds something until it is dropped.
///
/// A message's own headers say how it is framed. Knowing the size as well, hyper or axum would add a
/// `Content-Length` that was not sent.
#[derive(Debug, Clone)]
pub struct Unmeasured<B, G = ()> {
    inner: B,
    _held: G,
}

impl<B, G> Unmeasured<B, G> {
    /// Wraps a body.
    pub fn new(inner: B, held: G) -> Self {
        Self { inner, _held: held }
    }
}

impl<B: Body<Data = Bytes> + Unpin, G: Unpin> Body for Unmeasured<B, G> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
