//! The configuration, as the binary reads it and tells of it.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use http::HeaderName;
use insta::assert_snapshot;
use miffy::config::{
    Compression, DEFAULTS, Environment, Methods, Problems, Settings, Source, Topics, load,
};
use miffy::redact::Redaction;
use miffy::spool::{Fsync, WhenFull};

use crate::support::process::Miffy;

/// The exit code of a bad configuration.
const EX_USAGE: i32 = 64;

fn settings(toml: &str, environment: &[(&str, &str)]) -> Result<Settings, Problems> {
    let environment: Environment = environment.iter().copied().collect();
    load(&Source::Text(toml.to_owned()), &environment).map(|loaded| loaded.settings)
}

/// The problems of a configuration, one a line.
fn problems(toml: &str, environment: &[(&str, &str)]) -> String {
    let problems = settings(toml, environment).expect_err("it is wrong");
    let lines = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.key, problem.message));
    lines.collect::<Vec<_>>().join("\n")
}

fn warnings(toml: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let environment: Environment = environment.iter().copied().collect();
    load(&Source::Text(toml.to_owned()), &environment)
        .unwrap()
        .warnings
}

#[test]
fn every_sample_file_of_the_project_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut samples = vec!["config.default.toml", "config.sample.toml"];
    samples.extend(["tests/compat/miffy-1.0.1/config.toml", "bench/config.toml"]);
    for sample in samples {
        let text = std::fs::read_to_string(root.join(sample)).unwrap();
        settings(&text, &[]).unwrap_or_else(|problems| panic!("{sample}: {problems}"));
    }
    assert_eq!(
        settings(DEFAULTS, &[]),
        settings("", &[]),
        "the file says what is compiled in"
    );
}

#[test]
fn every_wrong_pattern_of_what_is_hidden_is_told() {
    let toml = r#"
        [redact]
        headers = ["x-*", "a b", "", "é"]
        query = ["", "*"]
        body = ["/a/**", "user", "", "/~2"]
        bodies = []
    "#;
    let wrong = problems(toml, &[]);
    let keys: Vec<&str> = wrong
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    let expected = [
        "redact.headers[1]",
        "redact.headers[2]",
        "redact.headers[3]",
        "redact.query[0]",
        "redact.body[1]",
        "redact.body[3]",
        "redact.bodies",
    ];
    assert_eq!(keys, expected, "{wrong}");
    assert!(wrong.contains("did you mean `body`?"), "{wrong}");
}

#[test]
fn credentials_are_hidden_unless_it_says_otherwise() {
    let redaction = |toml: &str| {
        let settings = settings(toml, &[]).unwrap();
        Redaction::with_key(settings.redact, b"a key")
    };
    let hides = |toml: &str, name: &'static str| {
        redaction(toml).hides_header(&HeaderName::from_static(name))
    };
    for name in [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-apikey",
        "x-amz-security-token",
        "x-forwarded-authorization",
        "x-basic-auth",
        "x-csrf-token",
        "x-client-secret",
        "x-session-id",
        "x-goog-iap-jwt-assertion",
    ] {
        assert!(hides("", name), "{name}");
        assert!(!hides("[redact]\nheaders = []", name), "{name}");
    }
    for name in [
        "content-type",
        "www-authenticate",
        "idempotency-key",
        "etag",
        "x-author",
        "accept",
        "host",
    ] {
        assert!(!hides("", name), "{name}");
    }
    assert!(!redaction("").hides_bodies());
    assert_eq!(redaction("").target("/?token=1"), "/?token=1");
}

#[test]
fn a_file_of_miffy_1_0_1_means_what_it_meant() {
    let settings = settings(include_str!("../compat/miffy-1.0.1/config.toml"), &[]).unwrap();
    assert_eq!(settings.listen.port(), 18080);
    assert_eq!(settings.management_listen.port(), 19000);
    assert_eq!(settings.routes.len(), 9);
    assert_eq!(settings.routes[0].key.as_deref(), Some("id"));
    assert_eq!(
        settings.routes[8].candidates[0].backend.base.to_string(),
        "http://127.0.0.1:13999"
    );
    assert_eq!(
        settings.routes[8].reference.base.to_string(),
        "http://127.0.0.1:13000"
    );
    let properties = &settings.kafka.properties;
    assert_eq!(properties["queue.buffering.max.messages"], "200000");
    assert_eq!(properties["enable.idempotence"], "true");
}

