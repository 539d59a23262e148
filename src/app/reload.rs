//! Changes what can be changed while miffy runs to another configuration.
//!
//! Invariants:
//!
//! - One reload runs at a time. Whatever is asked for meanwhile is the next one.
//! - A configuration that is wrong, or can't be used, changes nothing.
//! - All that may block is done on threads for that, none of which the live path waits for. Requests that run keep
//!   the plan that they began with.
//! - A file is the same for a while before it is read, and after that, so that one that is being written is not taken
//!   for whole. An empty one is valid, and nearly always one that is being written, so that it is refused.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::look::{Look, Looks};
use super::planner::Planner;
use super::{Origin, restart, warnings};
use crate::config::{Loaded, Problem, Settings};
use crate::management::{Gate, NotReloaded, ReloadOutcome, ReloadRequest, Reloaded, Trigger};
use crate::proxy::Proxy;
use crate::shadow::Roster;
use crate::telemetry::metrics as names;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often a file is read that is another one each time.
const ATTEMPTS: u32 = 20;

/// How long it has to be the same before.
const PAUSE: Duration = Duration::from_millis(100);

/// What is said in `/readyz` while the configuration is not what its file says.
const FAILED: &str =
    "the last reload failed, and the configuration before it is in effect: the log says why";

/// Reloads the configuration, one time after the other.
#[derive(Debug)]
pub(super) struct Reloader {
    requests: mpsc::Receiver<ReloadRequest>,
    running: Arc<Running>,
    metrics: ReloadMetrics,
    /// Whether its file is looked at.
    watch: bool,
    /// The file, if there is one.
    looks: Option<(PathBuf, Looks)>,
    /// Whether there was nothing in the file at start.
    was_empty: bool,
    /// The keys that wait for a restart.
    needs_restart: Vec<String>,
}

/// What a configuration is applied to.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) origin: Option<Origin>,
    /// What miffy was started with; where clients connect is the address that it got.
    pub(super) started: Settings,
    pub(super) planner: Mutex<Planner>,
    pub(super) proxy: Arc<Proxy>,
    pub(super) roster: Arc<Roster>,
    pub(super) gate: Arc<Gate>,
    pub(super) warnings: Arc<ArcSwap<Vec<String>>>,
    pub(super) stopping: Arc<AtomicBool>,
    /// Where clients connect.
    pub(super) listen: std::net::SocketAddr,
}

/// What is told of reloads.
#[derive(Debug)]
pub(super) struct ReloadMetrics {
    success: Counter,
    failure: Counter,
    last: Gauge,
    is_successful: Gauge,
}

/// What a reload found, and did.
struct Done {
    reloaded: Reloaded,
    watch: bool,
}

impl Reloader {
    /// What reloads when it is asked to by these requests. Looks at the file for the first time.
    pub(super) fn new(
        requests: mpsc::Receiver<ReloadRequest>,
        running: Running,
        metrics: ReloadMetrics,
    ) -> Self {
        let watch = running.started.watch;
        let origin = running.origin.as_ref();
        let file = origin.and_then(|origin| origin.file.clone());
        if watch && file.is_none() {
            warn!("watch is set, and there is no configuration file to look at");
        }
        let look = file.as_deref().map(Look::at);
        Self {
            requests,
            running: Arc::new(running),
            metrics,
            watch,
            looks: file.zip(look.map(Looks::from)),
            was_empty: look == Some(Look::Empty),
            needs_restart: Vec::new(),
        }
    }

    /// Reloads whenever it is asked to, or the file changes.
    pub(super) async fn run(mut self) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return };
                    self.answer(request).await;
                }
                _ = tick.tick(), if self.watch && self.looks.is_some() => {
                    if self.has_changed().await {
                        let _told = self.reload(Trigger::Change).await;
                    }
                }
            }
        }
    }

    /// Reloads once for this request and all others that wait.
    async fn answer(&mut self, first: ReloadRequest) {
        let mut requests = vec![first];
        while let Ok(request) = self.requests.try_recv() {
            requests.push(request);
        }
        let outcome = self.reload(requests[0].trigger).await;
        for request in requests {
            // Who asked may be gone.
            let _unheard = request.answer.send(outcome.clone());
        }
    }

    async fn has_changed(&mut self) -> bool {
        let Some((path, looks)) = &mut self.looks else {
            return false;
        };
        let path = path.clone();
        let look = spawn_blocking(move || Look::at(&path)).await;
        look.is_ok_and(|look| looks.take(look))
    }

    async fn reload(&mut self, trigger: Trigger) -> ReloadOutcome {
        if self.running.stopping.load(Ordering::Relaxed) {
            return Err(NotReloaded::Stopping);
        }
        if self.running.origin.is_none() {
            return Err(NotReloaded::Nowhere);
        }
        let running = self.running.clone();
        let path = self.looks.as_ref().map(|(path, _)| path.clone());
        let was_empty = self.was_empty;
        let done = spawn_blocking(move || running.reload(path.as_deref(), was_empty)).await;
        let (look, done) = done.unwrap_or_else(|_panicked| {
            let defect = "miffy itself failed: a defect";
            (None, Err(NotReloaded::Unusable(defect.to_owned())))
        });
        if let Some((_, looks)) = &mut self.looks {
            looks.handled(look.unwrap_or(looks.last()));
        }
        match done {
            Ok(done) => {
                self.watch = done.watch;
                self.needs_restart.clone_from(&done.reloaded.needs_restart);
                self.metrics.succeeded();
                self.warn(None);
                tell(trigger, &done.reloaded);
                Ok(Arc::new(done.reloaded))
            }
            Err(error) => {
                self.metrics.failed();
                self.warn(Some(FAILED));
                tell_failure(trigger, &error);
                Err(error)
            }
        }
    }

    /// Has `/readyz` warn of what is to be known.
    fn warn(&self, failed: Option<&str>) {
        let mut warnings = warnings(&self.running.started);
        if !self.needs_restart.is_empty() {
            let keys = self.needs_restart.join(", ");
            warnings.push(format!("needs a restart: {keys}"));
        }
        warnings.extend(failed.map(str::to_owned));
        self.running.warnings.store(Arc::new(warnings));
    }
}

