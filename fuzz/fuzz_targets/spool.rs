//! Whatever is in a segment's file: a spool opens, yields nothing that was not written as an entry, in order, and keeps
//! what it can't read.
//!
//! The input tells how to make the file: parts, each a byte for its kind, one for its length, and its bytes.

#![no_main]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use miffy::spool::{Fsync, Options, Spool, WhenFull};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const NUMBER: u64 = 7;
const HEADER: usize = 24;

/// Of this process: several may run.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("miffy-fuzz-spool-{}", std::process::id());
    std::env::temp_dir().join(name)
});

fuzz_target!(|data: &[u8]| {
    let directory = &*DIRECTORY;
    let _result = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).expect("a directory");
    let file = file(data);
    let path = directory.join(format!("{NUMBER:020}.spool"));
    fs::write(&path, &file).expect("written");

    let entries = read(directory, &file);
    // What is there is as it was, but for a torn end, which is cut, and only a segment without entries is gone.
    let aside = path.with_extension("spool.corrupt");
    match (fs::read(&path), fs::read(&aside)) {
        (Ok(left), Err(_)) => assert!(file.starts_with(&left)),
        (Err(_), Ok(aside)) => assert_eq!((aside, entries.len()), (file.clone(), 0)),
        (Err(_), Err(_)) => assert!(entries.is_empty() && is_empty_segment(&file)),
        (Ok(_), Ok(_)) => panic!("it is there twice"),
    }
    assert_eq!(read(directory, &file), entries, "a second time");

    acknowledge(directory);
    assert!(!path.exists());
    if let Ok(aside) = fs::read(&aside) {
        assert_eq!(aside, file);
    }
});

/// The entries that a spool finds, all of which are in the file, with sums that are right, in their order.
fn read(directory: &Path, file: &[u8]) -> Vec<Vec<u8>> {
    let mut spool = open(directory);
    let count = spool.entries();
    assert_eq!(spool.unread(), count);
    let frames = frames(file);
    let mut entries = Vec::new();
    // Which of several that are alike it was, nobody knows: all places where it may have ended, with the next index.
    let mut places = BTreeSet::from([(0, 0)]);
    while let Some(entry) = spool.read().expect("the disk works") {
        let alike = frames.iter().filter(|frame| frame.bytes == entry.bytes);
        let next = alike.filter(|frame| {
            let mut places = places.iter();
            places.any(|(end, index)| frame.start >= *end && frame.index >= *index)
        });
        places = next
            .map(|frame| {
                let end = frame.start + 24 + frame.bytes.len();
                // The last one of all has no next, and is its own.
                (end, frame.index.saturating_add(1))
            })
            .collect();
        assert!(!places.is_empty(), "it is in the file");
        entries.push(entry.bytes);
    }
    assert_eq!((entries.len() as u64, spool.take_unreadable()), (count, 0));
    entries
}

/// An entry whose sums are right.
struct Frame<'a> {
    start: usize,
    index: u32,
    bytes: &'a [u8],
}

/// All entries in a file, wherever they are.
fn frames(file: &[u8]) -> Vec<Frame<'_>> {
    let frame_at = |start: usize| {
        let (head, rest) = file[start..].split_at_checked(24)?;
        let length = u32::from_le_bytes(*head.first_chunk()?);
        let index = u32::from_le_bytes(*head[4..].first_chunk()?);
        let bytes = rest.get(..usize::try_from(length).ok()?)?;
        let is_whole = file[start..].starts_with(&frame(index, bytes));
        is_whole.then_some(Frame {
            start,
            index,
            bytes,
        })
    };
    (0..file.len()).filter_map(frame_at).collect()
}

fn acknowledge(directory: &Path) {
    let mut spool = open(directory);
    let position = spool.append(b"the last").expect("there is room");
    spool.acknowledge(position);
    assert_eq!(spool.entries(), 0);
}

fn open(directory: &Path) -> Spool {
    let opened = Spool::open(Options {
        directory: directory.to_owned(),
        max_bytes: 1 << 20,
        segment_bytes: 1 << 16,
        when_full: WhenFull::DropNew,
        fsync: Fsync::Never,
    });
    opened.expect("it opens")
}

/// A header and no entry, or a part of a header; what follows may have been cut.
fn is_empty_segment(file: &[u8]) -> bool {
    let header = header();
    file.starts_with(&header) || header.starts_with(file)
}

fn header() -> Vec<u8> {
    let mut header = b"miffySPL\x01\0\0\0\0\0\0\0".to_vec();
    let sum = xxh3_64_with_seed(&header, NUMBER);
    header.extend(sum.to_le_bytes());
    assert_eq!(header.len(), HEADER);
    header
}

fn frame(index: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a length");
    let mut frame = [length.to_le_bytes(), index.to_le_bytes()].concat();
    let sum = xxh3_64_with_seed(&frame, NUMBER);
    frame.extend(sum.to_le_bytes());
    frame.extend(xxh3_64_with_seed(bytes, sum).to_le_bytes());
    frame.extend(bytes);
    frame
}

/// The file that an input describes.
fn file(data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut index = 0;
    let mut rest = data;
    while let [kind, length, more @ ..] = rest {
        let length = usize::from(*length).min(more.len());
        let (bytes, others) = more.split_at(length);
        rest = others;
        match kind % 8 {
            0 => file.extend(header()),
            1 | 2 => {
                file.extend(frame(index, bytes));
                index += 1;
            }
            // One that is lost.
            3 => index += 1,
            // Bytes that nobody wrote.
            4 => file.extend(bytes),
            // One that was cut short.
            5 => {
                let frame = frame(index, bytes);
                file.extend(&frame[..frame.len() - length.min(frame.len())]);
            }
            // One with a byte that turned.
            6 => {
                let mut frame = frame(index, bytes);
                let at = bytes.first().map_or(0, |at| usize::from(*at)) % frame.len();
                frame[at] ^= 1;
                file.extend(frame);
                index += 1;
            }
            // One of long ago.
            _ => file.extend(frame(index / 2, bytes)),
        }
    }
    file
}
