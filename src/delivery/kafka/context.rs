//! What librdkafka calls back.

use std::collections::BTreeSet;
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

/// The callbacks of one producer after the other.
#[derive(Debug, Clone)]
pub(super) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reports: Reports,
    broker: BrokerStatus,
    /// Topics that refused a record for its size.
    too_large: Mutex<BTreeSet<String>>,
    complaints: Throttle,
}

impl Context {
    pub(super) fn new(reports: Reports, broker: BrokerStatus) -> Self {
        Self(Arc::new(Inner {
            reports,
            broker,
            too_large: Mutex::default(),
            complaints: Throttle::default(),
        }))
    }

    /// The topics that refused a record for its size since this was asked last.
    pub(super) fn take_too_large(&self) -> BTreeSet<String> {
        let topics = self.0.too_large.lock();
        std::mem::take(&mut *topics.unwrap_or_else(PoisonError::into_inner))
    }

    fn complain(&self, facility: &str, message: &str) {
        if let Some(unsaid) = self.0.complaints.admit() {
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
        self.0.broker.update(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => self.0.broker.set(BrokerState::Unreachable),
            Some(code @ (Code::Authentication | Code::SSL)) => {
                self.0.broker.refused(Problem {
                    reason: format!("{code}: {reason}"),
                    remedy: remedy(code),
                });
            }
            Some(Code::Fatal) => debug!(%error, reason, "the producer is to be made anew"),
            _ => {
                if let Some(unsaid) = self.0.complaints.admit() {
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
                self.0.broker.delivered();
                Ok(())
            }
            Err((error, message)) => {
                let failure = failure(error);
                if failure == Failure::TooLarge(None) {
                    let topics = self.0.too_large.lock();
                    let mut topics = topics.unwrap_or_else(PoisonError::into_inner);
                    topics.insert(message.topic().to_owned());
                }
                Err(failure)
            }
        };
        self.0.reports.tell(ticket as u64, told);
    }
}
