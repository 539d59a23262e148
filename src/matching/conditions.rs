//! What a request's host, headers and query must be.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::query;
use super::test::Test;

/// All that a request must meet beside its path and method; nothing, by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// The host that it is for, without port. Texts are in lower case, and regular expressions caseless.
    pub host: Option<Test>,
    /// Of its headers; each name once.
    pub headers: Vec<(HeaderName, Test)>,
    /// Of its query's parameters, by their decoded names; each name once.
    pub query: Vec<(String, Test)>,
}

impl Conditions {
    /// Whether every request meets them.
    #[must_use]
    pub fn are_nothing(&self) -> bool {
        self.host.is_none() && self.headers.is_empty() && self.query.is_empty()
    }

    /// Whether a request meets all of them.
    #[must_use]
    pub fn are_met(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        self.host_is_met(uri, headers)
            && self.headers.iter().all(|(name, test)| {
                let values = headers.get_all(name).iter();
                test.is_met(values.map(HeaderValue::as_bytes))
            })
            && self.query.iter().all(|(name, test)| {
                let query = uri.query().unwrap_or_default();
                test.is_met(query::values(query, name))
            })
    }

    fn host_is_met(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(test) = &self.host else {
            return true;
        };
        let host = host(uri, headers).map(<[u8]>::to_ascii_lowercase);
        test.is_met(host.iter())
    }

    /// Whether every request that meets these meets `others`, as far as can be told.
    #[must_use]
    pub fn imply(&self, others: &Self) -> bool {
        let host = match (&self.host, &others.host) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(other)) => own.implies(other),
        };
        host && all_implied(&self.headers, &others.headers)
            && all_implied(&self.query, &others.query)
    }
}

fn all_implied<N: PartialEq>(own: &[(N, Test)], others: &[(N, Test)]) -> bool {
    others.iter().all(|(name, other)| {
        own.iter()
            .any(|(of, test)| of == name && test.implies(other))
    })
}

/// The host that a request is for, without user and port: a target that names it outranks the header
/// (RFC 9112 §3.2.2), and is all that HTTP/2 has (RFC 9113 §8.3.1).
fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r [u8]> {
    let authority = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => headers.get(HOST)?.as_bytes(),
    };
    let after_user = authority.rsplit(|byte| *byte == b'@').next()?;
    // Colons within brackets are an address of IPv6.
    let colon = after_user.iter().rposition(|byte| *byte == b':');
    Some(match colon {
        Some(colon) if !after_user[colon..].contains(&b']') => &after_user[..colon],
        _ => after_user,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::test::Pattern;
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).expect("a value");
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI")
    }

    #[test]
    fn the_host_is_the_targets_or_the_headers_without_port_and_case() {
        let test = |host: &str| Conditions {
            host: Some(Test::Exact(host.to_owned())),
            ..Conditions::default()
        };
        for (target, header, expected) in [
            ("/x", "Api.Example:8080", "api.example"),
            ("/x", "api.example", "api.example"),
            ("/x", "[::1]:80", "[::1]"),
            ("/x", "[::1]", "[::1]"),
            ("http://target:1/x", "header", "target"),
            ("http://user:pass@target/x", "header", "target"),
        ] {
            let headers = headers(&[("host", header)]);
            let conditions = test(expected);
            assert!(
                conditions.are_met(&uri(target), &headers),
                "{target} {header}"
            );
            assert!(!test("other").are_met(&uri(target), &headers));
        }
        assert!(!test("").are_met(&uri("/x"), &HeaderMap::new()));
    }

    #[test]
    fn all_conditions_have_to_be_met() {
        let conditions = Conditions {
            host: None,
            headers: vec![
                (HeaderName::from_static("x-beta"), Test::Exact("1".into())),
                (HeaderName::from_static("x-debug"), Test::Absent),
            ],
            query: vec![("q".into(), Test::Prefix("a b".into()))],
        };
        let met = |target: &str, lines: &[_]| conditions.are_met(&uri(target), &headers(lines));
        assert!(met("/x?q=a+bc", &[("x-beta", "1")]));
        assert!(met("/x?q=z&q=a%20b", &[("x-beta", "0"), ("x-beta", "1")]));
        assert!(!met("/x?q=a+bc", &[("x-beta", "2")]));
        assert!(!met("/x?q=a+bc", &[("x-beta", "1"), ("x-debug", "")]));
        assert!(!met("/x?q=ab", &[("x-beta", "1")]));
        assert!(!met("/x", &[("x-beta", "1")]));
    }

    #[test]
    fn what_is_looser_is_implied() {
        let of = |headers: &[(&'static str, Test)]| Conditions {
            headers: headers
                .iter()
                .map(|(name, test)| (HeaderName::from_static(name), test.clone()))
                .collect(),
            ..Conditions::default()
        };
        let exact = of(&[("a", Test::Exact("bcd".into())), ("b", Test::Absent)]);
        let pattern = Test::Regex(Pattern::new("c").expect("a pattern"));
        for looser in [
            of(&[]),
            of(&[("a", Test::Prefix("bc".into()))]),
            of(&[("a", pattern)]),
            of(&[("a", Test::Present), ("b", Test::Absent)]),
            exact.clone(),
        ] {
            assert!(exact.imply(&looser), "{looser:?}");
            assert!(looser == exact || !looser.imply(&exact), "{looser:?}");
        }
    }

    const TEXTS: [&str; 6] = ["a", "ab", "abc", "b", "B", "1"];
    const PATTERNS: [&str; 5] = ["", "a", "^a", "b$", "^ab?$"];

    fn tests() -> impl Strategy<Value = Test> {
        let pattern = |text| Test::Regex(Pattern::caseless(text).expect("a pattern"));
        prop_oneof![
            select(&TEXTS[..]).prop_map(|text| Test::Exact(text.to_ascii_lowercase())),
            select(&TEXTS[..]).prop_map(|text| Test::Prefix(text.to_ascii_lowercase())),
            select(&PATTERNS[..]).prop_map(pattern),
            Just(Test::Present),
            Just(Test::Absent),
        ]
    }

    fn conditions() -> impl Strategy<Value = Conditions> {
        let names = || vec((select(&["x", "y"][..]), tests()), 0..3);
        (proptest::option::of(tests()), names(), names()).prop_map(|(host, headers, query)| {
            Conditions {
                host,
                headers: headers
                    .into_iter()
                    .map(|(name, test)| (HeaderName::from_static(name), test))
                    .collect(),
                query: query
                    .into_iter()
                    .map(|(name, test)| (name.to_owned(), test))
                    .collect(),
            }
        })
    }

    fn requests() -> impl Strategy<Value = (Uri, HeaderMap)> {
        let lines = || vec((select(&["x", "y"][..]), select(&TEXTS[..])), 0..4);
        (proptest::option::of(select(&TEXTS[..])), lines(), lines()).prop_map(
            |(host, mut lines, query)| {
                lines.extend(host.map(|host| ("host", host)));
                let query: Vec<String> = query
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                (uri(&format!("/?{}", query.join("&"))), headers(&lines))
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn who_meets_conditions_meets_what_they_imply(
            a in conditions(),
            b in conditions(),
            requests in vec(requests(), 20),
        ) {
            prop_assert!(a.imply(&a));
            prop_assert!(a.imply(&Conditions::default()));
            if a.imply(&b) {
                for (uri, headers) in requests {
                    prop_assert!(!a.are_met(&uri, &headers) || b.are_met(&uri, &headers));
                }
            }
        }
    }
}
