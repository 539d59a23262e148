//! Which values of a JSON document are hidden, and the bytes that a value is known by.

use super::MAX_PLACES;
use crate::json::pattern::{Segment, Tracker, push_segment};
use crate::json::{Kind, Value, number};

/// Bytes of a place's JSON Pointer that are kept, at least as many as anybody shows.
const MAX_PLACE: usize = 512;

/// Values that are to be hidden.
#[derive(Debug, Default)]
pub(super) struct Hidden<'d> {
    pub(super) values: Vec<Value<'d>>,
    /// The JSON Pointers of the first ones, below where the search began; long ones broken off. There may be
    /// as many values as the document has bytes, and one key may be nearly all of them.
    pub(super) places: Vec<String>,
}

/// The values within `value`, itself included, that the patterns lead to, in their order. None of them is
/// within another. `tracker` stands at the value's place, and does so again afterwards.
pub(super) fn find<'d>(value: Value<'d>, tracker: &mut Tracker<'_>) -> Hidden<'d> {
    let mut search = Search {
        tracker,
        pointer: String::new(),
        found: Hidden::default(),
    };
    search.look(value);
    search.found
}

struct Search<'s, 'p, 'd> {
    tracker: &'s mut Tracker<'p>,
    pointer: String,
    found: Hidden<'d>,
}

impl<'d> Search<'_, '_, 'd> {
    fn look(&mut self, value: Value<'d>) {
        if self.tracker.here().next().is_some() {
            self.found.values.push(value);
            if self.found.places.len() < MAX_PLACES {
                let end = self.pointer.floor_char_boundary(MAX_PLACE);
                self.found.places.push(self.pointer[..end].to_owned());
            }
            return;
        }
        if !self.tracker.is_near() {
            return;
        }
        match value.kind() {
            Kind::Array => {
                for (index, item) in value.items().enumerate() {
                    self.step(Segment::Index(index), item);
                }
            }
            Kind::Object => {
                for (key, value) in value.members() {
                    self.step(Segment::Key(&key.unescaped()), value);
                }
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => {}
        }
    }

    fn step(&mut self, segment: Segment<'_>, value: Value<'d>) {
        let around = self.pointer.len();
        push_segment(&mut self.pointer, segment);
        self.tracker.enter(segment);
        self.look(value);
        self.tracker.leave();
        self.pointer.truncate(around);
    }
}

/// Bytes that are the same for a value however it is written: whatever the order of keys, the escapes in
/// strings and the form of numbers. No two values that differ have the same ones.
pub(super) fn canonical(value: Value<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.text().len() + 9);
    write_canonical(value, &mut bytes);
    bytes
}

fn write_canonical(value: Value<'_>, bytes: &mut Vec<u8>) {
    match value.kind() {
        Kind::Null | Kind::Bool => write_sized(b'w', value.text().as_bytes(), bytes),
        Kind::Number => write_sized(b'n', number::canonical(value.text()).as_bytes(), bytes),
        Kind::String => write_sized(b's', value.unescaped().as_bytes(), bytes),
        Kind::Array => {
            bytes.push(b'[');
            value.items().for_each(|item| write_canonical(item, bytes));
            bytes.push(b']');
        }
        Kind::Object => {
            let mut members: Vec<_> = value
                .members()
                .map(|(key, value)| (key.unescaped(), value))
                .collect();
            // Repeated keys keep their order, which makes a difference.
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            bytes.push(b'{');
            for (key, value) in members {
                write_sized(b'k', key.as_bytes(), bytes);
                write_canonical(value, bytes);
            }
            bytes.push(b'}');
        }
    }
}

fn write_sized(kind: u8, text: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(kind);
    bytes.extend_from_slice(&text.len().to_le_bytes());
    bytes.extend_from_slice(text);
}
