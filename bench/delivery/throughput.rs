//! What a difference costs, from the client's request to Kafka's acknowledgement, beside a bare producer's message of
//! the same size.
//!
//! Both have their processor time counted, since they share the machine with clients, services and broker, which
//! take the most of it: what one core sustains follows from that.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tempfile::TempDir;

use crate::broker::{Broker, Kind};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::stage::{Stage, start_miffy};
use crate::topic::Arrived;
use crate::traffic::Traffic;
use crate::usage::cpu_seconds;
use crate::wait::within;

const HEADER: &str = "\
| what | records | bytes each | s | records/s | CPU s per 1000 | records/s of one core |
|---|--:|--:|--:|--:|--:|--:|";

/// How long what is under way at the end may take.
const REST: Duration = Duration::from_mins(1);

/// What producing cost.
struct Cost {
    records: u64,
    time: Duration,
    cpu_seconds: f64,
}

#[expect(clippy::cast_precision_loss, reason = "they are far from 2^52")]
impl Cost {
    fn line(&self, what: &str, bytes: usize) -> String {
        let seconds = self.time.as_secs_f64();
        let rate = self.records as f64 / seconds;
        let (cpu, of_one_core) = (self.per_thousand(), 1000.0 / self.per_thousand());
        let records = self.records;
        format!(
            "| {what} | {records} | {bytes} | {seconds:.1} | {rate:.0} | {cpu:.3} | {of_one_core:.0} |"
        )
    }

    fn per_thousand(&self) -> f64 {
        self.cpu_seconds * 1000.0 / self.records as f64
    }
}

/// Measures both, and prints them.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let stage = Stage::start(options)?;
    let broker = Broker::start(Kind::Plain, options.port)?;
    let time = Duration::from_secs(options.seconds);
    let (miffy, payloads) = differences(&stage, &broker, time)?;
    let bytes = payloads.iter().map(Vec::len).sum::<usize>() / payloads.len();
    let producer = produce(&stage, &broker, &payloads, time)?;
    println!("{HEADER}");
    println!("{}", miffy.line("differences, by miffy", bytes));
    println!("{}", producer.line("messages, by a producer alone", bytes));
    let ratio = miffy.per_thousand() / producer.per_thousand();
    println!(
        "\nA difference costs miffy {ratio:.1} times what a message costs the producer alone."
    );
    Ok(())
}

/// Has miffy find as many differences as it can; some of its records, too.
fn differences(
    stage: &Stage<'_>,
    broker: &Broker,
    time: Duration,
) -> anyhow::Result<(Cost, Vec<Vec<u8>>)> {
    let topic = Fault::None.topic();
    stage.live.block_on(broker.make_topic(&topic))?;
    let spool = TempDir::new()?;
    let config = stage.config(Fault::None, broker, &topic, spool.path())?;
    let miffy = start_miffy(&config)?;
    let before = cpu_seconds(miffy.id)?;
    let begin = Instant::now();
    let traffic = Traffic::start(stage.live.handle(), miffy.address, stage.options, None);
    sleep(time);
    stage.live.block_on(traffic.end())?;
    within("the delivery of everything", REST, || {
        let ledger = Ledger::scrape(miffy.management)?;
        if ledger.in_flight + ledger.backlog() > 0 {
            bail!(
                "{} wait, {} are under way",
                ledger.backlog(),
                ledger.in_flight
            );
        }
        Ok(true)
    })?;
    let cost = Cost {
        records: Ledger::scrape(miffy.management)?.published,
        time: begin.elapsed(),
        cpu_seconds: cpu_seconds(miffy.id)? - before,
    };
    miffy.stop(REST)?;
    let payloads = Arrived::read(&broker.addresses, &topic)?.payloads;
    anyhow::ensure!(!payloads.is_empty(), "nothing was published");
    Ok((cost, payloads))
}

/// Sends the same payloads from this process, with miffy's defaults of librdkafka's properties.
fn produce(
    stage: &Stage<'_>,
    broker: &Broker,
    payloads: &[Vec<u8>],
    time: Duration,
) -> anyhow::Result<Cost> {
    let topic = Fault::None.topic();
    stage.live.block_on(broker.make_topic(&topic))?;
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &broker.addresses)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "gzip")
        .set("message.timeout.ms", "0")
        .set("queue.buffering.max.kbytes", "65536")
        .set("statistics.interval.ms", "1000")
        .create()?;
    let before = cpu_seconds(std::process::id())?;
    let begin = Instant::now();
    let mut records = 0;
    for (number, payload) in (0_u64..).zip(payloads.iter().cycle()) {
        if begin.elapsed() > time {
            break;
        }
        let key = format!("k{}", number % stage.options.keys);
        let mut message = BaseRecord::to(&topic).key(&key).payload(payload);
        while let Err((error, returned)) = producer.send(message) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            message = returned;
            sleep(Duration::from_millis(1));
        }
        records += 1;
    }
    producer
        .flush(REST)
        .context("not everything was delivered")?;
    Ok(Cost {
        records,
        time: begin.elapsed(),
        cpu_seconds: cpu_seconds(std::process::id())? - before,
    })
}
