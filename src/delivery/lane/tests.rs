//! The lane between a queue and a sink that a test tells what to do, step by step, at times of the test's choice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::ledger::Totals;
use super::super::sink::Reports;
use super::*;
use crate::spool::{Fsync, Options, WhenFull};

/// What a sink has taken: of each record its key and number.
type Taken = Vec<(u8, u32)>;

/// A sink that holds what it gets until the test says what becomes of it.
struct Held(Arc<Mutex<Inner>>);

struct Inner {
    reports: Reports,
    held: VecDeque<(u64, Outgoing)>,
    taken: Taken,
    /// The largest record that it takes.
    limit: usize,
    is_ready: bool,
    ticks: u32,
}

impl Sink for Held {
    fn send(&mut self, ticket: u64, record: &Outgoing) -> Result<(), Refused> {
        let mut inner = self.inner();
        if record.size() > inner.limit {
            let limit = Some(inner.limit);
            return Err(Refused::Failed(Failure::TooLarge(limit)));
        }
        if inner.held.len() >= 8 {
            return Err(Refused::Busy);
        }
        inner.held.push_back((ticket, record.clone()));
        Ok(())
    }

    fn tick(&mut self) {
        self.inner().ticks += 1;
    }

    fn recall(&mut self) {
        let mut inner = self.inner();
        let reports = inner.reports.clone();
        for (ticket, _) in inner.held.drain(..) {
            reports.tell(ticket, Err(Failure::Recalled));
        }
    }

    fn renew(&mut self) -> Result<(), Problem> {
        Ok(())
    }

    fn is_ready(&mut self) -> Result<bool, Problem> {
        Ok(self.inner().is_ready)
    }
}

impl Held {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(record: &Outgoing) -> (u8, u32) {
    let text = std::str::from_utf8(&record.payload).expect("a test's record");
    let number = text.split(' ').next().and_then(|text| text.parse().ok());
    let key = record.key.parse().expect("a test's key");
    (key, number.expect("a test's number"))
}

fn problem() -> Problem {
    Problem {
        reason: "the test said so".to_owned(),
        remedy: None,
    }
}

/// Cuts a record to its first bytes, but not to fewer than its number needs.
fn cut(line: &[u8], max: usize) -> Option<Vec<u8>> {
    (max >= 8).then(|| line[..line.len().min(max)].to_vec())
}

/// A lane with a spool of a directory that stays, or without one.
struct Bench {
    lane: Lane<Held>,
    shared: Arc<Shared>,
    sink: Arc<Mutex<Inner>>,
    directory: Option<TempDir>,
    when_full: WhenFull,
    now: Instant,
    numbers: BTreeMap<u8, u32>,
}

const BOUNDS: Bounds = Bounds {
    records: 20,
    bytes: 4096,
};

impl Bench {
    fn new(directory: Option<TempDir>, when_full: WhenFull) -> Self {
        let (lane, shared, sink) = lane(directory.as_ref(), when_full, Taken::new());
        Self {
            lane,
            shared,
            sink,
            directory,
            when_full,
            now: Instant::now(),
            numbers: BTreeMap::new(),
        }
    }

    fn spooled() -> Self {
        Self::new(
            Some(tempfile::tempdir().expect("a directory")),
            WhenFull::DropNew,
        )
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&mut self, key: u8, size: usize) -> Result<(), DropReason> {
        let number = self.numbers.entry(key).or_default();
        *number += 1;
        let payload = format!("{number} {}", "x".repeat(size));
        self.shared.push(Outgoing {
            topic: "topic".into(),
            key: key.to_string().into(),
            payload: Bytes::from(payload),
        })
    }

    /// Time passes, and the lane does what it can.
    fn step(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        let told = self.shared.wait(Instant::now());
        self.lane.step(told, self.now, false);
        let totals = self.totals();
        let ledger = self.shared.ledger(|ledger| ledger.clone());
        assert_eq!(
            totals.found,
            totals.waiting + totals.spooled + totals.published + totals.dropped
        );
        assert!(totals.waiting <= BOUNDS.records as u64, "{totals:?}");
        assert!(ledger.waiting_bytes <= BOUNDS.bytes, "{ledger:?}");
    }

    /// The sink takes so many of those that it has, the oldest first.
    fn take(&mut self, count: usize) {
        let mut inner = self.inner();
        let reports = inner.reports.clone();
        for _ in 0..count {
            let Some((ticket, record)) = inner.held.pop_front() else {
                break;
            };
            inner.taken.push(number(&record));
            reports.tell(ticket, Ok(()));
        }
    }

