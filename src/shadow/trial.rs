//! Takes an experiment's exchanges, and sees each to its end.

use std::sync::Arc;
use std::time::SystemTime;

use http::{Method, Uri};
use metrics::Gauge;
use tokio::sync::{Semaphore, oneshot};

use super::asked::CandidateBody;
use super::breaker::{Breaker, BreakerState};
use super::contender::{Admission, Contender};
use super::second::Second;
use super::{Ending, Inner, Judged, Matched, Shadow};
use crate::capture::{self, Ended, Exchange, Mirror, RequestBody, Slot};
use crate::client::{self, Client};
use crate::config;
use crate::experiment::Experiment;
use crate::outcome::Skip;
use crate::telemetry::metrics::{EXPERIMENT_PAUSED, SAMPLE_RATE};
use crate::threads::{self, When};

/// The candidates' side of one experiment.
pub struct Trial {
    pub(super) shadow: Arc<Inner>,
    pub(super) experiment: Arc<Experiment>,
    /// As many as the experiment has candidates.
    pub(super) contenders: Vec<Contender>,
    pub(super) second: Option<Second>,
    permits: Option<Arc<Semaphore>>,
    is_paused: Gauge,
    rate: Gauge,
}

/// How an experiment's candidates are asked.
#[derive(Debug)]
pub struct Terms {
    /// For each candidate, in their order.
    pub candidates: Vec<Client<CandidateBody>>,
    /// For second answers of the reference's code, if there are to be any.
    pub second: Option<Client<CandidateBody>>,
    /// What is taken for noise.
    pub noise: config::Noise,
    /// When a backend that fails is left alone.
    pub breaker: Option<config::Breaker>,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let experiment = &self.experiment.name;
        f.debug_struct("Trial")
            .field("experiment", experiment)
            .finish_non_exhaustive()
    }
}

impl Shadow {
    /// The trial of an experiment, its metrics registered; to be called in
    /// [`Telemetry::register`](crate::telemetry::Telemetry).
    #[must_use]
    pub fn trial(&self, experiment: Arc<Experiment>, mut terms: Terms) -> Trial {
        let limits = &self.0.limits;
        let clients = std::mem::take(&mut terms.candidates);
        let candidates = experiment.candidates.iter().zip(clients);
        let contender = |(candidate, client)| {
            Contender::register(&experiment, candidate, client, limits.clone(), &terms)
        };
        let second = terms.second.as_ref();
        let second =
            second.and_then(|client| Second::register(&experiment, client.clone(), limits, &terms));
        let gauge = |name: &'static str| {
            let experiment = experiment.name.clone();
            metrics::gauge!(name, "experiment" => experiment)
        };
        Trial {
            is_paused: gauge(EXPERIMENT_PAUSED),
            rate: gauge(SAMPLE_RATE),
            shadow: self.0.clone(),
            contenders: candidates.map(contender).collect(),
            second,
            permits: experiment.max_in_flight.map(Semaphore::new).map(Arc::new),
            experiment,
        }
    }
}

impl Trial {
    /// What it is a trial of.
    #[must_use]
    pub fn experiment(&self) -> &Arc<Experiment> {
        &self.experiment
    }

    /// Its candidates, in the order of the configuration.
    #[must_use]
    pub fn contenders(&self) -> &[Contender] {
        &self.contenders
    }

    /// The candidate of this name.
    #[must_use]
    pub fn contender(&self, name: &str) -> Option<&Contender> {
        let mut contenders = self.contenders.iter();
        contenders.find(|contender| contender.candidate().name == name)
    }

    /// Takes over what was changed by hand while its predecessor ran.
    pub(super) fn succeed(&self, before: &Self) {
        self.experiment.succeed(&before.experiment);
        for contender in &self.contenders {
            let before = before.contender(&contender.candidate().name);
            if before.is_some_and(|before| before.breaker() == BreakerState::Held) {
                contender.hold_breaker(true);
            }
        }
    }

    /// Tells the metrics how it is.
    pub(super) fn sample(&self) {
        let controls = &self.experiment.controls;
        self.is_paused
            .set(f64::from(u8::from(controls.is_paused())));
        self.rate.set(controls.rate().as_f64());
        self.contenders.iter().for_each(Contender::sample);
        if let Some(breaker) = self.breaker_of_second() {
            breaker.sample();
        }
    }

    /// Tells the metrics that it is over, though some of its exchanges may still run.
    pub(super) fn retire(&self) {
        self.is_paused.set(0.0);
        self.rate.set(0.0);
        self.contenders.iter().for_each(Contender::retire);
        if let Some(breaker) = self.breaker_of_second() {
            breaker.retire();
        }
    }

