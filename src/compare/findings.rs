//! What a comparison has found so far.

use super::Comparison;
use super::difference::{Difference, Differences, Kind, Noise, Shown};
use super::rules::{Action, Place, Rules, TextRules};

/// Notes that are kept.
const MAX_NOTES: usize = 10;

/// Where a difference that has no path within a document is.
pub(super) const BODY: &str = "body";

pub(super) struct Findings<'r> {
    pub(super) rules: &'r Rules,
    pub(super) differences: Differences,
    /// By rule.
    pub(super) hits: Vec<u64>,
    pub(super) notes: Vec<String>,
    /// The rule that takes out whatever is found.
    pub(super) ignored_by: Option<usize>,
    /// Within something that is hidden: whether anything was found, which is all that is told.
    hidden: Option<bool>,
    noise: Option<Noise<'r>>,
}

impl<'r> Findings<'r> {
    pub(super) fn none(rules: &'r Rules, noise: Option<Noise<'r>>) -> Self {
        Self {
            rules,
            differences: Differences::none(rules.max_differences),
            hits: vec![0; rules.list.len()],
            notes: Vec::new(),
            ignored_by: None,
            hidden: None,
            noise,
        }
    }

    pub(super) fn into_comparison(self) -> Comparison {
        Comparison {
            differences: self.differences,
            hits: self.hits,
            notes: self.notes,
        }
    }

    /// Adds what differs at a location, unless it is ignored.
    pub(super) fn add(
        &mut self,
        location: String,
        kind: Kind,
        difference: impl FnOnce() -> Difference,
    ) {
        match (self.ignored_by, &mut self.hidden) {
            (Some(rule), _) => self.hit(rule),
            (None, Some(found)) => *found = true,
            (None, None) => self.differences.add(location, kind, self.noise, difference),
        }
    }

    /// Adds what differs at a place outside of documents, unless a rule takes it out.
    pub(super) fn add_at(
        &mut self,
        place: &Place,
        kind: Kind,
        values: impl FnOnce() -> (Option<Shown>, Option<Shown>),
    ) {
        if let Some(rule) = self.ignoring(place) {
            return self.hit(rule);
        }
        let path = place.to_string();
        self.add(path.clone(), kind, || Difference::new(path, kind, values()));
    }

    /// The first rule for a place outside of documents of which something is to be had.
    fn first_at<T>(
        &self,
        place: &Place,
        get: impl Fn(&'r Action) -> Option<T>,
    ) -> Option<(usize, T)> {
        let mut rules = self.rules.list.iter().enumerate();
        rules.find_map(|(index, rule)| {
            let is_here = rule.place == *place;
            is_here
                .then(|| get(&rule.action))
                .flatten()
                .map(|got| (index, got))
        })
    }

    /// The rule by which nothing at a place outside of documents is a difference.
    pub(super) fn ignoring(&self, place: &Place) -> Option<usize> {
        self.first_at(place, Action::ignore).map(|(rule, ())| rule)
    }

    /// The rules for the texts at a place outside of documents.
    pub(super) fn text_rules(&self, place: &Place) -> TextRules<'r> {
        TextRules {
            values: self.first_at(place, Action::like),
            text: self.first_at(place, Action::fold),
        }
    }

    /// Begins with something that is hidden: what is found from here on is not told. Gives whether it does;
    /// what is within something hidden is no other thing.
    pub(super) fn hide(&mut self) -> bool {
        let begins = self.hidden.is_none();
        self.hidden.get_or_insert(false);
        begins
    }

    /// Ends it; gives whether anything was found.
    pub(super) fn show(&mut self) -> bool {
        self.hidden.take().unwrap_or_default()
    }

    /// A rule took something out.
    pub(super) fn hit(&mut self, rule: usize) {
        self.hits[rule] += 1;
    }

    /// Notes how something was compared.
    pub(super) fn note(&mut self, note: impl FnOnce() -> String) {
        if self.notes.len() < MAX_NOTES && self.hidden.is_none() {
            self.notes.push(note());
        }
    }
}
