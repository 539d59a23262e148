//! The commands: `run` (which is what `miffy` does when it is told nothing), `check`, `health`, `demo`.
//!
//! Exit codes: 0 done, 1 could not start or failed, 64 bad configuration or command line (`EX_USAGE` of
//! BSD's sysexits).

mod against;
mod check;
pub mod demo;
mod health;
mod run;
mod signals;

use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{self, Environment, Loaded, Problems, Source};

/// The exit code of a bad configuration or command line.
const EX_USAGE: u8 = 64;

const CONFIG_HELP: &str =
    "The configuration file; else the one in MIFFY_CONFIG, else ./config.toml if there is one";

/// A shadow-testing proxy: the reference answers, the candidate is compared, differences go to Kafka.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[arg(long, global = true, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy; the default
    Run,
    /// Validate the configuration, and show it as it is in effect
    Check {
        /// Apply its rules to these records instead, a line each ("-": standard input), and show what remains
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
    /// Ask a running miffy of this configuration whether it is healthy
    Health,
    /// Show the main job: sample services, an embedded broker, the proxy, and some requests
    Demo,
}

/// Why a command failed.
enum Failure {
    CommandLine(&'static str),
    Configuration(Problems),
    Other(anyhow::Error),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// Parses the command line, carries the command out, and tells its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell if this can't be printed.
            let _unprinted = error.print();
            return if error.use_stderr() {
                ExitCode::from(EX_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let failure = match carry_out(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let (message, code) = match failure {
        Failure::CommandLine(message) => (message.to_owned(), ExitCode::from(EX_USAGE)),
        Failure::Configuration(problems) => (problems.to_string(), ExitCode::from(EX_USAGE)),
        Failure::Other(error) => (format!("{error:#}"), ExitCode::FAILURE),
    };
    complain(&format!("miffy: {message}"));
    code
}

fn carry_out(arguments: Arguments) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let has_file = arguments.config.is_some();
    let source = Source::Files {
        named: arguments.config,
    };
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => {
            let loaded = config::load(&source, &environment)?;
            run::run(&loaded, source)?;
        }
        Command::Check { against: None } => check::run(&config::load(&source, &environment)?)?,
        Command::Check {
            against: Some(file),
        } => against::run(&config::load(&source, &environment)?.settings, &file)?,
        Command::Health => {
            health::run(config::load_management_address(&source, &environment)?)?;
        }
        Command::Demo if has_file => {
            return Err(Failure::CommandLine(
                "the demo takes no --config; variables such as MIFFY_PORT change it",
            ));
        }
        Command::Demo => demo::run(demo::load(&environment)?)?,
    }
    Ok(())
}

/// Runs a command's future on a runtime with all of this machine's cores.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(future);
    // What still blocks a thread, a name that is being looked up or a comparison, was given up.
    runtime.shutdown_background();
    done
}

/// Writes to standard output. Whoever stops reading early, as `miffy check | head` does, has what they
/// wanted.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("standard output can't be written"),
    }
}

/// Rows of as many cells each, in columns.
fn table(rows: Vec<Vec<String>>) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: Vec<String>| {
        let cells = row.iter().zip(&widths);
        // A terminal would take them as commands.
        let cells = cells.map(|(cell, width)| {
            let cell = cell.replace(char::is_control, "\u{FFFD}");
            format!("{cell:width$}")
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.into_iter().map(line).collect()
}

/// Writes a line to standard error. What can't be said there can't be said anywhere.
fn complain(text: &str) {
    let _unsaid = writeln!(stderr(), "{text}");
}

/// Logs what may not be meant.
fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}
