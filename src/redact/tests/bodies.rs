use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::content::{Body, Limits};

const LIMITS: Limits = Limits {
    max_decoded: 1 << 20,
    max_ratio: 1000,
};

fn headers(content_type: &str, coding: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(content_type).expect("a header value");
    headers.insert(CONTENT_TYPE, value);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    headers
}

/// What may be shown of a request's body of this type and coding, and where something is hidden.
fn sight(
    patterns: &[&str],
    (content_type, coding): (&str, &'static str),
    bytes: &[u8],
) -> (String, String, Vec<String>) {
    let headers = headers(content_type, coding);
    let body = Body::new(&headers, bytes, LIMITS);
    let redaction = redaction(&[], &[], patterns);
    let sight = redaction.body(&body, Masks::Alike);
    assert_eq!(redaction.hides_in(&body), !sight.places.is_empty());
    let (kind, text) = match sight.form {
        Form::Json(text) => ("json", text.into_owned()),
        Form::Bytes(bytes) => ("bytes", String::from_utf8_lossy(&bytes).into_owned()),
        Form::Mask(mask) => ("mask", mask),
    };
    (kind.to_owned(), text, sight.places)
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("it is written");
    encoder.finish().expect("it is written")
}

const JSON: &str = r#" {"user":{"password":"s"}, "n":1.50} "#;
const HIDDEN: &str = r#"{"user":{"password":"[redacted]"}, "n":1.50}"#;

#[test]
fn json_is_looked_into_whatever_it_says_it_is() {
    let utf_16: Vec<u8> = JSON.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (content_type, coding, bytes, kind) in [
        ("application/json", "", JSON.as_bytes(), "json"),
        ("a/b+json; charset=x", "", JSON.as_bytes(), "json"),
        ("application/json", "gzip", &gzip(JSON), "json"),
        ("application/json; charset=utf-16be", "", &utf_16, "json"),
        ("text/html", "", JSON.as_bytes(), "bytes"),
        ("text/html; charset=utf-16", "", JSON.as_bytes(), "bytes"),
        ("text/plain; charset=utf-16be", "", &utf_16, "bytes"),
        ("", "gzip", &gzip(JSON), "bytes"),
        ("multipart/form-data", "", JSON.as_bytes(), "bytes"),
        (
            "application/x-www-form-urlencoded",
            "",
            JSON.as_bytes(),
            "bytes",
        ),
    ] {
        let found = sight(&["/user/password"], (content_type, coding), bytes);
        let places = vec!["/user/password".to_owned()];
        assert_eq!(
            found,
            (kind.to_owned(), HIDDEN.to_owned(), places),
            "{content_type}"
        );
    }
}

#[test]
fn what_can_not_be_cut_out_is_hidden_as_a_whole() {
    let truncated = &gzip(JSON)[..20];
    let events = format!("event: x\ndata: {}\n\n", JSON.trim());
    for (content_type, coding, bytes) in [
        ("application/json", "", &JSON.as_bytes()[1..8]),
        ("application/json", "", &[0xff][..]),
        ("application/json; charset=utf-16", "", b"\xd8"),
        ("application/json", "gzip", truncated),
        ("image/png", "gzip", truncated),
        ("image/png", "unknown", b"x"),
        ("text/html", "", b" {\"user\":"),
        ("application/x-www-form-urlencoded", "", b"{\"user\":"),
        ("text/plain", "", b")]}',\n{\"user\":1}"),
        (
            "application/x-ndjson",
            "",
            b"1\n{\"user\":{\"password\":1}}",
        ),
        ("application/x-ndjson", "", b"1\n{\"user\":"),
        ("text/event-stream", "", events.as_bytes()),
        ("text/event-stream", "", b"<html>"),
        ("multipart/form-data; boundary=x", "", b"--x"),
    ] {
        let found = sight(&["/user/password"], (content_type, coding), bytes);
        let whole = (
            "mask".to_owned(),
            "[redacted]".to_owned(),
            vec![String::new()],
        );
        assert_eq!(found, whole, "{content_type} {bytes:?}");
    }
    for pattern in ["", "/**"] {
        let html = sight(&[pattern], ("text/html", ""), b"<html>");
        assert_eq!(html.0, "mask", "{pattern}");
    }
}

#[test]
fn items_of_lines_and_events_are_found_by_patterns_of_either() {
    let lines = b"{\"a\":1}\n{\"a\":2}\n";
    let events = b"data: {\"a\":1}\n\ndata: [DONE]\n\n";
    for (content_type, bytes, pattern) in [
        ("application/x-ndjson", &lines[..], "/a"),
        ("application/x-ndjson", lines, "/*/a"),
        ("application/x-ndjson", lines, "/**/a"),
        ("text/event-stream", events, "/a"),
        ("text/event-stream", events, "/*/data/a"),
        ("text/event-stream", events, "/data"),
    ] {
        let found = sight(&[pattern], (content_type, ""), bytes);
        assert_eq!(found.0, "mask", "{content_type} {pattern}");
        let found = sight(&["/b"], (content_type, ""), bytes);
        assert_eq!(found.0, "bytes", "{content_type}");
    }
    // What is nearly JSON may hold it.
    let broken = b"data: {\"b\":1\n\ndata: [DONE]\n\n";
    assert_eq!(sight(&["/b"], ("text/event-stream", ""), broken).0, "mask");
    // A single line is a document as well.
    let found = sight(
        &["/*/a", "/b"],
        ("application/x-ndjson", ""),
        b"{\"a\":1,\"b\":2}",
    );
    assert_eq!(found.0, "mask");
}

#[test]
fn fields_of_forms_are_hidden_by_their_names_or_their_parts() {
    let form = "a=1&password=x%20y&user[password]=%zz;u&user.password=3&user=4&+=";
    let of_type = ("application/x-www-form-urlencoded;charset=utf-8", "");
    for (pattern, expected) in [
        (
            "/password",
            "a=1&password=[redacted]&user[password]=%zz;u&user.password=3&user=4&+=",
        ),
        (
            "/user/password",
            "a=1&password=x%20y&user[password]=[redacted]&user.password=[redacted]&user=4&+=",
        ),
        (
            "/user",
            "a=1&password=x%20y&user[password]=[redacted]&user.password=[redacted]&user=[redacted]&+=",
        ),
        (
            "/**/password",
            "a=1&password=[redacted]&user[password]=[redacted]&user.password=[redacted]&user=4&+=",
        ),
        ("/other", form),
    ] {
        let found = sight(&[pattern], of_type, form.as_bytes());
        assert_eq!((found.0.as_str(), found.1.as_str()), ("bytes", expected));
    }
    let items = sight(&["/items/*/token"], of_type, b"items[][token]=1");
    assert_eq!(items.1, "items[][token]=[redacted]");
    let places = sight(&["/user"], of_type, form.as_bytes()).2;
    assert_eq!(places, ["/user[password]", "/user.password", "/user"]);
}

#[test]
fn what_holds_nothing_to_hide_stays_as_it_came() {
    let zipped = gzip("<html>");
    for patterns in [&[][..], &["/user/password"]] {
        for (content_type, coding, bytes, kind) in [
            ("text/html", "", &b"<html>"[..], "bytes"),
            ("text/html", "gzip", &zipped, "bytes"),
            ("image/png", "", &[0xff, 0], "bytes"),
            ("application/json", "", b" {\"n\" : 1.50}\n", "json"),
            ("text/plain", "", b"{}", "bytes"),
            ("application/json", "", b"", "bytes"),
            ("multipart/mixed", "gzip", b"", "bytes"),
        ] {
            let found = sight(patterns, (content_type, coding), bytes);
            let text = String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(found, (kind.to_owned(), text, vec![]), "{content_type}");
        }
    }
    let plain = sight(&[], ("application/json", "gzip"), &gzip(JSON));
    assert_eq!((plain.0.as_str(), plain.1.as_str()), ("json", JSON.trim()));
    let broken = sight(&[], ("application/json", "gzip"), b"{}");
    assert_eq!((broken.0.as_str(), broken.1.as_str()), ("bytes", "{}"));
}

#[test]
fn the_start_of_a_body_is_shown_only_if_bodies_hide_nothing() {
    let start = |patterns: &[&str], digest| {
        let redaction = redaction(&[], &[], patterns);
        let sight = redaction.start_of_body(b"start", digest, Masks::Told);
        match sight.form {
            Form::Bytes(bytes) => String::from_utf8(bytes.into_owned()).expect("UTF-8"),
            Form::Mask(mask) => mask,
            Form::Json(_) => panic!("it is not whole"),
        }
    };
    assert_eq!(start(&[], 1), "start");
    let mask = redaction(&[], &[], &["/a"]).digest_mask(1);
    assert_eq!(mask, Some(start(&["/a"], 1)));
    assert_eq!(start(&["/a"], 1), start(&["/a"], 1));
    assert_ne!(start(&["/a"], 1), start(&["/a"], 2));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        content_type in prop::sample::select(vec![
            "application/json", "application/x-ndjson", "text/event-stream", "text/plain", "",
            "application/x-www-form-urlencoded", "multipart/x", "text/plain; charset=utf-16",
        ]),
        coding in prop::sample::select(vec!["", "gzip", "br"]),
        bytes in prop_oneof![any::<Vec<u8>>(), "[a={}\\[\\]\":&%;,0 \n]{0,30}".prop_map(String::into_bytes)],
    ) {
        let _any = sight(&["/a", "/**/b"], (content_type, coding), &bytes);
    }

    #[test]
    fn a_secret_in_a_document_is_in_no_body((text, _) in document(), says_json in any::<bool>(), zip in any::<bool>()) {
        let content_type = if says_json { "application/json" } else { "text/plain" };
        let (coding, bytes) = if zip {
            ("gzip", gzip(&text))
        } else {
            ("", text.clone().into_bytes())
        };
        for cut in [bytes.len(), bytes.len() / 2] {
            let (_, shown, places) = sight(&["/**/hidden"], (content_type, coding), &bytes[..cut]);
            prop_assert!(!shown.contains("secret"), "{}", shown);
            prop_assert!(!places.is_empty() || !text.contains("secret") || cut < bytes.len());
        }
    }
}
