//! librdkafka's mock cluster as a broker for everybody on this machine.
//!
//! It speaks the real protocol, so that kcat and any client can talk to it. It listens on a free port of
//! its own choice; a forwarder on the port of ours, which is the one it tells clients to use, makes that
//! stable.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::librdkafka;

/// A broker in this process. It keeps records in memory, the latest 5 MiB of each partition.
pub struct EmbeddedBroker {
    address: SocketAddr,
    forwarder: JoinHandle<()>,
    /// The mock cluster is a part of this client.
    _cluster: BaseProducer,
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedBroker")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl EmbeddedBroker {
    /// Starts a broker that is reached through `listener`, with a topic of one partition. Must be called
    /// within a runtime.
    pub fn start(listener: TcpListener, topic: &str) -> anyhow::Result<Self> {
        let cluster: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .create()
            .context("the embedded broker can't be started")?;
        let address = listener.local_addr()?;
        let advertised =
            librdkafka::advertise(cluster.client(), &address.ip().to_string(), address.port());
        let Some(mock) = cluster.client().mock_cluster().filter(|_| advertised) else {
            bail!("librdkafka has no mock cluster");
        };
        mock.create_topic(topic, 1, 1)
            .with_context(|| format!("the embedded broker can't create the topic {topic}"))?;
        let own_address = mock.bootstrap_servers();
        drop(mock);
        Ok(Self {
            address,
            forwarder: tokio::spawn(forward(listener, own_address)),
            _cluster: cluster,
        })
    }

    /// Where clients reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

/// Joins every connection to a new one to `target`.
async fn forward(listener: TcpListener, target: String) {
    while let Ok((mut client, _)) = listener.accept().await {
        let target = target.clone();
        tokio::spawn(async move {
            if let Ok(mut broker) = TcpStream::connect(target).await {
                // Either side may break off whenever it likes.
                let _ended = copy_bidirectional(&mut client, &mut broker).await;
            }
        });
    }
}
