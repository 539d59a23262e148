//! Leaves a backend alone that fails again and again, and tries it from time to time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use metrics::Gauge;
use tracing::{info, warn};

use crate::capture::Side;
use crate::config;
use crate::experiment::Role;
use crate::outcome::{Cause, Skip};
use crate::telemetry::metrics::BREAKER_OPEN;

/// The breaker of one experiment's candidate, or of its secondary.
#[derive(Debug)]
pub(super) struct Breaker {
    experiment: String,
    /// The candidate's name; empty for the secondary.
    candidate: String,
    role: Role,
    /// Without one, it is opened by hand only.
    rule: Option<config::Breaker>,
    now: Mutex<Now>,
    is_open: Gauge,
}

#[derive(Debug)]
struct Now {
    state: State,
    /// Counts the states, so that what began in one is not held against a later one.
    turn: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Exchanges pass; so many failed in a row.
    Closed { failures: usize },
    /// None passes until then.
    Open { until: Instant },
    /// One has passed, and its end decides.
    HalfOpen,
    /// None passes until somebody closes it.
    Held,
}

/// What a breaker does with exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// They pass.
    Closed,
    /// They don't, until the pause is over.
    Open,
    /// One has passed after the pause, and its end decides.
    HalfOpen,
    /// They don't, until somebody closes it.
    Held,
}

/// The right to ask the backend once. Dropped without a report, it decides nothing.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    turn: u64,
}

impl Breaker {
    /// A closed one, its metric registered; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register(
        [experiment, candidate]: [&str; 2],
        role: Role,
        when: Option<config::Breaker>,
    ) -> Arc<Self> {
        let is_open = metrics::gauge!(
            BREAKER_OPEN,
            "experiment" => experiment.to_owned(),
            "candidate" => candidate.to_owned(),
            "role" => role.name(),
        );
        Arc::new(Self {
            experiment: experiment.to_owned(),
            candidate: candidate.to_owned(),
            role,
            rule: when,
            now: Mutex::new(Now {
                state: State::Closed { failures: 0 },
                turn: 0,
            }),
            is_open,
        })
    }

    pub(super) fn pass(self: &Arc<Self>) -> Result<Pass, Skip> {
        let mut now = self.now();
        match now.state {
            State::Closed { .. } => {}
            State::Open { until } if until <= Instant::now() => now.enter(State::HalfOpen),
            State::Open { .. } | State::HalfOpen | State::Held => return Err(Skip::Breaker),
        }
        Ok(Pass {
            breaker: self.clone(),
            turn: now.turn,
        })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.now().state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen => BreakerState::HalfOpen,
            State::Held => BreakerState::Held,
        }
    }

    /// Opens it until it is closed in the same way, or closes it, whyever it was open. What began before has no
    /// say in it any longer.
    pub(super) fn hold(&self, open: bool) {
        let closed = State::Closed { failures: 0 };
        self.now().enter(if open { State::Held } else { closed });
    }

    /// Tells the metric.
    pub(super) fn sample(&self) {
        let is_open = self.state() != BreakerState::Closed;
        self.is_open.set(f64::from(u8::from(is_open)));
    }

    /// Tells the metric that there is nothing here any longer.
    pub(super) fn retire(&self) {
        self.is_open.set(0.0);
    }
}

impl Now {
    fn enter(&mut self, state: State) {
        self.state = state;
        self.turn += 1;
    }
}

impl Pass {
    /// Tells how it went. That a request can't be sent says nothing of the backend.
    pub(super) fn report_side(self, side: &Side) {
        if !matches!(side, Err(failed) if failed.failure.cause == Cause::Uri) {
            self.report(side.is_ok());
        }
    }

