//! The command line.

use anyhow::bail;
use clap::Parser;

use crate::fault::Fault;

/// Shows that no difference is lost on its way to Kafka.
#[derive(Debug, Clone, Parser)]
#[command(name = "delivery")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags of a command line"
)]
pub(crate) struct Options {
    /// The rows, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How long each fault lasts; before it and after it, the load goes on for a third of it
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) seconds: u64,
    /// Requests a second, each of which finds a difference
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: u64,
    /// Keys of records: so many that a key comes again after some 100 ms
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: u64,
    /// Connections of clients, kept alive
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) connections: u64,
    /// Ends with exit code 1 if anything does not hold
    #[arg(long)]
    pub(crate) check: bool,
    /// Runs miffy without a spool
    #[arg(long)]
    pub(crate) no_spool: bool,
    /// Measures what a difference costs, instead of faults
    #[arg(long)]
    pub(crate) throughput: bool,
    /// The first of the brokers' ports
    #[arg(long, default_value_t = 9392)]
    pub(crate) port: u16,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The rows, in an order of their own.
    pub(crate) fn faults(&self) -> anyhow::Result<Vec<Fault>> {
        let known = Fault::ALL.map(Fault::name);
        for name in &self.only {
            if !known.contains(&name.as_str()) {
                bail!("there is no \"{name}\"; there are {}", known.join(", "));
            }
        }
        let is_wanted = |fault: &Fault| {
            self.only.is_empty() || self.only.iter().any(|name| name == fault.name())
        };
        Ok(Fault::ALL.into_iter().filter(is_wanted).collect())
    }
}
