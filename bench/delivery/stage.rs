//! A miffy and everything around it, for one row.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::broker::Broker;
use crate::disk::SmallDisk;
use crate::fault::{End, Fault};
use crate::ledger::Ledger;
use crate::metrics::get;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::process::Miffy;
use crate::report::Row;
use crate::service::{Large, Manner, Service};
use crate::topic::Arrived;
use crate::traffic::{Phase, Traffic};
use crate::usage::peak_memory_mib;
use crate::wait::within;

/// What must not be part of a fault: Kafka's being reached, the delivery of everything, the end of pairs.
const REACHED: Duration = Duration::from_mins(1);
const DELIVERED: Duration = Duration::from_mins(3);
const QUIET: Duration = Duration::from_secs(10);

/// miffy's `shutdown_timeout`, and some.
const STOP: Duration = Duration::from_secs(20);

/// The part of a fault's time that the load goes on before it, and after it.
const PART: u64 = 3;

/// The services, whose answers always differ.
pub(crate) struct Stage<'o> {
    pub(crate) options: &'o Options,
    reference: Service,
    candidate: Service,
    /// Clients and the reference; the candidate has a thread of its own, so that one that is busy takes its share
    /// of the machine, but nobody's turn.
    pub(crate) live: Runtime,
    _aside: Runtime,
}

/// One row while it is made.
struct Scene<'s> {
    stage: &'s Stage<'s>,
    fault: Fault,
    broker: &'s Broker,
    topic: String,
    config: String,
    monitor: Monitor,
    traffic: Traffic,
    miffy: Miffy,
    /// Of those that have ended.
    ledger: Ledger,
    peak_mib: u64,
    /// What waited in memory when miffy was killed.
    in_memory: u64,
}

impl<'o> Stage<'o> {
    pub(crate) fn start(options: &'o Options) -> anyhow::Result<Self> {
        let live = Builder::new_multi_thread().enable_all().build()?;
        let aside = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let manner = |shift| Manner {
            shift,
            download: 0,
            large: Large::Plain,
        };
        let reference = live.block_on(Service::start(manner(0)))?;
        let candidate = aside.block_on(Service::start(manner(1)))?;
        Ok(Self {
            options,
            reference,
            candidate,
            live,
            _aside: aside,
        })
    }

    /// Lets the load go on, does what the fault is, and holds what arrived against what was found.
    pub(crate) fn run(&self, fault: Fault, broker: &Broker) -> anyhow::Result<Row> {
        let topic = fault.topic();
        self.live.block_on(broker.make_topic(&topic))?;
        fault.prepare(broker, &topic)?;
        let spool = TempDir::new()?;
        let disk = match fault {
            Fault::DiskFull if !self.options.no_spool => Some(SmallDisk::over(spool.path())?),
            _ => None,
        };
        let config = self.config(fault, broker, &topic, spool.path())?;
        let miffy = start_miffy(&config)?;
        let options = self.options;
        let traffic = Traffic::start(
            self.live.handle(),
            miffy.address,
            options,
            Some(options.rate),
        );
        let monitor = Monitor::start(options.rate / 10);
        monitor.watch(Some(miffy.management));
        let scene = Scene {
            stage: self,
            fault,
            broker,
            topic,
            config,
            monitor,
            traffic,
            miffy,
            ledger: Ledger::default(),
            peak_mib: 0,
            in_memory: 0,
        };
        let row = scene.play();
        // Not before miffy has ended, which uses it.
        drop(disk);
        row
    }

    pub(crate) fn config(
        &self,
        fault: Fault,
        broker: &Broker,
        topic: &str,
        spool: &Path,
    ) -> anyhow::Result<String> {
        let (reference, candidate) = (self.reference.address, self.candidate.address);
        let (properties, tables) = (broker.properties()?, fault.tables());
        let spool = if self.options.no_spool {
            String::new()
        } else {
            let (directory, (max_bytes, when_full)) = (spool.display(), fault.spool());
            format!(
                "[spool]\ndirectory = \"{directory}\"\nmax_bytes = \"{max_bytes}\"\nwhen_full = \"{when_full}\"\n"
            )
        };
        Ok(format!(
            r#"
            address = "127.0.0.1"
            port = 0
            management_address = "127.0.0.1"
            management_port = 0
            logging = "json"
            shutdown_timeout = "10s"
            shutdown_delay = "off"
            reference = "http://{reference}"
            candidate = "http://{candidate}"
            routes = [{{ path = "/items/{{key}}/{{n}}", name = "items", key = "key", methods = ["GET"] }}]
            [kafka]
            topic = "{topic}"
            {properties}
            {tables}
            {spool}
            "#
        ))
    }
}

