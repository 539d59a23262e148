//! Asks the candidates, and the secondary if there is one, beside the reference, and sees each pair to its end.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, Shared, join_all};
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::breaker::Pass;
use super::contender::Contender;
use super::hooked::ToSend;
use super::judge::{Pair, Sent};
use super::second::{Beside, may_ask_again};
use super::trial::{Entrant, Trial};
use super::{Inner, Judged};
use crate::capture::{Captured, Ended, Exchange, RequestBody, Side};
use crate::compare::Comparison;
use crate::outcome::Skip;

/// How the reference's side ends; `None` if the client goes away first. All pairs of an exchange wait for it.
pub(super) type Reference = Shared<BoxFuture<'static, Option<Arc<Side>>>>;

/// How a candidate is asked.
struct Asking {
    /// How its side ends, if it is asked already.
    asked: Option<oneshot::Receiver<Ended>>,
    pass: Pass,
}

/// Both sides of an exchange.
pub(super) type Sides = (Arc<Side>, Side);

impl Trial {
    /// Carries one exchange to its outcomes. A candidate that is not admitted asks to be when the request is there.
    pub(super) async fn run(self: Arc<Self>, exchange: Exchange, entrants: Vec<Entrant>) {
        let Exchange {
            request,
            request_body,
            reference,
        } = exchange;
        let reference = ended(self.shadow.clone(), reference).boxed().shared();
        let give_up = &self.shadow.give_up;
        let whole = tokio::select! {
            biased;
            () = give_up.cancelled() => Err(Skip::Shutdown),
            body = self.whole(request_body, &reference) => body,
        };
        let sent = match whole {
            Ok(body) => Arc::new(Sent {
                head: request,
                body,
            }),
            Err(skip) => {
                for entrant in entrants {
                    entrant.ticket.end(Err(skip));
                }
                return;
            }
        };
        let entrants = self.chosen(entrants, &sent).await;
        let mut admitted = Vec::with_capacity(entrants.len());
        for mut entrant in entrants {
            let admit = || self.admit(&self.contenders[entrant.ticket.place()]);
            match entrant.admission.take().map_or_else(admit, Ok) {
                Ok(admission) => admitted.push((entrant, admission)),
                Err(skip) => entrant.ticket.end(Err(skip)),
            }
        }
        let places = admitted.iter().map(|(entrant, _)| entrant.ticket.place());
        let beside = self.beside(places, &sent);
        let trial = &*self;
        let sent_to = &sent;
        let pairs = admitted.into_iter().map(|(entrant, admission)| {
            let (reference, beside) = (reference.clone(), beside.clone());
            // It is large, and would be moved more than once.
            Box::pin(async move {
                let Entrant { ticket, asked, .. } = entrant;
                let contender = &trial.contenders[ticket.place()];
                let asking = Asking {
                    asked,
                    pass: admission.pass,
                };
                let judged = tokio::select! {
                    biased;
                    () = give_up.cancelled() => Err(Skip::Shutdown),
                    judged = trial.judged(contender, sent_to, asking, reference, beside) => judged,
                };
                drop(admission.permits);
                trial.over(contender, ticket.ending(judged))
            })
        });
        let over = join_all(pairs).await;
        self.finished(&sent, &reference, over).await;
    }

    /// The side of a candidate that the live path asks.
    async fn told(
        &self,
        contender: &Contender,
        asked: oneshot::Receiver<Ended>,
    ) -> Result<Side, Skip> {
        match timeout(self.patience(contender), asked).await {
            Ok(Ok(Ended::Over(side))) => Ok(side),
            Ok(Ok(Ended::ClientGone) | Err(_)) => Err(Skip::ClientGone),
            Err(_elapsed) => Err(Skip::ReferenceSlow),
        }
    }

    /// How long to wait for a candidate that the live path asks: it has its own limit, and its answer may then
    /// be kept until it is known whether it is the client's.
    fn patience(&self, contender: &Contender) -> Duration {
        let timeouts = contender.candidate().backend.asked.timeouts;
        let own = timeouts.exchange.unwrap_or_default();
        own.saturating_add(self.shadow.max_wait)
    }

