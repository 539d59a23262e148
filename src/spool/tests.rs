mod damage;
mod fake;
mod model;

use std::fs;

use tempfile::TempDir;

use super::segment::{HEAD, HEADER};
use super::*;

/// Bytes of a segment with this many entries of so many bytes.
fn segment_of(entries: u64, length: u64) -> u64 {
    HEADER + entries * (HEAD + length)
}

fn options(directory: &Path) -> Options {
    Options {
        directory: directory.join("spool"),
        max_bytes: 1 << 20,
        segment_bytes: 200,
        when_full: WhenFull::DropNew,
        fsync: Fsync::Always,
    }
}

fn open(directory: &TempDir) -> Spool {
    Spool::open(options(directory.path())).expect("it opens")
}

/// Everything that is left to read.
fn read_all<F: Files>(spool: &mut Spool<F>) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(entry) = spool.read().expect("it can be read") {
        texts.push(String::from_utf8(entry.bytes).expect("a text"));
    }
    texts
}

#[test]
fn entries_come_in_order_and_again_until_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    let texts: Vec<String> = (0..50).map(|number| format!("entry {number}")).collect();
    for text in &texts {
        spool.append(text.as_bytes()).expect("there is room");
    }
    assert_eq!(read_all(&mut spool), texts);
    assert_eq!((spool.entries(), spool.unread()), (50, 0));
    drop(spool);
    let mut spool = open(&directory);
    let mut last = None;
    for text in &texts[..20] {
        let entry = spool.read().expect("it can be read").expect("an entry");
        assert_eq!(entry.bytes, text.as_bytes());
        assert!(last < Some(entry.position));
        last = Some(entry.position);
    }
    spool.acknowledge(last.expect("a position"));
    assert_eq!((spool.entries(), spool.unread()), (30, 30));
    spool.close().expect("it closes");
    let mut spool = open(&directory);
    assert_eq!(spool.entries(), 30);
    assert_eq!(read_all(&mut spool), texts[20..]);
}

/// Opens a spool with entries of ten bytes that have these numbers.
fn with_entries(directory: &TempDir, numbers: std::ops::Range<u32>) -> Spool {
    let mut spool = open(directory);
    for text in texts(numbers) {
        spool.append(text.as_bytes()).expect("there is room");
    }
    spool
}

fn texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("entry {number:04}")).collect()
}

fn segment_path(directory: &TempDir, number: u64) -> PathBuf {
    let spool = options(directory.path()).directory;
    spool.join(segment::file_name(number))
}

/// The names of the files there are.
fn files(directory: &TempDir) -> Vec<String> {
    let mut names = Disk
        .list(&options(directory.path()).directory)
        .expect("a directory");
    names.sort_unstable();
    names
}

#[test]
fn the_format_is_as_documented() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    spool.append(b"one").expect("there is room");
    spool.append(b"").expect("there is room");
    let mut expected = b"miffySPL\x01\0\0\0\0\0\0\0".to_vec();
    let sum = |bytes: &[u8], seed| xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed);
    expected.extend(sum(&expected, 1).to_le_bytes());
    for (index, bytes) in [(0_u8, &b"one"[..]), (1, b"")] {
        let length = u8::try_from(bytes.len()).expect("a length");
        let head = [length, 0, 0, 0, index, 0, 0, 0];
        expected.extend(head);
        expected.extend(sum(&head, 1).to_le_bytes());
        expected.extend(sum(bytes, sum(&head, 1)).to_le_bytes());
        expected.extend(bytes);
    }
    assert_eq!(
        fs::read(segment_path(&directory, 1)).expect("a file"),
        expected
    );
    assert_eq!(spool.bytes(), expected.len() as u64);
}

#[test]
fn one_process_has_a_spool() {
    let directory = TempDir::new().expect("a directory");
    let spool = open(&directory);
    let second = Spool::open(options(directory.path()));
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    drop(spool);
    open(&directory);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_a_spool() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().expect("a directory");
    let mut spool = with_entries(&directory, 0..1);
    let entry = spool.read().expect("it can be read").expect("an entry");
    spool.append(b"two").expect("there is room");
    spool.acknowledge(entry.position);
    spool.close().expect("it closes");
    let path = options(directory.path()).directory;
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&path), 0o700);
    let names = files(&directory);
    assert_eq!(names, ["00000000000000000001.spool", "cursor", "lock"]);
    for name in names {
        assert_eq!(mode(&path.join(name)), 0o600);
    }
}

