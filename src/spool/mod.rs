//! A bounded queue of byte strings in a directory, which survives crashes.
//!
//! It knows bytes, and neither what they are nor where they go.
//!
//! # Files
//!
//! One process at a time has the directory: it holds a lock on the file `lock`. The entries are in segments, files
//! with names such as `00000000000000000001.spool`. Segments are numbered in the order of their entries, and no number
//! is used twice. Only the newest segment is written to, and only by the process that made it. When all entries of a
//! segment are acknowledged, it is removed; the newest one, when the spool is empty, at most once a second.
//!
//! All numbers are little-endian; sums are XXH3 of 64 bits. A segment begins with 24 bytes, the same in all versions of
//! the format:
//!
//! ```text
//! 8  miffySPL
//! 4  version: 1
//! 4  0
//! 8  sum of these 16 bytes; the seed is the segment's number
//! ```
//!
//! Its entries follow, each with 24 bytes before its own:
//!
//! ```text
//! 4  length of its bytes
//! 4  index, from 0 on
//! 8  sum of these 8 bytes; the seed is the segment's number
//! 8  sum of its bytes; the seed is the sum before
//! ```
//!
//! The first sum is so that the length is known to be right before it is used. The seeds are so that bytes of other
//! segments, as a file system may leave them in a file, are no entries. Sums guard against faults, not against somebody
//! who writes to the directory.
//!
//! `cursor` tells what was acknowledged. It is written to `cursor.new` and renamed:
//!
//! ```text
//! 8  miffyCUR
//! 4  version: 1
//! 4  index of the last acknowledged entry
//! 8  number of its segment; 0: there is none
//! 8  number of the next segment
//! 8  sum of these 32 bytes; the seed is 0
//! ```
//!
//! Files with other names are left alone.
//!
//! # Recovery
//!
//! A spool that is opened reads all segments, but for those that the cursor says are done with.
//!
//! - Behind the last entry of the newest segment, whatever is no entry is *torn*: a write did not come to its end, or
//!   the machine lost its power. It is cut, with a line in the log. In older segments, only what begins like an entry
//!   and is cut short is torn, as it is when a write failed and its part of an entry could not be removed again.
//! - Everything else that is no entry is *damage*. It is skipped: to the end of an entry whose first sum is right, or
//!   byte by byte. What is behind it is delivered in its order. The segment is not written to any more, and when it is
//!   done with, the file is not removed but *set aside*: renamed to `….spool.corrupt`, or `….corrupt.1` and so on if
//!   that is there already. It stays for somebody to look at, and does not count as the spool's bytes. This needs no
//!   room on the disk, and there is no moment when a crash could lose what can be read. The same is done when damage
//!   is found later, while reading.
//! - Without a cursor that can be understood, everything in the segments is delivered again.
//! - A file of a newer version is an error; nothing is changed then.
//!
//! # What a crash loses
//!
//! - A crash of the process (`kill -9`) loses nothing that [`Spool::append`] has returned `Ok` for.
//! - A crash of the machine loses nothing that was appended before a [`Spool::commit`] that returned `Ok` with
//!   [`Fsync::Always`], or a [`Spool::close`]. With [`Fsync::Interval`], it loses at most what was appended since
//!   about so long, if `commit` is called all the time; with [`Fsync::Never`], what the system had not written.
//!   After a commit that failed, what was appended before it is in doubt, even if the next one returns `Ok`: systems
//!   forget what they failed to write. The segment is not written to any more then.
//! - Either may deliver again what was acknowledged since the cursor was written, which is about a second. A crash of
//!   the machine may bring back segments that were removed, so that there are more than `max_bytes` for a while.
//!
//! This holds on file systems that keep the order of renaming and removing, as journaling ones do, on disks that
//! write what they are told to.

mod append;
mod cursor;
mod files;
mod read;
mod recover;
mod segment;
mod segments;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{error, warn};

use self::cursor::Cursor;
pub(crate) use self::files::is_full;
pub use self::files::{Disk, Files, Handle};
use self::segment::{Place, Reader};
use self::segments::Segments;
use crate::telemetry::Throttle;

/// How often the cursor is written at most.
const CURSOR_EVERY: Duration = Duration::from_secs(1);

/// At the end of names of files that were set aside.
const CORRUPT: &str = ".corrupt";

const DAMAGED: &str =
    "a segment of the spool is corrupt; it will be set aside after what can be read of it";

/// Where a spool is, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its directory, which is made if it is not there.
    pub directory: PathBuf,
    /// Bytes on disk.
    pub max_bytes: u64,
    /// Bytes from which on a segment is closed.
    pub segment_bytes: u64,
    /// What gives way when there is no room.
    pub when_full: WhenFull,
    /// When what was written is forced to the disk.
    pub fsync: Fsync,
}

/// What gives way when a spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The new entry is not taken.
    DropNew,
    /// The oldest segments.
    DropOld,
}

