//! Second answers of the reference's code, which tell what differs by itself: the secondary's, which is
//! asked beside the candidate, or the reference's own, which is asked again where a pair differs.
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

use bytes::Bytes;
use metrics::Histogram;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::breaker::{Breaker, Pass};
use super::bucket::Bucket;
use super::candidate::{CandidateBody, CandidateSide};
use super::judge::Pair;
use super::watch::{Unanswered, Watch};
use crate::capture::{Answer, Limits, RequestHead, Side};
use crate::client::Client;
use crate::config::{self, NoiseMethod};
use crate::experiment::{Experiment, Role};
use crate::outcome::Skip;
use crate::telemetry::metrics::{EXCHANGE, of_role};

/// How much longer than its pair a second answer may take, in any case.
const GRACE: Duration = Duration::from_secs(1);

/// Asks for second answers.
#[derive(Debug)]
pub(super) struct Seconds {
    side: CandidateSide,
    duration: Histogram,
    bucket: Mutex<Bucket>,
    /// By the experiment's index.
    watches: Vec<Arc<Watch>>,
    stopping: CancellationToken,
}

/// Both sides of an exchange.
type Sides = (Side, Side);

impl Seconds {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register(
        client: Client<CandidateBody>,
        limits: Limits,
        rule: config::Noise,
        breaker: Option<config::Breaker>,
        experiments: &[&Experiment],
    ) -> Self {
        let watch = |experiment: &&Experiment| Watch::register(experiment, rule, breaker);
        Self {
            side: CandidateSide::register(Role::Secondary, client, limits),
            duration: of_role(EXCHANGE, Role::Secondary.name()),
            bucket: Mutex::new(Bucket::new(rule.requery_rate)),
            watches: experiments.iter().map(watch).map(Arc::new).collect(),
            stopping: CancellationToken::new(),
        }
    }

    /// From now on, second answers are not waited for.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
    }

    /// What is known of an experiment's noise, if anything is to be.
    pub(super) fn watch(&self, experiment: &Experiment) -> Option<&Arc<Watch>> {
        let watch = &self.watches[experiment.index];
        watch.is_on().then_some(watch)
    }

    /// Waits for both sides, with the secondary asked beside them if the experiment has one.
    pub(super) async fn beside(
        &self,
        experiment: &Experiment,
        request: &RequestHead,
        body: &Bytes,
        mut sides: Pin<&mut impl Future<Output = Result<Sides, Skip>>>,
    ) -> Result<(Sides, Option<Answer>), Skip> {
        let watch = &self.watches[experiment.index];
        let NoiseMethod::Secondary(base) = &watch.method else {
            return Ok((sides.await?, None));
        };
        let Ok(pass) = watch.pass() else {
            return Ok((sides.await?, None));
        };
        let mut asking = Box::pin(self.side.exchange(base, request, body));
        let sides = tokio::select! {
            sides = &mut sides => sides?,
            second = &mut asking => {
                let second = self.ended(watch, pass, Some(second));
                return Ok((sides.await?, second));
            }
        };
        if sides.0.is_err() || sides.1.is_err() {
            // There is nothing to tell noise in.
            return Ok((sides, None));
        }
        let second = self.within(patience(&sides.0, &sides.1), asking).await;
        let second = self.ended(watch, pass, second);
        Ok((sides, second))
    }

    /// Asks the reference again.
    pub(super) async fn ask_again(&self, experiment: &Experiment, pair: &Pair) -> Option<Answer> {
        if self.stopping.is_cancelled() {
            return None;
        }
        let watch = &self.watches[experiment.index];
        let pass = watch.pass().ok()?;
        if !self.take() {
            watch.unanswered(Unanswered::Rate);
            return None;
        }
        let body = pair.request_body.content.bytes();
        let asking = self
            .side
            .exchange(&experiment.reference, &pair.request, body);
        let patience = patience(&pair.reference, &pair.candidate);
        let second = self.within(patience, asking).await;
        self.ended(watch, pass, second)
    }

    /// A second answer, unless it takes too long.
    async fn within(&self, patience: Duration, asking: impl Future<Output = Side>) -> Option<Side> {
        tokio::select! {
            biased;
            side = asking => Some(side),
            () = self.stopping.cancelled() => None,
            () = sleep(patience) => None,
        }
    }

    fn take(&self) -> bool {
        let bucket = self.bucket.lock();
        let mut bucket = bucket.unwrap_or_else(PoisonError::into_inner);
        bucket.take(Instant::now())
    }

    /// Takes note of how it went; `None` if it was not waited for any longer.
    fn ended(&self, watch: &Watch, pass: Option<Pass>, second: Option<Side>) -> Option<Answer> {
        match (pass, &second) {
            (Some(pass), Some(side)) => pass.report_side(side),
            (Some(pass), None) if !self.stopping.is_cancelled() => pass.report(false),
            (Some(_) | None, _) => {}
        }
        let Some(Ok(answer)) = second else {
            watch.unanswered(Unanswered::Failed);
            return None;
        };
        self.duration.record(answer.elapsed);
        Some(answer)
    }
}

impl Watch {
    /// The right to ask for a second answer.
    fn pass(&self) -> Result<Option<Pass>, Skip> {
        let pass = self.breaker.as_ref().map(Breaker::pass).transpose();
        pass.inspect_err(|_left_alone| self.unanswered(Unanswered::Breaker))
    }
}

/// Whether the reference is to be asked again should the pair differ.
pub(super) fn may_ask_again(experiment: &Experiment, pair: &Pair) -> bool {
    experiment.noise == NoiseMethod::Requery
        && pair.request.method.is_safe()
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
