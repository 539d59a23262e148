//! The candidate's side of every experiment, beside the live path and never in its way.
//!
//! An exchange that is offered runs as a task of its own. Once its request is whole it takes a permit, or
//! is skipped; then the candidate is asked, both answers are awaited, compared, and what differs is
//! handed to delivery.
//!
//! Invariants:
//!
//! - Every matched request ends in exactly one [`Outcome`], whatever happens to its task: a `Ticket` that
//!   is dropped without one counts as skipped.
//! - No more than `max_in_flight` exchanges have a permit at a time, and each gives it back: the candidate
//!   has its timeout, and waiting for the reference has its own. Without one, an exchange only waits for
//!   its client's upload, and holds what is captured of it.
//! - All of it happens on threads of its own, and comparing bodies that are large, or may be once decoded, on
//!   others, half as many as there are cores.
//!
//! # Layout
//!
//! - `breaker`: leaves a backend alone that fails
//! - `bucket`: a rate that is not exceeded
//! - `candidate`: asks the candidate
//! - `exchange`: asks everybody, and waits for them
//! - `judge`: compares, and writes the record
//! - `ledger`: counts the outcomes
//! - `noise`: what is noise, by the numbers
//! - `second`: asks for second answers of the reference's code
//! - `threads`: what all of it runs on
//! - `watch`: what is known of an experiment's noise

mod breaker;
mod bucket;
mod candidate;
mod exchange;
mod judge;
mod ledger;
mod noise;
mod second;
mod threads;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Uri};
use metrics::Histogram;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use candidate::CandidateBody;
pub use ledger::Ledger;
pub use threads::Threads;

use crate::capture::{Exchange, Limits, Mirror, RequestBody, Side};
use crate::client::{self, Client};
use crate::compare::{Comparison, Differences};
use crate::config;
use crate::content;
use crate::delivery::Delivery;
use crate::experiment::{Experiment, Role};
use crate::outcome::{Outcome, Skip};
use crate::telemetry::metrics::{EXCHANGE, of_role};
use breaker::{Breaker, Pass};
use candidate::CandidateSide;
use judge::{Bounds, Pair, Publication, Verdict};
use second::{Seconds, may_ask_again};
use threads::half_as_many_as_cores;
use watch::Watch;

/// Bytes of bodies, without their codings, from which on a pair is compared on a thread for such work.
const LARGE: u64 = 64 * 1024;

/// Is told how each matched request ended. It is called on the shadow's tasks, and for skipped requests
/// on the live path's, and must not block.
pub trait Observer: Send + Sync {
    /// A matched request ended.
    fn ended(&self, report: &Report<'_>);
}

/// How a matched request ended.
#[derive(Debug)]
pub struct Report<'a> {
    /// What it belongs to.
    pub experiment: &'a Experiment,
    /// Its method.
    pub method: &'a Method,
    /// Its target, with what is hidden of it masked.
    pub target: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// Both sides as they are, nothing masked, and their differences, masked where values are to be hidden,
    /// unless it was skipped. What leaves the process of the former is to go through the experiment's
    /// [`Redaction`](crate::redact::Redaction).
    pub pair: Option<(&'a Side, &'a Side, &'a Differences)>,
}

/// What the shadow is made of.
pub struct Parts {
    /// Where exchanges run.
    pub runtime: Handle,
    /// The client towards candidates.
    pub client: Client<CandidateBody>,
    /// The client towards those who give second answers of the reference's code.
    pub second: Client<CandidateBody>,
    /// What is taken for noise.
    pub noise: config::Noise,
    /// The bounds of captured bodies.
    pub limits: Limits,
    /// Exchanges at a time.
    pub max_in_flight: usize,
    /// How long a finished candidate waits for the reference.
    pub max_wait: Duration,
    /// When a candidate that fails is left alone.
    pub breaker: Option<config::Breaker>,
    /// Bytes of a record, its key included.
    pub max_message: usize,
    /// Where records go.
    pub delivery: Arc<Delivery>,
    /// Is told of every outcome.
    pub observer: Option<Arc<dyn Observer>>,
}

/// The candidate's side of every experiment.
#[derive(Clone)]
pub struct Shadow(Arc<Inner>);

struct Inner {
    candidate: CandidateSide,
    seconds: Seconds,
    ledger: Ledger,
    delivery: Arc<Delivery>,
    observer: Option<Arc<dyn Observer>>,
    permits: Arc<Semaphore>,
    max_in_flight: usize,
    /// By the experiment's index.
    gates: Vec<Gate>,
    max_wait: Duration,
    /// Comparisons of large pairs at a time.
    comparisons: Semaphore,
    bounds: Bounds,
    judge: Judge,
    durations: [Histogram; 2],
    runtime: Handle,
    tasks: TaskTracker,
    give_up: CancellationToken,
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow").finish_non_exhaustive()
    }
}

