//! Tests of the file of records, on a real file system.

mod rotation;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::config::Compression;
use crate::delivery::testing::{Told, record};

/// A directory, and the settings of a file in it.
struct Place {
    directory: TempDir,
    settings: config::File,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = config::File {
            key: "file.path".to_owned(),
            path: directory.path().join("records.jsonl"),
            max_size: 1024,
            max_files: 10,
            compression: None,
        };
        Self {
            directory,
            settings,
        }
    }

    fn with(mut self, max_files: usize, compression: Option<Compression>) -> Self {
        self.settings.max_files = max_files;
        self.settings.compression = compression;
        self
    }

    fn sink(&self) -> (FileSink, Told) {
        let told = Told::default();
        let sink = FileSink::new(self.settings.clone(), told.reports()).unwrap();
        (sink, told)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.settings.path).unwrap()
    }

    /// The names of all files but the one that is written to, sorted.
    fn others(&self) -> Vec<String> {
        let names = fs::read_dir(&self.directory).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "records.jsonl").collect();
        names.sort();
        names
    }

    /// What all files hold, the oldest first, compressed or not.
    fn everything(&self) -> String {
        let mut text = String::new();
        for name in self.others() {
            let file = fs::File::open(self.path(&name)).unwrap();
            let read = match name.rsplit('.').next().unwrap() {
                "gz" => flate2::read::GzDecoder::new(file).read_to_string(&mut text),
                "zst" => zstd::stream::read::Decoder::new(file)
                    .unwrap()
                    .read_to_string(&mut text),
                _ => { file }.read_to_string(&mut text),
            };
            read.unwrap();
        }
        text + &self.text()
    }
}

/// Sends records of 100 bytes, with the line's end, that are numbered from here on; they are written.
fn send(sink: &mut FileSink, numbers: std::ops::Range<u64>) -> String {
    let mut text = String::new();
    for number in numbers {
        let line = format!("{number:0>99}");
        sink.send(number, &record(&line)).unwrap();
        text.push_str(&line);
        text.push('\n');
    }
    sink.flush(false);
    text
}

#[test]
fn records_are_lines_and_told_when_they_are_written() {
    let place = Place::new();
    let (mut sink, told) = place.sink();
    sink.send(1, &record("{\"a\":1}")).unwrap();
    sink.send(2, &record("{\"b\":2}")).unwrap();
    assert!(told.take().is_empty() && place.text().is_empty());
    sink.flush(false);
    assert_eq!(place.text(), "{\"a\":1}\n{\"b\":2}\n");
    assert_eq!(told.take(), [(1, Ok(())), (2, Ok(()))]);
    let mode = fs::metadata(&place.settings.path).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_full_buffer_does_not_wait() {
    let mut place = Place::new();
    place.settings.max_size = 1 << 20;
    let (mut sink, told) = place.sink();
    let long = "x".repeat(40_000);
    sink.send(1, &record(&long)).unwrap();
    assert!(told.take().is_empty());
    sink.send(2, &record(&long)).unwrap();
    assert_eq!(told.take(), [(1, Ok(())), (2, Ok(()))]);
}

#[test]
fn a_start_goes_on_behind_what_is_there() {
    let place = Place::new();
    place.write("records.jsonl", "old\n");
    let (mut sink, _) = place.sink();
    sink.send(1, &record("new")).unwrap();
    sink.flush(false);
    assert_eq!(place.text(), "old\nnew\n");
}

#[test]
fn a_torn_tail_is_cut() {
    let long = "x".repeat(200_000);
    for (before, after) in [
        ("", ""),
        ("whole\n", "whole\n"),
        ("whole\ntorn", "whole\n"),
        ("torn", ""),
        (&format!("whole\n{long}"), "whole\n"),
        (&format!("{long}\nto"), &format!("{long}\n")),
        (&long, ""),
    ] {
        let place = Place::new();
        place.write("records.jsonl", before);
        drop(place.sink());
        assert!(place.text() == after, "{} bytes", before.len());
    }
}

#[test]
fn a_start_fails_with_the_name_of_the_key() {
    let fails = |path: PathBuf| {
        let settings = config::File {
            path,
            ..Place::new().settings
        };
        let error = FileSink::new(settings, Told::default().reports()).err();
        error.unwrap().to_string()
    };
    let place = Place::new();
    let wrong = fails(place.path("none/records.jsonl"));
    assert!(
        wrong.starts_with("file.path: ") && wrong.contains("No such file"),
        "{wrong}"
    );
    let wrong = fails(place.directory.path().to_owned());
    assert!(wrong.contains("Is a directory"), "{wrong}");
    let wrong = fails(PathBuf::from("/dev/null"));
    assert!(wrong.contains("is no regular file"), "{wrong}");
    let (_sink, _) = place.sink();
    let wrong = fails(place.settings.path.clone());
    assert!(wrong.contains("is in use by another process"), "{wrong}");
}

/// A disk that takes so many bytes, and may refuse to cut them.
struct Small {
    bytes: std::cell::RefCell<Vec<u8>>,
    room: usize,
    cuts: bool,
}

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.bytes.get_mut().extend_from_slice(&bytes[..taken]);
        if taken == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for Small {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.borrow().len() as u64)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        if !self.cuts {
            return Err(ErrorKind::Other.into());
        }
        let length = usize::try_from(length).unwrap();
        self.bytes.borrow_mut().truncate(length);
        Ok(())
    }
}

