//! Calls of a hook, within their bounds.
//!
//! A call has one of a few places from its beginning until it returns, whoever waits for it. While there is no place,
//! others wait, few of them and not for long; while all places are held by calls that were cut off, nobody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::Counter;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use crate::telemetry::Throttle;
use crate::telemetry::metrics::HOOK_FAILURES;

/// How many wait for each place.
const WAITING: usize = 16;

/// What can be plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Choose,
    Edit,
    Compare,
    Finished,
    Sink,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It panicked.
    Panic,
    /// It took longer than it may.
    Timeout,
    /// There was no place for it.
    Busy,
    /// What it gave can't be used.
    Invalid,
}

impl Hook {
    pub(crate) const ALL: [Self; 5] = [
        Self::Choose,
        Self::Edit,
        Self::Compare,
        Self::Finished,
        Self::Sink,
    ];

    /// Its name in metrics and the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Choose => "choose",
            Self::Edit => "edit",
            Self::Compare => "compare",
            Self::Finished => "finished",
            Self::Sink => "sink",
        }
    }
}

impl Reason {
    const ALL: [Self; 4] = [Self::Panic, Self::Timeout, Self::Busy, Self::Invalid];

    /// Its name in metrics and the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::Invalid => "invalid",
        }
    }
}

/// Counts what fails of one hook.
#[derive(Debug)]
pub(crate) struct Failures {
    hook: Hook,
    counters: [Counter; Reason::ALL.len()],
    throttle: Throttle,
}

impl Failures {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(crate) fn register(hook: Hook) -> Self {
        let counter = |reason: Reason| metrics::counter!(HOOK_FAILURES, "hook" => hook.name(), "reason" => reason.name());
        Self {
            hook,
            counters: Reason::ALL.map(counter),
            throttle: Throttle::default(),
        }
    }

    pub(crate) fn count(&self, reason: Reason, detail: Option<&str>) {
        self.counters[reason as usize].increment(1);
        if let Some(unsaid) = self.throttle.admit() {
            let (hook, reason) = (self.hook.name(), reason.name());
            warn!(hook, reason, detail, unsaid, "a hook failed");
        }
    }
}

/// Makes the calls of one hook.
#[derive(Debug)]
pub(super) struct Runner {
    failures: Failures,
    limit: Duration,
    free: Arc<Semaphore>,
    places: usize,
    /// Places of calls that were cut off.
    hung: Arc<AtomicUsize>,
    waiting: AtomicUsize,
}

impl Runner {
    pub(super) fn new(failures: Failures, limit: Duration, places: usize) -> Self {
        Self {
            failures,
            limit,
            free: Arc::new(Semaphore::new(places)),
            places,
            hung: Arc::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Makes a call on a thread for such calls, and waits for it as long as it may take. What fails is counted.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        let done = self.attempt(call).await;
        if let Err(reason) = done {
            self.failures.count(reason, None);
        }
        done
    }

    /// What a call gave can't be used.
    pub(super) fn refuse(&self, problem: &str) {
        self.failures.count(Reason::Invalid, Some(problem));
    }

    async fn attempt<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        let place = match self.free.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_none_left) => {
                let _waiting = self.wait().ok_or(Reason::Busy)?;
                let place = timeout(self.limit, self.free.clone().acquire_owned()).await;
                let place = place.map_err(|_elapsed| Reason::Busy)?;
                place.expect("the semaphore is never closed")
            }
        };
        let state = Arc::new(State {
            is_settled: AtomicBool::new(false),
            hung: self.hung.clone(),
        });
        let settles = Settles(state.clone());
        let mut calling = spawn_blocking(move || {
            // In this order they are dropped: the call's own first.
            let _until_it_returns = (settles, place);
            call()
        });
        match timeout(self.limit, &mut calling).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_panicked)) => Err(Reason::Panic),
            Err(_elapsed) => {
                // One that has not begun never will.
                calling.abort();
                state.cut_off();
                Err(Reason::Timeout)
            }
        }
    }

    /// The right to wait for a place.
    fn wait(&self) -> Option<Waiting<'_>> {
        if self.hung.load(Ordering::Relaxed) >= self.places {
            return None;
        }
        let waiting = Waiting(&self.waiting);
        let others = self.waiting.fetch_add(1, Ordering::Relaxed);
        (others < WAITING * self.places).then_some(waiting)
    }
}

struct Waiting<'r>(&'r AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a call has returned or was cut off, whichever came first; the second one sees that.
struct State {
    is_settled: AtomicBool,
    hung: Arc<AtomicUsize>,
}

impl State {
    fn cut_off(&self) {
        // Counted first, so that it is never below zero.
        self.hung.fetch_add(1, Ordering::Relaxed);
        if self.is_settled.swap(true, Ordering::AcqRel) {
            self.hung.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A call's end, dropped as it returns, panics, or is never made.
struct Settles(Arc<State>);

impl Drop for Settles {
    fn drop(&mut self) {
        if self.0.is_settled.swap(true, Ordering::AcqRel) {
            self.0.hung.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runner(limit: Duration, places: usize) -> Runner {
        Runner::new(Failures::register(Hook::Choose), limit, places)
    }

    #[tokio::test]
    async fn a_call_gives_what_it_gives_and_a_panic_is_told() {
        let runner = runner(Duration::from_mins(1), 1);
        for _ in 0..3 {
            assert_eq!(runner.run(|| 7).await, Ok(7));
            assert_eq!(
                runner.run(|| panic!("a defect")).await,
                Err::<(), _>(Reason::Panic)
            );
        }
        assert_eq!(runner.hung.load(Ordering::Relaxed), 0);
        assert_eq!(runner.free.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_call_that_is_cut_off_keeps_its_place_until_it_returns() {
        let runner = runner(Duration::from_millis(20), 1);
        let (release, released) = mpsc::channel::<()>();
        let hang = move || {
            let _released = released.recv();
        };
        assert_eq!(runner.run(hang).await, Err(Reason::Timeout));
        assert_eq!(runner.hung.load(Ordering::Relaxed), 1);
        assert_eq!(runner.run(|| ()).await, Err(Reason::Busy));
        assert_eq!(runner.waiting.load(Ordering::Relaxed), 0);
        drop(release);
        while runner.hung.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        while runner.free.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(runner.run(|| ()).await, Ok(()));
    }

    #[tokio::test]
    async fn few_wait_for_a_place() {
        let runner = Arc::new(runner(Duration::from_mins(1), 1));
        let (release, released) = mpsc::channel::<()>();
        let (begins, begun) = tokio::sync::oneshot::channel();
        let hang = move || {
            let _begun = begins.send(());
            let _released = released.recv();
        };
        let first = tokio::spawn({
            let runner = runner.clone();
            async move { runner.run(hang).await }
        });
        begun.await.expect("it begins");
        let others = (0..WAITING).map(|_| {
            let runner = runner.clone();
            tokio::spawn(async move { runner.run(|| ()).await })
        });
        let others: Vec<_> = others.collect();
        while runner.waiting.load(Ordering::Relaxed) < WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(runner.run(|| ()).await, Err(Reason::Busy));
        drop(release);
        assert_eq!(first.await.expect("no panic"), Ok(()));
        for other in others {
            assert_eq!(other.await.expect("no panic"), Ok(()));
        }
    }
}
