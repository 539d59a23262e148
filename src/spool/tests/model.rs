//! A spool behaves as a list does, whatever fails.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::fake::{CALLS, Call, Fake};
use super::*;
use crate::spool::segment::{HEAD, HEADER};

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Read,
    SkipUnread,
    Acknowledge(Index),
    Commit,
    /// The process is killed.
    Kill,
    /// The machine stops. What is left is chosen by these.
    LosePower(Vec<Index>),
    Close,
    CloseAndLosePower(Vec<Index>),
    Fail(Call, u32),
    /// So many bytes more, and the disk is full.
    FillDisk(usize),
    Heal,
    LoseCursor,
    /// A bit of a segment turns.
    Flip(Index, Index),
}

fn step() -> impl Strategy<Value = Step> {
    let choices = || vec(any::<Index>(), 1..40);
    prop_oneof![
        12 => (8_usize..150).prop_map(Step::Append),
        1 => (8_usize..3000).prop_map(Step::Append),
        10 => Just(Step::Read),
        1 => Just(Step::SkipUnread),
        5 => any::<Index>().prop_map(Step::Acknowledge),
        4 => Just(Step::Commit),
        1 => Just(Step::Kill),
        1 => choices().prop_map(Step::LosePower),
        1 => Just(Step::Close),
        1 => choices().prop_map(Step::CloseAndLosePower),
        2 => (select(&CALLS[..]), 1_u32..4).prop_map(|(call, times)| Step::Fail(call, times)),
        1 => (0_usize..500).prop_map(Step::FillDisk),
        2 => Just(Step::Heal),
        1 => Just(Step::LoseCursor),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(file, at)| Step::Flip(file, at)),
    ]
}

fn any_options() -> impl Strategy<Value = Options> {
    let when_full = select(&[WhenFull::DropNew, WhenFull::DropOld][..]);
    let fsync = [
        Fsync::Always,
        Fsync::Always,
        Fsync::Interval(Duration::ZERO),
        Fsync::Never,
    ];
    let sizes = (300_u64..3000, 100_u64..800);
    (when_full, select(fsync.to_vec()), sizes).prop_map(|(when_full, fsync, sizes)| Options {
        directory: "spool".into(),
        max_bytes: sizes.0,
        segment_bytes: sizes.1,
        when_full,
        fsync,
    })
}

/// Entries are told apart by their numbers, and the rest of their bytes follows from it.
fn entry(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().repeat(length.div_ceil(8));
    bytes.truncate(length);
    bytes
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a size")
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("a number"))
}

/// An entry that is in the spool.
#[derive(Debug, Clone)]
struct Live {
    number: u64,
    position: Position,
    is_read: bool,
    is_committed: bool,
}

#[derive(Debug)]
struct Model {
    fake: Fake,
    options: Options,
    writes_cursor: bool,
    spool: Option<Spool<Fake>>,
    live: Vec<Live>,
    /// By their numbers.
    lengths: Vec<usize>,
    /// Given up, so that they may not come back but for a loss of power.
    dropped: BTreeSet<u64>,
    /// Unread ones that gave way and were not told.
    untold: u64,
    /// Entries that may be lost because a bit turned.
    doubtful: usize,
    last: Option<Position>,
}

impl Model {
    fn new(options: Options, writes_cursor: bool) -> Self {
        let mut model = Self {
            fake: Fake::default(),
            options,
            writes_cursor,
            spool: None,
            live: Vec::new(),
            lengths: Vec::new(),
            dropped: BTreeSet::new(),
            untold: 0,
            doubtful: 0,
            last: None,
        };
        model.open();
        model
    }

    fn spool(&mut self) -> &mut Spool<Fake> {
        self.spool.as_mut().expect("it is open")
    }

    /// Opens it; what fails, fails once.
    fn open(&mut self) {
        let opened = Spool::open_on(self.fake.clone(), self.options.clone());
        let mut spool = opened.unwrap_or_else(|error| {
            assert!(self.fake.failed(), "{error}");
            self.fake.heal();
            Spool::open_on(self.fake.clone(), self.options.clone()).expect("nothing fails")
        });
        if self.writes_cursor {
            spool.cursor_every = Duration::ZERO;
        }
        self.spool = Some(spool);
    }

