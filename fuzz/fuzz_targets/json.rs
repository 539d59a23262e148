//! miffy reads the same texts as JSON that `serde_json` does, and they mean the same however they are spelt.

#![no_main]

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use miffy::compare::{Bodies, Head, Rules, compare, parses_as_json};
use miffy::content::Body;
use miffy::redact::Redaction;
use miffy_fuzz::tree::Tree;

fuzz_target!(|data: &[u8]| {
    let tree = Tree::read(data);
    assert_eq!(parses_as_json(data), tree.is_some());
    let Some(tree) = tree else {
        return;
    };
    let mut respelt = String::new();
    tree.respell(&mut respelt);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let head = Head {
        status: StatusCode::OK,
        headers: &headers,
    };
    for (a, b) in [(data, respelt.as_bytes()), (respelt.as_bytes(), data)] {
        let rules = Rules::default();
        let body = |bytes| Body::new(&headers, bytes, rules.limits);
        let (body_a, body_b) = (body(a), body(b));
        let bodies = Bodies::Whole(&body_a, &body_b);
        let found = compare(head, head, bodies, &rules, None, &Redaction::nothing());
        let differences = found.differences;
        assert_eq!(differences.total(), 0, "{respelt}: {differences:?}");
    }
});
