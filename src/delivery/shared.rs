//! What publishers, the lane and the sink share: the queue, what was told, and the ledger, under one lock that nobody
//! holds for longer than it takes to move something.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::ledger::{DropReason, Kept, Ledger};
use super::outgoing::Outgoing;
use super::sink::{Problem, Told};

/// How long the lane lets news gather once there are some. To be woken for each would cost everybody more than it
/// takes to deliver a record; librdkafka lets records gather for longer (`linger.ms`).
const BREATH: Duration = Duration::from_millis(2);

/// How much may wait in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// A record in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: Outgoing,
    pub(super) found: SystemTime,
}

#[derive(Debug)]
pub(super) struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Queued>,
    told: Vec<(u64, Told)>,
    ledger: Ledger,
    /// Something happened since the lane looked.
    news: bool,
    /// Until when the lane may deliver what is there; no more is taken.
    stop: Option<Instant>,
    /// Why the lane does not take what is in the queue.
    blocked: Option<DropReason>,
    problem: Option<Problem>,
}

impl Shared {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record. Never waits; the error says why there is no room.
    pub(super) fn push(&self, record: Outgoing) -> Result<(), DropReason> {
        let size = record.size();
        let found = SystemTime::now();
        let mut state = self.state();
        let ledger = &mut state.ledger;
        let is_full = ledger.waiting >= self.bounds.records as u64
            || ledger.waiting_bytes + size > self.bounds.bytes;
        let reason = match state.stop {
            Some(_) => Some(DropReason::Shutdown),
            None if is_full => Some(state.blocked.unwrap_or(DropReason::QueueFull)),
            None => None,
        };
        if let Some(reason) = reason {
            state.ledger.refuse(reason);
            return Err(reason);
        }
        state.ledger.take(Kept::Waiting(size));
        state.queue.push_back(Queued { record, found });
        self.notify(state);
        Ok(())
    }

    /// Takes what became of a ticket.
    pub(super) fn tell(&self, ticket: u64, told: Told) {
        let mut state = self.state();
        state.told.push((ticket, told));
        self.notify(state);
    }

    /// Takes no more, and has the lane come to its end then.
    pub(super) fn stop(&self, deadline: Instant) {
        let mut state = self.state();
        state.stop = Some(deadline);
        self.notify(state);
    }

    fn notify(&self, mut state: MutexGuard<'_, State>) {
        let is_asleep = !std::mem::replace(&mut state.news, true);
        drop(state);
        if is_asleep {
            self.wake.notify_one();
        }
    }

    /// Waits until something happens, at most until `alarm`, and a moment longer for more of it. Gives what was told.
    pub(super) fn wait(&self, alarm: Instant) -> Vec<(u64, Told)> {
        let left = alarm.saturating_duration_since(Instant::now());
        let waited = self
            .wake
            .wait_timeout_while(self.state(), left, |state| !state.news);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.news && state.stop.is_none() {
            drop(state);
            thread::sleep(BREATH);
            state = self.state();
        }
        state.news = false;
        std::mem::take(&mut state.told)
    }

    /// Moves what is in the queue to an empty one.
    pub(super) fn take(&self, inbox: &mut VecDeque<Queued>) {
        std::mem::swap(&mut self.state().queue, inbox);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.state().stop
    }

    /// Does something to the ledger, or reads it.
    pub(super) fn ledger<T>(&self, with: impl FnOnce(&mut Ledger) -> T) -> T {
        with(&mut self.state().ledger)
    }

    pub(super) fn block(&self, reason: Option<DropReason>) {
        self.state().blocked = reason;
    }

    pub(super) fn blocked(&self) -> Option<DropReason> {
        self.state().blocked
    }

    pub(super) fn problem(&self) -> Option<Problem> {
        self.state().problem.clone()
    }

    /// Gives the problem before.
    pub(super) fn set_problem(&self, problem: Problem) -> Option<Problem> {
        self.state().problem.replace(problem)
    }

    /// The sink has taken a record that was kept. Gives the problem that there was until now.
    pub(super) fn publish(&self, from: Kept) -> Option<Problem> {
        let mut state = self.state();
        state.ledger.publish(from);
        state.problem.take()
    }
}
