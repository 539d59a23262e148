//! What is tested: which requests belong to an experiment, and who takes part in it.
//!
//! # Layout
//!
//! - `controls`: what can be changed while an experiment runs
//! - `table`: all experiments, by path

mod controls;
mod table;

use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Uri, request};

use crate::compare::Rules;
use crate::config::{Backend, Candidate, Methods, NoiseMethod, Respond, Route};
use crate::matching::{Conditions, Sample};
use crate::outcome::Skip;
use crate::redact::Redaction;
use crate::rewrite::{NoTarget, Rewrite};
pub use controls::Controls;
pub use table::Table;

/// The part that a backend plays for one request, told to it in `X-Shadow-Test-Role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its answer is the client's, and is compared.
    Reference,
    /// Its answer is compared, and nobody else sees it.
    Candidate,
    /// Its answer is compared with the reference's, as another one of the same code.
    Secondary,
    /// Its answer is the client's; there is no experiment.
    Upstream,
}

impl Role {
    /// The header's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Candidate => "candidate",
            Self::Secondary => "secondary",
            Self::Upstream => "upstream",
        }
    }
}

/// One experiment.
#[derive(Debug)]
pub struct Experiment {
    /// Its name in records and metrics.
    pub name: String,
    /// The path pattern, as axum's router takes it.
    pub path: String,
    /// Who answers.
    pub reference: Backend,
    /// Whose answer the client gets.
    pub respond: Respond,
    /// Who is tested; at least one.
    pub candidates: Vec<Arc<Candidate>>,
    /// Requests mirrored at a time, if that is limited for it alone.
    pub max_in_flight: Option<usize>,
    /// How answers are compared.
    pub rules: Rules,
    /// What of its exchanges does not leave the process.
    pub redaction: Arc<Redaction>,
    /// Whose second answer tells noise from differences.
    pub noise: NoiseMethod,
    /// The Kafka topic of its records.
    pub topic: Arc<str>,
    /// What can be changed while it runs.
    pub controls: Controls,
    conditions: Conditions,
    methods: Option<Vec<Method>>,
    sample: Sample,
    key: Option<String>,
    pattern: matchit::Router<()>,
}

impl Experiment {
    /// The experiment of a route.
    #[must_use]
    pub fn new(route: &Route, redaction: Arc<Redaction>) -> Self {
        let mut pattern = matchit::Router::new();
        pattern
            .insert(&route.path, ())
            .expect("the configuration checked the pattern");
        Self {
            name: route.name.clone(),
            path: route.path.clone(),
            reference: route.reference.clone(),
            respond: route.respond,
            candidates: route.candidates.iter().cloned().map(Arc::new).collect(),
            max_in_flight: route.max_in_flight,
            rules: route.rules.clone(),
            redaction,
            noise: route.noise.clone(),
            topic: route.topic.as_str().into(),
            controls: Controls::new(route.sample.rate),
            conditions: route.conditions.clone(),
            methods: match &route.methods {
                Some(Methods::Only(methods)) => Some(methods.clone()),
                Some(Methods::All) | None => None,
            },
            sample: route.sample.clone(),
            key: route.key.clone(),
            pattern,
        }
    }

    /// Whether a request on its path is of this experiment, whatever the method.
    #[must_use]
    pub fn is_about(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        self.conditions.are_met(uri, headers)
    }

