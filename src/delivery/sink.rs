//! What a lane knows of where its records go.

use std::sync::Arc;
use std::time::Duration;

use super::outgoing::Outgoing;
use super::shared::Shared;

/// Takes records, and tells what became of each by its [`Reports`]: at once, or later from another thread.
///
/// Everything is called by the lane's thread, and may take a moment, in which records wait in the queue.
pub(super) trait Sink: Send {
    /// Takes a record. What becomes of it is told under this ticket. Tickets go up by one; a record that is sent
    /// again after [`Sink::renew`] has a new one, and what is told of those before is passed over.
    fn send(&mut self, ticket: u64, record: &Outgoing) -> Result<(), Refused>;

    /// There is nothing more to send for the moment. In a `hurry`, what was sent is to go out now.
    fn flush(&mut self, _hurry: bool) {}

    /// Is called in between, at least every second.
    fn tick(&mut self) {}

    /// Gives back what it has: what was not delivered is told as [`Failure::Recalled`].
    fn recall(&mut self) {}

    /// Begins anew after a failure. Everything that is not done will be sent again.
    fn renew(&mut self) -> Result<(), Problem>;

    /// Whether it can be sent to, at first and after [`Sink::renew`].
    fn is_ready(&mut self) -> Result<bool, Problem> {
        Ok(true)
    }

    /// Waits until what was recalled is told, as far as that can be; at most so long.
    fn settle(&mut self, _patience: Duration) {}
}

/// Why a sink did not take a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has as many as it can hold.
    Busy,
    /// It failed.
    Failed(Failure),
}

/// What became of a record that was sent.
pub(super) type Told = Result<(), Failure>;

/// Why a record is not where it was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing is wrong with the record; the sink is to be renewed.
    Sink(Problem),
    /// It is too large. The limit is in bytes of key and payload, if it is known; then the sink goes on.
    TooLarge(Option<usize>),
    /// It will never be taken, for what it is.
    Rejected(String),
    /// It was not delivered in the time that the operator allowed.
    TimedOut,
    /// It was called back, or fell with others.
    Recalled,
}

/// What is wrong with a sink, for the log and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What happened.
    pub reason: String,
    /// What its operator can do, if it is known.
    pub remedy: Option<&'static str>,
}

/// Takes what is told of tickets, from any thread.
#[derive(Debug, Clone)]
pub(super) struct Reports(Arc<Shared>);

impl Reports {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(super) fn tell(&self, ticket: u64, told: Told) {
        self.0.tell(ticket, told);
    }
}
