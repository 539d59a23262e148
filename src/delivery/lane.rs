//! The way to one sink: a thread that takes records from the queue to the sink, over the spool where that has to be.
//!
//! ```text
//! queue ─────────────► window ─► sink
//!    └─► spool (disk) ─┘ ▲
//!                         what the sink has and what it gets next
//! ```
//!
//! Invariants:
//!
//! - The window, what is unread in the spool, and the queue follow each other in the order in which records were
//!   found. Nothing enters the window from the queue while something is unread in the spool.
//! - The log on disk has the same order: before anything of the queue is appended, the window's records are that
//!   are in memory alone.
//! - A record leaves only as published or dropped, and the ledger moves with it.
//! - After a failure of the sink everything that is not done is sent again, in order, one record at a time at first: so
//!   it shows which of them it fails for.
//!
//! # Layout
//!
//! - `disk`: between queue, window and spool

mod disk;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use metrics::Histogram;
use tracing::{error, info, warn};

use super::ledger::{DropReason, Kept};
use super::outgoing::Outgoing;
use super::shared::{Bounds, Queued, Shared};
use super::sink::{Failure, Problem, Refused, Sink, Told};
use super::window::{Entry, Window};
use crate::spool::{Position, Spool};
use crate::telemetry::Throttle;

/// How long a record may be unconfirmed in memory before it is put on disk.
const STALE: Duration = Duration::from_secs(1);

/// How long the lane sleeps when nothing happens, and how often the sink is ticked: a look at its file is not for
/// each record.
const TICK: Duration = Duration::from_secs(1);

/// How long it sleeps where the world does not tell when to go on.
const SHORT_TICK: Duration = Duration::from_millis(20);

/// How long a disk that failed is left alone.
const DISK_PAUSE: Duration = Duration::from_millis(500);

/// How long a sink may take to tell what it has delivered before it is renewed without.
const RECALL_PATIENCE: Duration = Duration::from_secs(5);

/// The same at the end.
pub(super) const END_PATIENCE: Duration = Duration::from_millis(500);

/// How long a sink that failed is left alone at first; twice as long after each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest of these pauses, and so how soon a sink is used again that was mended.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often a record is shortened for a sink that does not say its limit.
const MAX_REFUSALS: u8 = 10;

/// Makes a record's line fit into so many bytes; `None` if that can't be.
pub type Shorten = fn(&[u8], usize) -> Option<Vec<u8>>;

/// What a lane is made of.
pub(super) struct Parts {
    /// The sink's name.
    pub(super) name: &'static str,
    pub(super) shared: Arc<Shared>,
    pub(super) spool: Option<Spool>,
    pub(super) bounds: Bounds,
    pub(super) shorten: Shorten,
    /// From when a difference was found until it was published.
    pub(super) latency: Histogram,
}

/// One sink's lane.
pub(super) struct Lane<S> {
    parts: Parts,
    sink: S,
    inbox: VecDeque<Queued>,
    window: Window,
    phase: Phase,
    /// The next pause after a failure.
    pause: Duration,
    /// When the sink is ticked next.
    tick: Instant,
    /// The sink takes no more for now.
    is_busy: bool,
    /// When the disk is tried again.
    disk: Option<Instant>,
    /// What the spool takes of the disk, as the ledger has it.
    spool_bytes: u64,
    /// What was read last from the spool and is no record.
    no_record: Option<Position>,
    /// The form on disk of one record.
    buffer: Vec<u8>,
    drops: Throttle,
    disk_failures: Throttle,
}

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Sends, so many records at a time.
    Open { limit: usize },
    /// Waits for what the sink tells of those it has, and leaves it alone for `pause` then.
    Recalling { until: Instant, pause: Duration },
    /// Leaves the sink alone.
    Pausing { until: Instant },
    /// Waits for the sink to be ready, for so many records at a time.
    Waiting { limit: usize },
}

