//! Codings put on, for tests.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Limits;

/// Wide enough for what tests encode, but for bombs.
pub(super) const WIDE: Limits = Limits {
    max_decoded: 1 << 20,
    max_ratio: 1000,
};

/// The brown fox three times: node's `zlib.brotliCompressSync(Buffer.from(text))`.
pub(super) const BROTLI: [u8; 58] = [
    0x1b, 0x86, 0x00, 0x88, 0x2c, 0x0e, 0x78, 0xd3, 0xd0, 0x95, 0x5d, 0x97, 0x10, 0xbb, 0x17, 0x2b,
    0xa9, 0xca, 0xd0, 0x92, 0xcc, 0x8c, 0xad, 0x41, 0x5c, 0xe6, 0xf2, 0x36, 0xc8, 0x19, 0x9e, 0x9e,
    0x0a, 0x7b, 0x83, 0x0d, 0x38, 0x70, 0x48, 0x20, 0x6f, 0x24, 0xb9, 0x41, 0xa7, 0x15, 0xce, 0x1c,
    0x1e, 0x27, 0xaa, 0x29, 0x38, 0xc2, 0xa1, 0xfb, 0x34, 0x18,
];

/// 100 MiB of zeros: the same of `Buffer.alloc(100 << 20)`, at `BROTLI_PARAM_QUALITY` 11 and
/// `BROTLI_PARAM_LGWIN` 24.
pub(super) const BROTLI_BOMB: [u8; 93] = [
    0xcf, 0xff, 0xff, 0x7f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x9f, 0xff, 0xff,
    0xff, 0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x01, 0x80, 0xee, 0xfd, 0x3f, 0xff, 0xff, 0xff, 0xe1, 0x9f,
    0x00, 0x88, 0xc3, 0x22, 0x00, 0xdd, 0xfb, 0x7f, 0xfe, 0xff, 0xff, 0xc3, 0x3f, 0x01, 0x10, 0x87,
    0x05, 0x00, 0xba, 0xf7, 0xff, 0xfc, 0xff, 0xff, 0x87, 0x7f, 0x02, 0x20, 0x0e, 0x0b, 0x00, 0x74,
    0xef, 0xff, 0xf9, 0xff, 0xff, 0x0f, 0xff, 0x04, 0x40, 0x1c, 0x16, 0x00, 0xe8, 0xde, 0xff, 0xe7,
    0xff, 0xff, 0x0f, 0xfe, 0x09, 0x80, 0x38, 0x2c, 0x00, 0xd0, 0xbd, 0xff, 0x01,
];

/// `large`, with a window of 256 MiB, which RFC 7932 does not know: `BROTLI_PARAM_LARGE_WINDOW` 1 and
/// `BROTLI_PARAM_LGWIN` 28.
pub(super) const BROTLI_LARGE_WINDOW: [u8; 11] = [
    0x11, 0x1c, 0x08, 0x00, 0x02, 0x6c, 0x61, 0x72, 0x67, 0x65, 0x03,
];

/// What [`BROTLI`] is.
pub(super) fn fox() -> Vec<u8> {
    b"The quick brown fox jumps over the lazy dog. ".repeat(3)
}

pub(super) fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_str(value).expect("a header value");
        headers.append(name, value);
    }
    headers
}

pub(super) fn of_type(value: &str) -> HeaderMap {
    headers(&[(CONTENT_TYPE, value)])
}

pub(super) fn of_codings(lines: &[&str]) -> HeaderMap {
    let lines: Vec<_> = lines.iter().map(|it| (CONTENT_ENCODING, *it)).collect();
    headers(&lines)
}

/// Puts on one of the codings.
pub(super) fn encode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => gzip(bytes),
        "deflate" => zlib(bytes),
        "br" => brotli(bytes),
        "zstd" => zstd(bytes),
        other => panic!("no coding: {other}"),
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

/// Without zlib's header.
pub(super) fn deflate(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd_window(bytes, 20)
}

/// With a checksum, of unknown length, and with a window of this power of two.
pub(super) fn zstd_window(bytes: &[u8], window: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.include_checksum(true).expect("a checksum");
    encoder.window_log(window).expect("a window");
    encoder.write_all(bytes).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

/// In one uncompressed block (RFC 7932 §9.2) of at most 64 KiB, for want of an encoder.
pub(super) fn brotli(bytes: &[u8]) -> Vec<u8> {
    let Some(last) = bytes.len().checked_sub(1) else {
        return vec![0x06];
    };
    // From the lowest bit: a window of 64 KiB (0), not the last (0), four digits of length (00), the length
    // less one, uncompressed (1).
    let header = (u32::try_from(last).expect("a short body") << 4) | 1 << 20;
    let mut encoded = header.to_le_bytes()[..3].to_vec();
    encoded.extend_from_slice(bytes);
    // The last block, empty.
    encoded.push(0x03);
    encoded
}
