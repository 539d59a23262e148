//! `miffy check`: the configuration as it is in effect.

use std::iter::once;

use super::{complain, print, table};
use crate::config::{Loaded, Methods, Route};

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

/// A line per route, in columns.
fn lines(routes: &[Route]) -> Vec<String> {
    if routes.is_empty() {
        return vec!["none".to_owned()];
    }
    let titles = ["path", "methods", "key", "reference", "candidate", "name"].map(str::to_owned);
    table(once(titles).chain(routes.iter().map(row)).collect())
}

fn row(route: &Route) -> [String; 6] {
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
    [
        route.path.clone(),
        methods,
        key,
        route.reference.to_string(),
        route.candidate.to_string(),
        route.name.clone(),
    ]
}