    /// The oldest that the sink has fails, and takes those behind it with it.
    fn fail(&mut self, failure: Failure) {
        let mut inner = self.inner();
        let reports = inner.reports.clone();
        if let Some((ticket, _)) = inner.held.pop_front() {
            reports.tell(ticket, Err(failure));
        }
        for (ticket, _) in inner.held.drain(..) {
            reports.tell(ticket, Err(Failure::Recalled));
        }
    }

    fn totals(&self) -> Totals {
        self.shared.ledger(|ledger| ledger.totals())
    }

    /// Another lane with the same directory and a sink that knows what it had taken. The old one ended in order, or
    /// not at all.
    fn restart(self, in_order: bool) -> Self {
        let taken = std::mem::take(&mut self.inner().taken);
        if in_order {
            drop(self.lane.end());
        } else {
            drop(self.lane);
        }
        let (lane, shared, sink) = lane(self.directory.as_ref(), self.when_full, taken);
        Self {
            lane,
            shared,
            sink,
            ..self
        }
    }

    /// Everything that can be delivered is.
    fn deliver(&mut self) {
        self.inner().is_ready = true;
        for _ in 0..1000 {
            self.step(20_000);
            self.take(8);
            if self.totals().waiting + self.totals().spooled == 0 {
                return;
            }
        }
        panic!("it does not come to its end: {:?}", self.totals());
    }

