//! The live path: clients' requests go to the reference, its responses go back, as they are.
//!
//! Nothing here waits for the shadow. An experiment's request is offered to a
//! [`Mirror`](crate::capture::Mirror), which takes it or leaves it at once, and both bodies pass through a tee
//! on their way.
//!
//! # Layout
//!
//! - `access`: the access log
//! - `connection`: a client's connection, its bytes, and when it has been open for nothing
//! - `counted`: gauges that can't leak
//! - `error`: answers that miffy gives itself
//! - `forward`: one request, from its head to its response's last byte
//! - `forwarded`: what backends are told of a request's way
//! - `objection`: requests that can't be passed on
//! - `plan`: where requests go, as of now
//! - `race`: requests that the fastest backend answers
//! - `server`: the accept loop, each connection from its start to its end, and what is spoken on it
//! - `upgrade`: connections that become another protocol's

mod access;
mod connection;
mod counted;
mod error;
mod forward;
mod forwarded;
mod objection;
mod plan;
mod race;
mod server;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use axum::body::Body;
use http_body::Body as _;
use metrics::{Counter, Histogram};

pub use plan::{Lane, Plan};
pub use race::Race;
pub use server::{Alive, Connections, Server};

use crate::capture::{Limits, RequestTee};
use crate::client::Replay;
use crate::experiment::Role;
use crate::outcome::Cause;
use crate::telemetry::Throttle;
use crate::telemetry::metrics::{FIRST_BYTE, GATEWAY_ERRORS, REQUESTS, counter, of_role};
use error::OwnAnswer;

/// A request's body towards the reference.
pub type LiveBody = RequestTee<Body>;

impl Replay for LiveBody {
    /// Only a body that there is none of: the others are streamed, and gone.
    fn replay(&self) -> Option<Self> {
        self.is_end_stream().then(|| Self::Right(Body::empty()))
    }
}

/// What every request needs.
pub struct Proxy {
    plan: ArcSwap<Plan>,
    limits: Limits,
    in_flight: Arc<AtomicUsize>,
    forwarded: bool,
    metrics: LiveMetrics,
    /// Keeps the log readable while the reference is away.
    failures: Throttle,
}

impl Proxy {
    /// A proxy that sends requests where `plan` says, and counts those that are being answered in `in_flight`.
    /// `forwarded` says whether backends are told the way that requests took.
    #[must_use]
    pub fn new(
        plan: Plan,
        limits: Limits,
        in_flight: Arc<AtomicUsize>,
        forwarded: bool,
        metrics: LiveMetrics,
    ) -> Self {
        Self {
            plan: ArcSwap::from_pointee(plan),
            limits,
            in_flight,
            forwarded,
            metrics,
            failures: Throttle::default(),
        }
    }

    /// Sends later requests where `plan` says.
    pub fn follow(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

/// The live path's metrics.
#[derive(Debug)]
pub struct LiveMetrics {
    reference: RoleMetrics,
    candidate: RoleMetrics,
    upstream: RoleMetrics,
    bad_gateway: Counter,
    gateway_timeout: Counter,
}

#[derive(Debug)]
struct RoleMetrics {
    requests: Counter,
    first_byte: Histogram,
}

impl LiveMetrics {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    #[must_use]
    pub fn register() -> Self {
        let of = |role: Role| RoleMetrics {
            requests: counter(REQUESTS, Some(("role", role.name()))),
            first_byte: of_role(FIRST_BYTE, role.name()),
        };
        Self {
            reference: of(Role::Reference),
            candidate: of(Role::Candidate),
            upstream: of(Role::Upstream),
            bad_gateway: counter(GATEWAY_ERRORS, Some(("status", "502"))),
            gateway_timeout: counter(GATEWAY_ERRORS, Some(("status", "504"))),
        }
    }

    /// The answer for a backend that failed so, counted.
    fn gateway_error(&self, cause: Cause) -> &'static OwnAnswer {
        let (answer, counter) = match cause {
            Cause::Timeout => (&error::GATEWAY_TIMEOUT, &self.gateway_timeout),
            Cause::Uri | Cause::Connect | Cause::Protocol | Cause::Body => {
                (&error::BAD_GATEWAY, &self.bad_gateway)
            }
        };
        counter.increment(1);
        answer
    }
}