#[test]
fn without_any_configuration_miffys_defaults_hold() {
    let settings = settings("", &[]).unwrap();
    assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.management_listen.to_string(), "0.0.0.0:9000");
    assert_eq!(settings.kafka.topic, "miffy");
    let properties = &settings.kafka.properties;
    assert_eq!(properties["acks"], "all");
    assert_eq!(properties["enable.idempotence"], "true");
    assert_ne!(properties["compression.type"], "none");
}

#[test]
fn the_environment_outranks_the_file() {
    let file = "port = 1\nlogging = \"human\"\n[kafka]\n\"linger.ms\" = 1\n";
    let environment = [
        ("MIFFY_PORT", "1234"),
        ("MIFFY_MANAGEMENT_PORT", "1235"),
        ("MIFFY_LOGGING", "json"),
        ("MIFFY_KAFKA_TOPIC", "other"),
        ("MIFFY_SHUTDOWN_TIMEOUT", "1s"),
        ("MIFFY_TIMEOUTS_REFERENCE_FIRST_BYTE", "7s"),
        ("MIFFY_CAPTURE_MAX_BODY", "5KiB"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"),
        ("KAFKA_LINGER_MS", "9"),
        ("KAFKA_SASL_PASSWORD", "secret"),
        ("MIFFY_KAFKA_SSL_KEY_PASSWORD", "another"),
        ("KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION", "false"),
        ("MIFFY_CONFIG", "not-a-key.toml"),
        ("UNRELATED", "1"),
    ];
    let settings = settings(file, &environment).unwrap();
    assert_eq!(settings.listen.port(), 1234);
    assert_eq!(settings.management_listen.port(), 1235);
    assert_eq!(settings.kafka.topic, "other");
    assert_eq!(settings.shutdown_timeout.as_secs(), 1);
    assert_eq!(
        settings
            .reference_backends
            .timeouts
            .first_byte
            .map(|limit| limit.as_secs()),
        Some(7)
    );
    assert_eq!(settings.capture.max_body, 5120);
    let properties = &settings.kafka.properties;
    assert_eq!(properties["bootstrap.servers"], "kafka:9092");
    assert_eq!(properties["linger.ms"], "9");
    assert_eq!(properties["sasl.password"], "secret");
    assert_eq!(properties["ssl.key.password"], "another");
    assert_eq!(properties["enable.ssl.certificate.verification"], "false");
}

#[test]
fn every_scalar_key_of_the_defaults_can_be_set_in_the_environment() {
    let table: toml::Table = DEFAULTS.parse().unwrap();
    let mut checked = 0;
    check_table(&table, "MIFFY", &mut checked);
    assert!(checked > 25, "{checked}");
}

/// Sets each key to its own default through the environment; that changes nothing.
fn check_table(table: &toml::Table, prefix: &str, checked: &mut u32) {
    for (key, value) in table {
        let name = format!("{prefix}_{}", key.to_uppercase().replace('.', "_"));
        match value {
            toml::Value::Table(table) => check_table(table, &name, checked),
            toml::Value::Array(_) => {}
            value => {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let set = settings("", &[(&name, &text)]);
                assert_eq!(set, settings("", &[]), "{name}={text}");
                let wrong = problems("", &[(&format!("{name}X"), &text)]);
                assert!(wrong.starts_with(&format!("{name}X: no key")), "{wrong}");
                *checked += 1;
            }
        }
    }
}

#[test]
fn what_kubernetes_injects_does_no_harm() {
    let injected = [
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ("KAFKA_SERVICE_HOST", "10.0.0.1"),
        ("KAFKA_SERVICE_PORT", "9092"),
        ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ("MIFFY_PORT", "tcp://10.0.0.2:8080"),
        ("MIFFY_SERVICE_HOST", "10.0.0.2"),
        ("MIFFY_SERVICE_PORT", "8080"),
        ("MIFFY_SERVICE_PORT_HTTP", "8080"),
        ("MIFFY_PORT_8080_TCP", "tcp://10.0.0.2:8080"),
        ("MIFFY_PORT_8080_TCP_PROTO", "tcp"),
        ("MIFFY_MANAGEMENT_PORT", "tcp://10.0.0.3:9000"),
        ("MIFFY_MANAGEMENT_SERVICE_HOST", "10.0.0.3"),
        ("MIFFY_MANAGEMENT_PORT_9000_TCP_PORT", "9000"),
    ];
    assert_eq!(settings("", &injected), settings("", &[]));
    let warnings = warnings("", &injected).join("\n");
    for (name, _) in injected {
        assert!(
            warnings.contains(name),
            "{name} is not named in: {warnings}"
        );
    }
}

#[test]
fn every_error_is_told_at_once_with_its_key() {
    let toml = r#"
        portt = 1
        management_port = "ninety"
        logging = "xml"
        shutdown_timeout = 25
        reference = "localhost:3000"
        candidate = "http://host/?q=1"
        routes = [
            { path = "api/{v}" },
            { path = "/a/:id" },
            { path = "/b/{x}" },
            { path = "/b/{y}", methods = ["G T"], kee = "x" },
            { path = "/c/{*rest}/more", reference = "ftp://host" },
            { name = "nameless" },
            { path = "/d", name = "/b/{x}", methods = [] },
        ]
        [timeouts.candidate]
        exchange = "off"
        [capture]
        max_body = "much"
        [shadow]
        max_in_flight = 0
        [delivry]
        [kafka]
        topic = "no spaces"
        "bootstrap.server" = "a:1"
        "linger.ms" = "soon"
        "acks" = "some"
    "#;
    let environment = [
        ("MIFFY_MANAGMENT_PORT", "1"),
        ("MIFFY_SHADOW_MAX_WAIT", "soon"),
        ("KAFKA_SOCKET_TIMEOUT_MS", "-5"),
    ];
    assert_snapshot!(problems(toml, &environment));
}

#[test]
fn what_could_never_work_is_an_error() {
    let broker = |servers: &str| format!("[kafka]\n\"bootstrap.servers\" = \"{servers}\"\n");
    let route = |path: &str| format!("routes = [{{ path = \"{path}\" }}]");
    let cases = [
        (
            "port = 9000".to_owned(),
            "management_port: is the same as port",
        ),
        ("port = 65536".to_owned(), "port number"),
        (
            "candidate = \"http://a:80800\"".to_owned(),
            "no port number",
        ),
        (
            "shutdown_timeout = \"9999999999s\"".to_owned(),
            "up to a year",
        ),
        (
            "[compare]\nmax_differences = 9223372036854775807".to_owned(),
            "100000000",
        ),
        (broker(""), "bootstrap.servers"),
        (broker("a:9092,,b:port"), "bootstrap.servers"),
        (route("/a b"), "' ' in it"),
        (route("/a?b"), "'?' in it"),
        (route("/{id}/{id}"), "two parameters \"id\""),
        (
            "\"port[9223372036854775807]\" = 1".to_owned(),
            "unknown key",
        ),
        ("\"port.x\" = 1".to_owned(), "unknown key"),
        ("\"\" = 1".to_owned(), "unknown key"),
        (
            "[kafka]\nsasl.password = \"x\"".to_owned(),
            "has to be quoted",
        ),
        (
            "port = 99999999999999999999".to_owned(),
            "at line 1, column 8",
        ),
        ("port = 1e999".to_owned(), "overflowed at line 1"),
        (
            "[delivery]\nqueue_bytes = 0".to_owned(),
            "delivery.queue_bytes: ",
        ),
    ];
    for (toml, part) in cases {
        let problems = problems(&toml, &[]);
        assert!(problems.contains(part), "{toml}: {problems}");
    }
}

#[test]
fn a_value_in_place_of_a_table_is_told_and_nothing_that_follows_from_it() {
    let toml = "shadow = 1\nkafka = \"a:1\"\ntimeouts = { reference = \"1s\" }";
    let environment = [("MIFFY_SHADOW_MAX_WAIT", "1s"), ("KAFKA_ACKS", "all")];
    let expected = ["shadow", "kafka", "timeouts.reference"]
        .map(|key| format!("{key}: must be a table (in the given configuration)"));
    for environment in [&[][..], &environment] {
        assert_eq!(
            problems(toml, environment).lines().collect::<Vec<_>>(),
            expected
        );
    }
}

#[test]
fn every_error_of_the_kafka_table_is_told_at_once() {
    let toml = r#"
        [kafka]
        topic = "no spaces"
        "linger.ms" = "soon"
        "bootstrap.servers" = "host:port"
    "#;
    let wrong = problems(toml, &[]);
    for key in [
        "kafka.topic",
        "kafka.\"linger.ms\"",
        "kafka.\"bootstrap.servers\"",
    ] {
        assert!(wrong.contains(key), "{wrong}");
    }
    let toml = "[kafka]\ntopic = \"no spaces\"\nacks = 1\n\"enable.idempotence\" = true\n";
    let wrong = problems(toml, &[]);
    assert!(
        wrong.contains("kafka.topic") && wrong.contains("`acks` must be set"),
        "{wrong}"
    );
}

#[test]
fn librdkafka_says_how_large_a_record_may_be() {
    for (given, largest) in [
        ("", 1_000_000),
        ("\"message.max.bytes\" = \"0x8000\"", 0x8000),
        ("\"message.max.bytes\" = 5000000", 5_000_000),
        ("\"queue.buffering.max.kbytes\" = 100", 102_400),
    ] {
        let kafka = settings(&format!("[kafka]\n{given}\n"), &[]).unwrap().kafka;
        assert_eq!(kafka.max_message_bytes, largest, "{given}");
    }
}

/// The topics of two routes, `name` and `/a/{id}`, by what `[kafka]` and the second one say.
fn topics(kafka: &str, own: &str) -> Vec<String> {
    let toml = format!(
        "routes = [{{ path = \"/\", name = \"name\" }}, {{ path = \"/a/{{id}}\"{own} }}]\n[kafka]\n{kafka}"
    );
    let routes = settings(&toml, &[]).unwrap().routes;
    routes.into_iter().map(|route| route.topic).collect()
}

#[test]
fn a_route_has_its_own_topic_or_the_one_of_all_by_its_name() {
    assert_eq!(topics("", ""), ["miffy", "miffy"]);
    let template = "topic = \"miffy.{route}\"";
    assert_eq!(topics(template, ""), ["miffy.name", "miffy.a-id"]);
    assert_eq!(topics(template, ", topic = \"own\""), ["miffy.name", "own"]);
    assert_eq!(
        topics("", ", topic = \"{route}_own\""),
        ["miffy", "a-id_own"]
    );
}

#[test]
fn a_topic_that_kafka_would_not_take_is_an_error_with_its_key() {
    let no_name = "routes = [{ path = \"/{*rest}\", name = \"**\" }]\n";
    let long = format!(
        "routes = [{{ path = \"/\", name = \"{}\" }}]\n",
        "n".repeat(249)
    );
    let template = |topic: &str| format!("[kafka]\ntopic = \"{topic}\"\n");
    for (toml, expected) in [
        (
            template("{name}.x"),
            "kafka.topic: \"{name}.x\" is no topic name",
        ),
        (
            template("{route} x"),
            "kafka.topic: \"{route} x\" is no topic name",
        ),
        (template(".."), "kafka.topic: \"..\" is no topic name"),
        (
            no_name.to_owned() + &template("{route}"),
            "routes[0].topic: \"{route}\" would be \"\" for the route \"**\"",
        ),
        (
            long + &template("x{route}"),
            "routes[0].topic: \"x{route}\" would be",
        ),
        (
            "routes = [{ path = \"/\", topic = \"a b\" }]".to_owned(),
            "routes[0].topic: \"a b\" is no topic name",
        ),
    ] {
        let wrong = problems(&toml, &[]);
        assert!(wrong.starts_with(expected), "{toml}: {wrong}");
        assert_eq!(wrong.lines().count(), 1, "{wrong}");
    }
}

#[test]
fn routes_that_come_to_the_same_topic_by_the_template_are_warned_of() {
    let warned = |kafka: &str, topic: &str| {
        let toml = format!(
            "routes = [{{ path = \"/a/b\" }}, {{ path = \"/a-b\"{topic} }}, {{ path = \"/c\" }}]\n[kafka]\n{kafka}"
        );
        let warned = warnings(&toml, &[]).join("\n");
        warned.contains("the routes \"/a/b\" and \"/a-b\" have the same topic, \"t.a-b\"")
    };
    assert!(warned("topic = \"t.{route}\"", ""));
    assert!(!warned("topic = \"t.{route}\"", ", topic = \"own\""));
    assert!(!warned("topic = \"t.a-b\"", ""));
    assert!(!warned(
        "topic = \"t.{route}\"\nenabled = false\n[stdout]\nenabled = true",
        ""
    ));
}

#[test]
fn records_have_to_go_somewhere() {
    let off = "[kafka]\nenabled = false\n\"bootstrap.servers\" = \"a:b\"\n\"ssl.ca.location\" = \"/none\"\n";
    let wrong = problems(off, &[]);
    assert!(
        wrong.starts_with("kafka.enabled: is false, and neither file.path nor stdout.enabled"),
        "{wrong}"
    );
    assert_eq!(wrong.lines().count(), 1, "{wrong}");
    for other in [
        "[stdout]\nenabled = true",
        "[file]\npath = \"records.jsonl\"",
    ] {
        let settings = settings(&format!("{off}{other}"), &[]).unwrap();
        assert!(!settings.kafka.enabled);
        assert_eq!(settings.warnings_of_delivery(), [""; 0]);
    }
    let typo = "[stdout]\nenabled = true\n[kafka]\nenabled = false\n\"bootstrap.server\" = \"a:1\"";
    assert!(problems(typo, &[]).contains("unknown librdkafka property"));
}

#[test]
fn kafka_without_a_spool_is_warned_of() {
    let told = |environment: &[(&str, &str)]| {
        let warned = warnings("", environment).join("\n");
        let of_delivery = settings("", environment).unwrap().warnings_of_delivery();
        assert!(of_delivery.iter().all(|text| warned.contains(text)));
        of_delivery.len()
    };
    assert_eq!(told(&[]), 1);
    assert_eq!(told(&[("MIFFY_SPOOL_DIRECTORY", "spool")]), 0);
}

#[test]
fn the_spool_is_off_or_has_all_of_its_settings() {
    assert_eq!(settings("", &[]).unwrap().spool, None);
    let spool = |more: &str| {
        let toml = format!("[spool]\ndirectory = \"/s\"\n{more}");
        settings(&toml, &[]).unwrap().spool.unwrap()
    };
    let by_default = spool("");
    assert_eq!(by_default.directory, Path::new("/s"));
    assert_eq!(by_default.max_bytes, 1 << 30);
    assert_eq!(by_default.when_full, WhenFull::DropNew);
    assert_eq!(by_default.fsync, Fsync::Interval(Duration::from_secs(1)));
    let other = spool("max_bytes = \"1MiB\"\nwhen_full = \"drop_old\"\nfsync = \"always\"");
    assert_eq!(other.max_bytes, 1 << 20);
    assert_eq!(other.when_full, WhenFull::DropOld);
    assert_eq!(other.fsync, Fsync::Always);
    assert_eq!(spool("fsync = \"never\"").fsync, Fsync::Never);
    let wrong = problems(
        "[spool]\ndirectory = \"\"\nmax_bytes = 1048575\nwhen_full = \"drop\"\nfsync = true\nfsync_interval = 1",
        &[],
    );
    let keys: Vec<&str> = wrong
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    let expected = [
        "spool.directory",
        "spool.max_bytes",
        "spool.when_full",
        "spool.fsync",
        "spool.fsync_interval",
    ];
    assert_eq!(keys, expected, "{wrong}");
}

#[test]
fn the_file_and_topics_have_their_settings() {
    let toml = r#"
        [file]
        path = "records.jsonl"
        max_size = "1KiB"
        max_files = 3
        compression = "zstd"
        [topics]
        create = true
        partitions = 6
        replication_factor = 3
        retention = "7days"
    "#;
    let given = settings(toml, &[]).unwrap();
    let file = given.file.unwrap();
    assert_eq!(file.path, Path::new("records.jsonl"));
    assert_eq!((file.max_size, file.max_files), (1024, 3));
    assert_eq!(file.compression, Some(Compression::Zstd));
    let topics = Topics {
        create: true,
        partitions: Some(6),
        replication_factor: Some(3),
        retention: Some(Duration::from_hours(7 * 24)),
    };
    assert_eq!(given.topics, topics);
    assert_eq!(settings("", &[]).unwrap().file, None);
    for (toml, expected) in [
        ("[file]\npath = \"a/..\"", "file.path: "),
        ("[file]\nmax_size = 1023", "file.max_size: "),
        ("[file]\nmax_files = 0", "file.max_files: "),
        ("[file]\ncompression = \"lz4\"", "file.compression: "),
        ("[topics]\npartitions = 0", "topics.partitions: "),
        (
            "[topics]\nreplication_factor = 32768",
            "topics.replication_factor: ",
        ),
        ("[topics]\nretention = -1", "topics.retention: "),
    ] {
        let wrong = problems(toml, &[]);
        assert!(wrong.starts_with(expected), "{wrong}");
    }
}

#[test]
fn no_secret_property_shows_anywhere() {
    let names: Vec<&str> = include_str!("../../src/config/librdkafka_properties.txt")
        .lines()
        .filter(|name| {
            let words = [
                "password",
                "secret",
                "passphrase",
                "key.pem",
                "oauthbearer.config",
            ];
            words.iter().any(|word| name.contains(word))
        })
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let toml = format!("[kafka]\n\"{name}\" = \"s3cret\"");
        let shown = match load(&Source::Text(toml), &Environment::default()) {
            Ok(loaded) => {
                assert_eq!(loaded.settings.kafka.properties[name], "s3cret");
                format!("{loaded:?} {:#?}", loaded.settings)
            }
            Err(problems) => format!("{problems} {problems:?}"),
        };
        assert!(shown.contains(name), "{name}");
        assert!(!shown.contains("s3cret"), "{name}: {shown}");
    }
}