#[test]
fn a_full_spool_takes_nothing_or_gives_up_the_oldest_segment() {
    let directory = TempDir::new().expect("a directory");
    // Two segments of three entries each.
    let mut options = Options {
        max_bytes: 2 * segment_of(3, 10),
        segment_bytes: segment_of(3, 10),
        ..options(directory.path())
    };
    let mut spool = Spool::open(options.clone()).expect("it opens");
    for text in texts(0..6) {
        spool.append(text.as_bytes()).expect("there is room");
    }
    let full = spool.append(b"entry 0006");
    assert!(matches!(full, Err(AppendError::Full)), "{full:?}");
    assert_eq!((spool.entries(), spool.bytes()), (6, options.max_bytes));
    drop(spool);

    options.when_full = WhenFull::DropOld;
    let mut spool = Spool::open(options.clone()).expect("it opens");
    let entry = spool.read().expect("it can be read").expect("an entry");
    spool.append(b"entry 0006").expect("there is room");
    let up_to = Position {
        segment: entry.position.segment,
        index: 2,
    };
    assert_eq!(spool.take_dropped(), Some(Dropped { unread: 2, up_to }));
    assert_eq!((spool.entries(), spool.unread()), (4, 4));
    assert_eq!(read_all(&mut spool), texts(3..7));
    // The one that is written to gives way if there is no other.
    let large = vec![b'x'; usize::try_from(options.max_bytes - HEADER - HEAD).expect("a size")];
    let position = spool.append(&large).expect("there is room");
    let up_to = Position {
        segment: position.segment - 1,
        index: 0,
    };
    assert_eq!(spool.take_dropped(), Some(Dropped { unread: 0, up_to }));
    assert_eq!((spool.entries(), spool.bytes()), (1, options.max_bytes));
    let too_large = spool.append(&[large, vec![0]].concat());
    assert!(
        matches!(too_large, Err(AppendError::TooLarge)),
        "{too_large:?}"
    );
}

#[test]
fn an_empty_spool_has_no_segment_and_numbers_go_on() {
    let directory = TempDir::new().expect("a directory");
    let mut last = None;
    for _ in 0..3 {
        let mut spool = with_entries(&directory, 0..3);
        assert_eq!(read_all(&mut spool), texts(0..3));
        let position = spool.append(b"the last").expect("there is room");
        assert!(last < Some(position));
        last = Some(position);
        spool.skip_unread();
        assert_eq!((spool.entries(), spool.unread()), (4, 0));
        spool.acknowledge(position);
        spool.cursor_every = Duration::ZERO;
        spool.commit().expect("committed");
        assert_eq!((spool.entries(), spool.bytes()), (0, 0));
        assert_eq!(files(&directory), ["cursor", "lock"]);
    }
}

#[test]
fn without_a_cursor_everything_comes_again() {
    let directory = TempDir::new().expect("a directory");
    let cursor = options(directory.path()).directory.join(cursor::FILE);
    let mut spool = with_entries(&directory, 0..4);
    let entry = spool.read().expect("it can be read").expect("an entry");
    spool.acknowledge(entry.position);
    spool.close().expect("it closes");
    let mut bytes = fs::read(&cursor).expect("a file");
    assert_eq!(read_all(&mut open(&directory)), texts(1..4));
    bytes[16] ^= 1;
    fs::write(&cursor, &bytes).expect("written");
    assert_eq!(read_all(&mut open(&directory)), texts(0..4));
    fs::write(&cursor, &bytes[..10]).expect("written");
    assert_eq!(read_all(&mut open(&directory)), texts(0..4));
    fs::remove_file(&cursor).expect("removed");
    assert_eq!(read_all(&mut open(&directory)), texts(0..4));
}

#[test]
fn files_of_others_stay_and_temporary_ones_do_not() {
    let directory = TempDir::new().expect("a directory");
    let path = options(directory.path()).directory;
    drop(with_entries(&directory, 0..1));
    let others = [
        "1.spool",
        "00000000000000000000.spool",
        "99999999999999999999.spool",
        "notes",
    ];
    for name in others.iter().chain(&[cursor::TEMPORARY]) {
        fs::write(path.join(name), "something").expect("written");
    }
    assert_eq!(read_all(&mut open(&directory)), texts(0..1));
    let names = files(&directory);
    assert!(
        others
            .iter()
            .all(|name| names.iter().any(|other| other == name)),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name == cursor::TEMPORARY),
        "{names:?}"
    );
}

#[test]
fn a_newer_version_is_refused_and_left_as_it_is() {
    let directory = TempDir::new().expect("a directory");
    let path = options(directory.path()).directory;
    drop(with_entries(&directory, 0..4));
    let newer = [&segment::header_of_version(9, 2)[..], b"what may come"].concat();
    fs::write(segment_path(&directory, 9), &newer).expect("written");
    let before = files(&directory);
    let error = Spool::open(options(directory.path())).expect_err("a newer version");
    assert!(
        error.to_string().contains("00000000000000000009.spool: "),
        "{error}"
    );
    assert!(error.to_string().contains("version 2"), "{error}");
    assert_eq!(files(&directory), before);
    assert_eq!(
        fs::read(segment_path(&directory, 9)).expect("a file"),
        newer
    );

    fs::remove_file(segment_path(&directory, 9)).expect("removed");
    let newer = Cursor::START.bytes(2);
    fs::write(path.join(cursor::FILE), newer).expect("written");
    let error = Spool::open(options(directory.path())).expect_err("a newer version");
    assert!(error.to_string().contains("cursor: "), "{error}");
    assert_eq!(fs::read(path.join(cursor::FILE)).expect("a file"), newer);
}