    fn take(&mut self, step: Step) {
        let bytes = self.spool().bytes();
        // Files that were removed may be there again.
        let grows = matches!(
            step,
            Step::Append(_) | Step::LosePower(_) | Step::CloseAndLosePower(_)
        );
        match step {
            Step::Append(length) => self.append(length),
            Step::Read => self.read(),
            Step::SkipUnread => {
                self.spool().skip_unread();
                self.live.iter_mut().for_each(|live| live.is_read = true);
            }
            Step::Acknowledge(index) => self.acknowledge(index),
            Step::Commit => self.commit(),
            Step::Kill => self.reopen(|_| {}, |_| true),
            Step::LosePower(choices) => self.lose_power(&choices),
            Step::Close => self.close(|_| {}),
            Step::CloseAndLosePower(choices) => self.close(|fake| lose_power(fake, &choices)),
            Step::Fail(call, times) => self.fake.fail(call, times),
            Step::FillDisk(more) => self.fake.limit(Some(size(self.fake.bytes("")) + more)),
            Step::Heal => self.fake.heal(),
            Step::LoseCursor => self.reopen(
                |fake| {
                    let path = Path::new("spool").join(cursor::FILE);
                    if fake.paths(cursor::FILE).contains(&path) {
                        fake.delete(&path);
                    }
                },
                |_| true,
            ),
            Step::Flip(file, at) => self.flip(file, at),
        }
        self.check();
        let now = self.spool().bytes();
        assert!(
            grows || now <= bytes || now <= self.options.max_bytes,
            "it grew"
        );
    }

    fn check(&mut self) {
        let (entries, unread) = (self.live.len() as u64, self.unread().count() as u64);
        let on_disk = self.fake.bytes(".spool");
        let spool = self.spool();
        assert_eq!((spool.entries(), spool.unread()), (entries, unread));
        assert_eq!(spool.bytes(), on_disk);
    }

    fn unread(&self) -> impl Iterator<Item = &Live> {
        self.live.iter().filter(|live| !live.is_read)
    }

    /// Takes the entries up to a position out; tells how many were not read.
    fn forget(&mut self, up_to: Position) -> u64 {
        let gone = self.live.extract_if(.., |live| live.position <= up_to);
        let gone: Vec<Live> = gone.collect();
        self.dropped.extend(gone.iter().map(|live| live.number));
        gone.iter().filter(|live| !live.is_read).count() as u64
    }

    fn append(&mut self, length: usize) {
        let number = self.lengths.len() as u64;
        let before = self.spool().bytes();
        let appended = self.spool().append(&entry(number, length));
        let dropped = match &appended {
            Ok(_) => self.spool().take_dropped(),
            // It is told with what gives way next.
            Err(_) => self.spool().dropped,
        };
        if let Some(dropped) = dropped {
            assert_eq!(self.options.when_full, WhenFull::DropOld);
            self.untold += self.forget(dropped.up_to);
            assert_eq!(dropped.unread, self.untold);
        }
        let size = HEADER + HEAD + length as u64;
        match appended {
            Ok(position) => {
                self.untold = 0;
                assert!(self.last < Some(position), "positions grow");
                self.last = Some(position);
                self.lengths.push(length);
                self.live.push(Live {
                    number,
                    position,
                    is_read: false,
                    is_committed: false,
                });
                assert!(self.spool().bytes() <= self.options.max_bytes);
            }
            Err(AppendError::TooLarge) => assert!(size > self.options.max_bytes),
            Err(AppendError::Full) => {
                assert_eq!(self.options.when_full, WhenFull::DropNew);
                assert!(before + size > self.options.max_bytes);
            }
            Err(AppendError::Io(error)) => assert!(self.fake.failed(), "{error}"),
        }
    }

    fn read(&mut self) {
        let read = self.spool().read();
        let lost = size(self.spool().take_unreadable());
        // Those that can't be read any more are the next ones, or, on an error, before those that can't be read now.
        let gone: Vec<u64> = self.unread().map(|live| live.number).take(lost).collect();
        self.live.retain(|live| !gone.contains(&live.number));
        assert!(lost <= self.doubtful, "{lost} lost");
        self.doubtful -= lost;
        match read {
            Ok(Some(found)) => {
                let next = self.unread().next().expect("it is in the spool").clone();
                assert_eq!(
                    (found.position, number_of(&found.bytes)),
                    (next.position, next.number)
                );
                self.check_bytes(&found.bytes);
                let live = self.live.iter_mut().find(|live| live.number == next.number);
                live.expect("it is there").is_read = true;
            }
            Ok(None) => assert_eq!(self.unread().count(), 0),
            Err(error) => assert!(self.fake.failed(), "{error}"),
        }
    }

