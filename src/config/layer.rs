//! One layer of the configuration, and how it goes over those before it.
//!
//! Tables are merged key by key, everything else is replaced. librdkafka knows some of its properties by
//! two names; whichever a layer uses replaces both of the layers before.

use std::ops::Range;

use config::{FileFormat, Format as _, Map, Value, ValueKind};

use super::kafka;
use super::problem::{Problems, key_at};
use super::reader::origin;

/// Values in the shape of the configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    values: Map<String, Value>,
}

impl Layer {
    /// The layer that a TOML text is. Its values say that they come from `origin`, if it has one.
    pub(super) fn parse(origin: Option<&str>, text: &str) -> Result<Self, String> {
        let origin = origin.map(str::to_owned);
        match FileFormat::Toml.parse(origin.as_ref(), text) {
            Ok(values) => Ok(Self { values }),
            Err(error) => Err(match error.downcast_ref::<toml::de::Error>() {
                Some(error) => told(text, error),
                // It is TOML, and can't be a configuration's value.
                None => toml::from_str::<toml::Table>(text).map_or_else(
                    |error| told(text, &error),
                    |_| "has a number that is out of range".to_owned(),
                ),
            }),
        }
    }

    /// The layers as one table, later ones over earlier ones. What stands in place of a table is a
    /// problem.
    pub(super) fn merge<'l>(
        layers: impl IntoIterator<Item = &'l Self>,
        problems: &mut Problems,
    ) -> Value {
        let mut merged = Map::new();
        for layer in layers {
            merge(&mut merged, &layer.values, "", problems);
        }
        Value::new(None, merged)
    }

    /// The layer as one table.
    pub(super) fn root(&self) -> Value {
        Value::new(None, self.values.clone())
    }

    /// Sets the key at `path`.
    pub(super) fn set(&mut self, path: &[String], value: Value) {
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
        values.insert(key.clone(), value);
    }

    /// Notes properties that are given by both of their names.
    pub(super) fn check_aliases(&self, problems: &mut Problems) {
        let Some(Value {
            kind: ValueKind::Table(properties),
            ..
        }) = self.values.get(kafka::TABLE)
        else {
            return;
        };
        for name in properties.keys() {
            for alias in kafka::aliases(name).filter(|alias| properties.contains_key(*alias)) {
                let key = key_at(kafka::TABLE, name);
                problems.add(key, format!("is the same property as \"{alias}\"; set one"));
            }
        }
    }
}

/// An error without the line that it is in, which may hold a password.
fn told(text: &str, error: &toml::de::Error) -> String {
    format!("{}{}", error.message(), position(text, error.span()))
}

/// " at line 3, column 7", if it is known where.
fn position(text: &str, span: Option<Range<usize>>) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return String::new();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!(" at line {line}, column {column}")
}

/// Puts the layer's part at `path` over what was merged there.
fn merge(
    merged: &mut Map<String, Value>,
    layer: &Map<String, Value>,
    path: &str,
    problems: &mut Problems,
) {
    for (key, value) in layer {
        if path == kafka::TABLE {
            for alias in kafka::aliases(key) {
                merged.shift_remove(alias);
            }
        }
        match (
            merged.get_mut(key).map(|value| &mut value.kind),
            &value.kind,
        ) {
            (Some(ValueKind::Table(merged)), ValueKind::Table(layer)) => {
                merge(merged, layer, &key_at(path, key), problems);
            }
            (Some(ValueKind::Table(_)), _) => {
                let message = format!("must be a table{}", origin(value));
                problems.add(key_at(path, key), message);
            }
            _ => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
}
