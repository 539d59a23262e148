//! Where records go.

use bytes::Bytes;

/// A record on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'r> {
    /// The Kafka topic of its experiment.
    pub topic: &'r str,
    /// Its key. Records of one key come in the order in which they were found.
    pub key: &'r str,
    /// A line of JSON without its end.
    pub payload: &'r Bytes,
}

/// Why a sink did not take a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something is wrong with the sink, as this text says in the log and `/readyz`. The record is given again after a
    /// pause, for as long as that takes.
    #[error("{0}")]
    Retry(String),
    /// The record will never be taken, for this reason. It is dropped, and counted.
    #[error("{0}")]
    Reject(String),
}

/// Takes records, one after the other, on a thread of its own.
///
/// It may block: records wait in its queue then, and in the spool if there is one, and no other sink waits. What became
/// of a record is counted in the same metrics as for Kafka, under the sink's name. A record may come twice, after a
/// failure or a restart.
///
/// A closure that takes a record is a sink:
///
/// ```
/// use miffy::hooks::{Record, Refusal, Sink};
///
/// fn is_sink(_: impl Sink) {}
///
/// is_sink(|record: &Record<'_>| {
///     if record.payload.len() > 1_000_000 {
///         return Err(Refusal::Reject("it is too long".to_owned()));
///     }
///     Ok(())
/// });
/// ```
pub trait Sink: Send {
    /// Takes a record.
    fn write(&mut self, record: &Record<'_>) -> Result<(), Refusal>;

    /// There is nothing more to take for the moment. A record counts as published once this was called after it, so that
    /// a sink may gather records and write them here. If it fails, all records since the last time are given again.
    fn flush(&mut self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl<F> Sink for F
where
    F: FnMut(&Record<'_>) -> Result<(), Refusal> + Send,
{
    fn write(&mut self, record: &Record<'_>) -> Result<(), Refusal> {
        self(record)
    }
}
