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
/// Records that Kafka acknowledged.
pub const RECORDS_PUBLISHED: &str = "miffy_records_published_total";
/// Records that did not reach Kafka, by reason.
pub const RECORDS_DROPPED: &str = "miffy_records_dropped_total";
/// Records in miffy's queue.
pub const QUEUE_RECORDS: &str = "miffy_delivery_queue_records";
/// Bytes of the records in miffy's queue.
pub const QUEUE_BYTES: &str = "miffy_delivery_queue_bytes";
/// Records handed to librdkafka and not yet acknowledged.
pub const KAFKA_QUEUE: &str = "miffy_kafka_queue_records";
/// Whether a broker is connected.
pub const KAFKA_UP: &str = "miffy_kafka_up";
/// Client connections.
pub const CONNECTIONS: &str = "miffy_connections";
/// Requests of clients being answered.
pub const LIVE_IN_FLIGHT: &str = "miffy_live_in_flight";
/// Exchanges being mirrored.
pub const SHADOW_IN_FLIGHT: &str = "miffy_shadow_in_flight";
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
pub const METRICS: [Definition; 24] = [
    define(REQUESTS, Kind::Counter, Unit::Count, &["role"],
        "Requests for a backend, by the role it is given: reference, candidate, secondary or upstream."),
    define(GATEWAY_ERRORS, Kind::Counter, Unit::Count, &["status"],
        "Answers that miffy gave itself, because the reference was not reached (502) or not in time (504)."),
    define(OUTCOMES, Kind::Counter, Unit::Count, &["experiment", "outcome", "reason"],
        "Requests that matched an experiment, by their one outcome and its reason."),
    define(RULE_HITS, Kind::Counter, Unit::Count, &["experiment", "rule"],
        "Differences that a rule of [compare] took out, and arrays that it aligned; a rule at 0 never matched."),
    define(FIRST_BYTE, Kind::Histogram, Unit::Seconds, &["role"],
        "Time from sending a request to its response's head, by role."),
    define(EXCHANGE, Kind::Histogram, Unit::Seconds, &["role"],
        "Time from sending a request to its response's last byte, by role, in experiments."),
    define(RECORDS_PUBLISHED, Kind::Counter, Unit::Count, &[],
        "Records of differences that Kafka acknowledged."),
    define(RECORDS_DROPPED, Kind::Counter, Unit::Count, &["reason"],
        "Records of differences that did not reach Kafka, by reason."),
    define(QUEUE_RECORDS, Kind::Gauge, Unit::Count, &[],
        "Records waiting in miffy's queue for librdkafka to take them."),
    define(QUEUE_BYTES, Kind::Gauge, Unit::Bytes, &[],
        "Size of the records waiting in miffy's queue."),
    define(KAFKA_QUEUE, Kind::Gauge, Unit::Count, &[],
        "Records that librdkafka took and Kafka has not acknowledged."),
    define(KAFKA_UP, Kind::Gauge, Unit::Count, &[],
        "1 while a Kafka broker is connected, 0 while none is."),
    define(CONNECTIONS, Kind::Gauge, Unit::Count, &[],
        "Open connections of clients, upgraded ones among them."),
    define(CLIENT_LIMITS, Kind::Counter, Unit::Count, &["limit"],
        "Times that a limit of [clients] was met: a head that took too long, a target too long, no connection left."),
    define(LIVE_IN_FLIGHT, Kind::Gauge, Unit::Count, &[],
        "Requests of clients that are being answered."),
    define(SHADOW_IN_FLIGHT, Kind::Gauge, Unit::Count, &[],
        "Exchanges that are being mirrored or compared."),
    define(BREAKER_OPEN, Kind::Gauge, Unit::Count, &["experiment", "role"],
        "1 while the experiment's candidate, or secondary, is left alone because it failed too often, 0 while it is asked."),
    define(NOISE_LOCATIONS, Kind::Gauge, Unit::Count, &["experiment"],
        "Locations at which the reference's own answers differ as often as the candidate's, so that differences there are noise."),
    define(NOISE_DIFFERENCES, Kind::Counter, Unit::Count, &["experiment", "suppressed"],
        "Differences at such locations, taken out or only said to be noise."),
    define(NOISE_UNANSWERED, Kind::Counter, Unit::Count, &["experiment", "reason"],
        "Mirrored requests that had no second answer of the reference's code though there was to be one, by reason."),
    define(NOISE_UNLEARNED, Kind::Counter, Unit::Count, &["experiment"],
        "Times that a location was not learned, because compare.noise.max_locations were known."),
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
