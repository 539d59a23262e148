//! `miffy demo`: the main job on one machine, with nothing else installed.
//!
//! Its configuration is `config.sample.toml` and the environment. Services and broker are started where
//! that says they are.
//!
//! # Layout
//!
//! - `broker`: librdkafka's mock cluster on a port of our choice
//! - `consumer`: reads what arrives in Kafka
//! - `services`: the reference and the candidate
//! - `terminal`: says what happens

mod broker;
mod consumer;
pub mod services;
mod terminal;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::time::timeout;

pub use broker::EmbeddedBroker;

use super::{block_on, signals, warn};
use crate::app::{App, Plugs};
use crate::config::{
    self, BaseUrl, Environment, Loaded, Problems, Settings, Source, literal_ip, split_port,
};
use crate::telemetry::init_logging;
use terminal::Terminal;

/// The demo's configuration, as long as the environment doesn't change it.
const SAMPLE: &str = include_str!("../../../config.sample.toml");

/// Requests that are sent to begin with.
const SAMPLE_TRAFFIC: [&str; 6] = ["/api/1", "/api/2", "/api/3", "/api/5", "/api/7", "/hello"];

/// How many of them differ.
const SAMPLE_DIFFERENCES: usize = 2;

/// How long to wait for their records before going on without.
const RECORDS_PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for the last line to be printed.
const PRINT_PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn load(environment: &Environment) -> Result<Loaded, Problems> {
    let mut loaded = config::load(&Source::Text(SAMPLE.to_owned()), environment)?;
    // The broker is a part of the demo, and has no outages; and nobody's spool is to be emptied into it.
    let of_delivery = loaded.settings.warnings_of_delivery();
    loaded
        .warnings
        .retain(|warning| !of_delivery.contains(&warning.as_str()));
    loaded.settings.spool = None;
    Ok(loaded)
}

pub(super) fn run(loaded: Loaded) -> anyhow::Result<()> {
    let _log = init_logging(loaded.settings.logging, "warn");
    warn(&loaded);
    block_on(demo(loaded.settings))
}

async fn demo(mut settings: Settings) -> anyhow::Result<()> {
    let stop = signals::stop()?;
    if !settings.kafka.enabled {
        bail!("the demo shows what arrives in Kafka; unset MIFFY_KAFKA_ENABLED");
    }
    // Nobody has to notice that it ends.
    settings.shutdown_delay = None;
    settings.listen.set_ip(Ipv4Addr::LOCALHOST.into());
    settings
        .management_listen
        .set_ip(Ipv4Addr::LOCALHOST.into());
    let reference = listener("MIFFY_REFERENCE", address(&settings.reference)?).await?;
    let route = settings.routes.first().context("the demo needs a route")?;
    let topic = route.topic.clone();
    let candidate = listener(
        "MIFFY_CANDIDATE",
        address(&route.candidates[0].backend.base)?,
    )
    .await?;
    let brokers = settings
        .kafka
        .properties
        .get("bootstrap.servers")
        .map_or("", String::as_str);
    let broker = listener("KAFKA_BOOTSTRAP_SERVERS", broker_address(brokers)?).await?;
    let broker = EmbeddedBroker::start(broker, &topic)?;
    let (terminal, printer) = Terminal::start();
    let plugs = Plugs {
        observer: Some(Arc::new(terminal.clone())),
        ..Plugs::default()
    };
    let app = App::bind(&settings, plugs)
        .context("MIFFY_PORT and MIFFY_MANAGEMENT_PORT choose other ports")?;
    let addresses = (app.address()?, app.management_address()?);
    terminal.introduce(&settings, addresses, &broker, &topic);
    let services = [
        tokio::spawn(services::serve(reference, services::reference())),
        tokio::spawn(services::serve(candidate, services::candidate())),
    ];
    let consumer = consumer::start(&broker.address().to_string(), &topic, &terminal)?;
    let guide = tokio::spawn(send_sample_traffic(
        addresses,
        topic,
        broker.address(),
        terminal.clone(),
    ));
    app.run(stop).await?;
    guide.abort();
    consumer.stop().await;
    for service in services {
        service.abort();
    }
    let farewell = tokio::task::spawn_blocking(move || {
        terminal.end();
        // A panic of the thread has been told by the panic hook.
        let _ended = printer.join();
    });
    // A terminal may stand still.
    let _printed = timeout(PRINT_PATIENCE, farewell).await;
    Ok(())
}

/// Sends the requests to begin with, one after the other, and says what to try next.
async fn send_sample_traffic(
    (proxy, management): (SocketAddr, SocketAddr),
    topic: String,
    broker: SocketAddr,
    terminal: Terminal,
) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    for path in SAMPLE_TRAFFIC {
        let response = client.get(format!("http://{proxy}{path}")).send().await?;
        let status = response.status();
        response.bytes().await?;
        terminal.answered(path, status);
    }
    // They are on their way; the guide is to come last.
    let _late = timeout(RECORDS_PATIENCE, terminal.records(SAMPLE_DIFFERENCES)).await;
    terminal.guide(proxy, management, broker, &topic);
    Ok(())
}

/// Where a service of the demo is to listen. It can only be on this machine.
fn address(base: &BaseUrl) -> anyhow::Result<SocketAddr> {
    if base.is_https() {
        bail!("the demo runs its own services, without TLS: {base} can't be one of them");
    }
    let authority = base.authority();
    loopback(authority.host(), authority.port_u16().unwrap_or(80))
}

/// Where the demo's broker is to listen: the first of `bootstrap.servers`.
fn broker_address(servers: &str) -> anyhow::Result<SocketAddr> {
    let server = servers.split(',').next().unwrap_or_default().trim();
    let (host, port) = split_port(server);
    // Without one, it is Kafka's own.
    loopback(host, port.unwrap_or("9092").parse()?)
}

fn loopback(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let ip = literal_ip(host).filter(IpAddr::is_loopback);
    let ip = ip.with_context(|| {
        format!(
            "the demo runs its own services on this machine: \"{host}\" is not on it; \
             unset MIFFY_REFERENCE, MIFFY_CANDIDATE and KAFKA_BOOTSTRAP_SERVERS"
        )
    })?;
    Ok(SocketAddr::new(ip, port))
}

async fn listener(variable: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("can't listen on {address}; {variable} chooses another place for this service")
    })
}
