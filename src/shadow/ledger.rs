//! How many matched requests ended how.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;

use crate::compare::Rule;
use crate::experiment::Experiment;
use crate::outcome::Outcome;
use crate::telemetry::metrics::{OUTCOMES, RULE_HITS};

/// Counts outcomes of all experiments, and of each of their candidates. A matched request ends once for each
/// candidate of its experiment.
#[derive(Debug)]
pub struct Ledger {
    requests: AtomicU64,
    pairs: AtomicU64,
    totals: Tally,
}

/// How many ended how.
#[derive(Debug)]
struct Tally([AtomicU64; Outcome::COUNT]);

/// One candidate's part of the ledger.
#[derive(Debug)]
pub struct Account {
    tally: Tally,
    outcomes: [Counter; Outcome::COUNT],
    /// By rule.
    rules: Vec<Counter>,
}

impl Ledger {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            pairs: AtomicU64::new(0),
            totals: Tally::new(),
        }
    }

    /// A request matched, and will end for so many candidates.
    pub(super) fn matched(&self, candidates: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.pairs.fetch_add(candidates as u64, Ordering::Relaxed);
    }

    /// A matched request ended for a candidate.
    pub(super) fn ended(&self, account: &Account, outcome: Outcome) {
        self.totals.count(outcome);
        account.tally.count(outcome);
        account.outcomes[outcome.index()].increment(1);
    }

    /// Requests that matched an experiment.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests that matched, each as often as its experiment has candidates: the sum of all outcomes, once
    /// nothing is under way.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.pairs.load(Ordering::Relaxed)
    }

    /// How many ended so.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.totals.of(outcome)
    }

    /// The outcomes that there were, with their numbers, as in `equal=12 skipped.in_flight=3`.
    #[must_use]
    pub fn summary(&self) -> String {
        let entry = |(outcome, number): (Outcome, u64)| match outcome.reason() {
            Some(reason) => format!("{}.{reason}={number}", outcome.name()),
            None => format!("{}={number}", outcome.name()),
        };
        let entries: Vec<String> = self.totals.there().map(entry).collect();
        entries.join(" ")
    }
}

impl Account {
    /// Registers the metrics of one of an experiment's candidates; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register(experiment: &Experiment, candidate: &str) -> Self {
        let all: Vec<Outcome> = Outcome::all().collect();
        let name = || experiment.name.clone();
        let candidate = || candidate.to_owned();
        let outcome = |index: usize| {
            metrics::counter!(
                OUTCOMES,
                "experiment" => name(),
                "candidate" => candidate(),
                "outcome" => all[index].name(),
                "reason" => all[index].reason().unwrap_or_default(),
            )
        };
        let rule = |rule: &Rule| {
            metrics::counter!(
                RULE_HITS,
                "experiment" => name(),
                "candidate" => candidate(),
                "rule" => rule.to_string(),
            )
        };
        Self {
            tally: Tally::new(),
            outcomes: std::array::from_fn(outcome),
            rules: experiment.rules.list.iter().map(rule).collect(),
        }
    }

    /// The rules took out so many differences, in their order.
    pub(super) fn took_out(&self, hits: &[u64]) {
        for (counter, hits) in self.rules.iter().zip(hits) {
            counter.increment(*hits);
        }
    }

    /// The outcomes that there were, with their numbers.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.tally.there()
    }
}

impl Tally {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn count(&self, outcome: Outcome) {
        self.0[outcome.index()].fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome.index()].load(Ordering::Relaxed)
    }

    fn there(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let all = Outcome::all().map(|outcome| (outcome, self.of(outcome)));
        all.filter(|(_, number)| *number > 0)
    }
}
