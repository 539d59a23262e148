//! Chunks as they come (RFC 9112 §7.1).
//!
//! Every byte between the data is looked at: a line that another reader could see the end of elsewhere is refused, and
//! so is a size that does not fit. Extensions are skipped, trailers read; both are bounded.

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use httparse::Status;

use super::Malformed;

/// Bytes of the extensions of all chunks of a body.
const MAX_EXTENSIONS: usize = 16 * 1024;

/// Bytes of trailers.
const MAX_TRAILERS: usize = 16 * 1024;

/// How many trailers there may be.
const MAX_FIELDS: usize = 100;

/// Stands where the trailers end, or instead of them.
const EMPTY_LINE: &[u8] = b"\r\n";

/// How far chunks have come.
#[derive(Debug)]
pub(crate) struct Chunks {
    place: Place,
    /// Bytes of extensions so far.
    extensions: usize,
    /// What there is of the trailers' lines.
    trailers: Vec<u8>,
    /// What was wrong behind the data that was given last.
    wrong: Option<Malformed>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first digit of a size.
    Start,
    /// Another one, or the end of the size so far.
    Size(u64),
    /// White space behind a size.
    Space(u64),
    /// An extension.
    Extension(u64),
    /// The end of a size's line.
    SizeEnd(u64),
    /// So much data.
    Data(u64),
    /// The line's end behind data.
    DataCr,
    DataLf,
    /// Trailers' lines, and an empty one.
    Trailers,
    End,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Start,
            extensions: 0,
            trailers: Vec::new(),
            wrong: None,
        }
    }

    /// Whether the last byte came.
    pub(super) fn have_come(&self) -> bool {
        self.place == Place::End
    }

    /// Whether that is so, and there are no trailers to be had either.
    pub(super) fn are_over(&self) -> bool {
        self.have_come() && self.trailers.len() <= EMPTY_LINE.len()
    }

    /// How much data comes next with nothing between it.
    pub(super) fn data_ahead(&self) -> u64 {
        match self.place {
            Place::Data(length) => length,
            _ => 0,
        }
    }

    /// The next data of `bytes`, which is taken from them, together with all that is no data before and behind it;
    /// `None` if it has not come, or there is no more.
    pub(super) fn data(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, Malformed> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        self.skip(bytes)?;
        let Place::Data(length) = self.place else {
            return Ok(None);
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let come = usize::try_from(length).unwrap_or(usize::MAX);
        let data = bytes.split_to(come.min(bytes.len()));
        self.took(data.len() as u64);
        // That these were the last is to be known with them, if it is there.
        self.wrong = self.skip(bytes).err();
        Ok(Some(data))
    }

    /// So much of the data was taken.
    pub(super) fn took(&mut self, taken: u64) {
        if let Place::Data(length) = &mut self.place {
            *length = length.saturating_sub(taken);
            if *length == 0 {
                self.place = Place::DataCr;
            }
        }
    }

    /// The trailers, if there are any.
    pub(super) fn trailers(&mut self) -> Result<Option<HeaderMap>, Malformed> {
        let lines = std::mem::take(&mut self.trailers);
        if lines.len() <= EMPTY_LINE.len() {
            return Ok(None);
        }
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let read = match httparse::parse_headers(&lines, &mut room) {
            Ok(Status::Complete((_, read))) => read,
            Err(httparse::Error::TooManyHeaders) => return Err(Malformed::ChunkTooLarge),
            _ => return Err(Malformed::Trailers),
        };
        let mut trailers = HeaderMap::with_capacity(read.len());
        for field in read {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_bytes(field.value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Malformed::Trailers);
            };
            trailers.append(name, value);
        }
        Ok(Some(trailers))
    }

    /// Takes all that is no data.
    fn skip(&mut self, bytes: &mut Bytes) -> Result<(), Malformed> {
        while !matches!(self.place, Place::Data(_) | Place::End) {
            let Some(byte) = bytes.first().copied() else {
                break;
            };
            bytes.advance(1);
            self.place = self.step(byte)?;
        }
        Ok(())
    }

    /// What comes behind this byte.
    fn step(&mut self, byte: u8) -> Result<Place, Malformed> {
        Ok(match (self.place, byte) {
            (Place::Start, _) => Place::Size(digit(byte).ok_or(Malformed::Chunk)?),
            (Place::Size(size), _) if byte.is_ascii_hexdigit() => {
                let digit = digit(byte).ok_or(Malformed::Chunk)?;
                let larger = size.checked_mul(16).ok_or(Malformed::Chunk)?;
                Place::Size(larger + digit)
            }
            (Place::Size(size) | Place::Space(size), b' ' | b'\t') => Place::Space(size),
            (Place::Size(size) | Place::Space(size), b';') => Place::Extension(size),
            (Place::Size(size) | Place::Space(size) | Place::Extension(size), b'\r') => {
                Place::SizeEnd(size)
            }
            // Some take it for the end of the line.
            (Place::Extension(_), b'\n') => return Err(Malformed::Chunk),
            (Place::Extension(size), _) => {
                self.extensions += 1;
                if self.extensions > MAX_EXTENSIONS {
                    return Err(Malformed::ChunkTooLarge);
                }
                Place::Extension(size)
            }
            (Place::SizeEnd(0), b'\n') => Place::Trailers,
            (Place::SizeEnd(size), b'\n') => Place::Data(size),
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Start,
            (Place::Trailers, _) => self.trailer(byte)?,
            _ => return Err(Malformed::Chunk),
        })
    }

    fn trailer(&mut self, byte: u8) -> Result<Place, Malformed> {
        if self.trailers.len() == MAX_TRAILERS {
            return Err(Malformed::ChunkTooLarge);
        }
        let is_cr = |byte: Option<&u8>| byte == Some(&b'\r');
        if (byte == b'\n') != is_cr(self.trailers.last()) {
            return Err(Malformed::Trailers);
        }
        self.trailers.push(byte);
        let lines = &self.trailers;
        Ok(if lines == EMPTY_LINE || lines.ends_with(b"\r\n\r\n") {
            Place::End
        } else {
            Place::Trailers
        })
    }
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data of chunks, their trailers, and what is left behind them.
    type All = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// Reads chunks that come in these pieces.
    fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<All, Malformed> {
        let (mut chunks, mut data) = (Chunks::new(), Vec::new());
        let mut bytes = Bytes::new();
        for piece in pieces {
            bytes = Bytes::from([&bytes, piece].concat());
            while let Some(next) = chunks.data(&mut bytes)? {
                data.extend_from_slice(&next);
            }
        }
        if !chunks.have_come() {
            return Err(Malformed::Incomplete);
        }
        Ok((data, chunks.trailers()?, bytes.to_vec()))
    }

    fn whole(text: &str) -> Result<Vec<u8>, Malformed> {
        read([text.as_bytes()]).map(|(data, ..)| data)
    }

    #[test]
    fn chunks_are_put_together() {
        for text in [
            "3\r\nabc\r\n0\r\n\r\n",
            "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            "03\r\nabc\r\n000\r\n\r\n",
            "3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n",
            "3 \t;a\r\nabc\r\n0 \r\n\r\n",
        ] {
            assert_eq!(whole(text), Ok(b"abc".to_vec()), "{text:?}");
        }
        assert_eq!(
            whole("A\r\n0123456789\r\n0\r\n\r\n"),
            whole("a\r\n0123456789\r\n0\r\n\r\n")
        );
        assert_eq!(whole("0\r\n\r\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na",
            "0x1\r\na",
            " 1\r\na",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\na\rx",
            "1 2\r\n",
            "1;a\nb\r\n",
            "1\rx",
            "10000000000000000\r\n",
            "fffffffffffffffff\r\n",
        ] {
            assert_eq!(whole(text), Err(Malformed::Chunk), "{text:?}");
        }
        for text in [
            "",
            "3",
            "3\r\nab",
            "3\r\nabc\r\n",
            "3\r\nabc\r\n0\r\n",
            "0\r\nA: b\r\n",
        ] {
            assert_eq!(whole(text), Err(Malformed::Incomplete), "{text:?}");
        }
    }

    #[test]
    fn what_is_beside_the_data_is_bounded() {
        let long = "x".repeat(MAX_EXTENSIONS);
        assert!(whole(&format!("1;{long}\r\na\r\n0\r\n\r\n")).is_ok());
        let longer = format!("1;{long}\r\na\r\n0;x\r\n\r\n");
        assert_eq!(whole(&longer), Err(Malformed::ChunkTooLarge));
        let long = format!("0\r\nA: {}\r\n\r\n", "x".repeat(MAX_TRAILERS));
        assert_eq!(whole(&long), Err(Malformed::ChunkTooLarge));
        let many = format!("0\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(whole(&many), Err(Malformed::ChunkTooLarge));
    }

    #[test]
    fn trailers_are_lines_and_end_with_an_empty_one() {
        let text = "0\r\nA: 1\r\nb:2\r\nA: 3\r\n\r\nGET";
        let (_, trailers, rest) = read([text.as_bytes()]).expect("chunks");
        let trailers = trailers.expect("trailers");
        let all = |name| trailers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("a"), ["1", "3"]);
        assert_eq!(all("b"), ["2"]);
        assert_eq!(rest, b"GET");
        for text in [
            "0\r\nA: 1\n\r\n\r\n",
            "0\r\n\n",
            "0\r\nA: 1\rx\r\n\r\n",
            "0\r\nA 1\r\n\r\n",
        ] {
            assert_eq!(whole(text), Err(Malformed::Trailers), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_in_whatever_pieces_they_come(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..5),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
            has_trailers: bool,
        ) {
            let mut sent = Vec::new();
            for chunk in &chunks {
                sent.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                sent.extend(chunk);
                sent.extend(b"\r\n");
            }
            sent.extend(b"0\r\n");
            sent.extend(if has_trailers { &b"a: b\r\n\r\nnext"[..] } else { b"\r\nnext" });
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(sent.len())).collect();
            cuts.extend([0, sent.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &sent[cut[0]..cut[1]]);
            let (data, trailers, rest) = read(pieces).expect("chunks");
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(trailers.is_some(), has_trailers);
            prop_assert_eq!(rest, b"next");
        }
    }
}
