//! Watches how much waits, from the begin of a row to its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::ledger::Ledger;

const PAUSE: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Whom to ask; nobody while miffy is started again.
    management: Option<SocketAddr>,
    pub(crate) peak_backlog: u64,
    pub(crate) peak_spool_bytes: u64,
    mended: Option<Instant>,
    /// From when the fault was mended until no more waited than comes within a moment.
    pub(crate) drained_after: Option<Duration>,
}

/// Watches on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// `few` records are what may always wait.
    pub(crate) fn start(few: u64) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(&shared, few);
                sleep(PAUSE);
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn watch(&self, management: Option<SocketAddr>) {
        lock(&self.seen).management = management;
    }

    pub(crate) fn mended(&self) {
        lock(&self.seen).mended = Some(Instant::now());
    }

    /// Nothing waits any longer.
    pub(crate) fn drained(&self) {
        let mut seen = lock(&self.seen);
        seen.drained_after = seen
            .drained_after
            .or(seen.mended.map(|mended| mended.elapsed()));
    }

    pub(crate) fn seen(&self) -> Seen {
        *lock(&self.seen)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been told by the panic hook.
            let _joined = thread.join();
        }
    }
}

fn look(seen: &Mutex<Seen>, few: u64) {
    let Some(management) = lock(seen).management else {
        return;
    };
    // It may have been ended just now.
    let Ok(ledger) = Ledger::scrape(management) else {
        return;
    };
    let mut seen = lock(seen);
    seen.peak_backlog = seen.peak_backlog.max(ledger.backlog());
    seen.peak_spool_bytes = seen.peak_spool_bytes.max(ledger.spool_bytes);
    if let Some(mended) = seen.mended
        && seen.drained_after.is_none()
        && ledger.backlog() <= few
    {
        seen.drained_after = Some(mended.elapsed());
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
