//! Shows that no difference is lost on its way to Kafka, whatever happens to Kafka, to miffy, and to its disk.
//!
//! ```text
//! cargo bench --bench delivery                                  every fault, 30 s each
//! cargo bench --bench delivery -- --only pause,kill --seconds 5
//! cargo bench --bench delivery -- --check                       fails if anything does not hold
//! cargo bench --bench delivery -- --no-spool                    without a spool, to see what it is for
//! cargo bench --bench delivery -- --throughput                  what a difference costs, beside a bare producer
//! cargo bench --bench delivery -- --help
//! ```
//!
//! The real binary runs between two services of this process whose answers always differ, and a real Apache Kafka
//! that `scripts/kafka.sh` starts (see there for what it needs; the full disk needs root, for a small tmpfs). Clients
//! send requests all the time, each with a number of its own, `/items/{key}/{number}`; each key belongs to one
//! connection, which uses it again only after a pause, so that the differences of a key have an order.
//!
//! In the end of each row, what is in the topic is held against what miffy's metrics and clients say:
//!
//! - no client saw an error. Around restarts of miffy they rest, since nobody is there to answer;
//! - found = in the topic, by id + counted as dropped. After `kill -9` of miffy, what waited in memory only is
//!   lost and told so: nothing else may be;
//! - nothing is counted as dropped unless the spool or its disk was too small, which is what the row is about;
//! - the records of a key are in the topic in the order that they were found in, each counted where it comes first:
//!   one that is there twice is a duplicate.
//!
//! # Layout
//!
//! - `options`: the command line
//! - `fault`: what is done to whom
//! - `stage`: a miffy and everything around it, for one row
//! - `ledger`: what miffy says that became of records, over its restarts
//! - `traffic`: clients that go on until they are told to end
//! - `monitor`: watches how much waits
//! - `broker`: Kafka, by `scripts/kafka.sh`
//! - `topic`: what arrived
//! - `disk`: a file system that is soon full
//! - `report`: a row of the table
//! - `throughput`: the other table
//! - `usage`: memory and processor time of a process
//! - the rest is the soak's

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints a table, and beside it what is wrong"
)]

mod broker;
mod disk;
mod fault;
mod ledger;
#[allow(dead_code, reason = "the soak uses more of it")]
#[path = "../soak/load.rs"]
mod load;
#[allow(dead_code, reason = "the soak uses more of it")]
#[path = "../soak/metrics.rs"]
mod metrics;
mod monitor;
mod options;
#[allow(dead_code, reason = "the benchmark of comparisons uses more of it")]
#[path = "../compare/document.rs"]
mod orders;
#[allow(dead_code, reason = "the soak uses more of it")]
#[path = "../soak/process.rs"]
mod process;
mod report;
#[allow(dead_code, reason = "the soak uses more of it")]
#[path = "../soak/service.rs"]
mod service;
#[path = "../soak/signals.rs"]
mod signals;
mod stage;
mod throughput;
mod topic;
mod traffic;
mod usage;
#[path = "../soak/wait.rs"]
mod wait;

use std::process::ExitCode;

use clap::Parser;

use broker::{Brokers, Kind};
use options::Options;
use report::HEADER;
use stage::Stage;

fn main() -> ExitCode {
    let options = Options::parse();
    let clean_up = || {
        process::end_all();
        disk::unmount_all();
        broker::end_all();
    };
    let result = signals::end_on_signals(clean_up).and_then(|_signals| {
        if options.throughput {
            throughput::run(&options).map(|()| 0)
        } else {
            run(&options)
        }
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(broken) => {
            eprintln!("\ndelivery: {broken} things do not hold");
            ExitCode::from(u8::from(options.check))
        }
        Err(error) => {
            eprintln!("delivery: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all rows; how many things do not hold.
fn run(options: &Options) -> anyhow::Result<usize> {
    let faults = options.faults()?;
    let stage = Stage::start(options)?;
    println!("{HEADER}");
    let mut broken = 0;
    // One kind of broker at a time: they share the machine with what is measured.
    for kind in Kind::ALL {
        let mut brokers = Brokers::new(kind, options.port);
        for fault in faults.iter().filter(|fault| fault.kind() == kind) {
            let row = brokers.get().and_then(|broker| stage.run(*fault, broker));
            match row {
                Ok(mut row) => {
                    println!("{}", row.line());
                    for what in &row.broken {
                        eprintln!("{}: {what}", fault.name());
                    }
                    broken += row.broken.len();
                }
                Err(error) => {
                    println!("| {} | not run |", fault.name());
                    eprintln!("{}: {error:#}", fault.name());
                    broken += 1;
                    // Who knows what is left of it.
                    brokers.end();
                }
            }
        }
    }
    Ok(broken)
}
