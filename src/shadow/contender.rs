//! One candidate of a trial: how it is asked, what it may be asked, and what became of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::asked::{Asked, CandidateBody};
use super::breaker::{Breaker, Pass};
use super::judge::Subject;
use super::ledger::Account;
use super::trial::Terms;
use super::watch::Watch;
use crate::capture::Limits;
use crate::client::Client;
use crate::config::{Candidate, NoiseMethod};
use crate::experiment::{Experiment, Role};
use crate::outcome::Skip;

/// One candidate of a trial.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) subject: Arc<Subject>,
    pub(super) asked: Asked,
    pub(super) account: Account,
    pub(super) breaker: Option<Arc<Breaker>>,
    permits: Option<Arc<Semaphore>>,
}

/// The right to ask a candidate, and to compare.
pub(super) struct Admission {
    /// Of all candidates, of the experiment, of this one.
    pub(super) permits: [Option<OwnedSemaphorePermit>; 3],
    pub(super) pass: Option<Pass>,
}

impl Contender {
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
        let breaker = |rule| Breaker::register(names, Role::Candidate, rule);
        Self {
            asked: Asked::register(Role::Candidate, candidate.backend.clone(), client, limits),
            account: Account::register(experiment, &candidate.name),
            breaker: terms.breaker.map(breaker),
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
        let pass = self.breaker.as_ref().map(Breaker::pass).transpose()?;
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
