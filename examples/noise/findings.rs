//! What became of requests.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{bail, ensure};
use miffy::compare::Differences;
use miffy::outcome::Outcome;
use miffy::shadow::{Observer, Report};
use tokio::sync::mpsc;

use crate::services::{right_price, wrong_price};

/// Requests ask for these items in turn.
const ITEMS: usize = 20;

/// Tells what became of each request. There is only one at a time.
pub(crate) struct Teller(pub(crate) mpsc::Sender<(Outcome, Differences)>);

impl Observer for Teller {
    fn ended(&self, report: &Report<'_>) {
        let differences = report.pair.map(|(_, _, differences)| differences.clone());
        let told = (report.outcome, differences.unwrap_or_default());
        let _ended = self.0.try_send(told);
    }
}

/// What became of some of the requests.
#[derive(Default)]
pub(crate) struct Findings {
    requests: Range<usize>,
    pub(crate) different: usize,
    /// How many differences there are, by location and kind.
    differences: BTreeMap<(String, &'static str), usize>,
    /// How many more were taken out as noise.
    noise: usize,
}

impl Findings {
    pub(crate) fn add(
        &mut self,
        request: usize,
        outcome: Outcome,
        of: &Differences,
    ) -> anyhow::Result<()> {
        match outcome {
            Outcome::Different => self.different += 1,
            Outcome::Equal => {}
            other => bail!("a request was not compared: {}", other.name()),
        }
        if self.requests.is_empty() {
            self.requests.start = request;
        }
        self.requests.end = request + 1;
        for difference in of.list() {
            let class = (difference.location.clone(), difference.kind.name());
            *self.differences.entry(class).or_default() += 1;
        }
        self.noise += of.noise();
        Ok(())
    }

    pub(crate) fn show(&self) {
        let (Range { start, end }, different) = (&self.requests, self.different);
        if self.requests.is_empty() {
            return;
        }
        let equal = end - start - different;
        println!(
            "\nrequests {} to {end}: {different} different, {equal} equal",
            start + 1
        );
        for ((location, kind), number) in &self.differences {
            println!("  {location:14}{kind:12}{number:>5}");
        }
        if self.noise > 0 {
            println!("  {:26}{:>5}", "taken out as noise", self.noise);
        }
    }

    /// Checks that the wrong prices are there, and nothing else is.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let wrong = wrong_prices(self.requests.clone());
        let expected = BTreeMap::from([(("/price".to_owned(), "changed"), wrong)]);
        let is_so = self.different == wrong && self.differences == expected;
        ensure!(is_so, "not the {wrong} wrong prices, and nothing else");
        Ok(())
    }
}

/// The item that a request asks for.
pub(crate) fn item(request: usize) -> usize {
    request % ITEMS + 1
}

/// How many of these requests ask for an item with a wrong price.
pub(crate) fn wrong_prices(requests: Range<usize>) -> usize {
    let is_wrong = |item: &usize| right_price(*item) != wrong_price(*item);
    requests.map(item).filter(is_wrong).count()
}
