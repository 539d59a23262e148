//! The configuration in effect as TOML, secrets masked.

use config::{Value, ValueKind};

use super::Redact;
use super::kafka::{self, Kafka};

/// The tables whose keys are headers' names.
const OF_HEADERS: [&str; 3] = ["set_headers", "add_headers", "headers"];

/// Renders the merged configuration, with librdkafka's properties as they were settled.
pub(super) fn render(merged: &Value, settled: &Kafka, redact: &Redact) -> String {
    let shown = Shown { redact };
    let mut toml = shown.value(merged, "", false);
    let token = toml.get_mut("admin").and_then(|it| it.get_mut("token"));
    if let Some(token) = token.filter(|token| token.as_str() != Some("off")) {
        *token = toml::Value::String(kafka::MASK.to_owned());
    }
    if let Some(toml::Value::Table(shown)) = toml.get_mut(kafka::TABLE) {
        shown.retain(|name, _| {
            kafka::OWN_KEYS.contains(&name) || settled.properties.contains_key(name)
        });
        if settled.idempotence_was_turned_off {
            shown.insert(kafka::IDEMPOTENCE.to_owned(), toml::Value::Boolean(false));
        }
    }
    toml::to_string_pretty(&toml).unwrap_or_else(|error| format!("# can't be shown: {error}\n"))
}

/// What may be shown.
struct Shown<'r> {
    redact: &'r Redact,
}

impl Shown<'_> {
    /// The value of this key, masked if it `is_secret`.
    fn value(&self, value: &Value, key: &str, is_secret: bool) -> toml::Value {
        if kafka::is_secret(key) {
            return toml::Value::String(kafka::MASK.to_owned());
        }
        match &value.kind {
            ValueKind::Table(table) => {
                let of_headers = OF_HEADERS.contains(&key);
                let entry = |(key, value): (&String, &Value)| {
                    let is_secret =
                        is_secret || of_headers && self.redact.hides_header(key.as_bytes());
                    (key.clone(), self.value(value, key, is_secret))
                };
                toml::Value::Table(table.iter().map(entry).collect())
            }
            ValueKind::Array(items) => {
                let item = |item| self.value(item, "", is_secret);
                toml::Value::Array(items.iter().map(item).collect())
            }
            ValueKind::Boolean(boolean) => toml::Value::Boolean(*boolean),
            // It says where the secret is, not what.
            ValueKind::String(text) if is_secret && !text.contains("{env.") => {
                toml::Value::String(kafka::MASK.to_owned())
            }
            ValueKind::I64(_) | ValueKind::Float(_) if is_secret => {
                toml::Value::String(kafka::MASK.to_owned())
            }
            ValueKind::I64(number) => toml::Value::Integer(*number),
            ValueKind::Float(number) => toml::Value::Float(*number),
            other => toml::Value::String(other.to_string()),
        }
    }
}
