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
