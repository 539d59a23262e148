//! Records on their way to Kafka: a bounded queue, and the producer behind it.
//!
//! ```text
//! publish ─► queue (records, bytes) ─► librdkafka's queue ─► broker
//! ```
//!
//! Invariants:
//!
//! - [`Delivery::publish`] never waits. A full queue drops the new record, and counts it.
//! - Every record is published or dropped with a reason, once: found = waiting + published + dropped, at
//!   any time ([`Totals`]).
//! - librdkafka's queue being full holds ours back, and drops nothing.
//!
//! # Layout
//!
//! - `counts`: what became of the records
//! - `kafka`: the producer
//! - `status`: whether a broker is reached

mod counts;
mod kafka;
mod status;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::error::KafkaError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use counts::{Counts, DropReason, Totals};
pub use status::{BrokerState, BrokerStatus};

use crate::config;
use crate::telemetry::Throttle;
use kafka::{PURGE_PAUSE, Producer, Stop};

/// A record to be published.
#[derive(Debug)]
pub struct Outgoing {
    /// Its key, which decides its partition and so its order.
    pub key: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Outgoing {
    fn size(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// The way to Kafka.
#[derive(Debug)]
pub struct Delivery {
    queue: mpsc::Sender<Outgoing>,
    max_bytes: usize,
    counts: Arc<Counts>,
    broker: BrokerStatus,
    stop: Stop,
    worker: Mutex<Option<JoinHandle<Producer>>>,
    /// Keeps the log readable while there is no room.
    drops: Throttle,
}

impl Delivery {
    /// Creates the producer, and starts the task that feeds it. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When librdkafka refuses its configuration, or can't start.
    pub fn start(
        kafka: &config::Kafka,
        bounds: config::Delivery,
        counts: Counts,
    ) -> Result<Self, KafkaError> {
        let counts = Arc::new(counts);
        let broker = BrokerStatus::default();
        let producer = Producer::new(kafka, counts.clone(), broker.clone())?;
        let (queue, records) = mpsc::channel(bounds.queue_records);
        let stop = Stop {
            taking: CancellationToken::new(),
            waiting: CancellationToken::new(),
        };
        let worker = tokio::spawn(producer.feed(records, stop.clone()));
        Ok(Self {
            queue,
            max_bytes: bounds.queue_bytes,
            counts,
            broker,
            stop,
            worker: Mutex::new(Some(worker)),
            drops: Throttle::default(),
        })
    }

    /// Queues a record, or drops it if there is no room; never waits.
    pub fn publish(&self, record: Outgoing) {
        let size = record.size();
        self.counts.found();
        if self.counts.queued_bytes() + size > self.max_bytes {
            return self.drop(DropReason::QueueFull);
        }
        self.counts.queued(size);
        if let Err(refused) = self.queue.try_send(record) {
            self.counts.unqueued(size);
            self.drop(match refused {
                TrySendError::Full(_) => DropReason::QueueFull,
                TrySendError::Closed(_) => DropReason::Shutdown,
            });
        }
    }

    fn drop(&self, reason: DropReason) {
        self.counts.dropped(reason);
        if let Some(unsaid) = self.drops.admit() {
            let reason = reason.name();
            warn!(reason, unsaid, "a record was dropped");
        }
    }

    /// What became of the records so far.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Whether a broker is reached.
    #[must_use]
    pub fn broker(&self) -> &BrokerStatus {
        &self.broker
    }

    /// Takes no more records, delivers those it has until `deadline`, and drops the rest.
    pub async fn drain(&self, deadline: Instant) -> Totals {
        self.stop.taking.cancel();
        let worker = self
            .worker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut worker) = worker {
            let fed = match timeout_at(deadline.into(), &mut worker).await {
                Ok(fed) => fed,
                Err(_late) => {
                    self.stop.waiting.cancel();
                    worker.await
                }
            };
            if let Ok(producer) = fed {
                let (finished, told) = oneshot::channel();
                spawn_blocking(move || producer.finish(deadline, finished));
                // Nobody tells if it panicked, which the panic hook has told.
                let _finished = timeout_at((deadline + 2 * PURGE_PAUSE).into(), told).await;
            }
        }
        let mut totals = self.counts.totals();
        // Of what librdkafka has not told by now, nobody will hear.
        totals.dropped += std::mem::take(&mut totals.waiting);
        totals
    }
}
