//! The composition root: builds everything, runs it, changes it, and stops it in order.
//!
//! # Layout
//!
//! - `look`: what the configuration's file looks like
//! - `planner`: plans of settings
//! - `reload`: applies another configuration
//! - `restart`: keys that can't be applied so

mod look;
mod planner;
mod reload;
mod restart;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{interval, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::capture::{Budget, Limits};
use crate::config::{Environment, Loaded, Problems, Settings, Source, load_for_hooks};
use crate::delivery::{Delivery, SinkState, Totals};
use crate::hooks::Hooks;
use crate::management::{self, Gate, Management, Reloads};
use crate::outcomes::Stream;
use crate::proxy::{Alive, Connections, LiveMetrics, Proxy, Server};
use crate::record;
use crate::shadow::{self, Observer, Roster, Shadow};
use crate::telemetry::metrics as names;
use crate::telemetry::{Telemetry, Throttle};
use crate::threads::Threads;
use crate::tls::ServerCertificate;
use planner::Planner;
use reload::{ReloadMetrics, Reloader, Running};

/// How often observations are sorted into histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often the files of the certificate that clients are shown are looked at.
const RELOAD: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 4096;

/// The longest part of a stop that is kept for delivering what the rest of it found.
const MAX_DELIVERY_SHARE: Duration = Duration::from_secs(5);

/// What can be plugged into miffy. [`Hooks`] alone are plugs, too.
///
/// ```
/// use miffy::app::Plugs;
/// use miffy::hooks::Hooks;
///
/// let hooks = Hooks::new().finished(|exchange| println!("{exchange:?}"));
/// let plugs = Plugs::from(hooks);
/// # let _plugs = plugs;
/// ```
#[derive(Default)]
pub struct Plugs {
    /// Is asked, and told, of every mirrored request; and sinks.
    pub hooks: Hooks,
    /// Is told of every outcome.
    pub observer: Option<Arc<dyn Observer>>,
    /// Counts the log lines that were lost.
    pub lost_log_lines: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
    /// Where the configuration can be read again.
    pub origin: Option<Origin>,
}

/// Where the configuration comes from.
pub struct Origin {
    /// Reads it. May block.
    pub load: Box<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>,
    /// The file that it was read from at start, if it was.
    pub file: Option<PathBuf>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Origin");
        shown.field("file", &self.file).finish_non_exhaustive()
    }
}

impl From<Hooks> for Plugs {
    fn from(hooks: Hooks) -> Self {
        Self {
            hooks,
            ..Self::default()
        }
    }
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
    server: Arc<Server>,
    certificate: Option<Arc<ServerCertificate>>,
    management: Management,
    reloader: Reloader,
    shadow: Shadow,
    threads: Threads,
    delivery: Arc<Delivery>,
    /// Of lines of outcomes, if there are any.
    outcomes: Option<Arc<Delivery>>,
    connections: Connections,
    stop: Stop,
}

/// How long the parts of a stop may take.
#[derive(Debug, Clone, Copy)]
struct Stop {
    /// How long requests are still taken.
    delay: Duration,
    /// All of it.
    timeout: Duration,
}

impl Stop {
    fn of(settings: &Settings) -> Self {
        let timeout = settings.shutdown_timeout;
        let delay = settings.shutdown_delay.unwrap_or_default();
        Self {
            delay: delay.min(timeout / 4),
            timeout,
        }
    }
}

impl App {
    /// miffy by a configuration in TOML, with the defaults for what it leaves out; the environment says nothing. Must be
    /// called within a runtime.
    ///
    /// ```no_run
    /// use miffy::app::App;
    /// use miffy::hooks::Hooks;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anyhow::Result<()> {
    /// let config = r#"
    ///     reference = "http://127.0.0.1:3000"
    ///     candidate = "http://127.0.0.1:3001"
    ///     routes = [{ path = "/{*path}" }]
    ///     kafka.enabled = false
    /// "#;
    /// let hooks = Hooks::new().finished(|exchange| println!("{exchange:?}"));
    /// let app = App::from_toml(config, hooks.into())?;
    /// app.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Every problem of the configuration, each with its key; or why a port can't be bound, or a sink not be used.
    pub fn from_toml(config: &str, plugs: Plugs) -> anyhow::Result<Self> {
        let source = Source::Text(config.to_owned());
        let loaded = load_for_hooks(&source, &Environment::default())?;
        Self::bind(&loaded.settings, plugs)
    }

