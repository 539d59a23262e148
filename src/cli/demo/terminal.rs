//! Says what happens, as it happens.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use http::StatusCode;
use tokio::sync::watch;

use super::broker::EmbeddedBroker;
use crate::capture::Side;
use crate::compare::{Difference, Shown};
use crate::config::Settings;
use crate::outcome::Outcome;
use crate::shadow::{Observer, Report};

/// Lines that may wait to be printed; more are left out, so that a terminal that stands still holds
/// nothing up.
const MAX_LINES: usize = 1024;

/// Prints lines on a thread of its own. Clones print on the same.
#[derive(Clone)]
pub(super) struct Terminal {
    /// A line, or the end.
    lines: SyncSender<Option<String>>,
    /// Records that arrived.
    records: Arc<watch::Sender<usize>>,
}

impl Terminal {
    /// A terminal, and its thread, which ends when it is told to, or nobody reads what it prints.
    pub(super) fn start() -> (Self, JoinHandle<()>) {
        let (sender, lines) = sync_channel(MAX_LINES);
        let thread = std::thread::spawn(move || {
            while let Ok(Some(line)) = lines.recv() {
                if writeln!(stdout(), "{line}").is_err() {
                    return;
                }
            }
        });
        let terminal = Self {
            lines: sender,
            records: Arc::default(),
        };
        (terminal, thread)
    }

    pub(super) fn introduce(
        &self,
        settings: &Settings,
        (proxy, management): (SocketAddr, SocketAddr),
        broker: &EmbeddedBroker,
        topic: &str,
    ) {
        let routes: Vec<&str> = settings
            .routes
            .iter()
            .map(|route| route.path.as_str())
            .collect();
        let candidate = settings
            .routes
            .first()
            .map(|route| route.candidates[0].backend.base.to_string());
        self.say(format!(
            "miffy demo: everything on this machine\n\n  \
               reference   {}   the live service, which answers\n  \
               candidate   {}   its replacement, which has bugs\n  \
               broker      {}          Kafka, embedded; topic {topic}\n  \
               proxy       http://{proxy}   experiment {}\n  \
               management  http://{management}   /healthz /readyz /metrics\n",
            settings.reference,
            candidate.unwrap_or_default(),
            broker.address(),
            routes.join(", "),
        ));
    }

    /// The client got its answer.
    pub(super) fn answered(&self, path: &str, status: StatusCode) {
        self.say(format!("client   GET {path} → {}", status.as_u16()));
    }

    /// A record is in Kafka.
    pub(super) fn arrived(&self, topic: &str, offset: i64, key: &str, size: usize) {
        self.say(format!(
            "kafka    {topic}, offset {offset}, key {key}: {size} bytes"
        ));
        self.records.send_modify(|number| *number += 1);
    }

    /// Waits until that many records have arrived.
    pub(super) async fn records(&self, number: usize) {
        let mut records = self.records.subscribe();
        // The sender lives as long as this terminal.
        let _arrived = records.wait_for(|n| *n >= number).await;
    }

    pub(super) fn guide(
        &self,
        proxy: SocketAddr,
        management: SocketAddr,
        broker: SocketAddr,
        topic: &str,
    ) {
        self.say(format!(
            "\ntry next, in another terminal:\n  \
               curl -i http://{proxy}/api/6\n  \
               curl -s http://{management}/metrics | grep miffy_outcomes\n  \
               kcat -b {broker} -t {topic} -C -o beginning -e -q -f '%k %s\\n'\n\
             Ctrl-C ends it\n"
        ));
    }

    /// Says that this is the end, when there is room for it; nothing is printed after it.
    pub(super) fn end(&self) {
        // The thread may have ended before.
        let _ended = self.lines.send(Some("\nended".to_owned()));
        let _ended = self.lines.send(None);
    }

    fn say(&self, line: String) {
        let _left_out = self.lines.try_send(Some(line));
    }
}

impl Observer for Terminal {
    fn ended(&self, report: &Report<'_>) {
        let outcome = report.outcome;
        let mut line = format!(
            "miffy    {} {}: {}",
            report.method,
            report.target,
            outcome.name()
        );
        if let Some(reason) = outcome.reason() {
            // Writing to a String can't fail, here and below.
            let _infallible = write!(line, " ({reason})");
        }
        if let Some((reference, candidate, differences)) = report.pair {
            let _infallible = write!(
                line,
                ", reference {}, candidate {}",
                side(reference),
                side(candidate)
            );
            for difference in differences.list() {
                let _infallible = write!(line, "\n           {}", describe(difference));
            }
        }
        if outcome == Outcome::Equal {
            line.push_str(", nothing to publish");
        }
        self.say(line);
    }
}

fn side(side: &Side) -> String {
    match side {
        Ok(answer) => {
            let ms = answer.elapsed.as_secs_f64() * 1e3;
            format!("{} in {ms:.2} ms", answer.status.as_u16())
        }
        Err(failed) => format!("failed ({})", failed.failure.cause.name()),
    }
}

fn describe(difference: &Difference) -> String {
    let value = |shown: &Option<Shown>| {
        shown
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |shown| shown.as_json().to_owned())
    };
    let path = match difference.path.as_str() {
        "" => "the whole body",
        path => path,
    };
    format!(
        "{path}: {} → {} ({})",
        value(&difference.reference),
        value(&difference.candidate),
        difference.kind.name()
    )
}
