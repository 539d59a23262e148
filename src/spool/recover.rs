//! Opening a spool: what is there, what of it is whole, and where to go on.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Instant;

use tracing::{error, warn};

use super::cursor::{self, Cursor};
use super::files::{Files, Handle};
use super::segment::{self, HEADER, Header, Place, Reader};
use super::segments::{Segment, Segments};
use super::{CORRUPT, CURSOR_EVERY, DAMAGED, Fsync, OpenError, Options, Position, Spool};
use crate::telemetry::Throttle;

const LOCK: &str = "lock";

impl<F: Files> Spool<F> {
    /// Opens the spool on these files.
    pub fn open_on(files: F, options: Options) -> Result<Self, OpenError> {
        let directory = &options.directory;
        let failed = |error| OpenError::Io(directory.clone(), error);
        files.create_directory(directory).map_err(failed)?;
        let path = directory.join(LOCK);
        let lock = files.lock(&path).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => OpenError::InUse(directory.clone()),
            _ => OpenError::Io(path, error),
        })?;
        let names = files.list(directory).map_err(failed)?;
        let cursor = Cursor::read(&files, directory)
            .map_err(|error| OpenError::Io(directory.join(cursor::FILE), error))?;
        let mut recovery = Recovery {
            files: &files,
            directory,
            cursor,
            segments: Segments::default(),
            start: (0, Place::START),
        };
        recovery.segments(&names)?;
        let (segments, place) = (recovery.segments, recovery.start);
        let next_segment = next_segment(cursor, &names);
        let mut spool = Self {
            segments,
            place,
            next_segment,
            acknowledged: cursor.acknowledged,
            written: Some(cursor),
            written_at: None,
            cursor_every: CURSOR_EVERY,
            forced_at: Instant::now(),
            is_directory_dirty: false,
            unforced: Vec::new(),
            writer: None,
            reader: None,
            unreadable: 0,
            dropped: None,
            frame: Vec::new(),
            complaints: Throttle::default(),
            _lock: lock,
            files,
            options,
        };
        spool.remove_temporary(&names);
        spool.reclaim();
        if spool.entries() == 0 {
            spool.tidy();
        }
        if spool.options.fsync != Fsync::Never {
            // The process before may have ended between a write and its commit; the next commit covers these, too. It
            // may be much, so that a start does not wait for it.
            let reopened = spool.reopen_for_forcing();
            reopened.map_err(|error| OpenError::Io(spool.options.directory.clone(), error))?;
        }
        Ok(spool)
    }

    fn remove_temporary(&self, names: &[String]) {
        if names.iter().any(|name| name == cursor::TEMPORARY) {
            // It is removed before it is written, too.
            let _result = self.files.remove(&self.path(cursor::TEMPORARY));
        }
    }
}

/// Above all segments there are or were, those that were set aside, too.
fn next_segment(cursor: Cursor, names: &[String]) -> u64 {
    let names = names.iter();
    let names = names.map(|name| name.split_once(CORRUPT).map_or(&**name, |(name, _)| name));
    let highest = names.filter_map(segment::number).max().unwrap_or(0);
    let highest = highest.max(cursor.acknowledged.segment);
    cursor.next_segment.max(highest + 1)
}

struct Recovery<'a, F> {
    files: &'a F,
    directory: &'a Path,
    cursor: Cursor,
    segments: Segments,
    /// Behind what was acknowledged.
    start: (u64, Place),
}

impl<F: Files> Recovery<'_, F> {
    fn segments(&mut self, names: &[String]) -> Result<(), OpenError> {
        let numbers = names.iter().filter_map(|name| segment::number(name));
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        // All of them, before anything is changed.
        for number in &numbers {
            self.told(*number, |_, reader| refuse_newer(reader))?;
        }
        for number in &numbers {
            let is_last = Some(number) == numbers.last();
            let segment = self.told(*number, |this, reader| this.segment(reader, is_last))?;
            self.segments.push(segment);
        }
        Ok(())
    }

    /// Does something with a segment's file, and tells its path with an error.
    fn told<T>(
        &mut self,
        number: u64,
        act: impl FnOnce(&mut Self, &mut Reader<F::Handle>) -> io::Result<T>,
    ) -> Result<T, OpenError> {
        let path = self.directory.join(segment::file_name(number));
        let opened = self.files.open(&path);
        opened
            .and_then(|file| act(self, &mut Reader::new(file, number)))
            .map_err(|error| OpenError::Io(path, error))
    }

    fn segment(&mut self, reader: &mut Reader<F::Handle>, is_last: bool) -> io::Result<Segment> {
        let acknowledged = self.cursor.acknowledged;
        let size = reader.file().size()?;
        let mut segment = Segment {
            number: reader.number(),
            size,
            end: size,
            ..Segment::default()
        };
        let header = reader.header()?;
        if segment.number < acknowledged.segment || header == Header::Torn {
            return Ok(segment);
        }
        segment.is_damaged = header != Header::Whole;
        self.entries(reader, &mut segment)?;
        if segment.number == acknowledged.segment {
            segment.acknowledge_before(acknowledged.index.saturating_add(1));
        }
        let place = Place {
            offset: segment.end,
            index: segment.next,
        };
        if size > segment.end && !segment.is_damaged {
            if is_last || reader.is_torn(place, size)? {
                self.cut(reader, &mut segment);
            } else {
                segment.is_damaged = true;
            }
        }
        if segment.is_damaged {
            let path = self.directory.join(segment::file_name(segment.number));
            let missing = u64::from(segment.next) - segment.present(0..segment.next);
            error!(path = %path.display(), missing, DAMAGED);
        }
        Ok(segment)
    }

    fn entries(&mut self, reader: &mut Reader<F::Handle>, segment: &mut Segment) -> io::Result<()> {
        let mut place = Place::START;
        while let Some(found) = reader.next(place, segment.size)? {
            if found.place.index > place.index {
                segment.missing.push(place.index..found.place.index);
            }
            segment.is_damaged |= found.place != place;
            place = found.after();
            let position = Position {
                segment: segment.number,
                index: found.place.index,
            };
            if position <= self.cursor.acknowledged {
                self.start = (segment.number, place);
            }
        }
        segment.next = place.index;
        segment.end = place.offset;
        Ok(())
    }

    fn cut(&self, reader: &mut Reader<F::Handle>, segment: &mut Segment) {
        let path = self.directory.join(segment::file_name(segment.number));
        let (path, bytes) = (path.display(), segment.size - segment.end);
        match reader.file().truncate(segment.end) {
            Ok(()) => {
                segment.size = segment.end;
                warn!(%path, bytes, "the end of a segment of the spool was torn; it is cut");
            }
            Err(error) => {
                warn!(%path, bytes, %error, "the torn end of a segment of the spool can't be cut");
            }
        }
        debug_assert!(segment.end >= HEADER, "there was a whole header");
    }
}

fn refuse_newer(reader: &mut Reader<impl Handle>) -> io::Result<()> {
    match reader.header()? {
        Header::Newer(version) => Err(cursor::newer("a segment of the spool", version)),
        _ => Ok(()),
    }
}
