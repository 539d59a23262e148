//! The composition root: builds everything, runs it, and stops it in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout_at};
use tracing::{info, warn};

use crate::capture::{Budget, Limits};
use crate::client::{Client, Timeouts, Tls};
use crate::config::{BaseUrl, Settings};
use crate::delivery::{BrokerState, Counts, Delivery};
use crate::experiment::Experiment;
use crate::management::{self, Management};
use crate::proxy::{self, Alive, Connections, LiveMetrics, Proxy};
use crate::shadow::{self, Observer, Shadow};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics as names;

/// How often observations are sorted into histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// The longest part of a stop that is kept for delivering what the rest of it found.
const MAX_DELIVERY_SHARE: Duration = Duration::from_secs(5);

/// What can be plugged into miffy.
#[derive(Default)]
pub struct Plugs {
    /// Is told of every outcome.
    pub observer: Option<Arc<dyn Observer>>,
    /// Counts the log lines that were lost.
    pub lost_log_lines: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl std::fmt::Debug for Plugs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugs").finish_non_exhaustive()
    }
}

/// miffy, its ports bound and everything built.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    management_listener: TcpListener,
    router: Router,
    management: Management,
    shadow: Shadow,
    delivery: Arc<Delivery>,
    connections: Connections,
    shutdown_timeout: Duration,
}

