//! What clients may do: `clients`, and the certificate that they are shown, `tls`.

use std::time::Duration;

use super::backends::identity;
use super::reader::{Off, Section, bytes};
use crate::tls::Identity;

/// The bounds of clients' connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients {
    /// Connections at a time; `None` for no limit but the system's.
    pub max_connections: Option<usize>,
    /// How long a request's head may take, TLS's handshake included.
    pub head_timeout: Duration,
    /// How long a connection may be without a request; `None` for no limit.
    pub idle_timeout: Option<Duration>,
    /// Headers of one request.
    pub max_headers: usize,
    /// Bytes of a request's head.
    pub max_head: usize,
    /// Bytes of a request's target.
    pub max_target: usize,
}

/// The smallest bound of a head that hyper takes.
const MIN_HEAD: usize = 8 * 1024;

/// The largest number of headers that fit into one message here.
const MAX_HEADERS: usize = 20_000;

/// Reads the bounds; `None` if a problem was noted.
pub(super) fn read(mut section: Section<'_>) -> Option<Clients> {
    let max_connections: Option<Off<_>> = section.take("max_connections");
    let head_timeout = section.take("head_timeout");
    let idle_timeout: Option<Off<_>> = section.take("idle_timeout");
    let max_headers = section.take("max_headers").filter(|max_headers| {
        if *max_headers > MAX_HEADERS {
            section.problem("max_headers", format!("must be {MAX_HEADERS} or less"));
        }
        *max_headers <= MAX_HEADERS
    });
    let max_head = section.take("max_head").map(bytes);
    let max_head = max_head.filter(|max_head| {
        if *max_head < MIN_HEAD {
            section.problem("max_head", "must be 8KiB or more");
        }
        *max_head >= MIN_HEAD
    });
    let max_target = section.take("max_target").map(bytes);
    section.finish();
    Some(Clients {
        max_connections: max_connections?.0,
        head_timeout: head_timeout?,
        idle_timeout: idle_timeout?.0,
        max_headers: max_headers?,
        max_head: max_head?,
        max_target: max_target?,
    })
}

/// The certificate that clients are shown; `Some(None)` where they connect without TLS.
#[expect(
    clippy::option_option,
    reason = "wrong, left out and given are three things"
)]
pub(super) fn certificate(section: &mut Section<'_>) -> Option<Option<Identity>> {
    let identity = identity(section)?;
    if let Some(identity) = &identity
        && let Err(error) = identity.load()
    {
        section.problem("certificate", error.to_string());
    }
    Some(identity)
}
