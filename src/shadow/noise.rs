//! What is noise, by the numbers: how often the candidate differs at a location, and how often two answers
//! of the reference do. Pure: no I/O, no clock.
//!
//! A location is what differences of one kind of place have in common: `/items/*/price`, `header:x`,
//! `status`, `body`. For each of them, of the exchanges that had a second answer of the reference's code:
//!
//! - *raw* counts those in which the candidate differs there,
//! - *noise* counts those in which the two answers of the reference's code differ there.
//!
//! A location is noise if the two answers have differed there, unless it is *real*: raw is above noise, by
//! more than the relative threshold (of raw and noise together) and the absolute one (of all exchanges).
//! This is the idea of Twitter's Diffy.
//!
//! Rates are compared, not occurrences. A defect at a place that is noisy now and then is found: if the
//! answers differ there by themselves in 2 of 100 exchanges, and the candidate is wrong in 10, it is 12
//! against 2 (the candidate has the noise as well), far over any threshold. What can't be found is a defect
//! that is rare beside its place's own noise: 1 more among 60, or anything at a place that always differs.
//!
//! `status` and `body` are learned like any other. A reference that answers 503 now and then makes `status`
//! noise as long as the candidate fails about as often, and no longer once it fails more.
//!
//! Invariants, each held by a test:
//!
//! - A location where the two answers never differed is not noise, nor is any before `min_exchanges`.
//! - No more than `max_locations` are kept. When there are as many, others are not learned, and are counted.
//! - Counts are halved when there are many, so that old exchanges lose their weight; locations of which
//!   nothing is left make room.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use crate::config::Noise;

/// Exchanges after which counts are halved, at least.
const MANY: u64 = 10_000;

/// How often locations are looked at that did not differ. Their share of all exchanges changes, too.
const REVIEW: u64 = 64;

/// What was learned of one experiment.
#[derive(Debug)]
pub(super) struct Statistics {
    rule: Noise,
    exchanges: u64,
    locations: HashMap<String, Counts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    raw: u64,
    noise: u64,
    /// What was last told of it.
    is_noise: bool,
}

/// What was learned of a candidate's noise, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// Exchanges with a second answer that it was learned from; old ones count half, and less.
    pub exchanges: u64,
    /// By name.
    pub locations: Vec<Location>,
}

/// What is known of one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Where it is.
    pub location: String,
    /// Exchanges in which the candidate differed there.
    pub raw: u64,
    /// Exchanges in which the two answers of the reference's code did.
    pub noise: u64,
    /// Whether it is taken for noise.
    pub is_noise: bool,
}

/// A location that has become noise, or is none any longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) location: String,
    pub(super) is_noise: bool,
    pub(super) raw: u64,
    pub(super) noise: u64,
    pub(super) exchanges: u64,
}

/// What one exchange taught.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    pub(super) changes: Vec<Change>,
    /// Locations that there was no room for.
    pub(super) unlearned: u64,
}

impl Statistics {
    pub(super) fn new(rule: Noise) -> Self {
        Self {
            rule,
            exchanges: 0,
            locations: HashMap::new(),
        }
    }

    /// Learns from an exchange with a second answer: where the candidate differed, and where the two
    /// answers did.
    pub(super) fn learn(&mut self, raw: &BTreeSet<&str>, noise: &BTreeSet<&str>) -> Lesson {
        let mut lesson = Lesson::default();
        self.exchanges += 1;
        for location in raw.union(noise) {
            match self.counts(location) {
                Some(counts) => {
                    counts.raw += u64::from(raw.contains(location));
                    counts.noise += u64::from(noise.contains(location));
                }
                None => lesson.unlearned += 1,
            }
        }
        let min = self.rule.min_exchanges;
        let is_much = self.exchanges >= MANY.max(4 * min);
        if is_much {
            lesson.changes.extend(self.halve());
        }
        if is_much || self.exchanges == min || self.exchanges.is_multiple_of(REVIEW) {
            let all: Vec<String> = self.locations.keys().cloned().collect();
            let changes = all.iter().filter_map(|location| self.review(location));
            lesson.changes.extend(changes);
        } else {
            let touched = raw.union(noise);
            let changes = touched.filter_map(|location| self.review(location));
            lesson.changes.extend(changes);
        }
        lesson
    }

    /// Whether a location is noise by now.
    pub(super) fn is_noise(&self, location: &str) -> bool {
        let counts = self.locations.get(location);
        counts.is_some_and(|counts| self.decide(*counts))
    }

    /// How many locations were last told to be noise.
    pub(super) fn noisy(&self) -> usize {
        let counts = self.locations.values();
        counts.filter(|counts| counts.is_noise).count()
    }

    /// Whether anything is kept of a location.
    pub(super) fn knows(&self, location: &str) -> bool {
        self.locations.contains_key(location)
    }

