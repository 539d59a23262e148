//! The `[kafka]` table: librdkafka's properties, checked by librdkafka itself.

use std::collections::BTreeMap;
use std::fmt;

use config::{Map, Value, ValueKind};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::types::RDKafkaConfRes;

use super::host::split_port;
use super::problem::did_you_mean;
use super::reader::{FromValue, Section, origin};
use super::topics::Template;

/// The names of librdkafka's properties, for suggestions only; librdkafka decides what is one.
const PROPERTY_NAMES: &str = include_str!("librdkafka_properties.txt");

/// The table's name.
pub(super) const TABLE: &str = "kafka";

/// The keys of the table that are no properties of librdkafka.
pub(super) const OWN_KEYS: [&str; 2] = ["enabled", "topic"];

/// The properties that librdkafka knows by two names.
const ALIASES: [(&str, &str); 12] = [
    ("acks", "request.required.acks"),
    ("bootstrap.servers", "metadata.broker.list"),
    ("compression.type", "compression.codec"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("enable.auto.commit", "auto.commit.enable"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("retries", "message.send.max.retries"),
    ("sasl.mechanism", "sasl.mechanisms"),
    (
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.client.id",
    ),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
    ),
];

/// Properties that would break delivery, and why they are left out.
const WITHOUT_EFFECT: [(&str, &str); 2] = [
    ("transactional.id", "miffy does not write in transactions"),
    (
        "delivery.report.only.error",
        "every record's delivery is accounted for",
    ),
];

pub(super) const IDEMPOTENCE: &str = "enable.idempotence";
const BROKERS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

/// librdkafka's mock cluster instead of brokers.
const MOCK: &str = "test.mock.num.brokers";

/// What stands for a secret where it could be seen.
pub(super) const MASK: &str = "********";

/// Where differences are published and how. The properties are accepted by librdkafka.
#[derive(Clone, PartialEq, Eq)]
pub struct Kafka {
    /// Whether they are.
    pub enabled: bool,
    /// The topic of records as it is written: `{route}` in it stands for the name of the route, which has the
    /// resolved one.
    pub topic: String,
    /// librdkafka's properties by name.
    pub properties: BTreeMap<String, String>,
    /// The largest record in bytes, key included, that librdkafka takes and has room for.
    pub max_message_bytes: usize,
    /// Whether idempotence, which was not asked for, had to give way to other properties.
    pub idempotence_was_turned_off: bool,
}

impl Kafka {
    /// Whether records that the broker has already are told from others.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        let value = self.properties.get(IDEMPOTENCE);
        value.is_some_and(|value| matches!(value.as_str(), "true" | "t" | "1"))
    }

    /// The properties as rdkafka takes them.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        client_config(&self.properties)
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| (name, if is_secret(name) { MASK } else { value });
        let properties: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(name, value)| shown((name.as_str(), value.as_str())))
            .collect();
        f.debug_struct("Kafka")
            .field("enabled", &self.enabled)
            .field("topic", &self.topic)
            .field("properties", &properties)
            .field("max_message_bytes", &self.max_message_bytes)
            .field(
                "idempotence_was_turned_off",
                &self.idempotence_was_turned_off,
            )
            .finish()
    }
}

/// The other name of a property, if it has one.
pub(super) fn aliases(name: &str) -> impl Iterator<Item = &'static str> {
    ALIASES.into_iter().filter_map(move |(a, b)| match name {
        name if name == a => Some(b),
        name if name == b => Some(a),
        _ => None,
    })
}

/// Whether librdkafka knows a property of this name.
pub(super) fn is_property(name: &str) -> bool {
    !matches!(check_property(name, ""), Err(PropertyError::Unknown))
}

/// Whether a property's value is a secret, to be masked wherever it could be seen.
pub(super) fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 6] = [
        "password",
        "secret",
        "passphrase",
        "key.pem",
        "sasl.oauthbearer.config",
        "sasl.jaas",
    ];
    PARTS.iter().any(|part| name.contains(part))
}