#[test]
fn of_lines_that_do_not_fit_the_whole_ones_stay_and_are_told() {
    let problem = problem(Path::new("f"), &ErrorKind::StorageFull.into());
    assert_eq!(problem.remedy, Some("make room on the disk"));
    for (room, whole) in [
        (0, 0),
        (1, 0),
        (4, 0),
        (5, 1),
        (7, 1),
        (10, 2),
        (14, 2),
        (15, 3),
    ] {
        for cuts in [true, false] {
            let mut lines = Lines::default();
            for ticket in 0..3 {
                lines.push(ticket, &record("four"));
            }
            let mut disk = Small {
                bytes: b"old\n".to_vec().into(),
                room,
                cuts,
            };
            let written = match append(&mut disk, &lines) {
                Ok(length) => {
                    assert_eq!((length, room), (19, 15));
                    15
                }
                Err(broken) => broken.written,
            };
            assert_eq!(written, room);
            let kept = if cuts { 5 * whole } else { room };
            let expected = &b"old\nfour\nfour\nfour\n"[..4 + kept];
            assert_eq!(*disk.bytes.borrow(), expected, "{room}");
            let told = Told::default();
            lines.tell_broken(written, &problem, &told.reports());
            let told = told.take();
            let tickets: Vec<u64> = told.iter().map(|(ticket, _)| *ticket).collect();
            assert_eq!(tickets, [0, 1, 2]);
            let failure = Err(Failure::Sink(problem.clone()));
            for (n, (_, told)) in told.into_iter().enumerate() {
                assert_eq!(told, if n < whole { Ok(()) } else { failure.clone() });
            }
        }
    }
}

/// Puts a file that can't be written in place of the sink's.
fn break_file(sink: &mut FileSink) {
    let length = sink.file.as_ref().ok().unwrap().length;
    let file = File::open(&sink.settings.path).unwrap();
    sink.file = Ok(Open { file, length });
}

#[test]
fn a_failure_is_told_of_all_that_waited_and_ends_when_the_sink_is_renewed() {
    let place = Place::new();
    let (mut sink, told) = place.sink();
    let text = send(&mut sink, 0..2);
    told.take();
    break_file(&mut sink);
    sink.send(2, &record("c")).unwrap();
    sink.send(3, &record("d")).unwrap();
    sink.recall();
    let failures = told.take();
    let [(2, Err(Failure::Sink(problem))), (3, Err(_))] = &failures[..] else {
        panic!("{failures:?}");
    };
    assert!(problem.reason.contains("records.jsonl can't be written: "));
    assert_eq!(
        sink.send(4, &record("e")),
        Err(Refused::Failed(Failure::Sink(problem.clone())))
    );
    sink.flush(false);
    sink.tick();
    assert!(told.take().is_empty());
    // What could not be cut then is cut now.
    fs::write(&place.settings.path, format!("{text}tor")).unwrap();
    sink.renew().unwrap();
    let text = text + &send(&mut sink, 2..4);
    assert_eq!(place.text(), text);
    assert_eq!(told.take(), [(2, Ok(())), (3, Ok(()))]);
}

#[test]
fn a_directory_that_is_gone_is_a_problem_with_its_remedy_until_it_is_back() {
    let place = Place::new();
    let (mut sink, told) = place.sink();
    fs::remove_dir_all(&place.directory).unwrap();
    sink.tick();
    let Err(Refused::Failed(Failure::Sink(problem))) = sink.send(1, &record("a")) else {
        panic!("it was taken");
    };
    assert_eq!(problem.remedy, Some("make its directory"));
    assert_eq!(sink.renew(), Err(problem));
    fs::create_dir(&place.directory).unwrap();
    sink.renew().unwrap();
    let text = send(&mut sink, 1..2);
    assert_eq!(place.text(), text);
    assert_eq!(told.take(), [(1, Ok(()))]);
}

#[test]
fn a_file_that_was_moved_or_removed_is_made_anew() {
    let place = Place::new();
    let (mut sink, told) = place.sink();
    let first = send(&mut sink, 0..1);
    fs::rename(&place.settings.path, place.path("moved")).unwrap();
    sink.tick();
    assert_eq!(place.text(), "");
    let second = send(&mut sink, 1..2);
    assert_eq!(fs::read_to_string(place.path("moved")).unwrap(), first);
    assert_eq!(place.text(), second);
    // What comes before the next look is not written to what nobody may ever read.
    fs::remove_file(&place.settings.path).unwrap();
    told.take();
    let third = send(&mut sink, 2..3);
    assert_eq!(told.take(), [(2, Ok(()))]);
    assert_eq!(place.text(), third);
    // Another one that took its place, too.
    fs::remove_file(&place.settings.path).unwrap();
    place.write("records.jsonl", "others\n");
    let fourth = send(&mut sink, 3..4);
    assert_eq!(place.text(), format!("others\n{fourth}"));
    // One that is where it was stays open.
    sink.send(5, &record("f")).unwrap();
    told.take();
    sink.tick();
    assert!(told.take().is_empty());
}

#[test]
fn a_file_that_was_emptied_is_written_from_its_start() {
    let place = Place::new();
    let (mut sink, _) = place.sink();
    send(&mut sink, 0..9);
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&place.settings.path)
        .unwrap();
    // The first is written for the second to be known of.
    let text = send(&mut sink, 0..1) + &send(&mut sink, 1..9);
    assert_eq!(place.text(), text);
    assert_eq!(place.others(), [""; 0]);
}
