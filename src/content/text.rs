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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encoder::{WIDE, gzip, headers};
    use super::*;
    use crate::content::Body;
    use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

    /// Reads a body of this charset, and the same body in a coding.
    fn text(charset: &str, bytes: &[u8]) -> Result<String, NoText> {
        let value = format!("text/plain{charset}");
        let plain = headers(&[(CONTENT_TYPE, &value)]);
        let encoded = headers(&[(CONTENT_TYPE, &value), (CONTENT_ENCODING, "gzip")]);
        let gzip = gzip(bytes);
        let read = |body: Body<'_>| body.text().map(str::to_owned);
        let text = read(Body::new(&plain, bytes, WIDE));
        assert_eq!(read(Body::new(&encoded, &gzip, WIDE)), text);
        text
    }

    fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn the_charset_is_as_the_content_type_says_or_utf_8() {
        let cases: [(&str, &[u8], &str); 11] = [
            ("", "é😀".as_bytes(), "é😀"),
            ("; charset=UTF-8", "é".as_bytes(), "é"),
            ("; charset=\"utf8\"", "é".as_bytes(), "é"),
            ("; charset=ISO-8859-1", b"caf\xe9", "café"),
            ("; charset=latin1", b"\x80", "€"),
            ("; charset=us-ascii", b"plain", "plain"),
            ("; charset=Shift_JIS", b"\x93\xfa\x96{", "日本"),
            ("; charset=gb18030", b"\xd6\xd0", "中"),
            ("; charset=utf-16", b"h\0i\0", "hi"),
            ("; charset=utf-16be", b"\0h\0i", "hi"),
            ("; charset=iso-2022-jp", b"\x1b$BF|\x1b(B", "日"),
        ];
        for (charset, bytes, expected) in cases {
            assert_eq!(text(charset, bytes).as_deref(), Ok(expected), "{charset}");
        }
    }

    #[test]
    fn a_byte_order_mark_wins_and_is_no_text() {
        let marked = "\u{feff}é";
        let cases = [
            ("", marked.as_bytes().to_vec()),
            ("; charset=latin1", marked.as_bytes().to_vec()),
            ("; charset=unknown", marked.as_bytes().to_vec()),
            ("", utf_16(marked, u16::to_le_bytes)),
            ("; charset=utf-16le", utf_16(marked, u16::to_be_bytes)),
        ];
        for (charset, bytes) in cases {
            assert_eq!(text(charset, &bytes).as_deref(), Ok("é"), "{charset}");
        }
        let only_one = "\u{feff}\u{feff}".as_bytes();
        assert_eq!(text("", only_one).as_deref(), Ok("\u{feff}"));
    }

    #[test]
    fn malformed_text_is_none() {
        let cases: [(&str, &[u8]); 8] = [
            ("", b"a\xff"),
            ("", b"\xc3"),
            ("", b"\xed\xa0\x80"),
            ("", b"\xef\xbb\xbf\xff"),
            ("", b"\xff\xfea"),
            ("; charset=utf-16le", b"\0\xd8"),
            ("; charset=shift_jis", b"\x93"),
            ("; charset=euc-jp", b"\xff\xff"),
        ];
        for (charset, bytes) in cases {
            assert_eq!(text(charset, bytes), Err(NoText::Malformed), "{bytes:x?}");
        }
        // A replacement character that was sent is none of ours.
        assert_eq!(text("", "\u{fffd}".as_bytes()).as_deref(), Ok("\u{fffd}"));
    }

    #[test]
    fn an_unknown_charset_has_no_text() {
        for label in ["klingon", "utf-7", "utf-32", "iso-2022-kr", "replacement"] {
            let result = text(&format!("; charset={label}"), b"plain");
            assert_eq!(result, Err(NoText::UnknownCharset), "{label}");
        }
    }

    #[test]
    fn each_reason_has_a_name() {
        assert_eq!(NoText::from(Undecodable::Corrupt).name(), "corrupt");
        assert_eq!(NoText::UnknownCharset.name(), "unknown_charset");
        assert_eq!(NoText::Malformed.name(), "malformed_text");
    }

    proptest! {
        #[test]
        fn text_in_another_charset_is_the_same_text(original in any::<String>()) {
            prop_assume!(!original.starts_with('\u{feff}'));
            let wide = utf_16(&original, u16::to_be_bytes);
            // Its bytes may begin like another mark.
            prop_assume!(Encoding::for_bom(&wide).is_none());
            let read = text("; charset=utf-16be", &wide);
            prop_assert_eq!(read.as_deref(), Ok(&*original));
            let (bytes, _, is_lossy) = encoding_rs::GB18030.encode(&original);
            prop_assume!(!is_lossy && Encoding::for_bom(&bytes).is_none());
            let read = text("; charset=gb18030", &bytes);
            prop_assert_eq!(read.as_deref(), Ok(&*original));
        }
    }
}
