//! A query's parameters: `name=value` with `&` between them, decoded once (WHATWG URL §5.1, without its guess
//! at what is no Unicode).

use std::borrow::Cow;

/// The values of the parameter of this name, decoded, in their order. Without `=`, a value is empty.
pub(super) fn values<'q>(
    query: &'q str,
    name: &'q str,
) -> impl Iterator<Item = Cow<'q, [u8]>> + use<'q> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .filter(move |(written, _)| *decoded(written) == *name.as_bytes())
        .map(|(_, value)| decoded(value))
}

/// `+` is a space; `%` with two hexadecimal digits is that byte, and itself without them.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match hexadecimal(bytes.get(at..at + 2)) {
                Some(encoded) => {
                    at += 2;
                    encoded
                }
                None => b'%',
            },
            byte => *byte,
        });
    }
    Cow::Owned(decoded)
}

fn hexadecimal(digits: Option<&[u8]>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits? else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(query: &str, name: &str) -> Vec<String> {
        let text = |value: Cow<'_, [u8]>| String::from_utf8_lossy(&value).into_owned();
        values(query, name).map(text).collect()
    }

    #[test]
    fn names_and_values_are_decoded_once() {
        let query = "a=1&&a+b=x+y&a%20b=%2B&a=%C3%A9&c&=n&a=%2531&d=%&e=%4&f=%zz&g=1=2";
        for (name, expected) in [
            ("a", &["1", "é", "%31"][..]),
            ("a b", &["x y", "+"]),
            ("c", &[""]),
            ("", &["n"]),
            ("d", &["%"]),
            ("e", &["%4"]),
            ("f", &["%zz"]),
            ("g", &["1=2"]),
            ("h", &[]),
        ] {
            assert_eq!(texts(query, name), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_found(name in ".*", value in ".*", other in "[a-z&=]*") {
            let encoded = |text: &str| -> String {
                let bytes = text.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes());
                bytes.map(char::from).collect()
            };
            let query = format!("{other}&{}={}", encoded(&name), encoded(&value));
            let last = values(&query, &name).last().map(Cow::into_owned);
            prop_assert_eq!(last, Some(value.into_bytes()));
        }
    }
}
