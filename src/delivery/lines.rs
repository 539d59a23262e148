//! Lines that wait to be written, for sinks that write lines.

use std::io::{self, ErrorKind, Write};

use super::outgoing::Outgoing;
use super::sink::{Failure, Problem, Reports};
use crate::spool::is_full;

/// Bytes that are written at a time, and which a longer line may be over.
const FULL: usize = 64 * 1024;

/// Records as lines, and the tickets that they stand for.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Tickets, and where their lines end.
    ends: Vec<(u64, usize)>,
}

/// Writing that failed on its way.
#[derive(Debug)]
pub(super) struct Broken {
    /// Bytes that were written before it did.
    pub(super) written: usize,
    /// Why.
    pub(super) error: io::Error,
}

/// The length of a record's line.
pub(super) fn length(record: &Outgoing) -> usize {
    record.payload.len() + 1
}

/// What its operator can do about a file that can't be written, whatever file it is.
pub(super) fn remedy(error: &io::Error) -> Option<&'static str> {
    is_full(error).then_some("make room on the disk")
}

/// Writes as much as goes, and knows how much that was.
pub(super) fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), Broken> {
    let mut written = 0;
    while written < bytes.len() {
        let error = match out.write(&bytes[written..]) {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(more) => {
                written += more;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return Err(Broken { written, error });
    }
    Ok(())
}

impl Lines {
    pub(super) fn push(&mut self, ticket: u64, record: &Outgoing) {
        self.bytes.extend_from_slice(&record.payload);
        self.bytes.push(b'\n');
        self.ends.push((ticket, self.bytes.len()));
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// Where the last line ends that is whole if only so many bytes were written.
    pub(super) fn whole(&self, written: usize) -> usize {
        let whole = self.ends.partition_point(|(_, end)| *end <= written);
        whole.checked_sub(1).map_or(0, |last| self.ends[last].1)
    }

    /// The rest of the line that was begun when so many bytes were written, if one was.
    pub(super) fn rest(&self, written: usize) -> &[u8] {
        if self.whole(written) == written {
            return &[];
        }
        let line = self.ends.partition_point(|(_, end)| *end <= written);
        &self.bytes[written..self.ends[line].1]
    }

    /// Tells that the lines were all written, and forgets them.
    pub(super) fn tell_written(&mut self, reports: &Reports) {
        for (ticket, _) in &self.ends {
            reports.tell(*ticket, Ok(()));
        }
        self.clear();
    }

    /// Tells that those lines were written that are whole within so many bytes, and the others were not; and forgets
    /// them all.
    pub(super) fn tell_broken(&mut self, written: usize, problem: &Problem, reports: &Reports) {
        for (ticket, end) in &self.ends {
            let told = if *end <= written {
                Ok(())
            } else {
                Err(Failure::Sink(problem.clone()))
            };
            reports.tell(*ticket, told);
        }
        self.clear();
    }

    /// Tells that none was written, and forgets them.
    pub(super) fn tell_recalled(&mut self, reports: &Reports) {
        for (ticket, _) in &self.ends {
            reports.tell(*ticket, Err(Failure::Recalled));
        }
        self.clear();
    }

    /// Forgets the lines; nobody is told.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        // One long line must not hold its memory for ever.
        self.bytes.shrink_to(2 * FULL);
    }
}
