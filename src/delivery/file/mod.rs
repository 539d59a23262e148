//! Records in a file, a line of JSON each.
//!
//! Invariants:
//!
//! - The file is whole lines. Of one that broke off (the disk was full) the part that was written is cut off at once,
//!   or else when the file is opened again, after a crash too. Whole lines stay.
//! - A record counts as published when it was written (`write` returned). Files are forced to the disk when they are
//!   rotated and closed, so a crash of the machine may cost what was written last; a crash of the process does not.
//! - A file that was moved or removed (by logrotate, say) is made anew before the next line is written, and within a
//!   second or so without one.
//! - One process has the file: it is locked.
//!
//! # Layout
//!
//! - `rotated`: rotated files, and the thread that compresses them

mod rotated;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test's panic is its result")]
mod tests;

use std::fs::{File, Metadata, OpenOptions, TryLockError, metadata, rename};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use tracing::{info, warn};

use super::lines::{self, Broken, Lines};
use super::outgoing::Outgoing;
use super::sink::{Failure, Problem, Refused, Reports, Sink};
use crate::config;
use rotated::{Rotated, Stamp, Tidier};

/// Records hold what clients and services sent.
const OWNER_ONLY: u32 = 0o600;

/// Appends lines to a file, and rotates it.
pub(super) struct FileSink {
    settings: config::File,
    reports: Reports,
    /// The file, or why there is none until the sink is renewed; nothing waits to be written then.
    file: Result<Open, Problem>,
    lines: Lines,
    rotated: Rotated,
    /// When the file was rotated last.
    last: Option<Stamp>,
    tidier: Tidier,
}

/// The file that is written to.
struct Open {
    file: File,
    /// Bytes in it.
    length: u64,
}

impl FileSink {
    /// Opens the file, or makes it. What an earlier process left undone is done. An error names the key.
    pub(super) fn new(settings: config::File, reports: Reports) -> io::Result<Self> {
        let (key, path) = (settings.key.clone(), settings.path.clone());
        Self::start(settings, reports).map_err(|error| {
            let message = format!("{key}: {}: {error}", path.display());
            io::Error::new(error.kind(), message)
        })
    }

    fn start(mut settings: config::File, reports: Reports) -> io::Result<Self> {
        let file = Open::at(&settings.path)?;
        // Of a link, what it leads to is rotated.
        settings.path = settings.path.canonicalize()?;
        let rotated = Rotated::of(&settings);
        Ok(Self {
            last: rotated.last()?,
            tidier: Tidier::start(rotated.clone())?,
            file: Ok(file),
            lines: Lines::default(),
            rotated,
            settings,
            reports,
        })
    }

    /// Writes what waits, and tells of it.
    fn write_out(&mut self) -> Result<(), Problem> {
        if self.lines.is_empty() {
            return self.file.as_ref().map(drop).map_err(Clone::clone);
        }
        if let Err(problem) = self.follow() {
            self.lines.tell_broken(0, &problem, &self.reports);
            return Err(problem);
        }
        let file = self.file.as_mut().map_err(|problem| problem.clone())?;
        let Broken { written, error } = match append(&mut file.file, &self.lines) {
            Ok(length) => {
                file.length = length;
                self.lines.tell_written(&self.reports);
                return Ok(());
            }
            Err(broken) => broken,
        };
        let problem = self.failed(&error);
        self.lines.tell_broken(written, &problem, &self.reports);
        Err(problem)
    }

    /// Closes the file because of this.
    fn failed(&mut self, error: &io::Error) -> Problem {
        let problem = problem(&self.settings.path, error);
        self.file = Err(problem.clone());
        problem
    }

