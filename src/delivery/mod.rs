//! Records on their way to where they are looked at: Kafka, a file, standard output, any of them together.
//!
//! ```text
//! publish ─► lane of a sink: queue (records, bytes) ─► window ─► sink
//!                               └─► spool (disk) ───────┘
//! ```
//!
//! Each sink has a lane of its own, which is a thread, and which no other one holds up. Lines of outcomes have a delivery
//! of their own, with sinks, lanes and queues of its own ([`Delivery::start_outcomes`]).
//!
//! Invariants:
//!
//! - [`Delivery::publish`] never waits. Without room for a record, that one is dropped, and counted.
//! - Every record is published or dropped with a reason, once for each sink: found = waiting + spooled + published +
//!   dropped, at any time ([`Totals`]).
//! - Records of one key reach the sink in the order in which they were found, over failures and restarts. One that
//!   the sink took without being able to say so reaches it twice.
//! - With a spool, what the sink does not confirm within a second is on disk.
//!
//! # Layout
//!
//! - `file`, `kafka`, `stdout`: the sinks
//! - `lane`: the way to one of them
//! - `ledger`: what became of the records
//! - `lines`: records as lines, for sinks of such
//! - `metrics`: that, for everybody to see
//! - `plugged`: sinks that are written in code
//! - `outgoing`: a record, and its form on disk
//! - `shared`: what publishers, lane and sink share
//! - `sink`: what a lane knows of a sink
//! - `window`: what a sink has and has not confirmed

mod file;
mod kafka;
mod lane;
mod ledger;
mod lines;
mod metrics;
mod outgoing;
mod plugged;
mod shared;
mod sink;
mod stdout;
#[cfg(test)]
mod testing;
mod window;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::timeout_at;
use tracing::{error, info, warn};

pub use kafka::{BrokerState, BrokerStatus};
pub use lane::Shorten;
pub use ledger::{DropReason, Totals};
pub use outgoing::Outgoing;
pub use sink::Problem;

use crate::config;
use crate::hooks::Plugged;
use crate::spool::{self, Spool};
use crate::telemetry::Throttle;
use crate::telemetry::metrics::DELIVERY;
use file::FileSink;
use kafka::KafkaSink;
use lane::{END_PATIENCE, Lane};
use ledger::Ledger;
use plugged::PluggedSink;
use shared::{Bounds, Shared};
use sink::{Reports, Sink};
use stdout::StdoutSink;

/// The names of a delivery's sinks.
#[derive(Debug, Clone, Copy)]
struct Names {
    kafka: &'static str,
    file: &'static str,
    stdout: &'static str,
}

/// Those of the sinks of differences.
const DIFFERENCES: Names = Names {
    kafka: "kafka",
    file: "file",
    stdout: "stdout",
};

/// Those of the sinks of outcomes.
const OUTCOMES: Names = Names {
    kafka: "outcomes_kafka",
    file: "outcomes_file",
    stdout: "outcomes_stdout",
};

/// Why delivery can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// librdkafka refuses its configuration, or can't start.
    #[error("the Kafka producer can't be created")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The spool can't be opened.
    #[error("spool.directory")]
    Spool(#[from] spool::OpenError),
    /// The file can't be opened.
    #[error("{0}")]
    File(io::Error),
    /// Standard output can't be used.
    #[error("standard output can't be used: {0}")]
    Stdout(io::Error),
    /// A sink of a hook has a name that can't be one.
    #[error(
        "the name of a sink must be of letters, digits, `_` and `-`, and no other sink's: {0:?}"
    )]
    Name(&'static str),
    /// There is no thread for a lane.
    #[error("a thread can't be started: {0}")]
    Thread(io::Error),
}

/// The way to all sinks.
#[derive(Debug)]
pub struct Delivery {
    lanes: Vec<Handle>,
    broker: Option<BrokerStatus>,
    names: Names,
}

/// A lane that runs.
#[derive(Debug)]
struct Handle {
    name: &'static str,
    shared: Arc<Shared>,
    /// Closed when it has ended.
    ended: watch::Receiver<()>,
    /// The disk did not let the spool be opened.
    lacks_spool: bool,
    /// Keeps the log readable while there is no room.
    drops: Throttle,
}

/// What is said of a spool that the disk did not let be opened.
const NO_SPOOL: &str = "the spool could not be opened at the start, so records for which memory has no room will \
    be lost: mend its disk, and start miffy again";

impl Handle {
    fn push(&self, record: Outgoing) {
        if let Err(reason) = self.shared.push(record)
            && let Some(unsaid) = self.drops.admit()
        {
            let (sink, reason) = (self.name, reason.name());
            warn!(sink, reason, unsaid, "a record was dropped");
        }
    }
}

/// How a sink is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkState {
    /// Its name.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: Option<Problem>,
    /// What became of its records.
    pub totals: Totals,
    /// Why records were dropped, with their numbers, as in `queue_full=3 too_large=1`.
    pub drops: String,
}

