//! What comparing costs with bodies that are made to cost much.

use std::time::{Duration, Instant};

use super::*;

/// Nothing takes so long that grows with its size, on however busy a machine; what grows with its square takes
/// many minutes.
const PATIENCE: Duration = Duration::from_mins(1);

fn joined(items: impl Iterator<Item = impl ToString>, between: &str) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    items.join(between)
}

fn array(items: impl Iterator<Item = impl ToString>) -> String {
    format!("[{}]", joined(items, ","))
}

fn object(members: impl Iterator<Item = (String, usize)>) -> String {
    let members = members.map(|(key, value)| format!("\"{key}\":{value}"));
    format!("{{{}}}", joined(members, ","))
}

/// Numbers below a bound in no order, always the same ones.
fn scattered(below: usize) -> impl Fn(usize) -> usize {
    move |index| {
        let spread = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        usize::try_from(spread).unwrap_or_default() % below
    }
}

fn is_quick(what: &str, a: &str, b: &str, rules: &[(&str, Action)]) {
    let start = Instant::now();
    let _found = by_rules(rules, a, b);
    let took = start.elapsed();
    assert!(took < PATIENCE, "{what}: {took:?}");
}

/// Items, or lines, or keys.
const MANY: usize = 20_000;

#[test]
fn items_that_changed_places() {
    let n = MANY;
    // A quarter of the items, each with its opposite.
    let swapped = |i: usize| match i % 8 {
        0 => (i + n / 2) % n,
        _ => i,
    };
    is_quick("swapped", &array(0..n), &array((0..n).map(swapped)), &[]);
}

#[test]
fn items_that_are_all_different() {
    let n = MANY;
    is_quick("all different", &array(0..n), &array(n..2 * n), &[]);
    is_quick(
        "all different, one more",
        &array(0..n),
        &array(n..=2 * n),
        &[],
    );
}

#[test]
fn items_in_another_order() {
    let n = MANY;
    let s = scattered(n);
    is_quick("shuffled", &array(0..n), &array((0..n).map(&s)), &[]);
    for below in [2, 10, 1000] {
        let s = scattered(below);
        is_quick(
            &format!("small scalars {below}"),
            &array((0..n).map(&s)),
            &array((0..n).map(|i| s(i + n))),
            &[],
        );
    }
    let set: Action = Action::Arrays("set".parse().expect("a mode"));
    is_quick(
        "shuffled set",
        &array(0..n),
        &array((0..n).map(&s)),
        &[("", set)],
    );
    is_quick("reversed", &array(0..n), &array((0..n).rev()), &[]);
}

#[test]
fn objects_with_many_keys() {
    let n = MANY;
    let key = |i| (format!("k{i}"), i);
    is_quick(
        "reversed keys",
        &object((0..n).map(key)),
        &object((0..n).rev().map(key)),
        &[],
    );
    is_quick(
        "repeated keys",
        &object((0..n).map(|i| ("a".into(), i))),
        &object((1..n).map(|i| ("a".into(), i))),
        &[],
    );
    let n = n / 64;
    let wide = |at: usize| object((0..n).map(move |i| (format!("k{i}"), i + at)));
    let rev = |at: usize| object((0..n).rev().map(move |i| (format!("k{i}"), i + at)));
    is_quick(
        "wide objects in a gap",
        &array((0..63).map(wide)),
        &array((100..164).map(rev)),
        &[],
    );
    is_quick(
        "wide objects in a set",
        &array((0..63).map(wide)),
        &array((100..164).map(rev)),
        &[("", Action::Arrays("set".parse().expect("a mode")))],
    );
}

#[test]
fn many_gaps() {
    let n = MANY;
    // Every 63rd against every 64th item stays.
    let item = |i: usize, k: usize, every: usize| {
        if i.is_multiple_of(every) {
            format!("{{\"id\":{}}}", i / every)
        } else {
            format!(
                "{{\"a\":{i},\"b\":{},\"c\":{},\"d\":{},\"e\":{}}}",
                i + k,
                i * 3,
                i * 7,
                i * k
            )
        }
    };
    is_quick(
        "gaps",
        &array((0..n / 10).map(|i| item(i, 1, 63))),
        &array((0..n / 10).map(|i| item(i, 2, 64))),
        &[],
    );
}

#[test]
fn arrays_in_arrays() {
    let n = MANY;
    let nest = |last: &str| {
        (0..100).fold(last.to_owned(), |inner, i| {
            let before = array((0..n / 1000).map(|k| k + i));
            format!("[{before},{inner},{i}]")
        })
    };
    let nest2 = |last: &str| {
        (0..100).fold(last.to_owned(), |inner, i| {
            let before = array((0..n / 1000).map(|k| k + i));
            format!("[{i}{i},{before},{inner},{i}]")
        })
    };
    is_quick("nested", &nest("1"), &nest("2"), &[]);
    is_quick("nested inserts", &nest("1"), &nest2("2"), &[]);
    let big = array(0..n);
    let big2 = array(1..n);
    is_quick("nested big", &nest(&big), &nest2(&big2), &[]);
}

#[test]
fn many_patterns_that_lead_anywhere() {
    let n = MANY;
    let rules: Vec<(String, Action)> = (0..50)
        .map(|i| (format!("/**/x{i}/**/y/**/z"), Action::Ignore))
        .collect();
    let rules: Vec<(&str, Action)> = rules.iter().map(|(p, a)| (p.as_str(), a.clone())).collect();
    let item = |i: usize| format!("{{\"x1\":{{\"y\":{i}}}}}");
    is_quick(
        "patterns",
        &array((0..n / 10).map(item)),
        &array((0..n / 10).map(|i| item(i + 1))),
        &rules,
    );
}

#[test]
fn many_and_long_lines() {
    let n = MANY;
    let s = scattered(n);
    let text = |a: &str, b: &str, what: &str| {
        let start = Instant::now();
        let _found = of_types((TEXT, a.as_bytes()), (TEXT, b.as_bytes()));
        assert!(start.elapsed() < PATIENCE, "{what}");
    };
    text(
        &joined(0..n, "\n"),
        &joined((0..n).map(&s), "\n"),
        "shuffled lines",
    );
    text(&joined(0..n, "\n"), &joined(n..=2 * n, "\n"), "other lines");
    let long = |k: usize, count: usize| {
        joined(
            (0..count).map(|i| format!("{}{}{}", "x".repeat(n / 2), i + k, "y".repeat(n / 2))),
            "\n",
        )
    };
    text(&long(0, 63), &long(100, 64), "long lines");
}
