//! Second answers of the reference's code, which tell what differs by itself: the secondary's, which is
//! asked beside the candidates, or the reference's own, which is asked again where a pair differs.
//!
//! They are a help and no more. Without one, for whatever reason, a pair is compared as ever:
//!
//! - They are waited for while the pair is under way, and behind it about as long as the pair took and a
//!   second, so that a secondary that hangs does not hold permits; the candidate's timeouts hold as well. Once
//!   miffy stops they are not, so that no difference that was found is given up for them.
//! - Who fails again and again is left alone for a while, as candidates are.
//! - The reference is asked again by methods that are safe only (RFC 9110 §9.2.1), and in all experiments
//!   together not above a rate.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::sleep;

use super::asked::{Asked, CandidateBody};
use super::breaker::{Breaker, Pass};
use super::contender::Contender;
use super::exchange::Sides;
use super::judge::{Pair, Sent, Subject};
use super::trial::{Terms, Trial};
use super::watch::{Unanswered, Watch};
use crate::capture::{Answer, Limits, Side};
use crate::client::Client;
use crate::config::{Backend, NoiseMethod};
use crate::experiment::{Experiment, Role};
use crate::outcome::Skip;

/// How much longer than its pair a second answer may take, in any case.
const GRACE: Duration = Duration::from_secs(1);

/// Who gives an experiment's second answers.
#[derive(Debug)]
pub(super) struct Second {
    asked: Asked,
    /// Whether it is asked beside the candidates, or else where a pair differs.
    is_beside: bool,
    pub(super) breaker: Option<Arc<Breaker>>,
}

/// A second answer that is on its way beside the candidates'; all pairs of an exchange wait for it.
#[derive(Clone)]
pub(super) struct Beside<'t> {
    answer: Shared<BoxFuture<'t, Option<Arc<Answer>>>>,
    /// Taken by who tells how it went.
    pass: Arc<Mutex<Option<Pass>>>,
}

impl Second {
    /// Registers the metrics, if there are to be second answers; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register(
        experiment: &Experiment,
        client: Client<CandidateBody>,
        limits: &Limits,
        terms: &Terms,
    ) -> Option<Self> {
        let reference = &experiment.reference;
        let (backend, is_beside) = match &experiment.noise {
            NoiseMethod::Off => return None,
            // It is of the reference's code, and wants the same.
            NoiseMethod::Secondary(base) => {
                let base = base.clone();
                let reference = reference.clone();
                (Backend { base, ..reference }, true)
            }
            NoiseMethod::Requery => (reference.clone(), false),
        };
        let names = [experiment.name.as_str(), ""];
        let breaker = |rule| Breaker::register(names, Role::Secondary, Some(rule));
        Some(Self {
            asked: Asked::register(Role::Secondary, backend, client, limits.clone()),
            is_beside,
            breaker: terms.breaker.map(breaker),
        })
    }

    /// The right to ask for a second answer.
    fn pass(&self) -> Result<Option<Pass>, Skip> {
        self.breaker.as_ref().map(Breaker::pass).transpose()
    }
}

