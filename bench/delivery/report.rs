//! A row of the table, and what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::{End, Fault};
use crate::ledger::Ledger;
use crate::load::Tally;
use crate::monitor::Seen;
use crate::topic::Arrived;

pub(crate) const HEADER: &str = "\
| fault | sent | client errors | p99 ms before/during/after | not compared | found | published | in topic | duplicates | lost \
| dropped | shortened | out of order | peak MiB | peak backlog | peak spool MiB | s until drained |
|---|--:|--:|--:|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|";

/// Everything about one fault.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fault: Fault,
    /// Requests.
    pub(crate) sent: u64,
    /// Before, during and after the fault.
    pub(crate) tallies: [Tally; 3],
    pub(crate) ledger: Ledger,
    /// Records that waited in memory only when miffy was killed.
    pub(crate) in_memory: u64,
    pub(crate) arrived: Arrived,
    pub(crate) seen: Seen,
    pub(crate) peak_mib: u64,
    /// What does not hold.
    pub(crate) broken: Vec<String>,
}

impl Row {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(what());
        }
    }

    fn failed(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.failed).sum()
    }

    /// Differences that are neither in the topic nor counted as dropped. Less than none would be those that are
    /// both.
    fn lost(&self) -> i64 {
        let accounted_for = self.arrived.differences() + self.ledger.dropped();
        self.ledger.different.cast_signed() - accounted_for.cast_signed()
    }

    /// Notes what does not hold.
    pub(crate) fn check(&mut self) {
        let problems: Vec<String> = self
            .tallies
            .iter()
            .flat_map(|tally| tally.problems.clone())
            .collect();
        self.expect(problems.is_empty(), || {
            format!("clients: {}", problems.join("; "))
        });
        self.check_ledger();
        self.check_effect();
        let (differences, requests) = (self.arrived.differences(), self.arrived.requests());
        self.expect(differences == requests, || {
            format!("{differences} records with an id of their own are of {requests} requests")
        });
        let out_of_order = self.arrived.out_of_order;
        self.expect(out_of_order == 0, || {
            format!("{out_of_order} are out of order")
        });
    }

    fn check_ledger(&mut self) {
        let ledger = self.ledger.clone();
        let (different, found) = (ledger.different, ledger.found);
        self.expect(different == found && found > 0, || {
            format!("{different} pairs differ, {found} records are found")
        });
        let ended = different + ledger.others.values().sum::<u64>();
        let answered = self.sent - self.failed();
        self.expect(ended >= answered, || {
            format!("{ended} outcomes of {answered} requests")
        });
        let (lost, in_memory) = (self.lost(), self.in_memory.cast_signed());
        self.expect((0..=in_memory).contains(&lost), || {
            format!("{lost} are lost, and {in_memory} may be")
        });
        // A miffy that was started again publishes what another one found, and perhaps what another one published.
        let is_one = self.fault.miffys_end().is_none();
        let sum = ledger.published + ledger.dropped();
        self.expect(!is_one || sum == found, || {
            format!("published and dropped are {sum}, of {found} that are found")
        });
    }

    /// Whether the fault was one, and nothing was dropped that had room.
    fn check_effect(&mut self) {
        let (drops, dropped) = (self.fault.drops(), self.ledger.dropped.clone());
        self.expect(drops != dropped.is_empty(), || {
            format!("dropped: {dropped:?}")
        });
        let (backlog, shortened) = (self.seen.peak_backlog, self.ledger.shortened);
        let waited = backlog > self.sent / 10;
        self.expect(waited || drops || !self.fault.is_outage(), || {
            format!("no more than {backlog} ever waited: it was no outage")
        });
        let shortens = self.fault == Fault::TooLarge;
        self.expect(shortens == (shortened > 0), || {
            format!("{shortened} were shortened")
        });
    }

    /// The line of the table.
    pub(crate) fn line(&mut self) -> String {
        let quantiles = self
            .tallies
            .each_mut()
            .map(|tally| format!("{:.1}", tally.quantile(0.99)));
        let lost = match self.fault.miffys_end() {
            Some(End::AtOnce) => format!("{} of {} in memory", self.lost(), self.in_memory),
            _ => self.lost().to_string(),
        };
        let drained = match self.seen.drained_after {
            Some(after) => format!("{:.1}", after.as_secs_f64()),
            None => "never".to_owned(),
        };
        let columns: [&dyn fmt::Display; 17] = [
            &self.fault.name(),
            &self.sent,
            &self.failed(),
            &quantiles.join("/"),
            &list(&self.ledger.others),
            &self.ledger.different,
            &self.ledger.published,
            &self.arrived.records,
            &self.arrived.duplicates(),
            &lost,
            &list(&self.ledger.dropped),
            &self.ledger.shortened,
            &self.arrived.out_of_order,
            &self.peak_mib,
            &self.seen.peak_backlog,
            &(self.seen.peak_spool_bytes / 1024 / 1024),
            &drained,
        ];
        columns.map(|column| format!("| {column} ")).concat() + "|"
    }
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let words = counts.iter().map(|(name, count)| format!("{name}={count}"));
    words.collect::<Vec<_>>().join(" ")
}