impl App {
    /// Binds the ports and builds everything. Must be called within a runtime.
    pub async fn bind(settings: &Settings, plugs: Plugs) -> anyhow::Result<Self> {
        let listener = bind(settings.listen).await?;
        let management_listener = bind(settings.management_listen).await?;
        let telemetry = Arc::new(Telemetry::new());
        let counts = telemetry.register(Counts::register);
        let delivery = Delivery::start(&settings.kafka, settings.delivery, counts)
            .context("the Kafka producer can't be created")?;
        let delivery = Arc::new(delivery);
        let experiments: Vec<Arc<Experiment>> = settings
            .routes
            .iter()
            .enumerate()
            .map(|(index, route)| Arc::new(Experiment::new(index, route)))
            .collect();
        let limits = Limits {
            max_body: settings.capture.max_body,
            budget: Budget::new(settings.capture.max_total),
        };
        let parts = shadow_parts(settings, limits.clone(), delivery.clone(), plugs.observer)?;
        let shadow =
            telemetry.register(|| Shadow::register(parts, experiments.iter().map(AsRef::as_ref)));
        let metrics = telemetry.register(LiveMetrics::register);
        let live = Arc::new(AtomicUsize::new(0));
        let proxy = Arc::new(Proxy::new(
            settings.reference.clone(),
            reference_client(settings)?,
            limits.clone(),
            Arc::new(shadow.clone()),
            live.clone(),
            metrics,
        ));
        let connections = Connections::default();
        let gauges = Gauges {
            connections: connections.counter(),
            live,
            budget: limits.budget,
            shadow: shadow.clone(),
            delivery: delivery.clone(),
            lost_log_lines: plugs.lost_log_lines,
        };
        let management = Management {
            alive: Alive::default(),
            stopping: Arc::new(AtomicBool::new(false)),
            broker: delivery.broker().clone(),
            sample: gauges.sampler(&telemetry),
            telemetry,
        };
        Ok(Self {
            listener,
            management_listener,
            router: proxy::router(&proxy, &experiments),
            management,
            shadow,
            delivery,
            connections,
            shutdown_timeout: settings.shutdown_timeout,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    pub fn management_address(&self) -> std::io::Result<SocketAddr> {
        self.management_listener.local_addr()
    }

    /// Serves until `stop`, then lets everything that runs come to its end within the configured time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let address = self.address()?;
        let management_address = self.management_address()?;
        let Self {
            listener,
            management_listener,
            router,
            management,
            shadow,
            delivery,
            connections,
            shutdown_timeout,
        } = self;
        let mut beside = JoinSet::new();
        beside.spawn(upkeep(management.telemetry.clone()));
        let routes = management::router(management.clone());
        beside.spawn(async move {
            // It fails only on errors that it retries itself.
            let _ended = axum::serve(management_listener, routes).await;
        });
        info!(%address, %management_address, version = env!("CARGO_PKG_VERSION"), "started");
        let ended = tokio::select! {
            () = proxy::serve(listener, router, &connections, &management.alive) => {
                Err(anyhow::anyhow!("the proxy stopped accepting connections"))
            }
            () = stop => Ok(()),
        };
        management.stopping.store(true, Ordering::Relaxed);
        info!(timeout_s = shutdown_timeout.as_secs_f64(), "stopping");
        drain(&shadow, &delivery, connections, shutdown_timeout).await;
        // Neither is worth waiting for any longer.
        drop(beside);
        ended
    }
}

/// Ends everything in the order of its flow: connections, exchanges, records.
async fn drain(shadow: &Shadow, delivery: &Delivery, connections: Connections, limit: Duration) {
    let now = Instant::now();
    let end = now + limit;
    let exchanges_end = now + limit.saturating_sub(MAX_DELIVERY_SHARE.min(limit / 4));
    if timeout_at(exchanges_end.into(), connections.close())
        .await
        .is_err()
    {
        warn!("connections are still open, and are given up");
    }
    shadow.drain(exchanges_end).await;
    let totals = delivery.drain(end).await;
    let ledger = shadow.ledger();
    info!(
        matched = ledger.requests(),
        outcomes = ledger.summary(),
        records = totals.found,
        published = totals.published,
        dropped = totals.dropped,
        "stopped"
    );
}

async fn upkeep(telemetry: Arc<Telemetry>) {
    let mut tick = interval(UPKEEP);
    loop {
        tick.tick().await;
        telemetry.upkeep();
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}"))
}

/// Whether any of these backends is reached over TLS.
fn tls<'u>(mut bases: impl Iterator<Item = &'u BaseUrl>) -> Tls {
    if bases.any(BaseUrl::is_https) {
        Tls::Needed
    } else {
        Tls::Unused
    }
}

fn reference_client(settings: &Settings) -> anyhow::Result<Client<proxy::LiveBody>> {
    let timeouts = Timeouts {
        connect: settings.reference_timeouts.connect,
        first_byte: settings.reference_timeouts.first_byte,
    };
    let own = settings.routes.iter().map(|route| &route.reference);
    Client::new(timeouts, tls(own.chain([&settings.reference])))
        .context("the client towards the reference can't be created")
}

fn shadow_parts(
    settings: &Settings,
    limits: Limits,
    delivery: Arc<Delivery>,
    observer: Option<Arc<dyn Observer>>,
) -> anyhow::Result<shadow::Parts> {
    let timeouts = Timeouts {
        connect: settings.candidate_timeouts.connect,
        first_byte: None,
    };
    let candidates = settings.routes.iter().map(|route| &route.candidate);
    let client = Client::new(timeouts, tls(candidates))
        .context("the client towards the candidates can't be created")?;
    Ok(shadow::Parts {
        client,
        candidate_limit: settings.candidate_timeouts.exchange,
        limits,
        max_in_flight: settings.shadow.max_in_flight,
        max_wait: settings.shadow.max_wait,
        max_differences: settings.max_differences,
        max_message: settings
            .kafka
            .max_message_bytes
            .min(settings.delivery.queue_bytes),
        delivery,
        observer,
    })
}

/// Where gauges come from that are kept for other reasons, too.
struct Gauges {
    connections: Arc<AtomicUsize>,
    live: Arc<AtomicUsize>,
    budget: Arc<Budget>,
    shadow: Shadow,
    delivery: Arc<Delivery>,
    lost_log_lines: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl Gauges {
    /// Sets the gauges whenever it is called.
    fn sampler(self, telemetry: &Telemetry) -> Arc<dyn Fn() + Send + Sync> {
        let gauges = [
            names::CONNECTIONS,
            names::LIVE_IN_FLIGHT,
            names::SHADOW_IN_FLIGHT,
            names::CAPTURED_BYTES,
            names::QUEUE_RECORDS,
            names::QUEUE_BYTES,
            names::KAFKA_QUEUE,
            names::KAFKA_UP,
        ];
        let (gauges, lost) = telemetry.register(|| {
            let lost = names::counter(names::LOG_LINES_DROPPED, None);
            (gauges.map(names::gauge), lost)
        });
        Arc::new(move || {
            let counts = self.delivery.counts();
            let values = [
                self.connections.load(Ordering::Relaxed),
                self.live.load(Ordering::Relaxed),
                self.shadow.in_flight(),
                self.budget.held(),
                counts.queued_records(),
                counts.queued_bytes(),
                counts.at_kafka(),
                usize::from(self.delivery.broker().get() == BrokerState::Reached),
            ];
            for (gauge, value) in gauges.iter().zip(values) {
                #[expect(clippy::cast_precision_loss, reason = "no gauge comes near 2^53")]
                gauge.set(value as f64);
            }
            if let Some(count) = &self.lost_log_lines {
                lost.absolute(count());
            }
        })
    }
}
