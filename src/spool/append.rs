//! Appending, and making room for it.

use std::io::{self, ErrorKind};

use super::files::{Files, Handle, append_all, is_full};
use super::segment::{self, HEAD, HEADER};
use super::segments::Segment;
use super::{AppendError, Dropped, Fsync, Position, Spool, WhenFull, Writer};

impl<F: Files> Spool<F> {
    /// Appends an entry, which will be read last, and tells where it is. It is written (not forced to the disk) when this
    /// returns. What gave way for it, [`Spool::take_dropped`] tells.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Position, AppendError> {
        let length = HEAD + bytes.len() as u64;
        if u32::try_from(bytes.len()).is_err() || HEADER + length > self.options.max_bytes {
            return Err(AppendError::TooLarge);
        }
        loop {
            if !self.make_room(length)? {
                return Err(AppendError::Full);
            }
            match self.write(bytes, length) {
                Ok(position) => return Ok(position),
                // Each time, there is a segment less.
                Err(error) if is_full(&error) && self.give_way()? => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What gave way for appends since this was asked last, whether they failed nevertheless or not.
    pub fn take_dropped(&mut self) -> Option<Dropped> {
        self.dropped.take()
    }

    /// Sees to it that an entry fits into what the spool may have. `false`: it does not, and nothing may give way.
    fn make_room(&mut self, length: u64) -> io::Result<bool> {
        loop {
            let begins = if self.must_begin(length) { HEADER } else { 0 };
            if self.bytes() + begins + length <= self.options.max_bytes {
                return Ok(true);
            }
            if !self.give_way()? {
                return Ok(false);
            }
        }
    }

    /// Removes the oldest segment if it may be removed.
    fn give_way(&mut self) -> io::Result<bool> {
        let Some(first) = self.segments.first() else {
            return Ok(false);
        };
        let (entries, unread, up_to) = (first.entries(), first.unread(), first.last());
        if entries > 0 && self.options.when_full == WhenFull::DropNew {
            return Ok(false);
        }
        if self.segments.len() == 1 {
            // For the next number. If this fails, numbers may be used again after a crash, for entries that are no
            // older than what was acknowledged.
            let _result = self.write_cursor(self.options.fsync != Fsync::Never);
        }
        self.remove_first()?;
        if entries > 0 {
            let before = self.dropped.map_or(0, |dropped| dropped.unread);
            let unread = before + unread;
            self.dropped = Some(Dropped { unread, up_to });
        }
        Ok(true)
    }

    /// Whether an entry goes to a new segment.
    fn must_begin(&self, length: u64) -> bool {
        let last = self.segments.last().filter(|_| self.writer.is_some());
        last.is_none_or(|last| {
            let is_full = last.size + length > self.options.segment_bytes || last.next == u32::MAX;
            is_full && last.next > 0
        })
    }

    fn write(&mut self, bytes: &[u8], length: u64) -> io::Result<Position> {
        if self.must_begin(length) {
            self.close_segment();
            self.begin_segment()?;
        }
        let (Some(writer), Some(last)) = (self.writer.as_mut(), self.segments.last()) else {
            return Err(ErrorKind::NotFound.into());
        };
        let position = Position {
            segment: last.number,
            index: last.next,
        };
        segment::frame(&mut self.frame, last.number, last.next, bytes)
            .ok_or(ErrorKind::FileTooLarge)?;
        writer.is_dirty = true;
        if let Err(error) = append_all(&mut writer.file, &self.frame) {
            self.take_back(length);
            return Err(error);
        }
        self.segments.change_last(|last| {
            last.size += length;
            last.end = last.size;
            last.next += 1;
        });
        Ok(position)
    }

    /// Removes what a failed write has left.
    fn take_back(&mut self, length: u64) {
        let (Some(writer), Some(last)) = (self.writer.as_mut(), self.segments.last()) else {
            return;
        };
        let (end, is_empty) = (last.end, last.next == 0);
        if writer.file.truncate(end).is_err() {
            // It stays, and is known by being cut short.
            let size = writer.file.size().unwrap_or(end + length);
            self.segments.change_last(|last| last.size = size);
            self.close_segment();
        }
        if is_empty {
            self.remove_empty();
        }
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.next_segment;
        // Whatever becomes of it: a file of this number may stay.
        self.next_segment += 1;
        let mut file = self.files.create(&self.path(&segment::file_name(number)))?;
        self.is_directory_dirty = true;
        let begun = append_all(&mut file, &segment::header(number));
        let size = match &begun {
            Ok(()) => HEADER,
            Err(_) => file.size().unwrap_or(HEADER),
        };
        self.segments.push(Segment {
            number,
            size,
            end: size,
            ..Segment::default()
        });
        self.writer = Some(Writer {
            file,
            is_dirty: true,
        });
        if begun.is_err() {
            self.remove_empty();
        }
        begun
    }

    /// Removes the last segment, which has no entry. If this fails, it stays until those before it are removed.
    fn remove_empty(&mut self) {
        self.close_segment();
        let Some(number) = self.segments.last().map(|last| last.number) else {
            return;
        };
        if self
            .files
            .remove(&self.path(&segment::file_name(number)))
            .is_ok()
        {
            self.forget(number);
            self.segments.pop_last();
        }
    }
}
