//! `miffy check`: the configuration as it is in effect.

use crate::config::{Loaded, Methods, Route};

pub(super) fn run(loaded: &Loaded) {
    println!("# the effective configuration\n{}", loaded.effective);
    println!("# routes");
    if loaded.settings.routes.is_empty() {
        println!("#   none");
    }
    for line in table(&loaded.settings.routes) {
        println!("#   {line}");
    }
    println!(
        "#   everything else goes to {} alone",
        loaded.settings.reference
    );
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    println!("# the configuration is valid");
}

/// A line per route, in columns.
fn table(routes: &[Route]) -> Vec<String> {
    let mut rows =
        vec![["path", "methods", "key", "reference", "candidate", "name"].map(str::to_owned)];
    rows.extend(routes.iter().map(row));
    if routes.is_empty() {
        return Vec::new();
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &[String; 6]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
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
    [
        route.path.clone(),
        methods,
        route.key.clone().unwrap_or_else(|| route.path.clone()),
        route.reference.to_string(),
        route.candidate.to_string(),
        route.name.clone(),
    ]
}