    /// A pair, asked and judged.
    async fn judged(
        &self,
        contender: &Contender,
        sent: &Arc<Sent>,
        Asking { asked, pass }: Asking,
        reference: Reference,
        beside: Option<Beside<'_>>,
    ) -> Result<Judged, Skip> {
        let (side, target) = match asked {
            Some(asked) => (Either::Left(self.told(contender, asked)), None),
            None => {
                let ToSend { head, body, target } = self.request(contender, sent).await?;
                let side = contender.asked.send(head, body).map(Ok);
                (Either::Right(side), target)
            }
        };
        let side = pin!(side.inspect_ok(|side| pass.report_side(side)));
        let both = self.both(reference, side);
        let (sides, second) = self.with_second(beside, contender, pin!(both)).await?;
        let (reference, candidate) = sides;
        let pair = Pair {
            sent: sent.clone(),
            reference,
            candidate: Arc::new(candidate),
            target,
            second,
        };
        self.judge(contender, pair).await
    }

    /// The request's body, or why there is none.
    async fn whole(
        &self,
        request_body: RequestBody,
        reference: &Reference,
    ) -> Result<Captured, Skip> {
        let skip = match request_body.whole().await {
            Ok(body) => return Ok(body),
            Err(skip) => skip,
        };
        if !matches!(skip, Skip::RequestUnread | Skip::ClientGone) {
            return Err(skip);
        }
        // A body's reader is gone when the client is, too; and a client that had its answer before may well keep
        // its body, should it not be wanted. Only the reference's side can tell.
        let ended = timeout(self.shadow.max_wait, reference.clone()).await;
        Err(match (skip, ended) {
            (Skip::RequestUnread, Ok(None)) => Skip::ClientGone,
            (Skip::ClientGone, Ok(Some(side))) if side.is_ok() => Skip::RequestUnread,
            (skip, _) => skip,
        })
    }

    /// Waits for both sides, as long as the client waits for the reference.
    async fn both(
        &self,
        mut reference: Reference,
        mut asking: Pin<&mut impl Future<Output = Result<Side, Skip>>>,
    ) -> Result<Sides, Skip> {
        let mut candidate = None;
        let ended = tokio::select! {
            ended = &mut reference => ended,
            side = &mut asking => {
                candidate = Some(side?);
                let waiting = timeout(self.shadow.max_wait, reference);
                waiting.await.map_err(|_elapsed| Skip::ReferenceSlow)?
            }
        };
        let reference = ended.ok_or(Skip::ClientGone)?;
        let candidate = match candidate {
            Some(candidate) => candidate,
            None => asking.await?,
        };
        Ok((reference, candidate))
    }

    /// Compares a pair that is over, asks the reference again if that may help, and writes the record.
    async fn judge(&self, contender: &Contender, pair: Pair) -> Result<Judged, Skip> {
        let shadow = &self.shadow;
        if let Ok(answer) = &*pair.candidate {
            shadow.durations.candidate.record(answer.elapsed);
        }
        let subject = contender.subject.clone();
        let limits = self.experiment.rules.limits;
        let (mut pair, mut before) = (pair, None);
        if may_ask_again(&subject, &pair) {
            let subject = subject.clone();
            let compare = move |pair: &Pair| pair.compare(&subject);
            (pair, before) = shadow.work(pair, limits, compare).await?;
        }
        let differs = |comparison: &Comparison| comparison.differences.classes().next().is_some();
        if before.as_ref().is_some_and(differs) {
            pair.second = Box::pin(self.ask_again(contender, &pair)).await;
        }
        if self.compares(&subject, &pair) {
            return Box::pin(self.judge_in_code(pair, before, subject)).await;
        }
        let (judge, bounds) = (shadow.judge, shadow.bounds);
        let judge = move |pair: &Pair| judge(pair, before, &subject, bounds);
        shadow.work(pair, limits, judge).await
    }
}

/// How the reference's side ends.
async fn ended(shadow: Arc<Inner>, reference: oneshot::Receiver<Ended>) -> Option<Arc<Side>> {
    let Ok(Ended::Over(side)) = reference.await else {
        return None;
    };
    if let Ok(answer) = &side {
        shadow.durations.reference.record(answer.elapsed);
    }
    Some(Arc::new(side))
}
