//! The real miffy, as a process of its own, and what the system says of it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// How long miffy may take to start.
const START: Duration = Duration::from_secs(30);

/// Lines of its log that are kept.
const KEPT: usize = 1000;

/// Every process that was started, so that none outlives this one.
static STARTED: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// Ends every process that was started.
pub(crate) fn end_all() {
    for child in lock(&STARTED).iter() {
        end(&mut lock(child));
    }
}

fn end(child: &mut Child) {
    // It may have ended long ago.
    let _ended = child.kill();
    let _reaped = child.wait();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running miffy, until it is dropped at the latest.
#[derive(Debug)]
pub(crate) struct Miffy {
    pub(crate) id: u32,
    pub(crate) address: SocketAddr,
    pub(crate) management: SocketAddr,
    child: Arc<Mutex<Child>>,
    /// The events of its log that say that it has started or stopped.
    events: Receiver<Value>,
    log: Arc<Mutex<Vec<String>>>,
    _directory: TempDir,
}

impl Miffy {
    pub(crate) fn start(config: &str, preload: Option<&Path>) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("config.toml"), config)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_miffy"));
        command
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| is_tuning(name)))
            .env("RUST_LOG", "info,miffy::access=off")
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        let mut child = command.spawn().context("miffy does not start")?;
        let id = child.id();
        let stderr = child.stderr.take().context("it has a standard error")?;
        let child = Arc::new(Mutex::new(child));
        lock(&STARTED).push(child.clone());
        let log = Arc::default();
        let events = follow(stderr, &log);
        let Ok(event) = events.recv_timeout(START) else {
            end(&mut lock(&child));
            bail!("miffy did not start:\n{}", lock(&log).join("\n"));
        };
        let address = |key: &str| event[key].as_str().and_then(|text| text.parse().ok());
        Ok(Self {
            id,
            address: address("address").context("no address in the log")?,
            management: address("management_address").context("no management_address")?,
            child,
            events,
            log,
            _directory: directory,
        })
    }

    /// The lines of its log that speak of a panic.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = lock(&self.log);
        let panics = log.iter().filter(|line| line.contains("panicked"));
        panics.cloned().collect()
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        end(&mut lock(&self.child));
    }

    /// Ends it in order, within `limit`; what it says of itself in the end.
    pub(crate) fn stop(&self, limit: Duration) -> anyhow::Result<Value> {
        // The shell's own: a small system has no other.
        let kill = format!("kill -s TERM {}", self.id);
        let sent = Command::new("sh").args(["-c", &kill]).status()?;
        ensure!(sent.success(), "it was gone before it was told to stop");
        let give_up = Instant::now() + limit;
        loop {
            if let Some(status) = lock(&self.child).try_wait()? {
                ensure!(status.success(), "miffy ended with {status}");
                return self.events.recv_timeout(limit).context("no last event");
            }
            ensure!(Instant::now() < give_up, "it did not end within {limit:?}");
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Miffy {
    fn drop(&mut self) {
        end(&mut lock(&self.child));
        lock(&STARTED).retain(|child| !Arc::ptr_eq(child, &self.child));
    }
}

/// Whether a variable tunes the allocator or the runtime, which may be tried out.
fn is_tuning(variable: &str) -> bool {
    variable.starts_with("MALLOC_") || variable == "TOKIO_WORKER_THREADS"
}

/// Reads a log of JSON to its end; gives the events that say where miffy listens, and what became of it.
fn follow(stderr: ChildStderr, log: &Arc<Mutex<Vec<String>>>) -> Receiver<Value> {
    let (sender, receiver) = channel();
    let log = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Ok(event) = serde_json::from_str::<Value>(&line)
                && (event["message"] == "started" || event["message"] == "stopped")
            {
                // Nobody waits for it who ends miffy at once.
                let _unwanted = sender.send(event);
            }
            let mut log = lock(&log);
            if log.len() < KEPT {
                log.push(line);
            }
        }
    });
    receiver
}

/// What a process uses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) sockets: usize,
    pub(crate) threads: usize,
    pub(crate) memory_kib: usize,
}

impl Usage {
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            value.with_context(|| format!("no {name} in its status: it has ended"))
        };
        let mut sockets = 0;
        for descriptor in std::fs::read_dir(format!("/proc/{process}/fd"))? {
            // It may be closed by now.
            if let Ok(target) = std::fs::read_link(descriptor?.path())
                && target.to_string_lossy().starts_with("socket:")
            {
                sockets += 1;
            }
        }
        Ok(Self {
            sockets,
            threads: field("Threads:")?,
            memory_kib: field("VmRSS:")?,
        })
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            sockets: self.sockets.max(other.sockets),
            threads: self.threads.max(other.threads),
            memory_kib: self.memory_kib.max(other.memory_kib),
        }
    }

    pub(crate) fn memory_mib(self) -> usize {
        self.memory_kib / 1024
    }
}
