//! Makes plans of settings: experiments, their trials, and how every backend is asked.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http_body::Body;

use crate::client::{Client, Replay};
use crate::config::{Backends, BaseUrl, NoiseMethod, Redact, Respond, Route, Settings};
use crate::experiment::{Experiment, Table};
use crate::proxy::{Lane, LiveBody, Plan, Race};
use crate::redact::Redaction;
use crate::shadow::{CandidateBody, Shadow, Terms, Trial};
use crate::telemetry::Telemetry;

/// Makes one plan after another. What is the same in the next one stays as it is: connections to backends, and
/// what experiments have learned.
pub(super) struct Planner {
    telemetry: Arc<Telemetry>,
    shadow: Shadow,
    references: Clients<LiveBody>,
    candidates: Clients<CandidateBody>,
    redaction: Option<(Redact, Arc<Redaction>)>,
    trials: Vec<(Ground, Arc<Trial>)>,
}

/// What a trial was made of; while it is the same, the trial goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ground {
    route: Route,
    redact: Redact,
    noise: crate::config::Noise,
    breaker: Option<crate::config::Breaker>,
    second: crate::config::Timeouts,
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner").finish_non_exhaustive()
    }
}

impl Planner {
    pub(super) fn new(telemetry: Arc<Telemetry>, shadow: Shadow) -> Self {
        Self {
            telemetry,
            shadow,
            references: Clients::default(),
            candidates: Clients::default(),
            redaction: None,
            trials: Vec::new(),
        }
    }

    /// A plan of these settings, and the trials of its experiments.
    ///
    /// # Errors
    ///
    /// When TLS is needed, and its certificates can't be used. The plan before is still good, and goes on as it is.
    pub(super) fn plan(&mut self, settings: &Settings) -> anyhow::Result<(Plan, Vec<Arc<Trial>>)> {
        let redaction = match &self.redaction {
            Some((redact, redaction)) if *redact == settings.redact => redaction.clone(),
            _ => Arc::new(Redaction::new(settings.redact.clone())?),
        };
        let mut references = self.references.successor();
        let mut candidates = self.candidates.successor();
        // What may fail comes first: a trial that begins is seen in the metrics.
        let mut sides = Vec::with_capacity(settings.routes.len());
        for route in &settings.routes {
            let ground = Ground::of(route, settings);
            let client = references.get(&route.reference.asked, &route.reference.base)?;
            let terms = terms(&mut candidates, &ground)?;
            let racers = racers(&mut references, route)?;
            sides.push((ground, client, terms, racers));
        }
        let client = references.get(&settings.reference_backends, &settings.reference)?;
        let mut trials = Vec::with_capacity(sides.len());
        let mut lanes = Vec::with_capacity(sides.len());
        for (ground, client, terms, racers) in sides {
            let trial = match self.trials.iter().find(|(before, _)| *before == ground) {
                Some((_, trial)) => trial.clone(),
                None => {
                    let experiment = Arc::new(Experiment::new(&ground.route, redaction.clone()));
                    let start = || Arc::new(self.shadow.trial(experiment, terms));
                    self.telemetry.register(start)
                }
            };
            lanes.push(Arc::new(Lane {
                race: racers.map(|racers| {
                    let register = || Race::register(trial.experiment(), racers);
                    self.telemetry.register(register)
                }),
                experiment: trial.experiment().clone(),
                client,
                mirror: trial.clone(),
            }));
            trials.push((ground, trial));
        }
        let plan = Plan {
            upstream: settings.reference.clone(),
            client,
            experiments: Table::new(lanes),
        };
        // Connections to backends that are asked no longer are not kept.
        references.before.clear();
        candidates.before.clear();
        self.redaction = Some((settings.redact.clone(), redaction));
        (self.references, self.candidates, self.trials) = (references, candidates, trials);
        let trials = self.trials.iter().map(|(_, trial)| trial.clone());
        Ok((plan, trials.collect()))
    }
}

impl Ground {
    fn of(route: &Route, settings: &Settings) -> Self {
        Self {
            route: route.clone(),
            redact: settings.redact.clone(),
            noise: settings.noise,
            breaker: settings.shadow.breaker,
            second: settings.candidate_backends.timeouts,
        }
    }
}

/// How an experiment's candidates are asked in races, if it has any.
fn racers(
    clients: &mut Clients<LiveBody>,
    route: &Route,
) -> anyhow::Result<Option<Vec<Client<LiveBody>>>> {
    if route.respond != Respond::Fastest {
        return Ok(None);
    }
    let backends = route.candidates.iter().map(|it| &it.backend);
    let racers = backends.map(|backend| clients.get(&backend.asked, &backend.base));
    racers.collect::<anyhow::Result<_>>().map(Some)
}

/// How an experiment's candidates are asked, and who gives second answers. These must not take connections from
/// the live path, and must not be waited for for ever.
fn terms(clients: &mut Clients<CandidateBody>, ground: &Ground) -> anyhow::Result<Terms> {
    let Ground { route, .. } = ground;
    let of = |candidate: &crate::config::Candidate| {
        let backend = &candidate.backend;
        clients.get(&backend.asked, &backend.base)
    };
    let candidates: anyhow::Result<Vec<_>> = route.candidates.iter().map(of).collect();
    let second = match &route.noise {
        NoiseMethod::Off => None,
        NoiseMethod::Secondary(base) => Some(base),
        NoiseMethod::Requery => Some(&route.reference.base),
    };
    let asked = Backends {
        timeouts: ground.second,
        ..route.reference.asked.clone()
    };
    Ok(Terms {
        candidates: candidates?,
        second: second.map(|base| clients.get(&asked, base)).transpose()?,
        noise: ground.noise,
        breaker: ground.breaker,
    })
}

/// A client, with its connections, for all backends that are asked alike.
struct Clients<B> {
    made: Vec<Made<B>>,
    /// Those of the plan before.
    before: Vec<Made<B>>,
}

/// A client, and whether it knows TLS.
type Made<B> = (Backends, bool, Client<B>);

impl<B> Default for Clients<B> {
    fn default() -> Self {
        Self {
            made: Vec::new(),
            before: Vec::new(),
        }
    }
}

impl<B> Clients<B>
where
    B: Body<Data = Bytes> + Replay + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    /// None yet, but for those that can be taken over.
    fn successor(&self) -> Self {
        Self {
            made: Vec::new(),
            before: self.made.clone(),
        }
    }

    fn get(&mut self, asked: &Backends, base: &BaseUrl) -> anyhow::Result<Client<B>> {
        let is_it = |(of, has_tls, _): &&Made<B>| of == asked && *has_tls == base.is_https();
        if let Some((.., client)) = self.made.iter().find(is_it) {
            return Ok(client.clone());
        }
        let client = match self.before.iter().find(is_it) {
            Some((.., client)) => client.clone(),
            None => Client::new(asked, [base])
                .with_context(|| format!("the client towards {base} can't be created"))?,
        };
        let made = (asked.clone(), base.is_https(), client.clone());
        self.made.push(made);
        Ok(client)
    }
}
