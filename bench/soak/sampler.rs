//! Watches miffy while it works.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use crate::metrics::Metrics;
use crate::process::Usage;

/// How often the system is asked, and every how many times miffy itself.
const PAUSE: Duration = Duration::from_millis(50);
const SCRAPE_EVERY: u32 = 5;

/// The most that there was at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Peaks {
    pub(crate) usage: Usage,
    pub(crate) mirrored: u64,
    pub(crate) captured: u64,
    pub(crate) samples: u64,
    pub(crate) scrapes_failed: u64,
}

/// Samples on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Sampler {
    peaks: Arc<Mutex<Peaks>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub(crate) fn start(process: u32, management: SocketAddr) -> Self {
        let peaks: Arc<Mutex<Peaks>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped) = (peaks.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut turn = 0;
            while !stopped.load(Ordering::Relaxed) {
                sample(process, &seen);
                if turn % SCRAPE_EVERY == 0 {
                    scrape(management, &seen);
                }
                turn += 1;
                sleep(PAUSE);
            }
        });
        Self {
            peaks,
            stop,
            thread: Some(thread),
        }
    }

    /// The peaks since they were last taken.
    pub(crate) fn take(&self) -> Peaks {
        std::mem::take(&mut *self.peaks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been told by the panic hook.
            let _joined = thread.join();
        }
    }
}

fn sample(process: u32, peaks: &Mutex<Peaks>) {
    if let Ok(usage) = Usage::of(process) {
        let mut peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
        peaks.usage = peaks.usage.max(usage);
        peaks.samples += 1;
    }
}

fn scrape(management: SocketAddr, peaks: &Mutex<Peaks>) {
    let metrics = Metrics::scrape(management);
    let mut peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
    match metrics {
        Ok(metrics) => {
            peaks.mirrored = peaks.mirrored.max(metrics.sum("miffy_shadow_in_flight"));
            peaks.captured = peaks.captured.max(metrics.sum("miffy_captured_bytes"));
        }
        Err(_) => peaks.scrapes_failed += 1,
    }
}
