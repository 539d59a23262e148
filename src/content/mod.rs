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
            decoded: OnceCell::new(),
            text: OnceCell::new(),
            json: OnceCell::new(),
        }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it says it is.
    #[must_use]
    pub fn media(&self) -> Media {
        Media::of(self.headers)
    }

    /// Whether there are content codings to take off. An answer without a body (to HEAD, of status 304)
    /// may name those that its body would have.
    #[must_use]
    pub fn is_encoded(&self) -> bool {
        !self.bytes.is_empty() && coding::is_encoded(self.headers)
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
