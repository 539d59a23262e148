//! Parameters of a query, or of a form: `name=value`, with `&` between them.
//!
//! Who reads them later may be more generous than the standard is: a part that is not hidden is looked
//! into for further parameters behind `;`, `?`, `#` or an encoded `&`, as in a URL that is a value itself. So
//! nothing depends on one reading, and what is hidden is hidden up to the next bare `&`.

use std::ops::Range;

/// Bytes of a name up to which an encoded `=` in it may be its end. Each has to be looked at, so that names
/// without end would take quadratic time.
const MAX_NAME: usize = 256;

/// A value that is to be hidden.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its parameter's name, decoded.
    pub(super) name: String,
    /// Where the value is.
    pub(super) place: Range<usize>,
}

/// A byte as it is meant.
struct Decoded {
    byte: u8,
    /// Where what is written for it ends.
    end: usize,
    /// Whether it is written as itself.
    bare: bool,
}

/// The values of parameters whose names are hidden, in their order. `text` may be anything.
pub(super) fn find(text: &[u8], is_hidden: impl Fn(&[u8]) -> bool) -> Vec<Found> {
    let mut found = Vec::new();
    let mut start = 0;
    for part in text.split(|byte| *byte == b'&') {
        if let Some((name, value)) = find_in_part(part, &is_hidden)
            && value < part.len()
        {
            found.push(Found {
                name: String::from_utf8_lossy(&name).into_owned(),
                place: start + value..start + part.len(),
            });
        }
        start += part.len() + 1;
    }
    found
}

/// The name of the first hidden parameter in what stands between two `&`, and where its value begins.
fn find_in_part(part: &[u8], is_hidden: impl Fn(&[u8]) -> bool) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut in_value = false;
    for Decoded { byte, end, bare } in decode(part) {
        match byte {
            b'&' | b';' | b'?' | b'#' => {
                name.clear();
                in_value = false;
            }
            _ if in_value => {}
            // In doubt, what stands behind such a name is hidden.
            b'=' if !bare && name.len() > MAX_NAME => return Some((name, end)),
            b'=' if is_hidden(&name) => return Some((name, end)),
            b'=' if bare => in_value = true,
            // An encoded "=" belongs to the name, if it is read only once.
            _ => name.push(byte),
        }
    }
    None
}

fn decode(part: &[u8]) -> impl Iterator<Item = Decoded> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *part.get(at)?;
        let mut digits = at + 1;
        // A "%" that is encoded itself, as in a URL within a URL within a URL.
        while byte == b'%'
            && escaped_at(part, digits) == Some(b'%')
            && escaped_at(part, digits + 2).is_some()
        {
            digits += 2;
        }
        let escaped = escaped_at(part, digits).filter(|_| byte == b'%');
        let byte = match byte {
            b'+' => b' ',
            byte => byte,
        };
        at = if escaped.is_some() {
            digits + 2
        } else {
            at + 1
        };
        Some(Decoded {
            byte: escaped.unwrap_or(byte),
            end: at,
            bare: escaped.is_none(),
        })
    })
}

/// The byte that two hexadecimal digits stand for.
fn escaped_at(part: &[u8], digits: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*part.get(at)?).to_digit(16);
    u8::try_from(digit(digits)? * 16 + digit(digits + 1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, &str)> {
        let found = find(text.as_bytes(), |name| name == b"token");
        let value = |found: Found| (found.name, &text[found.place]);
        found.into_iter().map(value).collect()
    }

    fn values(text: &str) -> Vec<&str> {
        found(text).into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn values_of_hidden_names_are_found() {
        assert_eq!(found("token=1"), [("token".to_owned(), "1")]);
        for (text, expected) in [
            ("a=1&token=2&b=3", vec!["2"]),
            ("token=1&token=2", vec!["1", "2"]),
            ("%74oken=x%20y", vec!["x%20y"]),
            ("token=a=b;c?d", vec!["a=b;c?d"]),
            ("token=&token&a=token", vec![]),
            ("tokens=1&xtoken=2", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_without_end_is_looked_at_in_linear_time() {
        let text = "%3D".repeat(100_000);
        let looked_at = std::cell::Cell::new(0);
        let found = find(text.as_bytes(), |name| {
            looked_at.set(looked_at.get() + name.len());
            false
        });
        assert!(looked_at.get() < text.len());
        assert_eq!(found.len(), 1, "hidden, in doubt");
    }

    #[test]
    fn values_are_found_however_they_may_be_read() {
        for (text, expected) in [
            ("a=1;token=2", vec!["2"]),
            ("a=1?token=2", vec!["2"]),
            ("token%3D2", vec!["2"]),
            ("back=https%3A%2F%2Fx%2F%3Fa%3D1%26token%3D2&b=3", vec!["2"]),
            ("next=%2Fa%3Fnext%3D%252Fb%253Ftoken%253D2", vec!["2"]),
            ("%252574oken=%25", vec!["%25"]),
            ("a=%25&token=%25zz", vec!["%25zz"]),
            ("&&=%&%z=&%7&token=%", vec!["%"]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }
}
