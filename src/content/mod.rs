//! What a body says it is, and its bytes without content codings and charset. Pure: no I/O, no clock, no
//! state.
//!
//! Invariants, each held by a test: no bytes make it panic; what is decoded keeps its bounds; a body that
//! was broken off, or goes on behind its end, is no shorter body but none; text is never guessed, so that
//! there are no replacement characters; what is JSON here is JSON to `json`. What needs no conversion is
//! not copied.
//!
//! # Layout
//!
//! - `coding`: content codings, and the bounds of decoding
//! - `decoder`: one coding each
//! - `events`: server-sent events as JSON
//! - `lines`: lines of JSON as one array
//! - `media`: kinds of bodies
//! - `text`: charsets

mod coding;
mod decoder;
#[cfg(test)]
mod encoder;
mod events;
mod lines;
mod media;
mod text;

use std::cell::OnceCell;

use http::HeaderMap;

pub use coding::{Limits, Undecodable, codings};
pub use media::{Media, charset, media_type};
pub use text::NoText;

use crate::json;
use text::Text;

/// A body that is looked into when needed, once.
pub struct Body<'a> {
    headers: &'a HeaderMap,
    bytes: &'a [u8],
    limits: Limits,
    media: OnceCell<Media>,
    decoded: OnceCell<Result<Decoded<'a>, Undecodable>>,
    text: OnceCell<Result<Text<'a>, NoText>>,
    json: OnceCell<Option<Json>>,
}

/// Bytes without content codings.
enum Decoded<'a> {
    /// There were none.
    Given(&'a [u8]),
    /// They are UTF-8, which is told at once: text then needs no copy.
    Utf8(String),
    Other(Vec<u8>),
}

/// Where one JSON text is.
enum Json {
    /// The body's text is it.
    Text,
    Built(String),
}

impl<'a> Body<'a> {
    /// A message's body, with the message's headers.
    #[must_use]
    pub fn new(headers: &'a HeaderMap, bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            headers,
            bytes,
            limits,
            media: OnceCell::new(),
            decoded: OnceCell::new(),
            text: OnceCell::new(),
            json: OnceCell::new(),
        }
    }

    /// The message's headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it says it is.
    #[must_use]
    pub fn media(&self) -> Media {
        *self.media.get_or_init(|| Media::of(self.headers))
    }

    /// Whether there are content codings to take off. An answer without a body (to HEAD, of status 304)
    /// may name those that its body would have.
    #[must_use]
    pub fn is_encoded(&self) -> bool {
        !self.bytes.is_empty() && coding::is_encoded(self.headers)
    }

    /// How many bytes it may have without content codings.
    #[must_use]
    pub fn most(&self) -> usize {
        if self.is_encoded() {
            self.limits.allowed(self.bytes.len())
        } else {
            self.bytes.len()
        }
    }

    /// The bytes without content codings.
    pub fn decoded(&self) -> Result<&[u8], Undecodable> {
        self.decoding().map(Decoded::bytes)
    }

    /// The decoded bytes as text, by the charset that a byte order mark or else the Content-Type says, or
    /// else as UTF-8; without byte order mark. Text of other charsets takes up to three times as many
    /// bytes as it was decoded from.
    pub fn text(&self) -> Result<&str, NoText> {
        let decoded = self.decoding()?;
        let read = || text::read(decoded, charset(self.headers).as_deref());
        match self.text.get_or_init(read) {
            Ok(text) => Ok(text.within(decoded)),
            Err(error) => Err(*error),
        }
    }

    /// The body as one JSON text: of [`Media::Json`] its text, of [`Media::JsonLines`] an array of the
    /// lines' values, of [`Media::Events`] an array of an object for each. `None` of other media, if it is
    /// not what it says, and beyond the bounds of `json`.
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        match self.json.get_or_init(|| self.read_json()) {
            Some(Json::Text) => self.text().ok(),
            Some(Json::Built(text)) => Some(text),
            None => None,
        }
    }

    fn decoding(&self) -> Result<&Decoded<'a>, Undecodable> {
        let decode = || {
            if !self.is_encoded() {
                return Ok(Decoded::Given(self.bytes));
            }
            let bytes = coding::decode(&codings(self.headers), self.bytes, self.limits)?;
            Ok(match String::from_utf8(bytes) {
                Ok(text) => Decoded::Utf8(text),
                Err(error) => Decoded::Other(error.into_bytes()),
            })
        };
        self.decoded
            .get_or_init(decode)
            .as_ref()
            .map_err(|error| *error)
    }

    fn read_json(&self) -> Option<Json> {
        let text = || self.text().ok();
        match self.media() {
            Media::Json => json::is_json(text()?.as_bytes()).then_some(Json::Text),
            Media::JsonLines => lines::to_json(text()?).map(Json::Built),
            Media::Events => events::to_json(text()?).map(Json::Built),
            Media::Form | Media::Text | Media::Bytes => None,
        }
    }
}

