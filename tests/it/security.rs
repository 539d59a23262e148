//! Kafka's security, against a real broker that asks for it: `scripts/kafka.sh start secure`.
//!
//! What is set is set as deployments do, in the environment: librdkafka's properties, as `KAFKA_…`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::Value;
use uuid::Uuid;

use crate::support::backend::{Backend, disagreeing};
use crate::support::broker::Broker;
use crate::support::metrics::samples;
use crate::support::miffy::Setup;
use crate::support::process::{Miffy, Running, start};
use crate::support::{PATIENCE, until};

/// Where the secured broker's files are.
const SECURE_VARIABLE: &str = "MIFFY_TEST_KAFKA_SECURE";

/// The script that started it, and runs Kafka's tools.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh");

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Properties as the environment has them.
type Properties = BTreeMap<&'static str, String>;

/// The secured broker.
struct Secure {
    directory: PathBuf,
    values: HashMap<String, String>,
}

impl Secure {
    fn new() -> Self {
        let directory = std::env::var(SECURE_VARIABLE)
            .unwrap_or_else(|_| panic!("{SECURE_VARIABLE} names no secured broker's directory"));
        let directory = PathBuf::from(directory);
        let text = std::fs::read_to_string(directory.join("env")).unwrap();
        let value = |line: &str| {
            let (name, value) = line.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let values = text.lines().map(value).collect();
        Self { directory, values }
    }

    fn get(&self, name: &str) -> String {
        self.values[name].clone()
    }

    fn file(&self, name: &str) -> String {
        let path = self.directory.join("tls").join(name);
        path.to_str().unwrap().to_owned()
    }

    fn secrets(&self) -> [String; 2] {
        [self.get("password"), self.get("key_password")]
    }

    /// The broker without security, and a topic that is not there.
    fn plain(&self) -> Broker {
        Broker::real(self.get("plain"))
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.get("plain"));
        config.create().unwrap()
    }

    async fn create(&self, topic: &str) {
        let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        let options = AdminOptions::new();
        let made = self.admin().create_topics([&topic], &options).await;
        made.unwrap()[0].as_ref().unwrap();
    }

    /// The broker without security, with a new topic.
    async fn topic(&self) -> Broker {
        let broker = self.plain();
        self.create(&broker.topic).await;
        broker
    }

    fn sasl(&self, mechanism: &str) -> Properties {
        Properties::from([
            ("KAFKA_BOOTSTRAP_SERVERS", self.get("sasl")),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT".to_owned()),
            ("KAFKA_SASL_MECHANISM", mechanism.to_owned()),
            ("KAFKA_SASL_USERNAME", self.get("user")),
            ("KAFKA_SASL_PASSWORD", self.get("password")),
        ])
    }

    /// SASL over TLS.
    fn sasl_tls(&self, mechanism: &str) -> Properties {
        let mut properties = self.sasl(mechanism);
        properties.extend([
            ("KAFKA_BOOTSTRAP_SERVERS", self.get("sasl_tls")),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("KAFKA_SSL_CA_LOCATION", self.file("ca.pem")),
        ]);
        properties
    }

    /// TLS, without a client certificate.
    fn tls(&self) -> Properties {
        Properties::from([
            ("KAFKA_BOOTSTRAP_SERVERS", self.get("tls")),
            ("KAFKA_SECURITY_PROTOCOL", "SSL".to_owned()),
            ("KAFKA_SSL_CA_LOCATION", self.file("ca.pem")),
        ])
    }

    /// A client certificate, whose key is encrypted.
    fn certificate(&self) -> Properties {
        Properties::from([
            ("KAFKA_SSL_CERTIFICATE_LOCATION", self.file("client.pem")),
            ("KAFKA_SSL_KEY_LOCATION", self.file("client-encrypted.key")),
            ("KAFKA_SSL_KEY_PASSWORD", self.get("key_password")),
        ])
    }

    /// TLS with a client certificate.
    fn mutual_tls(&self) -> Properties {
        let mut properties = self.tls();
        properties.extend(self.certificate());
        properties
    }

