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

/// RFC 7932, with windows up to its 16 MiB. The window grows with what is decoded, as far as the blocks'
/// headers say how long they are.
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

/// RFC 8878; any number of frames.
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
