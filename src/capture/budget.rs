//! The bound on the bytes of all captured bodies together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be held at a time, and those that are.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    max: usize,
}

impl Budget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            max,
        })
    }

    /// The bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// Bytes held in a budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    held: usize,
}

impl Reservation {
    pub(super) fn none(budget: Arc<Budget>) -> Self {
        Self { budget, held: 0 }
    }

    /// Holds `more` bytes, if the budget has them.
    #[must_use]
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let before = self.budget.held.fetch_add(more, Ordering::Relaxed);
        let granted = before.saturating_add(more) <= self.budget.max;
        if granted {
            self.held += more;
        } else {
            self.budget.held.fetch_sub(more, Ordering::Relaxed);
        }
        granted
    }

    /// Gives back all but `held` bytes.
    pub(super) fn shrink_to(&mut self, held: usize) {
        let given_back = self.held.saturating_sub(held);
        self.budget.held.fetch_sub(given_back, Ordering::Relaxed);
        self.held -= given_back;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_the_budget_and_comes_back() {
        let budget = Budget::new(10);
        let mut first = Reservation::none(budget.clone());
        let mut second = Reservation::none(budget.clone());
        assert!(first.grow(6));
        assert!(!second.grow(5));
        assert!(second.grow(4));
        first.shrink_to(2);
        assert_eq!(budget.held(), 6);
        drop((first, second));
        assert_eq!(budget.held(), 0);
    }
}
