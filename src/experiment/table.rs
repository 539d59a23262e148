//! All experiments, by path.
//!
//! Of the paths that a request matches, the most specific one goes first, as axum's router has it: segment by
//! segment, text goes before a parameter, and a parameter before the rest; of parameters behind text, the one
//! behind more of it goes first. Among experiments of the same path,
//! the first one in the order of the configuration whose conditions are met takes the request. Where there is
//! none, the next path has its turn.

use std::borrow::Borrow;
use std::cmp::{Ordering, Reverse};

use http::{HeaderMap, Method, Uri};

use super::Experiment;

/// Experiments, or what belongs to each of them, found by requests.
#[derive(Debug)]
pub struct Table<E> {
    /// The place of the most specific path's group.
    paths: matchit::Router<usize>,
    /// The most specific paths first.
    groups: Vec<Group<E>>,
}

/// What has the same path.
#[derive(Debug)]
struct Group<E> {
    path: String,
    pattern: matchit::Router<()>,
    entries: Vec<E>,
}

impl<E: Borrow<Experiment>> Table<E> {
    /// A table of these, in the order of the configuration.
    ///
    /// # Panics
    ///
    /// If two patterns conflict, which the configuration rules out.
    pub fn new(entries: impl IntoIterator<Item = E>) -> Self {
        let mut groups: Vec<Group<E>> = Vec::new();
        for entry in entries {
            let path = &entry.borrow().path;
            match groups.iter_mut().find(|group| group.path == *path) {
                Some(group) => group.entries.push(entry),
                None => groups.push(Group {
                    path: path.clone(),
                    pattern: entry.borrow().pattern.clone(),
                    entries: vec![entry],
                }),
            }
        }
        groups.sort_by(|a, b| by_specificity(&a.path, &b.path));
        let mut paths = matchit::Router::new();
        for (place, group) in groups.iter().enumerate() {
            let inserted = paths.insert(&group.path, place);
            inserted.expect("the configuration checked the patterns");
        }
        Self { paths, groups }
    }

    /// The experiment of a request: the first one that mirrors its method, else the first one that would mirror
    /// another.
    #[must_use]
    pub fn find(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&E> {
        let first = *self.paths.at(uri.path()).ok()?.value;
        let mut of_another_method = None;
        for (place, group) in self.groups.iter().enumerate().skip(first) {
            if place > first && group.pattern.at(uri.path()).is_err() {
                continue;
            }
            for entry in &group.entries {
                let experiment = entry.borrow();
                if !experiment.is_about(uri, headers) {
                    continue;
                }
                if experiment.mirrors(method) {
                    return Some(entry);
                }
                of_another_method.get_or_insert(entry);
            }
        }
        of_another_method
    }

    /// All of them, in the order in which they are tried.
    pub fn entries(&self) -> impl Iterator<Item = &E> {
        self.groups.iter().flat_map(|group| &group.entries)
    }
}

/// The order of two patterns where both match.
fn by_specificity(a: &str, b: &str) -> Ordering {
    let kinds = |path: &str| path.split('/').map(kind).collect::<Vec<_>>();
    kinds(a).cmp(&kinds(b))
}

/// How little a segment of a pattern says, and, of the same kind, how much text there is before a parameter.
fn kind(segment: &str) -> (u8, Reverse<usize>) {
    // A doubled brace is one that stands there.
    let segment = segment.replace("{{", "_").replace("}}", "_");
    let (kind, text) = match segment.find('{') {
        None => (0, 0),
        // A parameter with text around it.
        Some(start) if start > 0 || !segment.ends_with('}') => (1, start),
        Some(_) if segment.starts_with("{*") => (3, 0),
        Some(_) => (2, 0),
    };
    (kind, Reverse(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Environment, Source, load};
    use crate::redact::Redaction;

    /// What is found for a GET of this path without headers, of routes as they are configured.
    fn found(routes: &str, path: &'static str) -> Option<String> {
        let source = Source::Text(routes.to_owned());
        let loaded = load(&source, &Environment::default()).expect("it is valid");
        let redaction = Arc::new(Redaction::nothing());
        let experiment = |route| Experiment::new(route, redaction.clone());
        let table = Table::new(loaded.settings.routes.iter().map(experiment));
        let found = table.find(&Method::GET, &Uri::from_static(path), &HeaderMap::new());
        found.map(|experiment: &Experiment| experiment.name.clone())
    }

    #[test]
    fn of_parameters_behind_text_all_have_their_turn() {
        let beta = "headers = { x-beta = \"1\" }";
        for (routes, path, expected) in [
            (["/a{x}", "/ab{x}"], "/abc", "/a{x}"),
            (["/ab{x}", "/a{x}"], "/abc", "/a{x}"),
            (["/a{*rest}", "/ab{x}/y"], "/abc/y", "/a{*rest}"),
            (["/{x}", "/a{x}"], "/abc", "/{x}"),
        ] {
            let route = |path: &str| {
                if path == expected {
                    format!("{{ path = \"{path}\" }}")
                } else {
                    format!("{{ path = \"{path}\", {beta} }}")
                }
            };
            let routes = format!("routes = [{}]", routes.map(route).join(", "));
            assert_eq!(found(&routes, path).as_deref(), Some(expected), "{routes}");
        }
    }

    #[test]
    fn text_goes_before_parameters_and_parameters_before_the_rest() {
        let mut paths = [
            "/{*rest}",
            "/user/{id}",
            "/{a}/me",
            "/user/{id}.json",
            "/user/{{x}}",
            "/user/me",
        ];
        paths.sort_by(|a, b| by_specificity(a, b));
        let expected = [
            "/user/{{x}}",
            "/user/me",
            "/user/{id}.json",
            "/user/{id}",
            "/{a}/me",
            "/{*rest}",
        ];
        assert_eq!(paths, expected);
    }
}
