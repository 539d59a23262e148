//! What librdkafka calls back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use tracing::{debug, warn};

use super::problem::{failure, remedy};
use super::status::{BrokerState, BrokerStatus};
use crate::delivery::sink::{Failure, Problem, Reports};
use crate::telemetry::Throttle;

/// The property that stops a producer when a record fails for good.
pub(super) const GAPLESS: &str = "enable.gapless.guarantee";

/// The callbacks of a producer.
#[derive(Debug, Clone)]
pub(super) struct Context {
    shared: Arc<Shared>,
    /// Whether another producer is in use, or none.
    is_retired: Arc<AtomicBool>,
}

/// What is the same for one producer after the other.
#[derive(Debug)]
struct Shared {
    reports: Reports,
    broker: BrokerStatus,
    /// Topics that refused a record for its size.
    too_large: Mutex<BTreeSet<String>>,
    complaints: Throttle,
}

impl Context {
    pub(super) fn new(reports: Reports, broker: BrokerStatus) -> Self {
        let shared = Shared {
            reports,
            broker,
            too_large: Mutex::default(),
            complaints: Throttle::default(),
        };
        Self {
            shared: Arc::new(shared),
            is_retired: Arc::default(),
        }
    }

    /// Those of another producer.
    pub(super) fn of_another(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            is_retired: Arc::default(),
        }
    }

    /// From here on, what the producer knows of brokers is of no interest; what became of its records is.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Where to put what it knows of brokers.
    fn broker(&self) -> Option<&BrokerStatus> {
        let is_retired = self.is_retired.load(Ordering::Relaxed);
        (!is_retired).then_some(&self.shared.broker)
    }

    /// The topics that refused a record for its size since this was asked last.
    pub(super) fn take_too_large(&self) -> BTreeSet<String> {
        let topics = self.shared.too_large.lock();
        std::mem::take(&mut *topics.unwrap_or_else(PoisonError::into_inner))
    }

    fn complain(&self, facility: &str, message: &str) {
        if let Some(unsaid) = self.shared.complaints.admit() {
            warn!(target: "librdkafka", facility, unsaid, "{message}");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // Why there is no connection. One that ends after it was up was most likely idle.
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info
                if facility == "FAIL" && !message.contains("in state UP") =>
            {
                self.complain(facility, message);
            }
            // Who sets it knows.
            RDKafkaLogLevel::Warning if message.contains(GAPLESS) => {
                debug!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => self.complain(facility, message),
            // What failed for good is told of the records that failed.
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info
            | RDKafkaLogLevel::Debug => {
                debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(broker) = self.broker() {
            broker.update(&statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(broker) = self.broker() else {
            return;
        };
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => broker.set(BrokerState::Unreachable),
            Some(code @ (Code::Authentication | Code::SSL)) => {
                broker.refused(Problem {
                    reason: format!("{code}: {reason}"),
                    remedy: remedy(code),
                });
            }
            Some(Code::Fatal) => debug!(%error, reason, "the producer is to be made anew"),
            _ => {
                if let Some(unsaid) = self.shared.complaints.admit() {
                    warn!(%error, reason, unsaid, "kafka");
                }
            }
        }
    }
}

impl ProducerContext for Context {
    /// The ticket.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let told = match result {
            Ok(_) => {
                self.shared.broker.delivered();
                Ok(())
            }
            Err((error, message)) => {
                let failure = failure(error);
                if failure == Failure::TooLarge(None) {
                    let topics = self.shared.too_large.lock();
                    let mut topics = topics.unwrap_or_else(PoisonError::into_inner);
                    topics.insert(message.topic().to_owned());
                }
                Err(failure)
            }
        };
        self.shared.reports.tell(ticket as u64, told);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rdkafka::statistics::Broker;

    use super::*;
    use crate::delivery::testing::Told;

    fn statistics(retries: u64) -> Statistics {
        let broker = Broker {
            txretries: retries,
            ..Broker::default()
        };
        Statistics {
            brokers: HashMap::from([("one".to_owned(), broker)]),
            ..Statistics::default()
        }
    }

    #[test]
    fn what_a_retired_producer_counts_is_not_counted_twice() {
        let broker = BrokerStatus::default();
        let first = Context::new(Told::default().reports(), broker.clone());
        let retries = || broker.figures().counted.retries;
        first.stats(statistics(3));
        assert_eq!(retries(), 3);
        first.retire();
        broker.retire();
        first.stats(statistics(4));
        assert_eq!(retries(), 3);
        first.of_another().stats(statistics(1));
        assert_eq!(retries(), 4);
    }
}