/// Starts a miffy that reaches Kafka.
pub(crate) fn start_miffy(config: &str) -> anyhow::Result<Miffy> {
    let miffy = Miffy::start(config, None)?;
    within("Kafka's being reached", REACHED, || {
        Ok(get(miffy.management, "/readyz")?.contains("\"reached\""))
    })?;
    Ok(miffy)
}

impl Scene<'_> {
    fn play(mut self) -> anyhow::Result<Row> {
        let fault_time = Duration::from_secs(self.stage.options.seconds);
        let other_time = Duration::from_secs(self.stage.options.seconds.div_ceil(PART));
        sleep(other_time);
        self.traffic.enter(Phase::During);
        self.fault.begin(self.broker, &self.topic)?;
        match self.fault.miffys_end() {
            None => sleep(fault_time),
            Some(end) => {
                sleep(fault_time / 2);
                self.start_again(end)?;
                sleep(fault_time / 2);
            }
        }
        self.fault.mend(self.broker, &self.topic)?;
        self.monitor.mended();
        self.traffic.enter(Phase::After);
        sleep(other_time);
        self.finish()
    }

    /// Ends miffy and starts it again, while clients rest.
    fn start_again(&mut self, end: End) -> anyhow::Result<()> {
        let mut told = self.traffic.hold();
        self.monitor.watch(None);
        let mut ledger = settled(self.miffy.management)?;
        self.peak_mib = self.peak_mib.max(peak_memory_mib(self.miffy.id)?);
        match end {
            End::InOrder => ledger.correct(&self.miffy.stop(STOP)?),
            End::AtOnce => {
                self.miffy.kill();
                self.in_memory = ledger.waiting;
            }
        }
        self.ledger.add(&ledger);
        self.miffy = Miffy::start(&self.config, None)?;
        told.server = self.miffy.address;
        drop(told);
        self.monitor.watch(Some(self.miffy.management));
        Ok(())
    }

    /// Ends the load, waits until everything is delivered, and ends miffy.
    fn finish(mut self) -> anyhow::Result<Row> {
        let (tallies, sent) = self.stage.live.block_on(self.traffic.end())?;
        let management = self.miffy.management;
        let delivered = settled(management).and_then(|_| {
            within(
                "the delivery of everything",
                DELIVERED,
                || match Ledger::scrape(management)?.backlog() {
                    0 => Ok(true),
                    backlog => bail!("{backlog} records wait"),
                },
            )
        });
        if delivered.is_ok() {
            self.monitor.drained();
        }
        let seen = self.monitor.seen();
        drop(self.monitor);
        self.peak_mib = self.peak_mib.max(peak_memory_mib(self.miffy.id)?);
        let mut ledger = Ledger::scrape(management)?;
        ledger.correct(&self.miffy.stop(STOP)?);
        self.ledger.add(&ledger);
        let mut row = Row {
            fault: self.fault,
            sent,
            tallies,
            ledger: self.ledger,
            in_memory: self.in_memory,
            arrived: Arrived::read(&self.broker.addresses, &self.topic)?,
            seen,
            peak_mib: self.peak_mib,
            broken: delivered
                .err()
                .map(|error| format!("{error:#}"))
                .into_iter()
                .collect(),
        };
        for line in self.miffy.panics() {
            row.broken.push(line);
        }
        row.check();
        Ok(row)
    }
}

/// Waits until no pair is under way; what is counted then.
fn settled(management: SocketAddr) -> anyhow::Result<Ledger> {
    within("the end of all pairs", QUIET, || {
        match Ledger::scrape(management)?.in_flight {
            0 => Ok(true),
            pairs => bail!("{pairs} are under way"),
        }
    })?;
    Ledger::scrape(management)
}