impl Running {
    /// Reads the configuration and applies it. Blocks.
    fn reload(
        &self,
        path: Option<&Path>,
        was_empty: bool,
    ) -> (Option<Look>, Result<Done, NotReloaded>) {
        let Some(origin) = &self.origin else {
            return (None, Err(NotReloaded::Nowhere));
        };
        let look = || path.map(Look::at);
        let mut before = look();
        for _ in 0..ATTEMPTS {
            if path.is_some() {
                std::thread::sleep(PAUSE);
            }
            let now = look();
            if now == before {
                let refusal = match now {
                    Some(Look::Empty) if !was_empty => Some("the configuration's file is empty"),
                    // Reading a pipe might never end.
                    Some(Look::Unreadable(ErrorKind::Unsupported)) => {
                        Some("the configuration did not come from a file that can be read again")
                    }
                    _ => None,
                };
                if let Some(message) = refusal {
                    return (now, Err(NotReloaded::Unusable(message.to_owned())));
                }
                let loaded = (origin.load)();
                if look() == now {
                    let loaded = loaded.map_err(NotReloaded::from);
                    return (now, loaded.and_then(|loaded| self.apply(loaded)));
                }
            }
            before = now;
        }
        let message = "the configuration's file does not stop changing";
        (None, Err(NotReloaded::Unusable(message.to_owned())))
    }

    fn apply(&self, loaded: Loaded) -> Result<Done, NotReloaded> {
        let Loaded {
            mut settings,
            mut warnings,
            file,
            ..
        } = loaded;
        let before = self.origin.as_ref().and_then(|origin| origin.file.as_ref());
        if let Some(before) = before.filter(|before| file.as_ref() != Some(before)) {
            let message = format!("{} is not there any longer", before.display());
            return Err(NotReloaded::Unusable(message));
        }
        let loops: Vec<Problem> = settings.loops(self.listen);
        if !loops.is_empty() {
            return Err(NotReloaded::Invalid(loops.into_iter().collect()));
        }
        let needs_restart = restart::needed_for(&self.started, &settings);
        let uncreated = restart::uncreated_topics(&self.started, &settings);
        warnings.extend(uncreated.into_iter().map(|topic| {
            format!(
                "the topic \"{topic}\" was not there at start, and is created at the next one only"
            )
        }));
        // It would be another one for trials, and is the shadow's.
        settings.noise.requery_rate = self.started.noise.requery_rate;
        let unusable = |error: &dyn std::fmt::Display| NotReloaded::Unusable(format!("{error:#}"));
        let lock = Gate::lock(settings.admin.as_ref()).map_err(|error| unusable(&error))?;
        let mut planner = self.planner.lock().unwrap_or_else(PoisonError::into_inner);
        let (plan, trials) = planner.plan(&settings).map_err(|error| unusable(&error))?;
        let succession = self.roster.succeed(trials, || self.proxy.follow(plan));
        self.gate.set(lock);
        Ok(Done {
            watch: settings.watch,
            reloaded: Reloaded {
                file,
                added: succession.added,
                changed: succession.changed,
                removed: succession.removed,
                needs_restart,
                warnings,
            },
        })
    }
}

impl ReloadMetrics {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register() -> Self {
        let result = |name| names::counter(names::RELOADS, Some(("result", name)));
        let metrics = Self {
            success: result("success"),
            failure: result("failure"),
            last: names::gauge(names::LAST_RELOAD),
            is_successful: names::gauge(names::LAST_RELOAD_SUCCESSFUL),
        };
        metrics.in_effect();
        metrics
    }

    /// The configuration in effect was read now.
    fn in_effect(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last.set(now.unwrap_or_default().as_secs_f64());
        self.is_successful.set(1.0);
    }

    fn succeeded(&self) {
        self.success.increment(1);
        self.in_effect();
    }

    fn failed(&self) {
        self.failure.increment(1);
        self.is_successful.set(0.0);
    }
}

fn tell(trigger: Trigger, reloaded: &Reloaded) {
    for warning in &reloaded.warnings {
        warn!("{warning}");
    }
    if !reloaded.needs_restart.is_empty() {
        let keys = reloaded.needs_restart.join(", ");
        warn!(keys, "changed, and needs a restart");
    }
    let (added, changed) = (reloaded.added.join(", "), reloaded.changed.join(", "));
    let removed = reloaded.removed.join(", ");
    match &reloaded.file {
        Some(file) => {
            let file = file.display();
            info!(%trigger, %file, added, changed, removed, "the configuration was read again");
        }
        None => info!(
            %trigger,
            added, changed, removed, "there is no configuration file: the environment was read again"
        ),
    }
}

fn tell_failure(trigger: Trigger, error: &NotReloaded) {
    let NotReloaded::Invalid(problems) = error else {
        error!(%trigger, %error, "the configuration stays as it was");
        return;
    };
    for Problem { key, message } in problems.iter() {
        error!(key, problem = message, "the configuration has an error");
    }
    let errors = problems.iter().count();
    error!(%trigger, errors, "the configuration stays as it was");
}
