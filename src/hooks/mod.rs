//! What is plugged into miffy in code: hooks, and sinks of one's own.
//!
//! [`Hooks`] holds them. Given to [`App::bind`](crate::app::App::bind), they are called for every mirrored request,
//! of all experiments; which experiment it is, [`Request::experiment`] says. `docs/library.md` tells it to users.
//!
//! ```text
//! request, whole ─► choose ─► edit (each candidate) ─► candidates ─► compare (each) ─► finished
//!                                                                      └─► record ─► sinks
//! ```
//!
//! Invariants:
//!
//! - No hook runs on the live path. Clients are answered, and the reference is asked, whatever hooks do: what the
//!   reference is sent is for the configuration alone to say.
//! - A call is made on a thread for such calls, not on those that exchanges run on. It may block.
//! - A call that takes longer than [`Hooks::time_limit`] is cut off: nobody waits for it any longer, and what it gives
//!   is thrown away. It keeps its place among the [`Hooks::max_calls`] of its hook until it returns. While all of
//!   them are taken so, the hook is not called.
//! - A panic, a call that is cut off, and one that is not made are counted (`miffy_hook_failures_total`).
//! - Nothing is sent that was not chosen and edited, and what could not be compared is never equal.
//! - Where there are no hooks, nothing is copied or moved to other threads for them.
//!
//! | what failed | what becomes of it |
//! |---|---|
//! | choose | no candidate is asked; each ends as `skipped` with the reason `hook` |
//! | edit | the candidate is not asked; it ends as `skipped` with the reason `hook` |
//! | compare | what differs by the rules stays so, with a note in the record; what is alike by them ends as `skipped` with the reason `hook` |
//! | finished | nothing |
//! | a sink | its records wait, and are given to it again |
//!
//! # Layout
//!
//! - `answer`: an answer, as hooks see it
//! - `attached`: hooks as the shadow calls them
//! - `compare`: what two answers are found to be
//! - `edit`: a candidate's request that can be changed
//! - `finished`: a mirrored request that is over
//! - `request`: a request, and who is chosen for it
//! - `runner`: calls of a hook, within their bounds
//! - `sink`: where records go

mod answer;
mod attached;
mod compare;
mod edit;
mod finished;
mod request;
mod runner;
mod sink;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use answer::{Answer, NotWhole};
pub(crate) use attached::Attached;
pub use compare::{Difference, Judgement, Pair};
pub(crate) use edit::Edited;
pub use edit::{Edit, InvalidTarget};
pub(crate) use finished::Over;
pub use finished::{Backend, Candidate, Finished};
pub use request::{Choice, Request};
pub(crate) use runner::{Failures, Hook, Reason};
pub use sink::{Record, Refusal, Sink};

/// How long a call may take if nothing else is said.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Calls of each hook at a time if nothing else is said.
const MAX_CALLS: usize = 16;

/// The most that can be said: each may hold a thread for ever.
const MOST_CALLS: usize = 64;

type Choose = dyn Fn(&Request) -> Choice + Send + Sync;
type EditRequest = dyn Fn(&mut Edit) + Send + Sync;
type Compare = dyn Fn(&Pair) -> Judgement + Send + Sync;
type Finish = dyn Fn(&Finished) + Send + Sync;

/// Hooks, none at first. One that is set again takes the place of the one before.
///
/// ```
/// use http::Method;
/// use miffy::hooks::{Choice, Hooks, Judgement};
///
/// let hooks = Hooks::new()
///     .choose(|request| Choice::from(request.method() == Method::GET))
///     .edit(|edit| edit.set_header("x-shadow-for", "miffy"))
///     .compare(|pair| match (pair.reference().status(), pair.candidate().status()) {
///         (a, b) if a.is_server_error() && b.is_server_error() => Judgement::equal(),
///         _ => Judgement::as_it_is(),
///     })
///     .finished(|exchange| {
///         for backend in exchange.backends() {
///             println!("{}: {:?} in {:?}", backend.name(), backend.status(), backend.elapsed());
///         }
///     });
/// # let _hooks = hooks;
/// ```
#[must_use = "hooks do nothing until they are given to App::bind"]
pub struct Hooks {
    choose: Option<Arc<Choose>>,
    edit: Option<Arc<EditRequest>>,
    compare: Option<Arc<Compare>>,
    finished: Option<Arc<Finish>>,
    sinks: Vec<Plugged>,
    time_limit: Duration,
    max_calls: usize,
}

/// A sink and its name.
pub(crate) struct Plugged {
    pub(crate) name: &'static str,
    pub(crate) sink: Box<dyn Sink>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sinks: Vec<&str> = self.sinks.iter().map(|plugged| plugged.name).collect();
        f.debug_struct("Hooks")
            .field("choose", &self.choose.is_some())
            .field("edit", &self.edit.is_some())
            .field("compare", &self.compare.is_some())
            .field("finished", &self.finished.is_some())
            .field("sinks", &sinks)
            .field("time_limit", &self.time_limit)
            .field("max_calls", &self.max_calls)
            .finish()
    }
}

