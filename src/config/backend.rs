//! One backend of a route: where it is, what it is sent, how it is asked.

use std::net::SocketAddr;

use config::{Value, ValueKind};

use super::reader::{FromValue, Section, origin};
use super::{Backends, BaseUrl, Environment, backends, rewrite};
use crate::rewrite::Rewrite;

/// The name of a route's only candidate, if it says no other.
pub(super) const CANDIDATE: &str = "candidate";

/// Bytes of a candidate's name, which is a label of metrics.
const MAX_NAME: usize = 64;

/// A backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub base: BaseUrl,
    /// What it is sent instead of what the client sent.
    pub rewrite: Rewrite,
    /// How it is asked.
    pub asked: Backends,
}

/// A backend under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in records and metrics, unlike any other's of its route.
    pub name: String,
    /// The backend.
    pub backend: Backend,
    /// Whether its answers are compared; else they are read to their end and forgotten.
    pub compare: bool,
    /// Requests to it at a time; `None` for as many as all may have together.
    pub max_in_flight: Option<usize>,
}

/// Whose answer the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Respond {
    /// The reference's, always.
    #[default]
    Reference,
    /// Of all backends the first one that succeeds.
    Fastest,
}

/// What holds for the backends of one side that don't say otherwise; `None` where a problem was noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'d> {
    pub(super) base: Option<&'d BaseUrl>,
    pub(super) asked: Option<&'d Backends>,
    /// Whether an exchange with it has to end at some time.
    pub(super) must_end: bool,
}

/// What backends of a route are read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'d> {
    /// The names of the parameters of the route's path.
    pub(super) params: &'d [&'d str],
    pub(super) environment: &'d Environment,
    /// Where miffy itself listens.
    pub(super) listen: Option<SocketAddr>,
}

/// Reads a route's `reference`; `None` if a problem was noted.
pub(super) fn reference(
    section: &mut Section<'_>,
    side: Side<'_>,
    around: Surroundings<'_>,
) -> Option<Backend> {
    let value = section.take_value("reference");
    let read = backend(section, "reference", value, side, around, |_| Some(()));
    read.map(|(backend, _)| backend)
}

/// Reads a route's `candidate` or `candidates`; `None` if a problem was noted.
pub(super) fn candidates(
    section: &mut Section<'_>,
    side: Side<'_>,
    around: Surroundings<'_>,
) -> Option<Vec<Candidate>> {
    const SEVERAL: &str = "candidates";
    let one = section.take_value(CANDIDATE);
    let Some(several) = section.take_value(SEVERAL) else {
        return candidate(section, CANDIDATE, one, side, around).map(|one| vec![one]);
    };
    if one.is_some() {
        let message = "can't stand beside candidate: give that one a name among these";
        section.problem(SEVERAL, message);
    }
    if matches!(&several.kind, ValueKind::Table(table) if table.is_empty()) {
        section.problem(SEVERAL, "is empty, so nobody would be tested");
    }
    let mut group = section.child(SEVERAL, several);
    let named = group.take_rest().into_iter().map(|(name, value)| {
        let objection = objection_to(&name);
        if let Some(message) = objection {
            group.problem(&name, message);
        }
        let candidate = candidate(&group, &name, Some(value), side, around);
        candidate.filter(|_| objection.is_none())
    });
    // Every one that is wrong is to be noted.
    let named: Vec<Option<Candidate>> = named.collect();
    let candidates: Option<Vec<Candidate>> = named.into_iter().collect();
    candidates.filter(|candidates| one.is_none() && !candidates.is_empty())
}

/// What is wrong with a candidate's name.
fn objection_to(name: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_plain) {
        return Some("is no candidate's name: 1 to 64 letters, digits, \".\", \"_\" or \"-\"");
    }
    (name == "reference").then_some("is the name of the reference")
}

fn candidate(
    section: &Section<'_>,
    name: &str,
    value: Option<Value>,
    side: Side<'_>,
    around: Surroundings<'_>,
) -> Option<Candidate> {
    let more = |own: &mut Section<'_>| {
        let compare: Option<Option<bool>> = own.take_optional("compare");
        let max_in_flight: Option<Option<usize>> = own.take_optional("max_in_flight");
        Some((compare?, max_in_flight?))
    };
    let (backend, more) = backend(section, name, value, side, around, more)?;
    let (compare, max_in_flight) = more.unwrap_or_default();
    Some(Candidate {
        name: name.to_owned(),
        backend,
        compare: compare.unwrap_or(true),
        max_in_flight,
    })
}

/// Reads a URL, or a table with one and more keys, which `more` reads. What it does not say, its side does.
fn backend<M>(
    section: &Section<'_>,
    key: &str,
    value: Option<Value>,
    side: Side<'_>,
    around: Surroundings<'_>,
    more: impl FnOnce(&mut Section<'_>) -> Option<M>,
) -> Option<(Backend, Option<M>)> {
    let Some(value) = value else {
        let backend = Backend {
            base: side.base?.clone(),
            rewrite: Rewrite::default(),
            asked: side.asked?.clone(),
        };
        return Some((backend, None));
    };
    if !matches!(value.kind, ValueKind::Table(_)) {
        let base = base(section, key, value, around);
        let backend = Backend {
            base: base?,
            rewrite: Rewrite::default(),
            asked: side.asked?.clone(),
        };
        return Some((backend, None));
    }
    let mut own = section.child(key, value);
    let base = match own.take_value("url") {
        Some(url) => base(&own, "url", url, around),
        None => side.base.cloned(),
    };
    let rewrite = rewrite::read(&mut own, around.params, around.environment);
    let asked = backends::read_over(&mut own, side.must_end, side.asked);
    let more = more(&mut own);
    own.finish();
    let backend = Backend {
        base: base?,
        rewrite: rewrite?,
        asked: asked?,
    };
    Some((backend, Some(more?)))
}

/// Where a backend is; `None` if a problem was noted. It must not be miffy itself.
fn base(
    section: &Section<'_>,
    key: &str,
    value: Value,
    around: Surroundings<'_>,
) -> Option<BaseUrl> {
    let place = origin(&value);
    let noted = |message| section.problem(key, format!("{message}{place}"));
    let base = BaseUrl::from_value(value).map_err(noted).ok()?;
    if around.listen.is_some_and(|listen| base.leads_to(listen)) {
        section.problem(key, format!("{base} is where miffy itself listens"));
    }
    Some(base)
}

impl FromValue for Respond {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        match text.as_str() {
            "reference" => Ok(Self::Reference),
            "fastest" => Ok(Self::Fastest),
            _ => Err(format!("\"{text}\" is not \"reference\" or \"fastest\"")),
        }
    }
}
