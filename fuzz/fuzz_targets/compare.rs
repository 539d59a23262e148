//! Two answers are alike or not, as a slower and simpler comparison says, and what is said of the differences
//! holds.
//!
//! The input is a byte of flags and one for how many differences are listed, both content types, and both
//! bodies.

#![no_main]

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use miffy::capture::Content;
use miffy::compare::{Bodies, Differences, Hashed, Head, Kind, Shown, compare, is_json};
use miffy_fuzz::sections;
use miffy_fuzz::tree::Tree;

/// All that a difference may hold.
const MAX_PATH: usize = 1024 + '…'.len_utf8();
const MAX_LISTED: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let [flags, type_a, type_b, a, b] = sections(data);
    let (flags, max) = match flags {
        [flags, max, ..] => (*flags, usize::from(*max)),
        [flags] => (*flags, 100),
        [] => (0, 100),
    };
    let (headers_a, headers_b) = (of_type(type_a), of_type(type_b));
    let status = |is_set| {
        if is_set {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        }
    };
    let head_a = Head {
        status: status(flags & 1 != 0),
        headers: &headers_a,
    };
    let head_b = Head {
        status: status(flags & 2 != 0),
        headers: &headers_b,
    };
    let is_hashed = flags & 4 != 0;
    let bodies = |a, b| {
        if is_hashed {
            Bodies::Hashed(hashed(a), hashed(b))
        } else {
            Bodies::Whole(a, b)
        }
    };

    assert_eq!(compare(head_a, head_a, bodies(a, a), max).total(), 0);
    let there = compare(head_a, head_b, bodies(a, b), max);
    let back = compare(head_b, head_a, bodies(b, a), max);
    check_list(&there, max);
    check_list(&back, max);
    assert_eq!(there.total(), back.total());
    if there.list().len() == there.total() && back.list().len() == back.total() {
        check_swapped(&there, &back);
    }

    let other_status = usize::from(head_a.status != head_b.status);
    let bodies_differ = there.total() - other_status;
    if is_hashed {
        let said = (is_json(&headers_a), is_json(&headers_b));
        let is_other_type = said.0 != said.1 && !(a.is_empty() && b.is_empty());
        assert_eq!(bodies_differ, usize::from(a != b || is_other_type));
        return;
    }
    let read = |headers, body| {
        if is_json(headers) {
            Tree::read(body)
        } else {
            None
        }
    };
    match (read(&headers_a, a), read(&headers_b, b)) {
        (Some(a), Some(b)) => {
            assert_eq!(bodies_differ == 0, a.meaning() == b.meaning());
            check_places(&there, &a, &b);
        }
        (None, None) => assert_eq!(bodies_differ, usize::from(a != b)),
        _ => assert_eq!(bodies_differ, 1),
    }
});

fn of_type(name: &[u8]) -> HeaderMap {
    let value = HeaderValue::from_bytes(name)
        .ok()
        .filter(|_| !name.is_empty());
    value
        .map(|value| (CONTENT_TYPE, value))
        .into_iter()
        .collect()
}

fn hashed(body: &[u8]) -> Hashed {
    Hashed {
        len: body.len() as u64,
        digest: Content::Whole(body.to_vec().into()).digest(),
    }
}

/// The list keeps its bounds, and every value in it is a line of JSON.
fn check_list(differences: &Differences, max: usize) {
    let list = differences.list();
    assert!(list.len() <= max.min(differences.total()));
    let mut size = 0;
    for difference in list {
        assert!(difference.path.len() <= MAX_PATH);
        size += difference.path.len();
        for shown in [&difference.reference, &difference.candidate]
            .into_iter()
            .flatten()
        {
            let json = shown.as_json();
            assert!(
                Tree::read(json.as_bytes()).is_some() && !json.contains(['\n', '\r']),
                "{json}"
            );
            size += json.len();
        }
        let sides = (
            difference.reference.is_some(),
            difference.candidate.is_some(),
        );
        match difference.kind {
            Kind::Missing => assert_eq!(sides, (true, false)),
            Kind::Unexpected => assert_eq!(sides, (false, true)),
            Kind::Changed | Kind::TypeChanged | Kind::Length => assert_eq!(sides, (true, true)),
        }
    }
    assert!(size <= MAX_LISTED);
}

/// The other way round, values change sides, and nothing else.
fn check_swapped(there: &Differences, back: &Differences) {
    let shown = |value: &Option<Shown>| value.as_ref().map(|shown| shown.as_json().to_owned());
    let mut there: Vec<_> = there
        .list()
        .iter()
        .map(|it| {
            (
                &it.path,
                it.kind.name(),
                it.offset,
                shown(&it.reference),
                shown(&it.candidate),
            )
        })
        .collect();
    let swapped = |kind| match kind {
        Kind::Missing => Kind::Unexpected,
        Kind::Unexpected => Kind::Missing,
        other => other,
    };
    let mut back: Vec<_> = back
        .list()
        .iter()
        .map(|it| {
            let kind = swapped(it.kind).name();
            (
                &it.path,
                kind,
                it.offset,
                shown(&it.candidate),
                shown(&it.reference),
            )
        })
        .collect();
    there.sort();
    back.sort();
    assert_eq!(there, back);
}

/// A difference's path leads to the values that it shows.
fn check_places(differences: &Differences, a: &Tree<'_>, b: &Tree<'_>) {
    for difference in differences.list() {
        if difference.path == "status" || difference.path.ends_with('…') {
            continue;
        }
        for (tree, shown) in [(a, &difference.reference), (b, &difference.candidate)] {
            let Some(shown) = shown else {
                continue;
            };
            let found = tree.at(&difference.path);
            assert!(!found.is_empty(), "{} leads nowhere", difference.path);
            let is_it = |found: &&Tree<'_>| {
                found.text.len() > 256 || found.text.replace(['\n', '\r'], "") == shown.as_json()
            };
            assert!(
                found.iter().any(is_it),
                "{} leads elsewhere",
                difference.path
            );
        }
    }
}
