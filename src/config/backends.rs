//! How backends are asked, each side for itself: `timeouts`, `pool`, `protocol` and `tls.<side>`.

use std::path::PathBuf;
use std::time::Duration;

use config::Value;

use super::reader::{FromValue, Off, Section};
use crate::tls::{ClientTls, Identity, Trust};

/// How one side's backends are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backends {
    /// How long they may take.
    pub timeouts: Timeouts,
    /// Which connections are kept for later.
    pub pool: Pool,
    /// The HTTP that they are asked in.
    pub protocol: Protocol,
    /// How those with an https URL are reached.
    pub tls: ClientTls,
}

/// How long a backend may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request's start to the response's head; `None` for no limit.
    pub first_byte: Option<Duration>,
    /// From the request's start to the response's last byte; `None` for no limit.
    pub exchange: Option<Duration>,
}

/// Which connections are kept for later requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// How many, to each backend.
    pub max_idle: usize,
    /// How long without a request.
    pub idle_timeout: Duration,
}

/// The HTTP that backends are asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1; over TLS HTTP/2, if the backend agrees to it (ALPN, RFC 7301).
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge where there is no TLS (RFC 9113 §3.3).
    Http2,
}

const CANDIDATE: &str = "candidate";

/// Both sides, the reference's first; of each `None` if a problem was noted.
pub(super) fn read(root: &mut Section<'_>, tls: &mut Section<'_>) -> [Option<Backends>; 2] {
    let mut timeouts = root.section("timeouts");
    let mut pools = root.section("pool");
    let mut protocols = root.section("protocol");
    let backends = ["reference", CANDIDATE].map(|side| {
        let timeouts = self::timeouts(timeouts.section(side), side == CANDIDATE);
        let pool = pool(pools.section(side));
        let protocol = protocols.take(side);
        let tls = client_tls(tls.section(side));
        Some(Backends {
            timeouts: timeouts?,
            pool: pool?,
            protocol: protocol?,
            tls: tls?,
        })
    });
    timeouts.finish();
    pools.finish();
    protocols.finish();
    backends
}

fn timeouts(mut section: Section<'_>, must_end: bool) -> Option<Timeouts> {
    let connect = section.take("connect");
    let first_byte: Option<Off<_>> = section.take("first_byte");
    let exchange: Option<Off<_>> = section.take("exchange");
    if must_end && matches!(exchange, Some(Off(None))) {
        section.problem(
            "exchange",
            "can't be off: a candidate must not be waited for for ever",
        );
    }
    section.finish();
    Some(Timeouts {
        connect: connect?,
        first_byte: first_byte?.0,
        exchange: exchange?.0,
    })
}

fn pool(mut section: Section<'_>) -> Option<Pool> {
    let max_idle = section.take("max_idle");
    let idle_timeout = section.take("idle_timeout");
    section.finish();
    Some(Pool {
        max_idle: max_idle?,
        idle_timeout: idle_timeout?,
    })
}

fn client_tls(mut section: Section<'_>) -> Option<ClientTls> {
    let authorities: Option<Off<PathBuf>> = section.take("ca");
    let identity = identity(&mut section);
    let insecure: Option<bool> = section.take("insecure");
    if insecure == Some(true) && authorities.as_ref().is_some_and(|ca| ca.0.is_some()) {
        section.problem(
            "insecure",
            "makes no sense beside ca: nobody would be checked",
        );
    }
    let trust = match (insecure?, authorities?.0) {
        (true, _) => Trust::Anybody,
        (false, Some(file)) => Trust::File(file),
        (false, None) => Trust::Platform,
    };
    let tls = ClientTls {
        trust,
        identity: identity?,
    };
    // The platform's certificates are asked for only where they are needed.
    if (tls.trust != Trust::Platform || tls.identity.is_some())
        && let Err(error) = tls.config()
    {
        section.problem_of_all(error.to_string());
    }
    section.finish();
    Some(tls)
}

/// A certificate and its key, or neither; `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, left out and given are three things"
)]
pub(super) fn identity(section: &mut Section<'_>) -> Option<Option<Identity>> {
    let certificate: Option<Off<PathBuf>> = section.take("certificate");
    let key: Option<Off<PathBuf>> = section.take("key");
    match (certificate?.0, key?.0) {
        (Some(certificate), Some(key)) => Some(Some(Identity { certificate, key })),
        (None, None) => Some(None),
        (Some(_), None) => {
            section.problem("key", "is off, and the certificate needs its key");
            None
        }
        (None, Some(_)) => {
            section.problem("certificate", "is off, and the key needs its certificate");
            None
        }
    }
}

impl FromValue for Protocol {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "http1" => Ok(Self::Http1),
            "http2" => Ok(Self::Http2),
            _ => Err(format!(
                "\"{text}\" is not \"auto\", \"http1\" or \"http2\""
            )),
        }
    }
}
