//! The threads that everything beside the live path runs on.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much nicer than the live path's they are (`setpriority(2)`): where both want a processor, the live
/// path has three quarters of it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// A runtime for candidates and comparisons. A candidate that has to be listened to without end, or a
/// comparison that takes its time, keeps these threads busy and no other.
#[derive(Debug)]
pub struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them, one for each core.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("shadow")
            .on_thread_start(be_nice)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        let runtime = self.0.as_ref();
        runtime.expect("it is there until it is dropped").handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // What still runs was given up.
            runtime.shutdown_background();
        }
    }
}

/// Lowers the calling thread's priority. Where that is not to be had, the system shares as it likes.
fn be_nice() {
    // Elsewhere, priorities are of processes.
    #[cfg(target_os = "linux")]
    if let Ok(now) = rustix::process::getpriority_process(None) {
        let _as_it_was = rustix::process::setpriority_process(None, now + NICENESS);
    }
}
