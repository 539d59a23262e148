//! Which headers travel on: all but those of this connection, in their order, byte by byte.
//!
//! The input is a request: version and target in a line, and headers.

#![no_main]

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING,
};
use http::{Request, Uri, Version};
use libfuzzer_sys::fuzz_target;
use miffy::client::{make_end_to_end, strip_hop_by_hop};
use miffy_fuzz::headers;

const KNOWN: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

type Lines = Vec<(HeaderName, HeaderValue)>;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let start = parts.next().unwrap_or_default();
    let headers = headers(parts.next().unwrap_or_default());
    let (version, uri) = match start.strip_prefix(b"2 ") {
        Some(uri) => (Version::HTTP_2, uri),
        None => (Version::HTTP_11, start),
    };
    let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(uri)).unwrap_or_default();

    let mut left = headers.clone();
    strip_hop_by_hop(&mut left);
    let expected = end_to_end(&headers);
    assert_eq!(lines(&left), expected);
    strip_hop_by_hop(&mut left);
    assert_eq!(lines(&left), expected, "a second time");

    let wants_trailers = headers.get(TE).is_some_and(|value| value == "trailers");
    let mut request = Request::new(());
    *request.version_mut() = version;
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers;
    let (mut head, ()) = request.into_parts();
    make_end_to_end(&mut head);
    let expected = with_cookies(version, with_host(&uri, expected));
    let expected = with_length_and_trailers(version, wants_trailers, expected);
    assert_eq!(lines(&head.headers), expected);
    assert_eq!(head.uri, uri);
    make_end_to_end(&mut head);
    assert_eq!(lines(&head.headers), expected, "a second time");
});

fn lines(headers: &HeaderMap) -> Lines {
    let lines = headers.iter();
    lines
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What is left without the headers of the connection.
fn end_to_end(headers: &HeaderMap) -> Lines {
    let mut ending: Vec<Vec<u8>> = KNOWN.map(|name| name.as_bytes().to_vec()).into();
    for value in headers.get_all(CONNECTION) {
        let options = value.as_bytes().split(|byte| *byte == b',');
        ending.extend(options.map(|option| option.trim_ascii().to_ascii_lowercase()));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        ending.push(CONTENT_LENGTH.as_str().into());
    }
    let mut lines = lines(headers);
    lines.retain(|(name, _)| {
        !ending
            .iter()
            .any(|ending| ending == name.as_str().as_bytes())
    });
    lines
}

/// With the target's host in place of the header's.
fn with_host(uri: &Uri, lines: Lines) -> Lines {
    let Some(authority) = uri.authority() else {
        return lines;
    };
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let Ok(host) = HeaderValue::from_str(host) else {
        return lines;
    };
    with_one(HOST, &host, lines)
}

fn with_cookies(version: Version, lines: Lines) -> Lines {
    let crumbs = lines.iter().filter(|(name, _)| name == COOKIE);
    let crumbs: Vec<&[u8]> = crumbs.map(|(_, value)| value.as_bytes()).collect();
    if version != Version::HTTP_2 || crumbs.len() < 2 {
        return lines;
    }
    let cookie = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).expect("crumbs of a cookie");
    with_one(COOKIE, &cookie, lines)
}

/// With one length, and at the end a wish for trailers.
fn with_length_and_trailers(version: Version, wants_trailers: bool, lines: Lines) -> Lines {
    if version != Version::HTTP_2 {
        return lines;
    }
    let length = lines.iter().find(|(name, _)| name == CONTENT_LENGTH);
    let mut lines = match length.cloned() {
        Some((name, value)) => with_one(name, &value, lines),
        None => lines,
    };
    if wants_trailers {
        lines.push((TE, HeaderValue::from_static("trailers")));
    }
    lines
}

/// With one header of this name, where the first was, or at the end.
fn with_one(name: HeaderName, value: &HeaderValue, lines: Lines) -> Lines {
    let mut is_there = false;
    let mut left = Lines::new();
    for (other, its) in lines {
        if other != name {
            left.push((other, its));
        } else if !is_there {
            is_there = true;
            left.push((name.clone(), value.clone()));
        }
    }
    if !is_there {
        left.push((name, value.clone()));
    }
    left
}
