//! The cursor: what was acknowledged, written down. The format is in [`super`].

use std::io::{self, ErrorKind};
use std::path::Path;

use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use super::Position;
use super::files::{Files, Handle, append_all};
use super::segment::NUMBERS;

/// The name of the file.
pub(super) const FILE: &str = "cursor";
/// The name of the file while it is written.
pub(super) const TEMPORARY: &str = "cursor.new";
const MAGIC: &[u8; 8] = b"miffyCUR";
const VERSION: u32 = 1;
const LENGTH: usize = 40;

/// What was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Entries up to this one. Segments begin with 1: before there was any, it is in segment 0.
    pub(super) acknowledged: Position,
    /// The number of the next segment.
    pub(super) next_segment: u64,
}

impl Cursor {
    /// Nothing was acknowledged.
    pub(super) const START: Self = Self {
        acknowledged: Position {
            segment: 0,
            index: 0,
        },
        next_segment: 1,
    };

    /// The cursor in a directory. One that is not there, or can't be understood, is none.
    pub(super) fn read<F: Files>(files: &F, directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let mut file = match files.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::START),
            Err(error) => return Err(error),
        };
        let mut bytes = [0; LENGTH];
        let mut filled = 0;
        while filled < LENGTH {
            match file.read_at(filled as u64, &mut bytes[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        match Self::parse(&bytes) {
            Ok(cursor) => Ok(cursor),
            Err(0) => {
                let path = path.display();
                warn!(%path, "the spool's cursor is corrupt: what is in the spool is delivered again");
                Ok(Self::START)
            }
            Err(version) => Err(newer("the spool's cursor", version)),
        }
    }

    /// Writes it so that there is this one or the one before, whatever happens.
    pub(super) fn write<F: Files>(
        self,
        files: &F,
        directory: &Path,
        is_forced: bool,
    ) -> io::Result<()> {
        let temporary = directory.join(TEMPORARY);
        match files.remove(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = files.create(&temporary)?;
        append_all(&mut file, &self.bytes(VERSION))?;
        if is_forced {
            file.sync()?;
        }
        drop(file);
        files.rename(&temporary, &directory.join(FILE))
    }

    pub(super) fn bytes(self, version: u32) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.acknowledged.index.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.acknowledged.segment.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.next_segment.to_le_bytes());
        let sum = xxh3_64(&bytes[..32]);
        bytes[32..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `Err`: the version that it is of; 0, if it is none.
    fn parse(bytes: &[u8; LENGTH]) -> Result<Self, u32> {
        let u32 = |at: usize| {
            let bytes = bytes[at..].first_chunk();
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let u64 = |at: usize| u64::from(u32(at)) | u64::from(u32(at + 4)) << 32;
        if !bytes.starts_with(MAGIC) || u64(32) != xxh3_64(&bytes[..32]) {
            return Err(0);
        }
        if u32(8) != VERSION {
            return Err(u32(8));
        }
        if u64(16) >= NUMBERS || u64(24) >= NUMBERS {
            return Err(0);
        }
        Ok(Self {
            acknowledged: Position {
                segment: u64(16),
                index: u32(12),
            },
            next_segment: u64(24),
        })
    }
}

/// The error of a file that another version of miffy has written.
pub(super) fn newer(what: &str, version: u32) -> io::Error {
    let text = format!("{what} is of version {version}, which this miffy does not know");
    io::Error::new(ErrorKind::Unsupported, text)
}
