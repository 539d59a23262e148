//! A soak that shows that no candidate, no client and no broker can hurt the live path.
//!
//! ```text
//! cargo bench --bench soak                                     everything, some 15 minutes
//! cargo bench --bench soak -- --faults refuse,garbage --requests 10000
//! cargo bench --bench soak -- --faults all                     every fault there is
//! cargo bench --bench soak -- --help
//! ```
//!
//! The real binary runs as a process of its own, between a reference, candidates and a broker of this
//! process. For each fault of a candidate, clients send requests in rounds, straight to the reference and
//! through miffy in turns, so that both see the same machine, and what miffy adds is the difference of
//! the two. Every byte of every answer is compared.
//!
//! For each row of the table it asserts: no answer failed or differed; sockets, threads, memory,
//! exchanges and captured bytes kept to their bounds; every request has one outcome; and everything is
//! back to what it was within a limit of time. In the end miffy has to stop in order. The exit code is
//! not 0 if anything does not hold.
//!
//! # Layout
//!
//! - `options`: the command line, and the cases that it chooses
//! - `stage`: a miffy and everything around it; what each case asks of it
//! - `kind`: cases that share a miffy, and its bounds
//! - `load`: clients that compare what they get
//! - `disturbance`: clients that take much, or take their time
//! - `service`: the reference, and candidates that answer
//! - `fault`: candidates that don't, which the tests have, too
//! - `orders`: large documents, which the benchmark of comparisons has, too
//! - `process`, `metrics`, `sampler`: the miffy process, and what can be seen of it
//! - `signals`: leaves nothing behind when it is told to end
//! - `wait`: waiting until something is so
//! - `report`: a row of the table

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints a table, and beside it what is wrong"
)]

mod disturbance;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/it/support/fault.rs"]
mod fault;
mod kind;
mod load;
mod metrics;
mod options;
#[allow(dead_code, reason = "the benchmark of comparisons uses more of it")]
#[path = "../compare/document.rs"]
mod orders;
#[allow(dead_code, reason = "the benchmark of delivery uses more of it")]
mod process;
mod report;
mod sampler;
mod service;
mod signals;
mod stage;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use kind::Kind;
use options::{Case, Options};
use report::HEADER;
use stage::Stage;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = signals::end_on_signals(process::end_all).and_then(|_signals| run(&options));
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(broken) => {
            eprintln!("\nsoak: {broken} things do not hold");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases; how many things do not hold.
fn run(options: &Options) -> anyhow::Result<usize> {
    let cases = options.cases()?;
    println!("{HEADER}");
    let mut broken = 0;
    for kind in Kind::ALL {
        let cases: Vec<Case> = cases
            .iter()
            .copied()
            .filter(|case| Kind::of(*case) == kind)
            .collect();
        if !cases.is_empty() {
            broken += run_together(kind, &cases, options)?;
        }
    }
    Ok(broken)
}

/// Runs cases one after the other with the same miffy.
fn run_together(kind: Kind, cases: &[Case], options: &Options) -> anyhow::Result<usize> {
    let mut broken = 0;
    let stage = Stage::start(kind, cases, options)?;
    for case in cases {
        let mut row = stage.run(*case)?;
        println!("{}", row.line());
        for what in &row.broken {
            eprintln!("{}: {what}", row.name);
        }
        broken += row.broken.len();
    }
    stage.stop()?;
    Ok(broken)
}
