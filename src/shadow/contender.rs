//! One candidate of a trial: how it is asked, what it may be asked, and what became of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::asked::{Asked, CandidateBody};
use super::breaker::{Breaker, BreakerState, Pass};
use super::judge::Subject;
use super::ledger::Account;
use super::noise::Learned;
use super::trial::Terms;
use super::watch::Watch;
use crate::capture::Limits;
use crate::client::Client;
use crate::config::{Candidate, NoiseMethod};
use crate::experiment::{Experiment, Role};
use crate::outcome::Skip;

/// One candidate of a trial.
#[derive(Debug)]
pub struct Contender {
    pub(super) subject: Arc<Subject>,
    pub(super) asked: Asked,
    pub(super) account: Account,
    breaker: Arc<Breaker>,
    permits: Option<Arc<Semaphore>>,
}

/// The right to ask a candidate, and to compare.
pub(super) struct Admission {
    /// Of all candidates, of the experiment, of this one.
    pub(super) permits: [Option<OwnedSemaphorePermit>; 3],
    pub(super) pass: Pass,
}

impl Contender {
    /// Who it is.
    #[must_use]
    pub fn candidate(&self) -> &Candidate {
        &self.subject.candidate
    }

    /// How its part of the matched requests ended, since it takes part in this form.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Whether it is asked.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Leaves it alone until it is told to be asked again (`false`), whatever its answers are like.
    pub fn hold_breaker(&self, open: bool) {
        self.breaker.hold(open);
    }

    /// What is known of the noise in its differences; `None` where noise is not told from differences.
    #[must_use]
    pub fn noise(&self) -> Option<Learned> {
        self.subject.watch.as_ref().map(Watch::tell_all)
    }

    /// Forgets it; says of how many locations.
    pub fn forget_noise(&self) -> usize {
        self.subject.watch.as_ref().map_or(0, Watch::forget)
    }

    /// Tells the metrics.
    pub(super) fn sample(&self) {
        self.breaker.sample();
        if let Some(watch) = &self.subject.watch {
            watch.sample();
        }
    }

    /// Tells the metrics that it takes part no longer.
    pub(super) fn retire(&self) {
        self.breaker.retire();
        if let Some(watch) = &self.subject.watch {
            watch.retire();
        }
    }

    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register(
        experiment: &Arc<Experiment>,
        candidate: &Arc<Candidate>,
        client: Client<CandidateBody>,
        limits: Limits,
        terms: &Terms,
    ) -> Self {
        let names = [experiment.name.as_str(), candidate.name.as_str()];
        let is_watched = candidate.compare && experiment.noise != NoiseMethod::Off;
        let watch = is_watched.then(|| Watch::register(names, terms.noise));
        Self {
            asked: Asked::register(Role::Candidate, candidate.backend.clone(), client, limits),
            account: Account::register(experiment, &candidate.name),
            breaker: Breaker::register(names, Role::Candidate, terms.breaker),
            permits: candidate.max_in_flight.map(Semaphore::new).map(Arc::new),
            subject: Arc::new(Subject {
                experiment: experiment.clone(),
                candidate: candidate.clone(),
                watch,
            }),
        }
    }

    /// The right to ask it once, or why not.
    pub(super) fn admit(
        &self,
        of_all: &Arc<Semaphore>,
        of_experiment: Option<&Arc<Semaphore>>,
    ) -> Result<Admission, Skip> {
        let pass = self.breaker.pass()?;
        let permit = |permits: Option<&Arc<Semaphore>>| match permits {
            Some(permits) => {
                let permit = permits.clone().try_acquire_owned();
                permit.map(Some).map_err(|_none_left| Skip::InFlight)
            }
            None => Ok(None),
        };
        let own = permit(self.permits.as_ref())?;
        let of_experiment = permit(of_experiment)?;
        Ok(Admission {
            permits: [permit(Some(of_all))?, of_experiment, own],
            pass,
        })
    }
}
