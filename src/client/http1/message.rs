//! A request as it goes.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING};
use http::{Method, request};
use http_body::Body;

use super::super::error::Error;
use super::super::headers::ROLE_HEADER;
use super::super::{BoxError, Replay, target};
use super::upload::Upload;
use crate::config::BaseUrl;
use crate::experiment::Role;
use crate::http1::{Length, TooShort, content_length, retain, write_request};

/// Bytes of most heads.
const ROOM: usize = 512;

/// A request as it goes on a connection, or on another one, should nobody have seen it on the first.
pub(in crate::client) struct Message<B> {
    pub(super) method: Method,
    pub(super) head: Vec<u8>,
    /// Where there is a body.
    pub(super) upload: Option<Box<Upload<B>>>,
}

/// What it takes to send a request once more, before anything of its body is gone.
pub(super) enum Again<B> {
    /// It can't be: the body is streamed, or what it asks for would be done twice (RFC 9110 §9.2.2).
    Never,
    /// Its head is all there is of it.
    Bodiless,
    With(Box<Upload<B>>),
}

impl<B> Message<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// A request to `base`, in its `role`, as one of HTTP/1.1 (RFC 9112 §3.2.1).
    pub(in crate::client) fn new(
        mut head: request::Parts,
        body: B,
        base: &BaseUrl,
        role: Role,
    ) -> Result<Self, Error> {
        let headers = &mut head.headers;
        if headers.contains_key(&ROLE_HEADER) {
            retain(headers, |name| *name != ROLE_HEADER);
        }
        if !headers.contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(base.authority().as_str())
        {
            headers.insert(HOST, host);
        }
        if headers.contains_key(TE) {
            // It would have to be named in `Connection` here.
            retain(headers, |name| *name != TE);
        }
        let length = frame(headers, &body)?;
        let has_body = !body.is_end_stream();
        let upload = has_body.then(|| Box::new(Upload::new(body, length, role, headers)));
        let target = base.target(target(&head.uri));
        let target = target.map_err(|error| Error::uri(&error))?;
        let mut out = Vec::with_capacity(ROOM);
        let (method, extensions) = (head.method, &head.extensions);
        let role = (&ROLE_HEADER, role.name());
        write_request(
            &mut out,
            &method,
            target.as_str(),
            headers,
            extensions,
            role,
        );
        Ok(Self {
            method,
            head: out,
            upload,
        })
    }
}

impl<B: Replay> Message<B> {
    /// What it takes to send it once more.
    pub(super) fn again(&self) -> Again<B> {
        if !self.method.is_idempotent() {
            return Again::Never;
        }
        match &self.upload {
            None => Again::Bodiless,
            Some(upload) => upload
                .replay()
                .map_or(Again::Never, |again| Again::With(Box::new(again))),
        }
    }
}

/// Has the headers say how long a body is (RFC 9112 §6.2, §6.3).
fn frame<B: Body>(headers: &mut HeaderMap, body: &B) -> Result<Length, Error> {
    let announced = content_length(headers.get_all(CONTENT_LENGTH));
    if body.is_end_stream() {
        return match announced {
            // The next request would be taken for it.
            Some(1..) => Err(Error::request_body(&TooShort)),
            _ => Ok(Length::Exact(0)),
        };
    }
    if let Some(length) = announced {
        return Ok(Length::Exact(length));
    }
    retain(headers, |name| *name != CONTENT_LENGTH);
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    Ok(Length::Chunked)
}
