//! A file system in memory that fails when it is told to, and can lose its power.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::spool::files::{Files, Handle};

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// After a part was written.
    Append,
    Create,
    Exists,
    List,
    Open,
    Read,
    Remove,
    Rename,
    Sync,
    SyncDirectory,
    Truncate,
}

/// All calls that can fail.
pub(super) const CALLS: [Call; 11] = [
    Call::Append,
    Call::Create,
    Call::Exists,
    Call::List,
    Call::Open,
    Call::Read,
    Call::Remove,
    Call::Rename,
    Call::Sync,
    Call::SyncDirectory,
    Call::Truncate,
];

#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// Names that are given or taken at once, for a file's number.
type Change = Vec<(PathBuf, Option<usize>)>;

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    files: Vec<Contents>,
    is_locked: bool,
    /// How often these calls will fail.
    faults: BTreeMap<Call, u32>,
    /// Bytes that all files may have together.
    room: Option<usize>,
    /// Something failed since this was asked.
    has_failed: bool,
}

impl State {
    fn fails(&mut self, call: Call) -> io::Result<()> {
        match self.faults.get_mut(&call) {
            Some(left @ 1..) => {
                *left -= 1;
                self.has_failed = true;
                Err(io::Error::other("injected"))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or(ErrorKind::NotFound.into())
    }

    fn used(&self) -> usize {
        let numbers = self.names.values();
        numbers.map(|number| self.files[*number].now.len()).sum()
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &Change) {
    for (path, number) in change {
        match number {
            Some(number) => names.insert(path.clone(), *number),
            None => names.remove(path),
        };
    }
}

/// The file system. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Fake(Rc<RefCell<State>>);

impl Fake {
    /// Lets the next calls of this kind fail.
    pub(super) fn fail(&self, call: Call, times: u32) {
        self.0.borrow_mut().faults.insert(call, times);
    }

    /// All files may have so many bytes together.
    pub(super) fn limit(&self, room: Option<usize>) {
        self.0.borrow_mut().room = room;
    }

    /// Nothing fails any more.
    pub(super) fn heal(&self) {
        self.0.borrow_mut().faults.clear();
        self.limit(None);
    }

    /// Whether something failed since this was asked.
    pub(super) fn failed(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().has_failed)
    }

    /// Bytes of the files whose names end so.
    pub(super) fn bytes(&self, suffix: &str) -> u64 {
        let paths = self.paths(suffix);
        paths.iter().map(|path| self.read(path).len() as u64).sum()
    }

    /// Files whose names end so.
    pub(super) fn paths(&self, suffix: &str) -> Vec<PathBuf> {
        let names = self.0.borrow().names.clone();
        let ends = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(suffix));
        names.into_keys().filter(ends).collect()
    }

    pub(super) fn read(&self, path: &Path) -> Vec<u8> {
        let state = self.0.borrow();
        state.files[state.names[path]].now.clone()
    }

    /// Turns a bit of a file, on the disk, too.
    pub(super) fn flip(&self, path: &Path, at: usize) {
        let mut state = self.0.borrow_mut();
        let number = state.names[path];
        let file = &mut state.files[number];
        for bytes in [&mut file.now, &mut file.synced] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x10;
            }
        }
    }

    /// Removes a file, for good.
    pub(super) fn delete(&self, path: &Path) {
        let mut state = self.0.borrow_mut();
        state.names.remove(path);
        state.changes.clear();
        state.synced_names = state.names.clone();
    }

    /// What a loss of power may leave: of the names, those that were synced and some of the changes since then; of
    /// contents, what was synced, and perhaps some of the rest, or anything in its place.
    pub(super) fn lose_power(&self, mut choose: impl FnMut(usize) -> usize) {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        let kept = choose(state.changes.len() + 1);
        for change in state.changes.drain(..).take(kept) {
            apply(&mut state.synced_names, &change);
        }
        state.names = state.synced_names.clone();
        for file in &mut state.files {
            let is_appended = file.now.starts_with(&file.synced);
            if is_appended {
                let from = file.synced.len();
                let mut garbage = file.now.split_off(from + choose(file.now.len() - from + 1));
                garbage.truncate(choose(garbage.len() + 1));
                garbage[..].fill_with(|| u8::try_from(choose(256)).expect("a byte"));
                file.now.extend(garbage);
            } else if choose(2) == 0 {
                file.now.clone_from(&file.synced);
            }
            file.synced.clone_from(&file.now);
        }
    }
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(Fake);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.0.borrow_mut().is_locked = false;
    }
}

impl Files for Fake {
    type Handle = FakeHandle;
    type Lock = Lock;

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        self.0.borrow_mut().fails(Call::List)?;
        let paths = self.paths("");
        let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn lock(&self, _: &Path) -> io::Result<Lock> {
        if std::mem::replace(&mut self.0.borrow_mut().is_locked, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Lock(self.clone()))
    }

    fn create(&self, path: &Path) -> io::Result<FakeHandle> {
        let mut state = self.0.borrow_mut();
        state.fails(Call::Create)?;
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let number = state.files.len();
        state.files.push(Contents::default());
        state.change(vec![(path.to_owned(), Some(number))]);
        let fake = self.clone();
        Ok(FakeHandle { fake, number })
    }

    fn open(&self, path: &Path) -> io::Result<FakeHandle> {
        let mut state = self.0.borrow_mut();
        state.fails(Call::Open)?;
        let number = state.find(path)?;
        let fake = self.clone();
        Ok(FakeHandle { fake, number })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.0.borrow_mut();
        state.fails(Call::Exists)?;
        Ok(state.names.contains_key(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.fails(Call::Rename)?;
        let number = state.find(from)?;
        state.change(vec![(from.to_owned(), None), (to.to_owned(), Some(number))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.fails(Call::Remove)?;
        state.find(path)?;
        state.change(vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.fails(Call::SyncDirectory)?;
        state.changes.clear();
        state.synced_names = state.names.clone();
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct FakeHandle {
    fake: Fake,
    number: usize,
}

impl Handle for FakeHandle {
    fn size(&self) -> io::Result<u64> {
        let state = self.fake.0.borrow();
        Ok(state.files[self.number].now.len() as u64)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.fake.0.borrow_mut();
        state.fails(Call::Read)?;
        let bytes = &state.files[self.number].now;
        let offset = usize::try_from(offset).expect("a size");
        let bytes = bytes.get(offset..).unwrap_or_default();
        // Not all at once, as it may be.
        let length = bytes.len().min(buffer.len()).min(100);
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.fake.0.borrow_mut();
        if bytes.len() < 20 {
            state.fails(Call::Append)?;
        }
        let fails = state
            .faults
            .get(&Call::Append)
            .is_some_and(|left| *left > 0);
        let room = state
            .room
            .map_or(usize::MAX, |room| room.saturating_sub(state.used()));
        // Parts of a failing write are short, so that there are two.
        let most = if fails { bytes.len() - 10 } else { bytes.len() };
        let length = most.min(room);
        if length == 0 {
            state.has_failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        state.files[self.number].now.extend(&bytes[..length]);
        Ok(length)
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        let mut state = self.fake.0.borrow_mut();
        state.fails(Call::Truncate)?;
        let size = usize::try_from(size).expect("a size");
        state.files[self.number].now.truncate(size);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.fake.0.borrow_mut();
        state.fails(Call::Sync)?;
        let file = &mut state.files[self.number];
        file.synced.clone_from(&file.now);
        Ok(())
    }
}
