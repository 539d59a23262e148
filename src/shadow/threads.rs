//! The threads that everything beside the live path runs on.

use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime for candidates and comparisons. A candidate that has to be listened to without end, or a
/// comparison that takes its time, keeps these threads busy and no other.
#[derive(Debug)]
pub struct Threads(Option<Runtime>);

/// How many pairs may block a thread of their own at a time.
pub(super) fn half_as_many_as_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (cores / 2).max(1)
}

impl Threads {
    /// Starts them, one for each core.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("shadow")
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
