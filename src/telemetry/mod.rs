//! What miffy says of itself: the log, and metrics.
//!
//! # Layout
//!
//! - `logging`: the log's formats, and the writer that never makes anybody wait
//! - `metrics`: every metric's name, kind, unit and meaning; the recorder
//! - `stackdriver`: the log format of Google Cloud
//! - `throttle`: says a repeated thing once in a while

mod logging;
pub mod metrics;
mod stackdriver;
mod throttle;

pub use logging::{LogFormat, LogGuard, init_logging};
pub use metrics::Telemetry;
pub(crate) use throttle::Throttle;

/// A duration in milliseconds, as fine as microseconds.
pub(crate) fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
