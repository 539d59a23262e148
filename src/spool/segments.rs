//! What is in the segments: counts, without any file.

use std::collections::VecDeque;
use std::ops::Range;

use super::Position;

/// A segment, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    /// Its number. Numbers grow.
    pub(super) number: u64,
    /// Bytes of the file.
    pub(super) size: u64,
    /// Where the last entry ends.
    pub(super) end: u64,
    /// Of the next entry; how many there were.
    pub(super) next: u32,
    /// Those that can't be read, in their order.
    pub(super) missing: Vec<Range<u32>>,
    /// Those before this one were acknowledged.
    pub(super) acknowledged: u32,
    /// Those before this one were read, as were those that were acknowledged.
    pub(super) read: u32,
    /// Something in it can't be read: the file is kept when it is done with.
    pub(super) is_damaged: bool,
}

impl Segment {
    /// Entries that can be read.
    pub(super) fn present(&self, range: Range<u32>) -> u64 {
        let length = |from: u32, to: u32| u64::from(to.saturating_sub(from));
        let missing = self.missing.iter();
        let missing = missing.map(|gap| length(gap.start.max(range.start), gap.end.min(range.end)));
        length(range.start, range.end) - missing.sum::<u64>()
    }

    /// Entries that were not acknowledged.
    pub(super) fn entries(&self) -> u64 {
        self.present(self.acknowledged..self.next)
    }

    /// Entries that were not read.
    pub(super) fn unread(&self) -> u64 {
        self.present(self.read..self.next)
    }

    /// Its last entry.
    pub(super) fn last(&self) -> Position {
        Position {
            segment: self.number,
            index: self.next.saturating_sub(1),
        }
    }

    /// Takes those before this one as read.
    pub(super) fn read_before(&mut self, index: u32) {
        self.read = self.read.max(index.min(self.next));
    }

    /// Takes those before this one as acknowledged.
    pub(super) fn acknowledge_before(&mut self, index: u32) {
        self.acknowledged = self.acknowledged.max(index.min(self.next));
        self.read_before(index);
    }

    /// Those from one to another can't be read. Tells how many of them nobody knew of and somebody waits for.
    pub(super) fn lose(&mut self, range: Range<u32>) -> u64 {
        let unread = self.unread();
        let mut lost = Vec::new();
        let mut from = range.start;
        for gap in &self.missing {
            if from < gap.start.min(range.end) {
                lost.push(from..gap.start.min(range.end));
            }
            from = from.max(gap.end);
        }
        if from < range.end {
            lost.push(from..range.end);
        }
        self.missing.extend(lost);
        self.missing.sort_by_key(|gap| gap.start);
        self.is_damaged = true;
        unread - self.unread()
    }
}

/// All segments, the oldest first, and their sums.
#[derive(Debug, Default)]
pub(super) struct Segments {
    all: VecDeque<Segment>,
    /// Entries that were not acknowledged.
    pub(super) entries: u64,
    /// Entries that were not read.
    pub(super) unread: u64,
    /// Bytes of the files.
    pub(super) bytes: u64,
}

impl Segments {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Segment> {
        self.all.get(place)
    }

    pub(super) fn first(&self) -> Option<&Segment> {
        self.all.front()
    }

    pub(super) fn last(&self) -> Option<&Segment> {
        self.all.back()
    }

    /// The place of the first segment of this number or a higher one; after the last, if there is none.
    pub(super) fn place(&self, number: u64) -> usize {
        self.all.partition_point(|segment| segment.number < number)
    }

    /// Adds a segment, which is higher than all others.
    pub(super) fn push(&mut self, segment: Segment) {
        self.entries += segment.entries();
        self.unread += segment.unread();
        self.bytes += segment.size;
        self.all.push_back(segment);
    }

    pub(super) fn pop_first(&mut self) {
        let segment = self.all.pop_front();
        self.forget(segment);
    }

    pub(super) fn pop_last(&mut self) {
        let segment = self.all.pop_back();
        self.forget(segment);
    }

    fn forget(&mut self, segment: Option<Segment>) {
        let segment = segment.unwrap_or_default();
        self.entries -= segment.entries();
        self.unread -= segment.unread();
        self.bytes -= segment.size;
    }

    /// Changes a segment, and the sums with it.
    pub(super) fn change<T>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut Segment) -> T,
    ) -> Option<T> {
        let segment = self.all.get_mut(place)?;
        let (entries, unread, bytes) = (segment.entries(), segment.unread(), segment.size);
        let told = change(segment);
        self.entries = self.entries - entries + segment.entries();
        self.unread = self.unread - unread + segment.unread();
        self.bytes = self.bytes - bytes + segment.size;
        Some(told)
    }

    pub(super) fn change_last<T>(&mut self, change: impl FnOnce(&mut Segment) -> T) -> Option<T> {
        self.change(self.all.len().checked_sub(1)?, change)
    }
}
