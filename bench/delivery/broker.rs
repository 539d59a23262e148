//! A real Kafka, by `scripts/kafka.sh`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

/// Every instance that was started, so that none outlives this process.
static STARTED: Mutex<Vec<(PathBuf, u16)>> = Mutex::new(Vec::new());

/// Partitions of a topic.
const PARTITIONS: i32 = 4;

/// Ends every instance that was started.
pub(crate) fn end_all() {
    let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    for (home, port) in started.iter() {
        // There is nobody left to be told that it failed.
        let _ended = script(home, *port).arg("stop").output();
    }
}

fn script(home: &PathBuf, port: u16) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"));
    command
        .env("KAFKA_TEST_HOME", home)
        .env("KAFKA_TEST_PORT", port.to_string());
    command
}

/// What `scripts/kafka.sh` can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Secure,
    Cluster,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Secure, Self::Cluster];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Secure => "secure",
            Self::Cluster => "cluster",
        }
    }
}

/// A broker that is started when it is first needed.
#[derive(Debug)]
pub(crate) struct Brokers {
    kind: Kind,
    port: u16,
    running: Option<Broker>,
}

impl Brokers {
    pub(crate) fn new(kind: Kind, port: u16) -> Self {
        Self {
            kind,
            port,
            running: None,
        }
    }

    pub(crate) fn get(&mut self) -> anyhow::Result<&Broker> {
        let broker = match self.running.take() {
            Some(broker) => broker,
            None => Broker::start(self.kind, self.port)?,
        };
        Ok(self.running.insert(broker))
    }

    /// Ends it: the next one is a new one.
    pub(crate) fn end(&mut self) {
        self.running = None;
    }
}

/// A running Kafka, until it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    kind: Kind,
    home: PathBuf,
    port: u16,
    /// Where nobody is asked who he is.
    pub(crate) addresses: String,
}

impl Broker {
    pub(crate) fn start(kind: Kind, port: u16) -> anyhow::Result<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".kafka");
        let home = root.join(format!("delivery-{}", kind.name()));
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        started.push((home.clone(), port));
        drop(started);
        let mut broker = Self {
            kind,
            home,
            port,
            addresses: String::new(),
        };
        broker.addresses = broker.output(&["start", kind.name()])?;
        Ok(broker)
    }

    /// Runs a command of the script.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.output(arguments).map(drop)
    }

    /// Runs one of Kafka's tools.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let beginning = ["tool", class, "--bootstrap-server", &self.addresses];
        self.run(&[&beginning[..], arguments].concat())
    }

    fn output(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = script(&self.home, self.port).args(arguments).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "kafka.sh {arguments:?}: {stderr}{stdout}"
        );
        Ok(stdout.trim().to_owned())
    }

    /// What the secured broker's `env` has of this name.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.home.join("env")).ok()?;
        let value = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        };
        text.lines().find_map(value)
    }

    /// miffy's way to it, for its `[kafka]`.
    pub(crate) fn properties(&self) -> anyhow::Result<String> {
        if self.kind != Kind::Secure {
            return Ok(format!("\"bootstrap.servers\" = \"{}\"\n", self.addresses));
        }
        let value = |name| {
            self.value(name)
                .with_context(|| format!("env has no {name}"))
        };
        let (address, user, password) = (value("sasl")?, value("user")?, value("password")?);
        Ok(format!(
            "\"bootstrap.servers\" = \"{address}\"\n\"security.protocol\" = \"SASL_PLAINTEXT\"\n\
             \"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\"sasl.username\" = \"{user}\"\n\"sasl.password\" = \"{password}\"\n"
        ))
    }

    pub(crate) async fn make_topic(&self, name: &str) -> anyhow::Result<()> {
        let copies = if self.kind == Kind::Cluster { 3 } else { 1 };
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.addresses)
            .create()?;
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(copies));
        let made = admin.create_topics([&topic], &AdminOptions::new()).await?;
        for result in made {
            let failed = result
                .err()
                .map(|(topic, error)| format!("{topic}: {error}"));
            ensure!(failed.is_none(), "no topic: {failed:?}");
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It says so itself.
        let _ended = self.run(&["stop"]);
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(|(home, _)| *home != self.home);
    }
}
