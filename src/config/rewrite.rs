//! What a backend is sent instead of what the client sent: `path`, `host`, `set_headers`, `add_headers` and
//! `remove_headers`.

use config::{Value, ValueKind};
use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use super::Environment;
use super::reader::{FromValue, Section, literal, origin};
use crate::rewrite::{Edits, PathTemplate, Rewrite, Template, is_protected};

/// A `Host`.
struct Host(HeaderValue);

/// Reads it for a route with these parameters; `None` if a problem was noted.
pub(super) fn read(
    section: &mut Section<'_>,
    params: &[&str],
    environment: &Environment,
) -> Option<Rewrite> {
    let path: Option<Option<String>> = section.take_optional("path");
    let path = match path {
        Some(Some(text)) => PathTemplate::parse(&text, params)
            .map_err(|message| section.problem("path", message))
            .ok()
            .map(Some),
        Some(None) => Some(None),
        None => None,
    };
    let host: Option<Option<Host>> = section.take_optional("host");
    let template =
        |text: &str| Template::parse(text, params, |variable| environment.value(variable));
    let remove = removed(section);
    let set = edits(section, "set_headers", template);
    let add = edits(section, "add_headers", template);
    Some(Rewrite {
        path: path?,
        host: host?.map(|host| host.0),
        edits: Edits {
            remove: remove?,
            set: set?,
            add: add?,
        },
    })
}

fn removed(section: &mut Section<'_>) -> Option<Vec<HeaderName>> {
    const KEY: &str = "remove_headers";
    let Some(value) = section.take_value(KEY) else {
        return Some(Vec::new());
    };
    let place = origin(&value);
    let ValueKind::Array(items) = value.kind else {
        section.problem(KEY, format!("must be a list of headers{place}"));
        return None;
    };
    let item = |(index, item)| {
        let name = String::from_value(item).and_then(|text| editable(&text));
        let noted = |message| section.problem(&format!("{KEY}[{index}]"), message);
        name.map_err(noted).ok()
    };
    // Every one that is wrong is to be noted.
    let names: Vec<_> = items.into_iter().enumerate().map(item).collect();
    names.into_iter().collect()
}

/// The edits of a table of headers.
fn edits(
    section: &mut Section<'_>,
    key: &'static str,
    template: impl Fn(&str) -> Result<Template, String>,
) -> Option<Vec<(HeaderName, Template)>> {
    let Some(value) = section.take_value(key) else {
        return Some(Vec::new());
    };
    let is_table = matches!(value.kind, ValueKind::Table(_));
    let mut section = section.child(key, value);
    let mut edits: Vec<(HeaderName, Template)> = Vec::new();
    let mut all_right = is_table;
    for (written, value) in section.take_rest() {
        let place = origin(&value);
        let name = editable(&written).and_then(|name| {
            let is_new = edits.iter().all(|(of, _)| *of != name);
            is_new
                .then_some(name)
                .ok_or("stands there twice, spelt in two ways".to_owned())
        });
        let edit = name.and_then(|name| {
            let text = literal(value)?;
            Ok((name, template(&text)?))
        });
        match edit {
            Ok(edit) => edits.push(edit),
            Err(message) => {
                section.problem(&written, format!("{message}{place}"));
                all_right = false;
            }
        }
    }
    all_right.then_some(edits)
}

/// A header that can be edited.
fn editable(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("\"{text}\" is no header's name"))?;
    match is_protected(&name) {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(name),
    }
}

impl FromValue for Host {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        let wrong = || format!("\"{text}\" is no host, with a port behind it or without");
        let authority: Authority = text.parse().map_err(|_| wrong())?;
        let has_port = authority.as_str().len() > authority.host().len();
        if authority.host().is_empty()
            || text.contains('@')
            || has_port && authority.port_u16().is_none()
        {
            return Err(wrong());
        }
        HeaderValue::from_str(&text).map(Self).map_err(|_| wrong())
    }
}
