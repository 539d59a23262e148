//! Where hooks come in: before candidates are asked, before one is, when a pair is judged, and when all are over.
//!
//! Each way is the short one where there is no hook.

use std::sync::Arc;

use bytes::Bytes;
use http::request;
use http::uri::PathAndQuery;

use super::contender::Contender;
use super::exchange::Reference;
use super::judge::{Pair, Sent, Subject};
use super::trial::{Entrant, Trial};
use super::{Ending, Judged};
use crate::compare::Comparison;
use crate::hooks::{self, Edited, Finished, Over, Reason, Request};
use crate::outcome::{Outcome, Skip};
use crate::rewrite::NoTarget;

/// What a candidate is sent.
pub(super) struct ToSend {
    /// Unless there is no target that it could be sent with.
    pub(super) head: Result<request::Parts, NoTarget>,
    pub(super) body: Bytes,
    /// Its target, if a hook changed that.
    pub(super) target: Option<PathAndQuery>,
}

impl Trial {
    /// Those of the entrants that are chosen; the others end. Who is asked already, by the live path, is not to be chosen.
    pub(super) async fn chosen(
        self: &Arc<Self>,
        entrants: Vec<Entrant>,
        sent: &Arc<Sent>,
    ) -> Vec<Entrant> {
        let shadow = &self.shadow;
        let is_asked = |entrant: &Entrant| entrant.asked.is_some();
        if !shadow.hooks.chooses() || entrants.iter().all(is_asked) {
            return entrants;
        }
        let request = Request::new(&self.experiment, sent);
        let choice = tokio::select! {
            biased;
            () = shadow.give_up.cancelled() => Err(Skip::Shutdown),
            choice = shadow.hooks.choose(request) => choice.map_err(|_counted| Skip::Hook),
        };
        let mut chosen = Vec::with_capacity(entrants.len());
        for entrant in entrants {
            let name = &self.contenders[entrant.ticket.place()]
                .subject
                .candidate
                .name;
            match &choice {
                Ok(choice) if choice.contains(name) => chosen.push(entrant),
                Ok(_) => entrant.ticket.end(Err(Skip::NotChosen)),
                Err(skip) => entrant.ticket.end(Err(*skip)),
            }
        }
        chosen
    }

    /// What a candidate is sent.
    pub(super) async fn request(
        &self,
        contender: &Contender,
        sent: &Arc<Sent>,
    ) -> Result<ToSend, Skip> {
        let (head, body) = contender.asked.request(&self.experiment, sent);
        let hooks = &self.shadow.hooks;
        let head = match head {
            Ok(head) if hooks.edits() => head,
            head => {
                return Ok(ToSend {
                    head,
                    body,
                    target: None,
                });
            }
        };
        let request = Request::new(&self.experiment, sent);
        let candidate = contender.subject.candidate.clone();
        let edited = Box::pin(hooks.edit(request, candidate, head, body)).await;
        let Edited { head, body, target } = edited.map_err(|_counted| Skip::Hook)?;
        Ok(ToSend {
            head: Ok(head),
            body,
            target,
        })
    }

    /// Whether a pair is compared in code.
    pub(super) fn compares(&self, subject: &Subject, pair: &Pair) -> bool {
        self.shadow.hooks.compares()
            && subject.candidate.compare
            && pair.reference.is_ok()
            && pair.candidate.is_ok()
    }

    /// Judges a pair of answers by the rules and then in code.
    pub(super) async fn judge_in_code(
        &self,
        pair: Pair,
        before: Option<Comparison>,
        subject: Arc<Subject>,
    ) -> Result<Judged, Skip> {
        let shadow = &self.shadow;
        let limits = self.experiment.rules.limits;
        let judge = {
            let subject = subject.clone();
            move |pair: &Pair| pair.settle(before, &subject)
        };
        let (pair, (outcome, found)) = shadow.work(pair, limits, judge).await?;
        let found = Arc::new(found);
        let request = Request::new(&self.experiment, &pair.sent);
        let sides = [pair.reference.clone(), pair.candidate.clone()];
        let answers = hooks::Pair::new(request, subject.candidate.clone(), sides, found.clone());
        let compared = match answers {
            Some(answers) => shadow.hooks.compare(answers).await,
            None => Err(Reason::Invalid),
        };
        let (outcome, found) = match (compared, outcome) {
            (Ok(found), _) if found.differences.total() == 0 => (Outcome::Equal, found),
            (Ok(found), _) => (Outcome::Different, found),
            (Err(reason), Outcome::Different) => {
                // A call that hangs still has it.
                let mut found = Arc::unwrap_or_clone(found);
                let note = format!("not compared in code: {}", reason.name());
                found.notes.push(note);
                (outcome, found)
            }
            (Err(_counted), _) => return Err(Skip::Hook),
        };
        let bounds = shadow.bounds;
        let publish = move |pair: &Pair| pair.publish(outcome, found, &subject, bounds);
        shadow.work(pair, limits, publish).await
    }

    /// What is shown of a candidate once all are over, if anybody looks on.
    pub(super) fn over(&self, contender: &Contender, (outcome, pair): Ending) -> Option<Over> {
        if !self.shadow.hooks.looks_on() {
            return None;
        }
        let (side, differences) = pair
            .map(|(pair, differences)| (pair.candidate, differences))
            .unzip();
        Some(Over {
            candidate: contender.subject.candidate.clone(),
            outcome,
            side,
            differences: differences.unwrap_or_default(),
        })
    }

    /// All are over.
    pub(super) async fn finished(
        &self,
        sent: &Arc<Sent>,
        reference: &Reference,
        over: Vec<Option<Over>>,
    ) {
        let over: Vec<Over> = over.into_iter().flatten().collect();
        if over.is_empty() {
            return;
        }
        let request = Request::new(&self.experiment, sent);
        let reference = reference.peek().cloned().flatten();
        let finished = Finished::new(request, reference, over);
        tokio::select! {
            biased;
            () = self.shadow.give_up.cancelled() => {}
            () = self.shadow.hooks.finished(finished) => {}
        }
    }
}