    /// Binds the ports and builds everything. Must be called within a runtime.
    pub fn bind(settings: &Settings, plugs: Plugs) -> anyhow::Result<Self> {
        let listener = bind(settings.listen)?;
        let management_listener = bind(settings.management_listen)?;
        let telemetry = Arc::new(Telemetry::new());
        let (hooks, sinks) = telemetry.register(|| plugs.hooks.attach());
        let delivery = telemetry.register(|| {
            let delivery = Delivery::start(settings, record::shorten)?;
            delivery.with(settings, record::shorten, sinks)
        })?;
        let delivery = Arc::new(delivery);
        let stream = telemetry.register(|| Stream::start(settings))?;
        let outcomes = stream.as_ref().map(|stream| stream.delivery().clone());
        let stream = stream.map(|stream| -> Arc<dyn Observer> { Arc::new(stream) });
        let limits = limits(settings);
        let threads = Threads::start().context("threads can't be started")?;
        let parts = shadow::Parts {
            runtime: threads.for_shadow().clone(),
            limits: limits.clone(),
            max_in_flight: settings.shadow.max_in_flight,
            max_wait: settings.shadow.max_wait,
            requery_rate: settings.noise.requery_rate,
            max_message: max_message(settings),
            delivery: delivery.clone(),
            observers: plugs.observer.into_iter().chain(stream).collect(),
            hooks,
        };
        let shadow = telemetry.register(|| Shadow::register(parts));
        let metrics = telemetry.register(LiveMetrics::register);
        let live = Arc::new(AtomicUsize::new(0));
        let mut planner = Planner::new(telemetry.clone(), shadow.clone());
        let (plan, trials) = planner.plan(settings)?;
        let roster = Arc::new(Roster::default());
        roster.succeed(trials, || {});
        let proxy = Arc::new(Proxy::new(
            plan,
            limits.clone(),
            live.clone(),
            settings.forwarded,
            metrics,
        ));
        let (certificate, acceptor) = tls(settings)?;
        let server = telemetry.register(|| {
            Server::register(proxy.clone(), settings.clients, acceptor, threads.seats())
        });
        let connections = Connections::default();
        let gauges = Gauges {
            connections: connections.counter(),
            live,
            budget: limits.budget,
            shadow: shadow.clone(),
            delivery: delivery.clone(),
            outcomes: outcomes.clone(),
            roster: roster.clone(),
            lost_log_lines: plugs.lost_log_lines,
        };
        let warnings = Arc::new(ArcSwap::from_pointee(warnings(settings)));
        let gate = Arc::new(Gate::default());
        gate.set(Gate::lock(settings.admin.as_ref())?);
        let stopping = Arc::new(AtomicBool::new(false));
        let (reloads, requests) = Reloads::channel();
        let running = Running {
            origin: plugs.origin,
            started: settings.clone(),
            planner: Mutex::new(planner),
            proxy,
            roster: roster.clone(),
            gate: gate.clone(),
            warnings: warnings.clone(),
            stopping: stopping.clone(),
            listen: listener.local_addr()?,
        };
        let metrics = telemetry.register(ReloadMetrics::register);
        let reloader = Reloader::new(requests, running, metrics);
        let management = Management {
            alive: Alive::default(),
            stopping,
            delivery: delivery.clone(),
            outcomes: outcomes.clone(),
            warnings,
            roster,
            gate,
            reloads,
            sample: gauges.sampler(&telemetry),
            telemetry,
        };
        Ok(Self {
            listener,
            management_listener,
            server: Arc::new(server),
            certificate,
            management,
            reloader,
            shadow,
            threads,
            delivery,
            outcomes,
            connections,
            stop: Stop::of(settings),
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the management port is.
    pub fn management_address(&self) -> std::io::Result<SocketAddr> {
        self.management_listener.local_addr()
    }

    /// Where reloads of the configuration are asked for.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.management.reloads.clone()
    }

    /// Serves until `stop`, then lets everything that runs come to its end within the configured time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let address = self.address()?;
        let management_address = self.management_address()?;
        let mut beside = JoinSet::new();
        beside.spawn(upkeep(self.management.telemetry.clone()));
        beside.spawn(self.reloader.run());
        let routes = management::router(self.management.clone());
        let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
        let management_listener = self.management_listener;
        beside.spawn(async move {
            // It fails only on errors that it retries itself.
            let _ended = axum::serve(management_listener, routes).await;
        });
        if let Some(certificate) = self.certificate {
            beside.spawn(read_again(certificate));
        }
        info!(%address, %management_address, version = env!("CARGO_PKG_VERSION"), "started");
        let no_more = CancellationToken::new();
        let (connections, alive) = (self.connections, self.management.alive);
        let mut serving =
            pin!(
                self.server
                    .serve(self.listener, &connections, &alive, no_more.cancelled(),)
            );
        let died = || Err(anyhow::anyhow!("the proxy stopped accepting connections"));
        let ended = tokio::select! {
            () = &mut serving => died(),
            () = stop => Ok(()),
        };
        let now = Instant::now();
        self.management.stopping.store(true, Ordering::Relaxed);
        info!(timeout_s = self.stop.timeout.as_secs_f64(), "stopping");
        if ended.is_ok() {
            connections.leave();
            tokio::time::sleep(self.stop.delay).await;
            no_more.cancel();
            serving.await;
        }
        drain(
            &self.shadow,
            &self.delivery,
            self.outcomes.as_deref(),
            connections.clone(),
            now,
            self.stop.timeout,
        )
        .await;
        // None of it is worth waiting for any longer.
        drop((beside, self.threads));
        ended
    }
}

/// The certificate that clients are shown, and what accepts their connections with it.
fn tls(
    settings: &Settings,
) -> anyhow::Result<(Option<Arc<ServerCertificate>>, Option<TlsAcceptor>)> {
    let Some(identity) = &settings.tls else {
        return Ok((None, None));
    };
    let certificate = Arc::new(ServerCertificate::load(identity.clone())?);
    let acceptor = TlsAcceptor::from(Arc::new(certificate.config()?));
    Ok((Some(certificate), Some(acceptor)))
}

/// Reads the certificate that clients are shown again when it changes.
async fn read_again(certificate: Arc<ServerCertificate>) {
    let mut tick = interval(RELOAD);
    let failures = Throttle::default();
    loop {
        tick.tick().await;
        let certificate = certificate.clone();
        let reloaded = spawn_blocking(move || certificate.reload()).await;
        match reloaded {
            Ok(Ok(true)) => info!("the certificate for clients was read again"),
            Ok(Err(error)) => {
                if let Some(unsaid) = failures.admit() {
                    warn!(%error, unsaid, "the certificate for clients stays as it was");
                }
            }
            Ok(Ok(false)) | Err(_) => {}
        }
    }
}

/// Ends everything in the order of its flow: connections, exchanges, records.
async fn drain(
    shadow: &Shadow,
    delivery: &Delivery,
    outcomes: Option<&Delivery>,
    connections: Connections,
    began: Instant,
    limit: Duration,
) {
    let end = began + limit;
    let exchanges_end = began + limit.saturating_sub(MAX_DELIVERY_SHARE.min(limit / 4));
    if timeout_at(exchanges_end.into(), connections.close())
        .await
        .is_err()
    {
        warn!("connections are still open, and are given up");
    }
    shadow.drain(exchanges_end).await;
    let lines = async {
        match outcomes {
            Some(outcomes) => Some(outcomes.drain(end).await),
            None => None,
        }
    };
    let (sinks, lines) = tokio::join!(delivery.drain(end), lines);
    let totals = told(&sinks, sinks.len() > 1);
    let lines = lines.map(|sinks| told(&sinks, true));
    let drops = sinks.iter().map(|sink| sink.drops.as_str());
    let drops: Vec<&str> = drops.filter(|drops| !drops.is_empty()).collect();
    let ledger = shadow.ledger();
    info!(
        matched = ledger.requests(),
        pairs = ledger.pairs(),
        outcomes = ledger.summary(),
        records = totals.found,
        published = totals.published,
        spooled = totals.spooled,
        dropped = totals.dropped,
        drops = drops.join(" "),
        outcome_lines = lines.map(|lines| lines.found),
        outcome_lines_published = lines.map(|lines| lines.published),
        outcome_lines_dropped = lines.map(|lines| lines.dropped),
        "stopped"
    );
}

/// What became of all sinks' records together, and, if it is to be said, of each sink's.
fn told(sinks: &[SinkState], is_said: bool) -> Totals {
    let mut totals = Totals::default();
    for sink in sinks {
        totals += sink.totals;
        if is_said {
            info!(
                sink = sink.name,
                records = sink.totals.found,
                published = sink.totals.published,
                spooled = sink.totals.spooled,
                dropped = sink.totals.dropped,
                drops = sink.drops,
                "delivered"
            );
        }
    }
    totals
}

async fn upkeep(telemetry: Arc<Telemetry>) {
    let mut tick = interval(UPKEEP);
    loop {
        tick.tick().await;
        telemetry.upkeep();
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A port that was left a moment ago can be taken again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("can't listen on {address}"))
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        max_body: settings.capture.max_body,
        budget: Budget::new(settings.capture.max_total),
    }
}

