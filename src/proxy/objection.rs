//! Requests that can't be passed on in a way that everybody behind would understand alike.
//!
//! What is malformed in itself has been refused by now.

use http::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderValue, Method, Version, request};

use super::error::{self, OwnAnswer};

/// The answer to a request that is not to be passed on; `None` if there is nothing against it.
pub(super) fn to(head: &request::Parts) -> Option<&'static OwnAnswer> {
    if head.method == Method::CONNECT {
        return Some(&error::CONNECT);
    }
    if head.uri.authority().is_some() && head.uri.scheme().is_none() {
        // For CONNECT only (RFC 9112 §3.2.3).
        return Some(&error::BAD_TARGET);
    }
    if !is_for_one_host(head) {
        return Some(&error::BAD_HOST);
    }
    (!is_chunked_at_most(&head.headers)).then_some(&error::UNKNOWN_CODING)
}

/// Whether it is clear what a request asks for: one valid host is named, if HTTP/1.0 does not leave it
/// out, or HTTP/2 put it into the target (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn is_for_one_host(head: &request::Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, None) => match head.version {
            Version::HTTP_11 => false,
            Version::HTTP_2 => head.uri.authority().is_some(),
            _ => true,
        },
        (_, Some(_)) => false,
    }
}

/// Whether it is `host [":" port]`, or empty (RFC 9110 §7.2).
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    bytes.is_empty() || !bytes.contains(&b'@') && Authority::try_from(bytes).is_ok()
}

/// Whether nothing is left to decode once chunks are put together (RFC 9112 §6.1).
fn is_chunked_at_most(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TRANSFER_ENCODING);
    codings
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}
