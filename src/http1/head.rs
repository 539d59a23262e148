//! Heads as they come (RFC 9112 §2 to §6).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};
use http::{Method, Request, Response, StatusCode, Uri, Version, request, response};
use httparse::{Header, ParserConfig, Status};

use super::Malformed;
use super::length::{Length, content_length, is_chunked, number};
use super::wording::Wording;

/// Headers that are read without any memory but the stack's.
const FEW: usize = 64;

/// Headers that are added on the way, at most, most often.
const ADDED: usize = 2;

/// Bytes of the longest target that [`Uri`] takes.
const MAX_TARGET: usize = (u16::MAX - 1) as usize;

/// How large heads may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Bytes of one.
    pub(crate) max_bytes: usize,
    /// Headers of one.
    pub(crate) max_headers: usize,
}

/// A request's head that came, and what it says of its connection.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: request::Parts,
    pub(crate) length: Length,
    /// Whether the connection may carry another request behind it (RFC 9112 §9.3).
    pub(crate) persists: bool,
    /// Whether the client waits to be asked for the body (RFC 9110 §10.1.1).
    pub(crate) expects: bool,
    /// Whether trailers are welcome behind the answer (RFC 9110 §10.1.4).
    pub(crate) takes_trailers: bool,
}

/// A response's head that came, and what it says of its connection.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) head: response::Parts,
    pub(crate) length: Length,
    /// Whether the connection may carry another request after it (RFC 9112 §9.3).
    pub(crate) persists: bool,
}

impl Heads {
    /// The head of a request at the start of `bytes`, which is taken from them; `None` if it is not whole. The first
    /// `known` of them are known not to hold a whole one.
    pub(crate) fn request(
        &self,
        bytes: &mut Bytes,
        known: usize,
    ) -> Result<Option<Asked>, Malformed> {
        self.read(bytes, known, |bytes, headers| {
            let mut read = httparse::Request::new(&mut []);
            let config = ParserConfig::default();
            let status = config.parse_request_with_uninit_headers(&mut read, bytes, headers);
            let Some(length) = whole(status)? else {
                return Ok(None);
            };
            let target = read.path.unwrap_or_default();
            if target.len() > MAX_TARGET {
                return Err(Malformed::TargetTooLong);
            }
            let head = head_of(bytes, length);
            let method = read.method.unwrap_or_default().as_bytes();
            let method = Method::from_bytes(method).map_err(|_| Malformed::Head)?;
            let target = head.slice(place(target.as_bytes(), bytes));
            let target = Uri::from_maybe_shared(target).map_err(|_| Malformed::Head)?;
            let asked = asked(method, target, read.version, &head, bytes, read.headers)?;
            Ok(Some((length, asked)))
        })
    }

    /// The head of a response at the start of `bytes`, which is taken from them; `None` if it is not whole. The first
    /// `known` of them are known not to hold a whole one.
    pub(crate) fn response(
        &self,
        bytes: &mut Bytes,
        known: usize,
        method: &Method,
    ) -> Result<Option<Told>, Malformed> {
        self.read(bytes, known, |bytes, headers| {
            let mut read = httparse::Response::new(&mut []);
            let config = ParserConfig::default();
            let status = config.parse_response_with_uninit_headers(&mut read, bytes, headers);
            let Some(length) = whole(status)? else {
                return Ok(None);
            };
            let head = head_of(bytes, length);
            let status = StatusCode::from_u16(read.code.unwrap_or_default());
            let status = status.map_err(|_| Malformed::Head)?;
            let reason = read
                .reason
                .filter(|it| Some(*it) != status.canonical_reason());
            let reason = reason.map(|it| Bytes::copy_from_slice(it.as_bytes()));
            let headers = (head, &bytes[..], &*read.headers);
            let told = told(status, reason, read.version, headers, method)?;
            Ok(Some((length, told)))
        })
    }

