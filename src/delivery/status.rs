//! Whether a broker is reached, as librdkafka tells.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

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
    /// The producer has failed for good, whatever the brokers do.
    Failed,
}

impl BrokerState {
    /// Its name in `/readyz`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reached => "reached",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

/// The state of the brokers, which logs its changes.
#[derive(Debug, Clone, Default)]
pub struct BrokerStatus(Arc<Mutex<BrokerState>>);

impl BrokerStatus {
    /// What is known now.
    #[must_use]
    pub fn get(&self) -> BrokerState {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, state: BrokerState) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == state || *current == BrokerState::Failed {
            return;
        }
        *current = state;
        match state {
            BrokerState::Unknown | BrokerState::Failed => {}
            BrokerState::Reached => info!("kafka is reached"),
            BrokerState::Unreachable => {
                warn!("kafka is not reached; records wait as long as there is room");
            }
        }
    }
}
