//! The account of delivery in metrics. It is read when they are, all of a sink's at one moment, so that the sum holds in
//! every scrape.

use metrics::{counter, gauge};

use super::ledger::{DropReason, Ledger};
use super::{BrokerState, BrokerStatus, Handle};
use crate::telemetry::metrics as names;

/// Brings a sink's metrics up to date; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
pub(super) fn sample(lane: &Handle, is_failing: bool) {
    let ledger = lane.shared.ledger(|ledger| ledger.clone());
    let Ledger {
        waiting_bytes,
        spool_bytes,
        recovered,
        shortened,
        ..
    } = ledger;
    let totals = ledger.totals();
    let sink = lane.name;
    counter!(names::RECORDS_FOUND, "sink" => sink).absolute(totals.found);
    counter!(names::RECORDS_RECOVERED, "sink" => sink).absolute(recovered);
    counter!(names::RECORDS_PUBLISHED, "sink" => sink).absolute(totals.published);
    counter!(names::RECORDS_SHORTENED, "sink" => sink).absolute(shortened);
    for reason in DropReason::ALL {
        let dropped = ledger.dropped(reason);
        counter!(names::RECORDS_DROPPED, "sink" => sink, "reason" => reason.name())
            .absolute(dropped);
    }
    gauge!(names::WAITING_RECORDS, "sink" => sink).set(float(totals.waiting));
    gauge!(names::WAITING_BYTES, "sink" => sink).set(float(waiting_bytes as u64));
    gauge!(names::SPOOL_RECORDS, "sink" => sink).set(float(totals.spooled));
    gauge!(names::SPOOL_BYTES, "sink" => sink).set(float(spool_bytes));
    gauge!(names::DELIVERY_FAILING, "sink" => sink).set(float(is_failing.into()));
}

/// Brings librdkafka's figures up to date; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
pub(super) fn sample_kafka(broker: &BrokerStatus) {
    let is_up = broker.get() == BrokerState::Reached;
    let figures = broker.figures();
    gauge!(names::KAFKA_UP).set(float(is_up.into()));
    gauge!(names::KAFKA_QUEUE_RECORDS).set(float(figures.queue_records));
    gauge!(names::KAFKA_QUEUE_BYTES).set(float(figures.queue_bytes));
    counter!(names::KAFKA_RETRIES).absolute(figures.counted.retries);
    counter!(names::KAFKA_ERRORS).absolute(figures.counted.errors);
    counter!(names::KAFKA_TIMEOUTS).absolute(figures.counted.timeouts);
    for (id, broker) in figures.brokers {
        let id = id.to_string();
        gauge!(names::KAFKA_BROKER_UP, "broker" => id.clone()).set(float(broker.is_up.into()));
        for (quantile, micros) in ["0.5", "0.99"]
            .iter()
            .zip(broker.round_trip.into_iter().flatten())
        {
            gauge!(names::KAFKA_ROUND_TRIP, "broker" => id.clone(), "quantile" => *quantile)
                .set(float(micros.unsigned_abs()) / 1e6);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no gauge comes near 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}