    /// Takes a head from `bytes`, with room for the headers of most, or else for as many as there may be.
    fn read<T>(
        &self,
        bytes: &mut Bytes,
        known: usize,
        read: impl for<'b> Fn(
            &'b Bytes,
            &mut [MaybeUninit<Header<'b>>],
        ) -> Result<Option<(usize, T)>, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let found = if may_be_whole(bytes, known) {
            let mut few = [const { MaybeUninit::uninit() }; FEW];
            match read(bytes, &mut few[..FEW.min(self.max_headers)]) {
                Err(Malformed::TooLarge) if self.max_headers > FEW => {
                    read(bytes, &mut vec![MaybeUninit::uninit(); self.max_headers])
                }
                found => found,
            }
        } else {
            Ok(None)
        };
        match found? {
            Some((length, _)) if length > self.max_bytes => Err(Malformed::TooLarge),
            Some((length, head)) => {
                let _read = bytes.split_to(length);
                Ok(Some(head))
            }
            None if bytes.len() >= self.max_bytes => Err(Malformed::TooLarge),
            None => Ok(None),
        }
    }
}

/// Keeps headers of these names, and their order. Removed one by one, the last header would take the place of each.
pub(crate) fn retain(headers: &mut HeaderMap, keeps: impl Fn(&HeaderName) -> bool) {
    let mut left = HeaderMap::with_capacity(headers.keys_len());
    let mut current = None;
    for (name, value) in headers.drain() {
        // A repeated one's name comes with its first value only.
        current = name.or(current);
        if let Some(name) = &current
            && keeps(name)
        {
            left.append(name.clone(), value);
        }
    }
    *headers = left;
}

/// The length of a head; `None` if it is not whole.
fn whole(status: httparse::Result<usize>) -> Result<Option<usize>, Malformed> {
    match status {
        Ok(Status::Complete(length)) => Ok(Some(length)),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Malformed::TooLarge),
        Err(_) => Err(Malformed::Head),
    }
}

/// Whether a head may end behind the first `known` bytes. To read what is still not whole with each byte that
/// comes would take a square of the time.
fn may_be_whole(bytes: &[u8], known: usize) -> bool {
    let new = &bytes[known.saturating_sub(3)..];
    known == 0
        || memchr::memmem::find(new, b"\n\r\n").is_some()
        || new.windows(2).any(|it| it == b"\n\n")
}

/// A head's own memory. Whoever keeps it is not to keep a large body with it.
fn head_of(bytes: &Bytes, length: usize) -> Bytes {
    if bytes.len() - length <= length {
        bytes.slice(..length)
    } else {
        Bytes::copy_from_slice(&bytes[..length])
    }
}

/// Where a part of some bytes is in them.
fn place(part: &[u8], whole: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    }
}

/// What `Connection` says, of all its lines.
#[derive(Default)]
struct Persistence {
    closes: bool,
    stays: bool,
}

impl Persistence {
    fn note(&mut self, value: &HeaderValue) {
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.closes |= option.eq_ignore_ascii_case(b"close");
            self.stays |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn persists(&self, version: Version) -> bool {
        !self.closes && (version == Version::HTTP_11 || self.stays)
    }
}

/// Headers as they were read, with the values' memory that of `head`, which `bytes` start with.
fn headers<'h>(
    head: &'h Bytes,
    bytes: &'h [u8],
    read: &'h [Header<'_>],
) -> impl Iterator<Item = Result<(HeaderName, HeaderValue), Malformed>> + 'h {
    read.iter().map(move |header| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| Malformed::Head)?;
        // An empty one may be anywhere.
        let value = match header.value {
            [] => Bytes::new(),
            value => head.slice(place(value, bytes)),
        };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Malformed::Head)?;
        Ok((name, value))
    })
}