impl Trial {
    /// Asks the secondary, if there is one and any of the candidates at these places wants its answer. It is asked once polled.
    pub(super) fn beside<'t>(
        &'t self,
        places: impl Iterator<Item = usize>,
        sent: &Arc<Sent>,
    ) -> Option<Beside<'t>> {
        let second = self.second.as_ref().filter(|second| second.is_beside)?;
        let watches: Vec<&Watch> = places
            .filter_map(|place| self.contenders[place].subject.watch.as_ref())
            .collect();
        if watches.is_empty() {
            return None;
        }
        let Ok(pass) = second.pass() else {
            for watch in watches {
                watch.unanswered(Unanswered::Breaker);
            }
            return None;
        };
        let pass = Arc::new(Mutex::new(pass));
        let (sent, held) = (sent.clone(), pass.clone());
        let answer = async move {
            let side = second.asked.exchange(&self.experiment, &sent).await;
            if let Some(pass) = taken(&held) {
                pass.report_side(&side);
            }
            let answer = side.ok()?;
            self.shadow.durations.secondary.record(answer.elapsed);
            Some(Arc::new(answer))
        };
        let answer = answer.boxed().shared();
        Some(Beside { answer, pass })
    }

    /// Waits for both sides, and for the secondary's answer if it is wanted.
    pub(super) async fn with_second(
        &self,
        beside: Option<Beside<'_>>,
        contender: &Contender,
        mut sides: Pin<&mut impl Future<Output = Result<Sides, Skip>>>,
    ) -> Result<(Sides, Option<Arc<Answer>>), Skip> {
        let (Some(beside), Some(watch)) = (beside, &contender.subject.watch) else {
            return Ok((sides.await?, None));
        };
        let mut answer = beside.answer;
        let (sides, second) = tokio::select! {
            sides = &mut sides => {
                let sides = sides?;
                if sides.0.is_err() || sides.1.is_err() {
                    // There is nothing to tell noise in.
                    return Ok((sides, None));
                }
                let second = self.within(patience(&sides.0, &sides.1), answer).await;
                (sides, second)
            }
            second = &mut answer => (sides.await?, Some(second)),
        };
        if second.is_none()
            && !self.shadow.stopping.is_cancelled()
            && let Some(pass) = taken(&beside.pass)
        {
            pass.report(false);
        }
        let second = second.flatten();
        if second.is_none() {
            watch.unanswered(Unanswered::Failed);
        }
        Ok((sides, second))
    }

    /// Asks the reference again.
    pub(super) async fn ask_again(
        &self,
        contender: &Contender,
        pair: &Pair,
    ) -> Option<Arc<Answer>> {
        let (second, watch) = (self.second.as_ref()?, contender.subject.watch.as_ref()?);
        if self.shadow.stopping.is_cancelled() {
            return None;
        }
        let Ok(pass) = second.pass() else {
            watch.unanswered(Unanswered::Breaker);
            return None;
        };
        if !self.may_requery() {
            watch.unanswered(Unanswered::Rate);
            return None;
        }
        let asking = second.asked.exchange(&self.experiment, &pair.sent);
        let patience = patience(&pair.reference, &pair.candidate);
        let side = self.within(patience, asking).await;
        match (pass, &side) {
            (Some(pass), Some(side)) => pass.report_side(side),
            (Some(pass), None) if !self.shadow.stopping.is_cancelled() => pass.report(false),
            (Some(_) | None, _) => {}
        }
        let Some(Ok(answer)) = side else {
            watch.unanswered(Unanswered::Failed);
            return None;
        };
        self.shadow.durations.secondary.record(answer.elapsed);
        Some(Arc::new(answer))
    }

    /// A second answer, unless it takes too long.
    async fn within<T>(&self, patience: Duration, asking: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = asking => Some(answer),
            () = self.shadow.stopping.cancelled() => None,
            () = sleep(patience) => None,
        }
    }

    fn may_requery(&self) -> bool {
        let bucket = self.shadow.requeries.lock();
        let mut bucket = bucket.unwrap_or_else(PoisonError::into_inner);
        bucket.take(Instant::now())
    }
}

fn taken(pass: &Mutex<Option<Pass>>) -> Option<Pass> {
    pass.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Whether the reference is to be asked again should the pair differ.
pub(super) fn may_ask_again(subject: &Subject, pair: &Pair) -> bool {
    subject.experiment.noise == NoiseMethod::Requery
        && subject.candidate.compare
        && pair.sent.head.method.is_safe()
        && pair.reference.is_ok()
        && pair.candidate.is_ok()
}

/// How long to wait for a second answer once the pair is there, or from then on.
fn patience(reference: &Side, candidate: &Side) -> Duration {
    let elapsed = |side: &Side| match side {
        Ok(answer) => answer.elapsed,
        Err(failed) => failed.elapsed,
    };
    GRACE + elapsed(reference).max(elapsed(candidate))
}
