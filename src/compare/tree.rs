//! The differences of two JSON documents.
//!
//! Objects are compared by key, whatever their order; of a key that is repeated, the first with the
//! first, the second with the second. Arrays are compared by position.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::discriminant;

use super::difference::{Difference, Differences, Kind, Shown};
use super::json::{Node, Text, Value};
use super::number;

/// Adds the differences of `candidate` from `reference`.
pub(super) fn compare(reference: &Node<'_>, candidate: &Node<'_>, differences: &mut Differences) {
    let mut walk = Walk {
        path: Vec::new(),
        differences,
    };
    walk.nodes(reference, candidate);
}

struct Walk<'d, 'a> {
    path: Vec<Step<'a>>,
    differences: &'d mut Differences,
}

/// From a value to one within it.
enum Step<'a> {
    Key(Text<'a>),
    Index(usize),
}

impl<'a> Walk<'_, 'a> {
    fn nodes(&mut self, reference: &Node<'a>, candidate: &Node<'a>) {
        if reference.text == candidate.text {
            return;
        }
        match (&reference.value, &candidate.value) {
            (Value::Object(a), Value::Object(b)) => self.objects(a, b),
            (Value::Array(a), Value::Array(b)) => self.arrays(a, b),
            (Value::String(a), Value::String(b)) if a == b => {}
            (Value::Number(a), Value::Number(b)) if number::equal(a, b) => {}
            (a, b) if discriminant(a) == discriminant(b) => {
                self.add(Kind::Changed, Some(reference), Some(candidate));
            }
            _ => self.add(Kind::TypeChanged, Some(reference), Some(candidate)),
        }
    }

    fn arrays(&mut self, reference: &[Node<'a>], candidate: &[Node<'a>]) {
        for index in 0..reference.len().max(candidate.len()) {
            self.step(
                Step::Index(index),
                reference.get(index),
                candidate.get(index),
            );
        }
    }

    fn objects(&mut self, reference: &[Member<'a>], candidate: &[Member<'a>]) {
        let mut matches = Members::of(candidate);
        for (position, (key, node)) in reference.iter().enumerate() {
            let found = matches.take(position, key).map(|(_, node)| node);
            self.step(Step::Key(*key), Some(node), found);
        }
        for (key, node) in matches.left() {
            self.step(Step::Key(*key), None, Some(node));
        }
    }

    fn step(&mut self, step: Step<'a>, reference: Option<&Node<'a>>, candidate: Option<&Node<'a>>) {
        self.path.push(step);
        match (reference, candidate) {
            (Some(reference), Some(candidate)) => self.nodes(reference, candidate),
            (Some(_), None) => self.add(Kind::Missing, reference, None),
            (None, _) => self.add(Kind::Unexpected, None, candidate),
        }
        self.path.pop();
    }

    fn add(&mut self, kind: Kind, reference: Option<&Node<'a>>, candidate: Option<&Node<'a>>) {
        let path = &self.path;
        let shown = |node: &Node<'a>| Shown::json(node.text);
        self.differences.add(|| {
            let values = (reference.map(shown), candidate.map(shown));
            Difference::new(pointer(path), kind, values)
        });
    }
}

type Member<'a> = (Text<'a>, Node<'a>);

/// An object's members, each to be found once by its key.
struct Members<'m, 'a> {
    all: &'m [Member<'a>],
    taken: Vec<bool>,
    /// Where each key stands, last place first; made when the other object's order was not this one's.
    places: Option<HashMap<Cow<'a, str>, Vec<usize>>>,
}

impl<'m, 'a> Members<'m, 'a> {
    fn of(members: &'m [Member<'a>]) -> Self {
        Self {
            all: members,
            taken: vec![false; members.len()],
            places: None,
        }
    }

    /// The first member of this key that was not taken yet. It is likely at `position`.
    fn take(&mut self, position: usize, key: &Text<'a>) -> Option<&'m Member<'a>> {
        let place =
            if self.places.is_none() && self.all.get(position).is_some_and(|(k, _)| k == key) {
                position
            } else {
                let (members, taken) = (self.all, &self.taken);
                let places = self.places.get_or_insert_with(|| {
                    let mut places: HashMap<_, Vec<_>> = HashMap::new();
                    for (place, (key, _)) in members.iter().enumerate().rev() {
                        if !taken[place] {
                            places.entry(key.unescaped()).or_default().push(place);
                        }
                    }
                    places
                });
                places.get_mut(&key.unescaped())?.pop()?
            };
        self.taken[place] = true;
        Some(&self.all[place])
    }

    fn left(&self) -> impl Iterator<Item = &'m Member<'a>> {
        let taken = &self.taken;
        self.all
            .iter()
            .enumerate()
            .filter(|(place, _)| !taken[*place])
            .map(|(_, member)| member)
    }
}

/// A path as a JSON Pointer (RFC 6901 §3).
fn pointer(path: &[Step<'_>]) -> String {
    let mut pointer = String::new();
    for step in path {
        pointer.push('/');
        match step {
            Step::Key(key) => {
                let key = key.unescaped().replace('~', "~0").replace('/', "~1");
                pointer.push_str(&key);
            }
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
    }
    pointer
}
