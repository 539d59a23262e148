//! What is known of one experiment's noise: learned, told, and applied.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use tracing::info;

use super::noise::{self, Change, Statistics};
use crate::compare::{Differences, Noise};
use crate::config;
use crate::telemetry::metrics::{
    NOISE_DIFFERENCES, NOISE_LOCATIONS, NOISE_UNANSWERED, NOISE_UNLEARNED,
};

/// The least time between two lines on one location.
const PAUSE: Duration = Duration::from_secs(10);

/// What is known of the noise in what one candidate is compared with.
#[derive(Debug)]
pub(super) struct Watch {
    experiment: String,
    candidate: String,
    rule: config::Noise,
    learned: Mutex<Learned>,
    metrics: WatchMetrics,
}

#[derive(Debug)]
struct Learned {
    statistics: Statistics,
    /// What was told of each location, and when.
    told: HashMap<String, (bool, Instant)>,
    /// The last change of each location that is still to be told.
    untold: BTreeMap<String, Change>,
}

#[derive(Debug)]
struct WatchMetrics {
    locations: Gauge,
    differences: Counter,
    unlearned: Counter,
    unanswered: [Counter; Unanswered::ALL.len()],
}

/// Why there was no second answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unanswered {
    /// References were asked again as often as they may be.
    Rate,
    /// Whoever would give it is left alone, since it failed too often.
    Breaker,
    /// There was none, not a whole one, or not in time.
    Failed,
}

impl Unanswered {
    const ALL: [Self; 3] = [Self::Rate, Self::Breaker, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::Failed => "failed",
        }
    }
}

impl Watch {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register([experiment, candidate]: [&str; 2], rule: config::Noise) -> Self {
        Self {
            experiment: experiment.to_owned(),
            candidate: candidate.to_owned(),
            rule,
            learned: Mutex::new(Learned::nothing(rule)),
            metrics: WatchMetrics::register([experiment, candidate], rule.suppress),
        }
    }

    /// Learns from an exchange: the candidate's differences, and those of two answers of the
    /// reference's code.
    pub(super) fn learn(&self, raw: &Differences, noise: &Differences) {
        let (raw, noise) = (locations(raw), locations(noise));
        let mut learned = self.learned();
        let lesson = learned.statistics.learn(&raw, &noise);
        self.metrics.unlearned.increment(lesson.unlearned);
        let due = learned.due(lesson.changes, Instant::now());
        drop(learned);
        for change in due {
            self.tell(&change);
        }
    }

    /// The noisy ones among the locations that differ.
    pub(super) fn noisy(&self, differences: &Differences) -> HashSet<String> {
        let learned = self.learned();
        let all = differences.classes().map(|(location, ..)| location);
        let noisy = all.filter(|location| learned.statistics.is_noise(location));
        noisy.map(str::to_owned).collect()
    }

    /// What a comparison is to make of these locations.
    pub(super) fn noise<'n>(&self, locations: &'n HashSet<String>) -> Noise<'n> {
        Noise {
            locations,
            suppress: self.rule.suppress,
        }
    }

    /// Counts the differences of a comparison that are at these locations.
    pub(super) fn count(&self, differences: &Differences, noisy: &HashSet<String>) {
        let classes = differences.classes();
        let there = classes.filter(|(location, ..)| noisy.contains(*location));
        let number: usize = there.map(|(.., number)| number).sum();
        self.metrics.differences.increment(number as u64);
    }

    /// Counts an exchange that has no second answer.
    pub(super) fn unanswered(&self, why: Unanswered) {
        self.metrics.unanswered[why as usize].increment(1);
    }

    /// All that is known.
    pub(super) fn tell_all(&self) -> noise::Learned {
        self.learned().statistics.all()
    }

    /// Begins anew; says how many locations are forgotten.
    pub(super) fn forget(&self) -> usize {
        let before = std::mem::replace(&mut *self.learned(), Learned::nothing(self.rule));
        before.statistics.all().locations.len()
    }

    /// Tells the metric.
    pub(super) fn sample(&self) {
        let noisy = self.learned().statistics.noisy();
        #[expect(clippy::cast_precision_loss, reason = "there are not nearly 2^53")]
        self.metrics.locations.set(noisy as f64);
    }

    /// Tells the metric that there is nothing here any longer.
    pub(super) fn retire(&self) {
        self.metrics.locations.set(0.0);
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where, and how often; never what was there.
    fn tell(&self, change: &Change) {
        let Change {
            location,
            is_noise,
            raw,
            noise,
            exchanges,
        } = change;
        let (experiment, candidate) = (&self.experiment, &self.candidate);
        if *is_noise {
            info!(
                experiment,
                candidate, location, raw, noise, exchanges, "noise was learned"
            );
        } else {
            info!(
                experiment,
                candidate, location, raw, noise, exchanges, "noise has ceased"
            );
        }
    }
}

