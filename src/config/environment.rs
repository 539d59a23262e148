//! The environment as a layer of the configuration.
//!
//! A variable's name is resolved against the keys there are, because its `_` may stand for a level
//! (`MIFFY_KAFKA_TOPIC`) as well as for itself (`MIFFY_MANAGEMENT_PORT`). Kubernetes describes every
//! service in variables named after it, so a service called `kafka` or `miffy` sets `KAFKA_PORT` or
//! `MIFFY_PORT` to something that was never meant for miffy; those are passed over.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use config::{Value, ValueKind};

use super::kafka;
use super::layer::Layer;
use super::problem::{Problems, did_you_mean};

const OWN_PREFIX: &str = "MIFFY_";
const KAFKA_PREFIX: &str = "KAFKA_";
const OWN_KAFKA_PREFIX: &str = "MIFFY_KAFKA_";

/// The variable that names the configuration file, which is no key of it.
pub const CONFIG_FILE_VARIABLE: &str = "MIFFY_CONFIG";

/// Environment variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The variables of this process; a name that is not Unicode can't be any of ours.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// The configuration file that the environment names.
    #[must_use]
    pub fn config_file(&self) -> Option<&OsString> {
        let named = self.0.get(CONFIG_FILE_VARIABLE);
        named.filter(|name| !name.is_empty())
    }

    /// The value of a variable that a template names, or what is wrong with it. The value itself is in no message.
    pub(super) fn value(&self, name: &str) -> Result<String, String> {
        let reason = match self.0.get(name).map(|value| value.to_str()) {
            None => "is not set",
            Some(None) => "is not Unicode",
            Some(Some("")) => "is empty",
            Some(Some(value)) => return Ok(value.to_owned()),
        };
        Err(format!(
            "needs the environment variable \"{name}\", which {reason}"
        ))
    }

    /// Resolves the variables against `keys`, the paths of all keys that hold a single value. Gives the
    /// layer, and the variables that look like ours and are not.
    pub(super) fn resolve(
        &self,
        keys: &[Vec<String>],
        problems: &mut Problems,
    ) -> (Layer, Vec<String>) {
        let names: BTreeMap<String, &Vec<String>> =
            keys.iter().map(|path| (variable(path), path)).collect();
        let mut layer = Layer::default();
        let mut ignored = Vec::new();
        for (name, value) in self.with_prefix(KAFKA_PREFIX, problems) {
            match property(&name[KAFKA_PREFIX.len()..]) {
                Some(property) => layer.set(&property, given(name, value)),
                None => ignored.push(name.to_owned()),
            }
        }
        for (name, value) in self.with_prefix(OWN_PREFIX, problems) {
            let own_kafka = || property(name.strip_prefix(OWN_KAFKA_PREFIX)?);
            if is_service_address(value) {
                ignored.push(name.to_owned());
            } else if let Some(path) = names.get(name).copied().cloned().or_else(own_kafka) {
                layer.set(&path, given(name, value));
            } else if describes_a_service(name) {
                ignored.push(name.to_owned());
            } else if name != CONFIG_FILE_VARIABLE {
                // What all names begin with says nothing of how near they are.
                let known = names.keys().map(|known| &known[OWN_PREFIX.len()..]);
                let nearest = did_you_mean(OWN_PREFIX, &name[OWN_PREFIX.len()..], known);
                problems.add(name, format!("no key of the configuration{nearest}"));
            }
        }
        (layer, ignored)
    }

    /// The variables that begin so; a value that is not Unicode is a problem.
    fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        problems: &mut Problems,
    ) -> Vec<(&'a str, &'a str)> {
        let mut found = Vec::new();
        for (name, value) in &self.0 {
            if name.len() > prefix.len() && name.starts_with(prefix) {
                match value.to_str() {
                    Some(value) => found.push((name.as_str(), value)),
                    None if name == CONFIG_FILE_VARIABLE => {}
                    None => problems.add(name, "its value is not Unicode"),
                }
            }
        }
        found
    }
}

impl fmt::Debug for Environment {
    /// The names alone: what they stand for may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// The variable that sets the key at `path`.
fn variable(path: &[String]) -> String {
    format!(
        "{OWN_PREFIX}{}",
        path.join("_").replace('.', "_").to_uppercase()
    )
}

/// The path of the librdkafka property that the end of a variable's name means, if there is one.
fn property(name: &str) -> Option<Vec<String>> {
    let name = name.to_lowercase();
    let dotted = name.replace('_', ".");
    [dotted, name]
        .into_iter()
        .find(|name| kafka::is_property(name))
        .map(|name| vec![kafka::TABLE.to_owned(), name])
}

/// A variable's value with the type that it would have in a file.
fn given(variable: &str, value: &str) -> Value {
    let kind: ValueKind = match (value.parse::<i64>(), value.parse::<bool>()) {
        (Ok(number), _) if number.to_string() == value => number.into(),
        (_, Ok(boolean)) => boolean.into(),
        _ => value.into(),
    };
    let origin = format!("the environment variable {variable}");
    Value::new(Some(&origin), kind)
}

/// Whether a value is a service's address as Kubernetes and Docker's links write it.
fn is_service_address(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// Whether a name is one that Kubernetes gives to a service's host, port or protocol.
fn describes_a_service(name: &str) -> bool {
    let is_port = |rest: &str| {
        let port = rest.split('_').next().unwrap_or_default();
        port.parse::<u16>().is_ok()
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| is_port(rest))
}
