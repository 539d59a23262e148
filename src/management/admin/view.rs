//! What is told of experiments.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::outcome::Outcome;
use crate::shadow::{BreakerState, Contender, Learned, Location, Trial};

/// Several experiments.
#[derive(Debug, Serialize)]
pub(super) struct Experiments {
    pub(super) experiments: Vec<Experiment>,
}

/// An experiment, as it runs.
#[derive(Debug, Serialize)]
pub(super) struct Experiment {
    name: String,
    path: String,
    state: &'static str,
    sample_rate: f64,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    name: String,
    /// How matched requests ended, as in `equal` and `skipped.in_flight`.
    outcomes: BTreeMap<String, u64>,
    breaker: Breaker,
    /// How many are taken for noise; `null` where noise is not told from differences.
    noise_locations: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Breaker {
    state: &'static str,
    by_hand: bool,
}

/// What is known of an experiment's noise.
#[derive(Debug, Serialize)]
pub(super) struct Noise {
    experiment: String,
    candidates: Vec<CandidateNoise>,
}

#[derive(Debug, Serialize)]
struct CandidateNoise {
    name: String,
    exchanges: u64,
    locations: Vec<NoiseLocation>,
}

#[derive(Debug, Serialize)]
struct NoiseLocation {
    location: String,
    candidate_differed: u64,
    reference_differed: u64,
    is_noise: bool,
}

impl From<&Trial> for Experiment {
    fn from(trial: &Trial) -> Self {
        let experiment = trial.experiment();
        let is_paused = experiment.controls.is_paused();
        Self {
            name: experiment.name.clone(),
            path: experiment.path.clone(),
            state: if is_paused { "paused" } else { "running" },
            sample_rate: experiment.controls.rate().as_f64(),
            candidates: trial.contenders().iter().map(Candidate::from).collect(),
        }
    }
}

impl From<&Contender> for Candidate {
    fn from(contender: &Contender) -> Self {
        let outcomes = contender.account().outcomes();
        let noisy = |learned: Learned| {
            let locations = learned.locations.iter();
            locations.filter(|location| location.is_noise).count()
        };
        Self {
            name: contender.candidate().name.clone(),
            outcomes: outcomes
                .map(|(outcome, number)| (name(outcome), number))
                .collect(),
            breaker: contender.breaker().into(),
            noise_locations: contender.noise().map(noisy),
        }
    }
}

impl From<BreakerState> for Breaker {
    fn from(state: BreakerState) -> Self {
        Self {
            state: match state {
                BreakerState::Closed => "closed",
                BreakerState::Open | BreakerState::Held => "open",
                BreakerState::HalfOpen => "half_open",
            },
            by_hand: state == BreakerState::Held,
        }
    }
}

impl From<&Trial> for Noise {
    fn from(trial: &Trial) -> Self {
        let candidate = |contender: &Contender| {
            let learned = contender.noise()?;
            Some(CandidateNoise {
                name: contender.candidate().name.clone(),
                exchanges: learned.exchanges,
                locations: learned.locations.into_iter().map(Into::into).collect(),
            })
        };
        Self {
            experiment: trial.experiment().name.clone(),
            candidates: trial.contenders().iter().filter_map(candidate).collect(),
        }
    }
}

impl From<Location> for NoiseLocation {
    fn from(location: Location) -> Self {
        Self {
            location: location.location,
            candidate_differed: location.raw,
            reference_differed: location.noise,
            is_noise: location.is_noise,
        }
    }
}

/// An outcome with its reason.
fn name(outcome: Outcome) -> String {
    match outcome.reason() {
        Some(reason) => format!("{}.{reason}", outcome.name()),
        None => outcome.name().to_owned(),
    }
}
