//! The differences of two JSON documents.
//!
//! Objects are compared by key, whatever their order; of a key that is repeated, the first with the first,
//! the second with the second. The items of arrays are aligned first (`arrays`). What rules take out is
//! counted as theirs.

use std::borrow::Cow;
use std::collections::HashMap;

use super::difference::{self, Difference, Kind, Shown};
use super::findings::Findings;
use super::prints::{Places, Prints};
use super::rules::Action;
use crate::content::Media;
use crate::json::pattern::{Segment, Tracker, push_segment};
use crate::json::{self, Document, Value, number};
use crate::redact::Redaction;

/// Bytes that most paths have room in.
const PATH: usize = 48;

/// Bytes of a path that are written out; a longer one ends in an ellipsis.
const MAX_PATH: usize = 1024;

/// Adds the differences of `candidate` from `reference`, two bodies of this kind.
pub(super) fn compare(
    reference: &Document<'_>,
    candidate: &Document<'_>,
    media: Media,
    redaction: &Redaction,
    findings: &mut Findings<'_>,
) {
    let places = Places::of(findings.rules);
    let mut walk = Walk {
        path: Vec::new(),
        places,
        prints: None,
        documents: (reference, candidate),
        hidden: redaction
            .hides_bodies()
            .then(|| [redaction.tracker(media), redaction.tracker(media)]),
        redaction,
        findings,
    };
    let (reference, candidate) = (reference.root(), candidate.root());
    if reference.text() != candidate.text() {
        walk.here(Some(reference), Some(candidate));
    }
}

/// A walk through both documents at once.
pub(super) struct Walk<'w, 'r, 'd> {
    path: Vec<Step<'d>>,
    pub(super) places: Places<'r>,
    prints: Option<(Prints, Prints)>,
    documents: (&'d Document<'d>, &'d Document<'d>),
    redaction: &'w Redaction,
    /// Follow the walk on either side, if anything is to be hidden: an item of an array may stand at a hidden
    /// place on one side only.
    hidden: Option<[Tracker<'w>; 2]>,
    pub(super) findings: &'w mut Findings<'r>,
}

/// From a value to one within it.
#[derive(Clone, Copy)]
pub(super) enum Step<'d> {
    Key(Value<'d>),
    /// Its index in the reference's array, and in the candidate's; the same where only one has it.
    Index(usize, usize),
}

/// Whose value it is.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Reference,
    Candidate,
}

impl<'d> Walk<'_, '_, 'd> {
    /// Compares what is one step further.
    pub(super) fn step(
        &mut self,
        step: Step<'d>,
        reference: Option<Value<'d>>,
        candidate: Option<Value<'d>>,
    ) {
        if let (Some(reference), Some(candidate)) = (reference, candidate)
            && reference.text() == candidate.text()
        {
            return;
        }
        self.path.push(step);
        // Where nothing is said of any place, nobody needs to know which this is.
        let is_followed = self.places.is_near() || self.hidden.is_some();
        if is_followed {
            self.enter(step);
        }
        self.here(reference, candidate);
        if is_followed {
            self.places.leave();
            self.hidden.iter_mut().flatten().for_each(Tracker::leave);
        }
        self.path.pop();
    }

    /// Goes on by a segment of the reference's path, and of the candidate's. Rules go by the former.
    fn enter(&mut self, step: Step<'_>) {
        let key;
        let segments = match step {
            Step::Key(it) => {
                key = it.unescaped();
                [Segment::Key(&key); 2]
            }
            Step::Index(here, there) => [here, there].map(Segment::Index),
        };
        self.places.enter(segments[0]);
        for (hidden, segment) in self.hidden.iter_mut().flatten().zip(segments) {
            hidden.enter(segment);
        }
    }

