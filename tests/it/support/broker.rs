//! The broker, and a consumer of what was published.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use uuid::Uuid;

use super::PATIENCE;

const REAL_BROKER_VARIABLE: &str = "MIFFY_TEST_KAFKA";

/// A broker for one test, and a topic of its own.
pub(crate) struct Broker {
    pub(crate) address: String,
    pub(crate) topic: String,
    mock: Option<MockCluster<'static, DefaultProducerContext>>,
}

/// A published record.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) key: String,
    pub(crate) line: String,
}

impl Published {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.line).unwrap()
    }
}

impl Broker {
    /// The real broker if there is one to test with, else one of this process.
    pub(crate) fn start() -> Self {
        match std::env::var(REAL_BROKER_VARIABLE) {
            Ok(address) => Self::real(address),
            Err(_) => Self::mock(),
        }
    }

    /// The real broker at this address.
    pub(crate) fn real(address: String) -> Self {
        Self {
            address,
            topic: unique_topic(),
            mock: None,
        }
    }

    /// A broker of this process, whatever there is, for faults that only it can be told to have.
    pub(crate) fn mock() -> Self {
        let mock = MockCluster::new(1).unwrap();
        Self {
            address: mock.bootstrap_servers(),
            topic: unique_topic(),
            mock: Some(mock),
        }
    }

    /// The controls of a broker of this process.
    pub(crate) fn controls(&self) -> &MockCluster<'static, DefaultProducerContext> {
        self.mock.as_ref().expect("this is not the real broker")
    }

    /// The `[kafka]` table for this broker.
    pub(crate) fn config(&self) -> String {
        format!(
            "[kafka]\ntopic = \"{}\"\n\"bootstrap.servers\" = \"{}\"\n",
            self.topic, self.address
        )
    }

    /// Everything in the topic, partition by partition.
    pub(crate) async fn published(&self) -> Vec<Published> {
        self.published_to(&self.topic).await
    }

    /// Everything in another topic.
    pub(crate) async fn published_to(&self, topic: &str) -> Vec<Published> {
        let (address, topic) = (self.address.clone(), topic.to_owned());
        tokio::task::spawn_blocking(move || read_all(&address, &topic))
            .await
            .unwrap()
    }
}

fn unique_topic() -> String {
    format!("miffy-test-{}", Uuid::now_v7())
}

fn read_all(address: &str, topic: &str) -> Vec<Published> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut ends = TopicPartitionList::new();
    let mut missing = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), PATIENCE)
            .unwrap();
        missing += high - low;
        ends.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&ends).unwrap();
    let mut published = Vec::new();
    let give_up = Instant::now() + PATIENCE;
    while missing > 0 {
        assert!(Instant::now() < give_up, "{missing} records don't come");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.unwrap();
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        published.push(Published {
            key: text(message.key()),
            line: text(message.payload()),
        });
        missing -= 1;
    }
    published
}
