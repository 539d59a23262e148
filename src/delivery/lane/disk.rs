//! Between the queue, the window and the spool.

use std::time::Instant;

use tracing::{error, warn};

use super::{DISK_PAUSE, Lane, STALE};
use crate::delivery::ledger::{DropReason, Kept};
use crate::delivery::outgoing::Outgoing;
use crate::delivery::shared::{Bounds, Queued};
use crate::delivery::sink::Sink;
use crate::delivery::window::{Entry, Place};
use crate::spool::{self, AppendError, Dropped, Spool};

impl<S: Sink> Lane<S> {
    fn has_room(&self) -> bool {
        let Bounds { records, bytes } = self.parts.bounds;
        self.window.is_empty()
            || (self.window.len() < records / 2 && self.window.bytes() < bytes / 2)
    }

    fn unread(&self) -> u64 {
        self.parts.spool.as_ref().map_or(0, Spool::unread)
    }

    /// Moves what is in the queue to the window, or to the spool.
    pub(super) fn store(&mut self, now: Instant) {
        if self.disk.is_some_and(|until| until <= now) {
            self.disk = None;
        }
        let since = self.window.oldest().map(|entry| entry.since);
        if since.is_some_and(|since| since + STALE <= now) {
            self.persist(now);
        }
        loop {
            if self.inbox.is_empty() {
                self.parts.shared.take(&mut self.inbox);
            }
            let Some(queued) = self.inbox.pop_front() else {
                break;
            };
            if self.unread() == 0 && self.has_room() {
                let Queued { record, found } = queued;
                self.window
                    .push(Entry::new(record, found, now, Place::Memory));
            } else if !self.persist(now) || !self.spool(&queued, now) {
                self.inbox.push_front(queued);
                break;
            }
        }
    }

    /// Puts the window's records on disk that are in memory alone. Whether they are all there.
    pub(super) fn persist(&mut self, now: Instant) -> bool {
        let Some(spool) = &mut self.parts.spool else {
            return false;
        };
        if self.window.only_in_memory() == 0 {
            return true;
        }
        if self.disk.is_some() {
            return false;
        }
        let (shared, buffer) = (&self.parts.shared, &mut self.buffer);
        let mut failed = None;
        let is_done = self.window.store(|entry| {
            entry.record.write(entry.found, buffer);
            match spool.append(buffer) {
                Ok(position) => {
                    // It is in the window already.
                    spool.skip_unread();
                    shared.ledger(|ledger| ledger.keep(entry.kept(), Kept::Spooled));
                    Some(Place::Spooled(position))
                }
                // It is on its way in memory, and holds up no other one.
                Err(AppendError::TooLarge) => Some(Place::Evicted),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        if let Some(dropped) = spool.take_dropped() {
            self.evict(dropped);
        }
        match failed {
            Some(error) => self.disk_failed(&error, now),
            None => self.parts.shared.block(None),
        }
        is_done
    }

    /// Appends a record of the queue to the spool. Whether it is there, or given up.
    fn spool(&mut self, queued: &Queued, now: Instant) -> bool {
        let Some(spool) = &mut self.parts.spool else {
            return false;
        };
        if self.disk.is_some() {
            return false;
        }
        queued.record.write(queued.found, &mut self.buffer);
        let kept = Kept::Waiting(queued.record.size());
        let appended = spool.append(&self.buffer);
        if let Some(dropped) = spool.take_dropped() {
            self.evict(dropped);
        }
        match appended {
            Ok(_) => {
                let ledger = &self.parts.shared;
                ledger.ledger(|ledger| ledger.keep(kept, Kept::Spooled));
                self.parts.shared.block(None);
                true
            }
            Err(AppendError::TooLarge) => {
                let reason = DropReason::SpoolFull;
                self.parts.shared.ledger(|ledger| ledger.drop(kept, reason));
                true
            }
            Err(error) => {
                self.disk_failed(&error, now);
                false
            }
        }
    }

    /// The spool gave something up to make room.
    fn evict(&mut self, dropped: Dropped) {
        let shared = &self.parts.shared;
        shared.ledger(|ledger| ledger.lose(dropped.unread, DropReason::SpoolFull));
        self.window.evict(dropped.up_to, |entry| {
            let size = entry.record.size();
            shared.ledger(|ledger| ledger.keep(Kept::Spooled, Kept::Waiting(size)));
        });
        if let Some(unsaid) = self.drops.admit() {
            let (sink, records) = (self.parts.name, dropped.unread);
            warn!(
                sink,
                records, unsaid, "the oldest records gave way: the spool is full"
            );
        }
    }

    fn disk_failed(&mut self, error: &AppendError, now: Instant) {
        self.disk = Some(now + DISK_PAUSE);
        let reason = match error {
            AppendError::Full | AppendError::TooLarge => DropReason::SpoolFull,
            AppendError::Io(_) => DropReason::SpoolFailed,
        };
        self.parts.shared.block(Some(reason));
        if let Some(unsaid) = self.disk_failures.admit() {
            let sink = self.parts.name;
            warn!(sink, %error, unsaid, "records can't be spooled, and wait in memory as long as there is room");
        }
    }

    /// Moves what is in the spool to the window.
    pub(super) fn fill(&mut self, now: Instant) {
        while self.unread() > 0 && self.has_room() {
            let Some(spool) = &mut self.parts.spool else {
                return;
            };
            let read = spool.read();
            let mut unreadable = spool.take_unreadable();
            let read = read.map(|entry| {
                let spool::Entry { position, bytes } = entry?;
                let record = Outgoing::read(bytes);
                if record.is_none() {
                    // Whoever put it there.
                    unreadable += 1;
                    self.no_record = Some(position);
                }
                record.map(|(record, found)| (position, record, found))
            });
            self.lose(unreadable);
            match read {
                Ok(Some((position, record, found))) => {
                    let place = Place::Spooled(position);
                    self.window.push(Entry::new(record, found, now, place));
                }
                Ok(None) => {}
                Err(error) => {
                    if let Some(unsaid) = self.disk_failures.admit() {
                        warn!(sink = self.parts.name, %error, unsaid, "the spool can't be read");
                    }
                    return;
                }
            }
        }
    }

    /// So many records of the spool are damaged.
    fn lose(&self, unreadable: u64) {
        if unreadable > 0 {
            let sink = self.parts.name;
            error!(sink, unreadable, "records in the spool can't be read");
            let shared = &self.parts.shared;
            shared.ledger(|ledger| ledger.lose(unreadable, DropReason::Unreadable));
        }
    }
}