/// When what was written is forced to the disk (`fsync`). Without it, a crash of the machine loses what was written, a
/// crash of the process does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// By each [`Spool::commit`].
    Always,
    /// By a [`Spool::commit`] so long after the last time.
    Interval(Duration),
    /// When the system likes to.
    Never,
}

/// Where an entry is. Positions grow in the order of appending, across restarts, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    segment: u64,
    index: u32,
}

/// An entry that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub position: Position,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// Entries that are on the disk no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// How many of them nobody had read.
    pub unread: u64,
    /// The last one's place; whoever has read one up to here has the only copy.
    pub up_to: Position,
}

/// Why an entry was not taken. The spool is as it was, but for what gave way in vain: [`Spool::take_dropped`] tells.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room, and nothing may give way.
    #[error("the spool is full")]
    Full,
    /// It is larger than the whole spool may be.
    #[error("larger than the spool")]
    TooLarge,
    /// The disk failed, or is full.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a spool can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The disk failed.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

impl OpenError {
    /// Whether it is the disk that has failed or is full, and nothing that was wrong from the beginning: another
    /// directory, permission or version would not help.
    #[must_use]
    pub fn is_of_the_disk(&self) -> bool {
        use io::ErrorKind;
        match self {
            Self::InUse(_) => false,
            Self::Io(_, error) => !matches!(
                error.kind(),
                ErrorKind::AlreadyExists
                    | ErrorKind::InvalidFilename
                    | ErrorKind::InvalidInput
                    | ErrorKind::NotADirectory
                    | ErrorKind::NotFound
                    | ErrorKind::PermissionDenied
                    | ErrorKind::Unsupported
            ),
        }
    }
}

/// A spool that is open, and nobody else's.
#[derive(Debug)]
pub struct Spool<F: Files = Disk> {
    files: F,
    options: Options,
    _lock: F::Lock,
    segments: Segments,
    /// Writes to the last segment.
    writer: Option<Writer<F::Handle>>,
    /// Segments before it that are to be forced to the disk.
    unforced: Vec<(u64, F::Handle)>,
    /// New names in the directory are to be forced to the disk.
    is_directory_dirty: bool,
    forced_at: Instant,
    reader: Option<Reader<F::Handle>>,
    /// Where to read on: the segment's number and the place in it.
    place: (u64, Place),
    acknowledged: Position,
    next_segment: u64,
    /// The cursor, as it is on the disk.
    written: Option<Cursor>,
    written_at: Option<Instant>,
    cursor_every: Duration,
    unreadable: u64,
    /// What gave way, and was not told.
    dropped: Option<Dropped>,
    /// An entry while it is written.
    frame: Vec<u8>,
    complaints: Throttle,
}

#[derive(Debug)]
struct Writer<H> {
    file: H,
    /// There is something to be forced to the disk.
    is_dirty: bool,
}

impl Spool {
    /// Opens the spool. Everything that was not acknowledged will be read, the oldest entry first.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_on(Disk, options)
    }
}

impl<F: Files> Spool<F> {
    /// Forces what was appended to the disk if it is time, and writes down what was acknowledged if it is time. `Err`:
    /// what was appended since the last time may not survive a crash of the machine. A cursor that can't be written is
    /// no error, but a line in the log.
    pub fn commit(&mut self) -> io::Result<()> {
        let is_time = match self.options.fsync {
            Fsync::Always => true,
            Fsync::Interval(interval) => self.forced_at.elapsed() >= interval,
            Fsync::Never => false,
        };
        let forced = if is_time { self.force() } else { Ok(()) };
        let written = self.written_at.map(|at| at.elapsed());
        if written.is_none_or(|elapsed| elapsed >= self.cursor_every) {
            self.tidy();
        }
        forced
    }

    /// Takes everything as read: whoever appended it has it still.
    pub fn skip_unread(&mut self) {
        let Some(last) = self.segments.last() else {
            return;
        };
        let place = Place {
            offset: last.end,
            index: last.next,
        };
        self.place = (last.number, place);
        let mut at = self.segments.len();
        while self.segments.unread > 0 {
            at -= 1;
            self.segments
                .change(at, |segment| segment.read_before(segment.next));
        }
    }

    /// All entries up to this one are done with, and will not be read after a restart. Segments without others are
    /// removed. Written down by [`Spool::commit`] now and then, and by [`Spool::close`].
    pub fn acknowledge(&mut self, position: Position) {
        if position <= self.acknowledged || position.segment >= self.next_segment {
            return;
        }
        self.acknowledged = position;
        for at in 0..self.segments.place(position.segment.saturating_add(1)) {
            self.segments.change(at, |segment| {
                let is_whole = segment.number < position.segment;
                let before = if is_whole {
                    segment.next
                } else {
                    position.index.saturating_add(1)
                };
                segment.acknowledge_before(before);
            });
        }
        self.reclaim();
    }

