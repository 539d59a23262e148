//! Every metric's name, kind, unit and meaning, and the recorder that holds them.
//!
//! Handles are registered once, at start; counting is then an atomic addition. Nothing is global, so
//! that several proxies in one process keep their numbers apart.
//!
//! [`METRICS`] is the whole list. `docs/metrics.md` repeats it, and a test compares the two with what
//! is exported.

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Requests sent, by role.
pub const REQUESTS: &str = "miffy_requests_total";
/// Answers that miffy gave itself.
pub const GATEWAY_ERRORS: &str = "miffy_gateway_errors_total";
/// Matched requests by experiment and outcome.
pub const OUTCOMES: &str = "miffy_outcomes_total";
/// Differences that rules took out, by experiment and rule.
pub const RULE_HITS: &str = "miffy_rule_hits_total";
/// Time to the response's head, by role.
pub const FIRST_BYTE: &str = "miffy_first_byte_seconds";
/// Time to the response's end, by role.
pub const EXCHANGE: &str = "miffy_exchange_seconds";
/// Records of differences, by sink.
pub const RECORDS_FOUND: &str = "miffy_records_found_total";
/// Of these, those that an earlier process left in the spool.
pub const RECORDS_RECOVERED: &str = "miffy_records_recovered_total";
/// Records that a sink took.
pub const RECORDS_PUBLISHED: &str = "miffy_records_published_total";
/// Records that did not reach a sink, by reason.
pub const RECORDS_DROPPED: &str = "miffy_records_dropped_total";
/// Times that a record was shortened for a sink.
pub const RECORDS_SHORTENED: &str = "miffy_records_shortened_total";
/// Records in memory on their way to a sink.
pub const WAITING_RECORDS: &str = "miffy_delivery_waiting_records";
/// Their bytes.
pub const WAITING_BYTES: &str = "miffy_delivery_waiting_bytes";
/// Whether a sink takes no records.
pub const DELIVERY_FAILING: &str = "miffy_delivery_failing";
/// Time from a difference to its record's being taken, by sink.
pub const DELIVERY: &str = "miffy_delivery_seconds";
/// Records on disk on their way to a sink.
pub const SPOOL_RECORDS: &str = "miffy_spool_records";
/// Bytes of a sink's spool.
pub const SPOOL_BYTES: &str = "miffy_spool_bytes";
/// Whether a broker is connected.
pub const KAFKA_UP: &str = "miffy_kafka_up";
/// Whether this broker is.
pub const KAFKA_BROKER_UP: &str = "miffy_kafka_broker_up";
/// A broker's round-trip times.
pub const KAFKA_ROUND_TRIP: &str = "miffy_kafka_round_trip_seconds";
/// Records that librdkafka has.
pub const KAFKA_QUEUE_RECORDS: &str = "miffy_kafka_queue_records";
/// Their bytes.
pub const KAFKA_QUEUE_BYTES: &str = "miffy_kafka_queue_bytes";
/// Requests to brokers that were sent again.
pub const KAFKA_RETRIES: &str = "miffy_kafka_retries_total";
/// Requests to brokers that could not be sent.
pub const KAFKA_ERRORS: &str = "miffy_kafka_errors_total";
/// Requests that brokers did not answer in time.
pub const KAFKA_TIMEOUTS: &str = "miffy_kafka_timeouts_total";
/// Requests that the fastest backend answered, by experiment and backend.
pub const FASTEST: &str = "miffy_fastest_total";
/// Client connections.
pub const CONNECTIONS: &str = "miffy_connections";
/// Requests of clients being answered.
pub const LIVE_IN_FLIGHT: &str = "miffy_live_in_flight";
/// Exchanges being mirrored.
pub const SHADOW_IN_FLIGHT: &str = "miffy_shadow_in_flight";
/// Whether an experiment is paused.
pub const EXPERIMENT_PAUSED: &str = "miffy_experiment_paused";
/// The part of an experiment's requests that is mirrored.
pub const SAMPLE_RATE: &str = "miffy_experiment_sample_rate";
/// Times that the configuration was read again, by result.
pub const RELOADS: &str = "miffy_config_reloads_total";
/// When the configuration in effect was read.
pub const LAST_RELOAD: &str = "miffy_config_last_reload_timestamp_seconds";
/// Whether the last reload was a success.
pub const LAST_RELOAD_SUCCESSFUL: &str = "miffy_config_last_reload_successful";
/// Whether an experiment's candidate, or its secondary, is left alone.
pub const BREAKER_OPEN: &str = "miffy_breaker_open";
/// Locations that are taken for noise, by experiment.
pub const NOISE_LOCATIONS: &str = "miffy_noise_locations";
/// Differences at such locations, by experiment.
pub const NOISE_DIFFERENCES: &str = "miffy_noise_differences_total";
/// Exchanges without the second answer that was wanted, by experiment and reason.
pub const NOISE_UNANSWERED: &str = "miffy_noise_unanswered_total";
/// Locations that there was no room to learn, by experiment.
pub const NOISE_UNLEARNED: &str = "miffy_noise_unlearned_total";
/// Calls of hooks that came to nothing, by hook and reason.
pub const HOOK_FAILURES: &str = "miffy_hook_failures_total";
/// Times that a client met a limit.
pub const CLIENT_LIMITS: &str = "miffy_client_limits_total";
/// Bytes of captured bodies.
pub const CAPTURED_BYTES: &str = "miffy_captured_bytes";
/// Lost log lines.
pub const LOG_LINES_DROPPED: &str = "miffy_log_lines_dropped_total";
/// The build.
pub const BUILD_INFO: &str = "miffy_build_info";

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// One metric, described.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// Its labels' names.
    pub labels: &'static [&'static str],
    /// What it means.
    pub description: &'static str,
}

