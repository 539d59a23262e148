//! Records that wait on disk, and sinks beside Kafka.

use std::collections::BTreeSet;
use std::path::Path;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::support::backend::{Backend, disagreeing};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, Setup};
use crate::support::{process, until};

/// The spool's table, for this directory.
fn spool(directory: &Path) -> String {
    format!("[spool]\ndirectory = \"{}\"\n", directory.display())
}

/// A metric of the Kafka sink.
async fn of_kafka(miffy: &Miffy, name: &str) -> u64 {
    miffy.metric(name).await["sink=\"kafka\""]
}

async fn becomes(miffy: &Miffy, name: &str, value: u64) {
    until(&format!("{name} to be {value}"), || async {
        (of_kafka(miffy, name).await == value).then_some(())
    })
    .await;
}

/// Sends so many requests, one after the other, so that records have an order.
async fn send(miffy: &Miffy, paths: impl IntoIterator<Item = String>) {
    let mut sent: u64 = miffy.outcomes_so_far().await.values().sum();
    for path in paths {
        assert_eq!(miffy.get(&path).await.status(), 200);
        sent += 1;
        miffy.outcomes(sent).await;
    }
}

fn paths(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|n| format!("/x/{}/{n}", ["a", "b", "c"][n as usize % 3]))
}

