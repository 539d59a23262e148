//! The differences of two JSON documents.
//!
//! Objects are compared by key, whatever their order; of a key that is repeated, the first with the
//! first, the second with the second. Arrays are compared by position.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Findings;
use super::difference::{self, Difference, Kind, Shown};
use crate::json::{self, Document, Value, number};

/// Bytes of a path that are written out; a longer one ends in an ellipsis.
const MAX_PATH: usize = 1024;

/// Adds the differences of `candidate` from `reference`.
pub(super) fn compare(
    reference: &Document<'_>,
    candidate: &Document<'_>,
    findings: &mut Findings<'_>,
) {
    let mut walk = Walk {
        path: Vec::new(),
        findings,
    };
    walk.values(reference.root(), candidate.root());
}

struct Walk<'w, 'r, 'd> {
    path: Vec<Step<'d>>,
    findings: &'w mut Findings<'r>,
}

/// From a value to one within it.
enum Step<'d> {
    Key(Value<'d>),
    Index(usize),
}

impl<'d> Walk<'_, '_, 'd> {
    fn values(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        if reference.text() == candidate.text() {
            return;
        }
        match (reference.kind(), candidate.kind()) {
            (json::Kind::Object, json::Kind::Object) => self.objects(reference, candidate),
            (json::Kind::Array, json::Kind::Array) => self.arrays(reference, candidate),
            (json::Kind::String, json::Kind::String) if reference.is_same_string(candidate) => {}
            (json::Kind::Number, json::Kind::Number)
                if number::equal(reference.text(), candidate.text()) => {}
            (a, b) if a == b => self.add(Kind::Changed, Some(reference), Some(candidate)),
            _ => self.add(Kind::TypeChanged, Some(reference), Some(candidate)),
        }
    }

    fn arrays(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        let (mut here, mut there) = (reference.items(), candidate.items());
        for index in 0.. {
            match (here.next(), there.next()) {
                (None, None) => return,
                (here, there) => self.step(Step::Index(index), here, there),
            }
        }
    }

    fn objects(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        let mut members = Members::of(candidate);
        for (position, (key, value)) in reference.members().enumerate() {
            let found = members.take(position, key);
            self.step(Step::Key(key), Some(value), found);
        }
        for (key, value) in members.left() {
            self.step(Step::Key(key), None, Some(value));
        }
    }

    fn step(&mut self, step: Step<'d>, reference: Option<Value<'d>>, candidate: Option<Value<'d>>) {
        self.path.push(step);
        match (reference, candidate) {
            (Some(reference), Some(candidate)) => self.values(reference, candidate),
            (Some(_), None) => self.add(Kind::Missing, reference, None),
            (None, _) => self.add(Kind::Unexpected, None, candidate),
        }
        self.path.pop();
    }

    fn add(&mut self, kind: Kind, reference: Option<Value<'d>>, candidate: Option<Value<'d>>) {
        let path = &self.path;
        self.findings.add(pointer(path, true), kind, || {
            let values = match (reference, candidate) {
                (Some(reference), Some(candidate)) => {
                    let (reference, candidate) = Shown::pair(reference.text(), candidate.text());
                    (Some(reference), Some(candidate))
                }
                (reference, candidate) => {
                    let shown = |value: Value<'_>| Shown::json(value.text());
                    (reference.map(shown), candidate.map(shown))
                }
            };
            Difference::new(pointer(path, false), kind, values)
        });
    }
}

/// An object's members, each to be found once by its key.
struct Members<'d> {
    all: Vec<(Value<'d>, Value<'d>)>,
    taken: Vec<bool>,
    /// Where each key stands, last place first; made when the other object's order was not this one's.
    places: Option<HashMap<Cow<'d, str>, Vec<usize>>>,
}

impl<'d> Members<'d> {
    fn of(object: Value<'d>) -> Self {
        let all: Vec<_> = object.members().collect();
        Self {
            taken: vec![false; all.len()],
            all,
            places: None,
        }
    }

    /// The first value of this key that was not taken yet. It is likely at `position`.
    fn take(&mut self, position: usize, key: Value<'d>) -> Option<Value<'d>> {
        let likely = self.all.get(position);
        let is_there = likely.is_some_and(|(there, _)| there.is_same_string(key));
        let place = if self.places.is_none() && is_there {
            position
        } else {
            let (all, taken) = (&self.all, &self.taken);
            let places = self.places.get_or_insert_with(|| places(all, taken));
            places.get_mut(&key.unescaped())?.pop()?
        };
        self.taken[place] = true;
        Some(self.all[place].1)
    }

    fn left(&self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let members = self.all.iter().zip(&self.taken);
        members
            .filter(|(_, taken)| !**taken)
            .map(|(member, _)| *member)
    }
}

fn places<'d>(all: &[(Value<'d>, Value<'d>)], taken: &[bool]) -> HashMap<Cow<'d, str>, Vec<usize>> {
    let mut places: HashMap<_, Vec<_>> = HashMap::new();
    for (place, (key, _)) in all.iter().enumerate().rev() {
        if !taken[place] {
            places.entry(key.unescaped()).or_default().push(place);
        }
    }
    places
}

/// A path as a JSON Pointer (RFC 6901 §3), or the start of a long one; with `*` for indices if it is `general`.
fn pointer(path: &[Step<'_>], general: bool) -> String {
    let mut pointer = String::new();
    for step in path {
        pointer.push('/');
        match step {
            Step::Key(key) => {
                let key = key.unescaped().replace('~', "~0").replace('/', "~1");
                pointer.push_str(&key);
            }
            Step::Index(_) if general => pointer.push('*'),
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
        if pointer.len() > MAX_PATH {
            break;
        }
    }
    difference::shorten(&pointer, MAX_PATH).into_owned()
}
