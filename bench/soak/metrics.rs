//! What the management port says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;

/// How long a scrape may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests by their outcome and its reason.
pub(crate) type Outcomes = BTreeMap<String, u64>;

/// One scrape.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn scrape(management: SocketAddr) -> anyhow::Result<Self> {
        let text = get(management, "/metrics").context("no metrics")?;
        Ok(Self(text))
    }

    /// The sum of a metric's values, whatever its labels are.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.values(name).map(|(_, value)| value).sum()
    }

    pub(crate) fn outcomes(&self) -> Outcomes {
        self.by("miffy_outcomes_total", &["outcome", "reason"])
    }

    /// The sums of a metric's values by what these labels say, as in `skipped.in_flight`.
    pub(crate) fn by(&self, metric: &str, names: &[&str]) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (labels, value) in self.values(metric) {
            let label = |name: &&str| {
                let (_, rest) = labels.split_once(&format!("{name}=\""))?;
                rest.split('"').next().filter(|value| !value.is_empty())
            };
            let words: Vec<&str> = names.iter().filter_map(label).collect();
            *sums.entry(words.join(".")).or_default() += value;
        }
        sums
    }

    /// A metric's labels, as they are written, and values.
    fn values<'m>(&'m self, name: &'m str) -> impl Iterator<Item = (&'m str, u64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            let (labels, value) = rest.rsplit_once(' ')?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "everything that is read here is a count"
            )]
            let value = value.parse::<f64>().ok()? as u64;
            Some((labels, value))
        })
    }
}

/// The body of a `GET`, if its status is 200.
pub(crate) fn get(management: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&management, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(body.to_owned())
}
