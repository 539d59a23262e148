//! Rotated files: their names, how they are compressed, and how many are kept.
//!
//! A rotated file has the name of the file, ".", the time of its rotation as in `20261122T013000.000Z`, and `.gz` or
//! `.zst` when it is compressed. Times go up by a millisecond at least from name to name, whatever the clock does, so
//! that names never collide, and sort as records were found.
//!
//! What is to be done is read from the directory each time: a start takes up what a crash left. A compressed file
//! is written under a temporary name (`.tmp` behind its own), forced to the disk and renamed, and only then the
//! original is removed; so where both are there, the compressed one is whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::write::GzEncoder;
use tracing::{info, warn};

use super::OWNER_ONLY;
use crate::config::{self, Compression};

const TEMPORARY: &str = ".tmp";

/// What may stand behind a rotated file's time.
const ENDINGS: [&str; 5] = ["", ".gz", ".zst", ".gz.tmp", ".zst.tmp"];

/// When a file was rotated, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(u64);

impl Stamp {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// The stamp that is written so, and in no other way.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let part = |range: std::ops::Range<usize>| text.get(range);
        let time = format!(
            "{}-{}-{}:{}:{}",
            part(0..4)?,
            part(4..6)?,
            part(6..11)?,
            part(11..13)?,
            part(13..text.len())?
        );
        let time = humantime::parse_rfc3339(&time).ok()?;
        let millis = time.duration_since(UNIX_EPOCH).ok()?.as_millis();
        let stamp = Self(u64::try_from(millis).ok()?);
        // Others have to come after it, and years have four digits.
        (text < "9999" && stamp.to_string() == text).then_some(stamp)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_millis(self.0);
        let time = humantime::format_rfc3339_millis(time).to_string();
        f.write_str(&time.replace(['-', ':'], ""))
    }
}

/// The rotated files of a file.
#[derive(Debug, Clone)]
pub(super) struct Rotated {
    file: PathBuf,
    max_files: usize,
    compression: Option<Compression>,
}

impl Rotated {
    pub(super) fn of(settings: &config::File) -> Self {
        Self {
            file: settings.path.clone(),
            max_files: settings.max_files,
            compression: settings.compression,
        }
    }

    /// The name for a file that is rotated now, after the one that was rotated last.
    pub(super) fn next(&self, last: &mut Option<Stamp>) -> PathBuf {
        let after = last.map_or(Stamp(0), |Stamp(last)| Stamp(last + 1));
        let stamp = Stamp::now().max(after);
        *last = Some(stamp);
        self.path(stamp, "")
    }

    /// When the latest of the files that are there was rotated.
    pub(super) fn last(&self) -> io::Result<Option<Stamp>> {
        Ok(self.list()?.last_key_value().map(|(stamp, _)| *stamp))
    }

    fn path(&self, stamp: Stamp, ending: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(format!(".{stamp}{ending}"));
        path.into()
    }

    fn directory(&self) -> &Path {
        match self.file.parent() {
            Some(directory) if directory != "" => directory,
            _ => Path::new("."),
        }
    }

