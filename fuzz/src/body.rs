//! Bodies that come in pieces, and what drives them without a runtime.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Without saying so before it is asked once more.
    Plain,
    /// Known with the last piece.
    Known,
    Trailers,
    Error,
}

/// The error that it ends with.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error")
    }
}

impl std::error::Error for Broken {}

/// A body in pieces.
#[derive(Debug)]
pub struct Pieces {
    left: VecDeque<Bytes>,
    end: Option<End>,
    /// Whether it was asked for the next piece, and had it not yet.
    was_pending: bool,
}

impl Pieces {
    /// `data` in pieces of these sizes, over and over.
    #[must_use]
    pub fn new(mut data: Bytes, sizes: &[u8], end: End) -> Self {
        let mut left = VecDeque::new();
        for size in sizes.iter().cycle() {
            if data.is_empty() || left.len() > 256 {
                break;
            }
            // Small ones by their number, and large ones, for what is measured in KiB.
            let size = match usize::from(*size) {
                large @ 128.. => (large - 127) * 512,
                // None of them is 0 in an input, and empty pieces are wanted.
                small => small.saturating_sub(1),
            };
            left.push_back(data.split_to(size.min(data.len())));
        }
        if !data.is_empty() {
            left.push_back(data);
        }
        Self {
            left,
            end: Some(end),
            was_pending: false,
        }
    }

    /// Whether it will end with an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.end == Some(End::Error)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.was_pending = !self.was_pending;
        if self.was_pending {
            return Poll::Pending;
        }
        if let Some(piece) = self.left.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(match self.end.take() {
            Some(End::Trailers) => Some(Ok(Frame::trailers(HeaderMap::new()))),
            Some(End::Error) => Some(Err(Broken)),
            Some(End::Plain | End::Known) | None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && matches!(self.end, Some(End::Known) | None)
    }
}

/// What a body gives, in all or in its first `frames` frames, and whether it came to its end.
pub fn read<B>(body: &mut B, frames: usize) -> (Vec<u8>, bool)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut data = Vec::new();
    for _ in 0..frames {
        // As servers do.
        if body.is_end_stream() {
            return (data, true);
        }
        let next = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        match block_on(next) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(_trailers) => return (data, true),
            },
            Some(Err(_)) | None => return (data, true),
        }
    }
    (data, false)
}

/// Drives a future that waits for nobody else.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("the future does not end");
}
