//! `miffy check --against FILE`: what these rules would leave of records that were captured before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::Path;

use anyhow::{Context, bail};
use http::{HeaderMap, Uri};

use super::{complain, print, table};
use crate::compare::{Action, Bodies, Comparison, Head, Place, Rules, compare};
use crate::config::{Route, Settings};
use crate::content::Body;
use crate::record::{CapturedAnswer, CapturedRecord};
use crate::redact::Redaction;

/// Lines that are no records, of which it is told what is wrong.
const TOLD: u64 = 5;

pub(super) fn run(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    let mut report = Report::default();
    let lines: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        let opened = File::open(file).with_context(|| format!("can't read {}", file.display()))?;
        Box::new(BufReader::new(opened))
    };
    for (number, line) in (1..).zip(lines.split(b'\n')) {
        let line = line.with_context(|| format!("can't read {}", file.display()))?;
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            continue;
        }
        match CapturedRecord::read(&line) {
            Ok(record) => report.add(&settings.routes, &record),
            Err(error) => {
                report.unreadable += 1;
                if report.unreadable <= TOLD {
                    complain(&format!("line {number} is no record: {error}"));
                }
            }
        }
    }
    if report.records == 0 {
        bail!("{} has no records", file.display());
    }
    print(&report.to_string())
}

/// What was found in all records.
#[derive(Default)]
struct Report {
    records: u64,
    /// Records in which something is left.
    remaining: u64,
    unreadable: u64,
    /// Records of no route of this configuration.
    strange: u64,
    /// Records with a part of a response cut off.
    cut: u64,
    /// By experiment, location and kind: records without rules, and with them.
    classes: BTreeMap<(String, String, String), (u64, u64)>,
    /// By rule: what it took out.
    rules: BTreeMap<String, u64>,
}

impl Report {
    fn add(&mut self, routes: &[Route], record: &CapturedRecord) {
        self.records += 1;
        let Some(route) = route_of(routes, record) else {
            self.strange += 1;
            return;
        };
        for rule in &route.rules.list {
            self.rules.entry(rule.to_string()).or_default();
        }
        let remaining = match (&record.failed, &record.reference, &record.candidate) {
            (Some(failed), ..) => {
                self.count(route, (failed.clone(), String::new()), (1, 1));
                1
            }
            (None, Some(reference), Some(candidate)) if !record.is_cut => {
                self.compare(route, reference, candidate)
            }
            _ => {
                self.cut += 1;
                self.ignore(route, record)
            }
        };
        self.remaining += u64::from(remaining > 0);
    }

    /// Compares both answers again, without rules and with them; gives how many differences are left.
    fn compare(
        &mut self,
        route: &Route,
        reference: &CapturedAnswer,
        candidate: &CapturedAnswer,
    ) -> usize {
        let without = Rules {
            list: Vec::new(),
            ..route.rules.clone()
        };
        let before = compared(reference, candidate, &without);
        let after = compared(reference, candidate, &route.rules);
        for (location, kind, _) in before.differences.classes() {
            let class = (location.to_owned(), kind.name().to_owned());
            self.count(route, class, (1, 0));
        }
        for (location, kind, _) in after.differences.classes() {
            let class = (location.to_owned(), kind.name().to_owned());
            self.count(route, class, (0, 1));
        }
        for (rule, hits) in route.rules.list.iter().zip(&after.hits) {
            *self.rules.entry(rule.to_string()).or_default() += hits;
        }
        after.differences.total()
    }

    /// Applies what ignores places to the recorded differences; gives how many are left.
    fn ignore(&mut self, route: &Route, record: &CapturedRecord) -> usize {
        // What is not listed may be anything.
        let mut remaining = record.unlisted;
        let mut classes = BTreeMap::<_, u64>::new();
        for (path, kind) in &record.differences {
            let rules = &route.rules.list;
            let rule = rules
                .iter()
                .find(|rule| rule.action == Action::Ignore && leads_to(&rule.place, path));
            let is_left = u64::from(rule.is_none());
            *classes.entry((general(path), kind.clone())).or_default() |= is_left;
            match rule {
                Some(rule) => *self.rules.entry(rule.to_string()).or_default() += 1,
                None => remaining += 1,
            }
        }
        for (class, is_left) in classes {
            self.count(route, class, (1, is_left));
        }
        remaining
    }

