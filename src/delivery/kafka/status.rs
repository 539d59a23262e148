//! What librdkafka tells of the brokers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::statistics::Statistics;
use tracing::{info, warn};

use crate::delivery::sink::Problem;

/// What is known of the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BrokerState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// At least one is connected.
    Reached,
    /// None is.
    Unreachable,
}

impl BrokerState {
    /// Its name in `/readyz`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reached => "reached",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The state of the brokers, which logs its changes.
#[derive(Debug, Clone, Default)]
pub struct BrokerStatus(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    state: BrokerState,
    /// Why none is reached.
    problem: Option<Problem>,
    figures: Figures,
    /// Of producers that are no more.
    retired: Counted,
}

/// librdkafka's figures, as of its last statistics.
#[derive(Debug, Clone, Default)]
pub(in crate::delivery) struct Figures {
    /// By node id; those only that have one.
    pub(in crate::delivery) brokers: BTreeMap<i32, BrokerFigures>,
    /// Records that librdkafka has.
    pub(in crate::delivery) queue_records: u64,
    /// Their bytes.
    pub(in crate::delivery) queue_bytes: u64,
    pub(in crate::delivery) counted: Counted,
}

/// What only goes up.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::delivery) struct Counted {
    /// Requests that were sent again.
    pub(in crate::delivery) retries: u64,
    /// Requests that could not be sent.
    pub(in crate::delivery) errors: u64,
    /// Requests that were not answered in time.
    pub(in crate::delivery) timeouts: u64,
}

/// The figures of one broker.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::delivery) struct BrokerFigures {
    pub(in crate::delivery) is_up: bool,
    /// The median and the 99th percentile of round-trip times, in microseconds; once there was one.
    pub(in crate::delivery) round_trip: Option<[i64; 2]>,
}

impl Counted {
    fn plus(self, other: Self) -> Self {
        Self {
            retries: self.retries + other.retries,
            errors: self.errors + other.errors,
            timeouts: self.timeouts + other.timeouts,
        }
    }
}

impl BrokerStatus {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    #[must_use]
    pub fn get(&self) -> BrokerState {
        self.known().state
    }

    /// Why no broker is reached, if it is known.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        self.known().problem.clone()
    }

    /// The figures, counted over all producers there were.
    pub(in crate::delivery) fn figures(&self) -> Figures {
        let known = self.known();
        let mut figures = known.figures.clone();
        figures.counted = figures.counted.plus(known.retired);
        figures
    }

    pub(super) fn set(&self, state: BrokerState) {
        self.known().set(state);
    }

    /// A broker took a record.
    pub(super) fn delivered(&self) {
        let mut known = self.known();
        known.problem = None;
        // Statistics may be turned off.
        known.set(BrokerState::Reached);
    }

    /// A broker does not want to have to do with miffy.
    pub(super) fn refused(&self, problem: Problem) {
        let mut known = self.known();
        // Its words vary with each attempt.
        let before = known.problem.as_ref().map(|before| before.remedy);
        if before != Some(problem.remedy) {
            let Problem { reason, remedy } = &problem;
            warn!(reason, remedy, "kafka can't be used; records wait");
        }
        known.problem = Some(problem);
    }

    pub(super) fn update(&self, statistics: &Statistics) {
        const UP: &str = "UP";
        let nodes = statistics.brokers.values();
        let brokers = nodes.filter(|broker| broker.nodeid >= 0).map(|broker| {
            let round_trip = broker.rtt.as_ref().filter(|window| window.cnt > 0);
            let figures = BrokerFigures {
                is_up: broker.state == UP,
                round_trip: round_trip.map(|window| [window.p50, window.p99]),
            };
            (broker.nodeid, figures)
        });
        let sum =
            |of: fn(&rdkafka::statistics::Broker) -> u64| statistics.brokers.values().map(of).sum();
        let figures = Figures {
            brokers: brokers.collect(),
            queue_records: statistics.msg_cnt,
            queue_bytes: statistics.msg_size,
            counted: Counted {
                retries: sum(|broker| broker.txretries),
                errors: sum(|broker| broker.txerrs),
                timeouts: sum(|broker| broker.req_timeouts),
            },
        };
        let is_up = statistics.brokers.values().any(|broker| broker.state == UP);
        let mut known = self.known();
        known.figures.replace(figures);
        known.set(if is_up {
            BrokerState::Reached
        } else {
            BrokerState::Unreachable
        });
    }

    /// Another producer begins to count.
    pub(super) fn retire(&self) {
        let mut known = self.known();
        let counted = std::mem::take(&mut known.figures.counted);
        known.retired = known.retired.plus(counted);
    }
}

impl Known {
    fn set(&mut self, state: BrokerState) {
        if self.state == state {
            return;
        }
        self.state = state;
        match state {
            BrokerState::Unknown => {}
            BrokerState::Reached => info!("kafka is reached"),
            BrokerState::Unreachable => warn!("kafka is not reached; records wait"),
        }
    }
}

impl Figures {
    /// Round-trip times stay until there are new ones.
    fn replace(&mut self, mut new: Self) {
        for (id, broker) in &mut new.brokers {
            let before = self.brokers.get(id).and_then(|before| before.round_trip);
            broker.round_trip = broker.round_trip.or(before);
        }
        *self = new;
    }
}
