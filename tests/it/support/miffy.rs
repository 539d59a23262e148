//! miffy in this process.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;

use miffy::app::{App, Plugs};
use miffy::config::{Environment, Settings, Source, load_for_hooks};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::backend::Backend;
use super::broker::Broker;
use super::{http_client, metrics, until, within};

/// Both paths on which a request can go to the reference: inside an experiment, and outside.
pub(crate) const BOTH_PATHS: [&str; 2] = ["/x/in", "/outside"];

/// A running miffy on free ports.
pub(crate) struct Miffy {
    pub(crate) address: SocketAddr,
    pub(crate) management: SocketAddr,
    pub(crate) client: reqwest::Client,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

/// What a test's configuration usually says.
pub(crate) struct Setup {
    reference: String,
    candidate: String,
    kafka: String,
    more: String,
    routes: String,
    tables: String,
}

impl Setup {
    /// An experiment on `/x/{*rest}` between two backends, given as such or by their URLs.
    pub(crate) fn of(reference: impl Display, candidate: impl Display, broker: &Broker) -> Self {
        Self {
            reference: reference.to_string(),
            candidate: candidate.to_string(),
            kafka: broker.config(),
            more: String::new(),
            routes: r#"{ path = "/x/{*rest}", name = "x" }"#.to_owned(),
            tables: String::new(),
        }
    }

    /// With more keys at the top level.
    pub(crate) fn more(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.more);
        self
    }

    /// With other items of `routes`.
    pub(crate) fn routes(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.routes);
        self
    }

    /// With more keys of `[kafka]`, and tables after it.
    pub(crate) fn tables(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.tables);
        self
    }

    pub(crate) fn start(self) -> Miffy {
        self.start_with(Plugs::default())
    }

    pub(crate) fn start_with(self, plugs: Plugs) -> Miffy {
        Miffy::start(&self.toml(), &Environment::default(), plugs)
    }

    pub(crate) fn toml(&self) -> String {
        format!(
            "reference = \"{}\"\ncandidate = \"{}\"\n{}\nroutes = [{}]\n{}\n{}",
            self.reference, self.candidate, self.more, self.routes, self.kafka, self.tables
        )
    }
}

/// miffy between two backends, with an experiment on `/x/{*rest}`.
pub(crate) fn between(reference: &Backend, candidate: &Backend, broker: &Broker) -> Miffy {
    Setup::of(reference, candidate, broker).start()
}

impl Miffy {
    /// Starts with this configuration, on free ports of the loopback interface.
    pub(crate) fn start(config: &str, environment: &Environment, plugs: Plugs) -> Self {
        let loaded = load_for_hooks(&Source::Text(config.to_owned()), environment);
        let settings = loaded
            .unwrap_or_else(|problems| panic!("{problems}"))
            .settings;
        Self::start_as(settings, plugs)
    }

    /// Starts so, on free ports of the loopback interface.
    pub(crate) fn start_as(mut settings: Settings, plugs: Plugs) -> Self {
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.management_listen = settings.listen;
        settings.shutdown_delay = None;
        let app = App::bind(&settings, plugs).unwrap();
        let address = app.address().unwrap();
        let management = app.management_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            let _dropped_or_sent = stopped.await;
        }));
        Self {
            address,
            management,
            client: http_client(),
            stop,
            running,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        within("a response", self.client.get(self.url(path)).send())
            .await
            .unwrap()
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        within(
            "a response",
            self.client.post(self.url(path)).body(body).send(),
        )
        .await
        .unwrap()
    }

    /// A connection to the proxy, for what no HTTP client would send.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection to the proxy on which this was sent.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream
    }

    /// An answer of the management port: its status and text.
    pub(crate) async fn manage(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.management);
        within("what the management port says", async {
            let response = self.client.get(url).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
        .await
    }

    /// A metric's samples by their labels, as in `role="reference"`; those that are whole numbers.
    pub(crate) async fn metric(&self, name: &str) -> BTreeMap<String, u64> {
        let (_, text) = self.manage("/metrics").await;
        metrics::samples(&text, name)
    }

    /// Waits until `total` matched requests have ended, and tells how, as in `skipped.in_flight`.
    pub(crate) async fn outcomes(&self, total: u64) -> BTreeMap<String, u64> {
        until("the outcomes", || async {
            let outcomes = self.outcomes_so_far().await;
            (outcomes.values().sum::<u64>() >= total).then_some(outcomes)
        })
        .await
    }

    pub(crate) async fn outcomes_so_far(&self) -> BTreeMap<String, u64> {
        let (_, text) = self.manage("/metrics").await;
        metrics::outcomes(&text)
    }

    /// Begins to stop, as on SIGTERM.
    pub(crate) fn tell_to_stop(self) -> JoinHandle<anyhow::Result<()>> {
        let _running = self.stop.send(());
        self.running
    }

    /// Stops, and waits until everything has been delivered.
    pub(crate) async fn stop(self) {
        within("the end", self.tell_to_stop())
            .await
            .unwrap()
            .unwrap();
    }
}

/// The outcomes of [`Miffy::outcomes`], to compare with.
pub(crate) fn outcomes<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected
        .map(|(name, number)| (name.to_owned(), number))
        .into()
}
