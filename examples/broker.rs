//! The demo's broker by itself, on port 9092 unless another address is given: librdkafka's mock cluster, which speaks the
//! real protocol and keeps the latest 5 MiB of records in memory.
//!
//! ```text
//! cargo run --example broker [TOPIC [ADDRESS]]      a topic to begin with; "miffy" when left out
//! ```

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use anyhow::Context;
use miffy::cli::demo::EmbeddedBroker;
use tokio::net::TcpListener;

const ADDRESS: &str = "127.0.0.1:9092";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let topic = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "miffy".to_owned());
    let address = std::env::args().nth(2);
    let address = address.as_deref().unwrap_or(ADDRESS);
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("can't listen on {address}"))?;
    let broker = EmbeddedBroker::start(listener, &topic)?;
    println!("the broker listens on {}", broker.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
