//! `miffy health`: asks a running miffy, so that an image needs no other tool for its health check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};

use super::{block_on, print};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks at the address where the management port listens.
pub(super) fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let url = format!("http://{}/healthz", reachable(listen));
    block_on(async {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        let response = client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("{url} gave no answer"))?;
        if !response.status().is_success() {
            bail!("{url} answered {}", response.status());
        }
        print("healthy\n")
    })
}

/// An address to connect to for one that is listened on.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