/// Reads the table, of which the topic was read before; `None` if a problem was noted. Of a Kafka that is off, and
/// that outcomes don't go to, only the properties' names and values are checked, each by itself.
pub(super) fn read(
    mut section: Section<'_>,
    topic: Option<Template>,
    takes_outcomes: bool,
    warnings: &mut Vec<String>,
) -> Option<Kafka> {
    let enabled: Option<bool> = section.take("enabled");
    let mut given = section.take_rest();
    for (name, reason) in WITHOUT_EFFECT {
        if given.shift_remove(name).is_some() {
            warnings.push(format!("kafka.\"{name}\" has no effect: {reason}"));
        }
    }
    let idempotence_is_default = given
        .get(IDEMPOTENCE)
        .is_some_and(|value| value.origin().is_none());
    let (mut properties, each_is_right) = checked_one_by_one(given, &section);
    let is_off = enabled == Some(false) && !takes_outcomes;
    let brokers_are_right = is_off || check_brokers(&properties, &section);
    if !each_is_right {
        return None;
    }
    let warning = if is_off {
        None
    } else {
        check_as_a_whole(&mut properties, idempotence_is_default)
            .map_err(|error| {
                // It often begins with the property that it is about.
                let named = error.split(['`', ' ', ':']).find(|word| is_property(word));
                let message = format!("librdkafka refuses the properties: {error}");
                section.problem(named.unwrap_or("the properties"), message);
            })
            .ok()?
    };
    let kafka = Kafka {
        enabled: enabled?,
        topic: topic?.into_text(),
        max_message_bytes: max_message_bytes(&properties),
        properties,
        idempotence_was_turned_off: warning.is_some(),
    };
    warnings.extend(warning);
    brokers_are_right.then_some(kafka)
}

/// librdkafka's own reading of the numbers, given or not: it takes hexadecimal ones, too.
fn max_message_bytes(properties: &BTreeMap<String, String>) -> usize {
    let config = client_config(properties).create_native_config();
    let number = |name| config.as_ref().ok()?.get(name).ok()?.parse().ok();
    let message: Option<usize> = number("message.max.bytes");
    let queue: Option<usize> = number("queue.buffering.max.kbytes");
    let queue = queue.map(|kbytes| kbytes.saturating_mul(1024));
    message.into_iter().chain(queue).min().unwrap_or(0)
}

/// Whether there is a broker to connect to; librdkafka would pass over what it can't read.
fn check_brokers(properties: &BTreeMap<String, String>, section: &Section<'_>) -> bool {
    if properties.contains_key(MOCK) {
        return true;
    }
    let listed = BROKERS
        .iter()
        .find_map(|name| Some((*name, properties.get(*name)?)));
    let Some((name, list)) = listed else {
        section.problem(BROKERS[0], "is missing");
        return false;
    };
    let brokers = list
        .split(',')
        .map(str::trim)
        .filter(|broker| !broker.is_empty());
    let brokers: Vec<&str> = brokers.collect();
    if brokers.is_empty() {
        section.problem(name, "names no broker");
    }
    let mut right = !brokers.is_empty();
    for broker in brokers {
        if !is_broker(broker) {
            let message = format!("\"{broker}\" is no broker: host, or host:port, 1 to 65535");
            section.problem(name, message);
            right = false;
        }
    }
    right
}