#[test]
fn check_says_which_route_has_which_topic_if_they_differ() {
    let table = |topic: &str| {
        let toml =
            format!("routes = [{{ path = \"/a\" }}, {{ path = \"/b\", topic = \"{topic}\" }}]");
        let ended = Miffy::new(&["check"]).config(&toml).output();
        let table = ended.stdout.lines().filter(|line| line.starts_with("#   "));
        table.map(str::to_owned).collect::<Vec<_>>()
    };
    let cell = |line: &String| line.split_whitespace().nth(5).unwrap().to_owned();
    assert!(!table("miffy")[0].contains("topic"));
    let lines = table("other");
    assert!(lines[0].contains("  topic"), "{lines:?}");
    assert_eq!([cell(&lines[1]), cell(&lines[2])], ["miffy", "other"]);
}

#[test]
fn secrets_are_not_told_in_errors() {
    for toml in [
        "reference = \"http://user:s3cret@host\"",
        "candidate = \"user:s3cret@host\"",
        "[kafka]\n\"sasl.password\" = \"s3cret",
        "[kafka]\n\"sasl.password\" = s3cret",
        "[kafka]\n\"sasl.password\" = [\"s3cret\"]",
        "[kafka]\n\"ssl.key.password\" = { s3cret = 1 }",
    ] {
        let ended = Miffy::new(&["check"]).config(toml).output();
        assert_eq!(ended.code, EX_USAGE, "{toml}");
        assert!(!ended.stderr.contains("s3cret"), "{toml}: {}", ended.stderr);
    }
}