impl<S: Sink> Lane<S> {
    pub(super) fn new(parts: Parts, sink: S) -> Self {
        Self {
            parts,
            sink,
            inbox: VecDeque::new(),
            window: Window::default(),
            phase: Phase::Waiting { limit: usize::MAX },
            pause: FIRST_PAUSE,
            tick: Instant::now(),
            is_busy: false,
            disk: None,
            spool_bytes: 0,
            no_record: None,
            buffer: Vec::new(),
            drops: Throttle::default(),
            disk_failures: Throttle::default(),
        }
    }

    /// Runs until it is told to stop, and has seen to everything then. Gives the sink back.
    pub(super) fn run(mut self) -> S {
        let mut alarm = Instant::now();
        loop {
            let told = self.parts.shared.wait(alarm);
            let now = Instant::now();
            let stop = self.parts.shared.deadline();
            self.step(told, now, stop.is_some());
            if stop.is_some_and(|deadline| self.is_over(now, deadline)) {
                return self.end();
            }
            alarm = self.alarm(now, stop);
        }
    }

    /// Does everything that can be done at this time.
    fn step(&mut self, told: Vec<(u64, Told)>, now: Instant, is_ending: bool) {
        for (ticket, told) in told {
            self.hear(ticket, told, now);
        }
        if self.tick <= now {
            self.tick = now + TICK;
            self.sink.tick();
        }
        self.move_on(now);
        self.store(now);
        if !is_ending {
            self.fill(now);
        }
        self.send(now, is_ending);
        self.settle();
    }

    /// When to look again though nothing happens.
    fn alarm(&self, now: Instant, stop: Option<Instant>) -> Instant {
        let short = now + SHORT_TICK;
        let tick = match self.phase {
            Phase::Waiting { .. } => short,
            Phase::Open { limit } if self.is_busy || limit == 1 => short,
            Phase::Open { .. } => self.tick,
            Phase::Recalling { .. } if self.window.sent() == 0 => now,
            Phase::Recalling { until, .. } | Phase::Pausing { until } => until,
        };
        let stale = self.window.oldest().map(|entry| entry.since + STALE);
        let stale = stale.filter(|_| self.parts.spool.is_some() && self.disk.is_none());
        let stale = stale.filter(|_| self.window.only_in_memory() > 0);
        let stop = stop.map(|_| short);
        let alarms = [stale, stop, self.disk].into_iter().flatten();
        alarms.fold(tick.min(self.tick), Instant::min)
    }

    /// What the sink tells.
    fn hear(&mut self, ticket: u64, told: Told, now: Instant) {
        self.is_busy = false;
        if !self.window.is_sent(ticket) {
            return;
        }
        match told {
            Ok(()) => self.published(ticket),
            Err(failure) => {
                self.window.unsend(ticket);
                self.failed(ticket, failure, now);
            }
        }
    }

    fn published(&mut self, ticket: u64) {
        let Some(entry) = self.window.finish(ticket) else {
            return;
        };
        let kept = entry.kept();
        let took = SystemTime::now().duration_since(entry.found);
        self.parts.latency.record(took.unwrap_or_default());
        let solved = self.parts.shared.publish(kept);
        self.pause = FIRST_PAUSE;
        if let Phase::Open { limit } = &mut self.phase {
            // Twice as many each time that all of them are through.
            *limit = limit.saturating_add(1);
        }
        if solved.is_some() {
            info!(sink = self.parts.name, "records are delivered again");
        }
    }

    fn failed(&mut self, ticket: u64, failure: Failure, now: Instant) {
        let is_alone = self.phase == Phase::Open { limit: 1 };
        match failure {
            Failure::Sink(problem) => {
                let pause = self.complain(problem);
                self.recall(now, pause);
            }
            Failure::TooLarge(Some(limit)) => self.shorten(ticket, limit),
            Failure::TooLarge(None) => {
                if is_alone {
                    self.refused_alone(ticket);
                }
                self.recall(now, Duration::ZERO);
            }
            Failure::Rejected(reason) => {
                if is_alone {
                    self.drop(ticket, DropReason::Rejected, &reason);
                }
                self.recall(now, Duration::ZERO);
            }
            Failure::TimedOut if self.parts.spool.is_none() => {
                self.drop(ticket, DropReason::TimedOut, "message.timeout.ms");
            }
            Failure::TimedOut | Failure::Recalled => self.recall(now, SHORT_TICK),
        }
    }