    /// Compares the values at this place, whose texts are not the same.
    fn here(&mut self, reference: Option<Value<'d>>, candidate: Option<Value<'d>>) {
        let before = self.findings.ignored_by;
        if before.is_none() {
            let ignored = self.places.first(Action::ignore);
            self.findings.ignored_by = ignored.map(|(rule, ())| rule);
        }
        match (reference, candidate) {
            (Some(reference), Some(candidate)) if self.is_hidden() && self.findings.hide() => {
                self.values(reference, candidate);
                if self.findings.show() {
                    let kind = if reference.kind() == candidate.kind() {
                        Kind::Changed
                    } else {
                        Kind::TypeChanged
                    };
                    self.add(kind, Some(reference), Some(candidate));
                }
            }
            (Some(reference), Some(candidate)) => self.values(reference, candidate),
            (Some(_), None) => self.add(Kind::Missing, reference, None),
            (None, _) => self.add(Kind::Unexpected, None, candidate),
        }
        self.findings.ignored_by = before;
    }

    /// Whether the values at this place are not to be shown, on either side.
    fn is_hidden(&self) -> bool {
        let mut sides = self.hidden.iter().flatten();
        sides.any(|hidden| hidden.here().next().is_some())
    }

    fn values(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        match (reference.kind(), candidate.kind()) {
            (json::Kind::Object, json::Kind::Object) => self.objects(reference, candidate),
            (json::Kind::Array, json::Kind::Array) => self.arrays(reference, candidate),
            (json::Kind::String, json::Kind::String) => self.strings(reference, candidate),
            (json::Kind::Number, json::Kind::Number) => self.numbers(reference, candidate),
            (a, b) if a == b => self.add(Kind::Changed, Some(reference), Some(candidate)),
            _ => self.add(Kind::TypeChanged, Some(reference), Some(candidate)),
        }
    }

    fn strings(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        if reference.is_same_string(candidate) {
            return;
        }
        let (a, b) = (reference.unescaped(), candidate.unescaped());
        let rules = self.places.text_rules();
        let taken_out = rules.covering(|covers| covers(&a, &b));
        self.add_unless(taken_out, reference, candidate);
    }

    fn numbers(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        let (a, b) = (reference.text(), candidate.text());
        if number::equal(a, b, self.findings.rules.numbers) {
            return;
        }
        let tolerance = self.places.first(Action::tolerance);
        let tolerance = tolerance.filter(|(_, tolerance)| tolerance.covers(a, b));
        let values = self.places.first(Action::like);
        let values = values.filter(|(_, like)| like.covers(a, b));
        let taken_out = tolerance
            .map(|(rule, _)| rule)
            .or(values.map(|(rule, _)| rule));
        self.add_unless(taken_out, reference, candidate);
    }

    fn add_unless(&mut self, taken_out: Option<usize>, reference: Value<'d>, candidate: Value<'d>) {
        match (taken_out, self.findings.ignored_by) {
            (Some(rule), None) => self.findings.hit(rule),
            _ => self.add(Kind::Changed, Some(reference), Some(candidate)),
        }
    }

    fn objects(&mut self, reference: Value<'d>, candidate: Value<'d>) {
        let (mut here, mut there) = (reference.members(), candidate.members());
        // Mostly, both have the same keys in the same order.
        loop {
            let before = (here.clone(), there.clone());
            match (here.next(), there.next()) {
                (None, None) => return,
                (Some((key, value)), Some((other, found))) if key.is_same_string(other) => {
                    self.step(Step::Key(key), Some(value), Some(found));
                }
                _ => {
                    (here, there) = before;
                    break;
                }
            }
        }
        let mut members = Members::of(there);
        for (key, value) in here {
            let found = members.take(key);
            self.step(Step::Key(key), Some(value), found);
        }
        for (key, value) in members.left() {
            self.step(Step::Key(key), None, Some(value));
        }
        self.note_repeated(Of::Reference, reference);
        self.note_repeated(Of::Candidate, candidate);
    }

