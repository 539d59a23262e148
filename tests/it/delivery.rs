//! Records on their way to Kafka.

use std::collections::BTreeSet;
use std::time::Duration;

use miffy::app::Plugs;
use miffy::config::Environment;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::support::backend::{Arrived, Backend, disagreeing, response};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, Setup, between};
use crate::support::{PATIENCE, until};

/// Waits until `/readyz` says this of Kafka; it is ready all the time.
async fn kafka_is(miffy: &Miffy, state: &str) {
    until(&format!("kafka to be {state}"), || async {
        let (code, text) = miffy.manage("/readyz").await;
        assert_eq!(code, 200);
        text.contains(&format!("\"kafka\":\"{state}\""))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_in_kafka_once_and_in_order_per_key() {
    let broker = Broker::start();
    let (reference, candidate) = disagreeing().await;
    let miffy = Setup::of(&reference, &candidate, &broker)
        .routes(r#"{ path = "/x/{key}/{n}", key = "key" }"#)
        .start();
    for n in 0..40 {
        let key = ["a", "b", "c"][n % 3];
        miffy
            .get(&format!("/x/{key}/{n}"))
            .await
            .bytes()
            .await
            .unwrap();
        // One after the other, so that there is an order to be kept.
        miffy.outcomes(u64::try_from(n).unwrap() + 1).await;
    }
    miffy.stop().await;

    let published = broker.published().await;
    assert_eq!(published.len(), 40);
    for (index, key) in ["a", "b", "c"].into_iter().enumerate() {
        let of_key = published.iter().filter(|record| record.key == key);
        let numbers: Vec<usize> = of_key
            .map(|record| {
                let json = record.json();
                json["request"]["params"]["n"]
                    .as_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        assert_eq!(numbers, (index..40).step_by(3).collect::<Vec<_>>());
    }
    let ids: BTreeSet<String> = ids(&broker).await.into_iter().collect();
    assert_eq!(ids.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_delivers_what_waits_and_be_it_more_than_librdkafkas_queue_holds() {
    for queue in ["", "\"queue.buffering.max.messages\" = 2\n"] {
        let broker = Broker::start();
        let (reference, candidate) = disagreeing().await;
        // Without the stop, these would wait for a minute.
        let miffy = Setup::of(&reference, &candidate, &broker)
            .tables(&format!("\"linger.ms\" = 60000\n{queue}"))
            .start();
        for n in 0..20 {
            miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
        }
        miffy.outcomes(20).await;
        miffy.stop().await;
        assert_eq!(broker.published().await.len(), 20, "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_has_little_time_uses_it() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.more("shutdown_timeout = \"900ms\"").start();
    kafka_is(&miffy, "reached").await;
    // The topic is asked for, and then written to.
    let answers_in = Duration::from_millis(100);
    let controls = broker.controls();
    controls.broker_round_trip_time(1, answers_in).unwrap();
    miffy.get("/x/1").await.bytes().await.unwrap();
    miffy.outcomes(1).await;
    miffy.stop().await;
    controls.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(broker.published().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_never_fits_is_dropped_and_holds_nothing_up() {
    let broker = Broker::start();
    let answer = |body: &'static str| {
        move |request: Arrived| async move {
            let size = if request.target == "/x/large" { 10 } else { 0 };
            let names = (0..size).map(|n| format!("x-{n}-{}", "n".repeat(400)));
            let mut response = response(200, &[], body);
            for name in names {
                response.headers_mut().insert(
                    name.parse::<http::HeaderName>().unwrap(),
                    "v".parse().unwrap(),
                );
            }
            response
        }
    };
    let reference = Backend::start(answer("a")).await;
    let candidate = Backend::start(answer("b")).await;
    // librdkafka's queue is smaller than the names of the headers, which can't be cut.
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.tables("\"queue.buffering.max.kbytes\" = 4\n").start();
    for path in ["/x/large", "/x/small"] {
        miffy.get(path).await.bytes().await.unwrap();
    }
    one_is_dropped(&miffy, "too_large").await;
    until("the other one to be published", || async {
        (published(&miffy).await == 1).then_some(())
    })
    .await;
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_for_a_broker_that_is_away() {
    let broker = Broker::mock();
    broker.controls().broker_down(1).unwrap();
    let (reference, candidate) = disagreeing().await;
    let miffy = between(&reference, &candidate, &broker);
    kafka_is(&miffy, "unreachable").await;
    for n in 0..5 {
        assert_eq!(miffy.get(&format!("/x/{n}")).await.status(), 200);
    }
    miffy.outcomes(5).await;
    until("all of them to wait", || async {
        (of_kafka(&miffy, "miffy_delivery_waiting_records").await == 5).then_some(())
    })
    .await;
    assert_eq!(published(&miffy).await, 0);
    let (_, text) = miffy.manage("/readyz").await;
    let failing = r#"{"state":"failing","problem":"no broker is reached","waiting":5"#;
    assert!(text.contains(failing), "{text}");
    assert_eq!(of_kafka(&miffy, "miffy_delivery_failing").await, 1);
    broker.controls().broker_up(1).unwrap();
    until("the records to be published", || async {
        (published(&miffy).await == 5).then_some(())
    })
    .await;
    kafka_is(&miffy, "reached").await;
    assert_eq!(of_kafka(&miffy, "miffy_delivery_failing").await, 0);
    miffy.stop().await;
    assert_eq!(broker.published().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_speak_tls_is_a_problem_with_its_remedy() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let setup = setup.tables("\"security.protocol\" = \"ssl\"\n");
    // Something that answers a handshake of TLS in plain text.
    let plain = reference.url().replace("http://", "");
    let config = setup.toml().replace(&broker.address, &plain);
    let miffy = Miffy::start(&config, &Environment::default(), Plugs::default());
    until("the problem", || async {
        let (_, text) = miffy.manage("/readyz").await;
        let remedy = r#""remedy":"check security.protocol"#;
        (text.contains(r#""state":"failing""#) && text.contains(remedy)).then_some(())
    })
    .await;
    assert_eq!(of_kafka(&miffy, "miffy_delivery_failing").await, 1);
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_room_for_is_dropped_and_counted() {
    for bound in ["queue_records = 3", "queue_bytes = 6000"] {
        let broker = Broker::mock();
        broker.controls().broker_down(1).unwrap();
        let (reference, candidate) = disagreeing().await;
        let tables = format!("\"queue.buffering.max.messages\" = 2\n[delivery]\n{bound}\n");
        let setup = Setup::of(&reference, &candidate, &broker);
        let setup = setup.more("shutdown_timeout = \"2s\"").tables(&tables);
        let miffy = setup.start();
        for n in 0..30 {
            assert_eq!(miffy.get(&format!("/x/{n}")).await.status(), 200);
        }
        miffy.outcomes(30).await;
        let dropped = until("drops", || async {
            let dropped = dropped(&miffy, "queue_full").await;
            let waiting = of_kafka(&miffy, "miffy_delivery_waiting_records").await;
            (dropped + waiting == 30).then_some(dropped)
        })
        .await;
        assert!((20..28).contains(&dropped), "{bound}: {dropped}");
        broker.controls().broker_up(1).unwrap();
        until("the rest", || async {
            let published = published(&miffy).await;
            (published + dropped == 30).then_some(())
        })
        .await;
        miffy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_broker_refuses_go_out_once_it_is_mended() {
    for (refusal, reason) in [
        (
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            "Topic authorization failed",
        ),
        (
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
            "Policy violation",
        ),
    ] {
        let broker = Broker::mock();
        let (reference, candidate) = disagreeing().await;
        let miffy = between(&reference, &candidate, &broker);
        kafka_is(&miffy, "reached").await;
        let controls = broker.controls();
        controls.request_errors(RDKafkaApiKey::Produce, &[refusal; 3]);
        for n in 0..20 {
            miffy.get(&format!("/x/{n}")).await.bytes().await.unwrap();
        }
        until("the reason to be told", || async {
            let (code, text) = miffy.manage("/readyz").await;
            assert_eq!(code, 200);
            text.contains(reason).then_some(())
        })
        .await;
        until("the records to be published", || async {
            (published(&miffy).await == 20).then_some(())
        })
        .await;
        let (_, text) = miffy.manage("/readyz").await;
        assert!(!text.contains("problem"), "{text}");
        miffy.stop().await;
        let ids: BTreeSet<String> = ids(&broker).await.into_iter().collect();
        assert_eq!(ids.len(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_late_is_counted_with_its_reason() {
    let broker = Broker::mock();
    broker.controls().broker_down(1).unwrap();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let miffy = setup.tables("\"message.timeout.ms\" = 500\n").start();
    miffy.get("/x/1").await;
    one_is_dropped(&miffy, "timed_out").await;
    miffy.stop().await;
}

/// A metric of the Kafka sink.
async fn of_kafka(miffy: &Miffy, name: &str) -> u64 {
    miffy.metric(name).await["sink=\"kafka\""]
}

async fn published(miffy: &Miffy) -> u64 {
    of_kafka(miffy, "miffy_records_published_total").await
}

async fn dropped(miffy: &Miffy, reason: &str) -> u64 {
    let dropped = miffy.metric("miffy_records_dropped_total").await;
    dropped[&format!("sink=\"kafka\",reason=\"{reason}\"")]
}

async fn one_is_dropped(miffy: &Miffy, reason: &str) {
    until(&format!("a record to be {reason}"), || async {
        (dropped(miffy, reason).await == 1).then_some(())
    })
    .await;
}

/// The ids of all records in the topic.
async fn ids(broker: &Broker) -> Vec<String> {
    let records = broker.published().await;
    let id = |record: &Published| record.json()["id"].as_str().unwrap().to_owned();
    records.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_the_brokers_bound_is_shortened_the_larger_bodies_first() {
    let broker = Broker::start();
    let small = |_: Arrived| async { response(200, &[], "small") };
    let large = |_: Arrived| async { response(200, &[], "x".repeat(900_000)) };
    let (reference, candidate) = (Backend::start(small).await, Backend::start(large).await);
    let miffy = between(&reference, &candidate, &broker);
    miffy.post("/x/1", "y".repeat(500_000)).await;
    miffy.outcomes(1).await;
    miffy.stop().await;
    let [record] = &broker.published().await[..] else {
        panic!("one record");
    };
    assert!(record.line.len() < 1_000_000);
    let json = record.json();
    assert_eq!(json["reference"]["response"]["body"]["value"], "c21hbGw=");
    let truncated = json["truncated"].as_array().unwrap();
    let of: Vec<_> = truncated
        .iter()
        .map(|t| (t["field"].clone(), t["size"].clone()))
        .collect();
    assert_eq!(
        of,
        [
            ("request.body".into(), 500_000.into()),
            ("candidate.response.body".into(), 900_000.into())
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_shortened_to_what_the_queue_may_hold() {
    let broker = Broker::start();
    let large =
        |body: &'static str| move |_: Arrived| async { response(200, &[], body.repeat(60_000)) };
    let reference = Backend::start(large("a")).await;
    let candidate = Backend::start(large("b")).await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let setup = setup.tables("[delivery]\nqueue_bytes = \"64KiB\"\n");
    let miffy = setup.start();
    miffy.get("/x/1").await.bytes().await.unwrap();
    miffy.outcomes(1).await;
    miffy.stop().await;
    assert_eq!(broker.published().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stalls_costs_clients_nothing() {
    let broker = Broker::mock();
    broker
        .controls()
        // Longer than any answer is waited for.
        .broker_round_trip_time(1, 2 * PATIENCE)
        .unwrap();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let setup = setup.more("shutdown_timeout = \"1s\"");
    let miffy = setup.tables("[delivery]\nqueue_records = 1\n").start();
    for n in 0..200 {
        assert_eq!(miffy.get(&format!("/x/{n}")).await.status(), 200);
    }
    miffy.outcomes(200).await;
    miffy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_may_not_be_idempotent_is_told_and_goes_on_once_it_may() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let controls = broker.controls();
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    controls.request_errors(RDKafkaApiKey::InitProducerId, &[refusal; 3]);
    let miffy = between(&reference, &candidate, &broker);
    miffy.get("/x/1").await.bytes().await.unwrap();
    until("the reason to be told", || async {
        let (_, text) = miffy.manage("/readyz").await;
        let failing = of_kafka(&miffy, "miffy_delivery_failing").await;
        let is_told = text.contains("Cluster authorization failed");
        (is_told && text.contains("grant IdempotentWrite") && failing == 1).then_some(())
    })
    .await;
    until("the record to be published", || async {
        (published(&miffy).await == 1).then_some(())
    })
    .await;
    assert_eq!(of_kafka(&miffy, "miffy_delivery_failing").await, 0);
    miffy.stop().await;
    assert_eq!(ids(&broker).await.len(), 1);
}
