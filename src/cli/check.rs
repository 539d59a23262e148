//! `miffy check`: the configuration as it is in effect.

use std::iter::once;

use super::{complain, print, table};
use crate::config::{Loaded, Methods, NoiseMethod, Route};

pub(super) fn run(loaded: &Loaded) -> anyhow::Result<()> {
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}"));
    }
    let routes = lines(&loaded.settings.routes).join("\n#   ");
    let file = loaded.file.as_deref().unwrap_or("no file");
    print(&format!(
        "# the effective configuration ({file})\n{}\n# routes\n#   {routes}\n#   everything else goes to {} alone\n\
         # the configuration is valid\n",
        loaded.effective, loaded.settings.reference
    ))
}

/// The columns that are only there if routes differ in them, or one has something in it.
const TOPIC: usize = 3;
const NOISE: usize = 6;

/// A line per route, in columns.
fn lines(routes: &[Route]) -> Vec<String> {
    if routes.is_empty() {
        return vec!["none".to_owned()];
    }
    let titles = [
        "path",
        "methods",
        "key",
        "topic",
        "reference",
        "candidate",
        "noise",
        "name",
    ];
    let titles = titles.map(str::to_owned);
    let rows = once(titles).chain(routes.iter().map(row));
    let mut rows: Vec<Vec<String>> = rows.map(Vec::from).collect();
    if routes.iter().all(|route| route.noise == NoiseMethod::Off) {
        for row in &mut rows {
            row.remove(NOISE);
        }
    }
    if routes.iter().all(|route| route.topic == routes[0].topic) {
        for row in &mut rows {
            row.remove(TOPIC);
        }
    }
    table(rows)
}

fn row(route: &Route) -> [String; 8] {
    let methods = match &route.methods {
        None => "all (unsaid)".to_owned(),
        Some(Methods::All) => "all".to_owned(),
        Some(Methods::Only(methods)) => {
            let names: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
            names.join(",")
        }
    };
    let key = match route.key_parameter() {
        Some(name) => format!("{{{name}}}"),
        None => format!("\"{}\"", route.key.as_ref().unwrap_or(&route.path)),
    };
    let noise = match &route.noise {
        NoiseMethod::Off => "off".to_owned(),
        NoiseMethod::Secondary(base) => format!("secondary {base}"),
        NoiseMethod::Requery => "requery".to_owned(),
    };
    [
        route.path.clone(),
        methods,
        key,
        route.topic.clone(),
        route.reference.base.to_string(),
        candidates(route),
        noise,
        route.name.clone(),
    ]
}

/// Who is tested.
fn candidates(route: &Route) -> String {
    let bases = route.candidates.iter();
    let bases: Vec<String> = bases.map(|it| it.backend.base.to_string()).collect();
    bases.join(",")
}
