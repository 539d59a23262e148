//! Tests of rotated files.

use super::*;

/// Ends the sink when its thread has done everything.
fn settle(mut sink: FileSink) {
    std::mem::replace(&mut sink.tidier, Tidier::idle()).finish();
}

#[test]
fn a_file_is_rotated_before_a_line_would_take_it_over_its_size() {
    let place = Place::new();
    let (mut sink, told) = place.sink();
    let text = send(&mut sink, 0..25);
    assert_eq!(told.take().len(), 25);
    assert_eq!(place.text().len(), 500);
    let others = place.others();
    assert_eq!(others.len(), 2, "{others:?}");
    for name in &others {
        assert_eq!(fs::metadata(place.path(name)).unwrap().len(), 1000);
    }
    assert_eq!(place.everything(), text);
    let long = "x".repeat(5000);
    sink.send(25, &record(&long)).unwrap();
    sink.send(26, &record("after")).unwrap();
    sink.flush(false);
    assert_eq!(place.text(), "after\n");
    assert_eq!(place.everything(), text + &long + "\nafter\n");
}

#[test]
fn a_file_that_was_full_when_it_was_left_is_rotated() {
    let place = Place::new();
    place.write("records.jsonl", &("x".repeat(2000) + "\n"));
    let (mut sink, _) = place.sink();
    let text = send(&mut sink, 0..1);
    assert_eq!(place.text(), text);
    assert_eq!(place.others().len(), 1);
}

#[test]
fn somebody_elses_file_is_not_rotated() {
    let place = Place::new();
    let (mut sink, _) = place.sink();
    send(&mut sink, 0..10);
    fs::remove_file(&place.settings.path).unwrap();
    place.write("records.jsonl", "others\n");
    let text = send(&mut sink, 10..11);
    assert_eq!(place.text(), format!("others\n{text}"));
    assert_eq!(place.others(), [""; 0]);
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_rotated() {
    let mut place = Place::new();
    let link = place.path("link");
    place.write("records.jsonl", "");
    std::os::unix::fs::symlink("records.jsonl", &link).unwrap();
    place.settings.path = link.clone();
    let (mut sink, _) = place.sink();
    let text = send(&mut sink, 0..11);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&link).unwrap(), text[1000..]);
}

#[test]
fn rotated_files_are_compressed_and_hold_what_was_written() {
    for (compression, ending) in [(Compression::Gzip, ".gz"), (Compression::Zstd, ".zst")] {
        let place = Place::new().with(10, Some(compression));
        let (mut sink, _) = place.sink();
        let text = send(&mut sink, 0..35);
        settle(sink);
        let others = place.others();
        assert_eq!(others.len(), 3, "{others:?}");
        for name in &others {
            assert!(name.ends_with(ending), "{name}");
            let mode = fs::metadata(place.path(name)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
        assert_eq!(place.everything(), text);
    }
}

#[test]
fn only_so_many_rotated_files_are_kept_and_the_oldest_go() {
    let place = Place::new().with(2, Some(Compression::Gzip));
    place.write("records.jsonl.20010101T000000.000Z.zst", "oldest");
    place.write("records.jsonl.20010101T000000.001Z", "old");
    place.write("records.jsonl.backup", "not ours");
    let (mut sink, _) = place.sink();
    let text = send(&mut sink, 0..45);
    settle(sink);
    let kept = place.others();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(kept[2], "records.jsonl.backup");
    fs::remove_file(place.path("records.jsonl.backup")).unwrap();
    assert_eq!(place.everything(), text[2000..]);
}

#[test]
fn what_a_crash_left_is_taken_up_at_the_next_start() {
    let place = Place::new().with(10, Some(Compression::Gzip));
    // Not yet compressed; on its way; done, but for the original.
    place.write("records.jsonl.20260101T000000.000Z", "a\n");
    place.write("records.jsonl.20260102T000000.000Z", "b\n");
    place.write("records.jsonl.20260102T000000.000Z.gz.tmp", "torn");
    place.write("records.jsonl.20260103T000000.000Z", "c\n");
    let whole = "records.jsonl.20260103T000000.000Z.zst";
    let compressed = zstd::encode_all(&b"c\n"[..], 0).unwrap();
    fs::write(place.path(whole), compressed).unwrap();
    let (sink, _) = place.sink();
    settle(sink);
    let expected = [
        "records.jsonl.20260101T000000.000Z.gz",
        "records.jsonl.20260102T000000.000Z.gz",
        whole,
    ];
    assert_eq!(place.others(), expected);
    assert_eq!(place.everything(), "a\nb\nc\n");
}

#[test]
fn a_file_that_can_not_be_compressed_stays_as_it_is() {
    let place = Place::new().with(10, Some(Compression::Gzip));
    let name = "records.jsonl.20260101T000000.000Z";
    place.write(name, "a\n");
    // The name that it is to have is taken.
    fs::create_dir(place.path(&format!("{name}.gz.tmp"))).unwrap();
    let (sink, _) = place.sink();
    settle(sink);
    assert_eq!(fs::read_to_string(place.path(name)).unwrap(), "a\n");
}

#[test]
fn a_file_that_can_not_be_rotated_refuses_the_record_and_loses_nothing() {
    let place = Place::new();
    let (mut sink, told) = place.sink();
    let text = send(&mut sink, 0..10);
    told.take();
    // Nothing can be renamed to the name of a directory.
    sink.last = Some(Stamp::parse("99981231T235959.998Z").unwrap());
    let taken = place.path("records.jsonl.99981231T235959.999Z");
    fs::create_dir(&taken).unwrap();
    assert!(matches!(
        sink.send(10, &record(&"x".repeat(99))),
        Err(Refused::Failed(Failure::Sink(_)))
    ));
    fs::remove_dir(taken).unwrap();
    sink.renew().unwrap();
    let text = text + &send(&mut sink, 10..11);
    assert_eq!(place.everything(), text);
}

#[test]
fn names_go_up_whatever_the_clock_does() {
    let place = Place::new();
    let rotated = Rotated::of(&place.settings);
    place.write("records.jsonl.29991231T235959.999Z.gz", "");
    let mut last = rotated.last().unwrap();
    let names: Vec<String> = (0..3)
        .map(|_| {
            let path = rotated.next(&mut last);
            path.file_name().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    let expected =
        ["000Z", "001Z", "002Z"].map(|end| format!("records.jsonl.30000101T000000.{end}"));
    assert_eq!(names, expected);
    let mut last = None;
    let first = rotated.next(&mut last);
    assert!(rotated.next(&mut last) > first);
}

#[test]
fn only_whole_stamps_are_stamps() {
    let text = "20261122T013000.123Z";
    assert_eq!(Stamp::parse(text).unwrap().to_string(), text);
    for wrong in [
        "20261122T013000.123",
        "20261322T013000.123Z",
        "99991231T235959.999Z",
        "2026é122T013000.123Z",
        "",
    ] {
        assert_eq!(Stamp::parse(wrong), None, "{wrong}");
    }
}
