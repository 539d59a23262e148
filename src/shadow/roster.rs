//! The trials that go on, as of now.
//!
//! What is changed by hand is changed under the lock under which trials follow others, so that no change is lost
//! on one that has just been succeeded. Gauges are set under it as well: only the current trials tell them, and
//! one that is over leaves nothing behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Trial;

/// The trials that go on.
#[derive(Debug, Default)]
pub struct Roster(Mutex<Vec<Arc<Trial>>>);

/// What became of trials when others followed; each list has experiments' names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Succession {
    /// New ones.
    pub added: Vec<String>,
    /// Those that are something else under the same name.
    pub changed: Vec<String>,
    /// Those that are over.
    pub removed: Vec<String>,
}

impl Roster {
    /// Lets these follow those before. The ones that are among both go on as they are. One with the name of one
    /// before takes over its pause, its rate (unless its configured sample is another one), and the breakers that
    /// are held open. `follow` has requests go to the new ones.
    pub fn succeed(&self, next: Vec<Arc<Trial>>, follow: impl FnOnce()) -> Succession {
        let mut trials = self.trials();
        let mut succession = Succession::default();
        let name = |trial: &Arc<Trial>| trial.experiment().name.clone();
        let is_among = |trial: &Arc<Trial>, trials: &[Arc<Trial>]| {
            trials.iter().any(|it| Arc::ptr_eq(it, trial))
        };
        for trial in next.iter().filter(|trial| !is_among(trial, &trials)) {
            match trials.iter().find(|before| name(before) == name(trial)) {
                Some(before) => {
                    trial.succeed(before);
                    succession.changed.push(name(trial));
                }
                None => succession.added.push(name(trial)),
            }
        }
        follow();
        let before = std::mem::replace(&mut *trials, next);
        for trial in before.iter().filter(|trial| !is_among(trial, &trials)) {
            trial.retire();
            if trials.iter().all(|next| name(next) != name(trial)) {
                succession.removed.push(name(trial));
            }
        }
        succession
    }

    /// Does something with them, while none follows another.
    pub fn with<T>(&self, act: impl FnOnce(&[Arc<Trial>]) -> T) -> T {
        act(&self.trials())
    }

    /// Brings their gauges up to date; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub fn sample(&self) {
        self.trials().iter().for_each(|trial| trial.sample());
    }

    fn trials(&self) -> MutexGuard<'_, Vec<Arc<Trial>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
