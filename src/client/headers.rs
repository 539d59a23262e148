//! Which headers travel on, and which end here.

use std::collections::HashSet;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Uri, Version, request};

use crate::http1::retain;

/// Tells a backend the part it plays.
pub static ROLE_HEADER: HeaderName = HeaderName::from_static("x-shadow-test-role");

/// What is known to be meant for one connection only (RFC 9110 §7.6.1).
static HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Removes what is meant for this connection only: the headers that `Connection` names, and those that
/// are known to be. The others keep their order, the values of a repeated one together.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let is_hop_by_hop = |name: &HeaderName| HOP_BY_HOP.contains(name);
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let mut ending: HashSet<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        // Bytes, since one option that is no ASCII must not hide the others.
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // The one that most often stands there is known.
        .filter(|option| !option.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    if headers.contains_key(TRANSFER_ENCODING) {
        // It overrides this one, which must not go on (RFC 9112 §6.3).
        ending.insert(CONTENT_LENGTH);
    }
    let ends = |name: &HeaderName| is_hop_by_hop(name) || ending.contains(name);
    // Most often they are the last ones, whose place none has to take.
    while let Some(last) = headers.keys().last().filter(|last| ends(last)).cloned() {
        headers.remove(last);
    }
    if headers.keys().any(ends) {
        retain(headers, |name| !ends(name));
    }
}

/// Makes a received request's headers those to send on: [unified](unify), and without hop-by-hop headers.
///
/// One that came in HTTP/2 keeps its wish for trailers, which gRPC insists on and which is all that `TE` can
/// say there (RFC 9113 §8.2.2).
pub fn make_end_to_end(head: &mut request::Parts) {
    let trailers = HeaderValue::from_static("trailers");
    let wants_trailers = head.version == Version::HTTP_2 && head.headers.get(TE) == Some(&trailers);
    strip_hop_by_hop(&mut head.headers);
    // What `Connection` names may have been one of these.
    name_host(&head.uri, &mut head.headers);
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
        // Repeated, it is the same; HTTP/1.1 must have it once (RFC 9112 §6.3).
        if let Some(length) = head.headers.get(CONTENT_LENGTH).cloned() {
            head.headers.insert(CONTENT_LENGTH, length);
        }
    }
    if wants_trailers {
        head.headers.insert(TE, trailers);
    }
}

/// Makes a received request's headers say what the same request's would in HTTP/1.1: a target that names its host
/// outranks `Host` (RFC 9112 §3.2.2; HTTP/2 sends nothing else, RFC 9113 §8.3.1), and cookies that HTTP/2 sent apart
/// come together (RFC 9113 §8.2.3). What is looked for in headers is to be looked for in these.
pub fn unify(head: &mut request::Parts) {
    name_host(&head.uri, &mut head.headers);
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
}

fn name_host(uri: &Uri, headers: &mut HeaderMap) {
    if let Some(authority) = uri.authority() {
        let authority = authority.as_str();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        if let Ok(host) = HeaderValue::from_str(host) {
            headers.insert(HOST, host);
        }
    }
}

fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_end_here() {
        let mut headers = headers(&[
            ("connection", "close, X-Secret-Hop"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-secret-hop", "1"),
            ("x-kept", "1"),
        ]);
        headers.append("connection", HeaderValue::from_static("x-other-hop"));
        headers.append("x-other-hop", HeaderValue::from_static("1"));
        strip_hop_by_hop(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-kept"]);
    }

    #[test]
    fn what_stays_keeps_its_order_wherever_the_others_are() {
        for place in 0..=3 {
            let mut lines = vec![("x-a", "1"), ("x-b", "1"), ("x-c", "1")];
            lines.insert(place, ("connection", "keep-alive"));
            lines.push(("keep-alive", "timeout=5"));
            let mut headers = headers(&lines);
            headers.append("x-a", HeaderValue::from_static("2"));
            strip_hop_by_hop(&mut headers);
            let left: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(left, ["x-a", "x-a", "x-b", "x-c"]);
        }
    }

    #[test]
    fn an_option_ends_here_whatever_stands_beside_it() {
        let mut headers = headers(&[("x-secret-hop", "1"), ("x-kept", "1")]);
        let options = HeaderValue::from_bytes(b"\xe9, X-Secret-Hop").expect("a value");
        headers.insert(CONNECTION, options);
        strip_hop_by_hop(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-kept"]);
    }

    #[test]
    fn the_targets_host_outranks_the_header() {
        let request = http::Request::get("http://user:pass@target:1/x").header(HOST, "header");
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        make_end_to_end(&mut head);
        assert_eq!(head.headers[HOST], "target:1");
    }

    #[test]
    fn only_http2_has_its_cookies_joined() {
        for (version, cookies) in [
            (Version::HTTP_2, &["a=1; b=2"][..]),
            (Version::HTTP_11, &["a=1", "b=2"]),
        ] {
            let request = http::Request::get("/").version(version);
            let request = request.header(COOKIE, "a=1").header(COOKIE, "b=2");
            let (mut head, ()) = request.body(()).expect("a request").into_parts();
            make_end_to_end(&mut head);
            let left: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
            assert_eq!(left, cookies);
        }
    }

    #[test]
    fn a_length_that_is_overridden_does_not_go_on() {
        let mut headers = headers(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
        strip_hop_by_hop(&mut headers);
        assert!(headers.is_empty());
    }
}