/// The lines of headers in a head.
fn wording(head: &Bytes, bytes: &[u8], read: &[Header<'_>], reason: Option<Bytes>) -> Wording {
    let lines = match read.first() {
        Some(first) => head.slice(place(first.name.as_bytes(), bytes).start..),
        None => Bytes::new(),
    };
    Wording { lines, reason }
}

fn asked(
    method: Method,
    target: Uri,
    minor: Option<u8>,
    head: &Bytes,
    bytes: &[u8],
    read: &[Header<'_>],
) -> Result<Asked, Malformed> {
    let version = version(minor);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.version_mut() = version;
    let mut fields = HeaderMap::with_capacity(read.len() + ADDED);
    let (mut length, mut chunked, mut connection) = (None, None, Persistence::default());
    let (mut expects, mut takes_trailers, mut has_both) = (false, false, false);
    for header in headers(head, bytes, read) {
        let (name, value) = header?;
        if name == CONTENT_LENGTH && chunked.is_some() {
            // Whatever it says, it is outranked (RFC 9112 §6.3).
            has_both = true;
            continue;
        } else if name == CONTENT_LENGTH {
            let said = number(value.as_bytes()).ok_or(Malformed::Length)?;
            if length.is_some_and(|length| length != said) {
                return Err(Malformed::Length);
            }
            if length.replace(said).is_some() {
                continue;
            }
        } else if name == TRANSFER_ENCODING {
            chunked = Some(is_chunked([&value]));
        } else if name == CONNECTION {
            connection.note(&value);
        } else if name == EXPECT {
            expects |= value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        } else if name == TE {
            takes_trailers |= value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"));
        }
        fields.append(name, value);
    }
    let mut persists = connection.persists(version);
    let length = match (chunked, length) {
        // Who knows no chunks can't have meant them (RFC 9112 §6.1).
        (Some(_), _) if version == Version::HTTP_10 => return Err(Malformed::Coding),
        (Some(false), _) => return Err(Malformed::Coding),
        (Some(true), length) => {
            if has_both || length.is_some() {
                // Chunks it is. Whoever sent both may mean something else by what follows (RFC 9112 §6.1).
                retain(&mut fields, |name| *name != CONTENT_LENGTH);
                persists = false;
            }
            Length::Chunked
        }
        (None, length) => Length::Exact(length.unwrap_or(0)),
    };
    *request.headers_mut() = fields;
    let wording = wording(head, bytes, read, None);
    request.extensions_mut().insert(wording);
    Ok(Asked {
        head: request.into_parts().0,
        length,
        persists,
        expects: expects && version == Version::HTTP_11 && length != Length::Exact(0),
        takes_trailers,
    })
}

fn told(
    status: StatusCode,
    reason: Option<Bytes>,
    minor: Option<u8>,
    (head, bytes, read): (Bytes, &[u8], &[Header<'_>]),
    method: &Method,
) -> Result<Told, Malformed> {
    let version = version(minor);
    let mut fields = HeaderMap::with_capacity(read.len());
    let (mut connection, mut is_coded, mut has_length) = (Persistence::default(), false, false);
    for header in headers(&head, bytes, read) {
        let (name, value) = header?;
        is_coded |= name == TRANSFER_ENCODING;
        has_length |= name == CONTENT_LENGTH;
        if name == CONNECTION {
            connection.note(&value);
        }
        fields.append(name, value);
    }
    let announced = has_length.then(|| content_length(fields.get_all(CONTENT_LENGTH)));
    if let Some(Some(length)) = announced
        && (fields.get_all(CONTENT_LENGTH).iter().count() > 1
            || number(fields[CONTENT_LENGTH].as_bytes()).is_none())
    {
        // It is to be one number before it goes on (RFC 9110 §8.6).
        fields.insert(CONTENT_LENGTH, length.into());
    }
    let is_empty = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || method == Method::HEAD;
    let length = if is_empty {
        Length::Exact(0)
    } else if is_coded {
        if version == Version::HTTP_10 {
            return Err(Malformed::Coding);
        }
        if is_chunked(fields.get_all(TRANSFER_ENCODING)) {
            Length::Chunked
        } else {
            Length::UntilClose
        }
    } else if let Some(length) = announced {
        Length::Exact(length.ok_or(Malformed::Length)?)
    } else {
        Length::UntilClose
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = fields;
    let wording = wording(&head, bytes, read, reason);
    response.extensions_mut().insert(wording);
    Ok(Told {
        head: response.into_parts().0,
        length,
        persists: connection.persists(version) && length != Length::UntilClose,
    })
}

#[cfg(test)]
mod tests;
