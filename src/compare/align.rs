//! Which items of two lists belong together.
//!
//! Items are known by numbers, alike for items that are alike. Those of the longest common subsequence
//! stay together, so that an insertion at the front is one difference. Of what is left, items with the same
//! number have moved; the others are paired where they stand, each with the one most like it.
//!
//! Swapping the two lists swaps what is said of them: the alignment is always computed in one direction.

use std::collections::HashMap;

use super::subsequence::in_common;

/// Items of a gap on one side up to which they are paired by likeness; those of longer ones by position.
const MAX_LIKENESS: usize = 64;

/// How two lists belong together, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Alignment {
    pub(super) steps: Vec<Step>,
    /// Items that are in both, and not in the same order.
    pub(super) moved: Vec<(usize, usize)>,
}

/// What stands next, by its index in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// One of each, which belong together.
    Both(usize, usize),
    /// One that only the reference has.
    Reference(usize),
    /// One that only the candidate has.
    Candidate(usize),
}

/// Aligns two lists of numbers. `likeness` tells of two items that are not alike how much they have in
/// common.
pub(super) fn align(
    reference: &[u64],
    candidate: &[u64],
    likeness: impl Fn(usize, usize) -> u32,
) -> Alignment {
    if reference > candidate {
        let mut alignment = align_ordered(candidate, reference, |c, r| likeness(r, c));
        alignment.swap();
        return alignment;
    }
    align_ordered(reference, candidate, likeness)
}

impl Alignment {
    /// Takes what has moved as taken out at one place and inserted at another, in order.
    pub(super) fn unmove(&mut self) {
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() {
            return;
        }
        self.steps
            .extend(moved.iter().map(|(a, _)| Step::Reference(*a)));
        self.steps
            .extend(moved.iter().map(|(_, b)| Step::Candidate(*b)));
        self.steps = in_order(&self.steps);
    }

    /// All of it in the order of the reference's list, with what has moved where it stood there.
    pub(super) fn in_place(self) -> Vec<Step> {
        let mut moved = self.moved;
        moved.sort_unstable();
        let mut moved = moved.into_iter().peekable();
        let mut steps = Vec::with_capacity(self.steps.len() + moved.len());
        for step in self.steps {
            if let Step::Both(here, _) | Step::Reference(here) = step {
                let before = std::iter::from_fn(|| moved.next_if(|(from, _)| *from < here));
                steps.extend(before.map(|(a, b)| Step::Both(a, b)));
            }
            steps.push(step);
        }
        steps.extend(moved.map(|(a, b)| Step::Both(a, b)));
        steps
    }

    fn swap(&mut self) {
        for step in &mut self.steps {
            *step = match *step {
                Step::Both(a, b) => Step::Both(b, a),
                Step::Reference(at) => Step::Candidate(at),
                Step::Candidate(at) => Step::Reference(at),
            };
        }
        for (a, b) in &mut self.moved {
            std::mem::swap(a, b);
        }
    }
}

/// The steps in the order of both lists; those with one of each already are.
fn in_order(steps: &[Step]) -> Vec<Step> {
    let (mut pairs, mut of_a, mut of_b) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Both(a, b) => pairs.push((*a, *b)),
            Step::Reference(a) => of_a.push(*a),
            Step::Candidate(b) => of_b.push(*b),
        }
    }
    of_a.sort_unstable();
    of_b.sort_unstable();
    let (mut of_a, mut of_b) = (of_a.into_iter().peekable(), of_b.into_iter().peekable());
    let mut ordered = Vec::with_capacity(steps.len());
    for (a, b) in pairs.into_iter().chain([(usize::MAX, usize::MAX)]) {
        ordered.extend(std::iter::from_fn(|| of_a.next_if(|at| *at < a)).map(Step::Reference));
        ordered.extend(std::iter::from_fn(|| of_b.next_if(|at| *at < b)).map(Step::Candidate));
        if a < usize::MAX {
            ordered.push(Step::Both(a, b));
        }
    }
    ordered
}

