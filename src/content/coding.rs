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
    fn allowed(self, encoded: usize) -> usize {
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
