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

const NOBODY_IS_CHECKED: &str = "makes no sense beside ca: nobody would be checked";

const NEVER_ENDS: &str = "can't be off: a candidate must not be waited for for ever";

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
        section.problem("exchange", NEVER_ENDS);
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
        section.problem("insecure", NOBODY_IS_CHECKED);
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
    pair(section, certificate?.0, key?.0)
}

/// An identity of both files, or none of neither; `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, left out and given are three things"
)]
fn pair(
    section: &Section<'_>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Option<Option<Identity>> {
    match (certificate, key) {
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

/// Reads what one backend says of itself, key by key over what holds for its side; `None` if a problem was noted.
pub(super) fn read_over(
    section: &mut Section<'_>,
    must_end: bool,
    side: Option<&Backends>,
) -> Option<Backends> {
    let timeouts = timeouts_over(section.section("timeouts"), must_end, side);
    let pool = pool_over(section.section("pool"), side);
    let protocol: Option<Option<Protocol>> = section.take_optional("protocol");
    let tls = tls_over(section.section("tls"), side);
    Some(Backends {
        timeouts: timeouts?,
        pool: pool?,
        protocol: protocol?.unwrap_or(side?.protocol),
        tls: tls?,
    })
}

fn timeouts_over(
    mut section: Section<'_>,
    must_end: bool,
    side: Option<&Backends>,
) -> Option<Timeouts> {
    let connect: Option<Option<_>> = section.take_optional("connect");
    let first_byte: Option<Option<Off<_>>> = section.take_optional("first_byte");
    let exchange: Option<Option<Off<_>>> = section.take_optional("exchange");
    if must_end && matches!(exchange, Some(Some(Off(None)))) {
        section.problem("exchange", NEVER_ENDS);
    }
    section.finish();
    let side = side?.timeouts;
    Some(Timeouts {
        connect: connect?.unwrap_or(side.connect),
        first_byte: first_byte?.map_or(side.first_byte, |own| own.0),
        exchange: exchange?.map_or(side.exchange, |own| own.0),
    })
}

fn pool_over(mut section: Section<'_>, side: Option<&Backends>) -> Option<Pool> {
    let max_idle: Option<Option<_>> = section.take_optional("max_idle");
    let idle_timeout: Option<Option<_>> = section.take_optional("idle_timeout");
    section.finish();
    let side = side?.pool;
    Some(Pool {
        max_idle: max_idle?.unwrap_or(side.max_idle),
        idle_timeout: idle_timeout?.unwrap_or(side.idle_timeout),
    })
}

fn tls_over(mut section: Section<'_>, side: Option<&Backends>) -> Option<ClientTls> {
    type File = Option<Off<PathBuf>>;
    let authorities: Option<File> = section.take_optional("ca");
    let certificate: Option<File> = section.take_optional("certificate");
    let key: Option<File> = section.take_optional("key");
    let insecure: Option<Option<bool>> = section.take_optional("insecure");
    let side = &side?.tls;
    let trust = match (insecure?, authorities?) {
        (Some(true), Some(Off(Some(_)))) => {
            section.problem("insecure", NOBODY_IS_CHECKED);
            None
        }
        (Some(true), _) => Some(Trust::Anybody),
        (_, Some(Off(Some(file)))) => Some(Trust::File(file)),
        (_, Some(Off(None))) => Some(Trust::Platform),
        (Some(false), None) if side.trust == Trust::Anybody => Some(Trust::Platform),
        (_, None) => Some(side.trust.clone()),
    };
    let identity = side.identity.as_ref();
    let of_side = |file: fn(&Identity) -> &PathBuf| identity.map(file).cloned();
    let certificate = certificate?.map_or_else(|| of_side(|it| &it.certificate), |own| own.0);
    let key = key?.map_or_else(|| of_side(|it| &it.key), |own| own.0);
    let identity = pair(&section, certificate, key);
    let tls = ClientTls {
        trust: trust?,
        identity: identity?,
    };
    if tls != *side
        && (tls.trust != Trust::Platform || tls.identity.is_some())
        && let Err(error) = tls.config()
    {
        section.problem_of_all(error.to_string());
    }
    section.finish();
    Some(tls)
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