/// Aligns two lists of one length of which most is the same at the same place, and was left out: what is
/// not elsewhere stands against what is at its own place.
pub(super) fn align_places(reference: &[u64], candidate: &[u64]) -> Alignment {
    let pairs = reference.iter().zip(candidate);
    let other: Vec<_> = pairs
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(place, _)| place)
        .collect();
    let mut gap = Gap {
        a: other.clone(),
        b: other,
    };
    let moved = moved(std::slice::from_ref(&gap), reference, candidate);
    let is_moved = are_moved(&moved, (reference.len(), candidate.len()));
    gap.a.retain(|at| !is_moved.0[*at]);
    gap.b.retain(|at| !is_moved.1[*at]);
    let is_same = |place: &usize| reference[*place] == candidate[*place];
    let same = (0..reference.len()).filter(is_same);
    let mut pairs: Vec<_> = same.map(|place| (place, place)).collect();
    pairs.extend(gap.a.into_iter().zip(gap.b));
    pairs.sort_unstable();
    let steps = pairs.into_iter().map(|(a, b)| Step::Both(a, b)).collect();
    Alignment { steps, moved }
}

fn align_ordered(a: &[u64], b: &[u64], likeness: impl Fn(usize, usize) -> u32) -> Alignment {
    let common = in_common(a, b);
    let mut gaps = Vec::new();
    let mut next = (0, 0);
    for pair in common.iter().copied().chain([(a.len(), b.len())]) {
        gaps.push(Gap {
            a: (next.0..pair.0).collect(),
            b: (next.1..pair.1).collect(),
        });
        next = (pair.0 + 1, pair.1 + 1);
    }
    let mut alignment = Alignment {
        moved: moved(&gaps, a, b),
        ..Alignment::default()
    };
    let is_moved = are_moved(&alignment.moved, (a.len(), b.len()));
    let mut common = common.into_iter();
    for mut gap in gaps {
        gap.a.retain(|at| !is_moved.0[*at]);
        gap.b.retain(|at| !is_moved.1[*at]);
        alignment.fill(&gap, &likeness);
        alignment
            .steps
            .extend(common.next().map(|(a, b)| Step::Both(a, b)));
    }
    alignment
}

/// Which items of both lists, of these lengths, have moved.
fn are_moved(moved: &[(usize, usize)], lengths: (usize, usize)) -> (Vec<bool>, Vec<bool>) {
    let mut are_moved = (vec![false; lengths.0], vec![false; lengths.1]);
    for (from, to) in moved {
        are_moved.0[*from] = true;
        are_moved.1[*to] = true;
    }
    are_moved
}

/// What two lists don't have in common, between what they do.
struct Gap {
    a: Vec<usize>,
    b: Vec<usize>,
}

/// Pairs of items in gaps that are alike, each item once.
fn moved(gaps: &[Gap], a: &[u64], b: &[u64]) -> Vec<(usize, usize)> {
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for at in gaps.iter().flat_map(|gap| &gap.b).rev() {
        places.entry(b[*at]).or_default().push(*at);
    }
    let from = gaps.iter().flat_map(|gap| &gap.a);
    from.filter_map(|at| Some((*at, places.get_mut(&a[*at])?.pop()?)))
        .collect()
}

impl Alignment {
    /// Pairs in order, and what is left of the longer list.
    pub(super) fn one_by_one(reference: usize, candidate: usize) -> Self {
        let both = reference.min(candidate);
        let mut steps: Vec<_> = (0..both).map(|at| Step::Both(at, at)).collect();
        steps.extend((both..reference).map(Step::Reference));
        steps.extend((both..candidate).map(Step::Candidate));
        let moved = Vec::new();
        Self { steps, moved }
    }

    /// What stands in a gap.
    fn fill(&mut self, gap: &Gap, likeness: impl Fn(usize, usize) -> u32) {
        let (a, b) = (&gap.a, &gap.b);
        if a.len() == b.len() || a.len().max(b.len()) > MAX_LIKENESS {
            let both = a.len().min(b.len());
            let pairs = a.iter().zip(b);
            self.steps.extend(pairs.map(|(a, b)| Step::Both(*a, *b)));
            self.steps
                .extend(a[both..].iter().copied().map(Step::Reference));
            self.steps
                .extend(b[both..].iter().copied().map(Step::Candidate));
            return;
        }
        self.fill_by_likeness(a, b, likeness);
    }

