//! The `routes`: which requests are experiments, and with whom.

use std::cell::RefCell;
use std::collections::HashMap;

use config::{Value, ValueKind};
use http::Method;

use super::backend::{Backend, Candidate, Respond};
use super::compare;
use super::noise::{self, NoiseMethod};
use super::problem::{Problems, did_you_mean};
use super::reader::{FromValue, Section};
use super::topics::Template;
use super::{Backends, BaseUrl};
use crate::compare::Rules;
use crate::matching::{Conditions, Sample};
use crate::rewrite::Rewrite;

/// The name of a route's only candidate.
const CANDIDATE: &str = "candidate";

/// One experiment. Its pattern is valid and conflicts with no other route's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The experiment's name, unlike any other's.
    pub name: String,
    /// The path pattern as axum and matchit write it.
    pub path: String,
    /// What a request must meet beside its path.
    pub conditions: Conditions,
    /// The methods that are mirrored; `None` for all, because nothing was said.
    pub methods: Option<Methods>,
    /// The name of a path parameter, or the Kafka key itself.
    pub key: Option<String>,
    /// The Kafka topic of its records.
    pub topic: String,
    /// Which of its requests are mirrored.
    pub sample: Sample,
    /// Whose answer the client gets.
    pub respond: Respond,
    /// Who answers.
    pub reference: Backend,
    /// Who is tested; at least one.
    pub candidates: Vec<Candidate>,
    /// Exchanges mirrored at a time; `None` for as many as all may have together.
    pub max_in_flight: Option<usize>,
    /// How answers are compared.
    pub rules: Rules,
    /// Whose second answer tells noise from differences.
    pub noise: NoiseMethod,
}

/// What holds for routes that don't say otherwise; `None` where a problem was noted.
pub(super) struct Defaults<'d> {
    pub(super) reference: Option<&'d BaseUrl>,
    pub(super) candidate: Option<&'d BaseUrl>,
    pub(super) reference_backends: Option<&'d Backends>,
    pub(super) candidate_backends: Option<&'d Backends>,
    pub(super) rules: Option<&'d Rules>,
    pub(super) noise: Option<&'d NoiseMethod>,
    pub(super) topic: Option<&'d Template>,
}

impl Route {
    /// The parameter whose value is the key, if the key names one.
    #[must_use]
    pub fn key_parameter(&self) -> Option<&str> {
        parameters(&self.path).find(|name| Some(*name) == self.key.as_deref())
    }

    /// A warning, if the key was likely meant to be a parameter's name.
    pub(super) fn doubt_of_key(&self) -> Option<String> {
        let key = self.key.as_deref()?;
        if self.key_parameter().is_some() {
            return None;
        }
        let bare = key.trim_matches(['{', '*', '}', ':']);
        let meant = did_you_mean("", bare, parameters(&self.path));
        let path = &self.path;
        (!meant.is_empty()).then(|| {
            format!("the route \"{path}\" gives every record the key \"{key}\", which is no parameter's name{meant}")
        })
    }

    /// A warning, if the live service would get each mirrored request twice.
    pub(super) fn doubt_of_secondary(&self) -> Option<String> {
        let path = &self.path;
        (self.noise == NoiseMethod::Secondary(self.reference.base.clone())).then(|| {
            format!(
                "the route \"{path}\" has the reference itself as its secondary, which gets each mirrored request \
                 twice, writes too; noise = \"requery\" asks it again only where that is safe"
            )
        })
    }
}

/// Methods that were named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// `["*"]`: all, and meant so.
    All,
    /// These and no others.
    Only(Vec<Method>),
}

/// Reads the list; `None` if a problem was noted.
pub(super) fn read(
    value: Option<Value>,
    defaults: &Defaults<'_>,
    problems: &RefCell<Problems>,
) -> Option<Vec<Route>> {
    let ValueKind::Array(items) = value?.kind else {
        problems.borrow_mut().add("routes", "must be a list");
        return None;
    };
    let mut seen = Seen::default();
    let routes: Vec<Option<Route>> = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let section = Section::new(format!("routes[{index}]"), item, problems);
            read_one(section, defaults, &mut seen)
        })
        .collect();
    routes.into_iter().collect()
}

