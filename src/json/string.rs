//! The characters of strings.

/// A byte in each place of a word.
const ONES: u64 = u64::MAX / 0xff;
/// The highest bit of each byte of a word.
const HIGH: u64 = ONES << 7;

/// How many bytes there are before the first that ends a string, begins an escape, or may not be in one.
///
/// They are looked at eight at a time: most of a document is in strings.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return index * size_of::<u64>() + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let in_rest = rest.iter().position(is_special).unwrap_or(rest.len());
    bytes.len() - rest.len() + in_rest
}

/// The highest bit of the first byte that is not plain, and maybe of some behind it; 0 if all are.
fn special(word: u64) -> u64 {
    // What is below a number gets its highest bit by subtraction; those that had it before are taken out. A
    // borrow reaches only bytes behind one that was found.
    let below = |word: u64, number: u8| word.wrapping_sub(ONES * u64::from(number)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | is(b'"') | is(b'\\')) & HIGH
}

/// Four hexadecimal digits as a number.
pub(super) fn unit(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

/// The characters of a string that was read before, so that its escapes are known to be right.
pub(super) fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match kind {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (character, length) = unicode(rest);
                text.push(character);
                rest = &rest[length..];
            }
            other => text.push(char::from(other)),
        }
    }
    text.push_str(rest);
    text
}

/// The character whose `\u` escape `rest` goes on with, and how many bytes of `rest` it takes.
fn unicode(rest: &str) -> (char, usize) {
    let at = |start: usize| rest.as_bytes().get(start..start + 4).and_then(unit);
    let first = at(0).unwrap_or_default();
    if let Some(character) = char::from_u32(u32::from(first)) {
        return (character, 4);
    }
    // A pair of surrogates: the second one's digits stand behind another `\u`.
    let units = [first, at(6).unwrap_or_default()];
    let character = char::decode_utf16(units).next().and_then(Result::ok);
    (character.unwrap_or(char::REPLACEMENT_CHARACTER), 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn eight_bytes_at_a_time_find_what_one_at_a_time_does(
            bytes in prop::collection::vec(
                prop_oneof![8 => any::<u8>(), 1 => prop::sample::select(b"\"\\\x1f\x20\x7f\x80".to_vec())],
                0..40,
            ),
        ) {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let first = bytes.iter().position(special).unwrap_or(bytes.len());
            prop_assert_eq!(plain(&bytes), first);
        }
    }

    #[test]
    fn every_byte_is_plain_or_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[place] = byte;
                let is_plain = !matches!(byte, b'"' | b'\\' | 0..=0x1f);
                assert_eq!(plain(&bytes), if is_plain { 20 } else { place }, "{byte}");
            }
        }
    }
}
