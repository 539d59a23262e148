//! The management port.

use std::collections::{BTreeMap, BTreeSet};

use miffy::outcome::Outcome;

use crate::support::backend::{Backend, json};
use crate::support::broker::Broker;
use crate::support::miffy::{Miffy, Setup};
use crate::support::until;

const DOCUMENT: &str = include_str!("../../docs/metrics.md");

async fn busy() -> (Miffy, Broker, [Backend; 2]) {
    let broker = Broker::start();
    let reference = Backend::start(|_| async { json("1") }).await;
    let candidate = Backend::start(|_| async { json("2") }).await;
    // Each label needs something that has it.
    let tables = "[compare]\nignore = [\"/never\"]\n";
    let miffy = Setup::of(&reference, &candidate, &broker)
        .more("noise = \"requery\"")
        .routes(r#"{ path = "/x/{*rest}", name = "x" }, { path = "/race", respond = "fastest" }"#)
        .tables(tables)
        .start();
    for path in ["/x/1", "/x/2", "/other"] {
        miffy.get(path).await.bytes().await.unwrap();
    }
    miffy.outcomes(2).await;
    (miffy, broker, [reference, candidate])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_miffy_is_healthy_and_ready_and_says_whether_kafka_is_reached() {
    let (miffy, _broker, _backends) = busy().await;
    assert_eq!(
        miffy.manage("/healthz").await,
        (200, r#"{"status":"healthy"}"#.to_owned())
    );
    let reached = r#"{"status":"ready","kafka":"reached","delivery":{"kafka":{"state":"ok","waiting":0,"spooled":0,"dropped":0}},"paused":[],"warnings":["spool.directory is not set: an outage of Kafka longer than the queue lasts (delivery.queue_records, delivery.queue_bytes) will lose records"]}"#;
    until("kafka to be reached", || async {
        let (code, text) = miffy.manage("/readyz").await;
        assert_eq!(code, 200, "{text}");
        (text == reached).then_some(())
    })
    .await;
    assert_eq!(miffy.manage("/other").await.0, 404);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_count_what_happened() {
    let (miffy, _broker, _backends) = busy().await;
    let requests = miffy.metric("miffy_requests_total").await;
    assert_eq!(requests[r#"role="reference""#], 2);
    assert_eq!(requests[r#"role="candidate""#], 2);
    assert_eq!(requests[r#"role="upstream""#], 1);
    let different = r#"experiment="x",candidate="candidate",outcome="different",reason="""#;
    assert_eq!(miffy.metric("miffy_outcomes_total").await[different], 2);
    for (histogram, role, count) in [
        ("miffy_first_byte_seconds_count", "upstream", 1),
        ("miffy_first_byte_seconds_count", "candidate", 2),
        ("miffy_exchange_seconds_count", "reference", 2),
        ("miffy_exchange_seconds_count", "candidate", 2),
    ] {
        let counts = miffy.metric(histogram).await;
        assert_eq!(
            counts[&format!("role=\"{role}\"")],
            count,
            "{histogram} {role}"
        );
    }
    until("two acknowledgements", || async {
        (miffy.metric("miffy_records_published_total").await["sink=\"kafka\""] == 2).then_some(())
    })
    .await;
    for gauge in [
        "miffy_live_in_flight",
        "miffy_shadow_in_flight",
        "miffy_captured_bytes",
    ] {
        until(gauge, || async {
            (miffy.metric(gauge).await[""] == 0).then_some(())
        })
        .await;
    }
    assert!(miffy.metric("miffy_connections").await[""] >= 1);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_documented_metrics_are_exported() {
    let (miffy, _broker, _backends) = busy().await;
    until("librdkafka's statistics", || async {
        let times = miffy.manage("/metrics").await.1;
        times
            .contains("miffy_kafka_round_trip_seconds{")
            .then_some(())
    })
    .await;
    let (_, text) = miffy.manage("/metrics").await;
    miffy.stop().await;
    let exported: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let documented: BTreeMap<&str, &str> = rows()
        .map(|[name, kind, ..]| (name.trim_matches('`'), kind))
        .collect();
    assert_eq!(exported, documented);
    for [name, _, _, labels, meaning] in rows() {
        let name = name.trim_matches('`');
        assert!(
            text.contains(&format!("# HELP {name} {meaning}\n")),
            "{name}: {meaning}"
        );
        let documented: BTreeSet<&str> = labels
            .split(", ")
            .map(|label| label.trim_matches('`'))
            .filter(|l| *l != "–")
            .collect();
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
        });
        for sample in samples {
            let (series, _) = sample.rsplit_once(' ').unwrap();
            let labels: BTreeSet<&str> = series
                .split_once('{')
                .map_or("", |(_, labels)| labels.trim_end_matches('}'))
                .split(',')
                .filter_map(|label| Some(label.split_once('=')?.0))
                .filter(|label| *label != "le")
                .collect();
            assert_eq!(labels, documented, "{sample}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_and_reason_is_documented() {
    for outcome in Outcome::all() {
        assert!(
            DOCUMENT.contains(&format!("| `{}` |", outcome.name())),
            "{outcome:?}"
        );
        // The reasons of one outcome stand in rows of their own, or in one.
        let Some(reason) = outcome.reason() else {
            continue;
        };
        let skips = format!("| `{reason}` |");
        let causes = format!("| `{}` | `", outcome.name());
        let is_told = DOCUMENT.lines().any(|line| match outcome {
            Outcome::Skipped(_) => line.contains(&skips),
            Outcome::ReferenceFailed(_) => line.starts_with("| `reference_failed` | the same |"),
            _ => line.starts_with(&causes) && line.contains(&format!("`{reason}`")),
        });
        assert!(is_told, "{outcome:?}");
    }
    let (miffy, _broker, _backends) = busy().await;
    for labels in miffy
        .metric("miffy_records_dropped_total")
        .await
        .into_keys()
    {
        let (_, reason) = labels.split_once("reason=").unwrap();
        let reason = reason.replace('"', "`");
        assert!(DOCUMENT.contains(&format!("\n| {reason} | ")), "{reason}");
    }
    miffy.stop().await;
}

/// The rows of the document's first table.
fn rows() -> impl Iterator<Item = [&'static str; 5]> {
    DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `miffy_"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            cells
                .try_into()
                .unwrap_or_else(|_| panic!("five cells: {line}"))
        })
}
