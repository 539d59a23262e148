//! A response's body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::super::BoxError;
use super::super::connect::BackendStream;
use super::Connection;
use super::halves::Reading;
use super::upload::Uploading;
use crate::http1::{Decoder, Told, Wire};

/// A response's body, which reads on as it is asked to. At its end, its connection waits for the next request; dropped
/// before, it ends it.
#[derive(Debug)]
pub(in crate::client) struct ResponseBody {
    /// All of it, where it came with the head.
    whole: Option<Bytes>,
    source: Source,
    decoder: Decoder,
    /// Whether the connection may carry another request.
    persists: bool,
}

/// Where a body is read from.
#[derive(Debug)]
enum Source {
    /// Nothing is to be read.
    Nothing,
    Connection(Box<Connection>),
    /// The request is still being sent.
    Half(Reading),
}

impl ResponseBody {
    /// The response whose head is there, and what is left of its request.
    pub(super) fn response(
        told: Told,
        connection: Box<Connection>,
        upload: Option<Box<dyn Uploading>>,
    ) -> Response<Self> {
        let becomes_another = told.head.status == StatusCode::SWITCHING_PROTOCOLS;
        let source = match upload {
            None => Source::Connection(connection),
            Some(upload) => Source::Half(Reading::beside(upload, connection)),
        };
        let mut body = Self {
            whole: None,
            source,
            decoder: Decoder::new(told.length),
            persists: told.persists,
        };
        if !becomes_another {
            body.take_whole();
        }
        Response::from_parts(told.head, body)
    }

    /// Reads it at once, if it came with the head, so that the connection is free.
    fn take_whole(&mut self) {
        if let Source::Connection(connection) = &mut self.source
            && let Decoder::Exact(length @ 1..) = self.decoder
            && let Ok(length) = usize::try_from(length)
            && let unread = connection.wire.unread()
            && length <= unread.len()
        {
            self.whole = Some(unread.split_to(length));
            self.decoder = Decoder::Exact(0);
        }
        if self.decoder.is_over() {
            self.end();
        }
    }

    /// The response is over.
    fn end(&mut self) {
        match std::mem::replace(&mut self.source, Source::Nothing) {
            Source::Nothing => {}
            Source::Connection(connection) => connection.rest_if(self.persists),
            Source::Half(reading) => reading.end(self.persists),
        }
    }

    /// The connection, which has become another protocol's, once all of the request has gone.
    pub(in crate::client) async fn upgraded(self) -> Option<Wire<BackendStream>> {
        match self.source {
            Source::Nothing => None,
            Source::Connection(connection) => Some(connection.wire),
            Source::Half(reading) => reading.upgraded().await,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(whole) = this.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        let frame = match &mut this.source {
            Source::Nothing => None,
            Source::Connection(connection) => {
                let frame = ready!(connection.wire.poll_frame(cx, &mut this.decoder));
                frame.map(|frame| frame.map_err(BoxError::from))
            }
            Source::Half(reading) => ready!(reading.poll_frame(cx, &mut this.decoder)),
        };
        if matches!(frame, Some(Err(_))) {
            this.source = Source::Nothing;
        } else if this.decoder.is_over() {
            this.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && (matches!(self.source, Source::Nothing) || self.decoder.is_over())
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.whole, &self.decoder) {
            (Some(whole), _) => SizeHint::with_exact(whole.len() as u64),
            (None, Decoder::Exact(length)) => SizeHint::with_exact(*length),
            (None, Decoder::Chunked(_) | Decoder::UntilClose) => SizeHint::default(),
        }
    }
}
