//! The differences of two arrays: which items belong together, and then what differs in each pair.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use super::align::{Alignment, Step as Next, align, align_places};
use super::difference::Kind;
use super::rules::{Action, Arrays};
use super::tree::{Of, Step, Walk};
use crate::json::{self, Value};

/// Left-over items of a set on one side up to which each is paired with the one most like it.
const MAX_LIKENESS: usize = 64;

/// Members, or items, of an item that are looked at for its likeness to others.
const MAX_PARTS: usize = 32;

/// Items of both arrays, each with its index, that are to be aligned.
struct Items<'d> {
    reference: Vec<(usize, Value<'d>)>,
    candidate: Vec<(usize, Value<'d>)>,
}

impl<'d> Walk<'_, '_, 'd> {
    /// Compares two arrays as the rule for this place says.
    pub(super) fn arrays(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        let rule = self.places.first(|action| match action {
            Action::Arrays(arrays) => Some(arrays),
            _ => None,
        });
        let items = Items {
            reference: reference.items().enumerate().collect(),
            candidate: candidate.items().enumerate().collect(),
        };
        let default = Arrays::default();
        let (rule, arrays) = rule.map_or((None, &default), |(rule, arrays)| (Some(rule), arrays));
        if let Some(rule) = rule {
            self.findings.hit(rule);
        }
        let (pairs, rest) = match (&arrays.key, arrays.any_order) {
            (Some(key), _) => {
                let (mut pairs, rest) = by_key(items, key);
                // Those without a key, or with one that the other side doesn't have.
                let (more, rest) = self.alike(rest);
                pairs.extend(more);
                pairs.sort_unstable_by_key(|((here, _), _)| *here);
                (pairs, rest)
            }
            (None, true) => self.alike(items),
            (None, false) => return self.in_order(items, (reference, candidate)),
        };
        if !arrays.any_order && !pairs.is_sorted_by_key(|(_, (there, _))| *there) {
            self.add(Kind::Reordered, Some(reference), Some(candidate));
        }
        for ((here, reference), (there, candidate)) in pairs {
            self.step(Step::Index(here, there), Some(reference), Some(candidate));
        }
        self.rest(rest);
    }

    /// Compares items that are in order, but for those that were inserted or taken out.
    fn in_order(&mut self, mut items: Items<'d>, arrays: (Value<'d>, Value<'d>)) {
        items.trim();
        let has_same_length = items.reference.len() == items.candidate.len();
        let by_place = has_same_length && items.drop_same_places();
        let Items {
            reference,
            candidate,
        } = &items;
        let alignment = match (&reference[..], &candidate[..]) {
            ([], _) | (_, []) | ([_], [_]) => {
                Alignment::one_by_one(reference.len(), candidate.len())
            }
            _ => {
                let prints = self.prints_of(&items);
                if by_place {
                    align_places(&prints.0, &prints.1)
                } else {
                    align(&prints.0, &prints.1, |i, j| {
                        likeness(reference[i], candidate[j])
                    })
                }
            }
        };
        if !alignment.moved.is_empty() {
            self.add(Kind::Reordered, Some(arrays.0), Some(arrays.1));
        }
        for step in alignment.in_place() {
            match step {
                Next::Both(i, j) => {
                    let (here, reference) = reference[i];
                    let (there, candidate) = candidate[j];
                    self.step(Step::Index(here, there), Some(reference), Some(candidate));
                }
                Next::Reference(i) => {
                    let (here, reference) = reference[i];
                    self.step(Step::Index(here, here), Some(reference), None);
                }
                Next::Candidate(j) => {
                    let (there, candidate) = candidate[j];
                    self.step(Step::Index(there, there), None, Some(candidate));
                }
            }
        }
    }

    /// Compares what a set has on one side only: items that have something in common as pairs, the others by
    /// themselves.
    fn rest(&mut self, mut rest: Items<'d>) {
        let Items {
            reference,
            candidate,
        } = &rest;
        let mut likely = Vec::new();
        if reference.len().max(candidate.len()) <= MAX_LIKENESS {
            for (i, a) in reference.iter().enumerate() {
                for (j, b) in candidate.iter().enumerate() {
                    let likeness = likeness(*a, *b);
                    if likeness > 1 {
                        likely.push((Reverse(likeness), i + j, i, j));
                    }
                }
            }
        }
        likely.sort_unstable();
        let mut paired = (vec![false; reference.len()], vec![false; candidate.len()]);
        let mut pairs = Vec::new();
        for (_, _, i, j) in likely {
            if !paired.0[i] && !paired.1[j] {
                (paired.0[i], paired.1[j]) = (true, true);
                pairs.push((reference[i], candidate[j]));
            }
        }
        pairs.sort_unstable_by_key(|((here, _), _)| *here);
        for ((here, reference), (there, candidate)) in pairs {
            self.step(Step::Index(here, there), Some(reference), Some(candidate));
        }
        let mut paired = (paired.0.into_iter(), paired.1.into_iter());
        rest.reference.retain(|_| paired.0.next() == Some(false));
        rest.candidate.retain(|_| paired.1.next() == Some(false));
        for (here, reference) in rest.reference {
            self.step(Step::Index(here, here), Some(reference), None);
        }
        for (there, candidate) in rest.candidate {
            self.step(Step::Index(there, there), None, Some(candidate));
        }
    }

    /// Pairs of items that are alike, whatever their order, and those that are left.
    fn alike(&mut self, mut items: Items<'d>) -> (Pairs<'d>, Items<'d>) {
        let mut rules = self.findings.rules.list.iter();
        let is_tolerant = rules.any(|rule| rule.action.tolerance().is_some());
        if is_tolerant {
            // Of numbers that may be a bit apart, the smallest belongs to the smallest.
            items.sort_by(|(_, item)| sum(*item));
        }
        let prints = self.prints_of(&items);
        let of = |prints: &[u64]| prints.iter().copied().map(Some).collect::<Vec<_>>();
        let (mut pairs, mut rest) = pair_up(items, &of(&prints.0), &of(&prints.1));
        if is_tolerant {
            pairs.sort_unstable_by_key(|((here, _), _)| *here);
            rest.reference.sort_unstable_by_key(|(here, _)| *here);
            rest.candidate.sort_unstable_by_key(|(there, _)| *there);
        }
        (pairs, rest)
    }

    fn prints_of(&mut self, items: &Items<'d>) -> (Vec<u64>, Vec<u64>) {
        let mut of = |side: Of, items: &[(usize, Value<'d>)]| {
            let prints = items.iter();
            prints
                .map(|(index, item)| self.print(side, *index, *item))
                .collect()
        };
        (
            of(Of::Reference, &items.reference),
            of(Of::Candidate, &items.candidate),
        )
    }
}

/// How much two items have in common that are not alike: 0 if they are not even of one type, 1 if they
/// are no more than that. Of long ones, their starts have to tell.
fn likeness((_, reference): (usize, Value<'_>), (_, candidate): (usize, Value<'_>)) -> u32 {
    match (reference.kind(), candidate.kind()) {
        (json::Kind::Object, json::Kind::Object) => 1 + members_in_common(reference, candidate),
        (json::Kind::Array, json::Kind::Array) => {
            let both = reference.items().zip(candidate.items()).take(MAX_PARTS);
            both.fold(1, |sum, (a, b)| sum + u32::from(a.text() == b.text()))
        }
        (a, b) => u32::from(a == b),
    }
}

/// One for each key that both have, and two more if its value is the same. Of a key that is repeated, the
/// first belongs to the first.
fn members_in_common(reference: Value<'_>, candidate: Value<'_>) -> u32 {
    let mut others: Vec<_> = candidate.members().take(MAX_PARTS).map(Some).collect();
    let mut sum = 0;
    for (key, value) in reference.members().take(MAX_PARTS) {
        let is_it = |other: &Option<(Value<'_>, Value<'_>)>| {
            other.is_some_and(|(other, _)| other.is_same_string(key))
        };
        let place = others.iter().position(is_it);
        if let Some((_, other)) = place.and_then(|place| others[place].take()) {
            sum += 1 + 2 * u32::from(other.text() == value.text());
        }
    }
    sum
}

/// Of all numbers within a value, roughly: it only says which of two values that are alike goes first.
fn sum(value: Value<'_>) -> f64 {
    match value.kind() {
        json::Kind::Number => value.text().parse().unwrap_or_default(),
        json::Kind::Array => value.items().map(sum).sum(),
        json::Kind::Object => value.members().map(|(_, member)| sum(member)).sum(),
        json::Kind::Null | json::Kind::Bool | json::Kind::String => 0.0,
    }
}

impl<'d> Items<'d> {
    fn sort_by(&mut self, number: impl Fn(&(usize, Value<'d>)) -> f64) {
        for items in [&mut self.reference, &mut self.candidate] {
            items.sort_by_cached_key(|item| Ordered(number(item)));
        }
    }

    /// Leaves out what both begin and end with.
    fn trim(&mut self) {
        let is_same =
            |(a, b): &(&(usize, Value<'_>), &(usize, Value<'_>))| a.1.text() == b.1.text();
        let start = self
            .reference
            .iter()
            .zip(&self.candidate)
            .take_while(is_same)
            .count();
        self.reference.drain(..start);
        self.candidate.drain(..start);
        let from_end = self.reference.iter().rev().zip(self.candidate.iter().rev());
        let end = from_end.take_while(is_same).count();
        self.reference.truncate(self.reference.len() - end);
        self.candidate.truncate(self.candidate.len() - end);
    }

    /// Of two lists of one length that are the same at most places, leaves these out: that is how long
    /// lists with a few changes look. Gives whether they are.
    fn drop_same_places(&mut self) -> bool {
        let pairs = self.reference.iter().zip(&self.candidate);
        let other: Vec<_> = pairs
            .filter(|(a, b)| a.1.text() != b.1.text())
            .map(|(a, b)| (*a, *b))
            .collect();
        let are_few = other.len() <= self.reference.len() / 4;
        if are_few {
            (self.reference, self.candidate) = other.into_iter().unzip();
        }
        are_few
    }
}

/// A number by which values are sorted.
#[derive(PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Items that belong together, each with its index.
type Pairs<'d> = Vec<((usize, Value<'d>), (usize, Value<'d>))>;

/// Pairs of items with the same key, and those that are left. Of a repeated key, the first belongs to the
/// first.
fn by_key<'d>(items: Items<'d>, key: &[String]) -> (Pairs<'d>, Items<'d>) {
    let of = |items: &[(usize, Value<'d>)]| -> Vec<Option<String>> {
        let keys = items.iter();
        keys.map(|(_, item)| at(*item, key).map(canonical))
            .collect()
    };
    let keys = (of(&items.reference), of(&items.candidate));
    pair_up(items, &keys.0, &keys.1)
}

/// The value at a path of keys within another.
fn at<'d>(value: Value<'d>, path: &[String]) -> Option<Value<'d>> {
    path.iter().try_fold(value, |value, name| {
        if value.kind() != json::Kind::Object {
            return None;
        }
        let mut members = value.members();
        members.find_map(|(key, member)| (key.unescaped() == *name).then_some(member))
    })
}

/// A key's value: a string for what it stands for, others as they are written.
fn canonical(value: Value<'_>) -> String {
    match value.kind() {
        json::Kind::String => format!("\"{}", value.unescaped()),
        _ => value.text().to_owned(),
    }
}

/// Pairs of items with the same name, and those that are left.
fn pair_up<'d, N: Eq + std::hash::Hash>(
    items: Items<'d>,
    reference: &[Option<N>],
    candidate: &[Option<N>],
) -> (Pairs<'d>, Items<'d>) {
    let mut places: HashMap<&N, Vec<usize>> = HashMap::new();
    for (place, name) in candidate.iter().enumerate().rev() {
        if let Some(name) = name {
            places.entry(name).or_default().push(place);
        }
    }
    let mut taken = vec![false; candidate.len()];
    let mut pairs = Pairs::new();
    let mut left = Vec::new();
    for (item, name) in items.reference.iter().zip(reference) {
        let place = name.as_ref().and_then(|name| places.get_mut(name)?.pop());
        match place {
            Some(place) => {
                taken[place] = true;
                pairs.push((*item, items.candidate[place]));
            }
            None => left.push(*item),
        }
    }
    let mut taken = taken.into_iter();
    let mut rest = items.candidate;
    rest.retain(|_| taken.next() == Some(false));
    let rest = Items {
        reference: left,
        candidate: rest,
    };
    (pairs, rest)
}