    /// Notes a key that an object has twice, of which many readers only see the last, and the other object
    /// perhaps does not.
    fn note_repeated(&mut self, side: Of, object: Value<'d>) {
        let mut keys: Vec<_> = object.members().map(|(key, _)| key.unescaped()).collect();
        keys.sort_unstable();
        let repeated = keys.windows(2).find(|pair| pair[0] == pair[1]);
        if let Some([key, _]) = repeated {
            let path = &self.path;
            self.findings.note(|| {
                let mut place = pointer(path, Indices::Of(side));
                push_segment(&mut place, Segment::Key(key));
                let place = difference::shorten(&place, MAX_PATH).into_owned();
                let side = match side {
                    Of::Reference => "reference",
                    Of::Candidate => "candidate",
                };
                format!("{side}: the key {place} is repeated")
            });
        }
    }

    /// The print of a value one step further.
    pub(super) fn print(&mut self, of: Of, index: usize, value: Value<'d>) -> u64 {
        let documents = self.documents;
        let make = || (Prints::of(documents.0), Prints::of(documents.1));
        let (reference, candidate) = self.prints.get_or_insert_with(make);
        let prints = match of {
            Of::Reference => reference,
            Of::Candidate => candidate,
        };
        self.places.enter(Segment::Index(index));
        let print = prints.print(value, &mut self.places);
        self.places.leave();
        print
    }

    /// Adds what is found here.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        reference: Option<Value<'d>>,
        candidate: Option<Value<'d>>,
    ) {
        let is_pair = reference.is_some() && candidate.is_some();
        let (path, redaction, hidden) = (&self.path, self.redaction, &mut self.hidden);
        self.findings
            .add(pointer(path, Indices::General), kind, || {
                let mut text = |side: Of, value: Value<'d>| match hidden {
                    Some(hidden) => redaction.show(value, &mut hidden[side as usize]),
                    None => Cow::Borrowed(value.text()),
                };
                let reference = reference.map(|value| text(Of::Reference, value));
                let candidate = candidate.map(|value| text(Of::Candidate, value));
                let values = match (reference, candidate) {
                    (Some(reference), Some(candidate)) => {
                        let (reference, candidate) = Shown::pair(&reference, &candidate);
                        (Some(reference), Some(candidate))
                    }
                    (reference, candidate) => {
                        let shown = |text: Cow<'_, str>| Shown::json(&text);
                        (reference.map(shown), candidate.map(shown))
                    }
                };
                let place = match kind {
                    Kind::Unexpected => pointer(path, Indices::Of(Of::Candidate)),
                    _ => pointer(path, Indices::Of(Of::Reference)),
                };
                let candidate_path = (is_pair && is_shifted(path))
                    .then(|| pointer(path, Indices::Of(Of::Candidate)))
                    .filter(|there| *there != place);
                Difference {
                    candidate_path,
                    ..Difference::new(place, kind, values)
                }
            });
    }
}

/// Whether an item around stands elsewhere in the candidate's document.
fn is_shifted(path: &[Step<'_>]) -> bool {
    path.iter()
        .any(|step| matches!(step, Step::Index(here, there) if here != there))
}

/// Members up to which a key is looked for among all of them.
const FEW: usize = 16;

/// Members of an object, each to be found once by its key.
struct Members<'d> {
    all: Vec<Member<'d>>,
    /// Of many: where each key stands, last place first.
    places: HashMap<Cow<'d, str>, Vec<usize>>,
}

struct Member<'d> {
    key: Value<'d>,
    value: Value<'d>,
    taken: bool,
}

impl<'d> Members<'d> {
    fn of(members: impl Iterator<Item = (Value<'d>, Value<'d>)>) -> Self {
        let member = |(key, value)| Member {
            key,
            value,
            taken: false,
        };
        let all: Vec<_> = members.map(member).collect();
        let mut places: HashMap<_, Vec<_>> = HashMap::new();
        if all.len() > FEW {
            for (place, member) in all.iter().enumerate().rev() {
                places
                    .entry(member.key.unescaped())
                    .or_default()
                    .push(place);
            }
        }
        Self { all, places }
    }

