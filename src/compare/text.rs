//! The differences of two texts, line by line.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use super::align::{Step, align};
use super::difference::{Difference, Kind, Shown, common_prefix};
use super::findings::{BODY, Findings};
use super::rules::{Place, TextRules};

/// Bytes at both ends of a line that are looked at for its likeness to others.
const MAX_LOOKED_AT: usize = 256;

/// Adds the differences of the candidate's text from the reference's. Lines end where `end` stands.
pub(super) fn compare(reference: &str, candidate: &str, end: char, findings: &mut Findings<'_>) {
    let rules = findings.text_rules(&Place::Body);
    if let Some((rule, fold)) = rules.text
        && fold.apply(reference) == fold.apply(candidate)
    {
        return findings.hit(rule);
    }
    let lines = Lines {
        reference: reference.split(end).collect(),
        candidate: candidate.split(end).collect(),
        rules,
    };
    let print = |line: &&str| {
        let mut plain = Cow::Borrowed(*line);
        if let Some((_, like)) = rules.values {
            plain = like.mask(&plain).into();
        }
        if let Some((_, fold)) = rules.text {
            plain = fold.apply(&plain).into();
        }
        xxh3_64(plain.as_bytes())
    };
    let prints = |lines: &[&str]| lines.iter().map(print).collect::<Vec<_>>();
    let likeness = |i: usize, j: usize| {
        let (a, b) = (lines.reference[i], lines.candidate[j]);
        1 + likeness(a.as_bytes(), b.as_bytes())
    };
    let mut alignment = align(
        &prints(&lines.reference),
        &prints(&lines.candidate),
        likeness,
    );
    alignment.unmove();
    for step in alignment.steps {
        lines.step(step, findings);
    }
}

/// The lines of both texts, and the rules for them.
struct Lines<'a, 'r> {
    reference: Vec<&'a str>,
    candidate: Vec<&'a str>,
    rules: TextRules<'r>,
}

impl Lines<'_, '_> {
    fn step(&self, step: Step, findings: &mut Findings<'_>) {
        let (number, kind, values) = match step {
            Step::Both(i, j) => {
                let (a, b) = (self.reference[i], self.candidate[j]);
                if a == b {
                    return;
                }
                if let Some(rule) = self.rules.covering(|covers| covers(a, b)) {
                    return findings.hit(rule);
                }
                (i, Kind::Changed, (Some(a), Some(b)))
            }
            Step::Reference(i) => (i, Kind::Missing, (Some(self.reference[i]), None)),
            Step::Candidate(j) => (j, Kind::Unexpected, (None, Some(self.candidate[j]))),
        };
        findings.add(BODY.to_owned(), kind, || Difference {
            line: Some(number as u64 + 1),
            ..Difference::new(BODY, kind, shown(values))
        });
    }
}

fn shown(values: (Option<&str>, Option<&str>)) -> (Option<Shown>, Option<Shown>) {
    match values {
        (Some(a), Some(b)) => {
            let (a, b) = Shown::texts(a, b, common_prefix(a, b));
            (Some(a), Some(b))
        }
        (a, b) => (a.map(Shown::text), b.map(Shown::text)),
    }
}

/// How many bytes two lines begin or end with in common; of long ones, as far as it is looked.
fn likeness(a: &[u8], b: &[u8]) -> u32 {
    let is_same = |(a, b): &(&u8, &u8)| a == b;
    let start = a.iter().zip(b).take(MAX_LOOKED_AT);
    let start = start.take_while(is_same).count();
    let end = a.iter().rev().zip(b.iter().rev()).take(MAX_LOOKED_AT);
    let end = end.take_while(is_same).count();
    u32::try_from(start.max(end)).unwrap_or(u32::MAX)
}