#[test]
fn a_variable_that_is_not_unicode_is_an_error() {
    let value = OsString::from_vec(vec![b'a', 0xff]);
    let environment = [("MIFFY_KAFKA_TOPIC", value.clone()), ("OTHER", value)];
    let environment: Environment = environment.into_iter().collect();
    let problems = load(&Source::Text(String::new()), &environment).unwrap_err();
    assert_eq!(
        problems.to_string().lines().skip(1).collect::<Vec<_>>(),
        ["  MIFFY_KAFKA_TOPIC: its value is not Unicode"]
    );
}

#[test]
fn properties_that_rule_each_other_out_are_an_error() {
    let toml = "[kafka]\n\"enable.idempotence\" = true\n\"acks\" = 1\n";
    assert!(problems(toml, &[]).contains("`acks` must be set to `all`"));
    let toml = "[kafka]\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"/not/there\"\n";
    assert!(problems(toml, &[]).contains("ssl.ca.location failed"));
    let toml = "[kafka]\n\"acks\" = 1\n\"request.required.acks\" = 1\n";
    assert!(problems(toml, &[]).contains("is the same property as \"acks\""));
}

#[test]
fn idempotence_gives_way_where_it_was_not_asked_for() {
    let toml = "[kafka]\n\"acks\" = 1\n";
    let properties = settings(toml, &[]).unwrap().kafka.properties;
    assert_eq!(properties["enable.idempotence"], "false");
    let warnings = warnings(toml, &[]).join("\n");
    assert!(
        warnings.contains("\"enable.idempotence\" is turned off"),
        "{warnings}"
    );
}