    /// All that is known.
    pub(super) fn all(&self) -> Learned {
        let location = |(location, counts): (&String, &Counts)| Location {
            location: location.clone(),
            raw: counts.raw,
            noise: counts.noise,
            is_noise: self.decide(*counts),
        };
        let mut locations: Vec<Location> = self.locations.iter().map(location).collect();
        locations.sort_by(|a, b| a.location.cmp(&b.location));
        Learned {
            exchanges: self.exchanges,
            locations,
        }
    }

    /// A location's counts; `None` if there is no room for it.
    fn counts(&mut self, location: &str) -> Option<&mut Counts> {
        let is_full = self.locations.len() >= self.rule.max_locations;
        if is_full && !self.locations.contains_key(location) {
            return None;
        }
        match self.locations.entry(location.to_owned()) {
            Entry::Occupied(counts) => Some(counts.into_mut()),
            Entry::Vacant(place) => Some(place.insert(Counts::default())),
        }
    }

    fn decide(&self, counts: Counts) -> bool {
        let Counts { raw, noise, .. } = counts;
        if self.exchanges < self.rule.min_exchanges || noise == 0 {
            return false;
        }
        let more = raw.saturating_sub(noise);
        let is_real = self.rule.relative.is_exceeded(more, raw + noise)
            && self.rule.absolute.is_exceeded(more, self.exchanges);
        !is_real
    }

    /// Decides on a location again, and tells if that is another decision.
    fn review(&mut self, location: &str) -> Option<Change> {
        let counts = *self.locations.get(location)?;
        let is_noise = self.decide(counts);
        if is_noise == counts.is_noise {
            return None;
        }
        self.locations.get_mut(location)?.is_noise = is_noise;
        Some(Change {
            location: location.to_owned(),
            is_noise,
            raw: counts.raw,
            noise: counts.noise,
            exchanges: self.exchanges,
        })
    }

    /// Halves all counts. Gives the locations that were noise, and of which nothing is left.
    fn halve(&mut self) -> Vec<Change> {
        self.exchanges /= 2;
        let exchanges = self.exchanges;
        let is_over = |_: &String, counts: &mut Counts| {
            counts.raw /= 2;
            counts.noise /= 2;
            counts.raw == 0 && counts.noise == 0
        };
        let over = self.locations.extract_if(is_over);
        let were_noise = over.filter(|(_, counts)| counts.is_noise);
        let forgotten = were_noise.map(|(location, _)| Change {
            location,
            is_noise: false,
            raw: 0,
            noise: 0,
            exchanges,
        });
        forgotten.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Environment, Source, load};

    fn rule(toml: &str) -> Noise {
        let source = Source::Text(format!("[compare.noise]\n{toml}"));
        let loaded = load(&source, &Environment::default()).expect("it is valid");
        loaded.settings.noise
    }

    fn learn(statistics: &mut Statistics, times: u64, raw: &[&str], noise: &[&str]) {
        let (raw, noise) = (raw.iter().copied(), noise.iter().copied());
        let (raw, noise) = (raw.collect(), noise.collect());
        for _ in 0..times {
            statistics.learn(&raw, &noise);
        }
    }

    /// The statistics after a hundred exchanges, in so many of which `/a` differed.
    fn hundred(raw: u64, noise: u64) -> Statistics {
        let mut statistics = Statistics::new(rule(""));
        let both = raw.min(noise);
        learn(&mut statistics, both, &["/a"], &["/a"]);
        learn(&mut statistics, raw - both, &["/a"], &[]);
        learn(&mut statistics, noise - both, &[], &["/a"]);
        learn(&mut statistics, 100 - raw.max(noise), &[], &[]);
        statistics
    }

    #[test]
    fn what_differs_as_often_without_the_candidate_is_noise() {
        assert!(hundred(100, 100).is_noise("/a"));
        assert!(hundred(50, 50).is_noise("/a"));
        assert!(hundred(0, 30).is_noise("/a"));
        // 20 % of both together is not over the threshold; what is more is.
        assert!(hundred(60, 40).is_noise("/a"));
        assert!(!hundred(62, 40).is_noise("/a"));
    }

    #[test]
    fn a_defect_where_answers_rarely_differ_by_themselves_is_real() {
        assert!(!hundred(12, 2).is_noise("/a"));
        assert!(!hundred(100, 5).is_noise("/a"));
        assert!(!hundred(100, 0).is_noise("/a"));
    }

    #[test]
    fn a_difference_below_the_absolute_threshold_is_not_enough() {
        let mut statistics = Statistics::new(rule("absolute = 5\nmin_exchanges = 1"));
        learn(&mut statistics, 1, &["/a"], &["/a"]);
        learn(&mut statistics, 4, &["/a"], &[]);
        assert!(!statistics.is_noise("/a"));
        learn(&mut statistics, 75, &[], &[]);
        assert!(statistics.is_noise("/a"), "4 of 80 are not over 5 %");
    }

