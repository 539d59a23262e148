//! The configuration: compiled-in defaults, a file, the environment; validated before anything starts.
//!
//! [`load`] merges the three layers and gives either [`Settings`], which can't be invalid, or every
//! error at once. `config.default.toml` documents each key, and is the first layer itself.
//!
//! # Layout
//!
//! - `admin`: who may change what runs
//! - `backend`: one backend of a route
//! - `backends`: how each side is asked
//! - `base_url`: where a backend is
//! - `bounds`: what is kept and done at a time
//! - `clients`: what clients may do
//! - `compare`: how answers are compared
//! - `conditions`: what a route's requests must be beside their path
//! - `effective`: the configuration in effect as text, secrets masked
//! - `environment`: variables to keys
//! - `file`: records' file, and standard output
//! - `host`: a backend's or broker's host and port
//! - `kafka`: librdkafka's properties
//! - `layer`: one layer, and how it goes over those before it
//! - `noise`: how noise is told from differences
//! - `outcomes`: where lines of outcomes go
//! - `problem`: what is wrong, all of it
//! - `reader`: reads tables key by key, noting every error
//! - `redact`: what does not leave the process
//! - `rewrite`: what a backend is sent instead
//! - `route`: experiments' routes
//! - `sample`: which of a route's requests are mirrored
//! - `seen`: the routes so far, and what they leave to the next one
//! - `spool`: where records wait on disk
//! - `topics`: names of topics, and how they are created

mod admin;
mod backend;
mod backends;
mod base_url;
mod bounds;
mod clients;
mod compare;
mod conditions;
mod effective;
mod environment;
mod file;
mod host;
mod kafka;
mod layer;
mod noise;
mod outcomes;
mod problem;
mod reader;
mod redact;
mod rewrite;
mod route;
mod sample;
mod seen;
mod spool;
mod topics;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Value, ValueKind};

pub use admin::{Admin, Token};
pub use backend::{Backend, Candidate, Respond};
pub use backends::{Backends, Pool, Protocol, Timeouts};
pub use base_url::BaseUrl;
pub use bounds::{Breaker, Capture, Delivery, Shadow};
pub use clients::Clients;
pub use environment::{CONFIG_FILE_VARIABLE, Environment};
pub use file::{Compression, File};
pub(crate) use host::{literal_ip, split_port};
pub use kafka::Kafka;
pub(crate) use kafka::Quiet;
pub use noise::{Noise, NoiseMethod, Percent};
pub use outcomes::Outcomes;
pub use problem::{Problem, Problems};
pub use redact::Redact;
pub use route::{Methods, Route};
pub use spool::Spool;
pub use topics::Topics;

use crate::telemetry::LogFormat;
use crate::tls::Identity;
use backend::Side;
use layer::Layer;
use reader::{FromValue, Off, Section};
use topics::Template;

/// The first layer, with the meaning, unit and default of every key.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// The file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "config.toml";

/// Everything that can be configured, valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    pub management_listen: SocketAddr,
    /// The form of the log.
    pub logging: LogFormat,
    /// Whether the configuration is read again when its file changes.
    pub watch: bool,
    /// Who may change what runs, through the management port; `None` for nobody.
    pub admin: Option<Admin>,
    /// How long a stop may take in all.
    pub shutdown_timeout: Duration,
    /// How long requests are still taken once miffy is told to stop.
    pub shutdown_delay: Option<Duration>,
    /// The certificate that clients are shown; `None` where they connect without TLS.
    pub tls: Option<Identity>,
    /// The bounds of clients' connections.
    pub clients: Clients,
    /// Whether backends are told who sent a request, and through whom it came.
    pub forwarded: bool,
    /// Who answers what is no experiment.
    pub reference: BaseUrl,
    /// The experiments.
    pub routes: Vec<Route>,
    /// What is taken for noise, and what becomes of it.
    pub noise: Noise,
    /// How references are asked.
    pub reference_backends: Backends,
    /// How candidates are asked.
    pub candidate_backends: Backends,
    /// The bounds of captured bodies.
    pub capture: Capture,
    /// The bounds of the candidate's side.
    pub shadow: Shadow,
    /// The bounds of the queue of records.
    pub delivery: Delivery,
    /// Where records wait that the queue has no room for.
    pub spool: Option<Spool>,
    /// What does not leave the process.
    pub redact: Redact,
    /// Where records go.
    pub kafka: Kafka,
    /// How their topics are created.
    pub topics: Topics,
    /// The file that they go to, beside Kafka or instead of it.
    pub file: Option<File>,
    /// Whether they go to standard output as well.
    pub stdout: bool,
    /// Where a line for each outcome goes, if it goes anywhere.
    pub outcomes: Option<Outcomes>,
}

