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
use miffy::compare::{Bodies, Difference, Differences, Hashed, Head, Kind, Rules, Shown, compare};
use miffy::content::{Body, Media, charset};
use miffy::redact::Redaction;
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
    let rules = Rules {
        max_differences: max,
        ..Rules::default()
    };
    let nothing = Redaction::nothing();
    let compared = |(head_a, a): (Head<'_>, &[u8]), (head_b, b): (Head<'_>, &[u8])| {
        let body_a = Body::new(head_a.headers, a, rules.limits);
        let body_b = Body::new(head_b.headers, b, rules.limits);
        let bodies = if is_hashed {
            Bodies::Hashed(hashed(a), hashed(b))
        } else {
            Bodies::Whole(&body_a, &body_b)
        };
        compare(head_a, head_b, bodies, &rules, None, &nothing).differences
    };

    assert_eq!(compared((head_a, a), (head_a, a)).total(), 0);
    let there = compared((head_a, a), (head_b, b));
    let back = compared((head_b, b), (head_a, a));
    check_list(&there, max);
    check_list(&back, max);
    assert_eq!(there.total(), back.total());
    if there.list().len() == there.total() && back.list().len() == back.total() {
        check_swapped(&there, &back);
    }

    let of_heads = |path: &str| path == "status" || path.starts_with("header:");
    let heads = there.classes().filter(|(at, ..)| of_heads(at));
    let bodies_differ = there.total() - heads.map(|(_, _, number)| number).sum::<usize>();
    let media = [Media::of(&headers_a), Media::of(&headers_b)];
    if is_hashed {
        let documents = media
            .map(|it| matches!(it, Media::Json | Media::JsonLines | Media::Events).then_some(it));
        let is_other_type = documents[0] != documents[1] && !(a.is_empty() && b.is_empty());
        assert_eq!(bodies_differ, usize::from(a != b || is_other_type));
        return;
    }
    let is_of_parts = |it: &Media| matches!(it, Media::JsonLines | Media::Events);
    let is_utf8 = |headers, body: &[u8]| {
        charset(headers).is_none()
            && ![&b"\xef\xbb"[..], b"\xfe\xff", b"\xff\xfe"]
                .iter()
                .any(|mark| body.starts_with(mark))
    };
    if media.iter().any(is_of_parts) || !is_utf8(&headers_a, a) || !is_utf8(&headers_b, b) {
        // Another text may mean the same.
        return;
    }
    let read = |headers, body| {
        if Media::of(headers) == Media::Json {
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
        (None, None) => assert_eq!(bodies_differ > 0, a != b),
        _ => assert!(bodies_differ > 0),
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
            Kind::Changed | Kind::TypeChanged | Kind::Reordered | Kind::Length => {
                assert_eq!(sides, (true, true));
            }
        }
    }
    assert!(size <= MAX_LISTED);
}

/// The other way round, values and paths change sides, and nothing else.
fn check_swapped(there: &Differences, back: &Differences) {
    let shown = |value: &Option<Shown>| value.as_ref().map(|shown| shown.as_json().to_owned());
    let swapped = |kind| match kind {
        Kind::Missing => Kind::Unexpected,
        Kind::Unexpected => Kind::Missing,
        other => other,
    };
    let told = |it: &Difference| {
        let other = it.candidate_path.as_ref().unwrap_or(&it.path);
        let paths = [it.path.clone(), other.clone()];
        let values = [shown(&it.reference), shown(&it.candidate)];
        (paths, it.kind, it.offset, values)
    };
    let mut there: Vec<_> = there.list().iter().map(told).collect();
    let back = back.list().iter().map(told);
    let mut back: Vec<_> = back
        .map(|(mut paths, kind, offset, mut values)| {
            paths.reverse();
            values.reverse();
            (paths, swapped(kind), offset, values)
        })
        .collect();
    there.sort();
    back.sort();
    assert_eq!(there, back);
}

/// A difference's path leads to the values that it shows.
fn check_places(differences: &Differences, a: &Tree<'_>, b: &Tree<'_>) {
    for difference in differences.list() {
        let path = &difference.path;
        let there = difference.candidate_path.as_ref().unwrap_or(path);
        if !(path.is_empty() || path.starts_with('/'))
            || path.ends_with('…')
            || there.ends_with('…')
        {
            continue;
        }
        let sides = [
            (a, path, &difference.reference),
            (b, there, &difference.candidate),
        ];
        for (tree, path, shown) in sides {
            let Some(shown) = shown else {
                continue;
            };
            let found = tree.at(path);
            assert!(!found.is_empty(), "{path} leads nowhere");
            let is_it = |found: &&Tree<'_>| {
                found.text.len() > 256 || found.text.replace(['\n', '\r'], "") == shown.as_json()
            };
            assert!(found.iter().any(is_it), "{path} leads elsewhere");
        }
    }
}
