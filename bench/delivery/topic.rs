//! What arrived in a topic.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;
use uuid::Uuid;

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Payloads that are kept, to be sent by another producer.
const KEPT: usize = 1000;

/// What is read of a record.
#[derive(Deserialize)]
struct Record {
    id: Uuid,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    n: String,
}

/// Everything in a topic.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) records: u64,
    ids: HashSet<Uuid>,
    /// The requests' numbers.
    numbers: HashSet<u64>,
    /// The latest id of each key so far.
    last: HashMap<Vec<u8>, Uuid>,
    /// Records that came first behind a later one of their key. Ids (version 7) rise in the order that differences
    /// are found in, which requests' numbers need not where a busy machine takes long to compare one of them.
    pub(crate) out_of_order: u64,
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl Arrived {
    /// Reads all partitions from their begin to what is their end now.
    pub(crate) fn read(brokers: &str, topic: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", topic)
            .set("enable.auto.commit", "false")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        let mut partitions = TopicPartitionList::new();
        let mut missing = 0;
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            missing += high - low;
            partitions.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        let mut arrived = Self::default();
        let mut give_up = Instant::now() + PATIENCE;
        while missing > 0 {
            ensure!(Instant::now() < give_up, "{missing} records can't be read");
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                arrived.add(&message?)?;
                missing -= 1;
                give_up = Instant::now() + PATIENCE;
            }
        }
        Ok(arrived)
    }

    fn add(&mut self, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        let key = message.key().context("a record without a key")?;
        let payload = message.payload().context("a record without a value")?;
        let record: Record = serde_json::from_slice(payload).context("what is no record")?;
        let number: u64 = record.request.params.n.parse()?;
        self.records += 1;
        if self.payloads.len() < KEPT {
            self.payloads.push(payload.to_vec());
        }
        // A duplicate has no order: it was in its place before.
        if !self.ids.insert(record.id) {
            return Ok(());
        }
        self.numbers.insert(number);
        let last = self.last.entry(key.to_vec()).or_default();
        if record.id < *last {
            self.out_of_order += 1;
        }
        *last = record.id.max(*last);
        Ok(())
    }

    /// Differences in the topic.
    pub(crate) fn differences(&self) -> u64 {
        self.ids.len() as u64
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.records - self.differences()
    }

    /// Requests of which there is a record.
    pub(crate) fn requests(&self) -> u64 {
        self.numbers.len() as u64
    }
}