    /// Runs one of Kafka's tools.
    async fn tool(&self, class: &str, arguments: &[&str]) {
        let mut command = Command::new(SCRIPT);
        command
            .args(["tool", class, "--bootstrap-server", &self.get("plain")])
            .args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Lets a user write to a topic.
    async fn grant(&self, user: &str, topic: &str) {
        let principal = format!("User:{user}");
        let arguments = [
            "--add",
            "--allow-principal",
            &principal,
            "--producer",
            "--topic",
            topic,
        ];
        self.tool("org.apache.kafka.tools.AclCommand", &arguments)
            .await;
    }

    /// Adds a user, or changes the password.
    async fn set_password(&self, user: &str, password: &str) {
        let credentials = format!("SCRAM-SHA-512=[password={password}]");
        let arguments = [
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            user,
            "--add-config",
            &credentials,
        ];
        self.tool("kafka.admin.ConfigCommand", &arguments).await;
    }
}

/// A miffy that has found a difference on its way to a topic.
struct Sending {
    broker: Broker,
    miffy: Running,
    management: String,
    _backends: (Backend, Backend),
}

impl Sending {
    /// Starts it with these properties, to a topic of its own, and sends a request that differs.
    async fn start(secure: &Secure, properties: &Properties) -> Self {
        let broker = secure.topic().await;
        Self::start_to(broker, properties, "").await
    }