    /// Tells whether there was a whole answer.
    pub(super) fn report(self, has_answered: bool) {
        let breaker = &self.breaker;
        let Some(when) = breaker.rule else {
            return;
        };
        let open = |now: &mut Now| {
            let until = Instant::now() + when.pause;
            now.enter(State::Open { until });
        };
        let mut now = breaker.now();
        if now.turn != self.turn {
            return;
        }
        match (now.state, has_answered) {
            (State::Closed { .. }, true) => now.state = State::Closed { failures: 0 },
            (State::Closed { failures }, false) if failures + 1 < when.failures => {
                now.state = State::Closed {
                    failures: failures + 1,
                };
            }
            (State::Closed { .. }, false) => {
                open(&mut now);
                let Breaker {
                    experiment,
                    candidate,
                    ..
                } = &**breaker;
                let role = breaker.role.name();
                let failures = when.failures;
                warn!(
                    experiment,
                    candidate, role, failures, "a backend is left alone"
                );
            }
            (State::HalfOpen, true) => {
                now.enter(State::Closed { failures: 0 });
                let Breaker {
                    experiment,
                    candidate,
                    ..
                } = &**breaker;
                let role = breaker.role.name();
                info!(experiment, candidate, role, "a backend answers again");
            }
            (State::HalfOpen, false) => open(&mut now),
            // Nothing that began in it is left to end.
            (State::Open { .. } | State::Held, _) => {}
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut now = self.breaker.now();
        if now.turn == self.turn && now.state == State::HalfOpen {
            // It never came to an end, so that another one has to decide.
            let until = Instant::now();
            now.enter(State::Open { until });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn breaker(failures: usize, pause: Duration) -> Arc<Breaker> {
        let rule = config::Breaker { failures, pause };
        Breaker::register(["x", "y"], Role::Candidate, Some(rule))
    }

    fn end(breaker: &Arc<Breaker>, has_answered: bool) {
        breaker.pass().expect("it passes").report(has_answered);
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let breaker = breaker(3, Duration::from_hours(1));
        for has_answered in [false, false, true, false, false] {
            end(&breaker, has_answered);
        }
        end(&breaker, false);
        assert_eq!(breaker.pass().err(), Some(Skip::Breaker));
    }

    #[test]
    fn after_the_pause_one_exchange_decides() {
        let breaker = breaker(1, Duration::ZERO);
        end(&breaker, false);
        let probe = breaker.pass().expect("the pause is over");
        assert_eq!(breaker.pass().err(), Some(Skip::Breaker));
        probe.report(false);
        let probe = breaker.pass().expect("the second pause is over");
        probe.report(true);
        let _both = (
            breaker.pass().expect("it is closed"),
            breaker.pass().expect("for all"),
        );
    }

    #[test]
    fn an_exchange_that_was_given_up_decides_nothing() {
        let breaker = breaker(1, Duration::ZERO);
        drop(breaker.pass());
        end(&breaker, false);
        drop(breaker.pass().expect("the pause is over"));
        assert!(breaker.pass().is_ok());
    }

    #[test]
    fn one_that_is_held_open_stays_so_until_it_is_closed_by_hand() {
        let breaker = breaker(1, Duration::ZERO);
        let late = breaker.pass().expect("it is closed");
        breaker.hold(true);
        late.report(true);
        assert_eq!(breaker.state(), BreakerState::Held);
        assert_eq!(breaker.pass().err(), Some(Skip::Breaker));
        breaker.hold(false);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.pass().is_ok());
    }

    #[test]
    fn a_probe_does_not_open_what_is_held_nor_hold_up_what_was_closed() {
        let breaker = breaker(1, Duration::ZERO);
        end(&breaker, false);
        let probe = breaker.pass().expect("the pause is over");
        breaker.hold(true);
        drop(probe);
        assert_eq!(breaker.state(), BreakerState::Held);
        breaker.hold(false);
        end(&breaker, false);
        let probe = breaker.pass().expect("the pause is over");
        breaker.hold(false);
        probe.report(false);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn without_a_rule_only_a_hand_opens_it() {
        let breaker = Breaker::register(["x", "y"], Role::Candidate, None);
        for _ in 0..1000 {
            end(&breaker, false);
        }
        breaker.hold(true);
        assert_eq!(breaker.pass().err(), Some(Skip::Breaker));
    }

    #[test]
    fn what_began_before_the_pause_does_not_end_it() {
        let breaker = breaker(1, Duration::ZERO);
        let late = breaker.pass().expect("it is closed");
        end(&breaker, false);
        let probe = breaker.pass().expect("the pause is over");
        late.report(true);
        assert_eq!(breaker.pass().err(), Some(Skip::Breaker));
        probe.report(true);
        assert!(breaker.pass().is_ok());
    }
}
