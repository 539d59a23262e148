//! How many matched requests ended how.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;

use crate::compare::Rule;
use crate::experiment::Experiment;
use crate::outcome::Outcome;
use crate::telemetry::metrics::{OUTCOMES, RULE_HITS};

/// Counts outcomes, by experiment in the metrics, and in all.
#[derive(Debug)]
pub struct Ledger {
    matched: AtomicU64,
    totals: [AtomicU64; Outcome::COUNT],
    metrics: Vec<[Counter; Outcome::COUNT]>,
    /// By experiment and rule.
    rules: Vec<Vec<Counter>>,
}

impl Ledger {
    /// Registers the metrics of all experiments; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub fn register<'e>(experiments: impl IntoIterator<Item = &'e Experiment>) -> Self {
        let all: Vec<Outcome> = Outcome::all().collect();
        let of_experiment = |experiment: &Experiment| {
            std::array::from_fn(|index| {
                metrics::counter!(
                    OUTCOMES,
                    "experiment" => experiment.name.clone(),
                    "outcome" => all[index].name(),
                    "reason" => all[index].reason().unwrap_or_default(),
                )
            })
        };
        let rules_of = |experiment: &Experiment| {
            let rules = experiment.rules.list.iter();
            let counter = |rule: &Rule| {
                let experiment = experiment.name.clone();
                metrics::counter!(RULE_HITS, "experiment" => experiment, "rule" => rule.to_string())
            };
            rules.map(counter).collect()
        };
        let experiments: Vec<&Experiment> = experiments.into_iter().collect();
        Self {
            rules: experiments.iter().copied().map(rules_of).collect(),
            matched: AtomicU64::new(0),
            totals: std::array::from_fn(|_| AtomicU64::new(0)),
            metrics: experiments.into_iter().map(of_experiment).collect(),
        }
    }

    /// A request matched, and will end.
    pub(super) fn matched(&self) {
        self.matched.fetch_add(1, Ordering::Relaxed);
    }

    /// A matched request ended.
    pub(super) fn ended(&self, experiment: &Experiment, outcome: Outcome) {
        self.totals[outcome.index()].fetch_add(1, Ordering::Relaxed);
        self.metrics[experiment.index][outcome.index()].increment(1);
    }

    /// An experiment's rules took out so many differences, in their order.
    pub(super) fn took_out(&self, experiment: &Experiment, hits: &[u64]) {
        for (counter, hits) in self.rules[experiment.index].iter().zip(hits) {
            counter.increment(*hits);
        }
    }

    /// Requests that matched an experiment.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.matched.load(Ordering::Relaxed)
    }

    /// How many ended so.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.totals[outcome.index()].load(Ordering::Relaxed)
    }

    /// The outcomes that there were, with their numbers, as in `equal=12 skipped.in_flight=3`.
    #[must_use]
    pub fn summary(&self) -> String {
        let entry = |outcome: Outcome| {
            let number = self.of(outcome);
            (number > 0).then(|| match outcome.reason() {
                Some(reason) => format!("{}.{reason}={number}", outcome.name()),
                None => format!("{}={number}", outcome.name()),
            })
        };
        let entries: Vec<String> = Outcome::all().filter_map(entry).collect();
        entries.join(" ")
    }
}