impl Decoded<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Utf8(text) => text.as_bytes(),
            Self::Other(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
    use proptest::prelude::*;

    use super::encoder::{self, WIDE, of_codings, of_type};
    use super::*;
    use crate::json::Document;

    const TYPES: [&str; 6] = [
        "application/json",
        "application/x-ndjson",
        "application/json-seq",
        "text/event-stream",
        "text/plain;charset=utf-16",
        "text/plain;charset=windows-1252",
    ];

    #[test]
    fn a_body_without_codings_and_of_utf_8_is_not_copied() {
        for value in [
            "text/plain",
            "text/plain; charset=utf-8",
            "application/json",
        ] {
            let headers = of_type(value);
            let bytes = "\u{feff}[\"é\"]".as_bytes();
            let body = Body::new(&headers, bytes, WIDE);
            assert_eq!(body.decoded(), Ok(bytes));
            assert!(!body.is_encoded());
            let text = body.text().expect("text");
            assert_eq!(text.as_bytes().as_ptr(), bytes[3..].as_ptr());
        }
    }

    #[test]
    fn text_and_json_are_looked_up_in_decoded_bytes() {
        let lines = [(CONTENT_TYPE, TYPES[0]), (CONTENT_ENCODING, "gzip")];
        let headers = encoder::headers(&lines);
        let encoded = encoder::gzip("\u{feff}[\"é\"]".as_bytes());
        let body = Body::new(&headers, &encoded, WIDE);
        assert!(body.is_encoded());
        assert_eq!(body.json(), Some("[\"é\"]"));
        let text = body.text().expect("text");
        let decoded = body.decoded().expect("gzip");
        assert_eq!(text.as_bytes().as_ptr(), decoded[3..].as_ptr());
        assert_eq!(body.bytes(), encoded);
        assert_eq!(body.json().map(str::as_ptr), Some(text.as_ptr()));
    }

    #[test]
    fn an_empty_body_needs_no_decoding() {
        for lines in [&["gzip"][..], &["unknown"], &["br", "br", "br", "br", "br"]] {
            let headers = of_codings(lines);
            let body = Body::new(&headers, b"", WIDE);
            assert!(!body.is_encoded());
            assert_eq!(body.decoded(), Ok(&b""[..]));
            assert_eq!(body.text(), Ok(""));
        }
    }

    #[test]
    fn what_can_not_be_decoded_has_no_text_and_no_json() {
        let lines = [(CONTENT_TYPE, TYPES[0]), (CONTENT_ENCODING, "br, x")];
        let headers = encoder::headers(&lines);
        let body = Body::new(&headers, b"{}", WIDE);
        assert_eq!(body.decoded(), Err(Undecodable::UnknownCoding));
        let no_text = Err(NoText::Undecodable(Undecodable::UnknownCoding));
        assert_eq!(body.text(), no_text);
        assert_eq!(body.json(), None);
    }

    #[test]
    fn only_kinds_that_are_json_have_some() {
        let json = |value: &str, text: &'static str| {
            let headers = of_type(value);
            let body = Body::new(&headers, text.as_bytes(), WIDE);
            body.json().map(str::to_owned)
        };
        assert_eq!(json("application/json", " {} ").as_deref(), Some(" {} "));
        assert_eq!(json("application/json", "{"), None);
        assert_eq!(json("application/json", ""), None);
        assert_eq!(json("application/json;charset=x", "{}"), None);
        let deep = "[".repeat(200).leak();
        assert_eq!(json("application/json", deep), None);
        let lines = json("application/x-ndjson", "1\n2\n");
        assert_eq!(lines.as_deref(), Some("[1,2]"));
        let events = json("text/event-stream", "data: 1\n\n");
        assert_eq!(events.as_deref(), Some("[{\"data\":1}]"));
        for other in ["text/plain", "application/x-www-form-urlencoded", "x/y"] {
            assert_eq!(json(other, "1"), None, "{other}");
        }
    }

    #[test]
    fn json_of_another_charset_is_json() {
        let headers = of_type("application/json; charset=utf-16");
        let bytes: Vec<u8> = "[\"é\"]"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let body = Body::new(&headers, &bytes, WIDE);
        assert_eq!(body.json(), Some("[\"é\"]"));
    }

    /// Bytes which are often of one of the kinds.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "data:", "data: ", "event: x", "id: 1", "retry: 5", ":", "\n", "\n\n", "\r", "\r\n",
            "\u{1e}", "{}", "[1]", "\"", "\\", "1", "null", "é", "\u{feff}", "\0", " ", ",", "]",
        ]);
        let pieces = prop::collection::vec(piece, 0..16);
        let of_pieces = pieces.prop_map(|pieces| pieces.concat().into_bytes());
        prop_oneof![3 => of_pieces, 1 => any::<Vec<u8>>()]
    }

    proptest! {
        #[test]
        fn json_is_what_the_parser_takes(kind in 0..TYPES.len(), bytes in content()) {
            let headers = of_type(TYPES[kind]);
            let body = Body::new(&headers, &bytes, WIDE);
            if let Some(json) = body.json() {
                prop_assert!(Document::parse(json.as_bytes()).is_some(), "{}", json);
            }
        }

        #[test]
        fn no_bytes_make_it_panic_or_go_beyond_its_bounds(
            kind in 0..TYPES.len(),
            coding in prop::sample::select(vec!["gzip", "deflate", "br", "zstd", "gzip, br"]),
            bytes in any::<Vec<u8>>(),
            max_decoded in 0..100_usize,
        ) {
            let lines = [(CONTENT_TYPE, TYPES[kind]), (CONTENT_ENCODING, coding)];
            let headers = encoder::headers(&lines);
            let body = Body::new(&headers, &bytes, Limits { max_decoded, ..WIDE });
            let _any = body.json();
            if let (Ok(decoded), Ok(text)) = (body.decoded(), body.text()) {
                prop_assert!(bytes.is_empty() || decoded.len() <= max_decoded);
                prop_assert!(text.len() <= 3 * decoded.len());
            }
        }
    }
}