#[test]
fn a_property_may_be_given_by_its_other_name() {
    let toml = "[kafka]\n\"metadata.broker.list\" = \"a:1\"\n\"compression.codec\" = \"lz4\"\n";
    let properties = settings(toml, &[]).unwrap().kafka.properties;
    assert_eq!(properties.get("bootstrap.servers"), None);
    assert_eq!(properties.get("compression.type"), None);
    assert_eq!(properties["metadata.broker.list"], "a:1");
}

#[test]
fn the_environment_outranks_the_file_by_whichever_name_of_a_property() {
    for (variable, of_file, of_variable) in [
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            "metadata.broker.list",
            "bootstrap.servers",
        ),
        (
            "KAFKA_METADATA_BROKER_LIST",
            "bootstrap.servers",
            "metadata.broker.list",
        ),
        (
            "MIFFY_KAFKA_METADATA_BROKER_LIST",
            "bootstrap.servers",
            "metadata.broker.list",
        ),
    ] {
        let file = format!("[kafka]\n\"{of_file}\" = \"file:1\"\n");
        let properties = settings(&file, &[(variable, "environment:1")])
            .unwrap()
            .kafka
            .properties;
        assert_eq!(properties.get(of_file), None, "{variable}");
        assert_eq!(properties[of_variable], "environment:1", "{variable}");
    }
}

