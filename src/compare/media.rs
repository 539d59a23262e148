//! What a body says it is.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Whether a body is said to be JSON: `application/json`, or any type with the suffix `+json`
/// (RFC 6839 §3.1), with whatever parameters.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    // Parameters may hold other bytes than ASCII.
    let essence = value.as_bytes().split(|byte| *byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let suffix = essence.rsplit(|byte| *byte == b'+').next();
    essence.eq_ignore_ascii_case(b"application/json")
        || essence.contains(&b'+') && suffix.is_some_and(|it| it.eq_ignore_ascii_case(b"json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_type_or_suffix() {
        let is_json = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().expect("a header value"));
            is_json(&headers)
        };
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "application/vnd.api+json;v=1",
            "application/json; x=\"é\"",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in [
            "text/plain",
            "application/jsonp",
            "application/json-seq",
            "json",
            "",
        ] {
            assert!(!is_json(other), "{other}");
        }
        assert!(!super::is_json(&HeaderMap::new()));
    }
}
