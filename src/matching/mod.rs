//! Which requests an experiment is about, beside their path: conditions on a request's head, and samples.
//!
//! Pure: no I/O, no clock; only chance, where a sample is left to it.
//!
//! # Layout
//!
//! - `conditions`: what a request's host, headers and query must be
//! - `query`: a query's parameters, decoded
//! - `rate`: a part of the whole
//! - `sample`: which of the requests are mirrored
//! - `test`: what a value must be

mod conditions;
mod query;
mod rate;
mod sample;
mod test;

pub use conditions::Conditions;
pub use rate::{NotARate, Rate};
pub use sample::{Sample, SampleBy};
pub use test::{Pattern, Test};
