//! The `[spool]` table: where records wait on disk.

use std::path::PathBuf;

use bytesize::{KIB, MIB};
use config::Value;

use super::reader::{FromValue, Off, Section};
use crate::spool::{Fsync, Options, WhenFull};

/// The least that a spool is worth its files for.
const MIN_BYTES: u64 = MIB;

/// What is to be known where Kafka has no spool behind it; for the log, `miffy check` and `/readyz`.
pub(super) const NO_SPOOL: &str = "spool.directory is not set: an outage of Kafka longer than the queue lasts \
    (delivery.queue_records, delivery.queue_bytes) will lose records";

/// Where records wait that memory has no room for, or that the process leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// Its directory.
    pub directory: PathBuf,
    /// Bytes on disk.
    pub max_bytes: u64,
    /// What gives way when there is no room.
    pub when_full: WhenFull,
    /// When what was written is forced to the disk.
    pub fsync: Fsync,
}

impl Spool {
    /// A sink's spool of these settings, in a directory of its own. Its segments are small enough that what was delivered makes room soon, and
    /// large enough that there are few of them.
    #[must_use]
    pub fn options(&self, sink: &str) -> Options {
        Options {
            directory: self.directory.join(sink),
            max_bytes: self.max_bytes,
            segment_bytes: (self.max_bytes / 16).clamp(64 * KIB, 16 * MIB),
            when_full: self.when_full,
            fsync: self.fsync,
        }
    }
}

/// How `fsync` is written.
enum When {
    Always,
    Interval,
    Never,
}

/// Reads the table; `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
pub(super) fn read(mut section: Section<'_>) -> Option<Option<Spool>> {
    let directory: Option<Off<_>> = section.take("directory");
    let max_bytes = section.take_bytes("max_bytes", MIN_BYTES, "must be at least 1MiB");
    let when_full = section.take("when_full");
    let when = section.take("fsync");
    let interval = section.take("fsync_interval");
    section.finish();
    let (directory, max_bytes) = (directory?.0, max_bytes?);
    let (when_full, interval) = (when_full?, interval?);
    let fsync = match when? {
        When::Always => Fsync::Always,
        When::Interval => Fsync::Interval(interval),
        When::Never => Fsync::Never,
    };
    Some(directory.map(|directory| Spool {
        directory,
        max_bytes,
        when_full,
        fsync,
    }))
}

impl FromValue for When {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        match &*text {
            "always" => Ok(Self::Always),
            "interval" => Ok(Self::Interval),
            "never" => Ok(Self::Never),
            _ => Err(format!(
                "\"{text}\" is not \"always\", \"interval\" or \"never\""
            )),
        }
    }
}

impl FromValue for WhenFull {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        match &*text {
            "drop_new" => Ok(Self::DropNew),
            "drop_old" => Ok(Self::DropOld),
            _ => Err(format!("\"{text}\" is not \"drop_new\" or \"drop_old\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_a_sixteenth_within_bounds() {
        for (max_bytes, expected) in [(MIB, 64 * KIB), (16 * MIB, MIB), (1024 * MIB, 16 * MIB)] {
            let spool = Spool {
                directory: PathBuf::from("spool"),
                max_bytes,
                when_full: WhenFull::DropNew,
                fsync: Fsync::Never,
            };
            assert_eq!(spool.options("sink").segment_bytes, expected);
        }
    }
}
