//! Reads the merged configuration key by key, so that every error is found and each names its key.
//!
//! A derived `Deserialize` would stop at the first error. A [`Section`] instead notes the problem,
//! gives `None`, and goes on; whoever reads it builds its settings only if nothing was noted.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use config::{Map, Value, ValueKind};

use super::BaseUrl;
use super::problem::{Problems, did_you_mean, key_at};

/// A table being read. Keys that nobody took are unknown keys.
pub(super) struct Section<'p> {
    path: String,
    table: Map<String, Value>,
    taken: Vec<&'static str>,
    problems: &'p RefCell<Problems>,
}

impl<'p> Section<'p> {
    /// Reads `value` as the table at `path`, which is empty for the top level.
    pub(super) fn new(path: String, value: Value, problems: &'p RefCell<Problems>) -> Self {
        let table = match value.kind {
            ValueKind::Table(table) => table,
            _ => {
                let message = format!("must be a table{}", origin(&value));
                problems.borrow_mut().add(&path, message);
                Map::new()
            }
        };
        Self {
            path,
            table,
            taken: Vec::new(),
            problems,
        }
    }

    /// The value of a key that must be there; `None` if a problem was noted.
    pub(super) fn take<T: FromValue>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take_optional(key)?;
        if value.is_none() {
            self.problem(key, "is missing");
        }
        value
    }

    /// The value of a key that may be left out; `None` if a problem was noted.
    #[expect(
        clippy::option_option,
        reason = "wrong, left out and given are three things"
    )]
    pub(super) fn take_optional<T: FromValue>(&mut self, key: &'static str) -> Option<Option<T>> {
        let Some(value) = self.take_value(key) else {
            return Some(None);
        };
        let origin = origin(&value);
        match T::from_value(value) {
            Ok(value) => Some(Some(value)),
            Err(message) => {
                self.problem(key, format!("{message}{origin}"));
                None
            }
        }
    }

    /// The bytes of a key that must be there, and must be `min` at least, or else `too_small` is noted; `None` if a
    /// problem was noted.
    pub(super) fn take_bytes(
        &mut self,
        key: &'static str,
        min: u64,
        too_small: &str,
    ) -> Option<u64> {
        let bytes = self.take(key).map(|size: ByteSize| size.as_u64())?;
        if bytes < min {
            self.problem(key, too_small);
            return None;
        }
        Some(bytes)
    }

    /// The value of a key as it is.
    pub(super) fn take_value(&mut self, key: &'static str) -> Option<Value> {
        self.taken.push(key);
        self.table.shift_remove(key)
    }

    /// The table below a key; an empty one if it is missing.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'p> {
        let value = self
            .take_value(key)
            .unwrap_or_else(|| Value::new(None, Map::<String, Value>::new()));
        Section::new(self.name(key), value, self.problems)
    }

    /// The table that `value` is, below a key that only the configuration names.
    pub(super) fn child(&self, key: &str, value: Value) -> Section<'p> {
        Section::new(self.name(key), value, self.problems)
    }

    /// What nobody took yet, for a table whose keys are open.
    pub(super) fn take_rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.table)
    }

    /// Notes every key that nobody took as unknown.
    pub(super) fn finish(self) {
        for (key, value) in &self.table {
            let message = format!(
                "unknown key{}{}",
                origin(value),
                did_you_mean("", key, self.taken.iter().copied())
            );
            self.problem(key, message);
        }
    }

    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().add(self.name(key), message);
    }

    pub(super) fn name(&self, key: &str) -> String {
        key_at(&self.path, key)
    }

    /// The key of the table itself.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Notes a problem of the whole table.
    pub(super) fn problem_of_all(&self, message: impl Into<String>) {
        self.problems.borrow_mut().add(&self.path, message);
    }
}

/// " (in config.toml)", or nothing for a default.
pub(super) fn origin(value: &Value) -> String {
    value
        .origin()
        .map_or_else(String::new, |origin| format!(" (in {origin})"))
}

/// A type that a configuration value can be read as.
pub(super) trait FromValue: Sized {
    /// The value, or what is wrong with it.
    fn from_value(value: Value) -> Result<Self, String>;
}

/// A value, or `None` for "off".
pub(super) struct Off<T>(pub(super) Option<T>);

/// The text of a scalar, for types that parse their own.
fn text(value: Value, expected: &str) -> Result<String, String> {
    match value.kind {
        ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => {
            Err(format!("must be {expected}"))
        }
        kind => Ok(kind.to_string()),
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, String> {
        text(value, "text")
    }
}

/// A text as it is written. A number with a point would not come out as such.
pub(super) fn literal(value: Value) -> Result<String, String> {
    match value.kind {
        ValueKind::Float(_) => Err("must be text: write it in quotes".to_owned()),
        _ => String::from_value(value),
    }
}

impl FromValue for u16 {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "a port number, 0 to 65535";
        let text = text(value, expected)?;
        text.parse()
            .map_err(|_| format!("\"{text}\" is not {expected}"))
    }
}

/// The largest number of things at a time that can be asked for; more would not fit into any memory.
const MAX_NUMBER: usize = 100_000_000;

impl FromValue for usize {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "a whole number from 1 to 100000000";
        let text = text(value, expected)?;
        match text.parse() {
            Ok(number) if (1..=MAX_NUMBER).contains(&number) => Ok(number),
            _ => Err(format!("\"{text}\" is not {expected}")),
        }
    }
}

impl FromValue for std::net::IpAddr {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "an IP address, such as 127.0.0.1 or ::";
        let text = text(value, expected)?;
        text.parse()
            .map_err(|_| format!("\"{text}\" is not {expected}"))
    }
}

/// The longest duration that can be asked for: a year. Sums of it and the time stay within the clock.
const MAX_DURATION: Duration = Duration::from_hours(365 * 24);

impl FromValue for Duration {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected =
            "a duration with its unit, such as \"500ms\" or \"30s\", above 0 and up to a year";
        let text = text(value, expected)?;
        match humantime::parse_duration(&text) {
            Ok(duration) if !duration.is_zero() && duration <= MAX_DURATION => Ok(duration),
            _ => Err(format!("\"{text}\" is not {expected}")),
        }
    }
}

impl<T: FromValue> FromValue for Off<T> {
    fn from_value(value: Value) -> Result<Self, String> {
        if matches!(&value.kind, ValueKind::String(text) if text == "off") {
            return Ok(Self(None));
        }
        T::from_value(value)
            .map(|value| Self(Some(value)))
            .map_err(|message| format!("{message}, nor \"off\""))
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "true or false";
        let text = text(value, expected)?;
        text.parse()
            .map_err(|_| format!("\"{text}\" is not {expected}"))
    }
}

impl FromValue for PathBuf {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = text(value, "a path")?;
        if text.is_empty() {
            return Err("is empty, which is no path".to_owned());
        }
        Ok(text.into())
    }
}

impl FromValue for ByteSize {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "a size in bytes, such as 65536 or \"1MiB\"";
        let text = text(value, expected)?;
        text.parse()
            .map_err(|_| format!("\"{text}\" is not {expected}"))
    }
}

/// A size as this machine counts; more than it can address is all of it.
pub(super) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

impl FromValue for BaseUrl {
    fn from_value(value: Value) -> Result<Self, String> {
        text(value, "a URL")?.parse()
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, String> {
        match value.kind {
            ValueKind::Array(items) => items.into_iter().map(T::from_value).collect(),
            _ => Err("must be a list".to_owned()),
        }
    }
}
