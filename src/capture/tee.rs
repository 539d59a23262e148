//! A body that passes through and leaves a bounded copy behind.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use super::body::{BodyEnd, Captured, Limits, Recorder};

/// Passes `inner` through unchanged; its copy goes to `sink` when it ends, or is cut by being dropped.
pub struct Tee<B: Body + Unpin, S: Sink> {
    /// Empty once the body was handed back.
    inner: Option<B>,
    /// Empty once the copy went to the sink.
    copy: Option<Copying<S>>,
    /// Takes the body back if it is dropped before its end.
    reclaim: Option<oneshot::Sender<Remainder<B, S>>>,
}

/// Where a copy goes.
pub trait Sink: Unpin {
    /// Takes the copy.
    fn accept(self, captured: Captured);

    /// Whether anybody still waits for the copy; if not, what there is of it is dropped. Wakes the task
    /// of `cx` when that changes.
    fn is_wanted(&mut self, cx: &mut Context<'_>) -> bool;

    /// Whether a copy that was given up is to be had at once, not at the body's end.
    fn in_a_hurry(&self) -> bool {
        false
    }
}

struct Copying<S> {
    recorder: Recorder,
    sink: S,
}

/// What is left of a body that was dropped before its end.
pub(super) struct Remainder<B, S> {
    inner: B,
    copy: Copying<S>,
}

impl<B: Body<Data = Bytes> + Unpin, S: Sink> Tee<B, S> {
    /// Copies `inner` within `limits` for `sink`.
    pub fn new(inner: B, limits: &Limits, sink: S) -> Self {
        let recorder = Recorder::new(limits, &inner.size_hint());
        let mut tee = Self {
            inner: Some(inner),
            copy: Some(Copying { recorder, sink }),
            reclaim: None,
        };
        tee.finish_at_end();
        tee
    }

    /// Has the body given back, should it be dropped before its end.
    pub(super) fn reclaimable(mut self) -> (Self, oneshot::Receiver<Remainder<B, S>>) {
        let (sender, receiver) = oneshot::channel();
        self.reclaim = Some(sender);
        (self, receiver)
    }

    /// Whether the copy went to the sink.
    pub(super) fn is_copied(&self) -> bool {
        self.copy.is_none()
    }

    fn finish_at_end(&mut self) {
        if self.inner.as_ref().is_some_and(Body::is_end_stream) {
            self.finish(BodyEnd::Complete);
        }
    }
}

impl<B: Body + Unpin, S: Sink> Tee<B, S> {
    fn copy(&mut self, data: &[u8]) {
        let Some(copy) = &mut self.copy else {
            return;
        };
        copy.recorder.push(data);
        if copy.recorder.is_over() && copy.sink.in_a_hurry() {
            self.finish(BodyEnd::Cut);
        }
    }

    fn finish(&mut self, end: BodyEnd) {
        if let Some(Copying { recorder, sink }) = self.copy.take() {
            sink.accept(recorder.finish(end));
        }
    }
}

impl<B, S> Remainder<B, S>
where
    B: Body<Data = Bytes> + Unpin,
    S: Sink,
{
    /// The body again, to be read on.
    pub(super) fn resume(self) -> Tee<B, S> {
        Tee {
            inner: Some(self.inner),
            copy: Some(self.copy),
            reclaim: None,
        }
    }
}

impl<B, S> Tee<B, S>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    S: Sink,
{
    /// Reads it to its end, or for as long as anybody waits for its copy.
    pub async fn drain(mut self) {
        while !self.is_copied() {
            poll_fn(|cx| {
                let frame = Pin::new(&mut self).poll_frame(cx);
                // Whoever has gone away is noticed by asking for a frame, too.
                if self.is_copied() {
                    return Poll::Ready(());
                }
                frame.map(drop)
            })
            .await;
        }
    }
}

impl<B, S> Body for Tee<B, S>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    S: Sink,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self
            .copy
            .as_mut()
            .is_some_and(|copy| !copy.sink.is_wanted(cx))
        {
            self.copy = None;
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.copy(data);
                }
                if frame.is_trailers() {
                    // Nothing comes after them, and nobody asks again.
                    self.finish(BodyEnd::Complete);
                }
                self.finish_at_end();
            }
            Some(Err(error)) => {
                let end = BodyEnd::of_error(error);
                self.finish(end);
            }
            None => self.finish(BodyEnd::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B: Body + Unpin, S: Sink> Drop for Tee<B, S> {
    fn drop(&mut self) {
        if let Some(reclaim) = self.reclaim.take()
            && let (Some(inner), Some(copy)) = (self.inner.take(), self.copy.take())
            && let Err(Remainder { copy, .. }) = reclaim.send(Remainder { inner, copy })
        {
            self.copy = Some(copy);
        }
        self.finish(BodyEnd::Cut);
    }
}
