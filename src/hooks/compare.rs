//! What two answers are found to be.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::{Answer, Request};
use crate::capture::{self, Side};
use crate::compare::{self, Comparison, Differences, Kind};
use crate::config;
use crate::content::Media;

/// What is noted of a comparison whose differences a hook replaced.
const REPLACED: &str = "compared in code, in place of the rules";

/// Both answers to a request, and what differs by the rules of the configuration.
pub struct Pair {
    request: Request,
    candidate: Arc<config::Candidate>,
    /// Both answered.
    sides: [Arc<Side>; 2],
    found: Arc<Comparison>,
}

/// What a comparison in code makes of what the rules have found.
///
/// ```
/// use miffy::hooks::Judgement;
///
/// assert_eq!(Judgement::as_it_is(), Judgement::Add(vec![]));
/// assert_eq!(Judgement::equal(), Judgement::Replace(vec![]));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it is the comparison's result"]
pub enum Judgement {
    /// What the rules have found holds, and these are differences, too.
    Add(Vec<Difference>),
    /// These are the differences, and what the rules have found are none.
    Replace(Vec<Difference>),
}

/// A difference that was found in code.
///
/// The path says which values must not be shown. A JSON Pointer is one into the body, as in `/user/name`; what
/// `redact.body` hides there is masked. So are values at `header:` with a name that `redact.headers` hides. `status` is
/// shown. Of any other path nobody knows where its values come from, so they are masked if `redact.body` hides anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    path: String,
    kind: Kind,
    reference: Option<Value>,
    candidate: Option<Value>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("request", &self.request)
            .field("name", &self.name())
            .field("reference", &self.reference())
            .field("candidate", &self.candidate())
            .finish_non_exhaustive()
    }
}

impl Pair {
    /// `None` unless both answered.
    pub(crate) fn new(
        request: Request,
        candidate: Arc<config::Candidate>,
        sides: [Arc<Side>; 2],
        found: Arc<Comparison>,
    ) -> Option<Self> {
        sides.iter().all(|side| side.is_ok()).then_some(Self {
            request,
            candidate,
            sides,
            found,
        })
    }

    /// The request as the client sent it.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The candidate's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.candidate.name
    }

    /// The reference's answer.
    #[must_use]
    pub fn reference(&self) -> Answer<'_> {
        self.answer(0)
    }

    /// The candidate's answer.
    #[must_use]
    pub fn candidate(&self) -> Answer<'_> {
        self.answer(1)
    }

    /// The first differences by the rules, values masked where they are to be hidden.
    #[must_use]
    pub fn differences(&self) -> &[compare::Difference] {
        self.found.differences.list()
    }

    /// How many differences there are by the rules; 0 if the answers are equal.
    #[must_use]
    pub fn total(&self) -> usize {
        self.found.differences.total()
    }

    /// What differs by this judgement.
    pub(super) fn settle(&self, judgement: Judgement) -> Comparison {
        let mut found = (*self.found).clone();
        let experiment = self.request.of();
        let more = match judgement {
            Judgement::Add(more) => more,
            Judgement::Replace(instead) => {
                found.differences = Differences::none(experiment.rules.max_differences);
                found.notes.push(REPLACED.to_owned());
                instead
            }
        };
        // Bodies of several documents are compared as one array, which patterns of places know.
        let is_one = |answer: Answer<'_>| Media::of(answer.headers()) == Media::Json;
        let media = if is_one(self.reference()) && is_one(self.candidate()) {
            Media::Json
        } else {
            Media::Events
        };
        let redaction = &experiment.redaction;
        for difference in more {
            let shown = |value: Option<Value>| {
                let text = value?.to_string();
                Some(redaction.found(&difference.path, &text, media).into_owned())
            };
            let values = (shown(difference.reference), shown(difference.candidate));
            let differences = &mut found.differences;
            differences.add_found(&difference.path, difference.kind, values);
        }
        found
    }

    fn answer(&self, place: usize) -> Answer<'_> {
        let answer: &capture::Answer = (*self.sides[place]).as_ref().expect("both answered");
        Answer::new(answer, self.request.of().rules.limits)
    }
}

impl Judgement {
    /// What the rules have found holds.
    pub fn as_it_is() -> Self {
        Self::Add(Vec::new())
    }

    /// The answers are equal, whatever the rules have found.
    pub fn equal() -> Self {
        Self::Replace(Vec::new())
    }
}

impl Difference {
    /// A difference without values.
    #[must_use]
    pub fn new(path: impl Into<String>, kind: Kind) -> Self {
        Self {
            path: path.into(),
            kind,
            reference: None,
            candidate: None,
        }
    }

    /// With the reference's value.
    #[must_use]
    pub fn reference(mut self, value: impl Into<Value>) -> Self {
        self.reference = Some(value.into());
        self
    }

    /// With the candidate's value.
    #[must_use]
    pub fn candidate(mut self, value: impl Into<Value>) -> Self {
        self.candidate = Some(value.into());
        self
    }
}
