//! A producer, and the thread that takes what it tells.

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::context::Context;

/// For how long the thread waits for news at a time, and so how much longer than its owner a producer may live.
///
/// rdkafka waits in whole milliseconds, and spins for what is left of the last one: at 100 ms, as its `ThreadedProducer`
/// has it, that is a hundredth of a core.
const PERIOD: Duration = Duration::from_secs(1);

/// A producer whose news a thread takes, for as long as this is held.
pub(super) struct Polled(Arc<BaseProducer<Context>>);

impl Polled {
    /// Fails for a configuration that librdkafka does not take, or where no thread is to be had.
    pub(super) fn start(config: &ClientConfig, context: Context) -> Result<Self, KafkaError> {
        let producer = BaseProducer::from_config_and_context(config, context)?;
        let producer = Arc::new(producer);
        let polled = Arc::downgrade(&producer);
        thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poll(&polled))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self(producer))
    }

    /// What it tells from here on is of no producer that is in use.
    pub(super) fn retire(&self) {
        self.0.client().context().retire();
    }
}

impl Deref for Polled {
    type Target = BaseProducer<Context>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

fn poll(producer: &Weak<BaseProducer<Context>>) {
    while let Some(producer) = producer.upgrade() {
        producer.poll(PERIOD);
    }
}
