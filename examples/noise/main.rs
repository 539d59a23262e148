//! Noise, and three ways to be rid of it. The services answer anew each time with a time, a UUID, a list in
//! another order, a number that jitters and a request's id, and the candidate has a few wrong prices. The same
//! 200 requests go through miffy four times: as it is, with rules, with a second instance of the reference, and
//! with asking the reference again. Then the rules are tried on the records of the first time. All of it is on
//! this machine, on free ports, and the same each time.
//!
//! ```text
//! cargo run --example noise      fails if anything is left but the wrong prices, or one is not found
//! ```

#![expect(clippy::print_stdout, reason = "it shows what it does")]

mod findings;
mod services;

use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use miffy::app::{App, Plugs};
use miffy::cli::demo::EmbeddedBroker;
use miffy::config::{Environment, Source, load};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList, error::KafkaError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use findings::{Findings, Teller, item, wrong_prices};
use services::{right_price, serve, wrong_price};

const REQUESTS: usize = 200;
/// What differs by itself is learned from the first requests; `compare.noise.min_exchanges`, 10, would do.
const LEARNING: usize = 20;
/// Nothing takes nearly as long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

const RULES: &str = r#"
[compare.values]
"/rendered_at" = "time"
"/render_id" = "uuid"
[compare.arrays]
"/tags" = "set"
[compare.tolerance]
"/rating" = 0.001
"#;
const SECONDARY: &str = r#"
secondary = "$SECONDARY"
[compare.noise]
suppress = true
"#;
const REQUERY: &str = r#"
noise = "requery"
[compare.noise]
suppress = true
requery_rate = 1000
"#;

fn main() -> anyhow::Result<ExitCode> {
    // So that the session can type `miffy check`, this is also miffy.
    if std::env::args().nth(1).as_deref() == Some("check") {
        return Ok(miffy::cli::main());
    }
    tokio::runtime::Runtime::new()?.block_on(session())?;
    Ok(ExitCode::SUCCESS)
}

async fn session() -> anyhow::Result<()> {
    let reference = serve(1, right_price).await?;
    let secondary = SECONDARY.replace("$SECONDARY", &serve(2, right_price).await?);
    let candidate = serve(3, wrong_price).await?;
    let services = format!("reference = \"{reference}\"\ncandidate = \"{candidate}\"\n");
    print!("{services}");

    println!("\n── 1: without rules");
    let (all, records) = run(&services, "", 0).await?;
    ensure!(all.different == REQUESTS, "not all of them are different");
    print!("\n── 2: with rules\n{RULES}");
    run(&services, RULES, 0).await?.0.check()?;
    print!("\n── 3: with a second instance of the reference, without rules\n{secondary}");
    run(&services, &secondary, LEARNING).await?.0.check()?;
    print!("\n── 4: with asking the reference again, without rules\n{REQUERY}");
    run(&services, REQUERY, LEARNING).await?.0.check()?;

    println!("\n── the rules of 2, tried on the records of 1\n");
    let said = check_against(&configuration(&services, "localhost:9092", RULES), &records)?;
    println!("{said}");
    let wrong = wrong_prices(0..REQUESTS);
    let expected = format!("records that would remain: {wrong} of {REQUESTS}\n");
    ensure!(said.contains(&expected), "that was not to be expected");
    println!("each way leaves the {wrong} wrong prices, and nothing else");
    Ok(())
}

/// A whole configuration.
fn configuration(services: &str, broker: &str, more: &str) -> String {
    format!(
        r#"{services}
routes = [{{ path = "/items/{{id}}", methods = ["GET"] }}]
address = "127.0.0.1"
port = 0
management_address = "127.0.0.1"
management_port = 0
shutdown_delay = "off"
kafka."bootstrap.servers" = "{broker}"
{more}"#
    )
}

/// Sends all requests through a miffy with these lines of configuration, and shows what comes of the first
/// ones, as many as are for learning, and of the others. Gives the latter, and all records.
async fn run(
    services: &str,
    more: &str,
    learning: usize,
) -> anyhow::Result<(Findings, Vec<String>)> {
    let broker = EmbeddedBroker::start(TcpListener::bind("127.0.0.1:0").await?, "miffy")?;
    let toml = configuration(services, &broker.address().to_string(), more);
    let settings = load(&Source::Text(toml), &Environment::default())?.settings;
    let (teller, mut told) = mpsc::channel(1);
    let plugs = Plugs {
        observer: Some(Arc::new(Teller(teller))),
        ..Plugs::default()
    };
    let app = App::bind(&settings, plugs)?;
    let address = app.address()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async {
        let _told_or_dropped = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build()?;
    let (mut learned, mut found) = (Findings::default(), Findings::default());
    for request in 0..REQUESTS {
        let url = format!("http://{address}/items/{}", item(request));
        let answer = client.get(url).send().await?.error_for_status()?;
        answer.bytes().await?;
        // The next one waits for what becomes of this one, so that each session is the same.
        let told = timeout(PATIENCE, told.recv()).await?;
        let (outcome, differences) = told.context("miffy has ended")?;
        let findings = if request < learning {
            &mut learned
        } else {
            &mut found
        };
        findings.add(request, outcome, &differences)?;
    }
    let _running = stop.send(());
    running.await??;
    let address = broker.address();
    let records = tokio::task::spawn_blocking(move || read_all(address)).await??;
    learned.show();
    found.show();
    println!("\n{} records in Kafka", records.len());
    let is_all = records.len() == learned.different + found.different;
    ensure!(is_all, "that is another number of them");
    Ok((found, records))
}

/// All records.
fn read_all(broker: SocketAddr) -> anyhow::Result<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.to_string())
        .set("group.id", "noise")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset("miffy", 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;
    let mut records = Vec::new();
    loop {
        match consumer.poll(PATIENCE).context("no record comes")? {
            Ok(message) => {
                let payload = message.payload().unwrap_or_default();
                records.push(String::from_utf8(payload.to_vec())?);
            }
            Err(KafkaError::PartitionEOF(_)) => return Ok(records),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What `miffy check --against` says of records.
fn check_against(toml: &str, records: &[String]) -> anyhow::Result<String> {
    println!("$ miffy check --config config.toml --against records.jsonl\n");
    let folder = tempfile::tempdir()?;
    let [config, file] = ["config.toml", "records.jsonl"].map(|name| folder.path().join(name));
    std::fs::write(&config, toml)?;
    std::fs::write(&file, records.join("\n"))?;
    let mut miffy = Command::new(std::env::current_exe()?);
    let miffy = miffy.arg("check").arg("--config").arg(config);
    let output = miffy.arg("--against").arg(file).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "miffy check failed: {complaint}");
    Ok(String::from_utf8(output.stdout)?)
}
