//! The producer: feeds librdkafka, and hears what became of each record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::statistics::Statistics;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::Outgoing;
use super::counts::{Counts, DropReason};
use super::status::{BrokerState, BrokerStatus};
use crate::config::Kafka;
use crate::telemetry::Throttle;

/// How long to wait for room in librdkafka's queue before asking again.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// How long librdkafka gets to tell what was purged.
pub(super) const PURGE_PAUSE: Duration = Duration::from_millis(500);

/// A broker that is connected, in librdkafka's statistics.
const BROKER_UP: &str = "UP";

/// Ends the feeding.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    /// Takes no new records; those in the queue are still fed.
    pub(super) taking: CancellationToken,
    /// Waits for room no longer; what is left is dropped.
    pub(super) waiting: CancellationToken,
}

/// librdkafka's producer for one topic.
pub(super) struct Producer {
    inner: ThreadedProducer<Context>,
    topic: String,
    counts: Arc<Counts>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    pub(super) fn new(
        kafka: &Kafka,
        counts: Arc<Counts>,
        broker: BrokerStatus,
    ) -> Result<Self, KafkaError> {
        let context = Context {
            topic: kafka.topic.clone(),
            counts: counts.clone(),
            broker,
            failures: Throttle::default(),
            complaints: Throttle::default(),
        };
        let config = kafka.client_config();
        Ok(Self {
            inner: ThreadedProducer::from_config_and_context(&config, context)?,
            topic: kafka.topic.clone(),
            counts,
        })
    }

    /// Hands the queue's records to librdkafka until the queue is closed and empty.
    pub(super) async fn feed(self, mut queue: mpsc::Receiver<Outgoing>, stop: Stop) -> Self {
        loop {
            let record = tokio::select! {
                biased;
                () = stop.taking.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
                record = queue.recv() => record,
            };
            let Some(record) = record else {
                return self;
            };
            self.counts.unqueued(record.size());
            self.hand_over(&record, &stop).await;
        }
    }

    async fn hand_over(&self, record: &Outgoing, stop: &Stop) {
        let mut message = BaseRecord::to(&self.topic)
            .key(&record.key)
            .payload(&record.payload);
        // Before it is sent: its delivery may be told before `send` returns.
        self.counts.handed_to_kafka();
        // Known before it is sent: nobody else sends, so that it stays so.
        let mut was_empty = false;
        loop {
            let refused = match self.inner.send(message) {
                Ok(()) => return,
                Err((error, returned)) => {
                    message = returned;
                    error
                }
            };
            let reason = match reason(&refused) {
                // It can't be full: this one never fits.
                DropReason::QueueFull if was_empty => DropReason::TooLarge,
                DropReason::QueueFull if stop.waiting.is_cancelled() => DropReason::Shutdown,
                DropReason::QueueFull => {
                    self.wait_for_room(stop).await;
                    was_empty = self.inner.in_flight_count() == 0;
                    continue;
                }
                reason => reason,
            };
            return self.inner.client().context().lost(&refused, reason);
        }
    }

    async fn wait_for_room(&self, stop: &Stop) {
        if stop.taking.is_cancelled() {
            // There is no time left for lingering.
            let producer = self.inner.clone();
            let _flushed = spawn_blocking(move || producer.flush(FULL_PAUSE)).await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(FULL_PAUSE) => {}
            () = stop.waiting.cancelled() => {}
        }
    }

    /// Waits until `deadline` for what librdkafka has to be delivered, drops the rest, and tells when
    /// every record is accounted for.
    pub(super) fn finish(self, deadline: Instant, finished: oneshot::Sender<()>) {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Err(error) = self.inner.flush(left) {
            warn!(%error, records = self.counts.at_kafka(), "not everything was delivered in time");
            // Waiting for its threads would be waiting for a name that one of them looks up.
            let everything = PurgeConfig::default().queue().inflight().non_blocking();
            self.inner.purge(everything);
            // What was purged is told in a flush; one that fails leaves nothing more to be done.
            let _told = self.inner.flush(PURGE_PAUSE);
        }
        // Nobody waits for this any longer once miffy itself has stopped.
        let _told = finished.send(());
        // librdkafka's own end waits for its threads, which may be looking up a name.
        drop(self.inner);
    }
}

/// What librdkafka calls back.
struct Context {
    topic: String,
    counts: Arc<Counts>,
    broker: BrokerStatus,
    failures: Throttle,
    complaints: Throttle,
}

impl Context {
    /// A record that librdkafka has no more, and Kafka never had.
    fn lost(&self, error: &KafkaError, reason: DropReason) {
        self.counts.left_kafka();
        self.counts.dropped(reason);
        if let Some(unsaid) = self.failures.admit() {
            let reason = reason.name();
            warn!(topic = self.topic, %error, reason, unsaid, "a record was not delivered");
        }
    }

    fn complain(&self, facility: &str, message: &str) {
        if let Some(unsaid) = self.complaints.admit() {
            warn!(target: "librdkafka", facility, unsaid, "{message}");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // A producer that has failed for good says so once, and in no other way reliably.
            RDKafkaLogLevel::Emerg => {
                self.broker.set(BrokerState::Failed);
                error!(
                    target: "librdkafka",
                    facility,
                    remedy = "start miffy again when it is mended; where the broker does not grant \
                              IdempotentWrite, set \"enable.idempotence\" = false",
                    "{message}"
                );
            }
            // Why there is no connection. One that ends after it was up was most likely idle.
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info
                if facility == "FAIL" && !message.contains("in state UP") =>
            {
                self.complain(facility, message);
            }
            RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => self.complain(facility, message),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        let is_up = |broker: &rdkafka::statistics::Broker| broker.state == BROKER_UP;
        self.broker.set(if statistics.brokers.values().any(is_up) {
            BrokerState::Reached
        } else {
            BrokerState::Unreachable
        });
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.broker.set(BrokerState::Unreachable),
            _ => {
                if let Some(unsaid) = self.complaints.admit() {
                    warn!(%error, reason, unsaid, "kafka");
                }
            }
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.counts.left_kafka();
                self.counts.published();
                // Statistics may be turned off.
                self.broker.set(BrokerState::Reached);
            }
            Err((error, _)) => self.lost(error, reason(error)),
        }
    }
}

/// The ledger's word for why librdkafka gave a record up.
fn reason(error: &KafkaError) -> DropReason {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => DropReason::QueueFull,
        Some(RDKafkaErrorCode::MessageTimedOut) => DropReason::TimedOut,
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            DropReason::TooLarge
        }
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
            DropReason::Shutdown
        }
        _ => DropReason::Rejected,
    }
}