impl Settings {
    /// What is to be known of how records are delivered, as long as miffy runs.
    #[must_use]
    pub fn warnings_of_delivery(&self) -> Vec<&'static str> {
        let without_spool = self.kafka.enabled && self.spool.is_none();
        without_spool
            .then_some(spool::NO_SPOOL)
            .into_iter()
            .collect()
    }

    /// The backends that are miffy itself, if it listens there.
    #[must_use]
    pub fn loops(&self, listen: SocketAddr) -> Vec<Problem> {
        let mut loops = Vec::new();
        let mut check = |key: String, base: &BaseUrl| {
            if base.leads_to(listen) {
                let message = format!("{base} is where miffy itself listens");
                loops.push(Problem { key, message });
            }
        };
        check("reference".to_owned(), &self.reference);
        for (index, route) in self.routes.iter().enumerate() {
            if route.reference.base != self.reference {
                check(format!("routes[{index}].reference"), &route.reference.base);
            }
            for candidate in &route.candidates {
                check(
                    format!("routes[{index}].candidate"),
                    &candidate.backend.base,
                );
            }
            if let NoiseMethod::Secondary(base) = &route.noise {
                check(format!("routes[{index}].secondary"), base);
            }
        }
        loops
    }
}

/// A configuration that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What to run with.
    pub settings: Settings,
    /// What is valid and may still not be meant.
    pub warnings: Vec<String>,
    /// The configuration in effect as TOML, secrets masked.
    pub effective: String,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
}

/// The second layer.
#[derive(Debug, Clone)]
pub enum Source {
    /// The file that `--config` or `MIFFY_CONFIG` names, or else `config.toml`, if there is one.
    Files {
        /// What `--config` names.
        named: Option<PathBuf>,
    },
    /// This TOML.
    Text(String),
}

/// Merges the defaults, `source` and `environment`, and validates the result.
///
/// # Errors
///
/// Every problem of the configuration, each with its key.
pub fn load(source: &Source, environment: &Environment) -> Result<Loaded, Problems> {
    load_for(Reader::Somewhere, source, environment)
}

/// As [`load`] does, for a program that takes what is found itself ([`Hooks`](crate::hooks::Hooks)): records need not
/// go anywhere else.
///
/// # Errors
///
/// As those of [`load`].
pub fn load_for_hooks(source: &Source, environment: &Environment) -> Result<Loaded, Problems> {
    load_for(Reader::Hooks, source, environment)
}

/// Who reads what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Whoever reads what a sink of the configuration takes.
    Somewhere,
    /// This program.
    Hooks,
}

fn load_for(
    reader: Reader,
    source: &Source,
    environment: &Environment,
) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let Some(merged) = merge(source, environment, &mut problems) else {
        return Err(problems);
    };
    let mut warnings = merged.warnings;
    let problems = RefCell::new(problems);
    let settings = read(merged.value.clone(), environment, &problems, &mut warnings);
    let mut problems = problems.into_inner();
    let goes_nowhere = |it: &Settings| !it.kafka.enabled && it.file.is_none() && !it.stdout;
    if reader == Reader::Somewhere && settings.as_ref().is_some_and(goes_nowhere) {
        let message = "is false, and neither file.path nor stdout.enabled is set: differences would go nowhere";
        problems.add("kafka.enabled", message);
    }
    match settings {
        Some(settings) if problems.is_empty() => {
            warnings.extend(unset(&merged.value, &settings));
            warnings.extend(doubts(&settings));
            Ok(Loaded {
                effective: effective::render(&merged.value, &settings.kafka, &settings.redact),
                file: merged.file,
                settings,
                warnings,
            })
        }
        _ => Err(problems),
    }
}

/// Where the management port of this configuration is, whatever else is wrong with it.
///
/// # Errors
///
/// When it can't be read, or what it says of the management port is wrong.
pub fn load_management_address(
    source: &Source,
    environment: &Environment,
) -> Result<SocketAddr, Problems> {
    let mut problems = Problems::default();
    let Some(merged) = merge(source, environment, &mut problems) else {
        return Err(problems);
    };
    let problems = RefCell::default();
    let mut root = Section::new(String::new(), merged.value, &problems);
    let address = listen(&mut root, "management_address", "management_port");
    address.ok_or_else(|| problems.into_inner())
}

/// The three layers as one.
struct Merged {
    value: Value,
    /// The file that the second one is, if it is one.
    file: Option<PathBuf>,
    warnings: Vec<String>,
}

