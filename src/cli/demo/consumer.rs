//! Reads what arrives in Kafka, as any consumer would.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::terminal::Terminal;

/// How long the consumer's thread waits for a record before it looks whether it is to stop.
const POLL: Duration = Duration::from_millis(100);

/// A consumer on a thread of its own.
pub(super) struct Consumer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts a consumer of the topic's only partition, which tells `terminal` of each record.
pub(super) fn start(brokers: &str, topic: &str, terminal: &Terminal) -> anyhow::Result<Consumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "miffy-demo")
        .set("enable.auto.commit", "false")
        .create()
        .context("the demo's consumer can't be created")?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, terminal) = (stop.clone(), terminal.clone());
    let thread = std::thread::Builder::new()
        .name("consumer".to_owned())
        .spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(POLL) {
                    let key =
                        String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                    let size = message.payload().map_or(0, <[u8]>::len);
                    terminal.arrived(message.topic(), message.offset(), &key, size);
                }
            }
        })?;
    Ok(Consumer { stop, thread })
}

impl Consumer {
    /// Stops it, and waits until it has.
    pub(super) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of the thread has been told by the panic hook.
        let _joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}
