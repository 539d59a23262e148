//! Server-sent events as JSON (WHATWG HTML §9.2).

use super::lines::separator;
use crate::json;

/// Levels of JSON around an event's data: the array, and its object.
const AROUND_DATA: usize = 2;

/// An event's fields, as far as it has them.
#[derive(Default)]
struct Event<'a> {
    kind: Option<&'a str>,
    id: Option<&'a str>,
    retry: Option<&'a str>,
    data: Option<String>,
}

/// An array of an object for each event: `{"event":"x","id":"1","retry":"100","data":…}`, with the fields
/// that it has, in this order. Data is JSON as it is written if it is an array, an object, a number, or a
/// word; all other data is a string: also that which is a JSON string itself, to be told from data without
/// quotes, and what has too many levels.
///
/// Unlike at a client, the last event needs no blank line at its end, since a body is compared as a whole,
/// and what a client would skip without a word makes it `None`, but for comments: a page of HTML has no
/// events in it, but two of them are not alike for that.
pub(super) fn to_json(text: &str) -> Option<String> {
    let mut array = String::with_capacity(text.len() + 2);
    array.push('[');
    let mut event = Event::default();
    for line in lines(text) {
        if line.is_empty() {
            std::mem::take(&mut event).write(&mut array);
        } else {
            event.take(line)?;
        }
    }
    event.write(&mut array);
    array.push(']');
    json::fits(&array).then_some(array)
}

/// Lines that end with CR, LF or both.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        let behind_both = behind.strip_prefix("\r\n");
        rest = behind_both.unwrap_or_else(|| behind.get(1..).unwrap_or_default());
        Some(line)
    })
}

impl<'a> Event<'a> {
    /// Takes a line that is not empty; `None` if it is no field.
    fn take(&mut self, line: &'a str) -> Option<()> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            // A comment.
            "" => {}
            "event" => self.kind = Some(value),
            "id" if !value.contains('\0') => self.id = Some(value),
            "retry" if is_number(value) => self.retry = Some(value),
            "data" => match &mut self.data {
                Some(data) => data.extend(["\n", value]),
                None => self.data = Some(value.to_owned()),
            },
            _ => return None,
        }
        Some(())
    }

    /// Writes its object, unless there were comments only.
    fn write(self, array: &mut String) {
        let Self {
            kind,
            id,
            retry,
            data,
        } = self;
        let texts = [("event", kind), ("id", id), ("retry", retry)];
        let members = texts
            .into_iter()
            .filter_map(|(name, value)| Some((name, string(value?))))
            .chain(data.map(|data| ("data", json_or_string(data))));
        let mut next = "{";
        for (name, value) in members {
            if next == "{" {
                array.push_str(separator(array));
            }
            array.extend([next, "\"", name, "\":", &value]);
            next = ",";
        }
        if next == "," {
            array.push('}');
        }
    }
}

/// Of any length: it is written as text.
fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn json_or_string(data: String) -> String {
    let is_string = data.trim_start().starts_with('"');
    if !is_string && json::is_json_within(data.as_bytes(), AROUND_DATA) {
        data
    } else {
        string(&data)
    }
}

fn string(text: &str) -> String {
    serde_json::to_string(text).expect("a string can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let json = to_json(text);
        assert_eq!(json.as_deref(), Some(expected), "{text:?}");
        assert!(json::is_json(expected.as_bytes()));
    }

    #[test]
    fn an_event_has_its_fields_in_one_order() {
        check(
            "data: {\"a\": 1.50}\nretry: 100\nid: 1\nevent: x\n\n",
            r#"[{"event":"x","id":"1","retry":"100","data":{"a": 1.50}}]"#,
        );
        check("retry: 007\n\nid\n\n", r#"[{"retry":"007"},{"id":""}]"#);
        check(
            "event: a\nevent: b\ndata: 1\n\n",
            r#"[{"event":"b","data":1}]"#,
        );
    }

    #[test]
    fn data_of_several_lines_is_one() {
        check(
            "data: a\ndata: b\ndata\ndata:\n\n",
            r#"[{"data":"a\nb\n\n"}]"#,
        );
        check("data: [1,\ndata: 2]\n\n", "[{\"data\":[1,\n2]}]");
        check("data\n\n", r#"[{"data":""}]"#);
    }

    #[test]
    fn one_space_behind_the_colon_is_none() {
        check(
            "data:a\n\ndata: a\n\ndata:  a\n\ndata: a: b",
            concat!(
                r#"[{"data":"a"},{"data":"a"},"#,
                r#"{"data":" a"},{"data":"a: b"}]"#
            ),
        );
    }

    #[test]
    fn lines_end_in_three_ways() {
        let expected = r#"[{"id":"1","data":2},{"data":3}]"#;
        for end in ["\n", "\r", "\r\n"] {
            check(
                &["id:1", "data:2", "", "data:3", "", ""].join(end),
                expected,
            );
        }
        check("id:1\rdata:2\r\n\ndata:3\r\n\r", expected);
    }

    #[test]
    fn comments_and_blank_lines_are_left_out() {
        check("", "[]");
        check(":\n\n: keep alive\n\n\n", "[]");
        check(
            ": first\ndata: 1\n:\ndata: 2\n\n: last",
            r#"[{"data":"1\n2"}]"#,
        );
    }

    #[test]
    fn the_last_event_needs_no_end() {
        check("data: 1\n\ndata: 2", r#"[{"data":1},{"data":2}]"#);
        check("data: 1\n\ndata: 2\n", r#"[{"data":1},{"data":2}]"#);
    }

    #[test]
    fn data_that_is_a_json_string_is_told_from_data_without_quotes() {
        check(
            "data: \"x\"\n\ndata: x\n\n",
            r#"[{"data":"\"x\""},{"data":"x"}]"#,
        );
        check(
            "data: null\n\ndata: [DONE]\n\n",
            r#"[{"data":null},{"data":"[DONE]"}]"#,
        );
        check("data: 1},{\n\n", r#"[{"data":"1},{"}]"#);
    }

    #[test]
    fn data_of_too_many_levels_is_a_string() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let (most, more) = (json::MAX_DEPTH - AROUND_DATA, json::MAX_DEPTH - 1);
        check(
            &format!("data: {}", deep(most)),
            &format!("[{{\"data\":{}}}]", deep(most)),
        );
        check(
            &format!("data: {}", deep(more)),
            &format!("[{{\"data\":\"{}\"}}]", deep(more)),
        );
    }

    #[test]
    fn what_a_client_would_skip_is_not_left_out() {
        for text in [
            "<html>",
            "dat: 1",
            " data: 1",
            "retry: 1s",
            "retry:",
            "id: \0",
            "Data: 1",
        ] {
            assert_eq!(to_json(text), None, "{text:?}");
        }
    }
}
