//! Which of the requests are mirrored.

use std::fmt;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_64;

use super::rate::Rate;

/// Which of the requests are mirrored; all, by default.
///
/// By a value, it is decided by the value's hash (XXH3 without a seed, 64 bits) alone. So it is the same in every
/// process, version and experiment, and a higher rate takes who was in at a lower one. Without the value, or if
/// it is empty, chance decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// How many of them.
    pub rate: Rate,
    /// By what it is decided; by chance, without it.
    pub by: Option<SampleBy>,
}

/// What decides whether a request is in, so that all with the same value are, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SampleBy {
    /// A header's first value.
    Header(HeaderName),
    /// The value of the first cookie of this name.
    Cookie(String),
    /// A parameter of the path, as it stands in it.
    Param(String),
}

impl Sample {
    /// Whether a request is in, at this rate. `params` gives the parameters of its path.
    #[must_use]
    pub fn takes<'p>(
        &self,
        rate: Rate,
        headers: &HeaderMap,
        params: impl FnOnce() -> Vec<(&'p str, &'p str)>,
    ) -> bool {
        if rate == Rate::ALL || rate == Rate::NONE {
            return rate == Rate::ALL;
        }
        let drawn = match &self.by {
            None => None,
            Some(SampleBy::Header(name)) => headers.get(name).and_then(|it| hash(it.as_bytes())),
            Some(SampleBy::Cookie(name)) => cookie(headers, name).and_then(hash),
            Some(SampleBy::Param(name)) => params()
                .iter()
                .find(|(of, _)| of == name)
                .and_then(|(_, value)| hash(value.as_bytes())),
        };
        rate.takes(drawn.unwrap_or_else(|| fastrand::u64(..)))
    }
}

/// A number that a value always has; `None` if there is nothing in it.
fn hash(value: &[u8]) -> Option<u64> {
    (!value.is_empty()).then(|| xxh3_64(value))
}

/// The value of the first cookie of this name (RFC 6265 §4.2.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let is_it = pair[..equals].trim_ascii() == name.as_bytes();
        is_it.then(|| pair[equals + 1..].trim_ascii())
    })
}

impl fmt::Display for SampleBy {
    /// As it is configured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Param(name) => write!(f, "param:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by(by: Option<SampleBy>) -> Sample {
        Sample {
            rate: Rate::default(),
            by,
        }
    }

    fn rate(part: f64) -> Rate {
        Rate::new(part).expect("a rate")
    }

    fn with_cookies(lines: &[&str]) -> HeaderMap {
        let value = |line: &&str| HeaderValue::from_str(line).expect("a value");
        lines.iter().map(|line| (COOKIE, value(line))).collect()
    }

    #[test]
    fn all_and_none_are_no_matter_of_chance() {
        for sample in [by(None), by(Some(SampleBy::Cookie("s".into())))] {
            for _ in 0..100 {
                assert!(sample.takes(Rate::ALL, &HeaderMap::new(), Vec::new));
                assert!(!sample.takes(Rate::NONE, &HeaderMap::new(), Vec::new));
            }
        }
    }

    #[test]
    fn a_value_decides_the_same_in_every_version() {
        let sample = by(Some(SampleBy::Param("id".into())));
        let taken: Vec<u32> = (0..40)
            .filter(|id| {
                let id = id.to_string();
                sample.takes(rate(0.2), &HeaderMap::new(), || vec![("id", &id)])
            })
            .collect();
        assert_eq!(taken, [0, 7, 9, 11, 14, 25, 29, 30, 34, 37]);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        for (lines, expected) in [
            (&["s=1"][..], Some(&b"1"[..])),
            (&["a=0; s=1;b=2"], Some(b"1")),
            (&["xs=0; s = 1 ; s=2"], Some(b"1")),
            (&["a=0", "s=1"], Some(b"1")),
            (&["s"], None),
            (&["ss=1"], None),
            (&["s=a=b"], Some(b"a=b")),
            (&[], None),
        ] {
            assert_eq!(cookie(&with_cookies(lines), "s"), expected, "{lines:?}");
        }
    }

    #[test]
    fn without_a_value_it_is_a_matter_of_chance() {
        let sample = by(Some(SampleBy::Cookie("s".into())));
        for headers in [HeaderMap::new(), with_cookies(&["s="])] {
            let taken = (0..10_000)
                .filter(|_| sample.takes(rate(0.5), &headers, Vec::new))
                .count();
            // Further away than once in 10^30.
            assert!((4_400..5_600).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn a_rate_takes_as_many_of_the_values() {
        let sample = by(Some(SampleBy::Cookie("s".into())));
        let taken = (0..10_000)
            .filter(|n| {
                let headers = with_cookies(&[&format!("s={n}")]);
                sample.takes(rate(0.05), &headers, Vec::new)
            })
            .count();
        assert!((400..600).contains(&taken), "{taken}");
    }

    proptest! {
        #[test]
        fn who_is_in_stays_in_when_more_are(value in "[!-:<-~]+", a in 0.0..=1.0, b in 0.0..=1.0) {
            let (less, more) = if a < b { (rate(a), rate(b)) } else { (rate(b), rate(a)) };
            let by_header = by(Some(SampleBy::Header(COOKIE)));
            let by_cookie = by(Some(SampleBy::Cookie("s".into())));
            let by_param = by(Some(SampleBy::Param("s".into())));
            let header = with_cookies(&[&value]);
            let cookie = with_cookies(&[&format!("s={value}")]);
            let params = || vec![("s", value.as_str())];
            let answers = |rate| [
                by_header.takes(rate, &header, Vec::new),
                by_cookie.takes(rate, &cookie, Vec::new),
                by_param.takes(rate, &HeaderMap::new(), params),
            ];
            prop_assert_eq!(answers(less), answers(less));
            prop_assert_eq!(answers(less), [answers(less)[0]; 3], "the value alone decides");
            for (less, more) in answers(less).into_iter().zip(answers(more)) {
                prop_assert!(!less || more);
            }
        }
    }
}
