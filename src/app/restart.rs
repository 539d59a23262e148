//! Keys that take effect at a start only.

use std::collections::BTreeSet;

use crate::config::{Kafka, Settings};

/// The keys that differ between what miffy was started with and a later configuration, and that a reload does not
/// apply; tables stand for all of their keys.
pub(super) fn needed_for(started: &Settings, now: &Settings) -> Vec<String> {
    let (noise, shadow) = (
        (started.noise.requery_rate, now.noise.requery_rate),
        (&started.shadow, &now.shadow),
    );
    let keys = [
        ("address", started.listen.ip() != now.listen.ip()),
        ("port", started.listen.port() != now.listen.port()),
        (
            "management_address",
            started.management_listen.ip() != now.management_listen.ip(),
        ),
        (
            "management_port",
            started.management_listen.port() != now.management_listen.port(),
        ),
        ("logging", started.logging != now.logging),
        (
            "shutdown_timeout",
            started.shutdown_timeout != now.shutdown_timeout,
        ),
        (
            "shutdown_delay",
            started.shutdown_delay != now.shutdown_delay,
        ),
        ("forwarded", started.forwarded != now.forwarded),
        ("clients", started.clients != now.clients),
        ("tls.certificate, tls.key", started.tls != now.tls),
        ("capture", started.capture != now.capture),
        (
            "shadow.max_in_flight",
            shadow.0.max_in_flight != shadow.1.max_in_flight,
        ),
        ("shadow.max_wait", shadow.0.max_wait != shadow.1.max_wait),
        ("compare.noise.requery_rate", noise.0 != noise.1),
        ("delivery", started.delivery != now.delivery),
        ("spool", started.spool != now.spool),
        ("file", started.file != now.file),
        ("stdout", started.stdout != now.stdout),
        ("topics", started.topics != now.topics),
        ("kafka.enabled", started.kafka.enabled != now.kafka.enabled),
    ];
    let changed = keys.into_iter().filter(|(_, differs)| *differs);
    let mut changed: Vec<String> = changed.map(|(key, _)| key.to_owned()).collect();
    changed.extend(properties(&started.kafka, &now.kafka));
    changed
}

/// librdkafka's properties that differ, by their keys; never what they are.
fn properties<'k>(started: &'k Kafka, now: &'k Kafka) -> impl Iterator<Item = String> {
    let (a, b) = (&started.properties, &now.properties);
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let changed = names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name));
    let keys: Vec<String> = changed.map(|name| format!("kafka.\"{name}\"")).collect();
    keys.into_iter()
}

/// The topics that were to be created at start, and were not there then.
pub(super) fn uncreated_topics(started: &Settings, now: &Settings) -> Vec<String> {
    if !started.kafka.enabled || !started.topics.create {
        return Vec::new();
    }
    let topics = |settings: &Settings| -> BTreeSet<String> {
        let topics = settings.routes.iter().map(|route| route.topic.clone());
        topics.collect()
    };
    topics(now).difference(&topics(started)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source, load};

    fn settings(toml: &str) -> Settings {
        let source = Source::Text(toml.to_owned());
        load(&source, &Environment::default())
            .expect("it is valid")
            .settings
    }

    #[test]
    fn what_needs_a_restart_is_told_by_its_key_and_without_its_value() {
        let started = settings("");
        for (toml, expected) in [
            ("", ""),
            ("reference = \"http://a\"\ncandidate = \"http://b\"", ""),
            ("routes = [{ path = \"/x\" }]", ""),
            ("watch = true\n[admin]\ntoken = \"0123456789abcdef\"", ""),
            ("kafka.topic = \"other\"", ""),
            ("shadow.breaker.failures = 3", ""),
            ("port = 81\nmanagement_port = 82", "port management_port"),
            ("address = \"::\"\nlogging = \"json\"", "address logging"),
            ("shadow.max_in_flight = 3", "shadow.max_in_flight"),
            ("capture.max_body = 3", "capture"),
            ("clients.max_headers = 3", "clients"),
            ("stdout.enabled = true", "stdout"),
            (
                "compare.noise.requery_rate = 3",
                "compare.noise.requery_rate",
            ),
            (
                "kafka.\"sasl.password\" = \"hush\"",
                "kafka.\"sasl.password\"",
            ),
        ] {
            let keys = needed_for(&started, &settings(toml));
            assert_eq!(keys.join(" "), expected, "{toml}");
        }
    }

    #[test]
    fn a_topic_that_would_have_been_created_is_told() {
        let started = settings("topics.create = true\nroutes = [{ path = \"/a\", topic = \"a\" }]");
        let now = settings("routes = [{ path = \"/a\", topic = \"b\" }]");
        assert_eq!(uncreated_topics(&started, &now), ["b"]);
        assert_eq!(uncreated_topics(&now, &started), [""; 0]);
    }
}
