//! A request, as hooks see it, and who is chosen for it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::capture::Sent;
use crate::experiment::Experiment;

/// A request of an experiment, whole, as the client sent it: nothing is rewritten or masked. Headers that are for one
/// connection only are not there.
///
/// A clone is the same request, whose body stays in memory as long as there is one.
///
/// ```
/// use miffy::hooks::{Choice, Hooks};
///
/// let hooks = Hooks::new().choose(|request| {
///     let is_small = request.body().len() < 1024;
///     let is_beta = request.header("x-beta") == Some("1");
///     Choice::from(request.experiment() == "search" && is_small && is_beta)
/// });
/// # let _hooks = hooks;
/// ```
#[derive(Clone)]
pub struct Request {
    experiment: Arc<Experiment>,
    sent: Arc<Sent>,
}

/// Whom of the experiment's candidates to ask.
///
/// ```
/// use miffy::hooks::Choice;
///
/// assert_eq!(Choice::from(true), Choice::All);
/// assert!(Choice::only(["sandbox"]).contains("sandbox"));
/// assert!(!Choice::only(["sandbox"]).contains("next"));
/// assert!(!Choice::None.contains("next"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// Everyone.
    #[default]
    All,
    /// No one.
    None,
    /// Those of these names. A name that no candidate has is passed over.
    Only(BTreeSet<String>),
}

impl fmt::Debug for Request {
    /// Without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("experiment", &self.experiment())
            .field("method", self.method())
            .finish_non_exhaustive()
    }
}

impl Request {
    pub(crate) fn new(experiment: &Arc<Experiment>, sent: &Arc<Sent>) -> Self {
        Self {
            experiment: experiment.clone(),
            sent: sent.clone(),
        }
    }

    /// The experiment's name.
    #[must_use]
    pub fn experiment(&self) -> &str {
        &self.experiment.name
    }

    /// The names of the experiment's candidates, in the order of the configuration.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        let candidates = self.experiment.candidates.iter();
        candidates.map(|candidate| candidate.name.as_str())
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.sent.head.method
    }

    /// The path and, if there is one, the query behind a `?`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.sent.head.target.as_str()
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.sent.head.target.path()
    }

    /// The query, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.sent.head.target.query()
    }

    /// A parameter of the experiment's path pattern, as it stands in the path (not decoded).
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params().into_iter();
        params.find_map(|(it, value)| (it == name).then_some(value))
    }

    /// All parameters, in the order of the pattern.
    #[must_use]
    pub fn params(&self) -> Vec<(&str, &str)> {
        self.experiment.params(self.path())
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.sent.head.headers
    }

    /// A header's first value, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The body, all of it: a request whose body is over the bound of captured bodies is not mirrored.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.sent.body.content.bytes()
    }

    pub(super) fn of(&self) -> &Arc<Experiment> {
        &self.experiment
    }

    pub(super) fn sent(&self) -> &Sent {
        &self.sent
    }
}

impl Choice {
    /// Those of these names.
    #[must_use]
    pub fn only<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }

    /// Whether a candidate of this name is to be asked.
    #[must_use]
    pub fn contains(&self, candidate: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(names) => names.contains(candidate),
        }
    }
}

impl From<bool> for Choice {
    /// Everyone, or no one.
    fn from(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }
}