    #[test]
    fn nothing_is_decided_before_there_are_enough_exchanges() {
        let mut statistics = Statistics::new(rule("min_exchanges = 10"));
        learn(&mut statistics, 9, &["/a"], &["/a"]);
        assert!(!statistics.is_noise("/a"));
        let once = BTreeSet::from(["/a"]);
        let lesson = statistics.learn(&once, &once);
        assert!(statistics.is_noise("/a"));
        let change = Change {
            location: "/a".to_owned(),
            is_noise: true,
            raw: 10,
            noise: 10,
            exchanges: 10,
        };
        assert_eq!(lesson.changes, [change]);
        assert_eq!(statistics.noisy(), 1);
    }

    #[test]
    fn old_exchanges_lose_their_weight() {
        let mut statistics = Statistics::new(rule(""));
        learn(&mut statistics, 9_000, &["/a"], &["/a"]);
        assert!(statistics.is_noise("/a"));
        // The reference was repaired, and the candidate was not.
        learn(&mut statistics, 6_000, &["/a"], &[]);
        assert!(!statistics.is_noise("/a"));
        // Both are well, for long.
        learn(&mut statistics, 200_000, &[], &[]);
        assert!(!statistics.knows("/a"));
    }

    #[test]
    fn what_is_forgotten_is_told_to_be_noise_no_longer() {
        let mut statistics = Statistics::new(rule(""));
        learn(&mut statistics, 1, &["/a"], &["/a"]);
        learn(&mut statistics, MANY - 2, &[], &[]);
        assert_eq!(statistics.noisy(), 1);
        let none = BTreeSet::new();
        let lesson = statistics.learn(&none, &none);
        let told = lesson.changes.iter().map(|change| change.is_noise);
        assert_eq!(told.collect::<Vec<_>>(), [false]);
        assert_eq!(statistics.noisy(), 0);
    }

    #[test]
    fn many_exchanges_may_be_asked_for() {
        let mut statistics = Statistics::new(rule("min_exchanges = 20000"));
        learn(&mut statistics, 100_000, &["/a"], &["/a"]);
        assert!(statistics.is_noise("/a"), "halving does not go below it");
    }

    #[test]
    fn what_there_is_no_room_for_is_not_learned_and_is_counted() {
        let mut statistics = Statistics::new(rule("max_locations = 2\nmin_exchanges = 1"));
        let all = BTreeSet::from(["/a", "/b", "/c", "/d"]);
        assert_eq!(statistics.learn(&all, &all).unlearned, 2);
        let noisy = all.iter().filter(|location| statistics.is_noise(location));
        assert_eq!(noisy.count(), 2);
    }

    /// Some of six locations.
    fn locations() -> impl Strategy<Value = Vec<&'static str>> {
        prop::sample::subsequence(
            vec!["/a", "/b", "/c/*", "status", "body", "header:x"],
            0..=6,
        )
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_nothing_is_noise_without_evidence(
            exchanges in prop::collection::vec((locations(), locations()), 0..80),
            max_locations in 1_usize..7,
            min_exchanges in 1_u64..20,
        ) {
            let bounds = format!("max_locations = {max_locations}\nmin_exchanges = {min_exchanges}");
            let mut statistics = Statistics::new(rule(&bounds));
            let mut told = BTreeSet::new();
            for (number, (raw, noise)) in (1..).zip(&exchanges) {
                let sides = (raw.iter().copied().collect(), noise.iter().copied().collect());
                let lesson = statistics.learn(&sides.0, &sides.1);
                prop_assert!(statistics.locations.len() <= max_locations);
                for change in lesson.changes {
                    let is_news = if change.is_noise {
                        told.insert(change.location)
                    } else {
                        told.remove(&change.location)
                    };
                    prop_assert!(is_news, "each change is told once");
                }
                prop_assert_eq!(told.len(), statistics.noisy());
                for location in locations_of(&exchanges) {
                    if !statistics.is_noise(location) {
                        continue;
                    }
                    prop_assert!(number >= min_exchanges);
                    let seen = &exchanges[..usize::try_from(number).expect("a small number")];
                    let raw = seen.iter().filter(|(raw, _)| raw.contains(&location)).count();
                    let noise = seen.iter().filter(|(_, noise)| noise.contains(&location)).count();
                    prop_assert!(noise > 0);
                    let is_full = statistics.locations.len() == max_locations;
                    prop_assert!(
                        is_full || raw <= noise || (raw - noise) * 5 <= raw + noise,
                        "{} against {}", raw, noise
                    );
                }
            }
        }
    }

    fn locations_of(
        exchanges: &[(Vec<&'static str>, Vec<&'static str>)],
    ) -> BTreeSet<&'static str> {
        let sides = exchanges.iter().flat_map(|(raw, noise)| [raw, noise]);
        sides.flatten().copied().collect()
    }
}