impl Delivery {
    /// Starts the lanes of all sinks that are on. To be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub fn start(settings: &config::Settings, shorten: Shorten) -> Result<Self, StartError> {
        let topics = settings.routes.iter().map(|route| route.topic.as_str());
        let starter = Starter {
            settings,
            queue: settings.delivery,
            spool: settings.spool.as_ref(),
            shorten,
            names: DIFFERENCES,
        };
        let topics = settings.kafka.enabled.then(|| topics.collect());
        starter.start_all(topics, settings.file.as_ref(), settings.stdout)
    }

    /// Starts the lanes of all sinks that outcomes go to. They have no spool, and what is too large is dropped. To be
    /// called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub fn start_outcomes(
        settings: &config::Settings,
        outcomes: &config::Outcomes,
    ) -> Result<Self, StartError> {
        let starter = Starter {
            settings,
            queue: outcomes.queue,
            spool: None,
            shorten: |_, _| None,
            names: OUTCOMES,
        };
        let topic = outcomes.topic.as_deref();
        let topics = topic.map(|topic| BTreeSet::from([topic]));
        starter.start_all(topics, outcomes.file.as_ref(), outcomes.stdout)
    }

    /// Starts lanes of sinks that are written in code, too. To be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(crate) fn with(
        mut self,
        settings: &config::Settings,
        shorten: Shorten,
        sinks: Vec<Plugged>,
    ) -> Result<Self, StartError> {
        let starter = Starter {
            settings,
            queue: settings.delivery,
            spool: settings.spool.as_ref(),
            shorten,
            names: DIFFERENCES,
        };
        for Plugged { name, sink } in sinks {
            let is_taken = self.lanes.iter().any(|lane| lane.name == name);
            if is_taken || !plugged::is_name(name) {
                return Err(StartError::Name(name));
            }
            let start =
                |reports| PluggedSink::start(name, sink, reports).map_err(StartError::Thread);
            self.lanes.push(starter.start(name, start)?);
        }
        Ok(self)
    }

    /// Queues a record for every sink, or drops it where there is no room; never waits.
    pub fn publish(&self, record: Outgoing) {
        let Some((last, others)) = self.lanes.split_last() else {
            return;
        };
        for lane in others {
            lane.push(record.clone());
        }
        last.push(record);
    }

    /// A difference for which no record could be made.
    pub fn unwritable(&self) {
        for lane in &self.lanes {
            lane.shared
                .ledger(|ledger| ledger.refuse(DropReason::Internal));
        }
    }

    /// Whether a broker is reached; `None` without Kafka.
    #[must_use]
    pub fn broker(&self) -> Option<BrokerState> {
        self.broker.as_ref().map(BrokerStatus::get)
    }

    /// How each sink is doing.
    #[must_use]
    pub fn sinks(&self) -> Vec<SinkState> {
        let state = |lane: &Handle| {
            let account = |ledger: &mut Ledger| (ledger.totals(), ledger.drops());
            let (totals, drops) = lane.shared.ledger(account);
            SinkState {
                name: lane.name,
                problem: self.problem(lane),
                totals,
                drops,
            }
        };
        self.lanes.iter().map(state).collect()
    }

    /// What may lose records, beside what is configured so.
    #[must_use]
    pub fn warnings(&self) -> Option<&'static str> {
        let lacks_spool = self.lanes.iter().any(|lane| lane.lacks_spool);
        lacks_spool.then_some(NO_SPOOL)
    }

    /// What is wrong with a sink: with its records, or else with its broker.
    fn problem(&self, lane: &Handle) -> Option<Problem> {
        let broker = self.broker.as_ref();
        let broker = broker.filter(|_| lane.name == self.names.kafka);
        lane.shared.problem().or_else(|| {
            let broker = broker?;
            let is_away = broker.get() == BrokerState::Unreachable;
            broker.problem().or_else(|| {
                is_away.then(|| Problem {
                    reason: "no broker is reached".to_owned(),
                    remedy: None,
                })
            })
        })
    }

    /// Brings the metrics up to date; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub fn sample(&self) {
        for lane in &self.lanes {
            metrics::sample(lane, self.problem(lane).is_some());
        }
        // librdkafka's figures are those of the one producer that differences go through.
        let is_of_differences = self.names.kafka == DIFFERENCES.kafka;
        if let Some(broker) = self.broker.as_ref().filter(|_| is_of_differences) {
            metrics::sample_kafka(broker);
        }
    }

    /// Takes no more records, and delivers those it has until `deadline`. What is left is on disk then, or dropped.
    pub async fn drain(&self, deadline: Instant) -> Vec<SinkState> {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        // What is not delivered by the end takes its time, too.
        let end = now + left.saturating_sub((left / 4).min(2 * END_PATIENCE));
        for lane in &self.lanes {
            lane.shared.stop(end);
        }
        let patience = deadline + 2 * END_PATIENCE;
        for lane in &self.lanes {
            let mut ended = lane.ended.clone();
            // An error says that it has ended.
            let _ended = timeout_at(patience.into(), ended.changed()).await;
        }
        let mut sinks = self.sinks();
        for sink in &mut sinks {
            // Of what a sink has not told by now, nobody will hear.
            sink.totals.dropped += std::mem::take(&mut sink.totals.waiting);
        }
        sinks
    }
}

