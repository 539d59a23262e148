//! A request's body whose failure is noted, for when its connection will not tell: HTTP/2 only resets the stream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Replay;

/// A request's body.
#[derive(Debug)]
pub(super) struct Watched<B> {
    inner: B,
    failed: Failed,
}

/// Whether a body failed.
pub(super) type Failed = Arc<AtomicBool>;

impl<B> Watched<B> {
    pub(super) fn new(inner: B) -> Self {
        Self {
            inner,
            failed: Failed::default(),
        }
    }

    /// Where it is noted.
    pub(super) fn failed(&self) -> Failed {
        self.failed.clone()
    }
}

impl<B: Replay> Replay for Watched<B> {
    fn replay(&self) -> Option<Self> {
        let failed = self.failed.clone();
        self.inner.replay().map(|inner| Self { inner, failed })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Err(_))) = &frame {
            self.failed.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
