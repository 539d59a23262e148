//! Sinks that are written in code, each on a thread of its own, so that they may block.
//!
//! Invariants:
//!
//! - The lane never waits for a sink's code, so that records get to the disk while it blocks. A sink that never returns
//!   holds up no stop.
//! - A record is told of once a flush behind it has succeeded; after a failure nothing more is written until the lane begins
//!   anew, so that the order stays.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::outgoing::Outgoing;
use super::sink::{Failure, Problem, Refused, Reports, Sink};
use crate::hooks::{self, Failures, Hook, Reason, Record, Refusal};

/// Records that a sink's thread has at a time.
const CAPACITY: usize = 256;

/// Names of sinks that miffy has itself, or their beginnings.
const OWN: [&str; 3] = ["kafka", "file", "stdout"];

/// The lane's end of a sink that is written in code.
pub(super) struct PluggedSink {
    desk: Arc<Desk>,
    reports: Reports,
}

/// Where records lie for the sink's thread.
#[derive(Debug, Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(u64, Outgoing)>,
    /// The thread has records that it has not told of.
    is_busy: bool,
    /// It failed, and writes nothing until it is renewed.
    is_broken: bool,
    /// There will be no more.
    is_over: bool,
}

/// Whether a sink may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_own = OWN.contains(&name) || name.starts_with("outcomes_");
    !name.is_empty() && !is_own && name.bytes().all(is_letter)
}

impl PluggedSink {
    /// Starts the sink's thread. Registers metrics; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn start(
        name: &'static str,
        sink: Box<dyn hooks::Sink>,
        reports: Reports,
    ) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let writer = Writer {
            sink,
            failures: Failures::register(Hook::Sink),
            desk: desk.clone(),
            reports: reports.clone(),
            unflushed: Vec::new(),
        };
        let thread = thread::Builder::new().name(format!("{name}-sink"));
        // Nobody waits for it: it may never return.
        let _detached = thread.spawn(move || writer.run())?;
        Ok(Self { desk, reports })
    }
}

impl Sink for PluggedSink {
    fn send(&mut self, ticket: u64, record: &Outgoing) -> Result<(), Refused> {
        let mut state = self.desk.state();
        if state.is_broken {
            return Err(Refused::Failed(Failure::Recalled));
        }
        if state.queue.len() >= CAPACITY {
            return Err(Refused::Busy);
        }
        state.queue.push_back((ticket, record.clone()));
        self.desk.changed.notify_all();
        Ok(())
    }

    fn recall(&mut self) {
        let queue = std::mem::take(&mut self.desk.state().queue);
        for (ticket, _) in queue {
            self.reports.tell(ticket, Err(Failure::Recalled));
        }
    }

    fn renew(&mut self) -> Result<(), Problem> {
        self.desk.state().is_broken = false;
        Ok(())
    }

    fn is_ready(&mut self) -> Result<bool, Problem> {
        // A call that goes on may still write what it was given.
        Ok(!self.desk.state().is_busy)
    }

    fn settle(&mut self, patience: Duration) {
        let changed = &self.desk.changed;
        let state = self.desk.state();
        let _settled = changed.wait_timeout_while(state, patience, |state| state.is_busy);
    }
}

impl Drop for PluggedSink {
    fn drop(&mut self) {
        self.desk.state().is_over = true;
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next record, if there is one now.
    fn next(&self) -> Option<(u64, Outgoing)> {
        let mut state = self.state();
        let next = state.queue.pop_front();
        state.is_busy |= next.is_some();
        next
    }

    /// Waits for a record; there is none any more at the end.
    fn wait(&self) -> Option<(u64, Outgoing)> {
        let mut state = self.state();
        state.is_busy = false;
        self.changed.notify_all();
        let waits = |state: &mut State| state.queue.is_empty() && !state.is_over;
        let state = self.changed.wait_while(state, waits);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.is_over {
            return None;
        }
        state.is_busy = true;
        state.queue.pop_front()
    }
}

/// The sink's thread.
struct Writer {
    sink: Box<dyn hooks::Sink>,
    failures: Failures,
    desk: Arc<Desk>,
    reports: Reports,
    /// Tickets of what was written since the last flush.
    unflushed: Vec<u64>,
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.desk.wait() {
            let mut next = Some(first);
            while let Some((ticket, record)) = next {
                self.write(ticket, &record);
                next = self.desk.next();
            }
            self.flush();
        }
    }

    fn write(&mut self, ticket: u64, record: &Outgoing) {
        let record = Record {
            topic: &record.topic,
            key: &record.key,
            payload: &record.payload,
        };
        match self.call(|sink| sink.write(&record)) {
            Ok(()) => self.unflushed.push(ticket),
            Err(failure) => {
                // What came before may have got through.
                self.flush();
                self.fail(&[ticket], &failure);
            }
        }
    }

    fn flush(&mut self) {
        if self.unflushed.is_empty() {
            return;
        }
        let flushed = self.call(|sink| sink.flush());
        let tickets = std::mem::take(&mut self.unflushed);
        match flushed {
            Ok(()) => {
                for ticket in tickets {
                    self.reports.tell(ticket, Ok(()));
                }
            }
            Err(failure) => self.fail(&tickets, &failure),
        }
    }

    /// Tells of tickets that failed, and gives the others back.
    fn fail(&mut self, tickets: &[u64], failure: &Failure) {
        let mut state = self.desk.state();
        state.is_broken = true;
        let others = std::mem::take(&mut state.queue);
        drop(state);
        for ticket in tickets {
            self.reports.tell(*ticket, Err(failure.clone()));
        }
        for (ticket, _) in others {
            self.reports.tell(ticket, Err(Failure::Recalled));
        }
    }

    fn call(
        &mut self,
        call: impl FnOnce(&mut dyn hooks::Sink) -> Result<(), Refusal>,
    ) -> Result<(), Failure> {
        let sink = &mut *self.sink;
        match catch_unwind(AssertUnwindSafe(|| call(sink))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refusal::Retry(reason))) => Err(Failure::Sink(Problem {
                reason,
                remedy: None,
            })),
            Ok(Err(Refusal::Reject(reason))) => Err(Failure::Rejected(reason)),
            // What it says may be what it was given; the panic hook tells it.
            Err(_panic) => {
                self.failures.count(Reason::Panic, None);
                Err(Failure::Sink(Problem {
                    reason: "its code panicked".to_owned(),
                    remedy: Some("see what the log says of the panic"),
                }))
            }
        }
    }
}
