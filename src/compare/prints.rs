//! Numbers that values have in common which are alike, and others hardly ever.
//!
//! They say which values belong together, never that two are the same. Values are alike if they only differ
//! in their spelling, or in what a rule takes out.

use super::rules::{Action, Rules, TextRules};
use crate::json::number;
use crate::json::pattern::{Segment, Tracker};
use crate::json::{Document, Kind, Value};
use xxhash_rust::xxh3::xxh3_64;

/// Of a value that is no part of what is around it.
const IGNORED: u64 = 1;

/// Of a value that may be any.
const ANY: u64 = 2;

/// Of what rules leave of a text.
const TEXT: u64 = 3;

/// The rules that are for places in documents, followed on a walk through one.
pub(super) struct Places<'r> {
    rules: &'r Rules,
    tracker: Tracker<'r>,
    /// By pattern.
    indices: Vec<usize>,
}

impl<'r> Places<'r> {
    /// At the root.
    pub(super) fn of(rules: &'r Rules) -> Self {
        let places = rules.list.iter().enumerate();
        let (indices, patterns): (Vec<_>, Vec<_>) = places
            .filter_map(|(index, rule)| Some((index, rule.place.pattern()?)))
            .unzip();
        Self {
            rules,
            tracker: Tracker::new(patterns),
            indices,
        }
    }

    pub(super) fn enter(&mut self, segment: Segment<'_>) {
        self.tracker.enter(segment);
    }

    pub(super) fn leave(&mut self) {
        self.tracker.leave();
    }

    /// Whether a rule is for this place or one within it.
    pub(super) fn is_near(&self) -> bool {
        self.tracker.is_near()
    }

    /// The first rule for this place of which something is to be had.
    pub(super) fn first<T>(&self, get: impl Fn(&'r Action) -> Option<T>) -> Option<(usize, T)> {
        let mut here = self.tracker.here().map(|pattern| self.indices[pattern]);
        here.find_map(|rule| Some((rule, get(&self.rules.list[rule].action)?)))
    }
}

impl<'r> Places<'r> {
    /// The rules for texts at this place.
    pub(super) fn text_rules(&self) -> TextRules<'r> {
        TextRules {
            values: self.first(Action::like),
            text: self.first(Action::fold),
        }
    }
}

/// The prints of one document's values, made when they are asked for.
pub(super) struct Prints {
    /// By the value's index; 0 for those that nobody asked for.
    known: Vec<u64>,
}

impl Prints {
    pub(super) fn of(document: &Document<'_>) -> Self {
        Self {
            known: vec![0; document.values()],
        }
    }

    /// The print of a value to which `places` leads.
    pub(super) fn print(&mut self, value: Value<'_>, places: &mut Places<'_>) -> u64 {
        match self.known[value.index()] {
            0 => {
                let print = self.make(value, places);
                self.known[value.index()] = print;
                print
            }
            known => known,
        }
    }

    fn make(&mut self, value: Value<'_>, places: &mut Places<'_>) -> u64 {
        let kind = value.kind();
        let any_order = match places.is_near().then(|| at_place(value, places)) {
            Some(Special::Print(print)) => return print,
            Some(Special::AnyOrder) => true,
            Some(Special::None) | None => false,
        };
        let content = match kind {
            Kind::Null | Kind::Bool => xxh3_64(value.text().as_bytes()),
            Kind::Number => number::digest(value.text(), places.rules.numbers),
            Kind::String => of_string(value),
            Kind::Array => {
                let mut sum = 0_u64;
                for (index, item) in value.items().enumerate() {
                    let print = self.within(Segment::Index(index), item, places);
                    sum = match (print, any_order) {
                        (IGNORED, _) => sum,
                        (print, true) => sum.wrapping_add(mix(print)),
                        (print, false) => mix(sum.rotate_left(5) ^ print),
                    };
                }
                sum
            }
            Kind::Object => {
                let mut sum = 0_u64;
                for (key, member) in value.members() {
                    let name = key.unescaped();
                    let print = self.within(Segment::Key(&name), member, places);
                    if print != IGNORED {
                        // In whatever order they stand.
                        let pair = of_string(key).rotate_left(17) ^ print;
                        sum = sum.wrapping_add(mix(pair));
                    }
                }
                sum
            }
        };
        mix(content ^ (kind as u64) << 56).max(ANY + 1)
    }

    fn within(&mut self, segment: Segment<'_>, value: Value<'_>, places: &mut Places<'_>) -> u64 {
        if !places.is_near() {
            return self.print(value, places);
        }
        places.enter(segment);
        let print = self.print(value, places);
        places.leave();
        print
    }
}

/// What rules make of a value's print.
enum Special {
    Print(u64),
    AnyOrder,
    None,
}

fn at_place(value: Value<'_>, places: &Places<'_>) -> Special {
    let kind = value.kind();
    let special = places.first(|action| match action {
        Action::Ignore => Some(Special::Print(IGNORED)),
        Action::Tolerance(_) if kind == Kind::Number => Some(Special::Print(ANY)),
        Action::Arrays(arrays) if kind == Kind::Array && arrays.any_order => {
            Some(Special::AnyOrder)
        }
        Action::Arrays(_) if kind == Kind::Array => Some(Special::None),
        _ => None,
    });
    match special {
        Some((_, special)) => special,
        None => of_text(value, places).map_or(Special::None, Special::Print),
    }
}

/// The print of a string or a number that rules let differ in parts: of what is left without these.
fn of_text(value: Value<'_>, places: &Places<'_>) -> Option<u64> {
    let text = match value.kind() {
        Kind::String => value.unescaped(),
        Kind::Number => value.text().into(),
        Kind::Null | Kind::Bool | Kind::Array | Kind::Object => return None,
    };
    let mut plain = text.clone();
    if let Some((_, like)) = places.first(Action::like) {
        plain = like.mask(&plain).into();
    }
    if value.kind() == Kind::String
        && let Some((_, fold)) = places.first(Action::fold)
    {
        plain = fold.apply(&plain).into();
    }
    (plain != text || value.kind() == Kind::String)
        .then(|| mix(xxh3_64(plain.as_bytes()) ^ TEXT).max(ANY + 1))
}

fn of_string(value: Value<'_>) -> u64 {
    xxh3_64(value.unescaped().as_bytes())
}

/// Spreads a number's bits (the finaliser of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
