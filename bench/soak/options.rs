//! The command line, and the cases that it chooses.

use anyhow::{Context, bail};
use clap::Parser;

use crate::disturbance::Disturbance;
use crate::fault::Fault;

/// Faults that are rows when none are named: one of each kind. `--faults all` takes every one.
const USUAL: [Fault; 14] = [
    Fault::Refuse,
    Fault::AcceptAndHang,
    Fault::HangAfterHead,
    Fault::Trickle,
    Fault::ResetMidBody,
    Fault::CloseWithoutAnswer,
    Fault::Garbage,
    Fault::LengthTooLong,
    Fault::LengthTooShort,
    Fault::EndlessHeaders,
    Fault::EndlessBody,
    Fault::HugeHeader,
    Fault::InformationalFlood,
    Fault::TlsGarbage,
];

/// Shows that no candidate, no client and no broker can hurt the live path.
#[derive(Debug, Clone, Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// Live requests through miffy for each fault of a candidate, and a quarter of it straight to the
    /// reference; where a client is at fault, a fifth of it, or more while that one is not done
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) requests: u64,
    /// The rows, separated by commas: names, or "all" [default: one of each kind]
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// Connections of clients, kept alive
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) connections: u64,
    /// Requests a second
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: u64,
    /// Rounds that the requests are sent in, straight and through miffy in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
    /// Size of the large downloads and uploads, in MiB
    #[arg(long, default_value_t = 2048)]
    pub(crate) body_mib: u64,
    /// Connections of clients that never finish a request's head
    #[arg(long, default_value_t = 2000)]
    pub(crate) slow_heads: usize,
    /// What may stay of a case's memory with the allocator, in MiB above what there was at first. glibc keeps the
    /// most (235) where a candidate sends heads of 100 KiB, and no more from case to case
    #[arg(long, default_value_t = 256)]
    pub(crate) kept_mib: usize,
    /// The most that miffy may add to the 99th percentile, in milliseconds [default: no limit, since it
    /// depends on the machine, and on what else it does]
    #[arg(long)]
    pub(crate) max_added_p99: Option<f64>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// A candidate that answers as the reference does.
    Healthy,
    /// A candidate that always differs.
    Different,
    /// A candidate that fails.
    Faulty(Fault),
    /// A client that behaves badly, beside others that don't.
    Client(Disturbance),
    /// A candidate that always differs, and no broker.
    KafkaAway,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Healthy, Self::Different];
        all.extend(Fault::ALL.map(Self::Faulty));
        all.extend(Disturbance::ALL.map(Self::Client));
        all.push(Self::KafkaAway);
        all
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Different => "different",
            Self::Faulty(fault) => fault.name(),
            Self::Client(disturbance) => disturbance.name(),
            Self::KafkaAway => "kafka_away",
        }
    }

    fn is_usual(self) -> bool {
        match self {
            Self::Faulty(fault) => USUAL.contains(&fault),
            _ => true,
        }
    }
}

impl Options {
    /// The rows, in an order of their own.
    pub(crate) fn cases(&self) -> anyhow::Result<Vec<Case>> {
        let mut all = Case::all();
        let known: Vec<&str> = all.iter().map(|case| case.name()).collect();
        for name in &self.faults {
            if name != "all" && !known.contains(&name.as_str()) {
                bail!("there is no \"{name}\"; there are {}", known.join(", "));
            }
        }
        let named = |case: &Case| self.faults.iter().any(|name| name == case.name());
        if self.faults.is_empty() {
            all.retain(|case| case.is_usual());
        } else if !self.faults.iter().any(|name| name == "all") {
            all.retain(named);
        }
        Ok(all)
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_mib * 1024 * 1024
    }

    /// Half-sent heads: as many as were asked for, as long as miffy has descriptors for everything else.
    pub(crate) fn slow_heads(&self) -> anyhow::Result<usize> {
        let limits = std::fs::read_to_string("/proc/self/limits")?;
        let files = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .and_then(|rest| rest.split_whitespace().next())
            .context("no limit of open files")?;
        Ok(match files.parse::<usize>() {
            Ok(files) => self.slow_heads.min(files / 2),
            Err(_unlimited) => self.slow_heads,
        })
    }
}
