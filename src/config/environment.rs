//! The environment as a layer of the configuration.
//!
//! A variable's name is resolved against the keys there are, because its `_` may stand for a level
//! (`MIFFY_KAFKA_TOPIC`) as well as for itself (`MIFFY_MANAGEMENT_PORT`). Kubernetes describes every
//! service in variables named after it, so a service called `kafka` or `miffy` sets `KAFKA_PORT` or
//! `MIFFY_PORT` to something that was never meant for miffy; those are passed over.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::kafka;
use super::problem::{Problems, did_you_mean};

const OWN_PREFIX: &str = "MIFFY_";
const KAFKA_PREFIX: &str = "KAFKA_";

/// The variable that names the configuration file, which is no key of it.
pub const CONFIG_FILE_VARIABLE: &str = "MIFFY_CONFIG";

/// Environment variables, with names and values in Unicode.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are not Unicode can't be any of ours.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The configuration file that the environment names.
    #[must_use]
    pub fn config_file(&self) -> Option<&str> {
        self.0.get(CONFIG_FILE_VARIABLE).map(String::as_str)
    }

    /// Resolves the variables against `keys`, the paths of all keys that hold a single value.
    pub(super) fn resolve(&self, keys: &[Vec<String>], problems: &mut Problems) -> Layer {
        let names: BTreeMap<String, &Vec<String>> =
            keys.iter().map(|path| (variable(path), path)).collect();
        let mut layer = Layer::default();
        for (name, value) in self.with_prefix(KAFKA_PREFIX) {
            let property = name[KAFKA_PREFIX.len()..].to_lowercase().replace('_', ".");
            if kafka::is_property(&property) {
                layer.set(&["kafka".to_owned(), property], name, value);
            } else {
                layer.ignored.push(name.to_owned());
            }
        }
        for (name, value) in self.with_prefix(OWN_PREFIX) {
            if let Some(property) = names.get(name).filter(|_| !is_service_address(value)) {
                layer.set(property, name, value);
            } else if is_service_address(value) || describes_a_service(name) {
                layer.ignored.push(name.to_owned());
            } else if name != CONFIG_FILE_VARIABLE {
                let nearest = did_you_mean(name, names.keys().map(String::as_str));
                problems.add(name, format!("no key of the configuration{nearest}"));
            }
        }
        layer
    }

    fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter(move |(name, _)| name.len() > prefix.len() && name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// What the environment sets, in the shape of the configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    values: Map<String, Value>,
    /// Variables that look like ours and are not.
    pub(super) ignored: Vec<String>,
}

impl Layer {
    fn set(&mut self, path: &[String], variable: &str, value: &str) {
        let origin = format!("the environment variable {variable}");
        let mut values = &mut self.values;
        let [sections @ .., key] = path else { return };
        for section in sections {
            let table = values
                .entry(section.clone())
                .or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
            let ValueKind::Table(table) = &mut table.kind else {
                return;
            };
            values = table;
        }
        values.insert(key.clone(), Value::new(Some(&origin), scalar(value)));
    }
}

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.clone())
    }
}

/// A variable's value with the type that it would have in a file.
fn scalar(value: &str) -> ValueKind {
    match (value.parse::<i64>(), value.parse::<bool>()) {
        (Ok(number), _) if number.to_string() == value => number.into(),
        (_, Ok(boolean)) => boolean.into(),
        _ => value.into(),
    }
}

/// The variable that sets the key at `path`.
fn variable(path: &[String]) -> String {
    let path = path.join("_").replace(['.', '-'], "_");
    format!("{OWN_PREFIX}{}", path.to_uppercase())
}

/// Whether a value is a service's address as Kubernetes and Docker's links write it.
fn is_service_address(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// Whether a name is one that Kubernetes gives to a service's host, port or protocol.
fn describes_a_service(name: &str) -> bool {
    let port = |rest: &str| {
        rest.split('_')
            .next()
            .is_some_and(|n| n.parse::<u16>().is_ok())
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| port(rest))
}