/// `host`, `host:port`, `[ip]:port`, perhaps with a protocol of Kafka's before it.
fn is_broker(broker: &str) -> bool {
    const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    let (protocol, address) = broker.split_once("://").unwrap_or(("plaintext", broker));
    let (host, port) = split_port(address);
    PROTOCOLS.contains(&protocol.to_lowercase().as_str())
        && !host.is_empty()
        && !host.contains(['/', ' '])
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Has librdkafka check each property by itself; gives those that are right, and whether all are.
fn checked_one_by_one(
    given: Map<String, Value>,
    section: &Section<'_>,
) -> (BTreeMap<String, String>, bool) {
    let mut properties = BTreeMap::new();
    let mut all_right = true;
    for (name, value) in given {
        let origin = origin(&value);
        if matches!(value.kind, ValueKind::Table(_)) {
            let message = "is a table; a name with a dot in it has to be quoted, \
                           as in \"bootstrap.servers\"";
            section.problem(&name, format!("{message}{origin}"));
            all_right = false;
            continue;
        }
        let checked = String::from_value(value).and_then(|value| {
            check_property(&name, &value).map_err(|error| match error {
                PropertyError::Unknown => {
                    let nearest = did_you_mean("", &name, PROPERTY_NAMES.lines().chain(OWN_KEYS));
                    format!("unknown librdkafka property{origin}{nearest}")
                }
                PropertyError::Invalid(reason) if is_secret(&name) => format!("{reason}{origin}"),
                PropertyError::Invalid(reason) => format!("{reason}: \"{value}\"{origin}"),
            })?;
            Ok(value)
        });
        match checked {
            Ok(value) => {
                properties.insert(name, value);
            }
            Err(message) => {
                section.problem(&name, message);
                all_right = false;
            }
        }
    }
    (properties, all_right)
}

/// Has librdkafka check the properties together, as a producer's, without connecting anywhere. Gives a
/// warning if idempotence had to be turned off, or librdkafka's reason against them.
fn check_as_a_whole(
    properties: &mut BTreeMap<String, String>,
    idempotence_is_default: bool,
) -> Result<Option<String>, String> {
    let Err(error) = create_offline(properties) else {
        return Ok(None);
    };
    if !idempotence_is_default {
        return Err(error);
    }
    properties.insert(IDEMPOTENCE.to_owned(), "false".to_owned());
    create_offline(properties)?;
    Ok(Some(format!(
        "kafka.\"{IDEMPOTENCE}\" is turned off, because other properties rule it out: {error}"
    )))
}

/// Creates a producer that knows no broker, and drops it.
fn create_offline(properties: &BTreeMap<String, String>) -> Result<(), String> {
    let mut config = client_config(properties);
    for name in BROKERS {
        config.remove(name);
    }
    let created: KafkaResult<BaseProducer<Quiet>> =
        BaseProducer::from_config_and_context(&config, Quiet);
    match created {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientCreation(reason) | KafkaError::ClientConfig(_, reason, ..)) => {
            Err(reason)
        }
        Err(error) => Err(error.to_string()),
    }
}

fn client_config(properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config: ClientConfig = properties.clone().into_iter().collect();
    // Which of its lines are logged is for whoever gets them to say.
    config.set_log_level(RDKafkaLogLevel::Debug);
    config
}

/// Why librdkafka refuses a property.
enum PropertyError {
    Unknown,
    Invalid(String),
}

fn check_property(name: &str, value: &str) -> Result<(), PropertyError> {
    let config: ClientConfig = [(name.to_owned(), value.to_owned())].into_iter().collect();
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err(PropertyError::Unknown)
        }
        Err(KafkaError::ClientConfig(_, reason, ..)) => {
            Err(PropertyError::Invalid(reason.trim().to_owned()))
        }
        Err(error) => Err(PropertyError::Invalid(error.to_string())),
    }
}

/// A context that keeps librdkafka's log and errors to itself: the producer that delivers fails in the same way, and
/// says so.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suggested_name_is_a_property() {
        for name in PROPERTY_NAMES.lines() {
            assert!(is_property(name), "{name}");
        }
        assert!(!is_property("bootstrap.server"));
    }

    #[test]
    fn passwords_keys_and_tokens_are_secrets() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.assertion.private.key.passphrase",
        ] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("bootstrap.servers"));
        assert!(!is_secret("sasl.username"));
    }
}
