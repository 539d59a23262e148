//! What is done.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::Admin;
use super::refusal::Refusal;
use super::view::{Experiment, Experiments, Noise};
use crate::management::{Reloaded, Trigger};
use crate::matching::Rate;
use crate::shadow::{Contender, Trial};

/// The description of all this.
pub(super) const OPENAPI: &str = include_str!("../../../docs/openapi.json");

type Peer = ConnectInfo<SocketAddr>;
type Name = Result<Path<String>, PathRejection>;
type Answer<T> = Result<Json<T>, Refusal>;

/// What sets a sample.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSample {
    rate: f64,
}

/// What opens or closes a breaker.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBreaker {
    state: NewState,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum NewState {
    Open,
    Closed,
}

/// What a reload has done.
#[derive(Serialize)]
pub(super) struct ReloadedView {
    file: Option<String>,
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    needs_restart: Vec<String>,
    warnings: Vec<String>,
}

pub(super) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

pub(super) async fn list(State(admin): State<Admin>) -> Json<Experiments> {
    Json(admin.experiments())
}

pub(super) async fn one(State(admin): State<Admin>, name: Name) -> Answer<Experiment> {
    admin.with(name, |trial| Ok(trial.into()))
}

pub(super) async fn pause_all(State(admin): State<Admin>, peer: Peer) -> Json<Experiments> {
    admin.pause_all(true, &peer)
}

pub(super) async fn resume_all(State(admin): State<Admin>, peer: Peer) -> Json<Experiments> {
    admin.pause_all(false, &peer)
}

pub(super) async fn pause(
    State(admin): State<Admin>,
    peer: Peer,
    name: Name,
) -> Answer<Experiment> {
    admin.with(name, |trial| {
        switch(trial, true, &peer);
        Ok(trial.into())
    })
}

pub(super) async fn resume(
    State(admin): State<Admin>,
    peer: Peer,
    name: Name,
) -> Answer<Experiment> {
    admin.with(name, |trial| {
        switch(trial, false, &peer);
        Ok(trial.into())
    })
}

pub(super) async fn sample(
    State(admin): State<Admin>,
    peer: Peer,
    name: Name,
    body: Bytes,
) -> Answer<Experiment> {
    let NewSample { rate } = read(&body)?;
    let new = Rate::new(rate);
    let new = new.map_err(|error| Refusal::bad_request(format!("the rate {error}")))?;
    admin.with(name, |trial| {
        let experiment = trial.experiment();
        let before = experiment.controls.set_rate(new).as_f64();
        info!(remote = %peer.ip(), experiment = experiment.name, before, rate, "a sample's rate was set");
        Ok(trial.into())
    })
}

pub(super) async fn breaker(
    State(admin): State<Admin>,
    peer: Peer,
    names: Result<Path<(String, String)>, PathRejection>,
    body: Bytes,
) -> Answer<Experiment> {
    let NewBreaker { state } = read(&body)?;
    let Path((name, candidate)) = names.map_err(bad_path)?;
    let is_open = state == NewState::Open;
    admin.with(Ok(Path(name)), |trial| {
        let contender = trial.contender(&candidate);
        let contender = contender.ok_or_else(|| Refusal::no_such("candidate", &candidate))?;
        contender.hold_breaker(is_open);
        let experiment = &trial.experiment().name;
        info!(remote = %peer.ip(), experiment, candidate, is_open, "a breaker was set");
        Ok(trial.into())
    })
}

pub(super) async fn noise(State(admin): State<Admin>, name: Name) -> Answer<Noise> {
    admin.with(name, |trial| Ok(trial.into()))
}

pub(super) async fn forget_noise(
    State(admin): State<Admin>,
    peer: Peer,
    name: Name,
) -> Answer<Noise> {
    admin.with(name, |trial| {
        let contenders = trial.contenders().iter();
        let locations: usize = contenders.map(Contender::forget_noise).sum();
        let experiment = &trial.experiment().name;
        info!(remote = %peer.ip(), experiment, locations, "learned noise was forgotten");
        Ok(trial.into())
    })
}

pub(super) async fn reload(State(admin): State<Admin>, peer: Peer) -> Answer<ReloadedView> {
    info!(remote = %peer.ip(), "a reload was asked for");
    let reloaded = admin.reloads.reload(Trigger::Administration).await?;
    let Reloaded {
        file,
        added,
        changed,
        removed,
        needs_restart,
        warnings,
    } = (*reloaded).clone();
    Ok(Json(ReloadedView {
        file: file.map(|file| file.display().to_string()),
        added,
        changed,
        removed,
        needs_restart,
        warnings,
    }))
}

impl Admin {
    fn experiments(&self) -> Experiments {
        let view = |trials: &[std::sync::Arc<Trial>]| {
            let trials = trials.iter().map(|trial| (&**trial).into());
            trials.collect()
        };
        let experiments = self.roster.with(view);
        Experiments { experiments }
    }

    fn pause_all(&self, paused: bool, peer: &Peer) -> Json<Experiments> {
        self.roster.with(|trials| {
            for trial in trials {
                switch(trial, paused, peer);
            }
        });
        Json(self.experiments())
    }

    /// Does something with the experiment of this name, while none takes its place.
    fn with<T>(&self, name: Name, act: impl FnOnce(&Trial) -> Result<T, Refusal>) -> Answer<T> {
        let Path(name) = name.map_err(bad_path)?;
        self.roster.with(|trials| {
            let mut trials = trials.iter();
            let trial = trials.find(|trial| trial.experiment().name == name);
            let trial = trial.ok_or_else(|| Refusal::no_such("experiment", &name))?;
            act(trial).map(Json)
        })
    }
}

fn switch(trial: &Trial, paused: bool, peer: &Peer) {
    let experiment = trial.experiment();
    if experiment.controls.pause(paused) {
        let (remote, experiment) = (peer.ip(), &experiment.name);
        if paused {
            info!(%remote, experiment, "an experiment was paused");
        } else {
            info!(%remote, experiment, "an experiment goes on");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn bad_path(rejection: PathRejection) -> Refusal {
    Refusal::bad_request(rejection.body_text())
}

/// Reads a body that is an object; serde would take an array of its values for one as well.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::bad_request("the body: has to be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("the body: {error}")))
}
