//! The log's set-up.
//!
//! Lines go to standard error through a bounded queue and a thread of its own: if whoever reads them
//! stalls, lines are lost and counted (`miffy_log_lines_dropped_total`), and no request waits.

use std::io::{BufWriter, stderr};
use std::str::FromStr;

use tracing::warn;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use super::stackdriver::Stackdriver;

/// Lines that may wait to be written.
const MAX_LINES: usize = 16_384;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// A readable line per event.
    #[default]
    Human,
    /// A JSON object per event.
    Json,
    /// A JSON object per event, as Google Cloud's structured logging reads it.
    Stackdriver,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            "stackdriver" => Ok(Self::Stackdriver),
            _ => Err(()),
        }
    }
}

/// Keeps the log going; dropped last, it writes what waits.
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
    errors: ErrorCounter,
}

impl LogGuard {
    /// Counts the lines that were lost because nobody read the log.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let errors = self.errors.clone();
        move || errors.dropped_lines() as u64
    }
}

/// Starts logging to standard error, as much as `RUST_LOG` says, or else (or if it is misspelt, with a warning)
/// `default`.
///
/// Does nothing but give a guard if the process logs already.
#[must_use]
pub fn init_logging(format: LogFormat, default: &str) -> LogGuard {
    let (writer, worker) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(BufWriter::new(stderr()));
    let errors = writer.error_counter();
    let said = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let (filter, misspelt) = match said.as_deref().map(parse) {
        None => (EnvFilter::new(default), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(default), Some(error)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    // An error here says that a subscriber is set: a library's user has their own.
    let _already_set = match format {
        LogFormat::Human => builder.with_ansi(is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Stackdriver => builder.event_format(Stackdriver).try_init(),
    };
    if let Some(error) = misspelt {
        warn!(%error, "RUST_LOG is passed over");
    }
    LogGuard {
        _worker: worker,
        errors,
    }
}

fn parse(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(directives)
}

fn is_terminal() -> bool {
    use std::io::IsTerminal;
    stderr().is_terminal()
}
