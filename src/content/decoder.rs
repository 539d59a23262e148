//! Takes off one content coding. What is broken off, or goes on behind its end, is corrupt.

use std::io::Read;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

use super::coding::{Output, Undecodable};

/// Bytes decoded at a time.
const CHUNK: usize = 16 * 1024;

/// The largest window of zstd, as a power of two: 8 MiB (RFC 9659 §3).
const MAX_ZSTD_WINDOW: u32 = 23;

/// RFC 1952; any number of members.
pub(super) fn gzip(bytes: &[u8], output: &mut Output) -> Result<(), Undecodable> {
    let mut decoder = MultiGzDecoder::new(bytes);
    let mut chunk = vec![0; CHUNK];
    loop {
        match decoder.read(&mut chunk) {
            // It went on to the next member as long as there were bytes.
            Ok(0) => return Ok(()),
            Ok(len) => output.push(&chunk[..len])?,
            Err(_) => return Err(Undecodable::Corrupt),
        }
    }
}

/// RFC 1950, or without its header and checksum (RFC 1951), as some servers send it and all clients take
/// it.
pub(super) fn deflate(bytes: &[u8], output: &mut Output) -> Result<(), Undecodable> {
    let mut decoder = Decompress::new(has_zlib_header(bytes));
    let mut chunk = vec![0; CHUNK];
    let mut rest = bytes;
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let status = decoder
            .decompress(rest, &mut chunk, FlushDecompress::None)
            .map_err(|_| Undecodable::Corrupt)?;
        let (read, written) = (decoder.total_in() - read, decoder.total_out() - written);
        rest = &rest[within(read, rest)..];
        output.push(&chunk[..within(written, &chunk)])?;
        match status {
            Status::StreamEnd if rest.is_empty() => return Ok(()),
            Status::StreamEnd => return Err(Undecodable::Corrupt),
            // It wants more, and there is none.
            Status::Ok | Status::BufError if read == 0 && written == 0 => {
                return Err(Undecodable::Corrupt);
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// RFC 1950 §2.2: the method, and a check of the first two bytes. Without this header, the first byte would
/// begin with an uncompressed block's three bits and a padding that no encoder writes.
fn has_zlib_header(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        // Too short for either.
        _ => true,
    }
}

/// A count of bytes in a slice.
fn within(count: u64, bytes: &[u8]) -> usize {
    let count = usize::try_from(count).ok();
    count
        .filter(|count| *count <= bytes.len())
        .expect("a decoder reads and writes no more than it was given")
}

/// RFC 7932, with windows up to its 16 MiB. A window takes as much memory as its blocks say that they are
/// long, and comes as zeros, which take none until they are written to.
pub(super) fn brotli(bytes: &[u8], output: &mut Output) -> Result<(), Undecodable> {
    // Counts are 32 bits within.
    let mut pieces = bytes.chunks(1 << 30);
    let mut piece: &[u8] = &[];
    let (mut left, mut at) = (0, 0);
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let mut chunk = vec![0; CHUNK];
    loop {
        let (mut room, mut written, mut total) = (chunk.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            piece,
            &mut room,
            &mut written,
            &mut chunk,
            &mut total,
            &mut state,
        );
        output.push(&chunk[..written])?;
        match result {
            BrotliResult::ResultSuccess if left == 0 && pieces.len() == 0 => return Ok(()),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput => {
                piece = pieces.next().ok_or(Undecodable::Corrupt)?;
                (left, at) = (piece.len(), 0);
            }
            BrotliResult::ResultSuccess | BrotliResult::ResultFailure => {
                return Err(Undecodable::Corrupt);
            }
        }
    }
}

/// RFC 8878; any number of frames. One of unknown length takes as much memory as its window.
pub(super) fn zstd(bytes: &[u8], output: &mut Output) -> Result<(), Undecodable> {
    // Without a dictionary, it fails for want of memory only.
    let mut decoder = Decoder::new().map_err(|_| Undecodable::TooLarge)?;
    decoder
        .set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW))
        .expect("a window that zstd knows");
    let mut chunk = vec![0; CHUNK];
    let mut input = InBuffer::around(bytes);
    let mut is_between = true;
    loop {
        let rest = &bytes[input.pos()..];
        if is_between && rest.is_empty() {
            return Ok(());
        }
        if is_between && !begins_frame(rest) {
            return Err(Undecodable::Corrupt);
        }
        let mut room = OutBuffer::around(&mut chunk[..]);
        let wanted = decoder.run(&mut input, &mut room).map_err(|error| {
            // What says so is a name in zstd, and a test.
            if error.to_string().contains("too much memory") {
                Undecodable::TooLarge
            } else {
                Undecodable::Corrupt
            }
        })?;
        let written = room.as_slice().len();
        output.push(&chunk[..written])?;
        is_between = wanted == 0;
        // It has given all there was, and wants more.
        if !is_between && rest.is_empty() && written == 0 {
            return Err(Undecodable::Corrupt);
        }
    }
}