impl Shadow {
    /// The shadow of these experiments, its metrics registered; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub fn register<'e>(
        parts: Parts,
        experiments: impl IntoIterator<Item = &'e Experiment>,
    ) -> Self {
        let experiments: Vec<&Experiment> = experiments.into_iter().collect();
        let gate = |experiment: &&Experiment| Gate::register(experiment, parts.breaker);
        Self(Arc::new(Inner {
            gates: experiments.iter().map(gate).collect(),
            seconds: Seconds::register(
                parts.second,
                parts.limits.clone(),
                parts.noise,
                parts.breaker,
                &experiments,
            ),
            candidate: CandidateSide::register(Role::Candidate, parts.client, parts.limits),
            ledger: Ledger::register(experiments),
            delivery: parts.delivery,
            observer: parts.observer,
            permits: Arc::new(Semaphore::new(parts.max_in_flight)),
            max_in_flight: parts.max_in_flight,
            max_wait: parts.max_wait,
            comparisons: Semaphore::new(half_as_many_as_cores()),
            bounds: Bounds {
                max_message: parts.max_message,
            },
            judge: Pair::judge,
            durations: [Role::Reference, Role::Candidate]
                .map(|role| of_role(EXCHANGE, role.name())),
            runtime: parts.runtime,
            tasks: TaskTracker::new(),
            give_up: CancellationToken::new(),
        }))
    }

    /// How many matched requests ended how.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Exchanges that are running.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.max_in_flight - self.0.permits.available_permits()
    }

    /// Lets running exchanges finish until `deadline`, and gives up the rest. Later offers are skipped.
    pub async fn drain(&self, deadline: Instant) {
        self.0.tasks.close();
        self.0.seconds.stop();
        if timeout_at(deadline.into(), self.0.tasks.wait())
            .await
            .is_err()
        {
            self.0.give_up.cancel();
            self.0.tasks.wait().await;
        }
    }
}

impl Mirror for Shadow {
    fn offer(&self, exchange: Exchange) {
        let ticket = Ticket::issue(&self.0, &exchange);
        if self.0.tasks.is_closed() {
            return ticket.end(Err(Skip::Shutdown));
        }
        let admission = match exchange.request_body {
            RequestBody::Empty => match self.0.admit(&exchange.experiment) {
                Ok(admission) => Some(admission),
                Err(skip) => return ticket.end(Err(skip)),
            },
            // A client that sends slowly is to hold up nobody but itself.
            RequestBody::Pending(_) => None,
        };
        self.0
            .tasks
            .spawn_on(run(exchange, ticket, admission), &self.0.runtime);
    }

    fn skip(&self, experiment: &Experiment, method: &Method, uri: &Uri, skip: Skip) {
        self.0.ledger.matched();
        self.0
            .end(experiment, method, client::target(uri).as_str(), Err(skip));
    }
}

/// A pair and what became of it.
type Judged = (Pair, Verdict);

/// Compares a pair, unless it was before, and writes its record.
type Judge = fn(&Pair, Option<Comparison>, &Experiment, Option<&Watch>, Bounds) -> Verdict;

/// What one experiment may do.
struct Gate {
    permits: Option<Arc<Semaphore>>,
    breaker: Option<Arc<Breaker>>,
}

impl Gate {
    fn register(experiment: &Experiment, rule: Option<config::Breaker>) -> Self {
        let name = &experiment.name;
        let breaker = |rule| Breaker::register(name, Role::Candidate, rule);
        Self {
            permits: experiment.max_in_flight.map(Semaphore::new).map(Arc::new),
            breaker: rule.map(breaker),
        }
    }
}

/// The right to one of the exchanges that may run at a time, in all and of the experiment.
type Permits = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// The right to ask the candidate, and to compare.
type Admission = (Permits, Option<Pass>);

/// Carries one exchange to its outcome. Unless it is admitted, it asks to be when the request is there.
async fn run(exchange: Exchange, ticket: Ticket, admission: Option<Admission>) {
    let shadow = ticket.shadow.clone();
    let judged = tokio::select! {
        biased;
        () = shadow.give_up.cancelled() => Err(Skip::Shutdown),
        judged = shadow.judge(exchange, admission) => judged,
    };
    ticket.end(judged);
}

