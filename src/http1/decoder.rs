//! Bodies as they come (RFC 9112 §6).

use bytes::Bytes;
use http::HeaderMap;

use super::Malformed;
use super::chunked::Chunks;
use super::length::Length;

/// What is still to come of a body.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// So many bytes.
    Exact(u64),
    /// Chunks.
    Chunked(Chunks),
    /// Whatever comes until the connection ends.
    UntilClose,
}

/// What is next of a body.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// Some of its bytes.
    Data(Bytes),
    /// What stands behind its bytes.
    Trailers(HeaderMap),
    /// Nothing that has come yet.
    Pending,
    /// Nothing any more.
    End,
}

impl Decoder {
    pub(crate) fn new(length: Length) -> Self {
        match length {
            Length::Exact(length) => Self::Exact(length),
            Length::Chunked => Self::Chunked(Chunks::new()),
            Length::UntilClose => Self::UntilClose,
        }
    }

    /// Whether nothing more is to be had of it.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Exact(length) => *length == 0,
            Self::Chunked(chunks) => chunks.are_over(),
            Self::UntilClose => false,
        }
    }

    /// What is next in `bytes`, which is taken from them.
    pub(crate) fn decode(&mut self, bytes: &mut Bytes) -> Result<Decoded, Malformed> {
        match self {
            Self::Exact(0) => return Ok(Decoded::End),
            Self::Chunked(chunks) => {
                if let Some(data) = chunks.data(bytes)? {
                    return Ok(Decoded::Data(data));
                }
                if chunks.have_come() {
                    let trailers = chunks.trailers()?;
                    return Ok(trailers.map_or(Decoded::End, Decoded::Trailers));
                }
            }
            Self::Exact(_) | Self::UntilClose if bytes.is_empty() => {}
            Self::Exact(length) => {
                let come = usize::try_from(*length).unwrap_or(usize::MAX);
                let data = bytes.split_to(come.min(bytes.len()));
                *length -= data.len() as u64;
                return Ok(Decoded::Data(data));
            }
            Self::UntilClose => return Ok(Decoded::Data(std::mem::take(bytes))),
        }
        Ok(Decoded::Pending)
    }

    /// How much data comes next with nothing between it, as far as that is known.
    pub(crate) fn data_ahead(&self) -> u64 {
        match self {
            Self::Exact(length) => *length,
            Self::Chunked(chunks) => chunks.data_ahead(),
            Self::UntilClose => 0,
        }
    }

    /// So much of the [data ahead](Self::data_ahead) was read past it.
    pub(crate) fn took(&mut self, taken: u64) {
        match self {
            Self::Exact(length) => *length = length.saturating_sub(taken),
            Self::Chunked(chunks) => chunks.took(taken),
            Self::UntilClose => {}
        }
    }

    /// The connection ended; whether the body did as well.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        match self {
            Self::UntilClose => *self = Self::Exact(0),
            _ if self.is_over() => {}
            _ => return Err(Malformed::Incomplete),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(length: Length, text: &'static str) -> (Vec<Decoded>, Decoder, Bytes) {
        let mut decoder = Decoder::new(length);
        let mut bytes = Bytes::from_static(text.as_bytes());
        let mut all = Vec::new();
        loop {
            match decoder.decode(&mut bytes).expect("a body") {
                last @ (Decoded::Pending | Decoded::End) => {
                    all.push(last);
                    return (all, decoder, bytes);
                }
                next => all.push(next),
            }
        }
    }

    #[test]
    fn a_body_ends_where_it_says() {
        let (all, _, rest) = decode(Length::Exact(3), "abcGET");
        assert!(matches!(&all[..], [Decoded::Data(data), Decoded::End] if data == "abc"));
        assert_eq!(rest, "GET");
        let (all, _, rest) = decode(Length::Exact(0), "GET");
        assert!(matches!(all[..], [Decoded::End]));
        assert_eq!(rest, "GET");
        let (all, decoder, rest) = decode(Length::Chunked, "3\r\nabc\r\n0\r\na: b\r\n\r\nGET");
        assert!(matches!(
            &all[..],
            [Decoded::Data(_), Decoded::Trailers(_), Decoded::End]
        ));
        assert!(decoder.is_over());
        assert_eq!(rest, "GET");
    }

    #[test]
    fn that_it_is_over_is_known_with_its_last_bytes() {
        for (length, text) in [
            (Length::Exact(3), "abc"),
            (Length::Chunked, "3\r\nabc\r\n0\r\n\r\n"),
        ] {
            let mut decoder = Decoder::new(length);
            let mut bytes = Bytes::from_static(text.as_bytes());
            assert!(!decoder.is_over());
            let data = decoder.decode(&mut bytes).expect("a body");
            assert!(matches!(data, Decoded::Data(data) if data == "abc"));
            assert!(decoder.is_over());
        }
        let mut decoder = Decoder::new(Length::Chunked);
        let mut bytes = Bytes::from_static(b"3\r\nabc\r\n0\r\na: b\r\n\r\n");
        assert!(matches!(decoder.decode(&mut bytes), Ok(Decoded::Data(_))));
        assert!(!decoder.is_over(), "its trailers are to be had");
    }

    #[test]
    fn data_comes_before_what_is_wrong_behind_it() {
        let mut decoder = Decoder::new(Length::Chunked);
        let mut bytes = Bytes::from_static(b"3\r\nabcd");
        assert!(matches!(decoder.decode(&mut bytes), Ok(Decoded::Data(_))));
        assert!(!decoder.is_over());
        for _ in 0..2 {
            assert!(matches!(decoder.decode(&mut bytes), Err(Malformed::Chunk)));
        }
    }

    #[test]
    fn only_a_body_without_a_length_ends_with_its_connection() {
        let (all, mut decoder, _) = decode(Length::UntilClose, "abc");
        assert!(matches!(all[..], [Decoded::Data(_), Decoded::Pending]));
        assert!(!decoder.is_over());
        assert_eq!(decoder.end(), Ok(()));
        assert!(decoder.is_over());
        for (length, text) in [
            (Length::Exact(3), "ab"),
            (Length::Chunked, ""),
            (Length::Chunked, "3\r\nabc\r\n"),
            (Length::Chunked, "3\r\nabc\r\n0\r\n"),
        ] {
            let (_, mut decoder, _) = decode(length, text);
            assert_eq!(decoder.end(), Err(Malformed::Incomplete), "{text:?}");
        }
    }
}
