//! How answers are compared: for all routes, and for one.

use std::fmt::Display;
use std::str::FromStr;

use bytesize::ByteSize;
use config::{Map, Value, ValueKind};

use super::problem::key_at;
use super::reader::{FromValue, Section, bytes, origin};
use crate::compare::{Action, Headers, Numbers, Place, Rule, Rules};
use crate::content::Limits;

/// Reads `[compare]`, which says everything; `None` if a problem was noted.
pub(super) fn read(mut section: Section<'_>) -> Option<Rules> {
    let max_differences = section.take("max_differences");
    let headers = section.take("headers");
    let codings = section.take("codings");
    let numbers = section.take("numbers");
    let max_decoded = section.take::<ByteSize>("max_decoded").map(bytes);
    let max_ratio = section.take("max_ratio");
    let list = rules(&mut section);
    section.finish();
    Some(Rules {
        max_differences: max_differences?,
        headers: headers?,
        codings: codings?,
        numbers: numbers?,
        limits: Limits {
            max_decoded: max_decoded?,
            max_ratio: max_ratio?,
        },
        list: list?,
    })
}

/// Reads a route's `compare`, which goes over what holds for all: its rules come first.
pub(super) fn read_over(mut section: Section<'_>, all: Option<&Rules>) -> Option<Rules> {
    let headers: Option<Option<_>> = section.take_optional("headers");
    let codings: Option<Option<_>> = section.take_optional("codings");
    let numbers: Option<Option<_>> = section.take_optional("numbers");
    let own = rules(&mut section);
    section.finish();
    let all = all?;
    let mut list = own?;
    list.extend(all.list.iter().cloned());
    Some(Rules {
        headers: headers?.unwrap_or_else(|| all.headers.clone()),
        codings: codings?.unwrap_or(all.codings),
        numbers: numbers?.unwrap_or(all.numbers),
        list,
        ..all.clone()
    })
}

/// The rules of all kinds, those that ignore first.
fn rules(section: &mut Section<'_>) -> Option<Vec<Rule>> {
    let kinds = [
        ignored(section),
        table(section, "arrays", Action::Arrays, is_pointer),
        table(section, "tolerance", Action::Tolerance, is_pointer),
        table(section, "values", Action::Values, has_text),
        table(section, "text", Action::Text, has_text),
    ];
    let kinds: Option<Vec<_>> = kinds.into_iter().collect();
    kinds.map(|kinds| kinds.concat())
}

fn ignored(section: &mut Section<'_>) -> Option<Vec<Rule>> {
    let places: Option<Option<Vec<String>>> = section.take_optional("ignore");
    let places = places?.unwrap_or_default();
    let rule = |text: &String| {
        let place = text.parse::<Place>();
        let noted = |message| section.problem("ignore", message);
        let place = place.map_err(noted).ok()?;
        let action = Action::Ignore;
        Some(Rule { place, action })
    };
    // Every one that is wrong is to be noted.
    let rules: Vec<_> = places.iter().map(rule).collect();
    rules.into_iter().collect()
}

/// The rules that a table of places says.
fn table<T>(
    section: &mut Section<'_>,
    key: &'static str,
    action: fn(T) -> Action,
    fits: fn(&Place) -> Result<(), &'static str>,
) -> Option<Vec<Rule>>
where
    T: FromStr<Err: Display>,
{
    let entries = match section.take_value(key) {
        None => Map::new(),
        Some(value) => match value.kind {
            ValueKind::Table(entries) => entries,
            _ => {
                let message = format!("must be a table of places{}", origin(&value));
                section.problem(key, message);
                return None;
            }
        },
    };
    let read = |text: &str, value: Value| -> Result<Rule, String> {
        let place = text.parse::<Place>()?;
        fits(&place).map_err(str::to_owned)?;
        let parameter = String::from_value(value)?;
        let parameter = parameter.parse::<T>().map_err(|error| error.to_string())?;
        let action = action(parameter);
        Ok(Rule { place, action })
    };
    let rule = |(text, value): (String, Value)| {
        let origin = origin(&value);
        let noted = |message| section.problem(&key_at(key, &text), format!("{message}{origin}"));
        read(&text, value).map_err(noted).ok()
    };
    let rules: Vec<_> = entries.into_iter().map(rule).collect();
    rules.into_iter().collect()
}

fn is_pointer(place: &Place) -> Result<(), &'static str> {
    match place {
        Place::Pointer(_) => Ok(()),
        Place::Status | Place::Header(_) | Place::Body => {
            Err("is for places in documents only: a JSON Pointer begins with \"/\"")
        }
    }
}

fn has_text(place: &Place) -> Result<(), &'static str> {
    match place {
        Place::Pointer(_) | Place::Header(_) | Place::Body => Ok(()),
        Place::Status => Err("has no text: the status can only be ignored"),
    }
}

impl FromValue for Headers {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "must be \"all\" or a list of headers' names";
        let names = match &value.kind {
            ValueKind::String(all) if all == "all" => vec![all.clone()],
            _ => Vec::<String>::from_value(value).map_err(|_| expected.to_owned())?,
        };
        let mut headers = Self::default();
        for name in names {
            if name == "all" {
                headers.all = true;
            } else {
                let parsed = name.parse();
                headers
                    .names
                    .push(parsed.map_err(|_| format!("\"{name}\" is no header's name"))?);
            }
        }
        Ok(headers)
    }
}

impl FromValue for Numbers {
    fn from_value(value: Value) -> Result<Self, String> {
        match &String::from_value(value)?[..] {
            "type" => Ok(Self::Type),
            "value" => Ok(Self::Value),
            other => Err(format!("\"{other}\" is not \"type\" or \"value\"")),
        }
    }
}
