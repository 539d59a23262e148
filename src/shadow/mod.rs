//! The candidates' side of every experiment, beside the live path and never in its way.
//!
//! Each experiment has a [`Trial`]. An exchange that is offered to it runs as a task of its own. Once its request
//! is whole, it takes a permit for each candidate, or is skipped; then the candidates are asked, and as soon as
//! one and the reference have answered, the two are compared, and what differs is handed to delivery.
//!
//! Invariants:
//!
//! - Every matched request ends in exactly one [`Outcome`] for each candidate, whatever happens to its task: a
//!   `Ticket` that is dropped without one counts as skipped.
//! - No more than `max_in_flight` requests to candidates have a permit at a time, and each gives it back: the
//!   candidate has its timeout, and waiting for the reference has its own. Without one, an exchange only waits
//!   for its client's upload, and holds what is captured of it.
//! - All of it happens on the [threads](crate::threads) for it, and comparing bodies that are large, or may be once
//!   decoded, on others, half as many as there are cores.
//!
//! # Layout
//!
//! - `asked`: asks one backend
//! - `breaker`: leaves a backend alone that fails
//! - `bucket`: a rate that is not exceeded
//! - `contender`: one candidate of a trial
//! - `hooked`: where hooks come in
//! - `exchange`: asks everybody, and waits for them
//! - `judge`: compares, and writes the record
//! - `ledger`: counts the outcomes
//! - `noise`: what is noise, by the numbers
//! - `roster`: the trials that go on
//! - `second`: asks for second answers of the reference's code
//! - `trial`: takes an experiment's exchanges, and sees each to its end
//! - `watch`: what is known of an experiment's noise

mod asked;
mod breaker;
mod bucket;
mod contender;
mod exchange;
mod hooked;
mod judge;
mod ledger;
mod noise;
mod roster;
mod second;
mod trial;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use http::uri::PathAndQuery;
use metrics::Histogram;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use asked::CandidateBody;
pub use breaker::BreakerState;
pub use contender::Contender;
pub use ledger::{Account, Ledger};
pub use noise::{Learned, Location};
pub use roster::{Roster, Succession};
pub use trial::{Terms, Trial};

use crate::capture::{Limits, RequestHead, Side};
use crate::compare::{Comparison, Differences};
use crate::config::Candidate;
use crate::content;
use crate::delivery::Delivery;
use crate::experiment::{Experiment, Role};
use crate::hooks::Attached;
use crate::outcome::{Outcome, Skip};
use crate::telemetry::metrics::{EXCHANGE, of_role};
use crate::threads::cores;
use bucket::Bucket;
use judge::{Bounds, Pair, Publication, Subject, Verdict};

/// Bytes of bodies, without their codings, from which on a pair is compared on a thread for such work.
const LARGE: u64 = 64 * 1024;

/// Is told how each matched request ended. It is called on the shadow's tasks, and for skipped requests
/// on the live path's, and must not block.
pub trait Observer: Send + Sync {
    /// A matched request ended for a candidate.
    fn ended(&self, report: &Report<'_>);
}

/// How a matched request ended for a candidate.
#[derive(Debug)]
pub struct Report<'a> {
    /// What it belongs to.
    pub experiment: &'a Experiment,
    /// Who was asked beside the reference, or was to be.
    pub candidate: &'a Candidate,
    /// Its method.
    pub method: &'a Method,
    /// Its target, with what is hidden of it masked.
    pub target: &'a str,
    /// When it came.
    pub received: SystemTime,
    /// A number drawn once for the request, the same for all its candidates, to take samples by.
    pub lot: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes of its body, where it was mirrored.
    pub request_bytes: Option<u64>,
    /// Both sides as they are, nothing masked, and their differences, masked where values are to be hidden,
    /// unless it was skipped. What leaves the process of the former is to go through the experiment's
    /// [`Redaction`](crate::redact::Redaction).
    pub pair: Option<(&'a Side, &'a Side, &'a Differences)>,
}

/// What the shadow is made of.
pub struct Parts {
    /// Where exchanges run that no thread for the shadow is beside.
    pub runtime: Handle,
    /// The bounds of captured bodies.
    pub limits: Limits,
    /// Requests to candidates at a time.
    pub max_in_flight: usize,
    /// How long a finished candidate waits for the reference.
    pub max_wait: Duration,
    /// Times a second that references are asked again.
    pub requery_rate: u32,
    /// Bytes of a record, its key included.
    pub max_message: usize,
    /// Where records go.
    pub delivery: Arc<Delivery>,
    /// Are told of every outcome, each whatever becomes of the others.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Is asked, and told, of every exchange.
    pub(crate) hooks: Attached,
}

/// The candidates' side of every experiment.
#[derive(Clone)]
pub struct Shadow(Arc<Inner>);

/// What all trials share.
struct Inner {
    limits: Limits,
    ledger: Ledger,
    delivery: Arc<Delivery>,
    observers: Vec<Arc<dyn Observer>>,
    hooks: Attached,
    permits: Arc<Semaphore>,
    max_in_flight: usize,
    max_wait: Duration,
    requeries: Mutex<Bucket>,
    /// Comparisons of large pairs at a time.
    comparisons: Semaphore,
    bounds: Bounds,
    judge: Judge,
    durations: Durations,
    runtime: Handle,
    tasks: TaskTracker,
    /// Once it is, second answers are not waited for.
    stopping: CancellationToken,
    give_up: CancellationToken,
}

/// How long exchanges take, by role.
struct Durations {
    reference: Histogram,
    candidate: Histogram,
    secondary: Histogram,
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow").finish_non_exhaustive()
    }
}