    /// What the sink took, without repetitions; per key it was taken in order.
    fn taken(&self) -> Taken {
        let mut last = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut taken = Taken::new();
        for (key, number) in &self.inner().taken {
            if seen.insert((*key, *number)) {
                let before = last.insert(*key, *number).unwrap_or(0);
                assert!(before < *number, "{key}: {number} after {before}");
                taken.push((*key, *number));
            }
        }
        taken
    }
}

fn spool(directory: &Path, max_bytes: u64, when_full: WhenFull) -> Spool {
    let options = Options {
        directory: directory.to_owned(),
        max_bytes,
        segment_bytes: 1024,
        when_full,
        fsync: Fsync::Never,
    };
    Spool::open(options).expect("a spool")
}

fn lane(
    directory: Option<&TempDir>,
    when_full: WhenFull,
    taken: Taken,
) -> (Lane<Held>, Arc<Shared>, Arc<Mutex<Inner>>) {
    let shared = Arc::new(Shared::new(BOUNDS));
    let spool = directory.map(|directory| spool(directory.path(), 8192, when_full));
    if let Some(spool) = &spool {
        shared.ledger(|ledger| ledger.recover(spool.entries()));
    }
    let sink = Arc::new(Mutex::new(Inner {
        reports: Reports::new(shared.clone()),
        held: VecDeque::new(),
        taken,
        limit: usize::MAX,
        is_ready: true,
        ticks: 0,
    }));
    let parts = Parts {
        name: "test",
        shared: shared.clone(),
        spool,
        bounds: BOUNDS,
        shorten: cut,
        latency: Histogram::noop(),
    };
    (Lane::new(parts, Held(sink.clone())), shared, sink)
}

#[test]
fn what_the_sink_takes_is_published() {
    let mut bench = Bench::new(None, WhenFull::DropNew);
    for _ in 0..5 {
        bench.publish(1, 10).expect("room");
    }
    bench.step(0);
    assert_eq!(bench.totals().waiting, 5);
    bench.take(5);
    bench.step(0);
    let totals = bench.totals();
    assert_eq!((totals.published, totals.waiting), (5, 0));
}

#[test]
fn without_a_spool_what_there_is_no_room_for_is_dropped() {
    let mut bench = Bench::new(None, WhenFull::DropNew);
    for n in 0..30 {
        let pushed = bench.publish(1, 10);
        assert_eq!(pushed.err(), (n >= 20).then_some(DropReason::QueueFull));
        bench.step(0);
    }
    bench.deliver();
    assert_eq!(bench.taken().len(), 20);
}

#[test]
fn what_is_not_confirmed_within_a_second_is_on_disk() {
    let mut bench = Bench::spooled();
    for _ in 0..5 {
        bench.publish(1, 10).expect("room");
    }
    bench.step(0);
    assert_eq!(bench.totals().spooled, 0);
    bench.step(1000);
    assert_eq!((bench.totals().spooled, bench.totals().waiting), (5, 0));
    // It comes back after a crash, and once for a confirmation that was in time.
    bench.take(2);
    bench.step(0);
    let mut bench = bench.restart(true);
    assert_eq!(bench.totals().spooled, 3);
    bench.deliver();
    assert_eq!(bench.inner().taken.len(), 5);
}

#[test]
fn what_memory_has_no_room_for_is_on_disk_and_comes_in_order() {
    let mut bench = Bench::spooled();
    for n in 0..60 {
        bench.publish(n % 3, 10).expect("room");
        bench.step(1);
    }
    assert_eq!(bench.totals().dropped, 0);
    assert!(bench.totals().spooled > 40);
    // New ones don't overtake those on disk.
    bench.take(8);
    bench.step(0);
    bench.publish(1, 10).expect("room");
    bench.deliver();
    assert_eq!(bench.taken().len(), 61);
}

#[test]
fn a_full_spool_drops_the_new_ones_or_the_old_ones() {
    for (when_full, first_survives) in [(WhenFull::DropNew, true), (WhenFull::DropOld, false)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut bench = Bench::new(Some(directory), when_full);
        bench.inner().is_ready = false;
        for _ in 0..300 {
            let _full = bench.publish(1, 100);
            bench.step(10);
        }
        let dropped = bench.shared.ledger(|l| l.dropped(DropReason::SpoolFull));
        assert!(dropped > 100, "{dropped}");
        assert_eq!(dropped, bench.totals().dropped);
        bench.deliver();
        let taken = bench.taken();
        assert_eq!(taken.len() as u64, 300 - dropped);
        // What is in the window has got its place already.
        assert_eq!(taken.contains(&(1, 20)), first_survives);
        assert_eq!(taken.contains(&(1, 300)), !first_survives);
    }
}

#[test]
fn a_sink_that_fails_gets_everything_again_in_order() {
    let mut bench = Bench::spooled();
    for _ in 0..6 {
        bench.publish(1, 10).expect("room");
    }
    bench.step(0);
    bench.take(1);
    bench.fail(Failure::Sink(problem()));
    bench.step(0);
    assert_eq!(bench.shared.problem(), Some(problem()));
    // It is left alone for a while, and asked for one record first.
    bench.step(10);
    assert_eq!(bench.inner().held.len(), 0);
    bench.step(10_000);
    bench.step(0);
    assert_eq!(bench.inner().held.len(), 1);
    bench.take(1);
    bench.step(0);
    assert_eq!(bench.shared.problem(), None);
    assert_eq!(bench.inner().held.len(), 2);
    bench.deliver();
    assert_eq!(bench.inner().taken.len(), 6);
}

#[test]
fn a_record_that_is_too_large_is_shortened_and_one_that_can_t_be_is_dropped() {
    let mut bench = Bench::spooled();
    bench.inner().limit = 50;
    bench.publish(1, 100).expect("room");
    bench.publish(1, 10).expect("room");
    bench.step(0);
    assert_eq!(bench.inner().held[0].1.size(), 50);
    bench.deliver();
    bench.inner().limit = 5;
    bench.publish(1, 100).expect("room");
    bench.deliver();
    assert_eq!(bench.inner().taken, [(1, 1), (1, 2)]);
    let ledger = bench.shared.ledger(|ledger| ledger.clone());
    assert_eq!(ledger.dropped(DropReason::TooLarge), 1);
    assert_eq!(ledger.shortened, 1);
}

#[test]
fn a_limit_that_nobody_tells_is_found_out_by_the_record_alone() {
    let mut bench = Bench::spooled();
    for size in [10, 1000, 10] {
        bench.publish(1, size).expect("room");
    }
    for _ in 0..50 {
        bench.step(1000);
        let first = bench.inner().held.front().map(|(_, record)| record.size());
        match first {
            Some(size) if size > 100 => bench.fail(Failure::TooLarge(None)),
            _ => bench.take(1),
        }
    }
    bench.deliver();
    assert_eq!(bench.inner().taken, [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(bench.totals().dropped, 0);
}

#[test]
fn a_record_that_is_refused_for_what_it_is_holds_nothing_up() {
    let mut bench = Bench::spooled();
    for _ in 0..4 {
        bench.publish(1, 10).expect("room");
    }
    for _ in 0..20 {
        bench.step(1000);
        let first = bench.inner().held.front().map(|(_, record)| number(record));
        match first {
            Some((1, 2)) => bench.fail(Failure::Rejected("no".to_owned())),
            _ => bench.take(1),
        }
    }
    assert_eq!(bench.taken(), [(1, 1), (1, 3), (1, 4)]);
    let dropped = bench.shared.ledger(|l| l.dropped(DropReason::Rejected));
    assert_eq!(dropped, 1);
}

#[test]
fn a_record_that_timed_out_is_tried_again_if_there_is_a_spool() {
    for (mut bench, published) in [
        (Bench::spooled(), 1),
        (Bench::new(None, WhenFull::DropNew), 0),
    ] {
        bench.publish(1, 10).expect("room");
        bench.step(0);
        bench.fail(Failure::TimedOut);
        bench.deliver();
        assert_eq!(bench.totals().published, published);
        assert_eq!(bench.totals().dropped, 1 - published);
    }
}

#[test]
fn a_stop_leaves_nothing_in_memory() {
    let mut bench = Bench::spooled();
    for _ in 0..15 {
        bench.publish(1, 10).expect("room");
    }
    bench.step(0);
    bench.take(3);
    let shared = bench.shared.clone();
    let mut bench = bench.restart(true);
    let totals = shared.ledger(|ledger| ledger.totals());
    assert_eq!((totals.published, totals.spooled), (3, 12));
    assert_eq!((totals.waiting, totals.dropped), (0, 0));
    bench.deliver();
    assert_eq!(bench.inner().taken.len(), 15);

    let mut bench = Bench::new(None, WhenFull::DropNew);
    bench.publish(1, 10).expect("room");
    let shared = bench.shared.clone();
    drop(bench.restart(true));
    let dropped = shared.ledger(|ledger| ledger.dropped(DropReason::Shutdown));
    assert_eq!(dropped, 1);
}

#[test]
fn a_record_larger_than_the_spool_keeps_no_other_one_from_it() {
    let mut bench = Bench::spooled();
    let directory = tempfile::tempdir().expect("a directory");
    bench.lane.parts.spool = Some(spool(directory.path(), 1024, WhenFull::DropNew));
    for size in [10, 1500, 10, 10] {
        bench.publish(1, size).expect("room");
    }
    bench.step(0);
    bench.step(1000);
    assert_eq!((bench.totals().spooled, bench.totals().waiting), (3, 1));
    bench.deliver();
    assert_eq!(bench.taken().len(), 4);
}

#[test]
fn what_gives_way_in_vain_is_counted_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    let mut bench = Bench::new(Some(directory), WhenFull::DropOld);
    bench.inner().is_ready = false;
    for _ in 0..45 {
        bench.publish(1, 100).expect("room");
        bench.step(100);
    }
    assert_eq!(bench.totals().spooled, 45);
    // There is no making a segment whose name somebody has taken.
    let names = std::fs::read_dir(&path).expect("a directory");
    let names = names.filter_map(|file| file.expect("a file").file_name().into_string().ok());
    let numbers = names.filter_map(|name| name.strip_suffix(".spool")?.parse().ok());
    let last: u64 = numbers.max().expect("a segment");
    std::fs::write(path.join(format!("{:020}.spool", last + 1)), "").expect("a file");
    bench.publish(1, 2000).expect("room");
    bench.step(0);
    assert!(bench.lane.disk.is_some());
    let entries = |bench: &Bench| bench.lane.parts.spool.as_ref().map(Spool::entries);
    assert!(entries(&bench) < Some(45));
    assert_eq!(Some(bench.totals().spooled), entries(&bench));
    bench.step(1000);
    assert_eq!(Some(bench.totals().spooled), entries(&bench));
}

#[test]
fn a_limit_that_nobody_tells_may_be_a_small_part_of_the_record() {
    let mut bench = Bench::spooled();
    bench.publish(1, 2000).expect("room");
    for _ in 0..50 {
        bench.step(1000);
        let first = bench.inner().held.front().map(|(_, record)| record.size());
        match first {
            Some(size) if size > 40 => bench.fail(Failure::TooLarge(None)),
            _ => bench.take(1),
        }
    }
    assert_eq!(bench.taken(), [(1, 1)]);
    assert_eq!(bench.totals().dropped, 0);
}

#[test]
fn many_records_that_fail_at_once_are_one_failure() {
    let mut bench = Bench::spooled();
    for _ in 0..8 {
        bench.publish(1, 10).expect("room");
    }
    bench.step(0);
    for (ticket, _) in std::mem::take(&mut bench.inner().held) {
        bench.shared.tell(ticket, Err(Failure::Sink(problem())));
    }
    for pause in [500, 1000, 2000] {
        bench.step(0);
        bench.step(pause - 1);
        assert_eq!(bench.inner().held.len(), 0);
        bench.step(1);
        assert_eq!(bench.inner().held.len(), 1);
        bench.fail(Failure::Sink(problem()));
    }
}

#[test]
fn what_is_no_record_is_counted_once_and_leaves_the_spool() {
    let mut bench = Bench::spooled();
    bench.inner().is_ready = false;
    bench.publish(1, 10).expect("room");
    bench.step(0);
    bench.step(1000);
    let spool = bench.lane.parts.spool.as_mut().expect("a spool");
    spool.append(b"nothing of miffy's").expect("room");
    let mut bench = bench.restart(true);
    assert_eq!(bench.totals().found, 2);
    bench.deliver();
    assert_eq!(bench.totals().dropped, 1);
    let bench = bench.restart(true);
    assert_eq!(bench.totals().found, 0);
}

#[test]
fn a_stop_has_time_for_what_gave_way_on_disk() {
    let mut bench = Bench::spooled();
    let directory = tempfile::tempdir().expect("a directory");
    bench.lane.parts.spool = Some(spool(directory.path(), 1024, WhenFull::DropNew));
    bench.publish(1, 1500).expect("room");
    bench.step(0);
    bench.step(1000);
    bench.fail(Failure::Sink(problem()));
    bench.step(0);
    let deadline = bench.now + Duration::from_secs(20);
    assert!(!bench.lane.is_over(bench.now, deadline));
    bench.step(500);
    bench.take(1);
    bench.step(0);
    assert!(bench.lane.is_over(bench.now, deadline));
    assert_eq!(bench.taken(), [(1, 1)]);
}

#[test]
fn a_sink_that_has_nothing_is_not_waited_for() {
    let mut bench = Bench::spooled();
    bench.step(0);
    bench.lane.recall(bench.now, Duration::ZERO);
    assert_eq!(bench.lane.alarm(bench.now, None), bench.now);
}

#[test]
fn a_sink_is_ticked_once_a_second_however_much_happens() {
    let mut bench = Bench::spooled();
    for _ in 0..100 {
        bench.publish(1, 10).expect("room");
        bench.step(50);
        bench.take(1);
    }
    assert_eq!(bench.inner().ticks, 5);
    // The lane is awake for it in time.
    bench.step(50);
    bench.step(900);
    assert_eq!(
        bench.lane.alarm(bench.now, None),
        bench.now + Duration::from_millis(100)
    );
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u8, usize),
    Wait(u64),
    Take(usize),
    /// The sink has it, and nobody hears of it.
    TakeUnheard,
    Fail,
    TooLarge,
    Ready(bool),
    Restart,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..4_u8, 0..300_usize).prop_map(|(key, size)| Step::Publish(key, size)),
        4 => prop_oneof![Just(0), 1..50_u64, Just(1100), Just(11_000)].prop_map(Step::Wait),
        4 => (1..9_usize).prop_map(Step::Take),
        1 => Just(Step::TakeUnheard),
        1 => Just(Step::Fail),
        1 => Just(Step::TooLarge),
        1 => any::<bool>().prop_map(Step::Ready),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_no_record_is_lost_without_being_counted_and_keys_keep_their_order(
        steps in steps(),
        when_full in prop_oneof![Just(None), Just(Some(WhenFull::DropNew)), Just(Some(WhenFull::DropOld))],
    ) {
        let directory = when_full.map(|_| tempfile::tempdir().expect("a directory"));
        let mut bench = Bench::new(directory, when_full.unwrap_or(WhenFull::DropNew));
        // Of lanes that are no more: what they dropped, and what a crash took from memory.
        let (mut pushed, mut dropped, mut crashed) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Publish(key, size) => {
                    pushed += 1;
                    let _counted = bench.publish(key, size);
                }
                Step::Wait(millis) => bench.step(millis),
                Step::Take(count) => bench.take(count),
                Step::TakeUnheard => {
                    let mut inner = bench.inner();
                    if let Some(record) = inner.held.front().map(|(_, record)| number(record)) {
                        inner.taken.push(record);
                    }
                }
                Step::Fail => bench.fail(Failure::Sink(problem())),
                Step::TooLarge => bench.fail(Failure::TooLarge(None)),
                Step::Ready(is_ready) => bench.inner().is_ready = is_ready,
                Step::Restart | Step::Crash => {
                    let in_order = matches!(step, Step::Restart);
                    let shared = bench.shared.clone();
                    bench = bench.restart(in_order);
                    let totals = shared.ledger(|ledger| ledger.totals());
                    dropped += totals.dropped;
                    crashed += totals.waiting;
                    if in_order {
                        prop_assert_eq!(totals.waiting, 0);
                    }
                }
            }
        }
        bench.deliver();
        let taken = bench.taken().len() as u64;
        dropped += bench.totals().dropped;
        // A record may have been taken unheard, and dropped or lost after that.
        prop_assert!(taken + dropped + crashed >= pushed, "{} + {} + {} < {}", taken, dropped, crashed, pushed);
        prop_assert!(taken <= pushed);
    }
}
