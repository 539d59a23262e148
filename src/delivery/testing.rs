//! What tests of sinks share.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::outgoing::Outgoing;
use super::shared::{Bounds, Shared};
use super::sink;

/// Collects what a sink tells.
#[derive(Clone)]
pub(super) struct Told(Arc<Shared>);

impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(Shared::new(Bounds {
            records: 0,
            bytes: 0,
        })))
    }
}

impl Told {
    pub(super) fn reports(&self) -> sink::Reports {
        sink::Reports::new(self.0.clone())
    }

    /// What was told since this was asked last.
    pub(super) fn take(&self) -> Vec<(u64, sink::Told)> {
        self.0.wait(Instant::now())
    }
}

/// A record of this payload.
pub(super) fn record(payload: &str) -> Outgoing {
    Outgoing {
        topic: "topic".into(),
        key: "key".into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}