fn setup(backends: &(Backend, Backend), broker: &Broker, tables: &str) -> Setup {
    Setup::of(&backends.0, &backends.1, broker)
        .routes(r#"{ path = "/x/{key}/{n}", name = "x", key = "key" }"#)
        .more("shutdown_timeout = \"5s\"")
        .tables(tables)
}

/// Each number that is in the topic, once and in order for each key, however often its record is there.
async fn numbers(broker: &Broker) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    let mut last = std::collections::BTreeMap::new();
    for record in broker.published().await {
        let json = record.json();
        let number = json["request"]["params"]["n"].as_str().unwrap();
        let number: u32 = number.parse().unwrap();
        if numbers.insert(number) {
            let before = last.insert(record.key.clone(), number);
            assert!(before < Some(number), "{}: {number}", record.key);
        }
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_and_a_restart_lose_nothing_and_keep_the_order_of_keys() {
    let broker = Broker::mock();
    let backends = disagreeing().await;
    let directory = tempfile::tempdir().unwrap();
    let tables = spool(directory.path());
    let miffy = setup(&backends, &broker, &tables).start();
    send(&miffy, paths(0..10)).await;
    becomes(&miffy, "miffy_records_published_total", 10).await;
    broker.controls().broker_down(1).unwrap();
    send(&miffy, paths(10..30)).await;
    becomes(&miffy, "miffy_spool_records", 20).await;
    let (code, text) = miffy.manage("/readyz").await;
    assert_eq!(code, 200);
    assert!(
        text.contains(r#""spooled":20,"dropped":0}},"paused":[],"warnings":[]"#),
        "{text}"
    );
    miffy.stop().await;

    let miffy = setup(&backends, &broker, &tables).start();
    becomes(&miffy, "miffy_records_found_total", 20).await;
    // New ones don't overtake those that were there.
    send(&miffy, paths(30..40)).await;
    broker.controls().broker_up(1).unwrap();
    becomes(&miffy, "miffy_records_published_total", 30).await;
    becomes(&miffy, "miffy_spool_records", 0).await;
    miffy.stop().await;
    let published = numbers(&broker).await;
    assert_eq!(published, (0..40).collect());
    // Its files hold what clients sent, and are nobody else's.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(directory.path().join("kafka")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o077, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_disk_outlives_a_kill() {
    let broker = Broker::mock();
    let backends = disagreeing().await;
    let directory = tempfile::tempdir().unwrap();
    let tables = spool(directory.path());
    broker.controls().broker_down(1).unwrap();
    let (mut killed, url) = process::start(&setup(&backends, &broker, &tables), &[]);
    let client = crate::support::http_client();
    for (path, sent) in paths(0..30).zip(1..) {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        // Between requests that are under way at the same time there is no order.
        killed.outcomes(sent).await;
    }
    // Its log does not say, but a second one would be refused the directory, so the files are looked at.
    until("the records on disk", || async {
        let files = std::fs::read_dir(directory.path().join("kafka")).ok()?;
        let bytes: Vec<u8> = files
            .filter_map(|file| std::fs::read(file.unwrap().path()).ok())
            .flatten()
            .collect();
        let ids = bytes
            .windows(6)
            .filter(|window| window == b"{\"id\":")
            .count();
        (ids == 30).then_some(())
    })
    .await;
    killed.signal("KILL");
    killed.wait();

    broker.controls().broker_up(1).unwrap();
    let miffy = setup(&backends, &broker, &tables).start();
    becomes(&miffy, "miffy_records_published_total", 30).await;
    miffy.stop().await;
    assert_eq!(numbers(&broker).await, (0..30).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_adds_up_in_every_scrape_and_agrees_with_the_topic() {
    let broker = Broker::mock();
    let backends = disagreeing().await;
    let directory = tempfile::tempdir().unwrap();
    let tables = format!(
        "{}max_bytes = \"1MiB\"\n[delivery]\nqueue_records = 200\n",
        spool(directory.path())
    );
    let miffy = setup(&backends, &broker, &tables).start();
    for round in 0..6_u32 {
        match round % 2 {
            0 => broker.controls().broker_down(1).unwrap(),
            _ => broker.controls().broker_up(1).unwrap(),
        }
        let requests = (0..60).map(|n| {
            let path = format!("/x/{n}/{}", round * 60 + n);
            let request = miffy.client.get(miffy.url(&path)).send();
            async move { assert_eq!(request.await.unwrap().status(), 200) }
        });
        let mut requests: tokio::task::JoinSet<()> = requests.collect();
        loop {
            let (_, text) = miffy.manage("/metrics").await;
            let of = |name| crate::support::metrics::samples(&text, name);
            let one = |name| of(name)["sink=\"kafka\""];
            let sum = one("miffy_records_published_total")
                + one("miffy_delivery_waiting_records")
                + one("miffy_spool_records")
                + of("miffy_records_dropped_total").values().sum::<u64>();
            assert_eq!(one("miffy_records_found_total"), sum);
            if requests.try_join_next().is_none() && requests.is_empty() {
                break;
            }
        }
    }
    miffy.outcomes(360).await;
    broker.controls().broker_up(1).unwrap();
    becomes(&miffy, "miffy_spool_records", 0).await;
    becomes(&miffy, "miffy_delivery_waiting_records", 0).await;
    let dropped: u64 = miffy
        .metric("miffy_records_dropped_total")
        .await
        .values()
        .sum();
    let found = of_kafka(&miffy, "miffy_records_found_total").await;
    miffy.stop().await;
    assert_eq!(found, 360);
    assert_eq!(numbers(&broker).await.len() as u64, found - dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_broker_finds_too_large_is_shortened_and_sent() {
    let broker = Broker::mock();
    let backends = disagreeing().await;
    let miffy = setup(&backends, &broker, "").start();
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    broker
        .controls()
        .request_errors(RDKafkaApiKey::Produce, &[refusal; 3]);
    let body = "x".repeat(100_000);
    assert_eq!(miffy.post("/x/a/1", body).await.status(), 200);
    // Refused with all that there is, then alone, then alone again.
    becomes(&miffy, "miffy_records_shortened_total", 1).await;
    send(&miffy, paths(3..6)).await;
    becomes(&miffy, "miffy_records_published_total", 4).await;
    miffy.stop().await;
    assert_eq!(numbers(&broker).await, [1, 3, 4, 5].into());
    let records = broker.published().await;
    let shortened = records.iter().map(Published::json);
    let shortened = shortened.filter(|json| json["truncated"] != serde_json::json!([]));
    let truncated: Vec<_> = shortened.map(|json| json["truncated"].clone()).collect();
    assert_eq!(truncated.len(), 1);
    assert_eq!(truncated[0][0]["field"], "request.body");
    assert_eq!(truncated[0][0]["size"], 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_has_its_topic() {
    let broker = Broker::start();
    let backends = disagreeing().await;
    let own = format!("{}-own", broker.topic);
    let template = format!("{}-{{route}}", broker.topic);
    let routes = format!(
        "{{ path = \"/a/{{n}}\", name = \"of {{a}}\" }}, {{ path = \"/b\", topic = \"{own}\" }}"
    );
    let setup = Setup::of(&backends.0, &backends.1, &broker);
    let config = setup.routes(&routes).toml().replace(
        &format!("topic = \"{}\"\n", broker.topic),
        &format!("topic = \"{template}\"\n"),
    );
    let environment = miffy::config::Environment::default();
    let miffy = Miffy::start(&config, &environment, miffy::app::Plugs::default());
    for path in ["/a/1", "/b"] {
        miffy.get(path).await.bytes().await.unwrap();
    }
    miffy.outcomes(2).await;
    miffy.stop().await;
    for (topic, path) in [(format!("{}-of-a", broker.topic), "/a/1"), (own, "/b")] {
        let records = broker.published_to(&topic).await;
        let uris: Vec<_> = records
            .iter()
            .map(|r| r.json()["request"]["uri"].clone())
            .collect();
        assert_eq!(uris, [path], "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_can_t_be_written_costs_clients_nothing_and_its_losses_are_counted() {
    let broker = Broker::mock();
    let backends = disagreeing().await;
    let directory = tempfile::tempdir().unwrap();
    let tables = format!(
        "{}max_bytes = \"1MiB\"\n[delivery]\nqueue_records = 10\n",
        spool(directory.path())
    );
    let miffy = setup(&backends, &broker, &tables).start();
    broker.controls().broker_down(1).unwrap();
    // Each of its records is over a tenth of the spool.
    let large = "x".repeat(110_000);
    for n in 0..40 {
        let answer = miffy.post(&format!("/x/a/{n}"), large.clone()).await;
        assert_eq!(answer.status(), 200);
        miffy.outcomes(n + 1).await;
    }
    let full = "sink=\"kafka\",reason=\"spool_full\"";
    let dropped = until("the spool to be full", || async {
        let dropped = miffy.metric("miffy_records_dropped_total").await[full];
        let waiting = of_kafka(&miffy, "miffy_delivery_waiting_records").await;
        let spooled = of_kafka(&miffy, "miffy_spool_records").await;
        (dropped > 0 && dropped + waiting + spooled == 40).then_some(dropped)
    })
    .await;
    assert!(of_kafka(&miffy, "miffy_spool_bytes").await <= 1024 * 1024);
    broker.controls().broker_up(1).unwrap();
    becomes(&miffy, "miffy_records_published_total", 40 - dropped).await;
    miffy.stop().await;
    assert_eq!(numbers(&broker).await.len() as u64, 40 - dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_every_record_alone_or_beside_kafka() {
    for kafka in [true, false] {
        let broker = Broker::start();
        let backends = disagreeing().await;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        let tables = format!("enabled = {kafka}\n[file]\npath = \"{}\"\n", path.display());
        let miffy = setup(&backends, &broker, &tables).start();
        send(&miffy, paths(0..10)).await;
        let (_, text) = miffy.manage("/readyz").await;
        assert!(text.contains(r#""file":{"state":"ok""#), "{text}");
        assert_eq!(text.contains(r#""kafka":"off""#), !kafka, "{text}");
        miffy.stop().await;
        let lines = std::fs::read_to_string(&path).unwrap();
        let numbers: Vec<u32> = lines
            .lines()
            .map(|line| {
                let json: serde_json::Value = serde_json::from_str(line).unwrap();
                let number = json["request"]["params"]["n"].as_str().unwrap();
                number.parse().unwrap()
            })
            .collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        if kafka {
            assert_eq!(broker.published().await.len(), 10);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_output_that_nobody_reads_costs_nothing() {
    let broker = Broker::start();
    let backends = disagreeing().await;
    let directory = tempfile::tempdir().unwrap();
    let tables = format!(
        "enabled = false\n{}[stdout]\nenabled = true\n",
        spool(directory.path())
    );
    let setup = setup(&backends, &broker, &tables);
    let (unread, stdout) = std::io::pipe().unwrap();
    let (mut miffy, url) = process::start_to(&setup, stdout);
    let client = crate::support::http_client();
    for path in paths(0..60) {
        // More than a pipe holds.
        let request = client.post(format!("{url}{path}")).body("x".repeat(4000));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    miffy.outcomes(60).await;
    miffy.signal("TERM");
    assert!(miffy.wait().success());
    let stopped = miffy.stderr.event("stopped");
    let of = |name| stopped[name].as_u64().unwrap();
    assert_eq!(of("dropped"), 0, "{stopped}");
    assert_eq!(of("published") + of("spooled"), 60, "{stopped}");
    assert!(of("spooled") > 0, "{stopped}");
    drop(unread);

    let (mut miffy, _) = process::start(&setup, &[]);
    let last = "/x/c/59";
    miffy
        .stdout
        .wait("the last record", |line| line.contains(last).then_some(()));
    miffy.signal("TERM");
    assert!(miffy.wait().success());
    assert_eq!(miffy.stdout.all().len() as u64, of("spooled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sink_that_drops_records_is_named_in_the_log() {
    let broker = Broker::mock();
    broker.controls().broker_down(1).unwrap();
    let backends = disagreeing().await;
    let tables = "[stdout]\nenabled = true\n[delivery]\nqueue_records = 3\n";
    let (reader, stdout) = std::io::pipe().unwrap();
    drop(reader);
    let (miffy, url) = process::start_to(&setup(&backends, &broker, tables), stdout);
    let client = crate::support::http_client();
    for path in paths(0..20) {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    for sink in ["kafka", "stdout"] {
        miffy.stderr.wait(sink, |line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            (event["message"] == "a record was dropped" && event["sink"] == sink).then_some(())
        });
    }
}
