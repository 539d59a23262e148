//! Content codings (RFC 9110 §8.4), and the bounds of decoding.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use thiserror::Error;

use super::decoder;

/// Codings of one body, `identity` not counted. More than two have no use but to make work.
const MAX_CODINGS: usize = 4;

/// A body may always decode to as many bytes as this: small bodies often grow most.
const ALWAYS: usize = 64 * 1024;

/// Bounds of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of a decoded body, in bytes.
    pub max_decoded: usize,
    /// Times that a body may grow by decoding, for bodies that decode to more than 64 KiB.
    pub max_ratio: usize,
}

/// Why a body has no decoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Undecodable {
    /// A coding is none of `gzip`, `deflate`, `br`, `zstd` and `identity`.
    #[error("unknown content coding")]
    UnknownCoding,
    /// There are more than four of them.
    #[error("too many content codings")]
    TooManyCodings,
    /// It was broken off, goes on behind its end, fails its checksum, or is not of this coding.
    #[error("not of its content coding, or broken off")]
    Corrupt,
    /// It grows beyond the [`Limits`], or asks for a window beyond 8 MiB (RFC 9659 §3).
    #[error("too large when decoded")]
    TooLarge,
}

enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// A body while it is decoded, within its bound.
pub(super) struct Output {
    bytes: Vec<u8>,
    max: usize,
}

impl Undecodable {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownCoding => "unknown_coding",
            Self::TooManyCodings => "too_many_codings",
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
        }
    }
}

impl Limits {
    /// Bytes that a body of this length may decode to.
    pub(super) fn allowed(self, encoded: usize) -> usize {
        let grown = encoded.saturating_mul(self.max_ratio);
        grown.max(ALWAYS).min(self.max_decoded)
    }
}

/// The codings of a body in the order they were applied: in lower case, each by one name, and without
/// `identity`, which does nothing.
#[must_use]
pub fn codings(headers: &HeaderMap) -> Vec<String> {
    named(headers)
        .map(|name| match name.to_ascii_lowercase() {
            // RFC 9110 §8.4.1.1 and §8.4.1.3.
            name if name == "x-gzip" || name == "x-compress" => name[2..].to_owned(),
            name => name,
        })
        .collect()
}

/// Whether there is a coding to take off.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    named(headers).next().is_some()
}

/// Those that do something, as they are written.
fn named(headers: &HeaderMap) -> impl Iterator<Item = Cow<'_, str>> {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    items
        .map(<[u8]>::trim_ascii)
        // Empty items of a list mean nothing (RFC 9110 §5.6.1.2).
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
        .map(String::from_utf8_lossy)
}

/// Takes off the codings of [`codings`], the last first. They share one bound: what all of them give
/// together is within it, so that neither their number nor a small end makes for more work or memory.
pub(super) fn decode(
    names: &[String],
    encoded: &[u8],
    limits: Limits,
) -> Result<Vec<u8>, Undecodable> {
    if names.len() > MAX_CODINGS {
        return Err(Undecodable::TooManyCodings);
    }
    let codings = names.iter().map(|name| Coding::named(name));
    let codings: Option<Vec<Coding>> = codings.collect();
    let codings = codings.ok_or(Undecodable::UnknownCoding)?;
    let mut allowed = limits.allowed(encoded.len());
    let mut bytes = Cow::Borrowed(encoded);
    for coding in codings.iter().rev() {
        let mut output = Output::within(allowed);
        coding.decode(&bytes, &mut output)?;
        allowed -= output.bytes.len();
        bytes = Cow::Owned(output.bytes);
    }
    Ok(bytes.into_owned())
}

impl Coding {
    fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn decode(&self, bytes: &[u8], output: &mut Output) -> Result<(), Undecodable> {
        match self {
            // No coding makes nothing of something.
            _ if bytes.is_empty() => Err(Undecodable::Corrupt),
            Self::Gzip => decoder::gzip(bytes, output),
            Self::Deflate => decoder::deflate(bytes, output),
            Self::Brotli => decoder::brotli(bytes, output),
            Self::Zstd => decoder::zstd(bytes, output),
        }
    }
}

