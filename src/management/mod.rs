//! The management port: whether miffy lives, whether it takes requests, and its metrics.
//!
//! - `/healthz`: 200 while the proxy accepts connections or is stopping as asked; else 503.
//! - `/readyz`: 200 while the proxy takes requests, 503 while it stops. It says whether Kafka is reached and how each
//!   sink is doing, and does not fail for it: the live path needs none.
//! - `/metrics`: Prometheus's text format.
//! - `/admin/`: what runs, and changes to it, for who knows the token; without a token configured, nothing.
//!
//! # Layout
//!
//! - `admin`: the administration
//! - `gate`: who is let in to it
//! - `reloads`: asking for a reload of the configuration

mod admin;
mod gate;
mod reloads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::delivery::{BrokerState, Delivery, SinkState};
use crate::proxy::Alive;
use crate::shadow::Roster;
use crate::telemetry::Telemetry;

pub use gate::{Gate, Lock, NoRandomness};
pub use reloads::{
    NotReloaded, Outcome as ReloadOutcome, Reloaded, Reloads, Request as ReloadRequest, Trigger,
};

/// The media type of Prometheus's text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the management port tells.
#[derive(Clone)]
pub struct Management {
    /// Whether the proxy's accept loop runs.
    pub alive: Alive,
    /// Whether miffy is stopping.
    pub stopping: Arc<AtomicBool>,
    /// Where records go.
    pub delivery: Arc<Delivery>,
    /// Where lines of outcomes go, if they go anywhere.
    pub outcomes: Option<Arc<Delivery>>,
    /// What is to be known of its configuration.
    pub warnings: Arc<ArcSwap<Vec<String>>>,
    /// The experiments, as they run.
    pub roster: Arc<Roster>,
    /// Who is let in to the administration.
    pub gate: Arc<Gate>,
    /// Where reloads are asked for.
    pub reloads: Reloads,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// Brings gauges up to date that are kept elsewhere; to be called in [`Telemetry::register`].
    pub sample: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Management {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Management").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Readiness<'m> {
    status: &'static str,
    /// Whether a broker is reached.
    kafka: &'static str,
    /// By sink.
    delivery: BTreeMap<&'static str, SinkReadiness>,
    /// Experiments of which nothing is mirrored for now.
    paused: Vec<String>,
    warnings: Vec<&'m str>,
}

#[derive(Serialize)]
struct SinkReadiness {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    waiting: u64,
    spooled: u64,
    dropped: u64,
}

impl From<SinkState> for SinkReadiness {
    fn from(sink: SinkState) -> Self {
        let state = if sink.problem.is_some() {
            "failing"
        } else {
            "ok"
        };
        Self {
            state,
            remedy: sink.problem.as_ref().and_then(|problem| problem.remedy),
            problem: sink.problem.map(|problem| problem.reason),
            waiting: sink.totals.waiting,
            spooled: sink.totals.spooled,
            dropped: sink.totals.dropped,
        }
    }
}

/// The management port's routes.
pub fn router(management: Management) -> Router {
    let admin = admin::router(admin::Admin::of(&management));
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(management)
        .nest("/admin", admin)
}

async fn healthz(State(management): State<Management>) -> Response {
    let stopping = management.stopping.load(Ordering::Relaxed);
    let (code, status) = if management.alive.get() || stopping {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    (code, Json(Health { status })).into_response()
}

async fn readyz(State(management): State<Management>) -> Response {
    let (code, status) = if management.stopping.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if management.alive.get() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    let outcomes = management.outcomes.iter();
    let outcomes = outcomes.flat_map(|outcomes| outcomes.sinks());
    let sinks = management.delivery.sinks().into_iter().chain(outcomes);
    let configured = management.warnings.load();
    let warnings = configured.iter().map(String::as_str);
    let warnings = warnings.chain(management.delivery.warnings());
    let paused = management.roster.with(|trials| {
        let experiments = trials.iter().map(|trial| trial.experiment());
        let paused = experiments.filter(|experiment| experiment.controls.is_paused());
        paused.map(|experiment| experiment.name.clone()).collect()
    });
    let readiness = Readiness {
        status,
        kafka: management
            .delivery
            .broker()
            .map_or("off", BrokerState::name),
        delivery: sinks.map(|sink| (sink.name, sink.into())).collect(),
        paused,
        warnings: warnings.collect(),
    };
    (code, Json(readiness)).into_response()
}

async fn metrics(State(management): State<Management>) -> Response {
    management.telemetry.register(|| (management.sample)());
    let body = management.telemetry.render();
    ([(header::CONTENT_TYPE, PROMETHEUS)], body).into_response()
}
