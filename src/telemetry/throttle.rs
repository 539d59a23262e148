//! Says a repeated thing once in a while, and how often it was left unsaid.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The least time between two lines of one throttle.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets the first of many events through, and then one every ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    unsaid: u64,
}

impl Throttle {
    /// `None` for silence; else how many events were silent since the last that was not.
    pub(crate) fn admit(&self) -> Option<u64> {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.said.is_some_and(|said| said.elapsed() < PAUSE) {
            state.unsaid += 1;
            return None;
        }
        state.said = Some(Instant::now());
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_a_burst_is_said() {
        let throttle = Throttle::default();
        assert_eq!(throttle.admit(), Some(0));
        assert_eq!(throttle.admit(), None);
        assert_eq!(throttle.admit(), None);
        throttle.0.lock().expect("not poisoned").said = None;
        assert_eq!(throttle.admit(), Some(2));
    }
}