/// Puts the layers together; `None` if the second one can't be read, which was noted.
fn merge(source: &Source, environment: &Environment, problems: &mut Problems) -> Option<Merged> {
    let defaults = Layer::parse(None, DEFAULTS).expect("the compiled-in defaults are TOML");
    let (variables, ignored) = environment.resolve(&scalar_keys(&defaults), problems);
    let mut warnings = Vec::new();
    if !ignored.is_empty() {
        warnings.push(format!(
            "ignored from the environment, being neither keys nor librdkafka properties: {}",
            ignored.join(", ")
        ));
    }
    let (file, layer) = match second_layer(source, environment) {
        Ok(read) => read,
        Err((name, message)) => {
            problems.add(name, message);
            return None;
        }
    };
    for layer in [&layer, &variables] {
        layer.check_aliases(problems);
    }
    Some(Merged {
        value: Layer::merge([&defaults, &layer, &variables], problems),
        file,
        warnings,
    })
}

/// The second layer, and the file that it is; or else its name, and what is wrong with it. A file that is
/// named has to be there, with `.toml` behind the name if not without; the default one need not.
fn second_layer(
    source: &Source,
    environment: &Environment,
) -> Result<(Option<PathBuf>, Layer), (String, String)> {
    let named = match source {
        Source::Text(text) => {
            let origin = "the given configuration";
            return Layer::parse(Some(origin), text)
                .map(|layer| (None, layer))
                .map_err(|message| (origin.to_owned(), message));
        }
        Source::Files { named } => named.clone(),
    };
    let named = named.or_else(|| environment.config_file().map(PathBuf::from));
    let path = match named {
        Some(path) if !path.exists() => {
            let mut with_ending = path.clone().into_os_string();
            with_ending.push(".toml");
            Some(PathBuf::from(with_ending))
                .filter(|other| other.exists())
                .unwrap_or(path)
        }
        Some(path) => path,
        None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
        None => return Ok((None, Layer::default())),
    };
    let name = path.to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| (name.clone(), format!("can't be read: {error}")))?;
    // Editors of some systems put a byte order mark first.
    let text = text.trim_start_matches('\u{feff}');
    match Layer::parse(Some(&name), text) {
        Ok(layer) => Ok((Some(path), layer)),
        Err(message) => Err((name, message)),
    }
}

/// The paths of all keys that hold a single value, as the defaults show them.
fn scalar_keys(defaults: &Layer) -> Vec<Vec<String>> {
    fn walk(value: &Value, path: &[String], keys: &mut Vec<Vec<String>>) {
        match &value.kind {
            ValueKind::Table(table) => {
                for (key, value) in table {
                    walk(value, &[path, std::slice::from_ref(key)].concat(), keys);
                }
            }
            ValueKind::Array(_) => {}
            _ => keys.push(path.to_vec()),
        }
    }
    let mut keys = Vec::new();
    walk(&defaults.root(), &[], &mut keys);
    keys
}