    /// Opens the file, or makes it; the one before is closed.
    fn open(&mut self) -> Result<(), Problem> {
        match Open::at(&self.settings.path) {
            Ok(file) => {
                self.file = Ok(file);
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Makes the file anew if it is no more where it was made: what is written to it then, nobody might ever read.
    fn follow(&mut self) -> Result<(), Problem> {
        if !self.was_moved() {
            return Ok(());
        }
        self.sync()?;
        let opened = self.open();
        let path = self.settings.path.display();
        info!(file = %path, is_new = opened.is_ok(), "the file of records was moved or removed");
        opened
    }

    /// Gives the file another name, and makes a new one.
    fn rotate(&mut self) -> Result<(), Problem> {
        self.write_out()?;
        self.sync()?;
        if !self.was_moved() {
            let name = self.rotated.next(&mut self.last);
            if let Err(error) = rename(&self.settings.path, name) {
                return Err(self.failed(&error));
            }
            self.tidier.wake();
        }
        self.open()
    }

    /// Whether the file is no more where it was made.
    fn was_moved(&self) -> bool {
        let Ok(Open { file, .. }) = &self.file else {
            return false;
        };
        match (metadata(&self.settings.path), file.metadata()) {
            (Ok(there), Ok(ours)) => identity(&there) != identity(&ours),
            (Err(error), _) => error.kind() == ErrorKind::NotFound,
            (_, Err(_)) => false,
        }
    }

    fn sync(&mut self) -> Result<(), Problem> {
        let synced = match &self.file {
            Ok(file) => file.file.sync_all(),
            Err(problem) => return Err(problem.clone()),
        };
        synced.map_err(|error| self.failed(&error))
    }

    /// Whether a line of this length would take the file over its size.
    fn is_full_for(&self, line: usize) -> bool {
        let Ok(file) = &self.file else {
            return false;
        };
        let before = file.length + self.lines.bytes().len() as u64;
        before > 0 && before + line as u64 > self.settings.max_size
    }
}

impl Sink for FileSink {
    fn send(&mut self, ticket: u64, record: &Outgoing) -> Result<(), Refused> {
        let ready = match &self.file {
            Err(problem) => Err(problem.clone()),
            Ok(_) if self.is_full_for(lines::length(record)) => self.rotate(),
            Ok(_) => Ok(()),
        };
        ready.map_err(|problem| Refused::Failed(Failure::Sink(problem)))?;
        self.lines.push(ticket, record);
        if self.lines.is_full() {
            // Whether it was written is told of each ticket.
            let _told = self.write_out();
        }
        Ok(())
    }

    fn flush(&mut self, _hurry: bool) {
        let _told = self.write_out();
    }

    fn tick(&mut self) {
        // What waits is about to be written, which looks for itself.
        if self.lines.is_empty() {
            // If it fails, the next record is refused for it.
            let _followed = self.follow();
        }
    }

    fn recall(&mut self) {
        let _told = self.write_out();
    }

    fn renew(&mut self) -> Result<(), Problem> {
        self.lines.clear();
        // Its lock would be in the way of the next.
        self.file = Err(Problem {
            reason: format!("{} is not open", self.settings.path.display()),
            remedy: None,
        });
        self.open()
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if let Ok(Open { file, .. }) = &self.file
            && let Err(error) = file.sync_all()
        {
            let path = self.settings.path.display();
            warn!(file = %path, %error, "the file of records is closed, and may not be on the disk");
        }
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut file = options.mode(OWNER_ONLY).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "is no regular file",
            ));
        }
        // Some file systems have no locks.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let message = "is in use by another process";
            return Err(io::Error::new(ErrorKind::ResourceBusy, message));
        }
        let length = file.metadata()?.len();
        let whole = end_of_lines(&mut file, length)?;
        if whole < length {
            file.set_len(whole)?;
            let cut = length - whole;
            warn!(file = %path.display(), bytes = cut, "a line that broke off was cut");
        }
        Ok(Self {
            file,
            length: whole,
        })
    }
}

/// What of a file appending takes.
trait Disk: Write {
    fn length(&self) -> io::Result<u64>;
    fn cut(&self, length: u64) -> io::Result<()>;
}

impl Disk for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Appends the lines, and tells how long the file is then. If that fails, those stay that are whole, and a part of another does not.
fn append(disk: &mut impl Disk, lines: &Lines) -> Result<u64, Broken> {
    // Asked each time: somebody else may have emptied the file.
    let before = disk
        .length()
        .map_err(|error| Broken { written: 0, error })?;
    let Err(broken) = lines::write(disk, lines.bytes()) else {
        return Ok(before + lines.bytes().len() as u64);
    };
    let whole = lines.whole(broken.written);
    if whole < broken.written
        && let Err(error) = disk.cut(before + whole as u64)
    {
        warn!(%error, "a line that broke off will be cut when the file is opened again");
    }
    Err(broken)
}

/// Where the last line ends; what is behind it broke off.
fn end_of_lines(file: &mut File, length: u64) -> io::Result<u64> {
    const STEP: usize = 64 * 1024;
    let mut buffer = vec![0; STEP];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP as u64);
        let part = usize::try_from(end - start).map_or(STEP, |part| part.min(STEP));
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut buffer[..part])?;
        if let Some(at) = buffer[..part].iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// What a file is, whatever its name.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn problem(path: &Path, error: &io::Error) -> Problem {
    Problem {
        reason: format!("{} can't be written: {error}", path.display()),
        remedy: match error.kind() {
            ErrorKind::PermissionDenied => Some("let miffy's user write to it and its directory"),
            ErrorKind::NotFound => Some("make its directory"),
            ErrorKind::ResourceBusy => Some("end the other process, or name another file"),
            _ => lines::remedy(error),
        },
    }
}
