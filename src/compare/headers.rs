//! The headers of two answers.

use http::header::{self, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::difference::{Kind, Shown};
use super::findings::Findings;
use super::rules::{Headers, Place};
use crate::content::{charset, codings, media_type};
use crate::redact::Redaction;

/// Headers that say something of this one exchange or connection, of the moment, or of how a body is
/// written, and so are not compared unless they are named: hop-by-hop ones (RFC 9110 §7.6.1), framing,
/// time, caching, cookies, servers' names, and identifiers for tracing.
static VOLATILE: [HeaderName; 33] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::AGE,
    header::CACHE_CONTROL,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::PRAGMA,
    header::SET_COOKIE,
    header::RETRY_AFTER,
    header::SERVER,
    header::VIA,
    header::ALT_SVC,
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-trace-id"),
    HeaderName::from_static("x-amzn-requestid"),
    HeaderName::from_static("x-amzn-trace-id"),
    HeaderName::from_static("x-response-time"),
    HeaderName::from_static("x-runtime"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Compares the headers that the rules choose.
pub(super) fn compare(
    reference: &HeaderMap,
    candidate: &HeaderMap,
    redaction: &Redaction,
    findings: &mut Findings<'_>,
) {
    let rules = findings.rules;
    let mut names = chosen(&rules.headers, reference, candidate);
    if rules.codings {
        names.extend([CONTENT_ENCODING, CONTENT_TYPE]);
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    for name in names {
        if reference.get_all(&name) == candidate.get_all(&name) {
            continue;
        }
        let read = |headers| values(headers, &name, rules.codings);
        let (a, b) = (read(reference), read(candidate));
        if a != b {
            differ(&name, &a, &b, redaction, findings);
        }
    }
}

/// The names of the headers that are compared, perhaps more than once.
fn chosen(headers: &Headers, reference: &HeaderMap, candidate: &HeaderMap) -> Vec<HeaderName> {
    let mut names = headers.names.clone();
    if headers.all {
        let all = reference.keys().chain(candidate.keys());
        names.extend(all.filter(|name| !VOLATILE.contains(name)).cloned());
    }
    names
}

/// A header's values, without what is only their spelling.
fn values(headers: &HeaderMap, name: &HeaderName, with_charset: bool) -> Vec<Vec<u8>> {
    if *name == CONTENT_ENCODING {
        return codings(headers)
            .into_iter()
            .map(String::into_bytes)
            .collect();
    }
    if *name == CONTENT_TYPE
        && let Some(mut media) = media_type(headers)
    {
        if let Some(charset) = charset(headers).filter(|_| with_charset) {
            media.push_str(";charset=");
            media.push_str(&charset);
        }
        return vec![media.into_bytes()];
    }
    let plain = |value: &HeaderValue| value.as_bytes().trim_ascii().to_owned();
    headers.get_all(name).iter().map(plain).collect()
}

fn differ(
    name: &HeaderName,
    reference: &[Vec<u8>],
    candidate: &[Vec<u8>],
    redaction: &Redaction,
    findings: &mut Findings<'_>,
) {
    let kind = match (reference, candidate) {
        (_, []) => Kind::Missing,
        ([], _) => Kind::Unexpected,
        _ => Kind::Changed,
    };
    let place = Place::Header(name.clone());
    // What is no Unicode is no text, so no rule for texts is for it.
    let taken_out = findings.text_rules(&place).covering(|covers| {
        let mut pairs = reference.iter().zip(candidate);
        pairs.all(|(a, b)| match (str::from_utf8(a), str::from_utf8(b)) {
            _ if a == b => true,
            (Ok(a), Ok(b)) => covers(a, b),
            _ => false,
        })
    });
    if let Some(rule) = taken_out.filter(|_| reference.len() == candidate.len()) {
        return findings.hit(rule);
    }
    let shown = |values: &[Vec<u8>]| {
        let shown = |value: &Vec<u8>| redaction.header_value(name, value).into_owned();
        match values {
            [] => None,
            [value] => Some(Shown::text(&shown(value))),
            values => {
                let values: Vec<_> = values.iter().map(shown).collect();
                let json = serde_json::to_string(&values);
                Some(Shown::json(&json.unwrap_or_default()))
            }
        }
    };
    findings.add_at(&place, kind, || (shown(reference), shown(candidate)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_compared_as_well() {
        let headers = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).expect("a value");
            HeaderMap::from_iter([(header::ETAG, value)])
        };
        let rules = super::super::Rules {
            headers: Headers {
                all: false,
                names: vec![header::ETAG],
            },
            ..Default::default()
        };
        let settings = crate::config::Redact {
            headers: vec![crate::redact::Glob::new("etag")],
            ..Default::default()
        };
        let redaction = Redaction::with_key(settings, b"a key");
        let (a, b) = (headers(b"x\xfe"), headers(b"x\xff"));
        let mut findings = Findings::none(&rules, None);
        compare(&a, &a, &redaction, &mut findings);
        assert_eq!(findings.differences.total(), 0);
        compare(&a, &b, &redaction, &mut findings);
        let [found] = findings.differences.list() else {
            panic!("one difference");
        };
        assert_ne!(
            found.reference, found.candidate,
            "masks of others are others"
        );
    }

    #[test]
    fn no_name_is_volatile_twice() {
        let mut names: Vec<_> = VOLATILE.iter().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VOLATILE.len());
    }
}
