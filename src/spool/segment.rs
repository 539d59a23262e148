//! One segment's file: its header, its entries, and how they are found. The format is in [`super`].

use std::io::{self, ErrorKind};
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed as sum;

use super::files::Handle;

/// Bytes of a segment's header.
pub(super) const HEADER: u64 = HEADER_LENGTH as u64;
const HEADER_LENGTH: usize = 24;
/// Bytes before an entry's own.
pub(super) const HEAD: u64 = 24;
const MAGIC: &[u8; 8] = b"miffySPL";
const VERSION: u32 = 1;
const SUFFIX: &str = ".spool";
/// How much is read at once.
const WINDOW: usize = 128 * 1024;
/// Numbers of segments are below this one, so that there is always a next one.
pub(super) const NUMBERS: u64 = 10_000_000_000_000_000_000;

/// The name of a segment's file.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The number of the segment whose file has this name.
pub(super) fn number(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(SUFFIX)?;
    let valid = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| valid)?;
    (1..NUMBERS).contains(&number).then_some(number)
}

/// The header of a segment.
pub(super) fn header(number: u64) -> [u8; HEADER_LENGTH] {
    header_of_version(number, VERSION)
}

pub(super) fn header_of_version(number: u64, version: u32) -> [u8; HEADER_LENGTH] {
    let mut header = [0; HEADER_LENGTH];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    let sum = sum(&header[..16], number);
    header[16..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// What the first bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// As it should be.
    Whole,
    /// The beginning of one, and nothing else.
    Torn,
    /// Something else.
    Bad,
    /// Of a version that is not known here.
    Newer(u32),
}

impl Header {
    pub(super) fn of(bytes: &[u8], number: u64) -> Self {
        if header(number).starts_with(bytes) {
            let whole = bytes.len() == HEADER_LENGTH;
            return if whole { Self::Whole } else { Self::Torn };
        }
        let version = bytes.get(8..12).and_then(|version| version.try_into().ok());
        let version = version.map_or(0, u32::from_le_bytes);
        if version > VERSION && bytes == header_of_version(number, version) {
            return Self::Newer(version);
        }
        Self::Bad
    }
}

/// Writes an entry, as it is in the file, over what the buffer has. `None`: it is too long for the format.
pub(super) fn frame(buffer: &mut Vec<u8>, number: u64, index: u32, bytes: &[u8]) -> Option<()> {
    let head = Head::new(number, index, bytes)?;
    buffer.clear();
    buffer.extend_from_slice(&head.length.to_le_bytes());
    buffer.extend_from_slice(&head.index.to_le_bytes());
    buffer.extend_from_slice(&head.sum.to_le_bytes());
    buffer.extend_from_slice(&head.sum_of_bytes.to_le_bytes());
    buffer.extend_from_slice(bytes);
    Some(())
}

/// What is before an entry's bytes.
struct Head {
    length: u32,
    index: u32,
    sum: u64,
    sum_of_bytes: u64,
}

impl Head {
    fn new(number: u64, index: u32, bytes: &[u8]) -> Option<Self> {
        let length = u32::try_from(bytes.len()).ok()?;
        let head_sum = Self::sum(number, length, index);
        Some(Self {
            length,
            index,
            sum: head_sum,
            sum_of_bytes: sum(bytes, head_sum),
        })
    }

    fn sum(number: u64, length: u32, index: u32) -> u64 {
        let both = u64::from(length) | u64::from(index) << 32;
        sum(&both.to_le_bytes(), number)
    }

    /// The head that these bytes are, if they are one.
    fn of(bytes: &[u8], number: u64) -> Option<Self> {
        let (numbers, sums) = bytes.split_at_checked(8)?;
        let (length, index) = numbers.split_at(4);
        let (sum, sum_of_bytes) = sums.split_at_checked(8)?;
        let head = Self {
            length: u32::from_le_bytes(length.try_into().ok()?),
            index: u32::from_le_bytes(index.try_into().ok()?),
            sum: u64::from_le_bytes(sum.try_into().ok()?),
            sum_of_bytes: u64::from_le_bytes(sum_of_bytes.try_into().ok()?),
        };
        (head.sum == Self::sum(number, head.length, head.index)).then_some(head)
    }

    /// Where the entry ends that begins at `offset`.
    fn end(&self, offset: u64) -> u64 {
        offset + HEAD + u64::from(self.length)
    }
}

/// Between two entries of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Where in the file.
    pub(super) offset: u64,
    /// Of the entry that should be there.
    pub(super) index: u32,
}