    /// The files that are there: stamps, and the endings of what has them.
    fn list(&self) -> io::Result<BTreeMap<Stamp, Vec<&'static str>>> {
        let own = self.file.file_name().unwrap_or_default();
        let mut files: BTreeMap<Stamp, Vec<&'static str>> = BTreeMap::new();
        for entry in fs::read_dir(self.directory())? {
            if let Some((stamp, ending)) = parse_name(own, &entry?.file_name()) {
                files.entry(stamp).or_default().push(ending);
            }
        }
        Ok(files)
    }

    /// Does all that is to be done. What fails is tried again the next time.
    fn tidy(&self) {
        loop {
            match self.tidy_one() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    let file = self.file.display();
                    warn!(%file, %error, "rotated files can't be compressed or removed");
                    return;
                }
            }
        }
    }

    /// Removes or compresses a file, the most urgent one. Gives whether there was one.
    fn tidy_one(&self) -> io::Result<bool> {
        let files = self.list()?;
        if let Some((stamp, endings)) = files.first_key_value()
            && files.len() > self.max_files
        {
            for ending in endings {
                fs::remove_file(self.path(*stamp, ending))?;
            }
            let file = self.path(*stamp, "");
            info!(file = %file.display(), kept = self.max_files, "the oldest rotated file was removed");
            return Ok(true);
        }
        for (stamp, endings) in files {
            if let Some(ending) = endings.iter().find(|ending| ending.ends_with(TEMPORARY)) {
                fs::remove_file(self.path(stamp, ending))?;
                return Ok(true);
            }
            match self.compression {
                Some(compression) if endings.contains(&"") => {
                    if endings.len() == 1 {
                        self.compress(stamp, compression)?;
                    }
                    fs::remove_file(self.path(stamp, ""))?;
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Makes the compressed file beside the original.
    fn compress(&self, stamp: Stamp, compression: Compression) -> io::Result<()> {
        let ending = match compression {
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        let temporary = self.path(stamp, &format!("{ending}{TEMPORARY}"));
        let written = write_compressed(&self.path(stamp, ""), &temporary, compression);
        if written.is_err() {
            // It may fill the disk; if it can't be removed, the next start does.
            let _removed = fs::remove_file(&temporary);
        }
        written?;
        fs::rename(temporary, self.path(stamp, ending))?;
        fs::File::open(self.directory())?.sync_all()
    }
}

/// The stamp and ending of a rotated file of `own`.
fn parse_name(own: &OsStr, name: &OsStr) -> Option<(Stamp, &'static str)> {
    let rest = name
        .as_encoded_bytes()
        .strip_prefix(own.as_encoded_bytes())?;
    let rest = str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    let length = Stamp(0).to_string().len();
    let (stamp, ending) = rest.split_at_checked(length)?;
    let ending = ENDINGS.into_iter().find(|known| *known == ending)?;
    Some((Stamp::parse(stamp)?, ending))
}

fn write_compressed(from: &Path, to: &Path, compression: Compression) -> io::Result<()> {
    let mut from = fs::File::open(from)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut to = options.mode(OWNER_ONLY).open(to)?;
    match compression {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(&mut to, flate2::Compression::default());
            io::copy(&mut from, &mut encoder)?;
            encoder.finish()?;
        }
        Compression::Zstd => {
            let mut encoder =
                zstd::stream::write::Encoder::new(&mut to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            // Whoever unpacks it can tell whether it is whole, as with gzip.
            encoder.include_checksum(true)?;
            io::copy(&mut from, &mut encoder)?;
            encoder.finish()?;
        }
    }
    to.flush()?;
    to.sync_all()
}

/// The thread that tidies up, so that nobody waits for it. It ends when this is dropped, and what it is at then.
#[derive(Debug)]
pub(super) struct Tidier {
    wake: SyncSender<()>,
    #[cfg_attr(not(test), expect(dead_code, reason = "a stop does not wait for it"))]
    thread: thread::JoinHandle<()>,
}

impl Tidier {
    pub(super) fn start(rotated: Rotated) -> io::Result<Self> {
        // Who is told while it works looks once more; how often does not matter.
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("miffy-rotation".to_owned())
            .spawn(move || woken.iter().for_each(|()| rotated.tidy()))?;
        let tidier = Self { wake, thread };
        tidier.wake();
        Ok(tidier)
    }

    /// There may be something to do.
    pub(super) fn wake(&self) {
        // It is full of the same, or the thread has panicked, which the panic hook has told.
        let _told = self.wake.try_send(());
    }

    /// One that does nothing.
    #[cfg(test)]
    pub(super) fn idle() -> Self {
        Self {
            wake: sync_channel(1).0,
            thread: thread::spawn(|| ()),
        }
    }

    /// Waits until everything is done.
    #[cfg(test)]
    pub(super) fn finish(self) {
        drop(self.wake);
        self.thread.join().expect("it does not panic");
    }
}