    /// With a topic that is there or not, and more tables.
    async fn start_to(broker: Broker, properties: &Properties, tables: &str) -> Self {
        let backends = disagreeing().await;
        let setup = Setup::of(&backends.0, &backends.1, &broker)
            .more("shutdown_timeout = \"4s\"")
            .tables(&format!("\"reconnect.backoff.max.ms\" = 500\n{tables}"));
        let environment = properties.iter().map(|(name, value)| (*name, &**value));
        let mut environment: Vec<(&str, &str)> = environment.collect();
        environment.push(("RUST_LOG", "debug"));
        let (miffy, url) = start(&setup, &environment);
        let started = miffy.stderr.event("started");
        let management = started["management_address"].as_str().unwrap();
        let sending = Self {
            broker,
            management: format!("http://{management}"),
            miffy,
            _backends: backends,
        };
        let (code, body) = get(&format!("{url}/x/1")).await;
        assert_eq!((code, &*body), (200, r#"{"n":1}"#));
        sending
    }

    async fn metric(&self, name: &str) -> u64 {
        let (_, text) = get(&format!("{}/metrics", self.management)).await;
        samples(&text, name).values().sum()
    }

    async fn readyz(&self) -> Value {
        let (code, text) = get(&format!("{}/readyz", self.management)).await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until the record has gone out, and looks for it in the topic.
    async fn has_arrived(&self) {
        until("the record's delivery", || async {
            (self.metric("miffy_records_published_total").await == 1).then_some(())
        })
        .await;
        assert_eq!(self.readyz().await["kafka"], "reached");
        assert_eq!(self.broker.published().await.len(), 1);
    }

    /// Waits until the log says this of librdkafka's failure, and looks whether the record waits nevertheless.
    async fn waits_because(&self, reasons: &[&str]) {
        self.miffy
            .stderr
            .wait(&format!("one of {reasons:?}"), |line| {
                let event: Value = serde_json::from_str(line).ok()?;
                let told = event["level"] != "DEBUG" && event["target"] == "librdkafka";
                let message = event["message"].as_str().unwrap_or_default();
                let named = reasons.iter().any(|reason| message.contains(reason));
                (told && named).then_some(())
            });
        self.waits().await;
        assert_ne!(self.readyz().await["kafka"], "reached");
    }

    /// Waits for a problem that can be remedied; gives the two.
    async fn problem(&self) -> [String; 2] {
        until("a problem with a remedy", || async {
            let kafka = self.readyz().await["delivery"]["kafka"].clone();
            let texts = [&kafka["problem"], &kafka["remedy"]].map(Value::as_str);
            let [Some(problem), Some(remedy)] = texts else {
                return None;
            };
            assert_eq!(kafka["state"], "failing");
            Some([problem.to_lowercase(), remedy.to_owned()])
        })
        .await
    }

    async fn waits(&self) {
        assert_eq!(self.metric("miffy_records_published_total").await, 0);
        assert_eq!(self.metric("miffy_records_dropped_total").await, 0);
    }

    /// Ends it; what it wrote.
    fn stop(mut self) -> Vec<String> {
        self.miffy.signal("TERM");
        assert_eq!(self.miffy.wait().code(), Some(0));
        self.miffy.stderr.all()
    }

    /// Ends it while the record waits, which is counted then.
    fn stop_waiting(self) -> Vec<String> {
        let log = self.stop();
        let stopped = log
            .iter()
            .find(|line| line.contains("\"stopped\""))
            .unwrap();
        let stopped: Value = serde_json::from_str(stopped).unwrap();
        assert_eq!(
            (&stopped["published"], &stopped["dropped"]),
            (&0.into(), &1.into())
        );
        log
    }
}

async fn get(url: &str) -> (u16, String) {
    let client = crate::support::http_client();
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn assert_none(text: &str, secrets: &[String]) {
    for secret in secrets {
        let lines = text.lines().filter(|line| line.contains(&**secret));
        let lines: Vec<&str> = lines.collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_arrive_with_a_password() {
    let secure = Secure::new();
    for mechanism in MECHANISMS {
        let sending = Sending::start(&secure, &secure.sasl(mechanism)).await;
        sending.has_arrived().await;
        assert_none(&sending.stop().join("\n"), &secure.secrets());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_arrive_with_a_password_over_tls() {
    let secure = Secure::new();
    for mechanism in MECHANISMS {
        let sending = Sending::start(&secure, &secure.sasl_tls(mechanism)).await;
        sending.has_arrived().await;
        assert_none(&sending.stop().join("\n"), &secure.secrets());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_arrive_with_a_client_certificate() {
    let secure = Secure::new();
    let encrypted = secure.mutual_tls();
    let mut unencrypted = encrypted.clone();
    unencrypted.remove("KAFKA_SSL_KEY_PASSWORD");
    unencrypted.insert("KAFKA_SSL_KEY_LOCATION", secure.file("client.key"));
    for properties in [encrypted, unencrypted] {
        let sending = Sending::start(&secure, &properties).await;
        sending.has_arrived().await;
        assert_none(&sending.stop().join("\n"), &secure.secrets());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_wait_for_a_password_that_is_put_right_at_the_broker() {
    let secure = Secure::new();
    let user = format!("user-{}", Uuid::now_v7());
    secure.set_password(&user, "another").await;
    let broker = secure.topic().await;
    secure.grant(&user, &broker.topic).await;
    let mut properties = secure.sasl("SCRAM-SHA-512");
    properties.insert("KAFKA_SASL_USERNAME", user.clone());
    let sending = Sending::start_to(broker, &properties, "").await;
    sending
        .waits_because(&["SASL authentication error", "Authentication failed"])
        .await;
    secure.set_password(&user, &secure.get("password")).await;
    sending.has_arrived().await;
    assert_none(&sending.stop().join("\n"), &secure.secrets());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_wait_while_the_password_is_wrong() {
    let secure = Secure::new();
    for mechanism in MECHANISMS {
        let wrong = Uuid::now_v7().to_string();
        let mut properties = secure.sasl(mechanism);
        properties.insert("KAFKA_SASL_PASSWORD", wrong.clone());
        let sending = Sending::start(&secure, &properties).await;
        sending
            .waits_because(&["SASL authentication error", "Authentication failed"])
            .await;
        assert_none(&sending.stop_waiting().join("\n"), &[wrong]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_wait_while_nobody_known_vouches_for_the_broker() {
    let secure = Secure::new();
    let mut properties = secure.mutual_tls();
    properties.insert("KAFKA_SSL_CA_LOCATION", secure.file("unknown-ca.pem"));
    let sending = Sending::start(&secure, &properties).await;
    sending.waits_because(&["certificate verify failed"]).await;
    assert_none(&sending.stop_waiting().join("\n"), &secure.secrets());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_wait_while_there_is_no_client_certificate() {
    let secure = Secure::new();
    let sending = Sending::start(&secure, &secure.tls()).await;
    // The server's Java has one alert for it, TLS 1.3 another.
    sending
        .waits_because(&["bad certificate", "certificate required"])
        .await;
    sending.stop_waiting();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_wait_until_the_topic_is_granted() {
    let secure = Secure::new();
    // To who may write nowhere, the broker gives no producer id either, with which librdkafka's producer is at its end.
    for elsewhere in [true, false] {
        let user = format!("user-{}", Uuid::now_v7());
        secure.set_password(&user, &secure.get("password")).await;
        if elsewhere {
            secure.grant(&user, &format!("of-{user}")).await;
        }
        let mut properties = secure.sasl("SCRAM-SHA-512");
        properties.insert("KAFKA_SASL_USERNAME", user.clone());
        let sending = Sending::start(&secure, &properties).await;
        let [problem, _] = sending.problem().await;
        assert!(problem.contains("authoriz"), "{problem}");
        sending.waits().await;
        secure.grant(&user, &sending.broker.topic).await;
        sending.has_arrived().await;
        assert_none(&sending.stop().join("\n"), &secure.secrets());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn records_wait_until_the_topic_is_there() {
    let secure = Secure::new();
    let properties = Properties::from([("KAFKA_BOOTSTRAP_SERVERS", secure.get("plain"))]);
    let sending = Sending::start_to(secure.plain(), &properties, "").await;
    let [problem, remedy] = sending.problem().await;
    assert!(problem.contains("topic"), "{problem}");
    assert!(remedy.contains("create the topic"), "{remedy}");
    sending.waits().await;
    secure.create(&sending.broker.topic).await;
    sending.has_arrived().await;
    sending.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn topics_are_created_as_they_are_wanted() {
    let secure = Secure::new();
    let properties = Properties::from([("KAFKA_BOOTSTRAP_SERVERS", secure.get("plain"))]);
    let tables = "[topics]\ncreate = true\npartitions = 3\nretention = \"1h\"\n";
    let sending = Sending::start_to(secure.plain(), &properties, tables).await;
    sending.has_arrived().await;
    let topic = sending.broker.topic.clone();
    sending.stop();
    let admin = secure.admin();
    let metadata = admin
        .inner()
        .fetch_metadata(Some(&topic), PATIENCE)
        .unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    let specifier = ResourceSpecifier::Topic(&topic);
    let described = admin.describe_configs([&specifier], &AdminOptions::new());
    let described = described.await.unwrap().remove(0).unwrap();
    let retention = described.get("retention.ms").unwrap().value.clone();
    assert_eq!(retention.as_deref(), Some("3600000"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
async fn no_secret_is_told_whatever_is_asked_for() {
    let secure = Secure::new();
    let secrets = secure.secrets();
    let mut with_both = secure.sasl_tls("SCRAM-SHA-512");
    with_both.extend(secure.certificate());
    for mut properties in [
        with_both,
        secure.sasl("PLAIN"),
        secure.sasl("SCRAM-SHA-256"),
        secure.mutual_tls(),
    ] {
        properties.insert("KAFKA_DEBUG", "all".to_owned());
        let mut check = Miffy::new(&["check"]);
        for (name, value) in &properties {
            check = check.env(name, value);
        }
        let checked = check.env("RUST_LOG", "trace").output();
        assert_eq!(checked.code, 0, "{}", checked.stderr);
        assert_none(&checked.stdout, &secrets);
        assert_none(&checked.stderr, &secrets);

        let sending = Sending::start(&secure, &properties).await;
        sending.has_arrived().await;
        assert_none(&sending.readyz().await.to_string(), &secrets);
        let log = sending.stop();
        let debugs = |line: &String| line.contains("DEBUG") && line.contains("librdkafka");
        assert!(log.iter().filter(|line| debugs(line)).count() > 100);
        assert_none(&log.join("\n"), &secrets);
    }
}

#[test]
#[ignore = "needs the secured broker: scripts/test-with-kafka.sh"]
fn a_keys_password_that_is_wrong_is_told_at_once_and_not_shown() {
    let secure = Secure::new();
    let wrong = Uuid::now_v7().to_string();
    let mut properties = secure.mutual_tls();
    properties.insert("KAFKA_SSL_KEY_PASSWORD", wrong.clone());
    for arguments in [&["check"][..], &[]] {
        let mut miffy = Miffy::new(arguments);
        for (name, value) in &properties {
            miffy = miffy.env(name, value);
        }
        let ended = miffy.output();
        assert_ne!(ended.code, 0, "{}", ended.stdout);
        assert!(ended.stderr.contains("ssl.key"), "{}", ended.stderr);
        assert_none(
            &(ended.stderr + &ended.stdout),
            std::slice::from_ref(&wrong),
        );
    }
}