#[test]
fn writes_that_are_mirrored_without_saying_so_are_warned_of() {
    let warned = |methods: &str| {
        let toml = format!("routes = [{{ path = \"/a\"{methods} }}]");
        warnings(&toml, &[])
            .iter()
            .any(|warning| warning.contains("mirrors every method"))
    };
    assert!(warned(""));
    assert!(!warned(", methods = [\"GET\"]"));
    assert!(!warned(", methods = [\"*\"]"));
    let toml = "routes = [{ path = \"/a\", methods = [\"get\", \"PURGE\"] }]";
    let methods = settings(toml, &[]).unwrap().routes[0].methods.clone();
    let expected = ["GET", "PURGE"].map(|method| method.parse().unwrap());
    assert_eq!(methods, Some(Methods::Only(expected.to_vec())));
}

#[test]
fn a_backend_that_is_miffy_itself_is_an_error() {
    for (toml, key) in [
        ("reference = \"http://localhost:8080\"", "reference"),
        ("reference = \"http://[::1]:8080/v1\"", "reference"),
        ("port = 80\nreference = \"http://0.0.0.0\"", "reference"),
        (
            "routes = [{ path = \"/a\", candidate = \"http://127.0.0.1:8080\" }]",
            "routes[0].candidate",
        ),
        (
            "routes = [{ path = \"/a\", reference = \"http://127.0.0.1:8080\" }]",
            "routes[0].reference",
        ),
    ] {
        let wrong = problems(toml, &[]);
        assert!(
            wrong.starts_with(&format!("{key}: http://")),
            "{toml}: {wrong}"
        );
        assert!(
            wrong.contains("is where miffy itself listens"),
            "{toml}: {wrong}"
        );
    }
    for toml in [
        "reference = \"https://localhost\"",
        "reference = \"http://other:8080\"",
        "address = \"127.0.0.2\"\nreference = \"http://127.0.0.1:8080\"",
    ] {
        assert!(settings(toml, &[]).is_ok(), "{toml}");
    }
}