impl Place {
    /// Before the first entry.
    pub(super) const START: Self = Self {
        offset: HEADER,
        index: 0,
    };
}

/// An entry in a file.
#[derive(Debug)]
pub(super) struct Found {
    /// The place before it.
    pub(super) place: Place,
    /// Where its bytes are.
    pub(super) bytes: Range<u64>,
}

impl Found {
    /// The place behind it.
    pub(super) fn after(&self) -> Place {
        Place {
            offset: self.bytes.end,
            index: self.place.index.saturating_add(1),
        }
    }
}

/// Reads one segment's file.
#[derive(Debug)]
pub(super) struct Reader<H> {
    file: H,
    number: u64,
    window: Vec<u8>,
    /// What of the file is in the window.
    held: Range<u64>,
}

impl<H: Handle> Reader<H> {
    pub(super) fn new(file: H, number: u64) -> Self {
        Self {
            file,
            number,
            window: Vec::new(),
            held: 0..0,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn file(&mut self) -> &mut H {
        &mut self.file
    }

    pub(super) fn header(&mut self) -> io::Result<Header> {
        let number = self.number;
        Ok(Header::of(self.bytes(&(0..HEADER), HEADER)?, number))
    }

    /// The first entry at a place or behind it that can be read, and ends before `end`. Where a head is wrong, it is
    /// looked for byte by byte; an index tells how many entries can have been in between.
    pub(super) fn next(&mut self, place: Place, end: u64) -> io::Result<Option<Found>> {
        let number = self.number;
        let mut offset = place.offset;
        while offset.saturating_add(HEAD) <= end {
            let head = self.bytes(&(offset..offset + HEAD), end)?;
            if (head.len() as u64) < HEAD {
                // The file became shorter.
                return Ok(None);
            }
            let head = Head::of(head, number);
            let most = (offset - place.offset) / HEAD;
            let plausible = |head: &Head| {
                let skipped = head.index.checked_sub(place.index);
                skipped.is_some_and(|skipped| u64::from(skipped) <= most)
            };
            let Some(head) = head.filter(plausible) else {
                offset += 1;
                continue;
            };
            if head.end(offset) > end {
                // Cut short. Its bytes may say anything, they are not to be searched.
                return Ok(None);
            }
            let bytes = offset + HEAD..head.end(offset);
            if sum(self.bytes(&bytes, end)?, head.sum) == head.sum_of_bytes {
                let index = head.index;
                let place = Place { offset, index };
                return Ok(Some(Found { place, bytes }));
            }
            offset = head.end(offset);
        }
        Ok(None)
    }

    /// Whether what is at a place, up to the file's end, is the beginning of an entry, as a write leaves it that did
    /// not come to its end.
    pub(super) fn is_torn(&mut self, place: Place, size: u64) -> io::Result<bool> {
        if place.offset + HEAD > size {
            return Ok(true);
        }
        let number = self.number;
        let head = self.bytes(&(place.offset..place.offset + HEAD), size)?;
        let head = Head::of(head, number);
        Ok(head.is_some_and(|head| head.index == place.index && head.end(place.offset) > size))
    }

    /// Bytes of the file, fewer if it ends before. Nothing at `end` or behind it is read: it may change.
    pub(super) fn bytes(&mut self, range: &Range<u64>, end: u64) -> io::Result<&[u8]> {
        if range.start < self.held.start || range.end > self.held.end {
            self.fill(range, end)?;
        }
        let from = size(range.start - self.held.start)?;
        let to = size(range.end.min(self.held.end) - self.held.start)?;
        Ok(&self.window[from..to.max(from)])
    }

    fn fill(&mut self, range: &Range<u64>, end: u64) -> io::Result<()> {
        let wanted = size(range.end - range.start)?;
        let most = size(end.max(range.end) - range.start)?;
        let length = wanted.max(WINDOW).min(most);
        if self.window.len() < length {
            self.window.resize(length, 0);
        }
        self.held = range.start..range.start;
        let mut filled = 0;
        while filled < length {
            let offset = range.start + filled as u64;
            match self.file.read_at(offset, &mut self.window[filled..length]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.held.end = range.start + filled as u64;
        Ok(())
    }
}

fn size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| ErrorKind::FileTooLarge.into())
}
