//! A request's body, read from its connection.

use std::pin::Pin;
use std::sync::MutexGuard;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::super::super::connection::Socket;
use super::line::{Line, SharedLine};
use crate::http1::{Broken, Length};

/// A request's body. Its client is asked for it when it is first read, if it waits for that.
#[derive(Debug)]
pub(super) struct Upload<IO: Socket> {
    /// Empty once it is dropped.
    line: Option<SharedLine<IO>>,
    /// Which of the line's bodies it is. It may still be there when the next one is.
    number: u64,
}

impl<IO: Socket> Upload<IO> {
    pub(super) fn new(line: &SharedLine<IO>, length: Length, expects: bool) -> Self {
        Self {
            number: line.lock().expect_body(length, expects),
            line: Some(line.clone()),
        }
    }

    /// The line, while this is the body that is read from it.
    fn line(&self) -> Option<MutexGuard<'_, Line<IO>>> {
        let line = self.line.as_ref()?.lock();
        line.is_about(self.number).then_some(line)
    }
}

impl<IO: Socket> Body for Upload<IO> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.line() {
            Some(mut line) => line.poll_body(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.line().is_none_or(|line| line.has_body_ended())
    }

    fn size_hint(&self) -> SizeHint {
        let size = self.line().map_or(Some(0), |line| line.body_size());
        size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl<IO: Socket> Drop for Upload<IO> {
    fn drop(&mut self) {
        let line = self.line.take();
        let waiting = line.and_then(|line| line.lock().dropped(self.number));
        // By now the line is one fewer's.
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}