impl Hooks {
    /// None yet.
    pub fn new() -> Self {
        Self {
            choose: None,
            edit: None,
            compare: None,
            finished: None,
            sinks: Vec::new(),
            time_limit: TIME_LIMIT,
            max_calls: MAX_CALLS,
        }
    }

    /// Chooses, for each request that is to be mirrored, which of its experiment's candidates are asked. It is called
    /// once the request is whole. The reference is always asked.
    ///
    /// Who is not chosen ends as `skipped` with the reason `not_chosen`, which is counted.
    ///
    /// ```
    /// use miffy::hooks::{Choice, Hooks};
    ///
    /// let hooks = Hooks::new().choose(|request| match request.param("version") {
    ///     Some("1") => Choice::only(["rewrite"]),
    ///     Some(_) => Choice::All,
    ///     None => Choice::None,
    /// });
    /// # let _hooks = hooks;
    /// ```
    pub fn choose(mut self, choose: impl Fn(&Request) -> Choice + Send + Sync + 'static) -> Self {
        self.choose = Some(Arc::new(choose));
        self
    }

    /// Changes what a candidate is sent: target, headers, body. It is called for each candidate that is asked, after
    /// what the configuration says of it was done. The reference's request is not to be changed in code.
    ///
    /// ```
    /// use miffy::hooks::Hooks;
    ///
    /// let hooks = Hooks::new().edit(|edit| {
    ///     if edit.candidate() == "sandbox" {
    ///         edit.set_header("host", "sandbox.example");
    ///     }
    ///     edit.headers_mut().remove("cookie");
    /// });
    /// # let _hooks = hooks;
    /// ```
    pub fn edit(mut self, edit: impl Fn(&mut Edit) + Send + Sync + 'static) -> Self {
        self.edit = Some(Arc::new(edit));
        self
    }

    /// Compares two answers beside the rules of the configuration. It is called for each candidate that is compared,
    /// if both sides answered, and sees what was found by the rules.
    ///
    /// ```
    /// use miffy::compare::Kind;
    /// use miffy::hooks::{Difference, Hooks, Judgement};
    ///
    /// let hooks = Hooks::new().compare(|pair| {
    ///     let [reference, candidate] = [pair.reference(), pair.candidate()].map(|it| it.elapsed());
    ///     if candidate > 2 * reference {
    ///         let slower = Difference::new("elapsed_ms", Kind::Changed)
    ///             .reference(reference.as_millis().to_string())
    ///             .candidate(candidate.as_millis().to_string());
    ///         return Judgement::Add(vec![slower]);
    ///     }
    ///     Judgement::as_it_is()
    /// });
    /// # let _hooks = hooks;
    /// ```
    pub fn compare(mut self, compare: impl Fn(&Pair) -> Judgement + Send + Sync + 'static) -> Self {
        self.compare = Some(Arc::new(compare));
        self
    }

    /// Looks at each mirrored request once it is over with the reference and all candidates, if at least one candidate
    /// was to be asked when the request was whole and chosen.
    ///
    /// Until then, the bodies of all answers are held (within `capture.max_total`).
    pub fn finished(mut self, finished: impl Fn(&Finished) + Send + Sync + 'static) -> Self {
        self.finished = Some(Arc::new(finished));
        self
    }

    /// Adds a place for records to go, beside those of the configuration. Its name is the label `sink` of its metrics
    /// and the name of its directory in the spool: letters, digits, `_` and `-`. It must not be that of another sink.
    ///
    /// ```
    /// use miffy::hooks::{Hooks, Record, Refusal};
    ///
    /// let (records, _inbox) = std::sync::mpsc::channel();
    /// let hooks = Hooks::new().sink("channel", move |record: &Record<'_>| {
    ///     let text = String::from_utf8_lossy(record.payload).into_owned();
    ///     records.send(text).map_err(|error| Refusal::Retry(error.to_string()))
    /// });
    /// # let _hooks = hooks;
    /// ```
    pub fn sink(mut self, name: &'static str, sink: impl Sink + 'static) -> Self {
        let sink = Box::new(sink);
        self.sinks.push(Plugged { name, sink });
        self
    }

    /// How long a call may take before it is cut off; 1 s if nothing is said. A sink's calls may take any time.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How many calls of each hook there are at a time, 1 to 64; 16 if nothing is said. Others wait for a place, at most
    /// for the time limit.
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.max_calls = calls.clamp(1, MOST_CALLS);
        self
    }
}