/// Tells of a lane that ends by a panic. What is found from then on is dropped as soon as the queue is full.
struct Mourner(Arc<Shared>);

impl Drop for Mourner {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set_problem(Problem {
                reason: "a defect of miffy's has ended its delivery".to_owned(),
                remedy: Some("restart miffy, and report what the log says"),
            });
        }
    }
}

/// Starts lanes.
struct Starter<'s> {
    settings: &'s config::Settings,
    queue: config::Delivery,
    spool: Option<&'s config::Spool>,
    shorten: Shorten,
    names: Names,
}

impl Starter<'_> {
    /// Starts the lanes of Kafka, if there are topics, of a file, if there is one, and of standard output.
    fn start_all(
        &self,
        topics: Option<BTreeSet<&str>>,
        file: Option<&config::File>,
        stdout: bool,
    ) -> Result<Delivery, StartError> {
        let config::Settings {
            kafka,
            topics: creation,
            ..
        } = self.settings;
        let mut lanes = Vec::new();
        let mut broker = None;
        if let Some(topics) = topics {
            let broker = broker.insert(BrokerStatus::default());
            lanes.push(self.start(self.names.kafka, |reports| {
                let mut sink = KafkaSink::new(kafka, reports, broker.clone())?;
                if creation.create {
                    sink.create_topics(topics, *creation);
                }
                Ok(sink)
            })?);
        }
        if let Some(file) = file {
            lanes.push(self.start(self.names.file, |reports| {
                FileSink::new(file.clone(), reports).map_err(StartError::File)
            })?);
        }
        if stdout {
            let start = |reports| StdoutSink::new(reports).map_err(StartError::Stdout);
            lanes.push(self.start(self.names.stdout, start)?);
        }
        Ok(Delivery {
            lanes,
            broker,
            names: self.names,
        })
    }

    fn start<S: Sink + 'static>(
        &self,
        name: &'static str,
        sink: impl FnOnce(Reports) -> Result<S, StartError>,
    ) -> Result<Handle, StartError> {
        let bounds = Bounds {
            records: self.queue.queue_records,
            bytes: self.queue.queue_bytes,
        };
        let shared = Arc::new(Shared::new(bounds));
        let sink = sink(Reports::new(shared.clone()))?;
        let spool = self
            .spool
            .map(|spool| usable(name, Spool::open(spool.options(name))));
        let lacks_spool = matches!(spool, Some(Ok(None)));
        let spool = spool.transpose()?.flatten();
        if let Some(spool) = spool.as_ref().filter(|spool| spool.entries() > 0) {
            let records = spool.entries();
            info!(
                sink = name,
                records, "records that were left in the spool are delivered first"
            );
            shared.ledger(|ledger| ledger.recover(records));
        }
        let parts = lane::Parts {
            name,
            shared: shared.clone(),
            spool,
            bounds,
            shorten: self.shorten,
            latency: ::metrics::histogram!(DELIVERY, "sink" => name),
        };
        let lane = Lane::new(parts, sink);
        let (ending, ended) = watch::channel(());
        let mourner = Mourner(shared.clone());
        let run = move || {
            let sink = lane.run();
            drop(mourner);
            drop(ending);
            // The sink's own end may take its time, and nobody waits for it.
            drop(sink);
        };
        let thread = thread::Builder::new().name(format!("{name}-lane"));
        thread.spawn(run).map_err(StartError::Thread)?;
        Ok(Handle {
            name,
            shared,
            ended,
            lacks_spool,
            drops: Throttle::default(),
        })
    }
}

/// A spool if it can be used. A disk that has failed since must not keep the proxy from serving; what can only be wrongly
/// configured is told at the start.
fn usable(
    sink: &str,
    opened: Result<Spool, spool::OpenError>,
) -> Result<Option<Spool>, spool::OpenError> {
    match opened {
        Err(error) if error.is_of_the_disk() => {
            error!(sink, %error, "{NO_SPOOL}");
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_disk_that_fails_is_no_reason_not_to_start_and_a_wrong_directory_is() {
        let opened = |kind: ErrorKind| {
            let error = spool::OpenError::Io(PathBuf::from("spool"), kind.into());
            usable("test", Err(error))
        };
        for kind in [
            ErrorKind::ReadOnlyFilesystem,
            ErrorKind::StorageFull,
            ErrorKind::Other,
        ] {
            assert!(matches!(opened(kind), Ok(None)), "{kind}");
        }
        for kind in [ErrorKind::PermissionDenied, ErrorKind::NotADirectory] {
            assert!(opened(kind).is_err(), "{kind}");
        }
        let in_use = spool::OpenError::InUse(PathBuf::from("spool"));
        assert!(usable("test", Err(in_use)).is_err());
    }
}
