//! What is tested: which requests belong to an experiment, and who takes part in it.

use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};

use crate::compare::Rules;
use crate::config::{BaseUrl, Methods, NoiseMethod, Route};
use crate::outcome::Skip;
use crate::redact::Redaction;

/// The name of a route's only candidate.
const CANDIDATE: &str = "candidate";

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

/// A backend under test.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name in records.
    pub name: String,
    /// Where it is.
    pub base: BaseUrl,
}

/// One experiment.
#[derive(Debug)]
pub struct Experiment {
    /// Its place in the configuration, from 0.
    pub index: usize,
    /// Its name in records and metrics.
    pub name: String,
    /// The path pattern, as axum's router takes it.
    pub path: String,
    /// Who answers.
    pub reference: BaseUrl,
    /// Who is tested.
    pub candidate: Candidate,
    /// Exchanges mirrored at a time, if that is limited for it alone.
    pub max_in_flight: Option<usize>,
    /// How answers are compared.
    pub rules: Rules,
    /// What of its exchanges does not leave the process.
    pub redaction: Arc<Redaction>,
    /// Whose second answer tells noise from differences.
    pub noise: NoiseMethod,
    /// The Kafka topic of its records.
    pub topic: Arc<str>,
    methods: Option<Vec<Method>>,
    key: Option<String>,
    pattern: matchit::Router<()>,
}

impl Experiment {
    /// The experiment of a route, the `index`th of the configuration.
    #[must_use]
    pub fn new(index: usize, route: &Route, redaction: Arc<Redaction>) -> Self {
        let mut pattern = matchit::Router::new();
        pattern
            .insert(&route.path, ())
            .expect("a configured route has a valid pattern");
        Self {
            index,
            name: route.name.clone(),
            path: route.path.clone(),
            reference: route.reference.clone(),
            candidate: Candidate {
                name: CANDIDATE.to_owned(),
                base: route.candidate.clone(),
            },
            max_in_flight: route.max_in_flight,
            rules: route.rules.clone(),
            redaction,
            noise: route.noise.clone(),
            topic: route.topic.as_str().into(),
            methods: match &route.methods {
                Some(Methods::Only(methods)) => Some(methods.clone()),
                Some(Methods::All) | None => None,
            },
            key: route.key.clone(),
            pattern,
        }
    }

    /// Whether a request on this path is mirrored, as far as its head tells.
    pub fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Skip> {
        let mirrored = |methods: &Vec<Method>| methods.contains(method);
        if !self.methods.as_ref().is_none_or(mirrored) {
            return Err(Skip::Method);
        }
        if asks_for_upgrade(headers) {
            return Err(Skip::Upgrade);
        }
        Ok(())
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
    use crate::config::Redact;

    fn experiment(path: &str, key: Option<&str>) -> Experiment {
        let base: BaseUrl = "http://localhost".parse().expect("a base URL");
        Experiment::new(
            0,
            &Route {
                name: path.to_owned(),
                path: path.to_owned(),
                methods: Some(Methods::Only(vec![Method::GET])),
                key: key.map(str::to_owned),
                topic: "miffy".to_owned(),
                reference: base.clone(),
                candidate: base,
                max_in_flight: None,
                rules: Rules::default(),
                noise: NoiseMethod::Off,
            },
            Arc::new(Redaction::with_key(Redact::default(), b"a key")),
        )
    }

    #[test]
    fn the_key_is_a_parameter_or_itself_or_the_path() {
        let key = |experiment: &Experiment, path: &str| {
            experiment.record_key(&experiment.params(path)).to_owned()
        };
        assert_eq!(key(&experiment("/user/{id}", Some("id")), "/user/7"), "7");
        assert_eq!(
            key(&experiment("/user/{id}", Some("users")), "/user/7"),
            "users"
        );
        assert_eq!(
            key(&experiment("/user/{id}", None), "/user/7"),
            "/user/{id}"
        );
        assert_eq!(
            key(&experiment("/f/{*rest}", Some("rest")), "/f/a/b%20c"),
            "a/b%20c"
        );
    }

    #[test]
    fn methods_and_upgrades_are_told_from_the_head() {
        let experiment = experiment("/ws", None);
        let mut headers = HeaderMap::new();
        assert_eq!(experiment.admit(&Method::GET, &headers), Ok(()));
        assert_eq!(experiment.admit(&Method::POST, &headers), Err(Skip::Method));
        headers.insert(UPGRADE, "websocket".parse().expect("a value"));
        assert_eq!(experiment.admit(&Method::GET, &headers), Ok(()));
        headers.insert(CONNECTION, "keep-alive, Upgrade".parse().expect("a value"));
        assert_eq!(experiment.admit(&Method::GET, &headers), Err(Skip::Upgrade));
        let other = HeaderValue::from_bytes(b"\xe9, upgrade").expect("a value");
        headers.insert(CONNECTION, other);
        assert_eq!(experiment.admit(&Method::GET, &headers), Err(Skip::Upgrade));
        headers.insert(UPGRADE, "h2c".parse().expect("a value"));
        assert_eq!(experiment.admit(&Method::GET, &headers), Ok(()));
    }
}
