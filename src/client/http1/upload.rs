//! A request's body on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{EXPECT, HeaderMap, HeaderName, HeaderValue};
use http_body::Body;
use tokio::time::{Sleep, sleep};

use super::super::connect::BackendStream;
use super::super::error::Error;
use super::super::headers::ROLE_HEADER;
use super::super::{BoxError, Replay};
use crate::experiment::Role;
use crate::http1::{Encoder, Length, Wire, announced_trailers, with_room};

/// How long a backend may think about whether it wants a body. Clients wait about as long before they send all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request's body that is being sent.
pub(super) struct Upload<B> {
    body: B,
    length: Length,
    encoder: Encoder,
    /// Those that may come behind it.
    trailers: Vec<HeaderName>,
    question: Question,
    /// Whether it goes on once it is answered: it is a client's, who may have to get rid of it before it asks again.
    is_clients: bool,
    /// Whether all of the body was read.
    is_read: bool,
}

/// What became of the question whether a body is wanted (`Expect: 100-continue`, RFC 9110 §10.1.1).
///
/// The client asked the backend: nothing of the body is read until the backend says 100, or has stayed silent for so
/// long that it is taken not to know the question. A final answer before means that the body stays where it is until
/// the answer is over. What the client sends then after all is passed on, as it would have been without miffy.
enum Question {
    /// The client wants to know.
    Open,
    /// So does the backend, for so long.
    Asked(Pin<Box<Sleep>>),
    /// The backend answered the request instead.
    Moot,
    /// The body may go.
    Settled,
}

/// An upload, whatever the body.
pub(super) trait Uploading: Send {
    /// Sends on. Ready once all of it has gone, or with why there is no more.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<BackendStream>,
    ) -> Poll<Result<(), Error>>;

    /// The response is over before it. Whether the rest is to go all the same.
    fn outlasts_response(&mut self) -> bool;
}

impl<B> Upload<B> {
    /// In its `role`, with a head of these headers.
    pub(super) fn new(body: B, length: Length, role: Role, headers: &HeaderMap) -> Self {
        let mut trailers = announced_trailers(headers);
        trailers.retain(|name| *name != ROLE_HEADER);
        Self {
            body,
            length,
            encoder: Encoder::new(length),
            trailers,
            question: if asks(headers) {
                Question::Open
            } else {
                Question::Settled
            },
            is_clients: matches!(role, Role::Reference | Role::Upstream),
            is_read: false,
        }
    }

    /// The backend wants the body.
    pub(super) fn is_wanted(&mut self) {
        self.question = Question::Settled;
    }

    /// The backend has answered the request.
    pub(super) fn is_answered(&mut self) {
        if !matches!(self.question, Question::Settled) {
            self.question = Question::Moot;
        }
    }
}

impl<B: Replay> Upload<B> {
    /// The same upload once more, before it has begun, if its body is there still.
    pub(super) fn replay(&self) -> Option<Self> {
        Some(Self {
            body: self.body.replay()?,
            length: self.length,
            encoder: Encoder::new(self.length),
            trailers: self.trailers.clone(),
            question: match self.question {
                Question::Settled => Question::Settled,
                _ => Question::Open,
            },
            is_clients: self.is_clients,
            is_read: false,
        })
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    /// Sends the head, and what there is of the body together with it. To be called once.
    pub(super) fn poll_begin(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        wire: &mut Wire<BackendStream>,
    ) -> Poll<Result<(), Error>> {
        let written = with_room(|out| {
            out.extend_from_slice(head);
            let (data, behind) = match self.poll_next(cx, out) {
                Poll::Ready(next) => next?,
                Poll::Pending => Default::default(),
            };
            let written = wire.poll_write(cx, out, data, behind);
            written.map_err(|error| Error::asking(&error))
        });
        ready!(written)?;
        self.poll(cx, wire)
    }

    /// The next part of the body: what stands before it is written into `out`, what stands behind it comes with it.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<(Bytes, &'static [u8]), Error>> {
        ready!(self.question.poll(cx));
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => {
                self.is_read = true;
                let end = self.encoder.end(out);
                return Poll::Ready(
                    end.map(|()| Default::default())
                        .map_err(|error| Error::request_body(&error)),
                );
            }
            Some(Err(error)) => return Poll::Ready(Err(Error::request_body(&*error.into()))),
            Some(Ok(frame)) => frame,
        };
        let behind = match frame.into_data() {
            Ok(mut data) => {
                self.is_read = self.body.is_end_stream();
                let behind = self.encoder.data(out, &mut data, self.is_read);
                behind.map(|behind| (data, behind))
            }
            Err(frame) => {
                self.is_read = true;
                let trailers = frame.into_trailers().unwrap_or_default();
                let end = self.encoder.end_with(out, &trailers, &self.trailers);
                end.map(|()| Default::default())
            }
        };
        Poll::Ready(behind.map_err(|error| Error::request_body(&error)))
    }
}

impl Question {
    /// Ready when the body may go.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self, Self::Open) {
            // It goes with the head, that is now.
            *self = Self::Asked(Box::pin(sleep(PATIENCE)));
        }
        match self {
            Self::Asked(patience) => ready!(patience.as_mut().poll(cx)),
            Self::Open | Self::Moot => return Poll::Pending,
            Self::Settled => return Poll::Ready(()),
        }
        *self = Self::Settled;
        Poll::Ready(())
    }
}

impl<B> Uploading for Upload<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<BackendStream>,
    ) -> Poll<Result<(), Error>> {
        loop {
            let flushed = wire.poll_flush(cx);
            ready!(flushed).map_err(|error| Error::asking(&error))?;
            if self.is_read {
                return Poll::Ready(Ok(()));
            }
            let written = with_room(|out| {
                let (data, behind) = ready!(self.poll_next(cx, out))?;
                let written = wire.poll_write(cx, out, data, behind);
                written.map_err(|error| Error::asking(&error))
            });
            ready!(written)?;
        }
    }

    fn outlasts_response(&mut self) -> bool {
        self.question = Question::Settled;
        self.is_clients
    }
}

/// Whether the client waits to be asked for its body (RFC 9110 §10.1.1).
fn asks(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(EXPECT).iter().map(HeaderValue::as_bytes);
    expected.any(|it| it.eq_ignore_ascii_case(b"100-continue"))
}