#[test]
fn backends_that_nobody_named_are_warned_of() {
    let unset = |toml: &str, environment: &[(&str, &str)]| {
        let warned = warnings(toml, environment).join("\n");
        ["reference", "candidate"].map(|key| warned.contains(&format!("{key} is not set")))
    };
    let route = "routes = [{ path = \"/a\", methods = [\"GET\"] }]";
    assert_eq!(unset("", &[]), [true, false]);
    assert_eq!(unset(route, &[]), [true, true]);
    assert_eq!(
        unset(route, &[("MIFFY_REFERENCE", "http://a")]),
        [false, true]
    );
    let routes = "routes = [{ path = \"/a\", candidate = \"http://a\" }]";
    assert_eq!(unset(routes, &[]), [true, false]);
}

#[test]
fn a_key_that_was_likely_meant_to_be_a_parameter_is_warned_of() {
    let warned = |key: &str| {
        let toml = format!("routes = [{{ path = \"/a/{{order_id}}\", key = \"{key}\" }}]");
        let warned = warnings(&toml, &[]).join("\n");
        warned.contains("no parameter's name; did you mean `order_id`?")
    };
    for (key, expected) in [
        ("order_id", false),
        ("everything", false),
        ("{order_id}", true),
        ("orderid", true),
    ] {
        assert_eq!(warned(key), expected, "{key}");
    }
}

#[test]
fn check_shows_the_configuration_in_effect_with_its_routes_and_doubts() {
    let toml = r#"
        reference = "http://old:1"
        routes = [
            { path = "/api/{value}", methods = ["GET", "HEAD"], key = "value" },
            { path = "/orders/{*rest}", name = "orders", candidate = "https://new/v2/" },
        ]
        [kafka]
        "sasl.username" = "miffy"
        "sasl.password" = "s3cret"
    "#;
    let ended = Miffy::new(&["check"])
        .config(toml)
        .env("KAFKA_SSL_KEY_PASSWORD", "s3cret")
        .env("KAFKA_PORT", "tcp://10.0.0.1:9092")
        .env("MIFFY_PORT", "81")
        .output();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stdout.contains("s3cret") && !ended.stderr.contains("s3cret"));
    assert_snapshot!("check_stdout", ended.stdout);
    assert_snapshot!("check_stderr", ended.stderr);
}

