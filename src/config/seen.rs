//! The routes so far, and what they leave to the next one.

use std::collections::HashMap;

use http::Method;

use super::reader::Section;
use super::route::Methods;
use crate::matching::Conditions;

/// Which requests a route takes.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Its key, such as `routes[0]`.
    pub(super) place: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) conditions: Conditions,
    pub(super) methods: Option<Methods>,
}

/// The routes so far.
#[derive(Default)]
pub(super) struct Seen {
    patterns: matchit::Router<()>,
    /// The valid paths, and where they first stood.
    paths: HashMap<String, String>,
    /// The names, and where they stood.
    names: HashMap<String, String>,
    heads: Vec<Head>,
}

impl Seen {
    /// Whether axum's router will take this pattern beside the others; notes the problem if not. One that stood
    /// there before is the same experiment's, or one that is told apart otherwise.
    pub(super) fn admits_path(&mut self, path: &str, section: &Section<'_>) -> bool {
        if self.paths.contains_key(path) {
            return true;
        }
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
                Ok(()) => {
                    self.paths
                        .insert(path.to_owned(), section.path().to_owned());
                    return true;
                }
                Err(matchit::InsertError::Conflict { with }) => {
                    format!("\"{path}\" conflicts with the route \"{with}\"")
                }
                Err(error) => format!("\"{path}\" is not a valid pattern: {error}"),
            }
        };
        section.problem("path", message);
        false
    }

    /// The name of a route on this path, which is the path if it says no other; `None` if another has it, which
    /// was noted.
    pub(super) fn name(
        &mut self,
        own: Option<String>,
        path: &str,
        section: &Section<'_>,
    ) -> Option<String> {
        if own.as_deref() == Some("") {
            section.problem("name", "is empty");
            return None;
        }
        let is_own = own.is_some();
        let name = own.unwrap_or_else(|| path.to_owned());
        let Some(first) = self.names.get(&name) else {
            self.names.insert(name.clone(), section.name("name"));
            return Some(name);
        };
        let message = match self.paths.get(path).filter(|_| !is_own) {
            Some(place) if place != section.path() => format!(
                "is needed: {place} has the same path, which is a route's name if it says no other"
            ),
            _ => format!("\"{name}\" is taken by {first}"),
        };
        section.problem("name", message);
        None
    }

    /// The same head, if there are requests that no route before it takes; else notes who does.
    pub(super) fn admits(&mut self, head: Head, section: &Section<'_>) -> Option<Head> {
        let takers = self.takers(&head);
        let names: Vec<String> = takers
            .iter()
            .map(|head| format!("{} (\"{}\")", head.place, head.name))
            .collect();
        self.heads.push(head.clone());
        let take = match names.len() {
            0 => return Some(head),
            1 => "takes",
            _ => "take",
        };
        section.problem_of_all(format!(
            "is never reached: {}, before it on the same path, {take} all of its requests",
            names.join(" and ")
        ));
        None
    }

    /// The routes that take all that this one would; none, if they leave something.
    fn takers(&self, head: &Head) -> Vec<&Head> {
        let before: Vec<&Head> = self
            .heads
            .iter()
            .filter(|other| other.path == head.path && head.conditions.imply(&other.conditions))
            .collect();
        if let Some(other) = before.iter().find(|other| named(other).is_none()) {
            return vec![other];
        }
        let Some(methods) = named(head) else {
            return Vec::new();
        };
        let mut takers: Vec<&Head> = Vec::new();
        for method in methods {
            let mirrors_it = |other: &&&Head| named(other).is_some_and(|it| it.contains(method));
            match before.iter().find(mirrors_it) {
                None => return Vec::new(),
                Some(other) if takers.iter().any(|it| it.place == other.place) => {}
                Some(other) => takers.push(other),
            }
        }
        takers
    }
}

/// The methods that a route mirrors, if it is not all.
fn named(head: &Head) -> Option<&[Method]> {
    match &head.methods {
        Some(Methods::Only(methods)) => Some(methods),
        Some(Methods::All) | None => None,
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

/// The names of a pattern's parameters, in their order; `{{` is a brace.
pub(super) fn parameters(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('{')?;
            if let Some(escaped) = after.strip_prefix('{') {
                rest = escaped;
                continue;
            }
            let (name, behind) = after.split_once('}')?;
            rest = behind;
            return Some(name.trim_start_matches('*'));
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_what_stands_in_single_braces() {
        for (path, expected) in [
            ("/a", &[][..]),
            ("/{id}/{*rest}", &["id", "rest"]),
            ("/{{id}}/{x}", &["x"]),
            ("/{{{id}}}", &["id"]),
            ("/{id", &[]),
        ] {
            assert_eq!(parameters(path).collect::<Vec<_>>(), expected, "{path}");
        }
    }
}
