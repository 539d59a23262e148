//! The `[kafka]` table: the topic, and librdkafka's properties, checked by librdkafka itself.

use std::collections::BTreeMap;

use config::{Map, Value};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::types::RDKafkaConfRes;

use super::problem::did_you_mean;
use super::reader::{FromValue, Section, origin};

/// The names of librdkafka's properties, for suggestions only; librdkafka decides what is one.
const PROPERTY_NAMES: &str = include_str!("librdkafka_properties.txt");

/// Names that librdkafka has for properties which miffy's defaults set by another name.
const ALIASES: [(&str, &str); 4] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
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
const BROKERS: &str = "bootstrap.servers";

/// Where differences are published and how. The properties are accepted by librdkafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// The topic of all records.
    pub topic: String,
    /// librdkafka's properties by name.
    pub properties: BTreeMap<String, String>,
}

impl Kafka {
    /// The properties as rdkafka takes them.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        client_config(&self.properties)
    }

    /// The largest record in bytes, key included, that librdkafka takes.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        // librdkafka's default for message.max.bytes
        const DEFAULT: usize = 1_000_000;
        self.properties
            .get("message.max.bytes")
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(DEFAULT)
    }
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

/// Reads the table; `None` if a problem was noted.
pub(super) fn read(mut section: Section<'_>, warnings: &mut Vec<String>) -> Option<Kafka> {
    let topic: Option<String> = section.take("topic");
    let topic = topic.filter(|topic| {
        let legal = is_legal_topic(topic);
        if !legal {
            let rule = "1 to 249 letters, digits, \".\", \"_\" or \"-\"";
            section.problem("topic", format!("\"{topic}\" is no topic name: {rule}"));
        }
        legal
    });
    let mut given = section.take_rest();
    settle_aliases(&mut given, &section);
    for (name, reason) in WITHOUT_EFFECT {
        if given.shift_remove(name).is_some() {
            warnings.push(format!("kafka.\"{name}\" has no effect: {reason}"));
        }
    }
    let idempotence_is_default = given
        .get(IDEMPOTENCE)
        .is_some_and(|value| value.origin().is_none());
    let properties = checked_one_by_one(given, &section)?;
    let properties = checked_as_a_whole(properties, idempotence_is_default, &section, warnings)?;
    Some(Kafka {
        topic: topic?,
        properties,
    })
}

/// Kafka's own rule: what can be a directory's name.
fn is_legal_topic(topic: &str) -> bool {
    (1..=249).contains(&topic.len())
        && topic != "."
        && topic != ".."
        && topic
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Lets a property given under its other name replace the default. Both given is an error, because
/// librdkafka would take whichever comes last.
fn settle_aliases(given: &mut Map<String, Value>, section: &Section<'_>) {
    for (alias, name) in ALIASES {
        if given.contains_key(alias)
            && let Some(value) = given.shift_remove(name)
            && value.origin().is_some()
        {
            section.problem(
                alias,
                format!("is the same property as \"{name}\"; set one"),
            );
        }
    }
}

/// Has librdkafka check each property by itself.
fn checked_one_by_one(
    given: Map<String, Value>,
    section: &Section<'_>,
) -> Option<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    let mut all_right = true;
    for (name, value) in given {
        let origin = origin(&value);
        let checked = String::from_value(value).and_then(|value| {
            check_property(&name, &value).map_err(|error| match error {
                PropertyError::Unknown => {
                    let nearest = did_you_mean(&name, PROPERTY_NAMES.lines().chain(["topic"]));
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
    all_right.then_some(properties)
}

/// Has librdkafka check the properties together, as a producer's, without connecting anywhere.
fn checked_as_a_whole(
    mut properties: BTreeMap<String, String>,
    idempotence_is_default: bool,
    section: &Section<'_>,
    warnings: &mut Vec<String>,
) -> Option<BTreeMap<String, String>> {
    let Err(error) = create_offline(&properties) else {
        return Some(properties);
    };
    if idempotence_is_default {
        properties.insert(IDEMPOTENCE.to_owned(), "false".to_owned());
        if create_offline(&properties).is_ok() {
            warnings.push(format!(
                "kafka.\"{IDEMPOTENCE}\" is turned off, because other properties rule it out: {error}"
            ));
            return Some(properties);
        }
    }
    section.problem(
        BROKERS,
        format!("librdkafka refuses the properties: {error}"),
    );
    None
}

/// Creates a producer that knows no broker, and drops it.
fn create_offline(properties: &BTreeMap<String, String>) -> Result<(), String> {
    let mut config = client_config(properties);
    config.remove(BROKERS);
    config.remove("metadata.broker.list");
    let created: KafkaResult<BaseProducer<Quiet>> =
        BaseProducer::from_config_and_context(&config, Quiet);
    match created {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientCreation(reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

fn client_config(properties: &BTreeMap<String, String>) -> ClientConfig {
    properties.clone().into_iter().collect()
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

/// A context that keeps librdkafka's log to itself: the real producer will say it again.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
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
