//! Lines of JSON as one array.

use crate::json;

/// Stands before each text of a sequence (RFC 7464 §2.2), and nowhere within one.
const SEPARATOR: char = '\u{1e}';

/// An array of the lines' values, or of those between separators, if there are any: these may have several
/// lines. `None` if one is not JSON.
pub(super) fn to_json(text: &str) -> Option<String> {
    let end = if text.contains(SEPARATOR) {
        SEPARATOR
    } else {
        '\n'
    };
    let mut array = String::with_capacity(text.len() + 2);
    array.push('[');
    for line in text.split(end) {
        let line = line.trim_matches([' ', '\t', '\r', '\n']);
        if line.is_empty() {
            continue;
        }
        if !json::is_json_within(line.as_bytes(), 1) {
            return None;
        }
        array.extend([separator(&array), line]);
    }
    array.push(']');
    json::fits(&array).then_some(array)
}

/// What stands before the next item of an array.
pub(super) fn separator(array: &str) -> &'static str {
    if array.len() == 1 { "" } else { "," }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_item_as_it_is_written() {
        for (text, expected) in [
            (
                "{\"a\":1.50}\n[1, 2]\n\"x\"\n",
                "[{\"a\":1.50},[1, 2],\"x\"]",
            ),
            ("1\r\n\r\n \t\n 2 ", "[1,2]"),
            ("", "[]"),
            ("\n", "[]"),
            ("\u{1e}1\n\u{1e}{\n\"a\": 2\n}\n", "[1,{\n\"a\": 2\n}]"),
            ("\u{1e}\u{1e}1", "[1]"),
        ] {
            assert_eq!(to_json(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn a_line_that_is_not_json_makes_it_none() {
        for text in [
            "1\nx",
            "1,2",
            "1],[2",
            "{\n}",
            "\u{1e}1\n2",
            "1 2",
            "\u{a0}1",
        ] {
            assert_eq!(to_json(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_array_is_a_level_of_its_own() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(to_json(&deep(json::MAX_DEPTH - 1)).is_some_and(|it| json::is_json(it.as_bytes())));
        assert_eq!(to_json(&deep(json::MAX_DEPTH)), None);
    }
}