fn read_one(mut section: Section<'_>, defaults: &Defaults<'_>, seen: &mut Seen) -> Option<Route> {
    let path: Option<String> = section.take("path");
    let name: Option<Option<String>> = section.take_optional("name");
    let methods = section.take_optional("methods");
    let key = section.take_optional("key");
    let own_topic = Template::read_optional(&mut section);
    let own_reference = section.take_optional("reference");
    let own_candidate = section.take_optional("candidate");
    let max_in_flight = section.take_optional("max_in_flight");
    let rules = compare::read_over(section.section("compare"), defaults.rules);
    let noise = noise::method(&mut section, defaults.noise.unwrap_or(&NoiseMethod::Off));

    let path = path.filter(|path| seen.admits_path(path, &section));
    let name = name.and_then(|name| name.or_else(|| path.clone()));
    let name = name.filter(|name| seen.admits_name(name, &section));
    let topic = topic(&section, own_topic, defaults.topic, name.as_deref());
    section.finish();
    let reference = Backend {
        base: own_reference?.or_else(|| defaults.reference.cloned())?,
        rewrite: Rewrite::default(),
        asked: defaults.reference_backends?.clone(),
    };
    let candidate = Candidate {
        name: CANDIDATE.to_owned(),
        backend: Backend {
            base: own_candidate?.or_else(|| defaults.candidate.cloned())?,
            rewrite: Rewrite::default(),
            asked: defaults.candidate_backends?.clone(),
        },
        compare: true,
        max_in_flight: None,
    };
    Some(Route {
        name: name?,
        path: path?,
        conditions: Conditions::default(),
        methods: methods?,
        key: key?,
        topic: topic?,
        sample: Sample::default(),
        respond: Respond::default(),
        reference,
        candidates: vec![candidate],
        max_in_flight: max_in_flight?,
        rules: rules?,
        noise: noise?,
    })
}

/// The topic of the route of this name, by its own key or else by `kafka.topic`; notes the problem if there is none.
#[expect(
    clippy::option_option,
    reason = "wrong, left out and given are three things"
)]
fn topic(
    section: &Section<'_>,
    own: Option<Option<Template>>,
    default: Option<&Template>,
    name: Option<&str>,
) -> Option<String> {
    let own = own?;
    let resolved = own.as_ref().or(default)?.resolve(name?);
    resolved
        .map_err(|message| section.problem("topic", message))
        .ok()
}

/// The patterns and names of the routes so far.
#[derive(Default)]
struct Seen {
    patterns: matchit::Router<()>,
    names: HashMap<String, String>,
}

impl Seen {
    /// Whether axum's router will take this pattern beside the others; notes the problem if not.
    fn admits_path(&mut self, path: &str, section: &Section<'_>) -> bool {
        let message = if !path.starts_with('/') {
            format!("\"{path}\" does not start with \"/\"")
        } else if let Some(c) = path.chars().find(|c| never_in_a_path(*c)) {
            format!("\"{path}\" has {c:?} in it, which no request's path can have")
        } else if let Some(name) = repeated_parameter(path) {
            format!("\"{path}\" has two parameters \"{name}\"")
        } else if let Some(segment) = old_syntax(path) {
            format!(
                "\"{path}\": write a parameter as \"{{id}}\" and the rest as \"{{*rest}}\", not \"{segment}\""
            )
        } else {
            match self.patterns.insert(path, ()) {
                Ok(()) => return true,
                Err(matchit::InsertError::Conflict { with }) => {
                    format!("\"{path}\" conflicts with the route \"{with}\"")
                }
                Err(error) => format!("\"{path}\" is not a valid pattern: {error}"),
            }
        };
        section.problem("path", message);
        false
    }

    fn admits_name(&mut self, name: &str, section: &Section<'_>) -> bool {
        let first = self.names.insert(name.to_owned(), section.name("name"));
        if let Some(first) = &first {
            section.problem("name", format!("\"{name}\" is taken by {first}"));
        }
        first.is_none()
    }
}

/// A segment in the syntax of axum before 0.8, which its router refuses with a panic.
fn old_syntax(path: &str) -> Option<&str> {
    path.split('/')
        .find(|segment| segment.starts_with([':', '*']))
}

/// Whether a character can't be in a request's path as it is sent (RFC 3986 §3.3).
fn never_in_a_path(c: char) -> bool {
    matches!(c, '?' | '#' | ' ') || c.is_control()
}

/// The names of a pattern's parameters, in their order.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .filter_map(|part| Some(part.split_once('}')?.0.trim_start_matches('*')))
}

/// A parameter's name that stands in the pattern twice.
fn repeated_parameter(path: &str) -> Option<&str> {
    let mut seen = Vec::new();
    parameters(path).find(|name| {
        let repeated = seen.contains(name);
        seen.push(*name);
        repeated
    })
}

impl FromValue for Methods {
    fn from_value(value: Value) -> Result<Self, String> {
        let names = Vec::<String>::from_value(value)
            .map_err(|_| "must be a list of methods, such as [\"GET\", \"HEAD\"]".to_owned())?;
        if names.is_empty() {
            return Err("is empty, so nothing would be mirrored; leave the route out".to_owned());
        }
        if names == ["*"] {
            return Ok(Self::All);
        }
        let method = |name: String| {
            // Methods are case-sensitive (RFC 9110 §9.1); nobody means the method "get".
            Method::from_bytes(name.to_uppercase().as_bytes())
                .ok()
                .filter(|_| name != "*")
                .ok_or_else(|| format!("\"{name}\" is not a method"))
        };
        names
            .into_iter()
            .map(method)
            .collect::<Result<_, _>>()
            .map(Self::Only)
    }
}
