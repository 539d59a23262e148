//! What backends are told of the way that a request took, if that is configured.
//!
//! The last proxy before miffy knows best what its client asked for, so that `X-Forwarded-Proto` and
//! `X-Forwarded-Host` stay as they came.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, VIA};
use http::{Version, request};

use super::connection::ClientConnection;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static AUTHORITY: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Adds the client's address and miffy itself to a request's way, and what it asked for.
pub(super) fn add(head: &mut request::Parts, client: &ClientConnection) {
    let version = match head.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    };
    let headers = &mut head.headers;
    append(headers, &FOR, &client.peer.to_string());
    let proto = if client.is_tls { "https" } else { "http" };
    headers
        .entry(&PROTO)
        .or_insert(HeaderValue::from_static(proto));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.entry(&AUTHORITY).or_insert(host);
    }
    append(headers, &VIA, &format!("{version} miffy"));
}

/// Puts an item at the end of a header's list (RFC 9110 §5.3).
fn append(headers: &mut HeaderMap, name: &HeaderName, item: &str) {
    let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let list: Vec<&[u8]> = values.chain([item.as_bytes()]).collect();
    if let Ok(list) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
        headers.insert(name, list);
    }
}