/// Reads every key; `None` if a problem was noted.
fn read(
    merged: Value,
    environment: &Environment,
    problems: &RefCell<Problems>,
    warnings: &mut Vec<String>,
) -> Option<Settings> {
    let mut root = Section::new(String::new(), merged, problems);
    let listen = listen(&mut root, "address", "port");
    let management_listen = self::listen(&mut root, "management_address", "management_port");
    if listen.is_some() && listen == management_listen && listen.is_some_and(|it| it.port() > 0) {
        root.problem("management_port", "is the same as port");
    }
    let logging = root.take("logging");
    let watch = root.take("watch");
    let admin = admin::read(root.section("admin"));
    let shutdown_timeout = root.take("shutdown_timeout");
    let shutdown_delay: Option<Off<_>> = root.take("shutdown_delay");
    let reference: Option<BaseUrl> = root.take("reference");
    let candidate: Option<BaseUrl> = root.take("candidate");
    let noise_method = noise::method(&mut root, &NoiseMethod::Off);
    let mut compare = root.section("compare");
    let noise = noise::read(compare.section("noise"));
    let rules = compare::read(compare);
    let mut kafka = root.section(kafka::TABLE);
    let topic = Template::read(&mut kafka);
    let routes = root.take_value("routes");
    let mut tls = root.section("tls");
    let certificate = clients::certificate(&mut tls);
    let [reference_backends, candidate_backends] = backends::read(&mut root, &mut tls);
    tls.finish();
    let defaults = route::Defaults {
        reference: Side {
            base: reference.as_ref(),
            asked: reference_backends.as_ref(),
            must_end: false,
        },
        candidate: Side {
            base: candidate.as_ref(),
            asked: candidate_backends.as_ref(),
            must_end: true,
        },
        environment,
        listen,
        rules: rules.as_ref(),
        noise: noise_method.as_ref(),
        topic: topic.as_ref(),
    };
    let routes = route::read(routes, &defaults, problems);
    let forwarded = root.take("forwarded");
    let clients = clients::read(root.section("clients"));
    let capture = bounds::capture(root.section("capture"));
    let shadow = bounds::shadow(root.section("shadow"));
    let delivery = bounds::delivery(root.section("delivery"));
    let redact = redact::read(root.section("redact"));
    let outcomes = outcomes::read(root.section("outcomes"));
    let topic_of_outcomes = outcomes.iter().flatten().find_map(|it| it.topic.as_ref());
    let kafka = kafka::read(kafka, topic, topic_of_outcomes.is_some(), warnings);
    let spool = spool::read(root.section("spool"));
    let topics = topics::read(root.section("topics"));
    let file = file::read(root.section("file"));
    let stdout = file::read_stdout(root.section("stdout"));
    root.finish();
    let settings = Settings {
        listen: listen?,
        management_listen: management_listen?,
        logging: logging?,
        watch: watch?,
        admin: admin?,
        shutdown_timeout: shutdown_timeout?,
        shutdown_delay: shutdown_delay?.0,
        tls: certificate?,
        clients: clients?,
        forwarded: forwarded?,
        reference: reference?,
        routes: routes?,
        noise: noise?,
        reference_backends: reference_backends?,
        candidate_backends: candidate_backends?,
        capture: capture?,
        shadow: shadow?,
        delivery: delivery?,
        redact: redact?,
        kafka: kafka?,
        spool: spool?,
        topics: topics?,
        file: file?,
        stdout: stdout?,
        outcomes: outcomes?,
    };
    check_loops(&settings, candidate.as_ref(), problems);
    outcomes::check(&settings, problems);
    Some(settings)
}

/// Notes backends that are miffy itself, of those that are not written at a route.
fn check_loops(settings: &Settings, candidate: Option<&BaseUrl>, problems: &RefCell<Problems>) {
    let check = |key: String, base: &BaseUrl| {
        if base.leads_to(settings.listen) {
            let message = format!("{base} is where miffy itself listens");
            problems.borrow_mut().add(key, message);
        }
    };
    check("reference".to_owned(), &settings.reference);
    let mut candidates = settings.routes.iter().flat_map(|route| &route.candidates);
    if let Some(base) = candidate
        && candidates.any(|candidate| candidate.backend.base == *base)
    {
        check("candidate".to_owned(), base);
    }
    for (index, route) in settings.routes.iter().enumerate() {
        if let NoiseMethod::Secondary(base) = &route.noise {
            check(format!("routes[{index}].secondary"), base);
        }
    }
}

fn listen(
    section: &mut Section<'_>,
    address: &'static str,
    port: &'static str,
) -> Option<SocketAddr> {
    let address: Option<std::net::IpAddr> = section.take(address);
    let port = section.take(port);
    Some(SocketAddr::new(address?, port?))
}

impl FromValue for LogFormat {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        text.parse()
            .map_err(|()| format!("\"{text}\" is not \"human\", \"json\" or \"stackdriver\""))
    }
}

/// Backends that nobody named.
fn unset(merged: &Value, settings: &Settings) -> Vec<String> {
    let default = |key: &str| match &merged.kind {
        ValueKind::Table(table) => table.get(key).filter(|value| value.origin().is_none()),
        _ => None,
    };
    let reference = default("reference");
    let candidate = default("candidate").filter(|base| {
        let base = base.to_string();
        let mut candidates = settings.routes.iter().flat_map(|route| &route.candidates);
        candidates.any(|candidate| candidate.backend.base.to_string() == base)
    });
    [("reference", reference), ("candidate", candidate)]
        .into_iter()
        .filter_map(|(key, base)| Some(format!("{key} is not set, and is {} by default", base?)))
        .collect()
}

/// What is valid and may still not be meant.
fn doubts(settings: &Settings) -> Vec<String> {
    let mut doubts = Vec::new();
    if settings.routes.is_empty() {
        doubts.push("there are no routes: everything is passed through, nothing compared".into());
    }
    for (index, route) in settings.routes.iter().enumerate() {
        let of_route = |(key, doubt)| format!("routes[{index}].{key}: {doubt}");
        doubts.extend(route.doubts().map(of_route));
    }
    if settings.kafka.enabled {
        doubts.extend(topics::doubts(&settings.kafka.topic, &settings.routes));
    }
    doubts.extend(
        settings
            .warnings_of_delivery()
            .into_iter()
            .map(str::to_owned),
    );
    doubts
}

#[cfg(test)]
mod tests;
