//! Torn ends, turned bits, and disks that fail.

use super::fake::{Call, Fake};
use super::*;

const ASIDE: &str = "00000000000000000001.spool.corrupt";

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

/// Where an entry of ten bytes begins.
fn offset(index: u64) -> usize {
    usize::try_from(segment_of(index, 10)).expect("a size")
}

#[test]
fn a_torn_tail_is_cut() {
    let whole = segment_of(2, 10);
    for cut in 1..34 {
        let directory = TempDir::new().expect("a directory");
        drop(with_entries(&directory, 0..3));
        let path = segment_path(&directory, 1);
        change(&path, |bytes| bytes.truncate(bytes.len() - cut));
        let mut spool = open(&directory);
        assert_eq!(read_all(&mut spool), texts(0..2));
        assert_eq!(fs::metadata(&path).expect("a file").len(), whole);
        assert_eq!(
            (spool.entries(), spool.bytes(), spool.take_unreadable()),
            (2, whole, 0)
        );
        // It is not gone on with: what was cut may have been acknowledged.
        let position = spool.append(b"another").expect("there is room");
        assert_eq!(position.segment, 2);
    }
}

#[test]
fn a_header_alone_or_a_part_of_it_is_an_empty_segment() {
    for length in [0, 10, HEADER] {
        let directory = TempDir::new().expect("a directory");
        drop(with_entries(&directory, 0..3));
        let length = usize::try_from(length).expect("a size");
        change(&segment_path(&directory, 1), |bytes| bytes.truncate(length));
        let spool = open(&directory);
        assert_eq!((spool.entries(), spool.bytes()), (0, 0));
        assert_eq!(
            files(&directory),
            ["cursor", "lock"],
            "nothing was set aside"
        );
    }
}

#[test]
fn around_damage_all_is_read_and_the_segment_is_set_aside() {
    // Bytes of the header, of a head, and of an entry.
    let cases = [
        (3, None),
        (20, None),
        (offset(1), Some(1)),
        (offset(1) + 9, Some(1)),
        (offset(2) + 30, Some(2)),
    ];
    for (at, lost) in cases {
        let directory = TempDir::new().expect("a directory");
        drop(with_entries(&directory, 0..9));
        let path = segment_path(&directory, 1);
        change(&path, |bytes| bytes[at] ^= 1);
        let damaged = fs::read(&path).expect("a file");
        let mut expected = texts(0..9);
        if let Some(lost) = lost {
            expected.remove(lost);
        }
        let mut spool = open(&directory);
        assert_eq!(
            (spool.entries(), spool.unread()),
            (expected.len() as u64, expected.len() as u64)
        );
        assert_eq!(read_all(&mut spool), expected);
        assert_eq!(spool.take_unreadable(), 0, "it was not in the spool");
        let mut spool = reopened_after_acknowledging_all(&directory, spool);
        assert_eq!(read_all(&mut spool), [] as [String; 0]);
        let aside = options(directory.path()).directory.join(ASIDE);
        assert_eq!(fs::read(aside).expect("it was set aside"), damaged);
        assert_eq!(files(&directory), [ASIDE, "cursor", "lock"]);
        assert_eq!(spool.bytes(), 0);
    }
}

fn reopened_after_acknowledging_all(directory: &TempDir, mut spool: Spool) -> Spool {
    let last = spool.append(b"the last").expect("there is room");
    spool.acknowledge(last);
    assert_eq!(spool.entries(), 0);
    spool.close().expect("it closes");
    open(directory)
}

#[test]
fn what_was_set_aside_is_never_overwritten() {
    let directory = TempDir::new().expect("a directory");
    drop(with_entries(&directory, 0..3));
    let path = options(directory.path()).directory;
    let others = [ASIDE.to_owned(), format!("{ASIDE}.1")];
    for name in &others {
        fs::write(path.join(name), name).expect("written");
    }
    fs::write(
        segment_path(&directory, 1),
        "not a segment, but long enough for one",
    )
    .expect("written");
    let spool = open(&directory);
    assert_eq!((spool.entries(), spool.bytes()), (0, 0));
    for name in &others {
        assert_eq!(fs::read_to_string(path.join(name)).expect("a file"), *name);
    }
    let third = fs::read_to_string(path.join(format!("{ASIDE}.2"))).expect("a file");
    assert!(third.starts_with("not a segment"));
    drop(spool);
    fs::remove_file(path.join(cursor::FILE)).expect("removed");
    let position = open(&directory).append(b"another").expect("there is room");
    assert_eq!(
        position.segment, 2,
        "numbers of what was set aside are not used again"
    );
}

#[test]
fn an_older_segment_with_a_wrong_end_is_set_aside() {
    let directory = TempDir::new().expect("a directory");
    let spool = with_entries(&directory, 0..9);
    let size = fs::metadata(segment_path(&directory, 1))
        .expect("a file")
        .len();
    assert!(spool.bytes() > size, "there are several");
    drop(spool);
    change(&segment_path(&directory, 1), |bytes| {
        *bytes.last_mut().expect("a byte") ^= 1;
    });
    let mut spool = open(&directory);
    assert_eq!(spool.entries(), 8);
    while let Some(entry) = spool.read().expect("it can be read") {
        spool.acknowledge(entry.position);
    }
    assert!(files(&directory).contains(&ASIDE.to_owned()));
}

