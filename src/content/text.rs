//! Text by its charset, without guesses.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};
use thiserror::Error;

use super::Decoded;
use super::coding::Undecodable;

/// Why a body has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoText {
    /// It has no decoded bytes.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// Its charset is none of the WHATWG Encoding Standard.
    #[error("unknown charset")]
    UnknownCharset,
    /// Its bytes are not of its charset.
    #[error("not of its charset")]
    Malformed,
}

/// Where a body's text is.
pub(super) enum Text<'a> {
    /// In the body as it came.
    Given(&'a str),
    /// In the decoded bytes, which are UTF-8, behind a byte order mark of so many bytes.
    Decoded {
        start: usize,
    },
    Converted(String),
}

impl NoText {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Undecodable(error) => error.name(),
            Self::UnknownCharset => "unknown_charset",
            Self::Malformed => "malformed_text",
        }
    }
}

impl Text<'_> {
    /// The text, with the bytes that it was read from.
    pub(super) fn within<'t>(&'t self, decoded: &'t Decoded<'_>) -> &'t str {
        match (self, decoded) {
            (Self::Given(text), _) => text,
            (Self::Decoded { start }, Decoded::Utf8(text)) => &text[*start..],
            (Self::Converted(text), _) => text,
            (Self::Decoded { .. }, Decoded::Given(_) | Decoded::Other(_)) => {
                unreachable!("text is in decoded bytes only if they are UTF-8")
            }
        }
    }
}

/// Reads decoded bytes by the charset of this label. A byte order mark says more than the label does, and
/// without either it is UTF-8.
pub(super) fn read<'a>(decoded: &Decoded<'a>, label: Option<&str>) -> Result<Text<'a>, NoText> {
    let (encoding, start) = match (Encoding::for_bom(decoded.bytes()), label) {
        (Some(marked), _) => marked,
        (None, Some(label)) => {
            let encoding = Encoding::for_label_no_replacement(label.as_bytes());
            (encoding.ok_or(NoText::UnknownCharset)?, 0)
        }
        (None, None) => (UTF_8, 0),
    };
    if let Decoded::Given(bytes) = decoded {
        return Ok(match convert(encoding, &bytes[start..])? {
            Cow::Borrowed(text) => Text::Given(text),
            Cow::Owned(text) => Text::Converted(text),
        });
    }
    let text = convert(encoding, &decoded.bytes()[start..])?;
    Ok(match (text, decoded) {
        (Cow::Borrowed(_), Decoded::Utf8(_)) => Text::Decoded { start },
        (text, _) => Text::Converted(text.into_owned()),
    })
}

fn convert<'b>(encoding: &'static Encoding, bytes: &'b [u8]) -> Result<Cow<'b, str>, NoText> {
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .ok_or(NoText::Malformed)
}