    /// Whether it mirrors this method.
    #[must_use]
    pub fn mirrors(&self, method: &Method) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.contains(method))
    }

    /// Whether a request of this experiment is mirrored, as far as its head tells.
    pub fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Skip> {
        if !self.mirrors(method) {
            return Err(Skip::Method);
        }
        if asks_for_upgrade(headers) {
            return Err(Skip::Upgrade);
        }
        if self.controls.is_paused() {
            return Err(Skip::Paused);
        }
        let params = || self.params(uri.path());
        if !self.sample.takes(self.controls.rate(), headers, params) {
            return Err(Skip::SampledOut);
        }
        Ok(())
    }

    /// Takes over what was changed while the experiment before it, of the same name, ran: whether it is paused, and
    /// how many of the requests are mirrored, unless another sample is configured for it now.
    pub fn succeed(&self, before: &Self) {
        self.controls.pause(before.controls.is_paused());
        if self.sample == before.sample {
            self.controls.set_rate(before.controls.rate());
        }
    }

    /// Makes a request one for a backend with this rewrite.
    ///
    /// # Errors
    ///
    /// When there is no target that it could be sent with.
    pub fn rewrite(&self, rewrite: &Rewrite, head: &mut request::Parts) -> Result<(), NoTarget> {
        if rewrite.is_nothing() {
            return Ok(());
        }
        let uri = head.uri.clone();
        rewrite.apply(head, &self.params(uri.path()))
    }

    /// The path's parameters in their order, as they stand in the path (not decoded).
    #[must_use]
    pub fn params<'a>(&'a self, path: &'a str) -> Vec<(&'a str, &'a str)> {
        self.pattern
            .at(path)
            .map(|found| found.params.iter().collect())
            .unwrap_or_default()
    }

    /// The Kafka key of a record: the value of the parameter that `key` names, else `key` itself, else
    /// the path pattern.
    #[must_use]
    pub fn record_key<'a>(&'a self, params: &[(&str, &'a str)]) -> &'a str {
        let Some(key) = &self.key else {
            return &self.path;
        };
        params
            .iter()
            .find(|(name, _)| name == key)
            .map_or(key, |(_, value)| value)
    }
}

/// Whether a request asks for its connection to become another protocol's (RFC 9110 §7.8).
///
/// Some clients offer `h2c` with every request, which a server need not take up; it concerns the
/// connection alone, and RFC 9113 §3.1 has done away with it.
#[must_use]
pub fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let is_another = |value: &HeaderValue| value != "h2c";
    headers.get_all(UPGRADE).iter().any(is_another)
        && headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Redact, Source, load};
    use crate::matching::Rate;

    /// The experiment of a route, written as an inline table without its braces.
    fn experiment(route: &str) -> Experiment {
        let source = Source::Text(format!("routes = [{{ {route} }}]"));
        let loaded = load(&source, &Environment::default()).expect("it is valid");
        let redaction = Redaction::with_key(Redact::default(), b"a key");
        Experiment::new(&loaded.settings.routes[0], Arc::new(redaction))
    }

    #[test]
    fn the_key_is_a_parameter_or_itself_or_the_path() {
        let key = |experiment: &Experiment, path: &str| {
            experiment.record_key(&experiment.params(path)).to_owned()
        };
        assert_eq!(
            key(
                &experiment("path = \"/user/{id}\", key = \"id\""),
                "/user/7"
            ),
            "7"
        );
        assert_eq!(
            key(
                &experiment("path = \"/user/{id}\", key = \"users\""),
                "/user/7"
            ),
            "users"
        );
        assert_eq!(
            key(&experiment("path = \"/user/{id}\""), "/user/7"),
            "/user/{id}"
        );
        assert_eq!(
            key(
                &experiment("path = \"/f/{*rest}\", key = \"rest\""),
                "/f/a/b%20c"
            ),
            "a/b%20c"
        );
    }

    #[test]
    fn a_successor_takes_over_what_was_set_unless_another_sample_is_configured() {
        let rate = |part| Rate::new(part).expect("a rate");
        let before = experiment("path = \"/x\"");
        before.controls.pause(true);
        before.controls.set_rate(rate(0.25));
        let same = experiment("path = \"/x\", key = \"k\"");
        same.succeed(&before);
        assert!(same.controls.is_paused());
        assert_eq!(same.controls.rate(), rate(0.25));
        let mut other = experiment("path = \"/x\"");
        other.sample.rate = rate(0.5);
        other.controls.set_rate(rate(0.5));
        other.succeed(&before);
        assert!(other.controls.is_paused());
        assert_eq!(other.controls.rate(), rate(0.5));
    }

    #[test]
    fn methods_and_upgrades_are_told_from_the_head() {
        let experiment = experiment("path = \"/ws\", methods = [\"GET\"]");
        let uri = Uri::from_static("/ws");
        let admit = |method: Method, headers: &HeaderMap| experiment.admit(&method, &uri, headers);
        let mut headers = HeaderMap::new();
        assert_eq!(admit(Method::GET, &headers), Ok(()));
        assert_eq!(admit(Method::POST, &headers), Err(Skip::Method));
        headers.insert(UPGRADE, "websocket".parse().expect("a value"));
        assert_eq!(admit(Method::GET, &headers), Ok(()));
        headers.insert(CONNECTION, "keep-alive, Upgrade".parse().expect("a value"));
        assert_eq!(admit(Method::GET, &headers), Err(Skip::Upgrade));
        let other = HeaderValue::from_bytes(b"\xe9, upgrade").expect("a value");
        headers.insert(CONNECTION, other);
        assert_eq!(admit(Method::GET, &headers), Err(Skip::Upgrade));
        headers.insert(UPGRADE, "h2c".parse().expect("a value"));
        assert_eq!(admit(Method::GET, &headers), Ok(()));
    }
}
