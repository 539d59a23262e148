//! What is wrong with a configuration, told all at once.

use std::fmt;

/// One error: the key it is about and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key as the user would write it, such as `routes[2].path`, or an environment variable.
    pub key: String,
    /// What is wrong and, where that is known, what would be right.
    pub message: String,
}

/// Every error of a configuration; never empty when it is an error.
#[derive(Debug, Default, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem {
            key: key.into(),
            message: message.into(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The errors in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration has an error")?,
            n => write!(f, "the configuration has {n} errors")?,
        }
        for Problem { key, message } in &self.0 {
            write!(f, "\n  {key}: {message}")?;
        }
        Ok(())
    }
}

/// The key of the table at `path`, which is empty for the top level, as the user would write it.
pub(super) fn key_at(path: &str, key: &str) -> String {
    let key = if key.contains('.') {
        format!("\"{key}\"")
    } else {
        key.to_owned()
    };
    match path {
        "" => key,
        path => format!("{path}.{key}"),
    }
}

/// "; did you mean `x`?" for the name among `known` that is nearest to `name`, `prefix` before it; or
/// nothing.
pub(super) fn did_you_mean<'a>(
    prefix: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    // Below this similarity (0 to 1) a suggestion misleads more than it helps.
    const NEAR: f64 = 0.8;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map_or_else(String::new, |(_, nearest)| {
            format!("; did you mean `{prefix}{nearest}`?")
        })
}
