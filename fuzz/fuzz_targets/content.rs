//! A body is decoded within its bounds, its text is its bytes', and what is said to be JSON of it is JSON to
//! others, too.
//!
//! The input is bytes of flags, headers, and the body.

#![no_main]

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use miffy::compare::parses_as_json;
use miffy::content::{Body, Limits, Media, NoText, charset, codings, media_type};
use miffy_fuzz::tree::Tree;
use miffy_fuzz::{headers, sections};

/// Bytes that a body may always decode to.
const ALWAYS: usize = 64 * 1024;

const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

fuzz_target!(|data: &[u8]| {
    let [flags, lines, bytes] = sections(data);
    let flag = |at: usize| usize::from(flags.get(at).copied().unwrap_or(0xff));
    let headers = headers(lines);
    let limits = Limits {
        max_decoded: flag(0) * 1024,
        max_ratio: flag(1),
    };
    let body = Body::new(&headers, bytes, limits);
    assert_eq!(body.bytes(), bytes);
    let has_codings = !codings(&headers).is_empty();
    assert_eq!(body.is_encoded(), has_codings && !bytes.is_empty());
    // In any order, and as often as one likes, the same.
    let early = (flag(2) % 2 == 0).then(|| body.json().map(str::to_owned));
    check(&body, &headers, limits);
    let json = body.json();
    if let Some(early) = early {
        assert_eq!(early.as_deref(), json);
    }
    if let Some(json) = json {
        let text = body.text().expect("text");
        assert!(parses_as_json(json.as_bytes()));
        assert!(Tree::read(json.as_bytes()).is_some());
        match body.media() {
            Media::Json => assert_eq!(json, text),
            Media::JsonLines => assert!(json.len() <= text.len() + 2),
            // A control character takes six.
            Media::Events => assert!(json.len() <= 6 * text.len() + 2),
            Media::Form | Media::Text | Media::Bytes => panic!("no JSON"),
        }
    }
    check_media_type(&headers);
});

/// A body's decoded bytes and its text.
fn check(body: &Body<'_>, headers: &HeaderMap, limits: Limits) {
    let decoded = match body.decoded() {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(body.is_encoded());
            assert_eq!(body.text(), Err(NoText::Undecodable(error)));
            assert_eq!(body.json(), None);
            return;
        }
    };
    let encoded = body.bytes();
    if body.is_encoded() {
        let allowed = ALWAYS.max(encoded.len() * limits.max_ratio);
        assert!(decoded.len() <= allowed.min(limits.max_decoded));
    } else {
        assert_eq!(decoded, encoded);
    }
    let is_marked = MARKS.iter().any(|mark| decoded.starts_with(mark));
    if charset(headers).is_none() && !is_marked {
        assert_eq!(body.text().ok(), std::str::from_utf8(decoded).ok());
    }
    if let Ok(text) = body.text() {
        assert!(text.len() <= 3 * decoded.len());
    }
}

/// A type that is written as types are compared stays so.
fn check_media_type(headers: &HeaderMap) {
    let is_one = headers.get_all(CONTENT_TYPE).iter().count() == 1;
    let Some(once) = media_type(headers).filter(|_| is_one) else {
        return;
    };
    let mut again = HeaderMap::new();
    again.insert(
        CONTENT_TYPE,
        HeaderValue::from_bytes(once.as_bytes()).expect("a header value"),
    );
    assert_eq!(media_type(&again), Some(once));
    assert_eq!(Media::of(&again), Media::of(headers));
}
