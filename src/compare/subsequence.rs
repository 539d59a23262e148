//! Items that two lists have in common, in the order of both.
//!
//! Of short lists they are as many as there can be. Finding these takes quadratic time, so that of long lists
//! they are as many where no item that is in both is repeated, and elsewhere nearly: nobody is to keep a
//! processor busy with a million small numbers.

use std::collections::{HashMap, HashSet};

/// Items of both lists up to which they are surely as many as there can be.
const MAX_MINIMAL: usize = 512;

/// The same of a part of long lists.
const MAX_PART: usize = 128;

/// Items of long lists that are in one only, up to which the others are surely as many as there can be.
const MAX_CHANGES: usize = 100;

/// How often what is left between pairs of long lists is looked into again.
const MAX_ROUNDS: usize = 4;

/// Pairs of places with the same number, each before the next in both lists.
pub(super) fn in_common(a: &[u64], b: &[u64]) -> Vec<(usize, usize)> {
    if a.len() + b.len() <= MAX_MINIMAL {
        return longest(a, b);
    }
    let mut search = Search {
        a,
        b,
        pairs: Vec::new(),
    };
    let all = |list: &[u64]| (0..list.len()).collect::<Vec<_>>();
    search.look(&all(a), &all(b), MAX_ROUNDS);
    search.pairs
}

fn longest(a: &[u64], b: &[u64]) -> Vec<(usize, usize)> {
    let most = a.len() + b.len();
    // There are no more changes than items, and so there always is a way.
    with_few_changes(a, b, most).unwrap_or_default()
}

/// A search in long lists.
struct Search<'l> {
    a: &'l [u64],
    b: &'l [u64],
    pairs: Vec<(usize, usize)>,
}

impl Search<'_> {
    /// Adds what these places have in common.
    fn look(&mut self, here: &[usize], there: &[usize], rounds: usize) {
        let is_same = |(a, b): &(&usize, &usize)| self.a[**a] == self.b[**b];
        let start = here.iter().zip(there).take_while(is_same).count();
        let pairs = here.iter().copied().zip(there.iter().copied());
        self.pairs.extend(pairs.take(start));
        let (here, there) = (&here[start..], &there[start..]);
        let from_end = here.iter().rev().zip(there.iter().rev());
        let end = from_end.take_while(is_same).count();
        let (here, here_end) = here.split_at(here.len() - end);
        let (there, there_end) = there.split_at(there.len() - end);
        self.middle(here, there, rounds);
        self.pairs
            .extend(here_end.iter().copied().zip(there_end.iter().copied()));
    }

    /// Adds what places have in common that begin and end with different items.
    fn middle(&mut self, here: &[usize], there: &[usize], rounds: usize) {
        if here.is_empty() || there.is_empty() {
            return;
        }
        if here.len() + there.len() <= MAX_PART {
            return self.part(here, there);
        }
        if rounds == 0 {
            return;
        }
        let (a, b) = (self.a, self.b);
        // What is in one list only is never in common.
        let both = |places: &[usize], list: &[u64], others: &[usize], other: &[u64]| {
            let others: HashSet<u64> = others.iter().map(|at| other[*at]).collect();
            let places = places.iter().copied();
            places
                .filter(|at| others.contains(&list[*at]))
                .collect::<Vec<_>>()
        };
        let (here, there) = (both(here, a, there, b), both(there, b, here, a));
        if here.len() + there.len() <= MAX_PART {
            return self.part(&here, &there);
        }
        let values = |places: &[usize], list: &[u64]| places.iter().map(|at| list[*at]).collect();
        let (values_a, values_b): (Vec<_>, Vec<_>) = (values(&here, a), values(&there, b));
        if let Some(pairs) = with_few_changes(&values_a, &values_b, MAX_CHANGES) {
            let pairs = pairs.into_iter().map(|(i, j)| (here[i], there[j]));
            return self.pairs.extend(pairs);
        }
        let mut next = (0, 0);
        for (i, j) in increasing(&self.by_occurrence(&here, &there)) {
            self.look(&here[next.0..i], &there[next.1..j], rounds - 1);
            self.pairs.push((here[i], there[j]));
            next = (i + 1, j + 1);
        }
        // Without a pair, it would be the same once more.
        if next != (0, 0) {
            self.look(&here[next.0..], &there[next.1..], rounds - 1);
        }
    }

    fn part(&mut self, here: &[usize], there: &[usize]) {
        let of = |places: &[usize], list: &[u64]| -> Vec<u64> {
            places.iter().map(|at| list[*at]).collect()
        };
        match (here, there) {
            ([], _) | (_, []) => {}
            ([one], many) => {
                let found = many.iter().find(|at| self.b[**at] == self.a[*one]);
                self.pairs.extend(found.map(|at| (*one, *at)));
            }
            (many, [one]) => {
                let found = many.iter().find(|at| self.a[**at] == self.b[*one]);
                self.pairs.extend(found.map(|at| (*at, *one)));
            }
            _ => {
                let pairs = longest(&of(here, self.a), &of(there, self.b));
                let pairs = pairs.into_iter().map(|(i, j)| (here[i], there[j]));
                self.pairs.extend(pairs);
            }
        }
    }

    /// Pairs of an item's first place in both, its second, and so on; as indices of these places.
    fn by_occurrence(&self, here: &[usize], there: &[usize]) -> Vec<(usize, usize)> {
        let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, at) in there.iter().enumerate().rev() {
            places.entry(self.b[*at]).or_default().push(index);
        }
        let here = here.iter().enumerate();
        here.filter_map(|(index, at)| Some((index, places.get_mut(&self.a[*at])?.pop()?)))
            .collect()
    }
}