    /// Entries that were not read.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.segments.unread
    }

    /// Entries that were not acknowledged.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.segments.entries
    }

    /// Bytes on disk: of all segments, and not of those that were set aside.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.bytes
    }

    /// Forces everything to the disk, what was acknowledged too.
    pub fn close(mut self) -> io::Result<()> {
        if self.options.fsync == Fsync::Never {
            self.reopen_for_forcing()?;
        }
        let forced = self.force();
        self.write_cursor(true)?;
        self.tidy();
        self.files.sync_directory(&self.options.directory)?;
        forced
    }

    /// What was written is not kept in mind where nobody forces it to the disk until the end.
    fn reopen_for_forcing(&mut self) -> io::Result<()> {
        self.is_directory_dirty = true;
        self.written = None;
        let closed = self.segments.len() - usize::from(self.writer.is_some());
        for segment in (0..closed).filter_map(|at| self.segments.get(at)) {
            let file = self
                .files
                .open(&self.path(&segment::file_name(segment.number)))?;
            self.unforced.push((segment.number, file));
        }
        Ok(())
    }

    /// The older files come first: while one of them fails, no further one is closed and kept for later.
    fn force(&mut self) -> io::Result<()> {
        while let Some((_, file)) = self.unforced.last_mut() {
            file.sync()?;
            self.unforced.pop();
        }
        if let Some(writer) = self.writer.as_mut().filter(|writer| writer.is_dirty) {
            match writer.file.sync() {
                Ok(()) => writer.is_dirty = false,
                Err(error) => {
                    self.close_segment();
                    return Err(error);
                }
            }
        }
        if self.is_directory_dirty {
            self.files.sync_directory(&self.options.directory)?;
            self.is_directory_dirty = false;
        }
        self.forced_at = Instant::now();
        Ok(())
    }

    /// Ends writing to the last segment.
    fn close_segment(&mut self) {
        let Some(writer) = self.writer.take() else {
            return;
        };
        let is_forced_later = self.options.fsync != Fsync::Never;
        if let Some(last) = self
            .segments
            .last()
            .filter(|_| writer.is_dirty && is_forced_later)
        {
            self.unforced.push((last.number, writer.file));
        }
    }

    /// Writes the cursor, and removes the last segment if the spool is empty.
    fn tidy(&mut self) {
        self.written_at = Some(Instant::now());
        if let Err(error) = self.write_cursor(self.options.fsync != Fsync::Never) {
            if let Some(unsaid) = self.complaints.admit() {
                warn!(%error, unsaid, "the spool's cursor can't be written");
            }
            return;
        }
        self.reclaim();
        if self.segments.entries == 0 && self.segments.len() == 1 {
            self.remove_first_or_complain();
        }
    }

    fn write_cursor(&mut self, is_forced: bool) -> io::Result<()> {
        let cursor = Cursor {
            acknowledged: self.acknowledged,
            next_segment: self.next_segment,
        };
        if Some(cursor) != self.written {
            cursor.write(&self.files, &self.options.directory, is_forced)?;
            self.written = Some(cursor);
        }
        Ok(())
    }

    /// Removes the segments that are done with, but for the last: the cursor has to know the next number before.
    fn reclaim(&mut self) {
        while self.segments.len() > 1 {
            let is_done = self
                .segments
                .first()
                .is_some_and(|first| first.entries() == 0);
            if !is_done || !self.remove_first_or_complain() {
                return;
            }
        }
    }

    fn remove_first_or_complain(&mut self) -> bool {
        let removed = self.remove_first();
        if let Err(error) = &removed
            && let Some(unsaid) = self.complaints.admit()
        {
            warn!(%error, unsaid, "a segment of the spool can't be removed");
        }
        removed.is_ok()
    }

    /// Removes the oldest segment, whatever is in it, or sets it aside.
    fn remove_first(&mut self) -> io::Result<()> {
        let Some(first) = self.segments.first() else {
            return Ok(());
        };
        let (number, is_damaged) = (first.number, first.is_damaged);
        if self.segments.len() == 1 {
            self.close_segment();
        }
        let path = self.path(&segment::file_name(number));
        let removed = if is_damaged {
            self.set_aside(&path)
        } else {
            self.files.remove(&path)
        };
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        self.forget(number);
        self.segments.pop_first();
        Ok(())
    }

    fn set_aside(&self, path: &Path) -> io::Result<()> {
        let mut aside = path.to_owned();
        aside.as_mut_os_string().push(CORRUPT);
        let first = aside.clone();
        let mut others = 0_u64;
        while self.files.exists(&aside)? {
            others += 1;
            aside.clone_from(&first);
            aside.as_mut_os_string().push(format!(".{others}"));
        }
        self.files.rename(path, &aside)?;
        error!(path = %aside.display(), "a corrupt segment of the spool was set aside");
        Ok(())
    }

    /// Closes the files of a segment.
    fn forget(&mut self, number: u64) {
        self.unforced.retain(|(unforced, _)| *unforced != number);
        self.reader.take_if(|reader| reader.number() == number);
    }

    fn path(&self, file: &str) -> PathBuf {
        self.options.directory.join(file)
    }
}
