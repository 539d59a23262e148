//! Bodies as they go (RFC 9112 §6).

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::length::Length;
use super::write::write_trailers;

/// What is still to go of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// So many bytes.
    Exact(u64),
    /// Chunks.
    Chunked,
    /// Whatever there is, until the connection ends.
    UntilClose,
}

/// That a body ended before the length that was announced.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it ended before the length that was announced")]
pub(crate) struct TooShort;

/// Behind the data of a chunk.
const CHUNK_END: &[u8] = b"\r\n";

/// Behind the data of the last chunk, without trailers.
const LAST_CHUNK_END: &[u8] = b"\r\n0\r\n\r\n";

impl Encoder {
    pub(crate) fn new(length: Length) -> Self {
        match length {
            Length::Exact(length) => Self::Exact(length),
            Length::Chunked => Self::Chunked,
            Length::UntilClose => Self::UntilClose,
        }
    }

    /// Whether no more bytes may follow.
    pub(crate) fn is_over(&self) -> bool {
        *self == Self::Exact(0)
    }

    /// Some data on its way: what stands before it is written into `before`, what stands behind it is returned. `data`
    /// loses what would be too much. With `is_last`, it is over afterwards.
    pub(crate) fn data(
        &mut self,
        before: &mut Vec<u8>,
        data: &mut Bytes,
        is_last: bool,
    ) -> Result<&'static [u8], TooShort> {
        match self {
            Self::Exact(length) => {
                let room = usize::try_from(*length).unwrap_or(usize::MAX);
                data.truncate(room);
                *length -= data.len() as u64;
                if is_last && *length > 0 {
                    return Err(TooShort);
                }
                Ok(b"")
            }
            // It would be the last one.
            Self::Chunked if data.is_empty() => {
                if is_last {
                    return self.end(before).map(|()| &b""[..]);
                }
                Ok(b"")
            }
            Self::Chunked => {
                write_size(before, data.len());
                if is_last {
                    *self = Self::Exact(0);
                    return Ok(LAST_CHUNK_END);
                }
                Ok(CHUNK_END)
            }
            Self::UntilClose => {
                if is_last {
                    *self = Self::Exact(0);
                }
                Ok(b"")
            }
        }
    }

    /// Its end, written into `out`.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), TooShort> {
        match self {
            Self::Exact(0) | Self::UntilClose => {}
            Self::Exact(_) => return Err(TooShort),
            Self::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
        }
        *self = Self::Exact(0);
        Ok(())
    }

    /// Its end with those of the trailers that were announced, if they are possible, written into `out`.
    pub(crate) fn end_with(
        &mut self,
        out: &mut Vec<u8>,
        trailers: &HeaderMap,
        announced: &[HeaderName],
    ) -> Result<(), TooShort> {
        if *self != Self::Chunked {
            return self.end(out);
        }
        out.extend_from_slice(b"0\r\n");
        write_trailers(out, trailers, announced);
        out.extend_from_slice(b"\r\n");
        *self = Self::Exact(0);
        Ok(())
    }
}

/// A chunk's size, in hexadecimal digits, and its line's end.
fn write_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digits = (size.max(1).ilog2() / 4) + 1;
    for digit in (0..digits).rev() {
        out.push(DIGITS[(size >> (4 * digit)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::announced_trailers;
    use super::*;

    fn sent(length: Length, pieces: &[&'static str]) -> Result<String, TooShort> {
        let (mut encoder, mut out) = (Encoder::new(length), Vec::new());
        for piece in pieces {
            let mut data = Bytes::from_static(piece.as_bytes());
            let behind = encoder.data(&mut out, &mut data, false)?;
            out.extend_from_slice(&data);
            out.extend_from_slice(behind);
        }
        encoder.end(&mut out)?;
        assert!(encoder.is_over());
        Ok(String::from_utf8(out).expect("a text"))
    }

    #[test]
    fn a_body_is_framed() {
        let chunked = |pieces: &[&'static str]| sent(Length::Chunked, pieces).expect("chunks");
        assert_eq!(chunked(&[]), "0\r\n\r\n");
        assert_eq!(
            chunked(&["abc", "", "d"]),
            "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
        );
        assert_eq!(sent(Length::Exact(3), &["ab", "c"]), Ok("abc".to_owned()));
        assert_eq!(sent(Length::UntilClose, &["ab"]), Ok("ab".to_owned()));
    }

    #[test]
    fn no_more_and_no_less_is_sent_than_was_announced() {
        assert_eq!(
            sent(Length::Exact(3), &["ab", "cd", "e"]),
            Ok("abc".to_owned())
        );
        assert_eq!(sent(Length::Exact(3), &["ab"]), Err(TooShort));
        let mut data = Bytes::from_static(b"ab");
        let ended = Encoder::Exact(3).data(&mut Vec::new(), &mut data, true);
        assert_eq!(ended, Err(TooShort));
    }

    #[test]
    fn the_last_data_ends_the_body() {
        for (length, text, expected) in [
            (Length::Exact(2), "ab", "ab"),
            (Length::UntilClose, "ab", "ab"),
            (Length::Chunked, "ab", "2\r\nab\r\n0\r\n\r\n"),
            (Length::Chunked, "", "0\r\n\r\n"),
        ] {
            let (mut encoder, mut out) = (Encoder::new(length), Vec::new());
            let mut data = Bytes::from_static(text.as_bytes());
            let behind = encoder.data(&mut out, &mut data, true).expect("all of it");
            let sent = [&out[..], &data, behind].concat();
            assert_eq!(sent, expected.as_bytes());
            assert!(encoder.is_over());
        }
    }

    #[test]
    fn sizes_are_hexadecimal() {
        for size in [1, 9, 10, 15, 16, 255, 256, 0x0fff_ffff, usize::MAX] {
            let mut out = Vec::new();
            write_size(&mut out, size);
            assert_eq!(out, format!("{size:X}\r\n").into_bytes());
        }
    }

    #[test]
    fn trailers_stand_behind_chunks_only() {
        let mut trailers = HeaderMap::new();
        for name in ["x-sum", "x-other", "connection"] {
            trailers.insert(name, "1".parse().expect("a value"));
        }
        let mut head = HeaderMap::new();
        let names = "X-Sum, Connection, x-no".parse().expect("a value");
        head.insert("trailer", names);
        let announced = announced_trailers(&head);
        for (length, expected) in [
            (Length::Chunked, "0\r\nx-sum: 1\r\n\r\n"),
            (Length::UntilClose, ""),
            (Length::Exact(0), ""),
        ] {
            let mut out = Vec::new();
            let ended = Encoder::new(length).end_with(&mut out, &trailers, &announced);
            assert_eq!(ended, Ok(()));
            assert_eq!(out, expected.as_bytes());
        }
    }
}
