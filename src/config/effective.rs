//! The configuration in effect as TOML, secrets masked.

use config::{Value, ValueKind};

use super::kafka::{self, Kafka};

/// Renders the merged configuration, with librdkafka's properties as they were settled.
pub(super) fn render(merged: &Value, settled: &Kafka) -> String {
    let mut toml = to_toml(merged, "");
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

fn to_toml(value: &Value, key: &str) -> toml::Value {
    if kafka::is_secret(key) {
        return toml::Value::String(kafka::MASK.to_owned());
    }
    match &value.kind {
        ValueKind::Table(table) => {
            let entry = |(key, value): (&String, &Value)| (key.clone(), to_toml(value, key));
            toml::Value::Table(table.iter().map(entry).collect())
        }
        ValueKind::Array(items) => {
            toml::Value::Array(items.iter().map(|item| to_toml(item, "")).collect())
        }
        ValueKind::Boolean(boolean) => toml::Value::Boolean(*boolean),
        ValueKind::I64(number) => toml::Value::Integer(*number),
        ValueKind::Float(number) => toml::Value::Float(*number),
        other => toml::Value::String(other.to_string()),
    }
}
