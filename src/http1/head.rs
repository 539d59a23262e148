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
            expects = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADS: Heads = Heads {
        max_bytes: 8 * 1024,
        max_headers: 100,
    };

    fn request(text: &str) -> Result<Option<Asked>, Malformed> {
        HEADS.request(&mut Bytes::copy_from_slice(text.as_bytes()), 0)
    }

    /// A whole request with these lines of headers.
    fn asked(lines: &str) -> Result<Asked, Malformed> {
        let asked = request(&format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))?;
        Ok(asked.expect("it is whole"))
    }

    fn told(method: &Method, text: &str) -> Result<Told, Malformed> {
        let mut bytes = Bytes::copy_from_slice(text.as_bytes());
        let told = HEADS.response(&mut bytes, 0, method)?;
        Ok(told.expect("it is whole"))
    }

    #[test]
    fn a_head_is_taken_from_what_came() {
        let text =
            b"GET /a/../b?c='d' HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-A: 1 \r\nx-a: 2\r\n\r\nGET";
        let mut bytes = Bytes::from_static(text);
        let asked = HEADS.request(&mut bytes, 0).expect("a head");
        let Asked { head, length, .. } = asked.expect("all of it");
        assert_eq!(bytes, "GET");
        assert_eq!(length, Length::Exact(0));
        assert_eq!((head.method, head.version), (Method::GET, Version::HTTP_11));
        assert_eq!(head.uri, "/a/../b?c='d'");
        let all = |name| head.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("x-a"), ["1", "2"]);
        assert_eq!(all("x-empty"), [""]);
    }

    #[test]
    fn what_is_not_one_line_after_another_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "G\0T / HTTP/1.1\r\n\r\n",
            "GET /\x01 HTTP/1.1\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
        ] {
            let refused = request(text).err();
            assert_eq!(refused, Some(Malformed::Head), "{text:?}");
        }
    }

    #[test]
    fn a_request_is_framed_in_one_way() {
        let length = |lines: &str| asked(lines).map(|asked| asked.length);
        assert_eq!(length(""), Ok(Length::Exact(0)));
        assert_eq!(length("Content-Length: 5\r\n"), Ok(Length::Exact(5)));
        assert_eq!(
            length("Transfer-Encoding: Chunked\r\n"),
            Ok(Length::Chunked)
        );
        assert_eq!(
            length("Transfer-Encoding: gzip, chunked\r\n"),
            Ok(Length::Chunked)
        );
        for lines in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: \r\n",
        ] {
            assert_eq!(length(lines), Err(Malformed::Length), "{lines:?}");
        }
        for lines in [
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
            "Transfer-Encoding: xchunked\r\n",
        ] {
            assert_eq!(length(lines), Err(Malformed::Coding), "{lines:?}");
        }
        let old = request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.err(), Some(Malformed::Coding));
        let twice = asked("Content-Length: 5\r\nContent-Length: 5\r\n").expect("one length");
        assert_eq!(twice.length, Length::Exact(5));
        assert_eq!(twice.head.headers.get_all(CONTENT_LENGTH).iter().count(), 1);
    }

    #[test]
    fn chunks_outrank_a_length_and_end_the_connection() {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: five\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        ] {
            let asked = asked(lines).expect("chunks");
            assert_eq!(asked.length, Length::Chunked, "{lines:?}");
            assert!(!asked.persists, "{lines:?}");
            assert!(
                !asked.head.headers.contains_key(CONTENT_LENGTH),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_connection_persists_as_its_version_and_options_say() {
        let persists = |version: &str, lines: &str| {
            let text = format!("GET / HTTP/{version}\r\n{lines}\r\n");
            request(&text).expect("a head").expect("all of it").persists
        };
        assert!(persists("1.1", ""));
        assert!(!persists("1.1", "Connection: close\r\n"));
        assert!(!persists(
            "1.1",
            "Connection: x, Close\r\nConnection: keep-alive\r\n"
        ));
        assert!(!persists("1.0", ""));
        assert!(persists("1.0", "Connection: Keep-Alive\r\n"));
        assert!(!persists("1.0", "Connection: keep-alive, close\r\n"));
    }

    #[test]
    fn only_who_has_a_body_can_wait_to_be_asked_for_it() {
        let expects = |lines: &str| asked(lines).expect("a head").expects;
        assert!(expects("Content-Length: 1\r\nExpect: 100-Continue\r\n"));
        assert!(!expects("Content-Length: 0\r\nExpect: 100-continue\r\n"));
        assert!(!expects("Expect: 100-continue\r\n"));
        let old = "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
        let old = request(old).expect("a head").expect("all of it");
        assert!(!old.expects);
    }

    #[test]
    fn a_response_is_framed_in_one_way() {
        let length = |method, status: &str, lines: &str| {
            let text = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
            told(&method, &text).map(|told| (told.length, told.persists))
        };
        let sized = "Content-Length: 5\r\n";
        let get = |status, lines| length(Method::GET, status, lines);
        assert_eq!(get("200 OK", sized), Ok((Length::Exact(5), true)));
        assert_eq!(
            get("200 OK", "Content-Length: 5, 5\r\n"),
            Ok((Length::Exact(5), true))
        );
        assert_eq!(get("200 OK", ""), Ok((Length::UntilClose, false)));
        let chunked = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(get("200 OK", chunked), Ok((Length::Chunked, true)));
        assert_eq!(
            get("200 OK", "Transfer-Encoding: gzip\r\n"),
            Ok((Length::UntilClose, false))
        );
        for status in ["204 No Content", "304 Not Modified", "103 Early Hints"] {
            assert_eq!(get(status, sized), Ok((Length::Exact(0), true)), "{status}");
        }
        assert_eq!(
            length(Method::HEAD, "200 OK", chunked),
            Ok((Length::Exact(0), true))
        );
        for lines in [
            "Content-Length: x\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
        ] {
            assert_eq!(get("200 OK", lines), Err(Malformed::Length), "{lines:?}");
        }
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(told(&Method::GET, old).err(), Some(Malformed::Coding));
    }

    #[test]
    fn heads_are_bounded() {
        let small = Heads {
            max_bytes: 64,
            max_headers: 2,
        };
        let read = |text: &str| {
            let mut bytes = Bytes::copy_from_slice(text.as_bytes());
            small.request(&mut bytes, 0).map(|asked| asked.is_some())
        };
        assert_eq!(read("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n"), Ok(true));
        assert_eq!(
            read("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
            Err(Malformed::TooLarge)
        );
        let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(64));
        assert_eq!(read(&long), Err(Malformed::TooLarge));
        assert_eq!(read(&format!("{long}\r\n\r\n")), Err(Malformed::TooLarge));
        let target = "x".repeat(MAX_TARGET);
        let large = Heads {
            max_bytes: 1024 * 1024,
            ..HEADS
        };
        let read = |target: &str| {
            let mut bytes = Bytes::from(format!("GET /{target} HTTP/1.1\r\n\r\n"));
            large.request(&mut bytes, 0).map(|asked| asked.is_some())
        };
        assert_eq!(read(&target), Err(Malformed::TargetTooLong));
        assert_eq!(read(&target[1..]), Ok(true));
    }

    #[test]
    fn there_may_be_more_headers_than_have_room_at_first() {
        let lines: Vec<String> = (0..FEW + 10).map(|n| format!("X-{n}: {n}\r\n")).collect();
        let asked = asked(&lines.concat()).expect("a head");
        assert_eq!(asked.head.headers.len(), FEW + 11);
        assert_eq!(asked.head.headers["x-70"], "70");
    }

    #[test]
    fn who_keeps_a_head_keeps_no_large_body_with_it() {
        let mut bytes =
            Bytes::from([&b"GET / HTTP/1.1\r\nA: 1\r\n\r\n"[..], &[b'x'; 9000]].concat());
        let whole = bytes.as_ptr_range();
        let asked = HEADS.request(&mut bytes, 0).expect("a head");
        let asked = asked.expect("all of it");
        assert!(!whole.contains(&asked.head.headers["a"].as_bytes().as_ptr()));
        assert_eq!(bytes.len(), 9000);
    }

    /// hyper kept it.
    #[test]
    fn a_length_that_is_outranked_leaves_the_others_in_their_order() {
        let lines = "A: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nB: 1\r\nC: 1\r\n";
        let head = asked(lines).expect("a head").head;
        let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "a", "transfer-encoding", "b", "c"]);
    }

    proptest! {
        #[test]
        fn a_head_is_the_same_in_whatever_pieces_it_comes(
            lines in proptest::collection::vec("[A-Za-z-]{1,8}: ?[ -~]{0,12}", 0..6),
            ends in proptest::collection::vec(any::<bool>(), 8),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut text = "GET /x HTTP/1.1\r\n".to_owned();
            for (line, is_bare) in lines.iter().zip(&ends) {
                text += line;
                text += if *is_bare { "\n" } else { "\r\n" };
            }
            text += if ends[7] { "\n" } else { "\r\n" };
            let shown = |asked: Result<Option<Asked>, Malformed>| {
                asked.map(|asked| asked.map(|it| (it.head.headers, it.length, it.persists)))
            };
            let whole = shown(request(&text));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut known = 0;
            let mut last = Ok(None);
            for cut in cuts {
                let mut come = Bytes::copy_from_slice(&text.as_bytes()[..cut]);
                last = shown(HEADS.request(&mut come, known));
                if last != Ok(None) {
                    break;
                }
                known = cut;
            }
            prop_assert_eq!(last.is_err(), whole.is_err());
            if whole.is_ok() {
                prop_assert_eq!(last, whole);
            }
        }
    }
}
