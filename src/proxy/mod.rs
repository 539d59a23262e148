//! The live path: clients' requests go to the reference, its responses go back, as they are.
//!
//! Nothing here waits for the shadow. An experiment's request is offered to the [`Mirror`], which takes
//! it or leaves it at once, and both bodies pass through a tee on their way.
//!
//! # Layout
//!
//! - `access`: the access log
//! - `connection`: a client's connection, and when it has been open for nothing
//! - `counted`: gauges that can't leak
//! - `error`: answers that miffy gives itself
//! - `forward`: one request, from its head to its response's last byte
//! - `forwarded`: what backends are told of a request's way
//! - `objection`: requests that can't be passed on
//! - `server`: the accept loop
//! - `upgrade`: connections that become another protocol's

mod access;
mod connection;
mod counted;
mod error;
mod forward;
mod forwarded;
mod objection;
mod server;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use http_body::Body as _;
use metrics::{Counter, Histogram};

pub use server::{Alive, Connections, Server};

use crate::capture::{Limits, Mirror, RequestTee};
use crate::client::{Client, Replay};
use crate::config::BaseUrl;
use crate::experiment::{Experiment, Role};
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
    reference: BaseUrl,
    client: Client<LiveBody>,
    limits: Limits,
    mirror: Arc<dyn Mirror>,
    in_flight: Arc<AtomicUsize>,
    forwarded: bool,
    metrics: LiveMetrics,
    /// Keeps the log readable while the reference is away.
    failures: Throttle,
}

impl Proxy {
    /// A proxy in front of `reference`, whose experiments' exchanges are offered to `mirror`, and which
    /// counts the requests that are being answered in `in_flight`. `forwarded` says whether backends are
    /// told the way that requests took.
    pub fn new(
        reference: BaseUrl,
        client: Client<LiveBody>,
        limits: Limits,
        mirror: Arc<dyn Mirror>,
        in_flight: Arc<AtomicUsize>,
        forwarded: bool,
        metrics: LiveMetrics,
    ) -> Self {
        Self {
            reference,
            client,
            limits,
            mirror,
            in_flight,
            forwarded,
            metrics,
            failures: Throttle::default(),
        }
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

/// Routes each experiment's path to it, and everything else upstream.
///
/// # Panics
///
/// If two experiments' patterns conflict, which the configuration rules out.
pub fn router(proxy: &Arc<Proxy>, experiments: &[Arc<Experiment>]) -> Router {
    let mut router = Router::new();
    for experiment in experiments {
        let proxy = proxy.clone();
        let matched = experiment.clone();
        router = router.route(
            &experiment.path,
            any(move |request: Request| forward::answer(proxy, Some(matched), request)),
        );
    }
    let proxy = proxy.clone();
    router.fallback(move |request: Request| forward::answer(proxy, None, request))
}