#[test]
fn check_output_is_the_same_configuration_again() {
    for toml in [
        "port = 81\nroutes = [{ path = \"/a\" }, { path = \"/b/{id}\", methods = [\"GET\"], key = \"id\" }]",
        "[kafka]\n\"enable.idempotence\" = 1\n\"metadata.broker.list\" = \"a:1\"\n",
        "[capture]\nmax_body = 5000\n[timeouts.reference]\nfirst_byte = \"1m\"\n",
        "routes = [{ path = \"/a\", topic = \"a\" }]\n[kafka]\nenabled = false\ntopic = \"x.{route}\"\n\
         [file]\npath = \"f\"\ncompression = \"off\"\n[spool]\ndirectory = \"s\"\n[topics]\npartitions = 3\n",
    ] {
        let ended = Miffy::new(&["check"]).config(toml).output();
        assert_eq!(
            settings(&ended.stdout, &[]),
            settings(toml, &[]),
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn check_is_content_with_a_reader_that_leaves_and_not_with_a_full_disk() {
    let check = || {
        let toml = include_str!("../../config.sample.toml");
        Miffy::new(&["check"])
            .config(toml)
            .env("MIFFY_SPOOL_DIRECTORY", "spool")
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(check().output_to(writer), (0, String::new()));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (code, said) = check().output_to(full);
    assert_eq!(code, 1);
    assert!(said.contains("standard output can't be written"), "{said}");
}

#[test]
fn an_exit_code_holds_though_nobody_can_be_told_why() {
    for (toml, expected) in [("", 0), ("portt = 1", EX_USAGE)] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let code = Miffy::new(&["check"])
            .config(toml)
            .code_with_errors_to(full);
        assert_eq!(code, expected, "{toml}");
    }
}

#[test]
fn the_demo_takes_no_file() {
    let ended = Miffy::new(&["demo", "--config", "mine.toml"]).output();
    assert_eq!(ended.code, EX_USAGE);
    assert!(ended.stderr.contains("--config"), "{}", ended.stderr);
}

#[test]
fn a_bad_configuration_ends_check_and_run_with_code_64_before_a_port_is_bound() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let toml = format!("port = {port}\nroutes = [{{ path = \"/a\" }}, {{ path = \"/a\" }}]");
    for command in [&["check"][..], &["run"], &[]] {
        let ended = Miffy::new(command).config(&toml).output();
        assert_eq!(ended.code, EX_USAGE, "{}", ended.stderr);
        assert!(
            ended
                .stderr
                .contains("routes[1].name: is needed: routes[0] has the same path"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn the_file_is_the_named_one_or_config_toml_or_none() {
    let port = |miffy: Miffy| {
        let ended = miffy.output();
        let line = ended
            .stdout
            .lines()
            .find(|line| line.starts_with("port = "))
            .map(str::to_owned);
        line.unwrap_or(ended.stderr)
    };
    let check = || Miffy::new(&["check"]).file("other.toml", "port = 2");
    assert_eq!(port(check()), "port = 8080");
    assert_eq!(port(check().config("port = 1")), "port = 1");
    assert_eq!(
        port(check().config("port = 1").env("MIFFY_CONFIG", "other.toml")),
        "port = 2"
    );
    // As Miffy 1.0.1 took it.
    assert_eq!(port(check().env("MIFFY_CONFIG", "other")), "port = 2");
    let named = Miffy::new(&["check", "--config", "third.toml"]).file("third.toml", "port = 3");
    assert_eq!(port(named.env("MIFFY_CONFIG", "other.toml")), "port = 3");
    assert!(
        port(check().env("MIFFY_CONFIG", "none.toml"))
            .contains("none.toml: can't be read: No such file")
    );
    assert!(port(check().config("port = ")).contains("config.toml"));
}

#[test]
fn a_bad_command_line_is_told_with_code_64() {
    let ended = Miffy::new(&["chekc"]).output();
    assert_eq!(ended.code, EX_USAGE);
    assert!(ended.stderr.contains("check"), "{}", ended.stderr);
    let ended = Miffy::new(&["--help"]).output();
    assert_eq!(ended.code, 0);
    assert_snapshot!("help", ended.stdout);
}
