//! `miffy check`: the configuration as it is in effect.

use std::borrow::Borrow;
use std::sync::Arc;

use super::{complain, print, table};
use crate::config::{
    Backend, Candidate, Loaded, Methods, NoiseMethod, Redact, Respond, Route, Settings,
};
use crate::experiment::{Experiment, Table};
use crate::redact::Redaction;

pub(super) fn run(loaded: &Loaded) -> anyhow::Result<()> {
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}"));
    }
    let routes = lines(&loaded.settings).join("\n#   ");
    let file = loaded.file.as_ref();
    let file = file.map_or_else(|| "no file".into(), |file| file.to_string_lossy());
    print(&format!(
        "# the effective configuration ({file})\n{}\n# routes\n#   {routes}\n#   everything else goes to {} alone\n\
         # the configuration is valid\n",
        loaded.effective, loaded.settings.reference
    ))
}

/// A route among the experiments, for their order.
struct Listed<'r> {
    experiment: Experiment,
    route: &'r Route,
}

impl Borrow<Experiment> for Listed<'_> {
    fn borrow(&self) -> &Experiment {
        &self.experiment
    }
}

/// A line per route, in the order in which they are tried, in columns. Some columns are only there if routes
/// differ in them, or one has something in it.
fn lines(settings: &Settings) -> Vec<String> {
    if settings.routes.is_empty() {
        return vec!["none".to_owned()];
    }
    let redaction = Arc::new(Redaction::nothing());
    let experiments = Table::new(settings.routes.iter().map(|route| Listed {
        experiment: Experiment::new(route, redaction.clone()),
        route,
    }));
    let routes: Vec<&Route> = experiments.entries().map(|listed| listed.route).collect();
    let any = |is_said: fn(&Route) -> bool| routes.iter().any(|route| is_said(route));
    let mut columns = Vec::new();
    let mut column = |title: &str, cell: &dyn Fn(&Route) -> String| {
        let cells = routes.iter().map(|route| cell(route));
        columns.push(std::iter::once(title.to_owned()).chain(cells).collect());
    };
    column("path", &|route| route.path.clone());
    if any(|route| !route.conditions.are_nothing()) {
        column("conditions", &|route| conditions(route, &settings.redact));
    }
    column("methods", &methods);
    if any(|route| route.sample != <_>::default()) {
        column("sample", &sample);
    }
    column("key", &key);
    if any(|route| route.respond == Respond::Fastest) {
        column("answer", &answer);
    }
    if routes.iter().any(|route| route.topic != routes[0].topic) {
        column("topic", &|route| route.topic.clone());
    }
    column("reference", &|route| place(&route.reference));
    let are_named = any(|route| route.candidates.len() > 1 || !is_plain(&route.candidates[0]));
    let title = if are_named { "candidates" } else { "candidate" };
    column(title, &candidates);
    if any(|route| route.noise != NoiseMethod::Off) {
        column("noise", &noise);
    }
    column("name", &|route| route.name.clone());
    table(transposed(&columns))
}

/// Rows of columns, which are of the same length.
fn transposed(columns: &[Vec<String>]) -> Vec<Vec<String>> {
    let rows = columns.first().map_or(0, Vec::len);
    let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect();
    (0..rows).map(row).collect()
}

fn conditions(route: &Route, redact: &Redact) -> String {
    let conditions = &route.conditions;
    let host = conditions.host.iter().map(|test| format!("host {test}"));
    let headers = conditions.headers.iter().map(|(name, test)| {
        if redact.hides_header(name.as_str().as_bytes()) {
            format!("header {name} (hidden)")
        } else {
            format!("header {name} {test}")
        }
    });
    let query = conditions.query.iter();
    let query = query.map(|(name, test)| format!("query {name} {test}"));
    let all: Vec<String> = host.chain(headers).chain(query).collect();
    match &all[..] {
        [] => "none".to_owned(),
        all => all.join(", "),
    }
}

fn methods(route: &Route) -> String {
    match &route.methods {
        None => "all (unsaid)".to_owned(),
        Some(Methods::All) => "all".to_owned(),
        Some(Methods::Only(methods)) => {
            let names: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
            names.join(",")
        }
    }
}

fn sample(route: &Route) -> String {
    let rate = route.sample.rate;
    match &route.sample.by {
        None => rate.to_string(),
        Some(by) => format!("{rate} by {by}"),
    }
}

fn key(route: &Route) -> String {
    match route.key_parameter() {
        Some(name) => format!("{{{name}}}"),
        None => format!("\"{}\"", route.key.as_ref().unwrap_or(&route.path)),
    }
}

fn answer(route: &Route) -> String {
    match route.respond {
        Respond::Reference => "reference".to_owned(),
        Respond::Fastest => "fastest".to_owned(),
    }
}

fn noise(route: &Route) -> String {
    match &route.noise {
        NoiseMethod::Off => "off".to_owned(),
        NoiseMethod::Secondary(base) => format!("secondary {base}"),
        NoiseMethod::Requery => "requery".to_owned(),
    }
}

/// Where a backend is, and the path that it is asked for if that is another one.
fn place(backend: &Backend) -> String {
    let path = backend.rewrite.path.as_ref();
    let path = path.map_or_else(String::new, ToString::to_string);
    format!("{}{path}", backend.base)
}

/// Whether nothing but its place is said of a candidate.
fn is_plain(candidate: &Candidate) -> bool {
    candidate.name == "candidate" && candidate.compare
}

/// Who is tested.
fn candidates(route: &Route) -> String {
    let candidate = |candidate: &Candidate| {
        let place = place(&candidate.backend);
        let name = match candidate.name.as_str() {
            "candidate" if route.candidates.len() == 1 => String::new(),
            name => format!("{name}="),
        };
        let note = if candidate.compare {
            ""
        } else {
            " (not compared)"
        };
        format!("{name}{place}{note}")
    };
    let all: Vec<String> = route.candidates.iter().map(candidate).collect();
    all.join(", ")
}