    /// Pairs as many items as there can be pairs, in order, so that they have the most in common.
    fn fill_by_likeness(
        &mut self,
        a: &[usize],
        b: &[usize],
        likeness: impl Fn(usize, usize) -> u32,
    ) {
        // best[i][j]: the most that the items from i and j on can have in common.
        let columns = b.len() + 1;
        let mut best = vec![0_u64; (a.len() + 1) * columns];
        let mut pair = vec![0_u64; (a.len() + 1) * columns];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                let at = i * columns + j;
                // Being a pair counts more than being alike, so that nothing is left on both sides.
                pair[at] = (1 << 32) + u64::from(likeness(a[i], b[j])) + best[at + columns + 1];
                best[at] = pair[at].max(best[at + columns]).max(best[at + 1]);
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < b.len() {
            let at = i * columns + j;
            if best[at] == pair[at] {
                self.steps.push(Step::Both(a[i], b[j]));
                (i, j) = (i + 1, j + 1);
            } else if best[at] == best[at + columns] {
                self.steps.push(Step::Reference(a[i]));
                i += 1;
            } else {
                self.steps.push(Step::Candidate(b[j]));
                j += 1;
            }
        }
        self.steps
            .extend(a[i..].iter().copied().map(Step::Reference));
        self.steps
            .extend(b[j..].iter().copied().map(Step::Candidate));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Step::{Both, Candidate, Reference};
    use super::*;

    fn aligned(a: &[u64], b: &[u64]) -> (Vec<Step>, Vec<(usize, usize)>) {
        let alike = |x: usize, y: usize| u32::from(a[x] / 10 == b[y] / 10);
        let alignment = align(a, b, alike);
        (alignment.steps, alignment.moved)
    }

    #[test]
    fn an_insertion_at_the_front_is_one_step() {
        let steps = vec![Candidate(0), Both(0, 1), Both(1, 2), Both(2, 3)];
        assert_eq!(aligned(&[1, 2, 3], &[9, 1, 2, 3]), (steps, vec![]));
        let steps = vec![Reference(0), Both(1, 0), Both(2, 1)];
        assert_eq!(aligned(&[9, 1, 2], &[1, 2]), (steps, vec![]));
    }

    #[test]
    fn a_changed_item_is_paired_with_the_one_most_like_it() {
        let steps = vec![Candidate(0), Both(0, 1), Both(1, 2)];
        assert_eq!(aligned(&[10, 7], &[90, 11, 7]), (steps, vec![]));
    }

    #[test]
    fn items_that_are_elsewhere_have_moved() {
        let (steps, moved) = aligned(&[1, 2, 3], &[3, 1, 2]);
        assert_eq!(steps, [Both(0, 1), Both(1, 2)]);
        assert_eq!(moved, [(2, 0)]);
    }

    proptest! {
        #[test]
        fn every_item_stands_once_and_in_order(
            a in prop::collection::vec(0_u64..40, 0..12),
            b in prop::collection::vec(0_u64..40, 0..12),
        ) {
            let (steps, moved) = aligned(&a, &b);
            let of_a = |step: &Step| match step {
                Both(a, _) | Reference(a) => Some(*a),
                Candidate(_) => None,
            };
            let of_b = |step: &Step| match step {
                Both(_, b) | Candidate(b) => Some(*b),
                Reference(_) => None,
            };
            for (all, stood, moved) in [
                (a.len(), steps.iter().filter_map(of_a).collect::<Vec<_>>(), moved.iter().map(|m| m.0).collect::<Vec<_>>()),
                (b.len(), steps.iter().filter_map(of_b).collect(), moved.iter().map(|m| m.1).collect()),
            ] {
                prop_assert!(stood.is_sorted());
                let mut places = [stood, moved].concat();
                places.sort_unstable();
                prop_assert_eq!(places, (0..all).collect::<Vec<_>>());
            }
            for (from, to) in moved {
                prop_assert_eq!(a[from], b[to]);
            }
        }

        #[test]
        fn swapping_the_lists_swaps_the_alignment(
            a in prop::collection::vec(0_u64..20, 0..10),
            b in prop::collection::vec(0_u64..20, 0..10),
        ) {
            let like = |x: u64, y: u64| u32::from(x / 10 == y / 10);
            let there = align(&a, &b, |i, j| like(a[i], b[j]));
            let mut back = align(&b, &a, |i, j| like(b[i], a[j]));
            back.swap();
            prop_assert_eq!(there, back);
        }
    }
}
