//! The Kafka sink: feeds librdkafka, and hears what became of each record.
//!
//! Invariants:
//!
//! - With idempotence, a record that fails for good stops the producer (`enable.gapless.guarantee`): none behind it can
//!   overtake it. The lane renews the producer then, and sends everything again that is not confirmed.
//! - Nothing here waits for a broker: what has to be asked runs on a thread of its own, and so does a producer's end,
//!   which may wait for a name to be looked up.
//!
//! # Layout
//!
//! - `admin`: creating topics, learning their limits
//! - `context`: what librdkafka calls back
//! - `polled`: a producer with a thread that takes what it tells
//! - `problem`: what its errors mean
//! - `status`: whether a broker is reached, and librdkafka's figures

mod admin;
mod context;
mod polled;
mod problem;
mod status;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, Producer as _, PurgeConfig};

pub use status::{BrokerState, BrokerStatus};

use super::outgoing::Outgoing;
use super::sink::{Failure, Problem, Refused, Reports, Sink};
use crate::config;
use admin::{Errand, Limits};
use context::{Context, GAPLESS};
use polled::Polled;
use problem::{failure, problem};

/// What a record is in librdkafka's and the broker's count beside its key and value, at most.
const OVERHEAD: usize = 512;

/// How long a flush may hold up the lane.
const FLUSH: Duration = Duration::from_millis(20);

/// The smallest batch that is tried where a limit can't be learned.
const MIN_BATCH: usize = 4096;

/// librdkafka's default of `batch.size`.
const BATCH: usize = 1_000_000;

/// librdkafka's producer, one after the other.
pub(super) struct KafkaSink {
    config: ClientConfig,
    /// The largest record that librdkafka takes.
    max_message: usize,
    context: Context,
    broker: BrokerStatus,
    producer: Option<Polled>,
    errand: Errand,
    /// Tells how the errand went, while it is run.
    running: Option<mpsc::Receiver<Result<Limits, Problem>>>,
    /// What brokers take, by topic.
    limits: Limits,
    /// The largest batch.
    batch: usize,
}

impl KafkaSink {
    /// Creates a producer, which tells `broker` of the brokers.
    pub(super) fn new(
        kafka: &config::Kafka,
        reports: Reports,
        broker: BrokerStatus,
    ) -> Result<Self, KafkaError> {
        let config = producer_config(kafka);
        let mut sink = Self {
            max_message: kafka.max_message_bytes,
            context: Context::new(reports, broker.clone()),
            broker,
            producer: None,
            errand: Errand::default(),
            running: None,
            limits: Limits::new(),
            batch: batch_size(&config),
            config,
        };
        sink.producer = Some(sink.create()?);
        Ok(sink)
    }

    /// Begins to create topics, before which nothing is sent.
    pub(super) fn create_topics<'t>(
        &mut self,
        topics: impl IntoIterator<Item = &'t str>,
        creation: config::Topics,
    ) {
        self.errand.create = topics.into_iter().map(str::to_owned).collect();
        self.errand.creation = Some(creation);
        self.run_errand();
    }

    fn create(&self) -> Result<Polled, KafkaError> {
        let mut config = self.config.clone();
        if self.batch < batch_size(&config) {
            config.set("batch.size", self.batch.to_string());
        }
        Polled::start(&config, self.context.of_another())
    }

    /// Ends the producer, which may take its time.
    fn retire(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.retire();
            self.broker.retire();
            // Without a thread it ends here.
            let _ending = thread::Builder::new()
                .name("kafka-end".to_owned())
                .spawn(move || drop(producer));
        }
    }

    fn run_errand(&mut self) {
        let (errand, config) = (self.errand.clone(), self.config.clone());
        let (done, running) = mpsc::channel();
        let run = move || {
            // Nobody listens once miffy stops.
            let _told = done.send(errand.run(&config));
        };
        let spawned = thread::Builder::new()
            .name("kafka-admin".to_owned())
            .spawn(run);
        self.running = spawned.is_ok().then_some(running);
    }

    /// What was learned of limits holds from now on. What could not be learned is guessed from the batch that failed.
    fn learn(&mut self, learned: Limits) {
        let topics = std::mem::take(&mut self.errand.learn);
        for topic in topics {
            match learned.get(&topic) {
                Some(limit) => self.batch = self.batch.min(*limit),
                None => self.batch = (self.batch / 2).max(MIN_BATCH),
            }
        }
        self.limits.extend(learned);
    }

    /// How large a record of this topic may be, key and payload.
    fn limit(&self, topic: &str) -> usize {
        let broker = self.limits.get(topic).copied().unwrap_or(usize::MAX);
        broker.min(self.max_message).saturating_sub(OVERHEAD)
    }

    fn refused(&self, producer: &Polled, error: &KafkaError) -> Refused {
        Refused::Failed(match error.rdkafka_error_code() {
            // Nothing is sent that would not fit into an empty one.
            Some(Code::QueueFull) => return Refused::Busy,
            Some(Code::MessageSizeTooLarge) => {
                Failure::TooLarge(Some(self.max_message.saturating_sub(OVERHEAD)))
            }
            Some(Code::Fatal) => fatal(producer).unwrap_or(Failure::Recalled),
            _ => failure(error),
        })
    }
}