    fn check_bytes(&self, bytes: &[u8]) {
        let number = number_of(bytes);
        let length = self.lengths.get(size(number));
        assert_eq!(bytes, entry(number, *length.expect("it was appended")));
    }

    fn acknowledge(&mut self, index: Index) {
        let read: Vec<Position> = self
            .live
            .iter()
            .filter(|live| live.is_read)
            .map(|live| live.position)
            .collect();
        if read.is_empty() {
            return;
        }
        let position = *index.get(&read);
        self.spool().acknowledge(position);
        self.live.retain(|live| live.position > position);
    }

    fn commit(&mut self) {
        match self.spool().commit() {
            Ok(()) if self.options.fsync != Fsync::Never => {
                self.live
                    .iter_mut()
                    .for_each(|live| live.is_committed = true);
            }
            Ok(()) => {}
            Err(error) => assert!(self.fake.failed(), "{error}"),
        }
    }

    fn close(&mut self, then: impl FnOnce(&Fake)) {
        let closed = self.spool.take().expect("it is open").close();
        if closed.is_err() {
            assert!(self.fake.failed());
            self.open();
            return self.reopen(|_| {}, |_| true);
        }
        let live: Vec<u64> = self.live.iter().map(|live| live.number).collect();
        let doubtful = self.doubtful;
        self.open();
        self.reopen(then, |_| true);
        let now: Vec<u64> = self.live.iter().map(|live| live.number).collect();
        if doubtful == 0 {
            assert_eq!(now, live, "nothing that was acknowledged comes back");
        }
    }

    fn lose_power(&mut self, choices: &[Index]) {
        self.dropped.clear();
        self.reopen(|fake| lose_power(fake, choices), |live| live.is_committed);
    }

    /// What is there after a restart: what must be, and perhaps what else was appended.
    fn reopen(&mut self, between: impl FnOnce(&Fake), must_stay: impl Fn(&Live) -> bool) {
        self.spool = None;
        between(&self.fake);
        self.fake.heal();
        self.open();
        let found: Vec<(u64, Position)> = std::iter::from_fn(|| {
            let entry = self.spool().read().expect("nothing fails")?;
            self.check_bytes(&entry.bytes);
            Some((number_of(&entry.bytes), entry.position))
        })
        .collect();
        assert!(
            found.is_sorted_by(|a, b| a < b && a.1 < b.1),
            "in order: {found:?}"
        );
        let numbers: BTreeSet<u64> = found.iter().map(|found| found.0).collect();
        assert!(
            numbers.is_disjoint(&self.dropped),
            "what was given up came back"
        );
        let must_stay = self.live.iter().filter(|live| must_stay(live));
        let lost: Vec<&Live> = must_stay
            .filter(|live| !numbers.contains(&live.number))
            .collect();
        assert!(lost.len() <= self.doubtful, "lost: {lost:?}");
        // What can be said of a turned bit is said: it was found, or is where nobody reads any more.
        self.doubtful -= lost.len();
        let were = std::mem::take(&mut self.live);
        let is_committed = |number| {
            were.iter()
                .any(|live| live.number == number && live.is_committed)
        };
        self.live = found
            .into_iter()
            .map(|(number, position)| Live {
                number,
                position,
                is_read: false,
                is_committed: is_committed(number),
            })
            .collect();
        self.untold = 0;
        self.last = self.live.last().map(|live| live.position);
        // Having read changes nothing.
        self.spool = None;
        self.open();
    }

    fn flip(&mut self, file: Index, at: Index) {
        let paths = self.fake.paths(".spool");
        if paths.is_empty() {
            return;
        }
        let path = file.get(&paths);
        let length = self.fake.read(path).len();
        if length > 0 {
            self.fake.flip(path, at.index(length));
            self.doubtful += 1;
        }
    }
}

fn lose_power(fake: &Fake, choices: &[Index]) {
    let mut choices = choices.iter().cycle();
    fake.lose_power(|most| choices.next().expect("a cycle").index(most));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_spool_is_a_list_whatever_fails(
        options in any_options(),
        writes_cursor in any::<bool>(),
        steps in vec(step(), 1..80),
    ) {
        let mut model = Model::new(options, writes_cursor);
        for step in steps {
            model.take(step);
        }
        model.reopen(|_| {}, |_| true);
    }
}