impl Shadow {
    /// The shadow without any trial yet, its metrics registered; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    #[must_use]
    pub fn register(parts: Parts) -> Self {
        let of = |role: Role| of_role(EXCHANGE, role.name());
        Self(Arc::new(Inner {
            limits: parts.limits,
            ledger: Ledger::new(),
            delivery: parts.delivery,
            observers: parts.observers,
            hooks: parts.hooks,
            permits: Arc::new(Semaphore::new(parts.max_in_flight)),
            max_in_flight: parts.max_in_flight,
            max_wait: parts.max_wait,
            requeries: Mutex::new(Bucket::new(parts.requery_rate)),
            comparisons: Semaphore::new((cores() / 2).max(1)),
            bounds: Bounds {
                max_message: parts.max_message,
            },
            judge: Pair::judge,
            durations: Durations {
                reference: of(Role::Reference),
                candidate: of(Role::Candidate),
                secondary: of(Role::Secondary),
            },
            runtime: parts.runtime,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            give_up: CancellationToken::new(),
        }))
    }

    /// How many matched requests ended how.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Requests to candidates that are running.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.max_in_flight - self.0.permits.available_permits()
    }

    /// Lets running exchanges finish until `deadline`, and gives up the rest. Later offers are skipped.
    pub async fn drain(&self, deadline: Instant) {
        self.0.tasks.close();
        self.0.stopping.cancel();
        if timeout_at(deadline.into(), self.0.tasks.wait())
            .await
            .is_err()
        {
            self.0.give_up.cancel();
            self.0.tasks.wait().await;
        }
    }
}

/// What is told of a matched request, however it ends.
struct Matched {
    method: Method,
    target: PathAndQuery,
    received: SystemTime,
    lot: u64,
}

impl Matched {
    fn new(method: Method, target: PathAndQuery, received: SystemTime) -> Self {
        Self {
            method,
            target,
            received,
            lot: fastrand::u64(..),
        }
    }
}

impl From<&RequestHead> for Matched {
    fn from(head: &RequestHead) -> Self {
        Self::new(head.method.clone(), head.target.clone(), head.received)
    }
}

/// A pair and what became of it.
type Judged = (Pair, Verdict);

/// How a matched request ended for a candidate: the outcome, and the pair with what differs, unless it was skipped.
type Ending = (Outcome, Option<(Pair, Differences)>);

/// Compares a pair, unless it was before, and writes its record.
type Judge = fn(&Pair, Option<Comparison>, &Subject, Bounds) -> Verdict;

impl Inner {
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
        contender: &Contender,
        matched: &Matched,
        judged: Result<Judged, Skip>,
    ) -> Ending {
        let (outcome, record, pair) = match judged {
            Ok((pair, verdict)) => {
                let comparison = verdict.comparison;
                contender.account.took_out(&comparison.hits);
                let found = (pair, comparison.differences);
                (verdict.outcome, verdict.record, Some(found))
            }
            Err(skip) => (Outcome::Skipped(skip), Publication::Nothing, None),
        };
        self.ledger.ended(&contender.account, outcome);
        match record {
            Publication::Nothing => {}
            Publication::Record(record) => self.delivery.publish(record),
            Publication::Unwritable => self.delivery.unwritable(),
        }
        if self.observers.is_empty() {
            return (outcome, pair);
        }
        let Subject {
            experiment,
            candidate,
            ..
        } = &*contender.subject;
        let sides = pair.as_ref();
        let report = Report {
            experiment,
            candidate,
            method: &matched.method,
            target: &experiment.redaction.target(matched.target.as_str()),
            received: matched.received,
            lot: matched.lot,
            outcome,
            request_bytes: sides.map(|(pair, _)| pair.sent.body.len),
            pair: sides.map(|(pair, found)| (&*pair.reference, &*pair.candidate, found)),
        };
        for observer in &self.observers {
            // If it panics, which the panic hook tells of, that is its own affair.
            let _panicked = catch_unwind(AssertUnwindSafe(|| observer.ended(&report)));
        }
        (outcome, pair)
    }
}

#[cfg(test)]
mod tests;
