//! The `routes`: which requests are experiments, and with whom.

use std::cell::RefCell;
use std::net::SocketAddr;

use config::{Value, ValueKind};
use http::Method;

use super::backend::{self, Backend, Candidate, Respond, Side, Surroundings};
use super::noise::{self, NoiseMethod};
use super::problem::{Problems, did_you_mean};
use super::reader::{FromValue, Section};
use super::seen::{Head, Seen, parameters};
use super::topics::Template;
use super::{Environment, compare, conditions, sample};
use crate::compare::Rules;
use crate::matching::{Conditions, Sample};

/// One experiment. Its pattern is valid and conflicts with no other route's; of several routes with the same
/// pattern, each takes requests that those before it leave.
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
    pub(super) reference: Side<'d>,
    pub(super) candidate: Side<'d>,
    pub(super) environment: &'d Environment,
    /// Where miffy itself listens.
    pub(super) listen: Option<SocketAddr>,
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

    /// What is valid and may still not be meant, each with its key behind that of the route.
    pub(super) fn doubts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let doubts = [
            ("methods", self.doubt_of_methods()),
            ("key", self.doubt_of_key()),
            ("secondary", self.doubt_of_secondary()),
            ("respond", self.doubt_of_respond()),
        ];
        let noted = |(key, doubt): (_, Option<String>)| Some((key, doubt?));
        doubts.into_iter().filter_map(noted)
    }

    fn doubt_of_methods(&self) -> Option<String> {
        let name = &self.name;
        self.methods.is_none().then(|| {
            format!(
                "the route \"{name}\" mirrors every method, POST and DELETE too: the candidate will really carry \
                 them out. Say which with methods = [\"GET\", \"HEAD\"], or [\"*\"] if that is meant"
            )
        })
    }

    /// The key was likely meant to be a parameter's name.
    fn doubt_of_key(&self) -> Option<String> {
        let key = self.key.as_deref()?;
        if self.key_parameter().is_some() {
            return None;
        }
        let bare = key.trim_matches(['{', '*', '}', ':']);
        let meant = did_you_mean("", bare, parameters(&self.path));
        let name = &self.name;
        (!meant.is_empty()).then(|| {
            format!("the route \"{name}\" gives every record the key \"{key}\", which is no parameter's name{meant}")
        })
    }

    /// The live service would get each mirrored request twice.
    fn doubt_of_secondary(&self) -> Option<String> {
        let name = &self.name;
        (self.noise == NoiseMethod::Secondary(self.reference.base.clone())).then(|| {
            format!(
                "the route \"{name}\" has the reference itself as its secondary, which gets each mirrored request \
                 twice, writes too; noise = \"requery\" asks it again only where that is safe"
            )
        })
    }

    /// Clients would get answers of what is under test.
    fn doubt_of_respond(&self) -> Option<String> {
        let name = &self.name;
        (self.respond == Respond::Fastest).then(|| {
            format!(
                "the route \"{name}\" answers with the first backend that succeeds: clients may get a candidate's \
                 answer, whatever is wrong with it. That they get the reference's, as if there were no candidate, \
                 does not hold here; respond = \"reference\" keeps it"
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

impl Methods {
    /// Those that change nothing (RFC 9110 §9.2.1).
    fn safe() -> Self {
        Self::Only(vec![
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::TRACE,
        ])
    }
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
    let conditions = conditions::read(&mut section);
    let methods = methods(&mut section);
    let key = section.take_optional("key");
    let own_topic = Template::read_optional(&mut section);
    let params: Vec<&str> = path
        .as_deref()
        .map(parameters)
        .into_iter()
        .flatten()
        .collect();
    let sample = sample::read(&mut section, &params);
    let respond: Option<Option<Respond>> = section.take_optional("respond");
    let around = Surroundings {
        params: &params,
        environment: defaults.environment,
        listen: defaults.listen,
    };
    let reference = backend::reference(&mut section, defaults.reference, around);
    let candidates = backend::candidates(&mut section, defaults.candidate, around);
    let max_in_flight = section.take_optional("max_in_flight");
    let rules = compare::read_over(section.section("compare"), defaults.rules);
    let noise = noise::method(&mut section, defaults.noise.unwrap_or(&NoiseMethod::Off));

    let path = path
        .as_ref()
        .filter(|path| seen.admits_path(path, &section));
    let name = name.and_then(|name| seen.name(name, path?, &section));
    let topic = topic(&section, own_topic, defaults.topic, name.as_deref());
    let head = || {
        Some(Head {
            place: section.path().to_owned(),
            name: name?,
            path: path?.clone(),
            conditions: conditions?,
            methods: methods?,
        })
    };
    let head = head().and_then(|head| seen.admits(head, &section));
    section.finish();
    let head = head?;
    Some(Route {
        name: head.name,
        path: head.path,
        conditions: head.conditions,
        methods: head.methods,
        key: key?,
        topic: topic?,
        sample: sample?,
        respond: respond?.unwrap_or_default(),
        reference: reference?,
        candidates: candidates?,
        max_in_flight: max_in_flight?,
        rules: rules?,
        noise: noise?,
    })
}

/// Reads `methods` and `safe_only`; `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, left out and given are three things"
)]
fn methods(section: &mut Section<'_>) -> Option<Option<Methods>> {
    let methods: Option<Option<Methods>> = section.take_optional("methods");
    let safe_only: Option<Option<bool>> = section.take_optional("safe_only");
    match (methods?, safe_only?) {
        (Some(_), Some(true)) => {
            section.problem("safe_only", "can't be true beside methods: say it there");
            None
        }
        (None, Some(true)) => Some(Some(Methods::safe())),
        (methods, _) => Some(methods),
    }
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