const fn define(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    description: &'static str,
) -> Definition {
    Definition {
        name,
        kind,
        unit,
        labels,
        description,
    }
}

/// Every metric there is.
#[rustfmt::skip]
pub const METRICS: [Definition; 44] = [
    define(REQUESTS, Kind::Counter, Unit::Count, &["role"],
        "Requests for a backend, by the role it is given: reference, candidate, secondary or upstream."),
    define(GATEWAY_ERRORS, Kind::Counter, Unit::Count, &["status"],
        "Answers that miffy gave itself, because the reference was not reached (502) or not in time (504)."),
    define(OUTCOMES, Kind::Counter, Unit::Count, &["experiment", "candidate", "outcome", "reason"],
        "Requests that matched an experiment, by their one outcome for each candidate, and its reason."),
    define(RULE_HITS, Kind::Counter, Unit::Count, &["experiment", "candidate", "rule"],
        "Differences that a rule of [compare] took out, and arrays that it aligned; a rule at 0 never matched."),
    define(FASTEST, Kind::Counter, Unit::Count, &["experiment", "backend"],
        "Requests of an experiment with respond = \"fastest\" that this backend answered: the reference, or a candidate by its name."),
    define(FIRST_BYTE, Kind::Histogram, Unit::Seconds, &["role"],
        "Time from sending a request to its response's head, by role."),
    define(EXCHANGE, Kind::Histogram, Unit::Seconds, &["role"],
        "Time from sending a request to its response's last byte, by role, in experiments."),
    define(RECORDS_FOUND, Kind::Counter, Unit::Count, &["sink"],
        "Records of differences, and lines of outcomes for sinks of these: the sum of published, dropped, waiting and spooled."),
    define(RECORDS_RECOVERED, Kind::Counter, Unit::Count, &["sink"],
        "Of the records found, those that an earlier process left in the spool."),
    define(RECORDS_PUBLISHED, Kind::Counter, Unit::Count, &["sink"],
        "Records that the sink took: Kafka acknowledged them, or they were written."),
    define(RECORDS_DROPPED, Kind::Counter, Unit::Count, &["sink", "reason"],
        "Records that did not reach the sink, by reason."),
    define(RECORDS_SHORTENED, Kind::Counter, Unit::Count, &["sink"],
        "Times that a record was shortened because the sink takes none of its size."),
    define(WAITING_RECORDS, Kind::Gauge, Unit::Count, &["sink"],
        "Records in memory that the sink has not confirmed, and that are not in the spool."),
    define(WAITING_BYTES, Kind::Gauge, Unit::Bytes, &["sink"],
        "Size of these records."),
    define(SPOOL_RECORDS, Kind::Gauge, Unit::Count, &["sink"],
        "Records in the spool that the sink has not confirmed."),
    define(SPOOL_BYTES, Kind::Gauge, Unit::Bytes, &["sink"],
        "What the spool takes of the disk."),
    define(DELIVERY_FAILING, Kind::Gauge, Unit::Count, &["sink"],
        "1 while the sink takes no records, for the reason that /readyz tells, 0 while it does."),
    define(DELIVERY, Kind::Histogram, Unit::Seconds, &["sink"],
        "Time from finding a difference, or the outcome, to the sink's confirmation, time in the spool included."),
    define(KAFKA_UP, Kind::Gauge, Unit::Count, &[],
        "1 while a Kafka broker is connected, 0 while none is."),
    define(KAFKA_BROKER_UP, Kind::Gauge, Unit::Count, &["broker"],
        "1 while this broker is connected, by its id."),
    define(KAFKA_ROUND_TRIP, Kind::Gauge, Unit::Seconds, &["broker", "quantile"],
        "Round-trip times of requests to this broker, in librdkafka's last interval that had some."),
    define(KAFKA_QUEUE_RECORDS, Kind::Gauge, Unit::Count, &[],
        "Records that librdkafka has, under way included."),
    define(KAFKA_QUEUE_BYTES, Kind::Gauge, Unit::Bytes, &[],
        "Size of these records."),
    define(KAFKA_RETRIES, Kind::Counter, Unit::Count, &[],
        "Requests to brokers that were sent again."),
    define(KAFKA_ERRORS, Kind::Counter, Unit::Count, &[],
        "Requests to brokers that could not be sent."),
    define(KAFKA_TIMEOUTS, Kind::Counter, Unit::Count, &[],
        "Requests that brokers did not answer in time."),
    define(CONNECTIONS, Kind::Gauge, Unit::Count, &[],
        "Open connections of clients, upgraded ones among them."),
    define(CLIENT_LIMITS, Kind::Counter, Unit::Count, &["limit"],
        "Times that a limit of [clients] was met: a head that took too long, a target too long, no connection left."),
    define(LIVE_IN_FLIGHT, Kind::Gauge, Unit::Count, &[],
        "Requests of clients that are being answered."),
    define(SHADOW_IN_FLIGHT, Kind::Gauge, Unit::Count, &[],
        "Exchanges that are being mirrored or compared."),
    define(EXPERIMENT_PAUSED, Kind::Gauge, Unit::Count, &["experiment"],
        "1 while the experiment is paused, 0 while it is not."),
    define(SAMPLE_RATE, Kind::Gauge, Unit::Count, &["experiment"],
        "Part of the experiment's requests that is mirrored while it is not paused, from 0 to 1."),
    define(RELOADS, Kind::Counter, Unit::Count, &["result"],
        "Times that the configuration was read again, by result: success, or failure, which changes nothing."),
    define(LAST_RELOAD, Kind::Gauge, Unit::Seconds, &[],
        "When the configuration in effect was read, in seconds since 1970."),
    define(LAST_RELOAD_SUCCESSFUL, Kind::Gauge, Unit::Count, &[],
        "1 if the last reload was a success, or there was none; 0 if it failed, and what was before is in effect."),
    define(BREAKER_OPEN, Kind::Gauge, Unit::Count, &["experiment", "candidate", "role"],
        "1 while a candidate of the experiment, or its secondary, is left alone because it failed too often, 0 while it is asked."),
    define(NOISE_LOCATIONS, Kind::Gauge, Unit::Count, &["experiment", "candidate"],
        "Locations at which the reference's own answers differ as often as the candidate's, so that differences there are noise."),
    define(NOISE_DIFFERENCES, Kind::Counter, Unit::Count, &["experiment", "candidate", "suppressed"],
        "Differences at such locations, taken out or only said to be noise."),
    define(NOISE_UNANSWERED, Kind::Counter, Unit::Count, &["experiment", "candidate", "reason"],
        "Mirrored requests that had no second answer of the reference's code though there was to be one, by reason."),
    define(NOISE_UNLEARNED, Kind::Counter, Unit::Count, &["experiment", "candidate"],
        "Times that a location was not learned, because compare.noise.max_locations were known."),
    define(HOOK_FAILURES, Kind::Counter, Unit::Count, &["hook", "reason"],
        "Calls of hooks that panicked, were cut off, were not made, or gave what can't be used."),
    define(CAPTURED_BYTES, Kind::Gauge, Unit::Bytes, &[],
        "Size of the bodies that are held for comparison."),
    define(LOG_LINES_DROPPED, Kind::Counter, Unit::Count, &[],
        "Log lines lost because standard error was not read in time."),
    define(BUILD_INFO, Kind::Gauge, Unit::Count, &["version"],
        "1, with the version in its label."),
];