#[test]
fn damage_that_is_found_late_is_told() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = with_entries(&directory, 0..4);
    change(&segment_path(&directory, 1), |bytes| {
        bytes[offset(1)] ^= 1;
        bytes[offset(2) + 30] ^= 1;
    });
    let mut expected = texts(0..4);
    expected.drain(1..3);
    assert_eq!(read_all(&mut spool), expected);
    assert_eq!((spool.take_unreadable(), spool.take_unreadable()), (2, 0));
    assert_eq!((spool.entries(), spool.unread()), (2, 0));
    let position = spool.append(b"another").expect("there is room");
    assert_eq!(
        position.segment, 2,
        "what is set aside does not change any more"
    );
    assert_eq!(read_all(&mut spool), ["another"]);
    spool.acknowledge(position);
    assert!(files(&directory).contains(&ASIDE.to_owned()));
}

#[test]
fn a_segment_that_somebody_removed_is_told() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = with_entries(&directory, 0..9);
    fs::remove_file(segment_path(&directory, 1)).expect("removed");
    let left = read_all(&mut spool);
    assert_eq!(left.len() as u64 + spool.take_unreadable(), 9);
    assert_eq!(left.last(), texts(8..9).first());
    assert_eq!(spool.entries(), left.len() as u64);
}

fn fake() -> (Fake, Spool<Fake>) {
    let fake = Fake::default();
    let opened = Spool::open_on(fake.clone(), options(Path::new("")));
    (fake, opened.expect("it opens"))
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let (fake, mut spool) = fake();
    spool.append(b"entry 0000").expect("there is room");
    let bytes = spool.bytes();
    fake.fail(Call::Append, 1);
    spool.append(b"entry 0001").expect_err("it fails");
    assert_eq!(
        (spool.entries(), spool.bytes(), fake.bytes(".spool")),
        (1, bytes, bytes)
    );
    let position = spool.append(b"entry 0002").expect("there is room");
    assert_eq!(
        position,
        Position {
            segment: 1,
            index: 1
        }
    );
    assert_eq!(read_all(&mut spool), ["entry 0000", "entry 0002"]);
}

#[test]
fn a_part_of_an_entry_that_can_not_be_removed_is_cut_later() {
    let (fake, mut spool) = fake();
    spool.append(b"entry 0000").expect("there is room");
    let bytes = spool.bytes();
    fake.fail(Call::Append, 1);
    fake.fail(Call::Truncate, 1);
    spool.append(b"entry 0001").expect_err("it fails");
    assert!(spool.bytes() > bytes);
    let position = spool.append(b"entry 0002").expect("there is room");
    assert_eq!(
        position,
        Position {
            segment: 2,
            index: 0
        }
    );
    drop(spool);
    let mut spool = Spool::open_on(fake.clone(), options(Path::new(""))).expect("it opens");
    assert_eq!(spool.bytes(), 2 * bytes);
    assert_eq!(read_all(&mut spool), ["entry 0000", "entry 0002"]);
    spool.acknowledge(position);
    spool.close().expect("it closes");
    assert_eq!(fake.paths(CORRUPT), [] as [PathBuf; 0]);
}

#[test]
fn a_read_that_fails_can_be_repeated() {
    let (fake, mut spool) = fake();
    spool.append(b"entry 0000").expect("there is room");
    for call in [Call::Open, Call::Read] {
        fake.fail(call, 1);
        spool.read().expect_err("it fails");
        assert_eq!((spool.unread(), spool.take_unreadable()), (1, 0));
    }
    assert_eq!(read_all(&mut spool), ["entry 0000"]);
}

#[test]
fn on_a_full_disk_old_segments_give_way_if_they_may() {
    for when_full in [WhenFull::DropNew, WhenFull::DropOld] {
        let fake = Fake::default();
        let options = Options {
            when_full,
            ..options(Path::new(""))
        };
        let mut spool = Spool::open_on(fake.clone(), options).expect("it opens");
        for text in texts(0..9) {
            spool.append(text.as_bytes()).expect("there is room");
        }
        let room = usize::try_from(fake.bytes("") + 20).expect("a size");
        fake.limit(Some(room));
        match (when_full, spool.append(b"entry 0009")) {
            (WhenFull::DropNew, Err(AppendError::Io(error))) => {
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                assert_eq!(read_all(&mut spool), texts(0..9));
            }
            (WhenFull::DropOld, Ok(_)) => {
                let dropped = spool.take_dropped().expect("something gave way").unread;
                let left = read_all(&mut spool);
                assert_eq!(
                    (dropped + left.len() as u64, left.last()),
                    (10, texts(9..10).first())
                );
            }
            (_, appended) => panic!("{appended:?}"),
        }
    }
}

#[test]
fn a_disk_that_can_t_be_forced_keeps_no_more_and_more_files_open() {
    let (fake, mut spool) = fake();
    fake.fail(Call::Sync, 100);
    for _ in 0..50 {
        spool.append(b"entry").expect("it can be written");
        spool.commit().expect_err("it can't be forced");
        // Six of these entries fit into a segment.
        assert!(spool.unforced.len() < 10, "{}", spool.unforced.len());
    }
}
