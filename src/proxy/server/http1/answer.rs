//! A response on its way.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version, response};
use http_body::Body as _;

use super::super::super::connection::Socket;
use super::line::SharedLine;
use crate::http1::{
    Asked, Encoder, Length, StatusLine, announced_trailers, content_length, retain, with_room,
    write_response,
};

/// What a client wants for an answer, and of its connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    version: Version,
    /// It wants the head only.
    is_head: bool,
    takes_trailers: bool,
    /// Whether it may send another request.
    persists: bool,
}

impl From<&Asked> for Wish {
    fn from(asked: &Asked) -> Self {
        Self {
            version: asked.head.version,
            is_head: asked.head.method == Method::HEAD,
            takes_trailers: asked.takes_trailers,
            persists: asked.persists,
        }
    }
}

impl Wish {
    fn is_http10(self) -> bool {
        self.version == Version::HTTP_10
    }
}

/// A response that is being written.
pub(super) struct Answer {
    wish: Wish,
    /// Until it is written.
    head: Option<response::Parts>,
    body: Body,
    encoder: Encoder,
    /// Those that may come behind it.
    trailers: Vec<HeaderName>,
    /// What its head is to say of that.
    framing: Option<Line>,
    /// Whether all of it is written, or kept to be.
    is_over: bool,
    /// Why it breaks off.
    broken: Option<BoxError>,
}

/// A header's line.
type Line = (HeaderName, Cow<'static, str>);

/// How a response is framed, and what is said of that.
struct Framing {
    length: Length,
    /// A line of the head.
    line: Option<Line>,
}

impl Answer {
    /// `response`, for who wants it so. With `is_last`, no other will follow.
    pub(super) fn new(response: Response, wish: Wish, is_last: bool) -> Self {
        let (mut head, body) = response.into_parts();
        let mut wish = wish;
        let framing = Framing::of(&mut head, &body, wish);
        wish.persists &= !is_last && framing.length != Length::UntilClose && !closes(&head.headers);
        let trailers = if wish.takes_trailers {
            announced_trailers(&head.headers)
        } else {
            Vec::new()
        };
        Self {
            wish,
            trailers,
            head: Some(head),
            body,
            encoder: Encoder::new(framing.length),
            framing: framing.line,
            is_over: false,
            broken: None,
        }
    }

    /// Whether the connection may carry another request.
    pub(super) fn persists(&self) -> bool {
        self.wish.persists
    }

    /// Writes on. Ready when all of it has gone, or with why the rest will not come.
    pub(super) fn poll<IO: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        line: &SharedLine<IO>,
    ) -> Poll<Result<(), BoxError>> {
        loop {
            ready!(line.lock().wire().poll_flush(cx))?;
            if let Some(error) = self.broken.take() {
                return Poll::Ready(Err(error));
            }
            if self.is_over {
                return Poll::Ready(Ok(()));
            }
            let written = with_room(|out| {
                if let Some(head) = self.head.take() {
                    line.lock().is_answered();
                    self.write_head(out, &head);
                }
                // The line is not held meanwhile: the response's end may wait for the request's.
                let (data, behind) = match self.poll_next(cx, out) {
                    Poll::Ready(next) => next,
                    Poll::Pending if out.is_empty() => return Poll::Pending,
                    Poll::Pending => Default::default(),
                };
                line.lock().wire().poll_write(cx, out, data, behind)
            });
            ready!(written)?;
        }
    }

    fn write_head(&self, out: &mut Vec<u8>, head: &response::Parts) {
        let connection = match (self.wish.persists, self.wish.is_http10()) {
            // It says what it becomes.
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => None,
            (false, false) if !closes(&head.headers) => Some("close"),
            (true, true) => Some("keep-alive"),
            _ => None,
        };
        let connection = connection.map(|option| (CONNECTION, option.into()));
        let lines: [Option<Line>; 2] = [self.framing.clone(), connection];
        let line = StatusLine {
            status: head.status,
            is_http10: self.wish.is_http10(),
        };
        write_response(out, line, &head.headers, &head.extensions, &lines);
    }

    /// What comes next of the body, and what stands behind it; what stands before it is written into `out`.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<(Bytes, &'static [u8])> {
        if self.encoder.is_over() {
            self.is_over = true;
            return Poll::Ready(Default::default());
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let next = match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
            Some(Ok(Ok(mut data))) => {
                let is_last = self.body.is_end_stream();
                let behind = self.encoder.data(out, &mut data, is_last);
                behind.map(|behind| (data, behind))
            }
            Some(Ok(Err(trailers))) => {
                let trailers = trailers.into_trailers().unwrap_or_default();
                let end = self.encoder.end_with(out, &trailers, &self.trailers);
                end.map(|()| Default::default())
            }
            None => self.encoder.end(out).map(|()| Default::default()),
            Some(Err(error)) => {
                self.broken = Some(error.into());
                return Poll::Ready(Default::default());
            }
        };
        self.is_over = self.encoder.is_over();
        Poll::Ready(next.unwrap_or_else(|too_short| {
            self.broken = Some(too_short.into());
            Default::default()
        }))
    }
}

impl Framing {
    /// The framing of a response (RFC 9112 §6.3): as its headers say, or else as its body is.
    fn of(head: &mut response::Parts, body: &Body, wish: Wish) -> Self {
        let (headers, status) = (&mut head.headers, head.status);
        let given = |length| Self { length, line: None };
        if status.is_informational() || status == StatusCode::NO_CONTENT {
            // Not even one of 0 (RFC 9110 §8.6).
            retain(headers, |name| *name != CONTENT_LENGTH);
            return given(Length::Exact(0));
        }
        if wish.is_head || status == StatusCode::NOT_MODIFIED {
            return given(Length::Exact(0));
        }
        if let Some(length) = content_length(headers.get_all(CONTENT_LENGTH)) {
            return given(Length::Exact(length));
        }
        if headers.contains_key(CONTENT_LENGTH) {
            retain(headers, |name| *name != CONTENT_LENGTH);
        }
        let size = if body.is_end_stream() {
            Some(0)
        } else {
            body.size_hint().exact()
        };
        let (length, line) = match size {
            Some(size) => {
                let line = (CONTENT_LENGTH, size.to_string().into());
                (Length::Exact(size), line)
            }
            None if wish.is_http10() => return given(Length::UntilClose),
            None => (Length::Chunked, (TRANSFER_ENCODING, "chunked".into())),
        };
        let line = Some(line);
        Self { length, line }
    }
}

/// Whether a response says that it is the last one on its connection.
fn closes(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    values.any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}