impl Output {
    fn within(max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max,
        }
    }

    /// Adds bytes that were decoded.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Undecodable> {
        if bytes.len() > self.max - self.bytes.len() {
            return Err(Undecodable::TooLarge);
        }
        let len = self.bytes.len() + bytes.len();
        if len > self.bytes.capacity() {
            // Twice as much each time as a vector grows by itself, but not beyond the bound.
            let capacity = len.max(self.bytes.capacity() * 2).min(self.max);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encoder::{BROTLI_BOMB, WIDE, encode, gzip, of_codings, zstd};
    use super::*;

    const TOO_LARGE: Result<Vec<u8>, Undecodable> = Err(Undecodable::TooLarge);

    fn decode(names: &[&str], encoded: &[u8], limits: Limits) -> Result<Vec<u8>, Undecodable> {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        super::decode(&names, encoded, limits)
    }

    #[test]
    fn codings_are_one_list_of_all_lines() {
        let lines = [
            "GZIP , identity,,",
            "",
            "x-gzip,Br",
            "X-Compress",
            "identity",
        ];
        let headers = of_codings(&lines);
        assert_eq!(codings(&headers), ["gzip", "gzip", "br", "compress"]);
        assert!(is_encoded(&headers));
        for lines in [&[][..], &["identity"], &["", " , Identity"]] {
            let headers = of_codings(lines);
            assert_eq!(codings(&headers), [""; 0]);
            assert!(!is_encoded(&headers));
        }
    }

    #[test]
    fn the_last_coding_is_the_first_to_be_taken_off() {
        let body = b"body";
        let encoded = zstd(&gzip(body));
        assert_eq!(decode(&["gzip", "zstd"], &encoded, WIDE), Ok(body.to_vec()));
        let wrong = decode(&["zstd", "gzip"], &encoded, WIDE);
        assert_eq!(wrong, Err(Undecodable::Corrupt));
    }

    #[test]
    fn four_codings_are_enough() {
        let four = (0..4).fold(b"body".to_vec(), |bytes, _| gzip(&bytes));
        assert_eq!(decode(&["gzip"; 4], &four, WIDE), Ok(b"body".to_vec()));
        let five = decode(&["gzip"; 5], &gzip(&four), WIDE);
        assert_eq!(five, Err(Undecodable::TooManyCodings));
    }

    #[test]
    fn nothing_is_taken_off_where_one_is_unknown() {
        for name in ["compress", "lzma", "*", "gzip;q=1"] {
            let result = decode(&[name, "gzip"], b"not gzip", WIDE);
            assert_eq!(result, Err(Undecodable::UnknownCoding), "{name}");
        }
    }

    #[test]
    fn no_coding_makes_nothing_of_something() {
        for outer in ["gzip", "deflate", "br", "zstd"] {
            for inner in ["gzip", "deflate", "br", "zstd"] {
                let encoded = encode(outer, b"");
                let result = decode(&[inner, outer], &encoded, WIDE);
                assert_eq!(result, Err(Undecodable::Corrupt), "{inner} in {outer}");
            }
        }
    }

    #[test]
    fn small_bodies_may_grow_more_than_large_ones() {
        let limits = |max_decoded, max_ratio| Limits {
            max_decoded,
            max_ratio,
        };
        assert_eq!(limits(1 << 20, 10).allowed(1), 64 * 1024);
        assert_eq!(limits(1 << 20, 10).allowed(10_000), 100_000);
        assert_eq!(limits(1 << 20, 10).allowed(1 << 19), 1 << 20);
        assert_eq!(limits(1000, 10).allowed(1), 1000);
        assert_eq!(limits(usize::MAX, 10).allowed(usize::MAX), usize::MAX);
    }

    #[test]
    fn the_bound_is_the_last_length_that_is_within() {
        let body = vec![b'x'; 1000];
        let limits = |max_decoded| Limits {
            max_decoded,
            ..WIDE
        };
        for name in ["gzip", "deflate", "br", "zstd"] {
            let encoded = encode(name, &body);
            let whole = decode(&[name], &encoded, limits(1000));
            assert_eq!(whole, Ok(body.clone()), "{name}");
            assert_eq!(decode(&[name], &encoded, limits(999)), TOO_LARGE, "{name}");
        }
    }

    #[test]
    fn bombs_are_given_up_within_the_bound() {
        let megabyte = vec![0; 1 << 20];
        let gzip_bomb = gzip(&vec![0; 100 << 20]);
        let zstd_bomb = zstd(&megabyte).repeat(100);
        let deflate_bomb = encode("deflate", &megabyte);
        let wide = Limits {
            max_decoded: 8 << 20,
            max_ratio: 100,
        };
        for (name, bomb) in [
            ("gzip", &gzip_bomb[..]),
            ("deflate", &deflate_bomb),
            ("br", &BROTLI_BOMB),
            ("zstd", &zstd_bomb),
        ] {
            assert_eq!(decode(&[name], bomb, wide), TOO_LARGE, "{name}");
        }
    }

    #[test]
    fn a_bomb_in_a_bomb_has_no_bound_of_its_own() {
        let nested = gzip(&gzip(&vec![0; 4 << 20]));
        // A factor for each of them would let it pass.
        let limits = Limits {
            max_decoded: usize::MAX,
            max_ratio: 1000,
        };
        assert!(nested.len() * 1000 * 1000 > 4 << 20);
        assert_eq!(decode(&["gzip", "gzip"], &nested, limits), TOO_LARGE);
        // Many empty members are a small end of much work.
        let hollow = gzip(&gzip(b"").repeat(5_000));
        let narrow = Limits {
            max_ratio: 10,
            ..limits
        };
        assert_eq!(decode(&["gzip", "gzip"], &hollow, narrow), TOO_LARGE);
        assert_eq!(decode(&["gzip", "gzip"], &hollow, limits), Ok(Vec::new()));
    }

    #[test]
    fn no_more_memory_is_taken_than_is_allowed() {
        let mut output = Output::within(1000);
        for _ in 0..100 {
            assert_eq!(output.push(&[0; 10]), Ok(()));
            assert!(output.bytes.capacity() <= 1000);
        }
        assert_eq!(output.push(&[]), Ok(()));
        assert_eq!(output.push(&[0]), Err(Undecodable::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_the_same(
            body in prop::collection::vec(any::<u8>(), 1..2000),
            names in prop::collection::vec(
                prop::sample::select(vec!["gzip", "deflate", "br", "zstd"]), 1..=4,
            ),
        ) {
            let encoded = names.iter().fold(body.clone(), |bytes, name| encode(name, &bytes));
            prop_assert_eq!(decode(&names, &encoded, WIDE), Ok(body));
        }
    }
}
