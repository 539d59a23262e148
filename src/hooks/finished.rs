//! A mirrored request that is over.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::{Answer, Request};
use crate::capture::{Failed, Side};
use crate::compare::{self, Differences};
use crate::config;
use crate::content;
use crate::experiment::Role;
use crate::outcome::{Cause, Outcome};

/// The reference's name among backends.
const REFERENCE: &str = "reference";

/// A mirrored request, over with everybody.
///
/// ```
/// use miffy::hooks::Hooks;
///
/// let hooks = Hooks::new().finished(|exchange| {
///     for candidate in exchange.candidates() {
///         let (outcome, failed) = (candidate.outcome(), candidate.backend().error());
///         println!("{}: {} {failed:?}", candidate.name(), outcome.name());
///         for difference in candidate.differences() {
///             println!("  {} {}", difference.path, difference.kind.name());
///         }
///     }
/// });
/// # let _hooks = hooks;
/// ```
pub struct Finished {
    request: Request,
    reference: Option<Arc<Side>>,
    candidates: Vec<Over>,
}

/// What became of one candidate.
pub(crate) struct Over {
    pub(crate) candidate: Arc<config::Candidate>,
    pub(crate) outcome: Outcome,
    /// Its side, unless it was skipped.
    pub(crate) side: Option<Arc<Side>>,
    pub(crate) differences: Differences,
}

/// A backend, and what it answered.
#[derive(Clone, Copy)]
pub struct Backend<'f> {
    name: &'f str,
    role: Role,
    side: Option<&'f Side>,
    limits: content::Limits,
}

/// A candidate, and what became of it.
#[derive(Clone, Copy)]
pub struct Candidate<'f> {
    over: &'f Over,
    backend: Backend<'f>,
}

impl Finished {
    pub(crate) fn new(
        request: Request,
        reference: Option<Arc<Side>>,
        candidates: Vec<Over>,
    ) -> Self {
        Self {
            request,
            reference,
            candidates,
        }
    }

    /// The request as the client sent it.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The reference.
    #[must_use]
    pub fn reference(&self) -> Backend<'_> {
        Backend {
            name: REFERENCE,
            role: Role::Reference,
            side: self.reference.as_deref(),
            limits: self.limits(),
        }
    }

    /// The candidates that were to be asked, in the order of the configuration, each with its outcome.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.candidates.iter().map(|over| Candidate {
            over,
            backend: Backend {
                name: &over.candidate.name,
                role: Role::Candidate,
                side: over.side.as_deref(),
                limits: self.limits(),
            },
        })
    }

    /// The reference, then the candidates.
    pub fn backends(&self) -> impl Iterator<Item = Backend<'_>> {
        let candidates = self.candidates().map(|candidate| candidate.backend);
        std::iter::once(self.reference()).chain(candidates)
    }

    fn limits(&self) -> content::Limits {
        self.request.of().rules.limits
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("request", &self.request)
            .field("reference", &self.reference())
            .field("candidates", &self.candidates().collect::<Vec<_>>())
            .finish()
    }
}

impl<'f> Backend<'f> {
    /// The candidate's name, or `reference`.
    #[must_use]
    pub fn name(&self) -> &'f str {
        self.name
    }

    /// The part that it played.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its answer, if it gave a whole one.
    #[must_use]
    pub fn answer(&self) -> Option<Answer<'f>> {
        let answer = self.side?.as_ref().ok()?;
        Some(Answer::new(answer, self.limits))
    }

    /// Its answer's status.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.answer().map(|answer| answer.status())
    }

    /// Time from sending the request until it had answered or failed; `None` if it was not asked, or what it said was
    /// not waited for.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        Some(match self.side? {
            Ok(answer) => answer.elapsed,
            Err(failed) => failed.elapsed,
        })
    }

    /// Why it gave no whole answer, if it was asked and failed.
    #[must_use]
    pub fn error(&self) -> Option<Cause> {
        let Failed { failure, .. } = self.side?.as_ref().err()?;
        Some(failure.cause)
    }
}

impl fmt::Debug for Backend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("name", &self.name)
            .field("answer", &self.answer())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}

impl<'f> Candidate<'f> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'f str {
        self.backend.name
    }

    /// What it answered.
    #[must_use]
    pub fn backend(&self) -> Backend<'f> {
        self.backend
    }

    /// How the request ended for it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.over.outcome
    }

    /// The first differences, values masked where they are to be hidden.
    #[must_use]
    pub fn differences(&self) -> &'f [compare::Difference] {
        self.over.differences.list()
    }

    /// How many differences there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.over.differences.total()
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("backend", &self.backend)
            .field("outcome", &self.outcome())
            .field("total", &self.total())
            .finish()
    }
}