impl Inner {
    fn admit(&self, experiment: &Experiment) -> Result<Admission, Skip> {
        let gate = &self.gates[experiment.index];
        let pass = gate.breaker.as_ref().map(Breaker::pass).transpose()?;
        let permit = |permits: &Arc<Semaphore>| {
            let permit = permits.clone().try_acquire_owned();
            permit.map_err(|_none_left| Skip::InFlight)
        };
        let own = gate.permits.as_ref().map(permit).transpose()?;
        Ok(((permit(&self.permits)?, own), pass))
    }

    async fn judge(
        &self,
        exchange: Exchange,
        admission: Option<Admission>,
    ) -> Result<Judged, Skip> {
        let experiment = exchange.experiment.clone();
        let limits = experiment.rules.limits;
        let (pair, _permits) = self.pair(exchange, admission).await?;
        for (side, duration) in [&pair.reference, &pair.candidate]
            .into_iter()
            .zip(&self.durations)
        {
            if let Ok(answer) = side {
                duration.record(answer.elapsed);
            }
        }
        let (mut pair, mut before) = (pair, None);
        if may_ask_again(&experiment, &pair) {
            let experiment = experiment.clone();
            let compare = move |pair: &Pair| pair.compare(&experiment);
            (pair, before) = self.work(pair, limits, compare).await?;
        }
        let differs = |comparison: &Comparison| comparison.differences.classes().next().is_some();
        if before.as_ref().is_some_and(differs) {
            pair.second = self.seconds.ask_again(&experiment, &pair).await;
        }
        let (judge, bounds) = (self.judge, self.bounds);
        let watch = self.seconds.watch(&experiment).cloned();
        let judge = move |pair: &Pair| judge(pair, before, &experiment, watch.as_deref(), bounds);
        self.work(pair, limits, judge).await
    }

    /// Works on a pair; on a thread for such work, if it is large.
    async fn work<T: Send + 'static>(
        &self,
        pair: Pair,
        limits: content::Limits,
        work: impl FnOnce(&Pair) -> T + Send + 'static,
    ) -> Result<(Pair, T), Skip> {
        if pair.size(limits) < LARGE {
            let done = work(&pair);
            return Ok((pair, done));
        }
        let _one_of_few = self.comparisons.acquire().await;
        let done = spawn_blocking(move || {
            let done = work(&pair);
            (pair, done)
        });
        done.await.map_err(|_panicked| Skip::Internal)
    }

    /// Counts an outcome, hands its record over, and then tells whoever wants to know.
    fn end(
        &self,
        experiment: &Experiment,
        method: &Method,
        target: &str,
        judged: Result<Judged, Skip>,
    ) {
        let (outcome, record, pair) = match judged {
            Ok((pair, verdict)) => {
                let comparison = verdict.comparison;
                self.ledger.took_out(experiment, &comparison.hits);
                let found = (pair, comparison.differences);
                (verdict.outcome, verdict.record, Some(found))
            }
            Err(skip) => (Outcome::Skipped(skip), Publication::Nothing, None),
        };
        self.ledger.ended(experiment, outcome);
        match record {
            Publication::Nothing => {}
            Publication::Record(record) => self.delivery.publish(record),
            Publication::Unwritable => self.delivery.unwritable(),
        }
        let Some(observer) = &self.observer else {
            return;
        };
        let pair = pair.as_ref();
        let report = Report {
            experiment,
            method,
            target: &experiment.redaction.target(target),
            outcome,
            pair: pair.map(|(pair, found)| (&pair.reference, &pair.candidate, found)),
        };
        // If it panics, which the panic hook tells of, that is its own affair.
        let _panicked = catch_unwind(AssertUnwindSafe(|| observer.ended(&report)));
    }
}

/// A matched request's claim to an outcome.
struct Ticket {
    shadow: Arc<Inner>,
    experiment: Arc<Experiment>,
    method: Method,
    target: http::uri::PathAndQuery,
    ended: bool,
}

impl Ticket {
    fn issue(shadow: &Arc<Inner>, exchange: &Exchange) -> Self {
        shadow.ledger.matched();
        Self {
            shadow: shadow.clone(),
            experiment: exchange.experiment.clone(),
            method: exchange.request.method.clone(),
            target: exchange.request.target.clone(),
            ended: false,
        }
    }

    fn end(mut self, judged: Result<Judged, Skip>) {
        self.conclude(judged);
    }

    fn conclude(&mut self, judged: Result<Judged, Skip>) {
        self.ended = true;
        let target = self.target.as_str();
        self.shadow
            .end(&self.experiment, &self.method, target, judged);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.ended {
            // A panic gets here, or the end of the runtime.
            self.conclude(Err(Skip::Internal));
        }
    }
}

#[cfg(test)]
mod tests;
