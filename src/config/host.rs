//! A host and its port, as they stand in URLs and in lists of brokers.

use std::net::{IpAddr, Ipv4Addr};

/// `host:port` in its parts; a port may be missing. Colons within brackets belong to the host.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The address that a host is, perhaps in brackets, without looking it up; `localhost` is one.
pub(crate) fn literal_ip(host: &str) -> Option<IpAddr> {
    match host.trim_matches(['[', ']']) {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().ok(),
    }
}