/// As many pairs as there can be, if all but a few items are in one (E. W. Myers, "An O(ND) Difference
/// Algorithm and Its Variations", 1986).
fn with_few_changes(a: &[u64], b: &[u64], max: usize) -> Option<Vec<(usize, usize)>> {
    if a.len().abs_diff(b.len()) > max {
        return None;
    }
    let most = a.len() + b.len();
    let mut work = if max < most { 8 * most } else { usize::MAX };
    // By diagonal, that of the first items in the middle: how far it goes in `a`.
    let mut ends = vec![0_usize; 2 * max + 3];
    let middle = max + 1;
    let mut before: Vec<Vec<usize>> = Vec::new();
    for changes in 0..=max {
        before.push(ends.clone());
        for diagonal in (middle - changes..=middle + changes).step_by(2) {
            let (_, mut i) = step_before(&ends, diagonal, (middle, changes));
            let mut j = i + middle - diagonal;
            while i < a.len() && j < b.len() && a[i] == b[j] {
                (i, j) = (i + 1, j + 1);
                work = work.checked_sub(1)?;
            }
            ends[diagonal] = i;
            if (i, j) == (a.len(), b.len()) {
                return Some(way_back(&before, (a.len(), b.len()), middle));
            }
        }
    }
    None
}

/// From which diagonal a change leads to this one, and how far it then goes in `a`.
fn step_before(
    ends: &[usize],
    diagonal: usize,
    (middle, changes): (usize, usize),
) -> (usize, usize) {
    let is_lowest = diagonal + changes == middle;
    let is_highest = diagonal == middle + changes;
    match changes {
        0 => (diagonal, 0),
        _ if is_lowest || !is_highest && ends[diagonal - 1] < ends[diagonal + 1] => {
            (diagonal + 1, ends[diagonal + 1])
        }
        _ => (diagonal - 1, ends[diagonal - 1] + 1),
    }
}

/// The pairs on the way to the end of both, by how far each diagonal went before each change.
fn way_back(before: &[Vec<usize>], end: (usize, usize), middle: usize) -> Vec<(usize, usize)> {
    let (mut i, mut j) = end;
    let mut pairs = Vec::new();
    for (changes, ends) in before.iter().enumerate().rev() {
        let diagonal = i + middle - j;
        let (from, start) = step_before(ends, diagonal, (middle, changes));
        while i > start {
            (i, j) = (i - 1, j - 1);
            pairs.push((i, j));
        }
        if changes > 0 {
            i = ends[from];
            j = i + middle - from;
        }
    }
    pairs.reverse();
    pairs
}

/// The most of these pairs, which are in order on the left, that are so on the right, too.
fn increasing(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // By length, less one: the last pair of a row of this length that ends first.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, right)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *right);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let row = std::iter::successors(ends.last().copied(), |at| before[*at]);
    let mut row: Vec<_> = row.map(|at| pairs[at]).collect();
    row.reverse();
    row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_search(a: &[u64], b: &[u64]) -> Vec<(usize, usize)> {
        let all = |list: &[u64]| (0..list.len()).collect::<Vec<_>>();
        let mut search = Search {
            a,
            b,
            pairs: Vec::new(),
        };
        search.look(&all(a), &all(b), MAX_ROUNDS);
        search.pairs
    }

    fn scattered(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
    }

    /// By trying everything.
    fn length_of_longest(a: &[u64], b: &[u64]) -> usize {
        let mut lengths = vec![0; b.len() + 1];
        for x in a {
            let mut before = 0;
            for (at, y) in b.iter().enumerate() {
                let without = lengths[at + 1];
                let longer = if x == y { before + 1 } else { 0 };
                before = without;
                lengths[at + 1] = longer.max(without).max(lengths[at]);
            }
        }
        lengths[b.len()]
    }

    proptest! {
        #[test]
        fn with_few_changes_they_are_the_longest(
            a in prop::collection::vec(0_u64..4, 0..40),
            b in prop::collection::vec(0_u64..4, 0..40),
        ) {
            for pairs in [Some(longest(&a, &b)), with_few_changes(&a, &b, 20)].into_iter().flatten() {
                prop_assert!(pairs.iter().all(|(i, j)| a[*i] == b[*j]));
                prop_assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1));
                prop_assert_eq!(pairs.len(), length_of_longest(&a, &b));
            }
        }

        #[test]
        fn pairs_are_of_the_same_and_in_order(
            a in prop::collection::vec(0_u64..60, 0..300),
            b in prop::collection::vec(0_u64..60, 0..300),
        ) {
            for pairs in [by_search(&a, &b), in_common(&a, &b)] {
                prop_assert!(pairs.iter().all(|(i, j)| a[*i] == b[*j]));
                prop_assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1));
            }
        }

        #[test]
        fn as_many_as_there_can_be_where_none_is_repeated(seed in 0_u64..1000, moved in 0_usize..9) {
            let a: Vec<u64> = (0..600).collect();
            let mut b: Vec<u64> = (0..600).filter(|it| !scattered(seed + it).is_multiple_of(3)).collect();
            let at = |number: usize| usize::try_from(scattered(seed + number as u64)).unwrap_or(0) % 300;
            (0..moved).for_each(|it| b.swap(at(it), at(it + 9)));
            prop_assert_eq!(by_search(&a, &b).len(), longest(&a, &b).len());
        }
    }

    #[test]
    fn a_few_changes_of_long_lists_of_few_numbers_are_found() {
        let a: Vec<u64> = (0..5000).map(|it| scattered(it) % 10).collect();
        let mut b = a.clone();
        for at in [500, 1500, 2500] {
            b.insert(at, 3);
        }
        b.remove(4000);
        assert_eq!(in_common(&a, &b).len(), 4999);
    }
}
