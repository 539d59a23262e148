//! Another configuration, while miffy runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json as value};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::support::admin::{ADMIN, Admin};
use crate::support::backend::{Backend, disagreeing, json, read_head};
use crate::support::broker::Broker;
use crate::support::client::Client;
use crate::support::miffy::Setup;
use crate::support::process::{Miffy, Running, start};
use crate::support::{metrics, until, within};

const RELOADED: &str = "the configuration was read again";
const KEPT: &str = "the configuration stays as it was";

async fn get(url: &str) -> (u16, String) {
    let client = crate::support::http_client();
    let response = within("a response", client.get(url).send()).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn metric(miffy: &Running, name: &str) -> std::collections::BTreeMap<String, u64> {
    metrics::samples(&miffy.manage("/metrics").await, name)
}

async fn warnings(miffy: &Running) -> Vec<String> {
    let ready: Value = serde_json::from_str(&miffy.manage("/readyz").await).unwrap();
    let warnings = ready["warnings"].as_array().unwrap().iter();
    let warnings = warnings.map(|warning| warning.as_str().unwrap().to_owned());
    warnings
        .filter(|it| !it.starts_with("spool.directory"))
        .collect()
}

/// Stops it, and gives the last line of its log.
fn stop(miffy: &mut Running) -> Value {
    miffy.signal("TERM");
    assert_eq!(miffy.wait().code(), Some(0));
    miffy.stderr.event("stopped")
}

/// A backend that keeps connections, and how many it has accepted.
async fn counting() -> (Backend, Arc<AtomicUsize>) {
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let backend = Backend::raw(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while !read_head(&mut stream).await.is_empty() {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1";
                if stream.write_all(answer).await.is_err() {
                    break;
                }
            }
        }
    })
    .await;
    (backend, accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_run_finish_under_the_old_rules() {
    let broker = Broker::start();
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let reference = Backend::start(move |request| {
        let held = held.clone();
        async move {
            if request.target == "/x/slow" {
                held.acquire().await.unwrap().forget();
            }
            json("1")
        }
    })
    .await;
    let before = Backend::start(|_| async { json("2") }).await;
    let after = Backend::start(|_| async { json("3") }).await;
    let (mut miffy, url) = start(&Setup::of(&reference, &before, &broker), &[]);
    let slow = format!("{url}/x/slow");
    let slow = tokio::spawn(async move { get(&slow).await });
    before.first().await;
    miffy.configure(&Setup::of(&reference, &after, &broker).toml());
    miffy.signal("HUP");
    let event = miffy.stderr.event(RELOADED);
    assert_eq!(event["changed"], "x");
    assert_eq!(event["trigger"], "SIGHUP");
    get(&format!("{url}/x/fast")).await;
    after.first().await;
    assert!(!slow.is_finished());
    gate.add_permits(1);
    assert_eq!(
        within("the answer", slow).await.unwrap(),
        (200, "1".to_owned())
    );
    assert_eq!(miffy.outcomes(2).await["different"], 2);
    let arrived = |backend: &Backend| -> Vec<String> {
        let arrived = backend.arrived().into_iter();
        arrived.map(|request| request.target).collect()
    };
    assert_eq!(arrived(&before), ["/x/slow"]);
    assert_eq!(arrived(&after), ["/x/fast"]);
    let stopped = stop(&mut miffy);
    assert_eq!(
        (&stopped["matched"], &stopped["outcomes"]),
        (&value!(2), &value!("different=2"))
    );
    assert_eq!(broker.published().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_every_problem_is_told_but_no_secret() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let good = Setup::of(&reference, &candidate, &broker);
    let (mut miffy, url) = start(&good, &[]);
    let bad = good.toml().replace("name = \"x\"", "nam = \"x\"");
    let secret = "\"sasl.password\" = \"hush-hush\"\n[admin]\ntoken = \"too-short\"\n";
    for (number, file) in [
        (1, format!("{bad}{secret}").into_bytes()),
        (2, b"reference = \"http://127.0.0.1:1\"\n\xff\xfe".to_vec()),
        (3, b"reference = \"hush-hush".to_vec()),
        (4, Vec::from("routes = 7")),
        (5, Vec::from("\n")),
    ] {
        std::fs::write(miffy.path("config.toml"), file).unwrap();
        miffy.signal("HUP");
        miffy.stderr.events(KEPT, number);
    }
    std::fs::remove_file(miffy.path("config.toml")).unwrap();
    miffy.signal("HUP");
    let kept = miffy.stderr.events(KEPT, 6);
    let error = |number: usize| kept[number]["error"].as_str().unwrap();
    assert!(error(4).contains("is empty"), "{kept:?}");
    assert!(error(5).contains("not there"), "{kept:?}");
    let problems = miffy.stderr.events("the configuration has an error", 3);
    let keys: Vec<&str> = problems
        .iter()
        .map(|it| it["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys[..2], ["admin.token", "routes[0].nam"]);
    assert!(!miffy.stderr.all().join("\n").contains("hush"));
    assert!(!miffy.stderr.all().join("\n").contains("too-short"));
    let reloads = metric(&miffy, "miffy_config_reloads_total").await;
    assert_eq!(
        (reloads["result=\"failure\""], reloads["result=\"success\""]),
        (6, 0)
    );
    assert_eq!(
        metric(&miffy, "miffy_config_last_reload_successful").await[""],
        0
    );
    assert!(warnings(&miffy).await[0].starts_with("the last reload failed"));
    get(&format!("{url}/x/1")).await;
    assert_eq!(miffy.outcomes(1).await["different"], 1);
    miffy.configure(&good.toml());
    miffy.signal("HUP");
    miffy.stderr.event(RELOADED);
    assert_eq!(
        metric(&miffy, "miffy_config_last_reload_successful").await[""],
        1
    );
    assert_eq!(warnings(&miffy).await, [""; 0]);
    stop(&mut miffy);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_unchanged_backends_stay() {
    let broker = Broker::mock();
    let (reference, to_reference) = counting().await;
    let (candidate, to_candidate) = counting().await;
    let setup = Setup::of(&reference, &candidate, &broker);
    let (mut miffy, url) = start(&setup, &[]);
    // One connection of the client, too, whose thread has connections of its own to the backends.
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut client = Client::connect(address).await;
    for round in 0..4_u64 {
        for path in ["/x/1", "/other"] {
            assert_eq!(client.ask("GET", path).await.status(), 200);
        }
        miffy.outcomes(round + 1).await;
        until("the candidate to be read", || async {
            (metric(&miffy, "miffy_shadow_in_flight").await[""] == 0).then_some(())
        })
        .await;
        let routes = format!(
            "{{ path = \"/x/{{*rest}}\", name = \"x\", key = \"{round}\" }}, {{ path = \"/new/{round}\" }}"
        );
        miffy.configure(
            &Setup::of(&reference, &candidate, &broker)
                .routes(&routes)
                .toml(),
        );
        miffy.signal("HUP");
        miffy
            .stderr
            .events(RELOADED, usize::try_from(round).unwrap() + 1);
    }
    assert_eq!(to_reference.load(Ordering::SeqCst), 1);
    assert_eq!(to_candidate.load(Ordering::SeqCst), 1);
    stop(&mut miffy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_watched_is_read_when_it_changes() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let toml = |routes: &str| {
        let setup = Setup::of(&reference, &candidate, &broker).more("watch = true");
        setup.routes(routes).toml()
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // As Kubernetes mounts a ConfigMap: the file is a link through a link that is swapped.
    let mount = |version: &str, toml: &str| {
        std::fs::create_dir(path(version)).unwrap();
        std::fs::write(path(version).join("miffy.toml"), toml).unwrap();
        std::os::unix::fs::symlink(version, path("..new")).unwrap();
        std::fs::rename(path("..new"), path("..data")).unwrap();
    };
    mount("..1", &toml("{ path = \"/a\" }"));
    std::os::unix::fs::symlink("..data/miffy.toml", path("miffy.toml")).unwrap();
    let config = path("miffy.toml");
    let running = Miffy::new(&["--config", config.to_str().unwrap()])
        .anywhere("")
        .env("MIFFY_LOGGING", "json");
    let mut miffy = running.spawn();
    miffy.stderr.event("started");
    mount("..2", &toml("{ path = \"/b\" }"));
    let event = miffy.stderr.event(RELOADED);
    assert_eq!(
        (&event["added"], &event["removed"]),
        (&value!("/b"), &value!("/a"))
    );
    assert_eq!(event["trigger"], "the file has changed");
    // In its place, and not valid: told once.
    std::fs::write(&config, "routes = [").unwrap();
    miffy.stderr.events(KEPT, 1);
    std::fs::write(&config, toml("{ path = \"/c\" }")).unwrap();
    assert_eq!(miffy.stderr.events(RELOADED, 2)[1]["added"], "/c");
    std::fs::remove_file(&config).unwrap();
    miffy.stderr.events(KEPT, 2);
    std::fs::write(&config, toml("{ path = \"/c\" }")).unwrap();
    assert_eq!(miffy.stderr.events(RELOADED, 3)[2]["added"], "");
    // It says itself that it is not to be watched any longer.
    std::fs::write(
        &config,
        toml("{ path = \"/d\" }").replace("watch = true", ""),
    )
    .unwrap();
    assert_eq!(miffy.stderr.events(RELOADED, 4)[3]["added"], "/d");
    std::fs::write(&config, toml("{ path = \"/e\" }")).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert_eq!(miffy.stderr.events(RELOADED, 4).len(), 4);
    miffy.signal("HUP");
    assert_eq!(miffy.stderr.events(RELOADED, 5)[4]["added"], "/e");
    assert_eq!(miffy.stderr.events(KEPT, 2).len(), 2, "each is told once");
    stop(&mut miffy);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_by_hand_and_learned_stays_where_nothing_else_is_said() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let toml = |routes: &str| {
        let setup = Setup::of(&reference, &candidate, &broker);
        setup
            .routes(routes)
            .tables(ADMIN)
            .more("noise = \"requery\"")
            .toml()
    };
    let same = "{ path = \"/same/{n}\", name = \"same\" }";
    let routes =
        |other: &str| format!("{same}, {{ path = \"/other/{{n}}\", name = \"other\"{other} }}");
    let running =
        Miffy::new(&[]).anywhere(&toml(&format!("{}, {{ path = \"/gone\" }}", routes(""))));
    let mut miffy = running.env("MIFFY_LOGGING", "json").spawn();
    let url = format!(
        "http://{}",
        miffy.stderr.event("started")["address"].as_str().unwrap()
    );
    for path in ["/same/1", "/other/1", "/gone"] {
        get(&format!("{url}{path}")).await;
    }
    miffy.outcomes(3).await;
    let admin = Admin::at(miffy.management());
    for name in ["same", "other", "%2Fgone"] {
        let path = format!("/admin/experiments/{name}");
        admin.post(&format!("{path}/pause"), "").await;
        admin
            .ok(
                http::Method::PUT,
                &format!("{path}/sample"),
                "{\"rate\":0.25}",
            )
            .await;
        let breaker = format!("{path}/candidates/candidate/breaker");
        admin.post(&breaker, "{\"state\":\"open\"}").await;
    }
    let before = admin.get("/admin/experiments").await;
    let noise = admin.get("/admin/experiments/same/noise").await;
    assert_eq!(noise["candidates"][0]["exchanges"], 1, "{noise}");
    let gauges = ["miffy_experiment_paused", "miffy_breaker_open"];
    for gauge in gauges {
        let samples = metric(&miffy, gauge).await;
        let of = |name: &str| {
            let label = format!("experiment=\"{name}\"");
            let samples = samples.iter();
            let values = samples.filter(|(labels, _)| labels.starts_with(&label));
            values.map(|(_, value)| *value).max().unwrap()
        };
        assert_eq!((of("same"), of("other"), of("/gone")), (1, 1, 1), "{gauge}");
    }

    miffy.configure(&toml(&routes(", key = \"n\"")));
    miffy.signal("HUP");
    let event = miffy.stderr.event(RELOADED);
    assert_eq!(
        (&event["changed"], &event["removed"]),
        (&value!("other"), &value!("/gone"))
    );
    let after = admin.get("/admin/experiments").await;
    let of = |list: &Value, name: &str| {
        let mut list = list["experiments"].as_array().unwrap().iter();
        list.find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(of(&before, "same"), of(&after, "same"));
    assert_eq!(noise, admin.get("/admin/experiments/same/noise").await);
    let mut other = of(&before, "other");
    other["candidates"][0]["outcomes"] = value!({});
    assert_eq!(
        other,
        of(&after, "other"),
        "its counts begin anew, and nothing else does"
    );
    for gauge in gauges {
        let samples = metric(&miffy, gauge).await;
        let gone = samples
            .iter()
            .filter(|(labels, _)| labels.contains("/gone"));
        assert!(
            gone.clone().count() > 0 && gone.clone().all(|(_, value)| *value == 0),
            "{gauge}"
        );
    }
    let text = miffy.manage("/metrics").await;
    assert!(
        text.contains("miffy_experiment_sample_rate{experiment=\"same\"} 0.25"),
        "{text}"
    );
    assert!(
        text.contains("miffy_experiment_sample_rate{experiment=\"/gone\"} 0\n"),
        "{text}"
    );
    stop(&mut miffy);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_told_and_the_rest_applied() {
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = || Setup::of(&reference, &candidate, &broker);
    let (mut miffy, url) = start(&setup(), &[]);
    let tables =
        "\"sasl.password\" = \"hush-hush\"\n[capture]\nmax_body = 7\n[clients]\nmax_headers = 7\n";
    let routes = "{ path = \"/y\", name = \"y\" }";
    miffy.configure(&setup().tables(tables).routes(routes).toml());
    miffy.signal("HUP");
    miffy.stderr.event(RELOADED);
    let keys = "clients, capture, kafka.\"sasl.password\"";
    assert_eq!(
        miffy.stderr.event("changed, and needs a restart")["keys"],
        keys
    );
    assert_eq!(warnings(&miffy).await, [format!("needs a restart: {keys}")]);
    get(&format!("{url}/y")).await;
    assert_eq!(miffy.outcomes(1).await["different"], 1);
    assert!(!miffy.stderr.all().join("\n").contains("hush"));
    miffy.configure(&setup().toml());
    miffy.signal("HUP");
    miffy.stderr.events(RELOADED, 2);
    assert_eq!(warnings(&miffy).await, [""; 0]);
    // Where it would lead to itself, whatever its port is said to be.
    miffy.configure(&setup().toml().replace(&reference.url(), &url));
    miffy.signal("HUP");
    let problem = miffy.stderr.event("the configuration has an error");
    assert_eq!(problem["key"], "reference");
    stop(&mut miffy);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_the_environment_is_read_again() {
    let broker = Broker::mock();
    let mut miffy = Miffy::new(&[])
        .env("MIFFY_ADDRESS", "127.0.0.1")
        .env("MIFFY_MANAGEMENT_ADDRESS", "127.0.0.1")
        .env("MIFFY_PORT", "0")
        .env("MIFFY_MANAGEMENT_PORT", "0")
        .env("MIFFY_SHUTDOWN_DELAY", "off")
        .env("MIFFY_LOGGING", "json")
        .env("MIFFY_WATCH", "true")
        .env("KAFKA_BOOTSTRAP_SERVERS", &broker.address)
        .spawn();
    miffy.stderr.event("started");
    miffy
        .stderr
        .event("watch is set, and there is no configuration file to look at");
    miffy.signal("HUP");
    miffy
        .stderr
        .event("there is no configuration file: the environment was read again");
    stop(&mut miffy);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reloads_under_load_cost_no_request_and_no_outcome() {
    const CLIENTS: usize = 4;
    let broker = Broker::mock();
    let (reference, candidate) = disagreeing().await;
    let setup = |key: usize| {
        let routes = format!("{{ path = \"/x/{{*rest}}\", name = \"x\", key = \"{key}\" }}");
        Setup::of(&reference, &candidate, &broker).routes(&routes)
    };
    let (mut miffy, url) = start(&setup(0), &[("RUST_LOG", "info,miffy::access=off")]);
    let stopped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = |_| {
        let (url, stopped) = (format!("{url}/x/1"), stopped.clone());
        tokio::spawn(async move {
            let client = crate::support::http_client();
            let mut sent = 0_u64;
            while !stopped.load(Ordering::SeqCst) {
                let response = client.get(&url).send().await.unwrap();
                assert_eq!(response.status(), 200);
                response.bytes().await.unwrap();
                sent += 1;
            }
            sent
        })
    };
    let load: Vec<_> = (0..CLIENTS).map(load).collect();
    for round in 1..=5 {
        for n in 0..20 {
            match n % 4 {
                3 => miffy.configure("routes = ["),
                _ => miffy.configure(&setup(100 * round + n).toml()),
            }
            miffy.signal("HUP");
        }
        let successes = async || {
            let reloads = metric(&miffy, "miffy_config_reloads_total").await;
            reloads["result=\"success\""]
        };
        let before = successes().await;
        miffy.configure(&setup(100 * round + 99).toml());
        miffy.signal("HUP");
        until("a reload", || async {
            (successes().await > before).then_some(())
        })
        .await;
    }
    stopped.store(true, Ordering::SeqCst);
    let mut sent = 0;
    for client in load {
        sent += client.await.unwrap();
    }
    assert!(!miffy.has_ended());
    let ended = stop(&mut miffy);
    assert_eq!(ended["matched"], sent);
    let outcomes = ended["outcomes"].as_str().unwrap().split(' ');
    let number = |outcome: &str| outcome.split_once('=').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(outcomes.map(number).sum::<u64>(), sent);
}
