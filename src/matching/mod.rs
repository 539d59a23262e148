//! Which requests an experiment is about, beside their path: conditions on a request's head, and samples.
//!
//! Pure: no I/O, no clock; only chance, where a sample is left to it.
//!
//! # Layout
//!
//! - `conditions`: what a request's host, headers and query must be
//! - `sample`: how many of the requests, and which

mod conditions;
mod sample;

pub use conditions::{Conditions, Test};
pub use sample::{Rate, Sample, SampleBy};