impl Sink for KafkaSink {
    fn send(&mut self, ticket: u64, record: &Outgoing) -> Result<(), Refused> {
        let Some(producer) = &self.producer else {
            return Err(Refused::Busy);
        };
        let limit = self.limit(&record.topic);
        if record.size() > limit {
            return Err(Refused::Failed(Failure::TooLarge(Some(limit))));
        }
        let ticket = usize::try_from(ticket).unwrap_or(usize::MAX);
        let message = BaseRecord::with_opaque_to(&record.topic, ticket)
            .key(&*record.key)
            .payload(&*record.payload);
        producer
            .send(message)
            .map_err(|(error, _)| self.refused(producer, &error))
    }

    fn flush(&mut self, hurry: bool) {
        if hurry && let Some(producer) = &self.producer {
            // What is not through by then is told later.
            let _unfinished = producer.flush(FLUSH);
        }
    }

    /// What is under way may still be confirmed, which saves its being sent twice.
    fn recall(&mut self) {
        if let Some(producer) = &self.producer {
            producer.purge(PurgeConfig::default().queue().non_blocking());
        }
    }

    fn renew(&mut self) -> Result<(), Problem> {
        let fatal = self.producer.as_ref().and_then(fatal);
        self.retire();
        let too_large = self.context.take_too_large();
        self.errand.learn.extend(too_large);
        if self.running.is_none() && !self.errand.is_empty() {
            self.run_errand();
        }
        // Of a producer that stops before it has sent anything, records tell no more than that they are back.
        match fatal {
            Some(Failure::Sink(problem)) => Err(problem),
            _ => Ok(()),
        }
    }

    fn is_ready(&mut self) -> Result<bool, Problem> {
        if let Some(running) = &self.running {
            match running.try_recv() {
                Err(mpsc::TryRecvError::Empty) => return Ok(false),
                Err(mpsc::TryRecvError::Disconnected) => self.running = None,
                Ok(done) => {
                    self.running = None;
                    let learned = done.inspect_err(|_| self.errand.learn.clear())?;
                    self.errand.create.clear();
                    self.learn(learned);
                }
            }
        }
        if self.producer.is_none() {
            let producer = self.create();
            self.producer = Some(producer.map_err(|error| problem(&error))?);
        }
        Ok(true)
    }

    fn settle(&mut self, patience: Duration) {
        if let Some(producer) = &self.producer {
            // Waiting for its threads would be waiting for a name that one of them looks up.
            let everything = PurgeConfig::default().queue().inflight().non_blocking();
            producer.purge(everything);
            // What was purged is told in a flush; one that fails leaves nothing more to be done.
            let _told = producer.flush(patience);
        }
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        self.retire();
    }
}

/// Why a producer stopped for good, if it did.
fn fatal(producer: &Polled) -> Option<Failure> {
    let (code, _) = producer.client().fatal_error()?;
    Some(failure(&KafkaError::MessageProduction(code)))
}

/// The largest batch that is configured.
fn batch_size(config: &ClientConfig) -> usize {
    let batch = config.get("batch.size").and_then(|size| size.parse().ok());
    batch.unwrap_or(BATCH)
}

/// The configured properties, and what this sink relies on unless they say otherwise.
fn producer_config(kafka: &config::Kafka) -> ClientConfig {
    let mut config = kafka.client_config();
    let mut default = |name: &str, value: &str| {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    };
    // A topic that is not there is told soon, and asked for again.
    default("topic.metadata.propagation.max.ms", "5000");
    if kafka.is_idempotent() {
        default(GAPLESS, "true");
    }
    config
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::delivery::testing::Told;

    #[test]
    fn a_queue_that_was_full_a_moment_ago_is_busy() {
        let servers = ("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned());
        let kafka = config::Kafka {
            enabled: true,
            topic: "topic".to_owned(),
            properties: BTreeMap::from([servers]),
            max_message_bytes: 10_000,
            idempotence_was_turned_off: false,
        };
        let sink = KafkaSink::new(&kafka, Told::default().reports(), BrokerStatus::default());
        let sink = sink.expect("a sink");
        let producer = sink.producer.as_ref().expect("a producer");
        // What it was full of may be told of by now.
        while producer.in_flight_count() > 0 {
            thread::yield_now();
        }
        let full = KafkaError::MessageProduction(Code::QueueFull);
        assert_eq!(sink.refused(producer, &full), Refused::Busy);
    }
}
