//! Hooks as the shadow calls them.

use std::sync::Arc;

use bytes::Bytes;
use http::request;

use super::runner::{Failures, Hook, Reason, Runner};
use super::{
    Choice, Choose, Compare, Edit, EditRequest, Edited, Finish, Finished, Hooks, Judgement, Pair,
    Plugged, Request,
};
use crate::compare::Comparison;
use crate::config::Candidate;

/// Hooks, each with what makes its calls.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    choose: Option<Hooked<Choose>>,
    edit: Option<Hooked<EditRequest>>,
    compare: Option<Hooked<Compare>>,
    finished: Option<Hooked<Finish>>,
}

struct Hooked<F: ?Sized> {
    hook: Arc<F>,
    runner: Runner,
}

impl<F: ?Sized> std::fmt::Debug for Hooked<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.runner.fmt(f)
    }
}

impl Hooks {
    /// Registers the metrics, and gives the sinks apart; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(crate) fn attach(self) -> (Attached, Vec<Plugged>) {
        let [choose, edit, compare, finished, _sink] = Hook::ALL.map(Failures::register);
        let (limit, calls) = (self.time_limit, self.max_calls);
        let runner = |failures| Runner::new(failures, limit, calls);
        let attached = Attached {
            choose: hooked(self.choose, runner(choose)),
            edit: hooked(self.edit, runner(edit)),
            compare: hooked(self.compare, runner(compare)),
            finished: hooked(self.finished, runner(finished)),
        };
        (attached, self.sinks)
    }
}

fn hooked<F: ?Sized>(hook: Option<Arc<F>>, runner: Runner) -> Option<Hooked<F>> {
    hook.map(|hook| Hooked { hook, runner })
}

impl Attached {
    /// Whether candidates are chosen.
    pub(crate) fn chooses(&self) -> bool {
        self.choose.is_some()
    }

    /// Whether requests are edited.
    pub(crate) fn edits(&self) -> bool {
        self.edit.is_some()
    }

    /// Whether answers are compared.
    pub(crate) fn compares(&self) -> bool {
        self.compare.is_some()
    }

    /// Whether somebody looks at what is over.
    pub(crate) fn looks_on(&self) -> bool {
        self.finished.is_some()
    }

    /// Whom to ask; everyone, without a hook.
    pub(crate) async fn choose(&self, request: Request) -> Result<Choice, Reason> {
        let Some(Hooked { hook, runner }) = &self.choose else {
            return Ok(Choice::All);
        };
        let hook = hook.clone();
        runner.run(move || hook(&request)).await
    }

    /// What a candidate is sent.
    pub(crate) async fn edit(
        &self,
        request: Request,
        candidate: Arc<Candidate>,
        head: request::Parts,
        body: Bytes,
    ) -> Result<Edited, Reason> {
        let mut edit = Edit::new(request, candidate, head, body);
        let Some(Hooked { hook, runner }) = &self.edit else {
            return edit.finish().map_err(|_unchanged| Reason::Invalid);
        };
        let hook = hook.clone();
        let edited = runner.run(move || {
            hook(&mut edit);
            edit.finish()
        });
        edited.await?.map_err(|problem| {
            runner.refuse(problem);
            Reason::Invalid
        })
    }

    /// What differs of two answers; what was found, without a hook.
    pub(crate) async fn compare(&self, pair: Pair) -> Result<Comparison, Reason> {
        let Some(Hooked { hook, runner }) = &self.compare else {
            return Ok(pair.settle(Judgement::as_it_is()));
        };
        let hook = hook.clone();
        // There may be many differences, so that they are seen to within the call.
        runner.run(move || pair.settle(hook(&pair))).await
    }

    /// Shows what is over to whoever looks on.
    pub(crate) async fn finished(&self, finished: Finished) {
        if let Some(Hooked { hook, runner }) = &self.finished {
            let hook = hook.clone();
            // A failure was counted, and nobody depends on it.
            let _done = runner.run(move || hook(&finished)).await;
        }
    }
}
