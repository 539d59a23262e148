//! What miffy says that became of records, over its restarts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::metrics::Metrics;

/// The outcome of a pair that differs.
const DIFFERENT: &str = "different";

/// One sink's: there is but one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// Pairs that differ.
    pub(crate) different: u64,
    /// Requests of which no difference was found, by their outcome.
    pub(crate) others: BTreeMap<String, u64>,
    /// Records of the differences, as the sink's own counter says, but for those of an earlier process.
    pub(crate) found: u64,
    pub(crate) published: u64,
    pub(crate) shortened: u64,
    /// By reason.
    pub(crate) dropped: BTreeMap<String, u64>,
    /// In memory only.
    pub(crate) waiting: u64,
    pub(crate) spooled: u64,
    pub(crate) spool_bytes: u64,
    /// Pairs that are not over.
    pub(crate) in_flight: u64,
}

impl Ledger {
    pub(crate) fn scrape(management: SocketAddr) -> anyhow::Result<Self> {
        let metrics = Metrics::scrape(management)?;
        let mut dropped = metrics.by("miffy_records_dropped_total", &["reason"]);
        dropped.retain(|_, count| *count > 0);
        let mut others = metrics.outcomes();
        others.retain(|_, count| *count > 0);
        Ok(Self {
            different: others.remove(DIFFERENT).unwrap_or_default(),
            others,
            found: metrics.sum("miffy_records_found_total")
                - metrics.sum("miffy_records_recovered_total"),
            published: metrics.sum("miffy_records_published_total"),
            shortened: metrics.sum("miffy_records_shortened_total"),
            dropped,
            waiting: metrics.sum("miffy_delivery_waiting_records"),
            spooled: metrics.sum("miffy_spool_records"),
            spool_bytes: metrics.sum("miffy_spool_bytes"),
            in_flight: metrics.sum("miffy_shadow_in_flight"),
        })
    }

    pub(crate) fn backlog(&self) -> u64 {
        self.waiting + self.spooled
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Adds what a miffy counted that has ended.
    pub(crate) fn add(&mut self, other: &Self) {
        self.different += other.different;
        self.found += other.found;
        self.published += other.published;
        self.shortened += other.shortened;
        add(&mut self.others, &other.others);
        add(&mut self.dropped, &other.dropped);
    }

    /// Takes from miffy's last event what its stop has published and dropped since the last scrape.
    pub(crate) fn correct(&mut self, stopped: &Value) {
        if let Some(published) = stopped["published"].as_u64() {
            self.published = published;
        }
        let dropped = stopped["dropped"].as_u64().unwrap_or_default();
        let since = dropped.saturating_sub(self.dropped());
        if since > 0 {
            *self.dropped.entry("shutdown".to_owned()).or_default() += since;
        }
    }
}

fn add(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        *sums.entry(name.clone()).or_default() += count;
    }
}
