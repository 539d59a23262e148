//! What can be changed while an experiment runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::matching::Rate;

/// The switches of an experiment. They are read for each request of it, and take effect with the next one.
#[derive(Debug)]
pub struct Controls {
    paused: AtomicBool,
    rate: AtomicU64,
}

impl Controls {
    /// Those of an experiment that is not paused.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            paused: AtomicBool::new(false),
            rate: AtomicU64::new(rate.to_bits()),
        }
    }

    /// Whether nothing of it is mirrored for now.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Pauses it, or ends the pause. Says whether that is a change.
    pub fn pause(&self, paused: bool) -> bool {
        self.paused.swap(paused, Ordering::Relaxed) != paused
    }

    /// How many of its requests are mirrored.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// Sets how many of its requests are mirrored; gives how many were.
    pub fn set_rate(&self, rate: Rate) -> Rate {
        Rate::from_bits(self.rate.swap(rate.to_bits(), Ordering::Relaxed))
    }
}
