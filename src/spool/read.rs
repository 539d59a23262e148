//! Reading, and what to do with what can't be read.

use std::io::{self, ErrorKind};
use std::mem;
use std::ops::Range;

use tracing::error;

use super::files::Files;
use super::segment::{self, Place, Reader};
use super::{DAMAGED, Entry, Position, Spool};

impl<F: Files> Spool<F> {
    /// The oldest entry that was not read, which is read then. `Err`: it can't be read now; try again later. What
    /// can never be read (a checksum that is wrong) is set aside, and told by [`Spool::take_unreadable`].
    pub fn read(&mut self) -> io::Result<Option<Entry>> {
        while let Some(at) = self.segment_to_read() {
            let entry = self.read_in(at)?;
            if entry.is_some() {
                return Ok(entry);
            }
            self.reclaim();
        }
        Ok(None)
    }

    /// How many entries became unreadable since this was asked last: they are in the spool no more. Those that could
    /// not be read when the spool was opened were not in it.
    pub fn take_unreadable(&mut self) -> u64 {
        mem::take(&mut self.unreadable)
    }

    /// The segment in which the next entry is. Goes to its beginning if it is not the one that was read before.
    fn segment_to_read(&mut self) -> Option<usize> {
        if self.segments.unread == 0 {
            return None;
        }
        let mut at = self.segments.place(self.place.0);
        let segment = loop {
            let segment = self.segments.get(at)?;
            if segment.unread() > 0 {
                break segment;
            }
            at += 1;
        };
        if segment.number != self.place.0 {
            self.place = (segment.number, Place::START);
        }
        Some(at)
    }

    /// Reads an entry of a segment. `None`: it was read before, or can't be.
    fn read_in(&mut self, at: usize) -> io::Result<Option<Entry>> {
        let Some(segment) = self.segments.get(at) else {
            return Ok(None);
        };
        let (number, next, end, read) = (segment.number, segment.next, segment.end, segment.read);
        let place = self.place.1;
        self.reader.take_if(|reader| reader.number() != number);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => match self.files.open(&self.path(&segment::file_name(number))) {
                Ok(file) => self.reader.insert(Reader::new(file, number)),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.lose(at, place.index..next);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        let found = reader.next(place, end)?;
        let Some(found) = found.filter(|found| found.place.index < next) else {
            self.lose(at, place.index..next);
            return Ok(None);
        };
        let index = found.place.index;
        let bytes = reader.bytes(&found.bytes, end)?.to_vec();
        self.place.1 = found.after();
        // Those that were skipped over.
        self.lose(at, place.index..index);
        self.segments
            .change(at, |segment| segment.read_before(index + 1));
        let position = Position {
            segment: number,
            index,
        };
        Ok((index >= read).then_some(Entry { position, bytes }))
    }

    /// Counts entries that can't be read, and forgets them.
    fn lose(&mut self, at: usize, range: Range<u32>) {
        let lost = self.segments.change(at, |segment| {
            let is_known = segment.present(range.clone()) == 0;
            (!is_known).then(|| (segment.number, segment.lose(range)))
        });
        let Some((number, lost)) = lost.flatten() else {
            return;
        };
        self.unreadable += lost;
        let path = self.path(&segment::file_name(number));
        error!(path = %path.display(), missing = lost, DAMAGED);
        if at + 1 == self.segments.len() {
            // What is set aside does not change any more.
            self.close_segment();
        }
    }
}