impl Learned {
    fn nothing(rule: config::Noise) -> Self {
        Self {
            statistics: Statistics::new(rule),
            told: HashMap::new(),
            untold: BTreeMap::new(),
        }
    }

    /// What is to be told now. A location that goes to and fro is told of once in a while, and in the end
    /// what it is.
    fn due(&mut self, changes: Vec<Change>, now: Instant) -> Vec<Change> {
        for change in changes {
            self.untold.insert(change.location.clone(), change);
        }
        if self.untold.is_empty() {
            return Vec::new();
        }
        let Self {
            statistics,
            told,
            untold,
        } = self;
        let is_over = |location: &String, change: &mut Change| match told.get(location) {
            Some((is_noise, at)) => *is_noise == change.is_noise || *at + PAUSE <= now,
            None => true,
        };
        let over: Vec<Change> = untold
            .extract_if(.., is_over)
            .map(|(_, change)| change)
            .collect();
        told.retain(|location, (_, at)| statistics.knows(location) || *at + PAUSE > now);
        let is_news = |change: &Change| {
            let before = told.get(&change.location);
            let is_news = before.is_none_or(|(is_noise, _)| *is_noise != change.is_noise);
            if is_news {
                told.insert(change.location.clone(), (change.is_noise, now));
            }
            is_news
        };
        over.into_iter().filter(is_news).collect()
    }
}

impl WatchMetrics {
    fn register([experiment, candidate]: [&str; 2], suppress: bool) -> Self {
        let unanswered = |why: Unanswered| {
            metrics::counter!(
                NOISE_UNANSWERED,
                "experiment" => experiment.to_owned(),
                "candidate" => candidate.to_owned(),
                "reason" => why.name(),
            )
        };
        let (experiment, candidate) = (|| experiment.to_owned(), || candidate.to_owned());
        Self {
            locations: metrics::gauge!(
                NOISE_LOCATIONS,
                "experiment" => experiment(),
                "candidate" => candidate(),
            ),
            differences: metrics::counter!(
                NOISE_DIFFERENCES,
                "experiment" => experiment(),
                "candidate" => candidate(),
                "suppressed" => if suppress { "true" } else { "false" },
            ),
            unlearned: metrics::counter!(
                NOISE_UNLEARNED,
                "experiment" => experiment(),
                "candidate" => candidate(),
            ),
            unanswered: Unanswered::ALL.map(unanswered),
        }
    }
}

/// Where there are differences.
fn locations(differences: &Differences) -> BTreeSet<&str> {
    differences
        .classes()
        .map(|(location, ..)| location)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source, load};

    fn change(location: &str, is_noise: bool) -> Change {
        Change {
            location: location.to_owned(),
            is_noise,
            raw: 1,
            noise: 1,
            exchanges: 10,
        }
    }

    #[test]
    fn a_location_that_goes_to_and_fro_is_told_of_once_in_a_while_and_in_the_end() {
        let source = Source::Text(String::new());
        let loaded = load(&source, &Environment::default()).expect("it is valid");
        let mut learned = Learned::nothing(loaded.settings.noise);
        let both = BTreeSet::from(["/a", "/b"]);
        learned.statistics.learn(&both, &both);
        let start = Instant::now();
        let mut due = |changes, seconds| {
            let due = learned.due(changes, start + Duration::from_secs(seconds));
            let told = due
                .iter()
                .map(|change| (change.location.as_str(), change.is_noise));
            told.map(|(location, is_noise)| format!("{location} {is_noise}"))
                .collect::<Vec<_>>()
        };
        let both = vec![change("/a", true), change("/b", true)];
        assert_eq!(due(both, 0), ["/a true", "/b true"]);
        assert_eq!(due(vec![change("/a", false)], 1), [""; 0]);
        assert_eq!(due(vec![change("/b", false)], 2), [""; 0]);
        assert_eq!(due(vec![change("/b", true)], 3), [""; 0]);
        assert_eq!(due(vec![], 9), [""; 0]);
        assert_eq!(
            due(vec![], 10),
            ["/a false"],
            "/b is what it was told to be"
        );
        assert_eq!(due(vec![], 30), [""; 0]);
        // What is kept for it goes with what is known of it.
        for n in 0..100 {
            due(vec![change(&format!("/{n}"), false)], 60 + n);
        }
        assert!(learned.told.len() < 15, "{}", learned.told.len());
        assert!(learned.untold.is_empty());
    }
}
