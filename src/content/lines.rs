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
