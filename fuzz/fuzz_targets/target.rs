//! A target goes to a backend byte by byte behind its base URL's path.
//!
//! The input is a base URL and a request's target, as a client could send it.

#![no_main]

use bytes::Bytes;
use http::Uri;
use libfuzzer_sys::fuzz_target;
use miffy::client::target;
use miffy::config::BaseUrl;
use miffy_fuzz::sections;

fuzz_target!(|data: &[u8]| {
    let [base, asked] = sections(data);
    let Ok(base) = String::from_utf8_lossy(base).parse::<BaseUrl>() else {
        return;
    };
    let shown = base.to_string();
    assert_eq!(shown.parse().as_ref(), Ok(&base));
    let prefix = shown.split_once("://").map_or("", |(_, rest)| rest);
    let prefix = prefix
        .strip_prefix(base.authority().as_str())
        .expect("the authority");
    assert!(!prefix.ends_with('/') && !prefix.contains(['?', '#']));

    let Ok(asked) = Uri::from_maybe_shared(Bytes::copy_from_slice(asked)) else {
        return;
    };
    let target = target(&asked);
    let uri = base.join(target).expect("a URI that is short enough");
    assert_eq!(
        uri.scheme_str(),
        Some(if base.is_https() { "https" } else { "http" })
    );
    assert_eq!(uri.authority(), Some(base.authority()));
    let sent = uri.path_and_query().expect("a target").to_string();
    if target == "*" {
        assert_eq!(sent, "*");
    } else {
        assert_eq!(sent, format!("{prefix}{target}"));
    }
});
