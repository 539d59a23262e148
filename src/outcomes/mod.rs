//! The stream of outcomes: a short line of JSON for every matched request and candidate, equal or not.
//!
//! [`Stream`] is an [`Observer`]. It writes a line for each [`Report`] of a request in the sample, and hands it to a
//! [`Delivery`] of its own, so that lines and differences never take each other's room. Where a lane has no more, the
//! newest line is dropped, and counted; nothing waits.
//!
//! The line is flat: names to texts and numbers, those left out that are not known. `docs/outcome.schema.json` is its
//! schema. It holds neither bodies, headers nor the query, and its path is what redaction leaves of it.
//!
//! # Layout
//!
//! - `line`: a report as a line

mod line;

use std::sync::Arc;

use bytes::Bytes;
use tracing::error;

use crate::config::Settings;
use crate::delivery::{Delivery, Outgoing, StartError};
use crate::matching::Rate;
use crate::shadow::{Observer, Report};
use line::Line;

/// Writes a line for each outcome of the requests in the sample.
#[derive(Debug)]
pub struct Stream {
    sample: Rate,
    topic: Arc<str>,
    delivery: Arc<Delivery>,
}

impl Stream {
    /// Starts the stream if lines go anywhere. To be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    ///
    /// # Errors
    ///
    /// When a place that they go to can't be used; the error names its key.
    pub fn start(settings: &Settings) -> Result<Option<Self>, StartError> {
        let Some(outcomes) = &settings.outcomes else {
            return Ok(None);
        };
        let delivery = Delivery::start_outcomes(settings, outcomes)?;
        Ok(Some(Self {
            sample: outcomes.sample,
            // Without a topic, no sink asks for one.
            topic: outcomes.topic.as_deref().unwrap_or_default().into(),
            delivery: Arc::new(delivery),
        }))
    }

    /// The way that lines take.
    #[must_use]
    pub fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }
}

impl Observer for Stream {
    fn ended(&self, report: &Report<'_>) {
        if !self.sample.takes(report.lot) {
            return;
        }
        match serde_json::to_vec(&Line::of(report)) {
            Ok(line) => self.delivery.publish(Outgoing {
                topic: self.topic.clone(),
                key: report.experiment.name.as_str().into(),
                payload: Bytes::from(line),
            }),
            Err(error) => {
                error!(%error, "an outcome's line can't be written");
                self.delivery.unwritable();
            }
        }
    }
}
