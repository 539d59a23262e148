//! Heads as they go (RFC 9112 §3 to §5).

use std::borrow::Cow;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, HOST, HeaderMap, HeaderName, MAX_FORWARDS, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Extensions, Method, StatusCode};

use super::wording::{Names, Wording};

/// Writes a request's head, its names as they were spelt where `extensions` say so, and with a header behind the others
/// that nobody has spelt yet.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    extensions: &Extensions,
    new: (&HeaderName, &str),
) {
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    write_headers(out, headers, extensions.get());
    let (name, value) = new;
    write_header(out, name.as_str().as_bytes(), value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What a response's head says beside its headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusLine {
    pub(crate) status: StatusCode,
    /// Whether the client knows HTTP/1.0 only.
    pub(crate) is_http10: bool,
}

/// Writes a response's head, its reason and its names as they were where `extensions` say so, and with these headers
/// behind the others.
pub(crate) fn write_response(
    out: &mut Vec<u8>,
    line: StatusLine,
    headers: &HeaderMap,
    extensions: &Extensions,
    more: &[Option<(HeaderName, Cow<'static, str>)>],
) {
    let wording: Option<&Wording> = extensions.get();
    let reason = wording.and_then(|wording| wording.reason.as_ref());
    if line.status == StatusCode::OK && reason.is_none() && !line.is_http10 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        let version = if line.is_http10 {
            "HTTP/1.0 "
        } else {
            "HTTP/1.1 "
        };
        out.extend_from_slice(version.as_bytes());
        out.extend_from_slice(line.status.as_str().as_bytes());
        out.push(b' ');
        let usual = || {
            line.status
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes()
        };
        out.extend_from_slice(reason.map_or_else(usual, AsRef::as_ref));
        out.extend_from_slice(b"\r\n");
    }
    let mut names = write_headers(out, headers, wording);
    for (name, value) in more.iter().flatten() {
        write_header(out, names.spelt(name), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The trailers that a head announces (RFC 9110 §6.6.2), but for those that may not be any: nobody is to be told behind a
/// message what its head has not said.
pub(crate) fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    names.filter(may_be_trailer).collect()
}

/// Writes those of the trailers that were announced.
pub(super) fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap, announced: &[HeaderName]) {
    for (name, value) in trailers {
        if announced.contains(name) {
            write_header(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

fn write_headers<'w>(
    out: &mut Vec<u8>,
    headers: &HeaderMap,
    wording: Option<&'w Wording>,
) -> Names<'w> {
    let mut names = Names::of(wording);
    for (name, value) in headers {
        write_header(out, names.spelt(name), value.as_bytes());
    }
    names
}

fn write_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether it is about something else than the framing, the connection, the way, who asks, and what a body is
/// (RFC 9110 §6.5.1).
fn may_be_trailer(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 16] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        HeaderName::from_static("keep-alive"),
        MAX_FORWARDS,
        HeaderName::from_static("proxy-connection"),
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    !NEVER.contains(name)
}
