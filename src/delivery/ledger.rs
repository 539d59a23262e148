//! What became of a sink's records.

use std::ops::AddAssign;

/// Why a record did not reach its sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// There was no room in memory, and no spool.
    QueueFull,
    /// There was no room in the spool, nor in memory.
    SpoolFull,
    /// The spool could not be written, and there was no room in memory.
    SpoolFailed,
    /// The sink takes none of its size, shortened as it was.
    TooLarge,
    /// It was not delivered within librdkafka's `message.timeout.ms`, and there is no spool.
    TimedOut,
    /// The sink refused it for what it is.
    Rejected,
    /// The spool's file was damaged.
    Unreadable,
    /// miffy stopped before it was delivered.
    Shutdown,
    /// It could not be written as JSON: a defect.
    Internal,
}

impl DropReason {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::QueueFull,
        Self::SpoolFull,
        Self::SpoolFailed,
        Self::TooLarge,
        Self::TimedOut,
        Self::Rejected,
        Self::Unreadable,
        Self::Shutdown,
        Self::Internal,
    ];

    /// Its name in metrics and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::Rejected => "rejected",
            Self::Unreadable => "unreadable",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}

/// What became of the records until now: found = waiting + spooled + published + dropped, at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Records made, and those that an earlier process left in the spool.
    pub found: u64,
    /// In memory, on their way.
    pub waiting: u64,
    /// On disk, on their way.
    pub spooled: u64,
    /// Taken by the sink.
    pub published: u64,
    /// Given up.
    pub dropped: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.found += other.found;
        self.waiting += other.waiting;
        self.spooled += other.spooled;
        self.published += other.published;
        self.dropped += other.dropped;
    }
}

/// The account of one sink. Each move keeps the sum.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) waiting: u64,
    /// Of those that wait in memory.
    pub(super) waiting_bytes: usize,
    spooled: u64,
    published: u64,
    dropped: [u64; DropReason::ALL.len()],
    /// Of those found, what an earlier process left in the spool.
    pub(super) recovered: u64,
    /// How often a record was shortened for its sink.
    pub(super) shortened: u64,
    /// What the spool takes of the disk.
    pub(super) spool_bytes: u64,
}

/// Where a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// In memory, so many bytes.
    Waiting(usize),
    /// On disk.
    Spooled,
}

impl Ledger {
    /// A record came to be kept.
    pub(super) fn take(&mut self, kept: Kept) {
        match kept {
            Kept::Waiting(size) => {
                self.waiting += 1;
                self.waiting_bytes += size;
            }
            Kept::Spooled => self.spooled += 1,
        }
    }

    /// So many came with the spool, from an earlier process.
    pub(super) fn recover(&mut self, records: u64) {
        self.recovered += records;
        self.spooled += records;
    }

    fn give(&mut self, kept: Kept) {
        match kept {
            Kept::Waiting(size) => {
                self.waiting -= 1;
                self.waiting_bytes -= size;
            }
            Kept::Spooled => self.spooled -= 1,
        }
    }

    /// A record is kept elsewhere.
    pub(super) fn keep(&mut self, from: Kept, to: Kept) {
        self.give(from);
        self.take(to);
    }

    /// A record that was kept was taken by the sink.
    pub(super) fn publish(&mut self, from: Kept) {
        self.give(from);
        self.published += 1;
    }

    /// A record that was kept is given up.
    pub(super) fn drop(&mut self, from: Kept, reason: DropReason) {
        self.give(from);
        self.refuse(reason);
    }

    /// So many records that were on disk, and read by nobody, are given up.
    pub(super) fn lose(&mut self, records: u64, reason: DropReason) {
        self.spooled -= records;
        self.dropped[reason as usize] += records;
    }

    /// A record is given up as soon as it was found.
    pub(super) fn refuse(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Records that were given up for this reason.
    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// The reasons that there were, with their numbers, as in `queue_full=3 too_large=1`.
    pub(super) fn drops(&self) -> String {
        let entry = |reason: DropReason| {
            let number = self.dropped(reason);
            (number > 0).then(|| format!("{}={number}", reason.name()))
        };
        let entries: Vec<String> = DropReason::ALL.into_iter().filter_map(entry).collect();
        entries.join(" ")
    }

    /// The sums.
    pub(super) fn totals(&self) -> Totals {
        let dropped = self.dropped.iter().sum();
        Totals {
            found: self.waiting + self.spooled + self.published + dropped,
            waiting: self.waiting,
            spooled: self.spooled,
            published: self.published,
            dropped,
        }
    }
}