/// RFC 8878 §3.1: a frame, or one to be skipped. zstd would also read what its versions before 1.0 wrote,
/// which no client does.
fn begins_frame(bytes: &[u8]) -> bool {
    match bytes {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => true,
        [first, 0x2a, 0x4d, 0x18, ..] => first & 0xf0 == 0x50,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::super::coding::decode;
    use super::super::encoder::{
        self, BROTLI, BROTLI_LARGE_WINDOW, WIDE, deflate, encode, fox, zlib, zstd, zstd_window,
    };
    use super::*;

    const CORRUPT: Result<Vec<u8>, Undecodable> = Err(Undecodable::Corrupt);

    fn take_off(name: &str, bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
        decode(&[name.to_owned()], bytes, WIDE)
    }

    /// A body of several blocks and chunks.
    fn long() -> Vec<u8> {
        (0..40_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    /// Each coding with what was encoded, and encoded.
    fn samples() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
        let sized = zstd::bulk::compress(&fox(), 19).expect("zstd");
        let mut samples = vec![
            ("br", fox(), BROTLI.to_vec()),
            ("zstd", fox(), sized),
            ("deflate", fox(), deflate(&fox(), Compression::best())),
            ("deflate", fox(), deflate(&fox(), Compression::none())),
        ];
        for name in ["gzip", "deflate", "br", "zstd"] {
            samples.push((name, fox(), encode(name, &fox())));
            samples.push((name, Vec::new(), encode(name, b"")));
        }
        samples
    }

    #[test]
    fn each_coding_is_taken_off() {
        for (name, body, encoded) in samples() {
            assert_eq!(take_off(name, &encoded), Ok(body), "{name}: {encoded:x?}");
        }
        for name in ["gzip", "deflate", "zstd"] {
            assert_eq!(take_off(name, &encode(name, &long())), Ok(long()), "{name}");
        }
    }

    #[test]
    fn what_was_broken_off_is_no_shorter_body() {
        let whole = samples().into_iter();
        let long = ["gzip", "deflate", "zstd"].map(|name| (name, 500, encode(name, &long())));
        let all = whole.map(|(name, _, encoded)| (name, 1, encoded));
        for (name, step, encoded) in all.chain(long) {
            for end in (0..encoded.len()).step_by(step) {
                let result = take_off(name, &encoded[..end]);
                assert_eq!(result, CORRUPT, "{name} up to {end}: {encoded:x?}");
            }
        }
    }

    #[test]
    fn what_goes_on_behind_its_end_is_corrupt() {
        for (name, _, encoded) in samples() {
            for garbage in [&[0][..], &[0; 8], b"\x1f", b"\x28\xb5", b"\r\n", b"garbage"] {
                let result = take_off(name, &[&encoded[..], garbage].concat());
                assert_eq!(result, CORRUPT, "{name} and {garbage:x?}");
            }
        }
    }

    #[test]
    fn checksums_are_checked() {
        for (name, from_end) in [("gzip", 8), ("gzip", 4), ("deflate", 4), ("zstd", 4)] {
            let mut encoded = encode(name, &fox());
            let at = encoded.len() - from_end;
            encoded[at] ^= 1;
            assert_eq!(take_off(name, &encoded), CORRUPT, "{name}");
        }
    }

    #[test]
    fn gzip_may_have_members_and_fields() {
        let mut encoder = GzBuilder::new()
            .filename("name")
            .comment("a comment")
            .extra(vec![1; 1000])
            .write(Vec::new(), Compression::default());
        std::io::Write::write_all(&mut encoder, b"b").expect("a vector takes it");
        let with_fields = encoder.finish().expect("a vector takes it");
        let members = [encoder::gzip(b"a"), with_fields, encoder::gzip(b"")].concat();
        assert_eq!(take_off("gzip", &members), Ok(b"ab".to_vec()));
    }

    #[test]
    fn zstd_may_have_frames_and_what_is_to_be_skipped() {
        let skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
        let frames = [&zstd(b"a")[..], skipped, &zstd(b""), &zstd(b"b")].concat();
        assert_eq!(take_off("zstd", &frames), Ok(b"ab".to_vec()));
        let end = skipped.len() - 1;
        assert_eq!(take_off("zstd", &skipped[..end]), CORRUPT);
        assert_eq!(take_off("zstd", &[&skipped[..], b"x"].concat()), CORRUPT);
        // Of version 0.5.
        assert_eq!(take_off("zstd", b"\x25\xb5\x2f\xfd\0\0\0\0\0"), CORRUPT);
    }

    #[test]
    fn windows_are_bounded() {
        let body = long();
        assert_eq!(take_off("zstd", &zstd_window(&body, 23)), Ok(body.clone()));
        let beyond = take_off("zstd", &zstd_window(&body, 24));
        assert_eq!(beyond, Err(Undecodable::TooLarge));
        assert_eq!(take_off("br", &BROTLI_LARGE_WINDOW), CORRUPT);
    }

    #[test]
    fn a_dictionary_is_nowhere() {
        // With the flag and its checksum (RFC 1950 §2.2).
        let mut encoded = zlib(&fox());
        encoded[1] = 0x20;
        encoded[1] += 31 - u8::try_from(0x7820 % 31).expect("less than 31");
        assert!(has_zlib_header(&encoded));
        assert_eq!(take_off("deflate", &encoded), CORRUPT);
    }

    proptest! {
        #[test]
        fn deflate_is_told_from_zlib(body in any::<Vec<u8>>(), level in 0..=9_u32) {
            let encoded = deflate(&body, Compression::new(level));
            prop_assert!(!has_zlib_header(&encoded));
            prop_assert_eq!(take_off("deflate", &encoded), Ok(body));
        }

        #[test]
        fn a_byte_that_changed_never_makes_a_panic(
            sample in 0..12_usize,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let (name, _, mut encoded) = samples().swap_remove(sample);
            let at = at.index(encoded.len());
            encoded[at] = byte;
            let _any = take_off(name, &encoded);
        }
    }
}
