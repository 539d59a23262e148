//! What became of the records, for the ledger and for metrics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use metrics::Counter;

use crate::telemetry::metrics::{RECORDS_DROPPED, RECORDS_PUBLISHED, counter};

/// Why a record did not reach Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue had no room.
    QueueFull,
    /// The broker or librdkafka takes none of its size, shortened as it was.
    TooLarge,
    /// It was not delivered within `message.timeout.ms`.
    TimedOut,
    /// The broker or librdkafka refused it.
    Rejected,
    /// miffy stopped before it was delivered.
    Shutdown,
    /// It could not be written as JSON: a defect.
    Internal,
}

impl DropReason {
    const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::TooLarge,
        Self::TimedOut,
        Self::Rejected,
        Self::Shutdown,
        Self::Internal,
    ];

    /// Its name in metrics and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}

/// Counts records by what became of them.
#[derive(Debug)]
pub struct Counts {
    found: AtomicU64,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    at_kafka: AtomicUsize,
    published: AtomicU64,
    dropped: AtomicU64,
    published_metric: Counter,
    dropped_metrics: [Counter; DropReason::ALL.len()],
}

/// What became of the records until now: found = waiting + published + dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Records made.
    pub found: u64,
    /// On their way.
    pub waiting: u64,
    /// Acknowledged by Kafka.
    pub published: u64,
    /// Given up.
    pub dropped: u64,
}

impl Counts {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    #[must_use]
    pub fn register() -> Self {
        Self {
            found: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            at_kafka: AtomicUsize::new(0),
            published: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            published_metric: counter(RECORDS_PUBLISHED, None),
            dropped_metrics: DropReason::ALL
                .map(|reason| counter(RECORDS_DROPPED, Some(("reason", reason.name())))),
        }
    }

    /// Records in our queue.
    #[must_use]
    pub fn queued_records(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Bytes of the records in our queue.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// Records that librdkafka has.
    #[must_use]
    pub fn at_kafka(&self) -> usize {
        self.at_kafka.load(Ordering::Relaxed)
    }

    /// The sums. Taken while records move, they may be off by those that do.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            found: self.found.load(Ordering::Relaxed),
            waiting: (self.queued_records() + self.at_kafka()) as u64,
            published: self.published.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    pub(super) fn found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn queued(&self, bytes: usize) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn unqueued(&self, bytes: usize) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn handed_to_kafka(&self) {
        self.at_kafka.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left_kafka(&self) {
        self.at_kafka.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
        self.published_metric.increment(1);
    }

    pub(super) fn dropped(&self, reason: DropReason) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.dropped_metrics[reason as usize].increment(1);
    }

    /// A difference for which no record could be made.
    pub fn unwritable(&self) {
        self.found();
        self.dropped(DropReason::Internal);
    }
}