/// Upper bounds of the duration histograms' buckets, in seconds: 0.5 ms to a minute.
const BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// The recorder of one proxy's metrics.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// A recorder in which every metric is described.
    #[must_use]
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        let telemetry = Self { recorder, handle };
        telemetry.register(|| {
            METRICS.iter().for_each(describe);
            metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        });
        telemetry
    }

    /// Runs `register`, in which the `metrics` macros give handles of this recorder.
    pub fn register<T>(&self, register: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, register)
    }

    /// All metrics in Prometheus's text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Sorts observations into their histograms; to be called every few seconds, so that they don't
    /// pile up between two scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

fn describe(metric: &Definition) {
    match metric.kind {
        Kind::Counter => {
            metrics::describe_counter!(metric.name, metric.unit, metric.description);
        }
        Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.description),
        Kind::Histogram => {
            metrics::describe_histogram!(metric.name, metric.unit, metric.description);
        }
    }
}

/// The handle of a counter without labels, or with one; to be called in [`Telemetry::register`].
pub(crate) fn counter(name: &'static str, label: Option<(&'static str, &'static str)>) -> Counter {
    match label {
        Some((key, value)) => metrics::counter!(name, key => value),
        None => metrics::counter!(name),
    }
}

/// The handle of a gauge without labels; to be called in [`Telemetry::register`].
pub(crate) fn gauge(name: &'static str) -> Gauge {
    metrics::gauge!(name)
}

/// The handle of a role's histogram; to be called in [`Telemetry::register`].
pub(crate) fn of_role(name: &'static str, role: &'static str) -> Histogram {
    metrics::histogram!(name, "role" => role)
}