    fn count(&mut self, route: &Route, (location, kind): (String, String), more: (u64, u64)) {
        let class = (route.name.clone(), location, kind);
        let count = self.classes.entry(class).or_default();
        *count = (count.0 + more.0, count.1 + more.1);
    }
}

/// The route that a record belongs to. Without its name, of several routes on a path it is the first one whose
/// conditions its target meets, as far as a record tells.
fn route_of<'r>(routes: &'r [Route], record: &CapturedRecord) -> Option<&'r Route> {
    let named = record.experiment.as_ref();
    if let Some(route) = routes.iter().find(|route| Some(&route.name) == named) {
        return Some(route);
    }
    let of_path = || routes.iter().filter(|route| route.path == record.route);
    let uri: Uri = record.target.parse().unwrap_or_default();
    let is_met = |route: &&Route| route.conditions.are_met(&uri, &HeaderMap::new());
    of_path().find(is_met).or_else(|| of_path().next())
}

fn compared(reference: &CapturedAnswer, candidate: &CapturedAnswer, rules: &Rules) -> Comparison {
    fn head(answer: &CapturedAnswer) -> Head<'_> {
        Head {
            status: answer.status,
            headers: &answer.headers,
        }
    }
    let a = Body::new(&reference.headers, &reference.body, rules.limits);
    let b = Body::new(&candidate.headers, &candidate.body, rules.limits);
    let redaction = Redaction::nothing();
    let bodies = Bodies::Whole(&a, &b);
    compare(
        head(reference),
        head(candidate),
        bodies,
        rules,
        None,
        &redaction,
    )
}

/// Whether a place is, or is around, the one at a recorded path.
fn leads_to(place: &Place, path: &str) -> bool {
    let is_pointer = path.is_empty() || path.starts_with('/');
    match place {
        Place::Pointer(pattern) => is_pointer && pattern.is_around(path),
        Place::Body => is_pointer || path == "body",
        Place::Status | Place::Header(_) => path == place.to_string(),
    }
}

/// A recorded path's location: what looks like an index is taken for one.
fn general(path: &str) -> String {
    let is_index =
        |segment: &str| !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
    let segments = path
        .split('/')
        .map(|it| if is_index(it) { "*" } else { it });
    segments.collect::<Vec<_>>().join("/")
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let titles = ["experiment", "location", "kind", "before", "after"]
            .map(str::to_owned)
            .to_vec();
        let rows = self
            .classes
            .iter()
            .map(|((experiment, location, kind), (before, after))| {
                let location = match location.as_str() {
                    "" => "the whole body",
                    location => location,
                };
                let numbers = [before.to_string(), after.to_string()];
                let [before, after] = numbers;
                vec![
                    experiment.clone(),
                    location.to_owned(),
                    kind.clone(),
                    before,
                    after,
                ]
            });
        for line in table(std::iter::once(titles).chain(rows).collect()) {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "\nrecords that would remain: {} of {}",
            self.remaining,
            self.records - self.strange
        )?;
        for (number, what) in [
            (self.strange, "are of no route of this configuration"),
            (
                self.cut,
                "are not all there: only what ignores places was applied to them",
            ),
            (self.unreadable, "lines are no records"),
        ] {
            if number > 0 {
                writeln!(f, "  {number} {what}")?;
            }
        }
        if self.rules.is_empty() {
            return writeln!(f, "\nthere are no rules");
        }
        writeln!(f, "\nrules")?;
        for (rule, hits) in &self.rules {
            match hits {
                0 => writeln!(f, "  {rule}: never matched")?,
                hits => writeln!(f, "  {rule}: {hits}")?,
            }
        }
        Ok(())
    }
}