/// What `/readyz` tells of the configuration as long as it is in effect.
fn warnings(settings: &Settings) -> Vec<String> {
    let warnings = settings.warnings_of_delivery().into_iter();
    warnings.map(str::to_owned).collect()
}

/// How large a record may be from the start, its key included.
fn max_message(settings: &Settings) -> usize {
    let queue = settings.delivery.queue_bytes;
    if settings.kafka.enabled {
        queue.min(settings.kafka.max_message_bytes)
    } else {
        queue
    }
}

/// Where gauges come from that are kept for other reasons, too.
struct Gauges {
    connections: Arc<AtomicUsize>,
    live: Arc<AtomicUsize>,
    budget: Arc<Budget>,
    shadow: Shadow,
    delivery: Arc<Delivery>,
    outcomes: Option<Arc<Delivery>>,
    roster: Arc<Roster>,
    lost_log_lines: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl Gauges {
    /// Sets the gauges whenever it is called, which is to be in [`Telemetry::register`].
    fn sampler(self, telemetry: &Telemetry) -> Arc<dyn Fn() + Send + Sync> {
        let gauges = [
            names::CONNECTIONS,
            names::LIVE_IN_FLIGHT,
            names::SHADOW_IN_FLIGHT,
            names::CAPTURED_BYTES,
        ];
        let (gauges, lost) = telemetry.register(|| {
            let lost = names::counter(names::LOG_LINES_DROPPED, None);
            (gauges.map(names::gauge), lost)
        });
        Arc::new(move || {
            let values = [
                self.connections.load(Ordering::Relaxed),
                self.live.load(Ordering::Relaxed),
                self.shadow.in_flight(),
                self.budget.held(),
            ];
            for (gauge, value) in gauges.iter().zip(values) {
                #[expect(clippy::cast_precision_loss, reason = "no gauge comes near 2^53")]
                gauge.set(value as f64);
            }
            self.delivery.sample();
            if let Some(outcomes) = &self.outcomes {
                outcomes.sample();
            }
            self.roster.sample();
            if let Some(count) = &self.lost_log_lines {
                lost.absolute(count());
            }
        })
    }
}
