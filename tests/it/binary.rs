//! The binary as a process: how it starts, logs and ends.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::backend::{Backend, disagreeing, json, nobody, read_head, response};
use crate::support::broker::Broker;
use crate::support::fault::slow_names;
use crate::support::miffy::Setup;
use crate::support::process::{Miffy, Running, anywhere, start};
use crate::support::{PATIENCE, until, within};

/// Ends it with this signal; gives the last event of its log.
fn stop(miffy: &mut Running, signal: &str) -> Value {
    miffy.signal(signal);
    assert_eq!(miffy.wait().code(), Some(0));
    miffy.stderr.event("stopped")
}

async fn get(url: &str) -> reqwest::Response {
    let client = crate::support::http_client();
    within("a response", client.get(url).send()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn either_signal_ends_it_in_order_with_the_ledger_in_the_log() {
    for signal in ["TERM", "INT"] {
        let broker = Broker::start();
        let (reference, candidate) = disagreeing().await;
        let setup = Setup::of(&reference, &candidate, &broker);
        let setup = setup.tables("\"linger.ms\" = 60000\n");
        let (mut miffy, url) = start(&setup, &[]);
        for n in 0..3 {
            assert_eq!(get(&format!("{url}/x/{n}")).await.status(), 200);
        }
        let stopped = stop(&mut miffy, signal);
        assert_eq!(stopped["matched"], 3);
        assert_eq!(stopped["outcomes"], "different=3");
        assert_eq!(stopped["published"], 3);
        assert_eq!(stopped["dropped"], 0);
        assert_eq!(broker.published().await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_request_is_answered_before_the_end() {
    let broker = Broker::start();
    let (sender, begun) = std::sync::mpsc::channel();
    let reference = Backend::raw(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            let (answer, go_on) = tokio::sync::oneshot::channel();
            sender.send(answer).unwrap();
            let body: &[u8] = go_on.await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
            let answer = [&head[..], body].concat();
            tokio::io::AsyncWriteExt::write_all(&mut stream, &answer)
                .await
                .unwrap();
        }
    })
    .await;
    let candidate = Backend::start(|_| async { json("1") }).await;
    let (mut miffy, url) = start(&Setup::of(&reference, &candidate, &broker), &[]);
    let answer = tokio::spawn(async move { get(&format!("{url}/other")).await.text().await });
    let go_on = begun.recv_timeout(PATIENCE).unwrap();
    miffy.signal("TERM");
    miffy.stderr.event("stopping");
    assert!(!miffy.has_ended());
    go_on.send(b"done").unwrap();
    assert_eq!(within("the answer", answer).await.unwrap().unwrap(), "done");
    assert_eq!(miffy.wait().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_accepted_again_when_there_are_files_again() {
    let broker = Broker::mock();
    let reference = Backend::start(|_| async { json("1") }).await;
    let setup = Setup::of(&reference, nobody(), &broker);
    let miffy = Miffy::with_files(64)
        .anywhere(&setup.toml())
        .env("MIFFY_LOGGING", "json");
    let mut miffy = miffy.spawn();
    let address = miffy.stderr.event("started")["address"].clone();
    let address = address.as_str().unwrap();
    let connections: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    miffy.stderr.event("a connection could not be accepted");
    assert!(!miffy.has_ended());
    drop(connections);
    assert_eq!(get(&format!("http://{address}/other")).await.status(), 200);
    stop(&mut miffy, "TERM");
}

/// Sends requests on connections of its own until one is refused; gives how many were answered. No
/// request that was sent may stay without its answer.
async fn load(address: String, sent: Arc<AtomicU32>) -> u32 {
    let mut answered = 0;
    while let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await {
        loop {
            stream
                .write_all(b"GET /x/1 HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            sent.fetch_add(1, Ordering::Relaxed);
            let head = within("an answer", read_head(&mut stream)).await;
            assert!(
                head.starts_with("HTTP/1.1 200"),
                "after {answered}: {head:?}"
            );
            let mut body = [0; 7];
            within("its body", stream.read_exact(&mut body))
                .await
                .unwrap();
            answered += 1;
            if head.contains("connection: close\r\n") {
                break;
            }
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_costs_no_request_that_was_sent() {
    let broker = Broker::start();
    let same = |_| async { response(200, &[("content-length", "7")], r#"{"n":1}"#) };
    let (reference, candidate) = (Backend::start(same).await, Backend::start(same).await);
    let setup = Setup::of(&reference, &candidate, &broker);
    let (mut miffy, url) = start(&setup, &[("MIFFY_SHUTDOWN_DELAY", "200ms")]);
    let management = miffy.stderr.event("started")["management_address"].clone();
    let ready = format!("http://{}/readyz", management.as_str().unwrap());
    let (address, sent) = (url.replace("http://", ""), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..16)
        .map(|_| tokio::spawn(load(address.clone(), sent.clone())))
        .collect();
    until("the load", || async {
        (sent.load(Ordering::Relaxed) > 500).then_some(())
    })
    .await;
    assert_eq!(get(&ready).await.status(), 200);
    miffy.signal("TERM");
    // New connections are still served by then.
    until("not to be ready", || async {
        (get(&ready).await.status() == 503).then_some(())
    })
    .await;
    assert_eq!(get(&format!("{url}/other")).await.status(), 200);
    let mut answered = 0;
    for client in clients {
        answered += within("the end of the load", client).await.unwrap();
    }
    assert_eq!(answered, sent.load(Ordering::Relaxed));
    assert_eq!(miffy.wait().code(), Some(0));
    assert_eq!(miffy.stderr.event("stopped")["matched"], answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_broker_ends_in_time_and_counts_what_is_lost() {
    let broker = Broker::mock();
    broker.controls().broker_down(1).unwrap();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker).more("shutdown_timeout = \"1s\"");
    let (mut miffy, url) = start(&setup, &[]);
    get(&format!("{url}/x/1")).await.bytes().await.unwrap();
    miffy.outcomes(1).await;
    let stopped = stop(&mut miffy, "TERM");
    assert_eq!(
        (&stopped["records"], &stopped["dropped"]),
        (&Value::from(1), &Value::from(1))
    );
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_time_while_a_brokers_name_is_looked_up() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker).more("shutdown_timeout = \"1s\"");
    let directory = tempfile::tempdir().unwrap();
    let library = slow_names(directory.path(), "slow").unwrap();
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092"),
    ];
    let (mut miffy, url) = start(&setup, &environment);
    get(&format!("{url}/x/1")).await.bytes().await.unwrap();
    miffy.outcomes(1).await;
    let stopped = stop(&mut miffy, "TERM");
    assert_eq!(
        (&stopped["records"], &stopped["dropped"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_gives_up_is_in_the_ledger() {
    let broker = Broker::start();
    let reference = Backend::start(|_| async { json("1") }).await;
    let hanging = Backend::hanging().await;
    let setup = Setup::of(&reference, &hanging, &broker).more("shutdown_timeout = \"100ms\"");
    let (mut miffy, url) = start(&setup, &[]);
    get(&format!("{url}/x/1")).await.bytes().await.unwrap();
    hanging.first().await;
    let stopped = stop(&mut miffy, "TERM");
    assert_eq!(stopped["outcomes"], "skipped.shutdown=1");
    assert_eq!(stopped["records"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_dropped_is_told_in_the_log() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let setup = setup.more("shutdown_timeout = \"1s\"");
    let (miffy, url) = start(&setup.tables("[delivery]\nqueue_bytes = 10\n"), &[]);
    get(&format!("{url}/x/1")).await.bytes().await.unwrap();
    assert_eq!(
        miffy.stderr.event("a record was dropped")["reason"],
        "queue_full"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn why_kafka_is_not_reached_is_told_at_warn() {
    let no_broker = Backend::raw(|stream| async move { drop(stream) }).await;
    let miffy = anywhere("")
        .env("KAFKA_BOOTSTRAP_SERVERS", &no_broker.address.to_string())
        .env("RUST_LOG", "warn")
        .spawn();
    miffy.stderr.wait("the reason", |line| {
        (line.contains("librdkafka") && line.contains("Disconnected")).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let broker = Broker::start();
    let hanging = Backend::hanging().await;
    let (mut miffy, url) = start(&Setup::of(&hanging, &hanging, &broker), &[]);
    let _unanswered = tokio::spawn(async move { get(&format!("{url}/other")).await });
    hanging.first().await;
    miffy.signal("TERM");
    miffy.stderr.event("stopping");
    miffy.signal("TERM");
    assert_eq!(miffy.wait().code(), Some(1));
    miffy.stderr.event("told to stop twice: ending at once");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let broker = Broker::mock();
    for variable in ["MIFFY_PORT", "MIFFY_MANAGEMENT_PORT"] {
        let ended = anywhere(&broker.config()).env(variable, &port).output();
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        let message = format!("miffy: can't listen on {address}: Address already in use");
        assert!(ended.stderr.contains(&message), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_is_there_at_info_and_gone_at_warn() {
    for (level, logged) in [
        ("info", true),
        ("warn", false),
        ("info,miffy::access=off", false),
    ] {
        let broker = Broker::start();
        let (reference, candidate) = disagreeing().await;
        let setup = Setup::of(&reference, &candidate, &broker);
        let mut miffy = anywhere(&setup.toml())
            .env("MIFFY_LOGGING", "json")
            .env("RUST_LOG", level);
        // At warn nothing tells the port, so one has to be chosen.
        let port = free_port();
        miffy = miffy.env("MIFFY_PORT", &port.to_string());
        let mut miffy = miffy.spawn();
        let url = format!("http://127.0.0.1:{port}/x/1?token=secret");
        let client = crate::support::http_client();
        within("an answer", async {
            while client.get(&url).send().await.is_err() {
                assert!(!miffy.has_ended());
            }
        })
        .await;
        miffy.signal("TERM");
        miffy.wait();
        let lines = miffy.stderr.all();
        let access: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains("miffy::access"))
            .collect();
        assert_eq!(access.len(), usize::from(logged), "{level}: {lines:?}");
        assert!(
            !lines.iter().any(|line| line.contains("secret")),
            "{lines:?}"
        );
        if let [line] = access[..] {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&line["path"], &line["status"]),
                (&"/x/1".into(), &200.into())
            );
            assert_eq!(
                (&line["method"], &line["role"]),
                (&"GET".into(), &"reference".into())
            );
        }
    }
}

/// A port that stays free: the system hands those above 32767 out to whoever asks for any.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() * 64 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(number % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn a_misspelt_choice_of_log_lines_is_told_and_passed_over() {
    let broker = Broker::mock();
    let mut miffy = anywhere(&broker.config())
        .env("MIFFY_LOGGING", "json")
        .env("RUST_LOG", "miffy=loud")
        .spawn();
    miffy.stderr.event("RUST_LOG is passed over");
    miffy.stderr.event("started");
    miffy.signal("TERM");
    assert_eq!(miffy.wait().code(), Some(0));
}

#[test]
fn each_log_format_is_what_it_says() {
    let broker = Broker::mock();
    let log = |format: &str| {
        let mut miffy = anywhere(&broker.config())
            .env("MIFFY_ADDRESS", "0.0.0.0")
            .env("MIFFY_LOGGING", format)
            .spawn();
        let started = miffy.stderr.wait("started", |line| {
            line.contains("started").then(|| line.to_owned())
        });
        miffy.signal("TERM");
        assert_eq!(miffy.wait().code(), Some(0));
        started
    };
    let human = log("human");
    assert!(
        serde_json::from_str::<Value>(&human).is_err() && human.contains(" INFO "),
        "{human}"
    );
    let json: Value = serde_json::from_str(&log("json")).unwrap();
    assert_eq!(
        (&json["level"], &json["message"]),
        (&"INFO".into(), &"started".into())
    );
    let stackdriver: Value = serde_json::from_str(&log("stackdriver")).unwrap();
    assert_eq!(stackdriver["severity"], "INFO");
    assert_eq!(stackdriver["message"], "started");
    let time = stackdriver["time"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    assert!(
        stackdriver["address"]
            .as_str()
            .unwrap()
            .starts_with("0.0.0.0:")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_the_running_miffy() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let port = free_port().to_string();
    let setup = Setup::of(&reference, &candidate, &broker);
    let health = || {
        // What is wrong elsewhere in the file does not make a running miffy ill.
        let health = Miffy::new(&["health"]).config("portt = 1");
        health.env("MIFFY_MANAGEMENT_PORT", &port).output()
    };
    assert_eq!(health().code, 1);
    let (miffy, _) = start(&setup, &[("MIFFY_MANAGEMENT_PORT", &port)]);
    let ended = health();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "healthy\n"),
        "{}",
        ended.stderr
    );
    drop(miffy);
}

/// Free ports for everything that the demo starts.
fn demo() -> (Miffy, [u16; 5]) {
    let ports: [u16; 5] = std::array::from_fn(|_| free_port());
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let miffy = Miffy::new(&["demo"])
        .env("MIFFY_SHUTDOWN_TIMEOUT", "2s")
        .env("MIFFY_PORT", &ports[0].to_string())
        .env("MIFFY_MANAGEMENT_PORT", &ports[1].to_string())
        .env("MIFFY_REFERENCE", &url(ports[2]))
        .env("MIFFY_CANDIDATE", &url(ports[3]))
        .env(
            "KAFKA_BOOTSTRAP_SERVERS",
            &format!("127.0.0.1:{}", ports[4]),
        );
    (miffy, ports)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_the_main_job() {
    let (miffy, ports) = demo();
    let mut miffy = miffy.spawn();
    let line = |part: &str| {
        miffy
            .stdout
            .wait(part, |line| line.contains(part).then(|| line.to_owned()));
    };
    line("GET /api/1: equal");
    line("GET /api/3: different");
    line("/double: 6 → 7");
    line("status: 200 → 503");
    // Two records, whichever came first: only those of one key have an order.
    line("kafka    miffy, offset 1, key ");
    line(", key 7: ");
    line(&format!("curl -i http://127.0.0.1:{}/api/6", ports[0]));
    line(&format!("kcat -b 127.0.0.1:{} -t miffy", ports[4]));
    line("Ctrl-C ends it");
    get(&format!("http://127.0.0.1:{}/api/6", ports[0])).await;
    line("GET /api/6: different");
    line("kafka    miffy, offset 2, key 6");
    // A client that never finishes is not waited for longer than the shutdown takes.
    let mut unfinished = TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
    unfinished
        .write_all(b"POST /api/8 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{")
        .unwrap();
    let metrics = get(&format!("http://127.0.0.1:{}/metrics", ports[1])).await;
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("miffy_outcomes_total")
    );
    miffy.signal("INT");
    assert_eq!(miffy.wait().code(), Some(0));
    assert_eq!(miffy.stdout.all().last().map(String::as_str), Some("ended"));
    assert_eq!(miffy.stderr.all(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_though_nobody_reads_what_it_prints() {
    let (miffy, ports) = demo();
    let (_unread, stdout) = std::io::pipe().unwrap();
    let mut miffy = miffy.spawn_to(stdout);
    let url = format!("http://127.0.0.1:{}/api/1", ports[0]);
    let client = crate::support::http_client();
    until("the demo to run", || async {
        client.get(&url).send().await.ok()
    })
    .await;
    // More lines than a pipe and the demo's own queue hold.
    for _ in 0..2000 {
        client
            .get(&url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
    }
    miffy.signal("INT");
    assert_eq!(miffy.wait().code(), Some(0));
}

#[test]
fn a_place_that_records_can_t_be_put_in_is_told_once_with_its_key() {
    for (variable, place, expected) in [
        (
            "MIFFY_SPOOL_DIRECTORY",
            "config.toml",
            "miffy: spool.directory: config.toml/stdout: Not a directory (os error 20)",
        ),
        (
            "MIFFY_FILE_PATH",
            "missing/records.jsonl",
            "miffy: file.path: missing/records.jsonl: No such file or directory (os error 2)",
        ),
    ] {
        let config = "[kafka]\nenabled = false\n[stdout]\nenabled = true\n";
        let ended = anywhere(config).env(variable, place).output();
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().last(), Some(expected));
    }
}

#[test]
fn the_demo_names_a_port_that_is_taken() {
    for place in 0..5 {
        let (miffy, ports) = demo();
        let taken = TcpListener::bind(("127.0.0.1", ports[place])).unwrap();
        let ended = miffy.output();
        assert_eq!(ended.code, 1);
        let address = taken.local_addr().unwrap();
        assert!(
            ended.stderr.contains(&format!("can't listen on {address}")),
            "{}",
            ended.stderr
        );
        let variables = [
            "MIFFY_PORT",
            "MIFFY_MANAGEMENT_PORT",
            "MIFFY_REFERENCE",
            "MIFFY_CANDIDATE",
            "KAFKA_BOOTSTRAP_SERVERS",
        ];
        assert!(ended.stderr.contains(variables[place]), "{}", ended.stderr);
    }
}
