//! What comparing two JSON bodies costs, beside reading both with `serde_json`.
//!
//! ```text
//! cargo bench --bench compare                      everything, some two minutes
//! cargo bench --bench compare -- 5MB               what has "5MB" in its name
//! cargo bench --bench compare -- --sample-size 50  and whatever else criterion takes
//! ```
//!
//! Criterion measures; in the end there is a table of medians. A rate is of the bytes of both bodies. Both
//! ways end with nothing left: what they have allocated is given back within the time.
//!
//! # Layout
//!
//! - `document`: orders with items, always the same ones, and what becomes of them
//! - `report`: the table

#![expect(clippy::print_stdout, reason = "it prints a table")]

mod document;
mod report;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Bencher, BenchmarkId, Criterion, Throughput};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use miffy::compare::{Bodies, Comparison, Head, Rules, compare};
use miffy::content::Body;
use miffy::redact::Redaction;
use serde_json::Value;

use document::{Json, orders};
use report::{Report, Way};

/// Bytes of a document, at least.
const SIZES: [(&str, usize); 3] = [("1KB", 1000), ("100KB", 100_000), ("5MB", 5_000_000)];

/// How the candidate's document differs from the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// Not in a byte.
    Identical,
    /// Each object's members are the other way round; there is no difference.
    Respelt,
    /// In a few values, here and there.
    FewChanged,
    /// In every value.
    AllChanged,
    /// By one more order, before all others.
    Inserted,
    /// In the orders' order.
    Shuffled,
}

impl Variant {
    const ALL: [Self; 6] = [
        Self::Identical,
        Self::Respelt,
        Self::FewChanged,
        Self::AllChanged,
        Self::Inserted,
        Self::Shuffled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Respelt => "respelt",
            Self::FewChanged => "few_changed",
            Self::AllChanged => "all_changed",
            Self::Inserted => "inserted",
            Self::Shuffled => "shuffled",
        }
    }

    /// The candidate's text.
    fn of(self, orders: &[Json]) -> String {
        let mut orders = orders.to_vec();
        let changed = |mut document: Json, every: usize| {
            document.change(every, &mut 0);
            document.text()
        };
        match self {
            Self::Identical => document::list(orders).text(),
            Self::Respelt => {
                let mut document = document::list(orders);
                document.reverse_members();
                document.text()
            }
            Self::FewChanged => {
                // Three or so, whatever the size.
                let scalars = document::list(orders.clone()).scalars();
                changed(document::list(orders), scalars.div_ceil(3))
            }
            Self::AllChanged => changed(document::list(orders), 1),
            Self::Inserted => {
                orders.insert(0, document::order(999_999));
                document::list(orders).text()
            }
            Self::Shuffled => {
                document::shuffle(&mut orders);
                document::list(orders).text()
            }
        }
    }

    fn is_equal(self) -> bool {
        matches!(self, Self::Identical | Self::Respelt)
    }
}

/// The one call that is measured.
fn compared(by: &By, head: Head<'_>, a: &[u8], b: &[u8]) -> Comparison {
    let By { rules, redaction } = by;
    let body = |bytes| Body::new(head.headers, bytes, rules.limits);
    let (a, b) = (body(a), body(b));
    let bodies = Bodies::Whole(&a, &b);
    compare(head, head, bodies, rules, None, redaction)
}

/// What is there before the first request.
struct By {
    rules: Rules,
    redaction: Redaction,
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut report = Report::default();
    for (size, bytes) in SIZES {
        let orders = orders(bytes);
        let reference = document::list(orders.clone()).text();
        for variant in Variant::ALL {
            let candidate = variant.of(&orders);
            measure(
                &mut criterion,
                &mut report,
                (size, variant),
                (reference.as_bytes(), candidate.as_bytes()),
            );
        }
    }
    criterion.final_summary();
    print!("{report}");
}

/// Measures one pair in each way.
fn measure(
    criterion: &mut Criterion,
    report: &mut Report,
    (size, variant): (&'static str, Variant),
    (a, b): (&[u8], &[u8]),
) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let head = Head {
        status: StatusCode::OK,
        headers: &headers,
    };
    let by = By {
        rules: Rules::default(),
        redaction: Redaction::nothing(),
    };
    let total = compared(&by, head, a, b).differences.total();
    assert_eq!(total == 0, variant.is_equal(), "{size} {variant:?}");

    let bytes = a.len() + b.len();
    let row = report.row(size, variant.name(), bytes, total);
    let mut group = criterion.benchmark_group(format!("{size}/{}", variant.name()));
    group.throughput(Throughput::Bytes(bytes as u64));
    let mut run = |way: Way, work: &mut dyn FnMut()| {
        group.bench_function(BenchmarkId::from_parameter(way.name()), |bencher| {
            sample(bencher, work, |each| row.add(way, each));
        });
    };
    run(Way::Compare, &mut || {
        drop(black_box(compared(&by, head, black_box(a), black_box(b))));
    });
    run(Way::SerdeJson, &mut || {
        let read = |text: &[u8]| serde_json::from_slice::<Value>(black_box(text)).ok();
        drop(black_box((read(a), read(b))));
    });
    if variant == Variant::Identical {
        run(Way::Memcmp, &mut || {
            black_box(black_box(a) == black_box(b));
        });
    }
    group.finish();
}

/// Does a benchmark's work, and takes note of how long it took each time, on average of a sample.
fn sample(bencher: &mut Bencher<'_>, work: &mut dyn FnMut(), mut note: impl FnMut(Duration)) {
    bencher.iter_custom(|times| {
        let start = Instant::now();
        for _ in 0..times {
            work();
        }
        let took = start.elapsed();
        note(took / u32::try_from(times).unwrap_or(u32::MAX));
        took
    });
}
