//! The bounds of what is kept and done at a time: `[capture]`, `[shadow]`, `[delivery]`.

use std::time::Duration;

use bytesize::ByteSize;

use super::reader::{Off, Section, bytes};

/// The bounds of captured bodies, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// Of one body.
    pub max_body: usize,
    /// Of all bodies together.
    pub max_total: usize,
}

/// The bounds of the candidate's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// Exchanges at a time.
    pub max_in_flight: usize,
    /// How long a finished candidate waits for the reference.
    pub max_wait: Duration,
    /// When a candidate that fails is left alone.
    pub breaker: Option<Breaker>,
}

/// When a candidate that fails is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// After so many exchanges that failed one after the other.
    pub failures: usize,
    /// Until it is tried again.
    pub pause: Duration,
}

/// The bounds of what waits in memory for each sink, what it has and has not confirmed included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// In records.
    pub queue_records: usize,
    /// In bytes.
    pub queue_bytes: usize,
}

/// Reads `[capture]`; `None` if a problem was noted.
pub(super) fn capture(mut section: Section<'_>) -> Option<Capture> {
    let max_body = section.take("max_body").map(bytes);
    let max_total = section.take("max_total").map(bytes);
    section.finish();
    Some(Capture {
        max_body: max_body?,
        max_total: max_total?,
    })
}

/// Reads `[shadow]`; `None` if a problem was noted.
pub(super) fn shadow(mut section: Section<'_>) -> Option<Shadow> {
    let max_in_flight = section.take("max_in_flight");
    let max_wait = section.take("max_wait");
    let breaker = breaker(section.section("breaker"));
    section.finish();
    Some(Shadow {
        max_in_flight: max_in_flight?,
        max_wait: max_wait?,
        breaker: breaker?,
    })
}

#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
fn breaker(mut section: Section<'_>) -> Option<Option<Breaker>> {
    let failures: Option<Off<_>> = section.take("failures");
    let pause = section.take("pause");
    section.finish();
    let (failures, pause) = failures.zip(pause)?;
    Some(failures.0.map(|failures| Breaker { failures, pause }))
}

/// Reads `[delivery]`; `None` if a problem was noted.
pub(super) fn delivery(mut section: Section<'_>) -> Option<Delivery> {
    let queue = queue(&mut section);
    section.finish();
    queue
}

/// Takes a queue's keys from a table that may have others; `None` if a problem was noted.
pub(super) fn queue(section: &mut Section<'_>) -> Option<Delivery> {
    let queue_records = section.take("queue_records");
    let none_would_fit = "must be above 0, or no record would fit";
    let queue_bytes = section.take_bytes("queue_bytes", 1, none_would_fit);
    Some(Delivery {
        queue_records: queue_records?,
        queue_bytes: bytes(ByteSize(queue_bytes?)),
    })
}
