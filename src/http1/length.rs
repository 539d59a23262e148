//! How long a message's body is (RFC 9112 §6).

use http::HeaderValue;

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many bytes; 0 where there is none.
    Exact(u64),
    /// Its chunks tell.
    Chunked,
    /// As long as the connection.
    UntilClose,
}

/// What a `Content-Length` says: digits, and nothing else (RFC 9110 §8.6).
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = str::from_utf8(text).ok()?;
    // The largest would say that there is no end.
    text.parse().ok().filter(|length| *length < u64::MAX)
}

/// What all `Content-Length`s together say, the items of lists as well: `None` if there is none, or they do not say
/// one number.
pub(crate) fn content_length<'v>(values: impl IntoIterator<Item = &'v HeaderValue>) -> Option<u64> {
    let values = values.into_iter();
    let items = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut numbers = items.map(|item| number(item.trim_ascii()));
    let first = numbers.next()??;
    numbers.all(|next| next == Some(first)).then_some(first)
}

/// Whether the last one of all transfer codings is `chunked`, which tells where a body ends (RFC 9112 §6.3).
pub(crate) fn is_chunked<'v>(codings: impl IntoIterator<Item = &'v HeaderValue>) -> bool {
    let last = codings.into_iter().last();
    let last = last.and_then(|value| value.as_bytes().rsplit(|byte| *byte == b',').next());
    last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(texts: &[&'static str]) -> Vec<HeaderValue> {
        let texts = texts.iter();
        texts.map(|text| HeaderValue::from_static(text)).collect()
    }

    #[test]
    fn a_length_is_one_number() {
        let said = |texts: &[&'static str]| content_length(&values(texts));
        assert_eq!(said(&["5"]), Some(5));
        assert_eq!(said(&["005"]), Some(5));
        assert_eq!(said(&["5", "5"]), Some(5));
        assert_eq!(said(&["5, 5", "5"]), Some(5));
        assert_eq!(said(&["18446744073709551614"]), Some(u64::MAX - 1));
        for texts in [
            &[][..],
            &[""],
            &["5", "6"],
            &["5,"],
            &["+5"],
            &["-5"],
            &["5 5"],
            &["0x5"],
            &["5.0"],
            &["18446744073709551615"],
            &["18446744073709551616"],
        ] {
            assert_eq!(said(texts), None, "{texts:?}");
        }
    }

    #[test]
    fn the_last_coding_tells_the_end() {
        let tells = |texts: &[&'static str]| is_chunked(&values(texts));
        assert!(tells(&["chunked"]));
        assert!(tells(&["Chunked "]));
        assert!(tells(&["gzip, chunked"]));
        assert!(tells(&["gzip", "chunked"]));
        for texts in [
            &[][..],
            &[""],
            &["chunked, gzip"],
            &["chunked", "gzip"],
            &["xchunked"],
            &["chunked,"],
            &["chunked;a=b"],
        ] {
            assert!(!tells(texts), "{texts:?}");
        }
    }
}
