//! The records that a sink has, or is to get next, in their order.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use super::ledger::Kept;
use super::outgoing::Outgoing;
use crate::spool::Position;

/// A record in the window.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Outgoing,
    /// When its difference was found.
    pub(super) found: SystemTime,
    /// Since when it is in the window.
    pub(super) since: Instant,
    pub(super) place: Place,
    /// How often the sink said that it is too large.
    pub(super) refusals: u8,
    state: State,
}

/// Whether a record is on disk as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Not yet.
    Memory,
    /// It is.
    Spooled(Position),
    /// It was, and gave way to others.
    Evicted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The sink is to get it.
    Due,
    /// The sink has it.
    Sent,
    /// It is published or dropped.
    Done,
}

impl Entry {
    pub(super) fn new(record: Outgoing, found: SystemTime, since: Instant, place: Place) -> Self {
        Self {
            record,
            found,
            since,
            place,
            refusals: 0,
            state: State::Due,
        }
    }

    /// What the ledger says of it.
    pub(super) fn kept(&self) -> Kept {
        match self.place {
            Place::Memory | Place::Evicted => Kept::Waiting(self.record.size()),
            Place::Spooled(_) => Kept::Spooled,
        }
    }

    fn is_only_in_memory(&self) -> bool {
        self.place == Place::Memory && self.state != State::Done
    }
}

/// Records from the oldest that is not done, to the newest that was let in.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    /// The ticket of the first entry; the next ones follow by one.
    base: u64,
    /// No entry before this one is due.
    next: usize,
    sent: usize,
    /// Of the records, in bytes.
    bytes: usize,
    /// Entries that are not done and in memory alone.
    only_in_memory: usize,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many the sink has.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    pub(super) fn only_in_memory(&self) -> usize {
        self.only_in_memory
    }

    /// The oldest entry, which is not done.
    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.record.size();
        self.only_in_memory += usize::from(entry.is_only_in_memory());
        self.entries.push_back(entry);
    }

    /// The next entry that is due, and its ticket.
    pub(super) fn next_due(&mut self) -> Option<(u64, &Entry)> {
        while self.entries.get(self.next)?.state != State::Due {
            self.next += 1;
        }
        let ticket = self.base + self.next as u64;
        Some((ticket, &self.entries[self.next]))
    }

    /// The sink has the entry that was due next.
    pub(super) fn send(&mut self) {
        self.entries[self.next].state = State::Sent;
        self.next += 1;
        self.sent += 1;
    }

    /// The entry of a ticket; `None` if it is of a time before the last [`Window::forget`].
    pub(super) fn get_mut(&mut self, ticket: u64) -> Option<&mut Entry> {
        let index = self.index(ticket)?;
        self.entries.get_mut(index)
    }

    fn index(&self, ticket: u64) -> Option<usize> {
        usize::try_from(ticket.checked_sub(self.base)?).ok()
    }

    /// Whether the sink has the entry of a ticket.
    pub(super) fn is_sent(&self, ticket: u64) -> bool {
        let entry = self.index(ticket).and_then(|index| self.entries.get(index));
        entry.is_some_and(|entry| entry.state == State::Sent)
    }

    /// The sink has an entry no more, which is due again.
    pub(super) fn unsend(&mut self, ticket: u64) {
        if self.is_sent(ticket)
            && let Some(index) = self.index(ticket)
        {
            self.entries[index].state = State::Due;
            self.next = self.next.min(index);
            self.sent -= 1;
        }
    }

    /// An entry is done with.
    pub(super) fn finish(&mut self, ticket: u64) -> Option<&Entry> {
        self.sent -= usize::from(self.is_sent(ticket));
        let index = self.index(ticket)?;
        let entry = self.entries.get_mut(index)?;
        self.only_in_memory -= usize::from(entry.is_only_in_memory());
        entry.state = State::Done;
        Some(entry)
    }

    /// Puts another record in place of an entry's.
    pub(super) fn replace(&mut self, ticket: u64, record: Outgoing) {
        if let Some(entry) = self.get_mut(ticket) {
            let before = std::mem::replace(&mut entry.record, record);
            let size = entry.record.size();
            self.bytes = self.bytes + size - before.size();
        }
    }

    /// Takes the oldest entries out that are done. Gives the last one's place in the spool, if one had one.
    pub(super) fn settle(&mut self) -> Option<Position> {
        let mut last = None;
        while let Some(entry) = self
            .entries
            .pop_front_if(|entry| entry.state == State::Done)
        {
            self.bytes -= entry.record.size();
            self.base += 1;
            self.next = self.next.saturating_sub(1);
            if let Place::Spooled(position) = entry.place {
                last = Some(position);
            }
        }
        last
    }

    /// Everything that is not done is due, under tickets that were never used; those before mean nothing.
    pub(super) fn forget(&mut self) {
        self.base += self.entries.len() as u64;
        self.next = 0;
        self.sent = 0;
        for entry in &mut self.entries {
            if entry.state == State::Sent {
                entry.state = State::Due;
            }
        }
    }

    /// Has `store` put each entry elsewhere that is in memory alone, until it can't; whether it could.
    pub(super) fn store(&mut self, mut store: impl FnMut(&Entry) -> Option<Place>) -> bool {
        for entry in &mut self.entries {
            if !entry.is_only_in_memory() {
                continue;
            }
            let Some(place) = store(entry) else {
                return false;
            };
            entry.place = place;
            self.only_in_memory -= 1;
        }
        true
    }

    /// The spool has nothing more up to here. Gives each entry that it held.
    pub(super) fn evict(&mut self, up_to: Position, mut evicted: impl FnMut(&Entry)) {
        for entry in &mut self.entries {
            match entry.place {
                Place::Spooled(position) if position <= up_to && entry.state != State::Done => {
                    evicted(entry);
                    entry.place = Place::Evicted;
                }
                _ => {}
            }
        }
    }

    /// Everything that is not done, for the end.
    pub(super) fn remains(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter();
        entries.filter(|entry| entry.state != State::Done)
    }
}
