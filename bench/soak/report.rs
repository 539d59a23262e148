//! A row of the table, and what is wrong with it.

use std::fmt;

use crate::load::Tally;
use crate::metrics::Outcomes;
use crate::process::Usage;
use crate::sampler::Peaks;

pub(crate) const HEADER: &str = "\
| fault | live requests | failed | p50/p99 direct ms | p50/p99 through miffy ms | added p99 ms \
| peak sockets | peak threads | peak MiB | sockets after | MiB after | s until idle | outcomes |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|";

/// Everything about one case.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Requests straight to the reference, and the same through miffy.
    pub(crate) direct: Tally,
    pub(crate) through: Tally,
    pub(crate) peaks: Peaks,
    pub(crate) after: Usage,
    /// From the last answer until miffy was as it was before.
    pub(crate) idle_after_s: f64,
    pub(crate) outcomes: Outcomes,
    /// What does not hold.
    pub(crate) broken: Vec<String>,
}

impl Row {
    /// Notes what does not hold.
    pub(crate) fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(what());
        }
    }

    /// What miffy added to the 99th percentile, in milliseconds.
    pub(crate) fn added_p99(&mut self) -> f64 {
        self.through.quantile(0.99) - self.direct.quantile(0.99)
    }

    /// The line of the table.
    pub(crate) fn line(&mut self) -> String {
        let live = self.through.latencies.len() as u64 + self.through.failed;
        let failed = self.through.failed;
        let [direct, through] = [&mut self.direct, &mut self.through]
            .map(|tally| (tally.quantile(0.5), tally.quantile(0.99)));
        let outcomes: Vec<String> = self
            .outcomes
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(outcome, count)| format!("{outcome}={count}"))
            .collect();
        let columns: [&dyn fmt::Display; 13] = [
            &self.name,
            &live,
            &failed,
            &format!("{:.2}/{:.2}", direct.0, direct.1),
            &format!("{:.2}/{:.2}", through.0, through.1),
            &format!("{:.2}", through.1 - direct.1),
            &self.peaks.usage.sockets,
            &self.peaks.usage.threads,
            &self.peaks.usage.memory_mib(),
            &self.after.sockets,
            &self.after.memory_mib(),
            &format!("{:.1}", self.idle_after_s),
            &outcomes.join(" "),
        ];
        let columns = columns.map(|column| format!("| {column} "));
        columns.concat() + "|"
    }
}