    fn breaker_of_second(&self) -> Option<&Arc<Breaker>> {
        self.second.as_ref()?.breaker.as_ref()
    }

    /// The right to ask a candidate once, or why not.
    pub(super) fn admit(&self, contender: &Contender) -> Result<Admission, Skip> {
        contender.admit(&self.shadow.permits, self.permits.as_ref())
    }
}

/// A candidate that is to be asked.
pub(super) struct Entrant {
    pub(super) ticket: Ticket,
    /// Unless it is to be admitted when the request is whole.
    pub(super) admission: Option<Admission>,
    /// How its side ends, if the live path asks it.
    pub(super) asked: Option<oneshot::Receiver<Ended>>,
}

impl Trial {
    /// The candidates that are to be asked; the others have their outcome.
    fn enter(self: &Arc<Self>, exchange: &Exchange, may_choose: bool) -> Vec<Entrant> {
        let shadow = &self.shadow;
        shadow.ledger.matched(self.contenders.len());
        // A client that sends slowly is to hold up nobody but itself.
        let is_whole = !matches!(exchange.request_body, RequestBody::Pending(_));
        // Who is not chosen takes no permit.
        let is_whole = is_whole && !(may_choose && shadow.hooks.chooses());
        let matched = Arc::new(Matched::from(&exchange.request));
        let mut entrants = Vec::with_capacity(self.contenders.len());
        for (place, contender) in self.contenders.iter().enumerate() {
            let ticket = Ticket::issue(self, place, &matched);
            if shadow.tasks.is_closed() {
                ticket.end(Err(Skip::Shutdown));
                continue;
            }
            match is_whole.then(|| self.admit(contender)).transpose() {
                Ok(admission) => entrants.push(Entrant {
                    ticket,
                    admission,
                    asked: None,
                }),
                Err(skip) => ticket.end(Err(skip)),
            }
        }
        entrants
    }

    fn start(self: Arc<Self>, exchange: Exchange, entrants: Vec<Entrant>) {
        if !entrants.is_empty() {
            let (shadow, token) = (self.shadow.clone(), self.shadow.tasks.token());
            let start = move || {
                // It is large, and would be moved more than once.
                tokio::spawn(Box::pin(async move {
                    let _until_it_is_over = token;
                    self.run(exchange, entrants).await;
                }));
            };
            if let Err(start) = threads::beside(When::Soon, start) {
                let _there = shadow.runtime.enter();
                start();
            }
        }
    }
}

impl Mirror for Trial {
    fn offer(self: Arc<Self>, exchange: Exchange) {
        let entrants = self.enter(&exchange, true);
        self.start(exchange, entrants);
    }

    fn race(self: Arc<Self>, exchange: Exchange) -> Vec<Option<Slot>> {
        // The live path waits for no hook.
        let mut entrants = self.enter(&exchange, false);
        let mut slots: Vec<Option<Slot>> = self.contenders.iter().map(|_| None).collect();
        for entrant in &mut entrants {
            let (slot, asked) = capture::slot();
            slots[entrant.ticket.place()] = Some(slot);
            entrant.asked = Some(asked);
        }
        self.start(exchange, entrants);
        slots
    }

    fn skip(&self, method: &Method, uri: &Uri, skip: Skip) {
        self.shadow.ledger.matched(self.contenders.len());
        let target = client::target(uri).clone();
        let matched = Matched::new(method.clone(), target, SystemTime::now());
        for contender in &self.contenders {
            self.shadow.end(contender, &matched, Err(skip));
        }
    }
}

/// A matched request's claim to an outcome for one candidate.
pub(super) struct Ticket {
    trial: Arc<Trial>,
    /// The candidate's place.
    place: usize,
    matched: Arc<Matched>,
    ended: bool,
}

impl Ticket {
    pub(super) fn issue(trial: &Arc<Trial>, place: usize, matched: &Arc<Matched>) -> Self {
        Self {
            trial: trial.clone(),
            place,
            matched: matched.clone(),
            ended: false,
        }
    }

    /// The place of who is to be asked.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn end(self, judged: Result<Judged, Skip>) {
        let _ending = self.ending(judged);
    }

    /// Ends, and gives what became of it.
    pub(super) fn ending(mut self, judged: Result<Judged, Skip>) -> Ending {
        self.conclude(judged)
    }

    fn conclude(&mut self, judged: Result<Judged, Skip>) -> Ending {
        self.ended = true;
        let shadow = &self.trial.shadow;
        let contender = &self.trial.contenders[self.place];
        shadow.end(contender, &self.matched, judged)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.ended {
            // A panic gets here, or the end of the runtime.
            self.conclude(Err(Skip::Internal));
        }
    }
}