    /// The sink takes no record of this size. The first time it learns its limit; if it can't, half of the record is tried.
    fn refused_alone(&mut self, ticket: u64) {
        let Some(entry) = self.window.get_mut(ticket) else {
            return;
        };
        if entry.refusals == 0 {
            entry.refusals = 1;
        } else {
            let half = entry.record.size() / 2;
            self.shorten(ticket, half);
        }
    }

    /// Shortens a record to so many bytes of key and payload, or drops it if that can't be.
    fn shorten(&mut self, ticket: u64, limit: usize) {
        let Some(entry) = self.window.get_mut(ticket) else {
            return;
        };
        let record = &entry.record;
        let room = limit.checked_sub(record.key.len());
        let shorter = room.and_then(|room| (self.parts.shorten)(&record.payload, room));
        let fits = |payload: &Vec<u8>| payload.len() < record.payload.len();
        let shorter = shorter
            .filter(fits)
            .filter(|_| entry.refusals < MAX_REFUSALS);
        let Some(payload) = shorter else {
            return self.drop(ticket, DropReason::TooLarge, "it can't be made to fit");
        };
        entry.refusals += 1;
        let record = Outgoing {
            payload: payload.into(),
            ..record.clone()
        };
        let before = entry.kept();
        self.window.replace(ticket, record);
        let after = self.window.get_mut(ticket).map(|entry| entry.kept());
        self.parts.shared.ledger(|ledger| {
            ledger.shortened += 1;
            ledger.keep(before, after.unwrap_or(before));
        });
    }

    /// Gives a record in the window up.
    fn drop(&mut self, ticket: u64, reason: DropReason, cause: &str) {
        let Some(entry) = self.window.finish(ticket) else {
            return;
        };
        let kept = entry.kept();
        self.parts.shared.ledger(|ledger| ledger.drop(kept, reason));
        if let Some(unsaid) = self.drops.admit() {
            let (sink, reason) = (self.parts.name, reason.name());
            warn!(sink, reason, cause, unsaid, "a record was dropped");
        }
    }

    /// Says what is wrong with the sink, unless it was said. Gives how long to leave it alone.
    fn complain(&mut self, problem: Problem) -> Duration {
        let before = self.parts.shared.set_problem(problem.clone());
        if before.as_ref() != Some(&problem) {
            let Problem { reason, remedy } = problem;
            let sink = self.parts.name;
            warn!(sink, reason, remedy, "records can't be delivered, and wait");
        }
        match self.phase {
            // It is the same failure, told of another record.
            Phase::Recalling { pause, .. } if pause >= FIRST_PAUSE => pause,
            _ => {
                let next = LONGEST_PAUSE.min(self.pause * 2);
                std::mem::replace(&mut self.pause, next)
            }
        }
    }

    /// Has the sink give back what it has, to be renewed.
    fn recall(&mut self, now: Instant, pause: Duration) {
        match &mut self.phase {
            Phase::Open { .. } => {
                self.sink.recall();
                let until = now + RECALL_PATIENCE;
                self.phase = Phase::Recalling { until, pause };
            }
            // The reason may be told after it was felt.
            Phase::Recalling { pause: longest, .. } => *longest = pause.max(*longest),
            Phase::Pausing { .. } | Phase::Waiting { .. } => {}
        }
    }

    fn move_on(&mut self, now: Instant) {
        if let Phase::Recalling { until, pause } = self.phase
            && (self.window.sent() == 0 || until <= now)
        {
            self.window.forget();
            let until = now + pause;
            self.phase = Phase::Pausing { until };
        }
        if let Phase::Pausing { until } = self.phase
            && until <= now
        {
            self.phase = match self.sink.renew() {
                Ok(()) => Phase::Waiting { limit: 1 },
                Err(problem) => Phase::Pausing {
                    until: now + self.complain(problem),
                },
            };
        }
        if let Phase::Waiting { limit } = self.phase {
            self.is_busy = false;
            match self.sink.is_ready() {
                Ok(true) => self.phase = Phase::Open { limit },
                Ok(false) => {}
                Err(problem) => {
                    let until = now + self.complain(problem);
                    self.phase = Phase::Pausing { until };
                }
            }
        }
    }