    /// The first value of this key that was not taken yet.
    fn take(&mut self, key: Value<'d>) -> Option<Value<'d>> {
        let place = if self.all.len() > FEW {
            self.places.get_mut(&key.unescaped())?.pop()?
        } else {
            let is_it = |member: &Member<'_>| !member.taken && member.key.is_same_string(key);
            self.all.iter().position(is_it)?
        };
        let member = &mut self.all[place];
        member.taken = true;
        Some(member.value)
    }

    fn left(&self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let left = self.all.iter().filter(|member| !member.taken);
        left.map(|member| (member.key, member.value))
    }
}

/// How the indices of arrays are written.
#[derive(Clone, Copy)]
enum Indices {
    Of(Of),
    /// As `*`, whatever they are.
    General,
}

/// A path as a JSON Pointer (RFC 6901 §3), or the start of a long one.
fn pointer(path: &[Step<'_>], indices: Indices) -> String {
    let mut pointer = String::with_capacity(PATH);
    for step in path {
        match step {
            Step::Key(key) => {
                // A key may be nearly all of a document, and have many values.
                let key = key.unescaped();
                let end = key.floor_char_boundary(MAX_PATH + 1);
                push_segment(&mut pointer, Segment::Key(&key[..end]));
            }
            Step::Index(reference, candidate) => match indices {
                Indices::Of(Of::Reference) => {
                    push_segment(&mut pointer, Segment::Index(*reference));
                }
                Indices::Of(Of::Candidate) => {
                    push_segment(&mut pointer, Segment::Index(*candidate));
                }
                Indices::General => pointer.push_str("/*"),
            },
        }
        if pointer.len() > MAX_PATH {
            break;
        }
    }
    if pointer.len() > MAX_PATH {
        pointer = difference::shorten(&pointer, MAX_PATH).into_owned();
    }
    pointer
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::super::{Bodies, Head, Rules, compare};
    use crate::config::Redact;
    use crate::content::Body;
    use crate::redact::Redaction;

    /// What is said of the differences of two texts, with a place hidden.
    fn told(kind: &'static str, hidden: &str, a: &str, b: &str) -> String {
        let settings = Redact {
            body: vec![hidden.parse().expect("a pattern")],
            ..Redact::default()
        };
        let redaction = Redaction::with_key(settings, b"a key");
        let rules = Rules::default();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let body = |text: &'static str| Body::new(&headers, text.as_bytes(), rules.limits);
        let (a, b) = (body(a.to_owned().leak()), body(b.to_owned().leak()));
        let head = Head {
            status: StatusCode::OK,
            headers: &headers,
        };
        let bodies = Bodies::Whole(&a, &b);
        let found = compare(head, head, bodies, &rules, None, &redaction);
        assert!(found.differences.total() > 0);
        serde_json::to_string(found.differences.list()).expect("JSON")
    }

    #[test]
    fn an_item_is_hidden_by_where_either_side_has_it() {
        let (a, b) = (
            r#"[{"id":0},{"id":1,"n":"shown"},{"id":2}]"#,
            r#"[{"id":1,"n":"secret"},{"id":2}]"#,
        );
        for (a, b) in [(a, b), (b, a)] {
            for hidden in ["/0", "/0/n"] {
                let told = told("application/json", hidden, a, b);
                assert!(!told.contains("secret"), "{hidden}: {told}");
            }
        }
    }

    #[test]
    fn events_that_are_nearly_json_are_hidden() {
        let of = |secret| format!("data: {{\"n\":\"{secret}\"\n\n");
        let told = told("text/event-stream", "/n", &of("secret1"), &of("secret2"));
        assert!(!told.contains("secret"), "{told}");
    }
}
