//! The demo's services by themselves: the reference on port 3000, the candidate on port 3001, both with
//! the route `/api/{value}`. `config.sample.toml` is made for them.
//!
//! ```text
//! cargo run --example demo [ADDRESS]      the address to listen on; 127.0.0.1 when left out
//! ```

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use miffy::cli::demo::services;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = match std::env::args().nth(1) {
        Some(address) => address.parse().context("the address")?,
        None => IpAddr::from(Ipv4Addr::LOCALHOST),
    };
    let reference = listen(address, 3000).await?;
    let candidate = listen(address, 3001).await?;
    println!("the reference listens on {}", reference.local_addr()?);
    println!("the candidate listens on {}", candidate.local_addr()?);
    tokio::try_join!(
        services::serve(reference, services::reference()),
        services::serve(candidate, services::candidate()),
    )?;
    Ok(())
}

async fn listen(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((address, port)).await;
    listener.with_context(|| format!("can't listen on {address}:{port}"))
}