    /// Sends what is due.
    fn send(&mut self, now: Instant, is_ending: bool) {
        while let Phase::Open { limit } = self.phase
            && self.window.sent() < limit
            && let Some((ticket, entry)) = self.window.next_due()
        {
            match self.sink.send(ticket, &entry.record) {
                Ok(()) => self.window.send(),
                Err(Refused::Busy) => {
                    self.is_busy = true;
                    break;
                }
                Err(Refused::Failed(failure)) => self.failed(ticket, failure, now),
            }
        }
        if self.window.sent() > 0 {
            let is_probing = self.phase == Phase::Open { limit: 1 };
            self.sink.flush(is_ending || is_probing);
        }
    }

    /// Lets go of what is done.
    fn settle(&mut self) {
        let done = self.window.settle();
        let Some(spool) = &mut self.parts.spool else {
            return;
        };
        if let Some(position) = done {
            spool.acknowledge(position);
        }
        // Else, it is done with when what was read after it is.
        if self.window.is_empty()
            && let Some(position) = self.no_record.take()
        {
            spool.acknowledge(position);
        }
        if let Err(error) = spool.commit()
            && let Some(unsaid) = self.disk_failures.admit()
        {
            warn!(sink = self.parts.name, %error, unsaid, "the spool can't be forced to the disk");
        }
        let bytes = spool.bytes();
        if bytes != self.spool_bytes {
            self.spool_bytes = bytes;
            self.parts
                .shared
                .ledger(|ledger| ledger.spool_bytes = bytes);
        }
    }

    /// Whether there is nothing more to be done but the end.
    fn is_over(&self, now: Instant, deadline: Instant) -> bool {
        let mut remains = self.window.remains();
        let is_on_disk =
            self.inbox.is_empty() && remains.all(|entry| entry.kept() == Kept::Spooled);
        let is_delivered = self.window.is_empty() && self.inbox.is_empty();
        let is_kept = self.parts.spool.is_some() && is_on_disk;
        let is_failing = !matches!(self.phase, Phase::Open { .. });
        is_delivered || (is_kept && (is_failing || self.window.sent() == 0)) || deadline <= now
    }

    /// Puts what is left on disk, or gives it up.
    fn end(mut self) -> S {
        if self.window.sent() > 0 {
            self.sink.recall();
            self.sink.settle(END_PATIENCE);
            let now = Instant::now();
            for (ticket, told) in self.parts.shared.wait(now) {
                if told.is_ok() && self.window.is_sent(ticket) {
                    self.published(ticket);
                }
            }
        }
        self.disk = None;
        let now = Instant::now();
        self.store(now);
        self.persist(now);
        self.settle();
        let reason = match &self.parts.spool {
            // Only what there was no room for is still in memory.
            Some(_) => self.parts.shared.blocked().unwrap_or(DropReason::SpoolFull),
            None => DropReason::Shutdown,
        };
        let mut rest = VecDeque::new();
        self.parts.shared.take(&mut rest);
        let queued = self.inbox.iter().chain(&rest);
        let queued = queued.map(|queued| Kept::Waiting(queued.record.size()));
        let waiting = self.window.remains().map(Entry::kept);
        let waiting = waiting.filter(|kept| *kept != Kept::Spooled);
        for kept in waiting.chain(queued) {
            self.parts.shared.ledger(|ledger| ledger.drop(kept, reason));
        }
        if let Some(spool) = self.parts.spool.take()
            && let Err(error) = spool.close()
        {
            error!(sink = self.parts.name, %error, "the spool could not be closed in order");
        }
        self.sink
    }
}

#[cfg(test)]
mod tests;
