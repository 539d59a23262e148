//! Routes: what they can say, and every way to say it wrong.

mod wrong;

use http::header::{AUTHORIZATION, HeaderName};

use super::*;
use crate::matching::{Rate, SampleBy, Test};

/// The variables that templates find.
fn environment() -> Environment {
    [("TOKEN", "s3cret"), ("EMPTY", ""), ("LINES", "s3cret\n")]
        .into_iter()
        .collect()
}

fn loaded(toml: &str) -> Loaded {
    let loaded = load(&Source::Text(toml.to_owned()), &environment());
    loaded.unwrap_or_else(|problems| panic!("{toml}: {problems}"))
}

/// The routes of a list, written without its brackets.
fn routes(toml: &str) -> Vec<Route> {
    loaded(&format!("routes = [{toml}]")).settings.routes
}

/// The problems of such a list.
fn problems(toml: &str) -> Vec<String> {
    let source = Source::Text(format!("routes = [{toml}]"));
    let problems = load(&source, &environment()).expect_err(toml);
    let line = |problem: &Problem| format!("{}: {}", problem.key, problem.message);
    problems.iter().map(line).collect()
}

/// Asserts that a route that says this has one problem, which begins so.
fn is_wrong(toml: &str, problem: &str) {
    let problems = problems(&format!("{{ path = \"/u/{{id}}\", {toml} }}"));
    assert!(
        problems.len() == 1 && problems[0].starts_with(problem),
        "{toml}: {problems:?}, and not {problem}"
    );
    assert!(!problems[0].contains("s3cret"), "{problems:?}");
}

#[test]
fn conditions_are_texts_or_tables() {
    let route = &routes(
        r#"{ path = "/u", host = { prefix = "API." }, headers = { X-Beta = 1, user-agent = { prefix = "Moz" },
             x-debug = { absent = true }, accept = { regex = "json" }, x = { exact = "é" } },
             query = { "a b" = "1", q = { present = true } } }"#,
    )[0];
    let conditions = &route.conditions;
    assert_eq!(conditions.host, Some(Test::Prefix("api.".into())));
    let headers: Vec<String> = conditions
        .headers
        .iter()
        .map(|(name, test)| format!("{name} {test}"))
        .collect();
    assert_eq!(
        headers,
        [
            "x-beta = \"1\"",
            "user-agent begins with \"Moz\"",
            "x-debug is not there",
            "accept has /json/",
            "x = \"é\"",
        ]
    );
    let expected = [
        ("a b".to_owned(), Test::Exact("1".into())),
        ("q".to_owned(), Test::Present),
    ];
    assert_eq!(conditions.query, expected);
}

#[test]
fn what_is_wrong_with_a_condition_is_told() {
    for (toml, problem) in wrong::CONDITIONS {
        is_wrong(toml, problem);
    }
}

#[test]
fn a_sample_is_a_rate_by_chance_or_by_a_value() {
    let sample = |toml: &str| {
        routes(&format!("{{ path = \"/u/{{id}}/{{*rest}}\", {toml} }}"))[0]
            .sample
            .clone()
    };
    let rate = |part| Rate::new(part).expect("a rate");
    assert_eq!(sample("sample = 0.05").rate, rate(0.05));
    assert_eq!(sample("sample = 0").rate, Rate::NONE);
    assert_eq!(sample("sample = 1").rate, Rate::ALL);
    assert_eq!(sample("key = \"id\"").rate, Rate::ALL);
    for (written, expected) in [
        (
            "header:X-User",
            SampleBy::Header(HeaderName::from_static("x-user")),
        ),
        ("cookie:SID", SampleBy::Cookie("SID".into())),
        ("param:rest", SampleBy::Param("rest".into())),
    ] {
        let sample = sample(&format!("sample = 0.5, sample_by = \"{written}\""));
        assert_eq!(sample.by, Some(expected));
    }
    for (toml, problem) in wrong::SAMPLES {
        is_wrong(toml, problem);
    }
}

#[test]
fn backends_override_single_keys_of_their_side() {
    let loaded = loaded(
        r#"
        reference = "http://old:1"
        candidate = "http://new:1"
        [timeouts.candidate]
        connect = "3s"
        first_byte = "9s"
        [pool.reference]
        max_idle = 5
        [[routes]]
        path = "/u/{id}"
        [routes.reference]
        path = "/v1/{id}"
        protocol = "http2"
        pool = { idle_timeout = "7s" }
        timeouts = { exchange = "20s" }
        [routes.candidates]
        zeta = "http://other:2"
        [routes.candidates.alpha]
        path = "/v2/user/{id}"
        host = "alpha.example:80"
        compare = false
        max_in_flight = 3
        timeouts = { exchange = "1s", first_byte = "off" }
        tls = { insecure = true }
        set_headers = { Authorization = "Bearer {env.TOKEN}", idempotency-key = "{request.header.idempotency-key}-shadow" }
        remove_headers = ["Cookie"]
        [routes.candidates.beta]
        "#,
    );
    let settings = &loaded.settings;
    let route = &settings.routes[0];
    let reference = &route.reference;
    assert_eq!(reference.base.to_string(), "http://old:1");
    assert_eq!(reference.asked.protocol, Protocol::Http2);
    assert_eq!(reference.asked.pool.max_idle, 5);
    assert_eq!(reference.asked.pool.idle_timeout.as_secs(), 7);
    assert_eq!(
        reference.asked.timeouts,
        Timeouts {
            exchange: Some(Duration::from_secs(20)),
            ..settings.reference_backends.timeouts
        }
    );
    let names: Vec<&str> = route.candidates.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["zeta", "alpha", "beta"], "in the order of the file");
    let [zeta, alpha, beta] = &route.candidates[..] else {
        panic!("three of them");
    };
    assert_eq!(zeta.backend.base.to_string(), "http://other:2");
    assert_eq!(zeta.backend.asked, settings.candidate_backends);
    assert!(zeta.backend.rewrite.is_nothing() && zeta.compare);
    assert_eq!(beta.backend.base.to_string(), "http://new:1");
    assert_eq!(beta.backend.asked, settings.candidate_backends);
    assert!(!alpha.compare);
    assert_eq!(alpha.max_in_flight, Some(3));
    let timeouts = Timeouts {
        connect: Duration::from_secs(3),
        first_byte: None,
        exchange: Some(Duration::from_secs(1)),
    };
    assert_eq!(alpha.backend.asked.timeouts, timeouts);
    assert_eq!(alpha.backend.asked.tls.trust, crate::tls::Trust::Anybody);
    assert_eq!(alpha.backend.rewrite.edits.set[0].0, AUTHORIZATION);
    for shown in [format!("{settings:?}"), loaded.effective] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    assert!(!format!("{:?}", environment()).contains("s3cret"));
}

#[test]
fn what_is_wrong_with_a_backend_is_told() {
    for (toml, problem) in wrong::BACKENDS {
        is_wrong(toml, problem);
    }
}

#[test]
fn a_default_that_is_miffy_itself_is_told_once_and_only_if_it_is_used() {
    let source = |routes: &str| {
        Source::Text(format!(
            "candidate = \"http://localhost:8080\"\nroutes = [{routes}]"
        ))
    };
    let unused = source("{ path = \"/a\", candidate = \"http://a\" }");
    assert!(load(&unused, &environment()).is_ok());
    let used = source("{ path = \"/a\" }, { path = \"/b\" }");
    let problems = load(&used, &environment()).expect_err("it is a loop");
    assert_eq!(
        problems
            .iter()
            .map(|it| it.key.as_str())
            .collect::<Vec<_>>(),
        ["candidate"]
    );
}

#[test]
fn safe_methods_can_be_said_in_short() {
    let names = |methods: &Option<Methods>| match methods {
        Some(Methods::Only(methods)) => methods.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let route = &routes("{ path = \"/a\", safe_only = true }")[0];
    assert_eq!(names(&route.methods), ["GET", "HEAD", "OPTIONS", "TRACE"]);
    let route = &routes("{ path = \"/a\", safe_only = false, methods = [\"GET\"] }")[0];
    assert_eq!(names(&route.methods), ["GET"]);
}

#[test]
fn routes_of_one_path_are_told_apart_and_named() {
    let two =
        routes(r#"{ path = "/a", name = "beta", headers = { x-beta = "1" } }, { path = "/a" }"#);
    assert_eq!([&*two[0].name, &*two[1].name], ["beta", "/a"]);
    for (toml, problem) in [
        (
            r#"{ path = "/a" }, { path = "/a" }"#,
            "routes[1].name: is needed: routes[0] has the same path",
        ),
        (
            r#"{ path = "/a", name = "x" }, { path = "/b", name = "x" }"#,
            "routes[1].name: \"x\" is taken by routes[0].name",
        ),
        (
            r#"{ path = "/b", name = "/a" }, { path = "/a" }"#,
            "routes[1].name: \"/a\" is taken by routes[0].name",
        ),
        (r#"{ path = "/a", name = "" }"#, "routes[0].name: is empty"),
        (
            r#"{ path = "/a/{x}" }, { path = "/a/{y}", name = "y", headers = { a = "1" } }"#,
            "routes[1].path: \"/a/{y}\" conflicts with the route \"/a/{x}\"",
        ),
    ] {
        let problems = problems(toml);
        assert!(
            problems.len() == 1 && problems[0].starts_with(problem),
            "{problems:?}"
        );
    }
}

#[test]
fn a_route_that_leaves_nothing_to_a_later_one_is_named_there() {
    let of = |first: &str, second: &str| {
        format!(
            "{{ path = \"/a\", name = \"x\" {first} }}, {{ path = \"/a\", name = \"y\" {second} }}"
        )
    };
    for (first, second) in [
        ("", ""),
        ("", ", methods = [\"GET\"]"),
        (
            ", headers = { a = { present = true } }",
            ", headers = { A = \"1\" }",
        ),
        (
            ", host = \"A.example\"",
            ", host = \"a.EXAMPLE\", query = { q = \"1\" }",
        ),
        (", methods = [\"GET\", \"PUT\"]", ", methods = [\"put\"]"),
        (", safe_only = true, sample = 0", ", methods = [\"TRACE\"]"),
        (
            ", query = { q = { regex = \"a\" } }",
            ", query = { q = \"bar\" }",
        ),
    ] {
        let problems = problems(&of(first, second));
        let expected = "routes[1]: is never reached: routes[0] (\"x\"), before it on the same path, takes all of its \
                        requests";
        assert_eq!(problems, [expected], "{first} {second}");
    }
    for (first, second) in [
        (", headers = { a = \"1\" }", ""),
        (
            ", headers = { a = \"1\" }",
            ", headers = { a = { present = true } }",
        ),
        (", methods = [\"GET\"]", ""),
        (", methods = [\"GET\"]", ", methods = [\"GET\", \"PUT\"]"),
        (
            ", query = { q = { regex = \"a\" } }",
            ", query = { q = { prefix = \"a\" } }",
        ),
        (", host = \"a\"", ", host = \"b\""),
    ] {
        assert_eq!(routes(&of(first, second)).len(), 2, "{first} {second}");
    }
    let three = r#"{ path = "/a", name = "x", methods = ["GET"] }, { path = "/a", name = "y", methods = ["PUT"] },
                   { path = "/a", name = "z", methods = ["PUT", "GET"] }"#;
    let problems = problems(three);
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("routes[1] (\"y\") and routes[0] (\"x\")"),
        "{problems:?}"
    );
    assert!(problems[0].contains("take all"), "{problems:?}");
}

#[test]
fn what_may_not_be_meant_is_told_with_its_key() {
    let warnings = loaded(
        r#"routes = [{ path = "/a", safe_only = true }, { path = "/a/{id}", name = "x", respond = "fastest", key = "{id}" }]"#,
    )
    .warnings
    .join("\n");
    for part in [
        "routes[1].methods: the route \"x\" mirrors every method",
        "routes[1].key: the route \"x\" gives every record the key \"{id}\"",
        "routes[1].respond: the route \"x\" answers with the first backend that succeeds",
    ] {
        assert!(warnings.contains(part), "{warnings}");
    }
    assert!(!warnings.contains("routes[0]"), "{warnings}");
}

#[test]
fn credentials_that_stand_in_the_file_are_not_shown() {
    let effective = loaded(
        r#"
        [[routes]]
        path = "/a"
        headers = { authorization = { prefix = "Basic" }, accept = "shown" }
        [routes.candidate]
        set_headers = { authorization = "Bearer plain", cookie = "{env.TOKEN}", x-other = "seen" }
        add_headers = { x-api-key = 12345 }
        "#,
    )
    .effective;
    for hidden in ["Basic", "plain", "12345", "s3cret"] {
        assert!(!effective.contains(hidden), "{hidden}: {effective}");
    }
    for shown in ["shown", "{env.TOKEN}", "seen"] {
        assert!(effective.contains(shown), "{shown}: {effective}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_a_key_of_a_route_says_is_a_panic(
        key in proptest::sample::select(&[
            "path", "name", "host", "headers", "query", "methods", "safe_only", "sample", "sample_by", "respond",
            "reference", "candidate", "candidates", "max_in_flight", "key",
        ][..]),
        inner in proptest::sample::select(&[
            "url", "path", "host", "set_headers", "add_headers", "remove_headers", "timeouts", "tls", "pool", "a", "é",
        ][..]),
        text in "[ -~é\\PC]{0,12}",
        form in 0..5_u8,
    ) {
        let text = toml::Value::String(text).to_string();
        let value = match form {
            0 => text,
            1 => format!("[{text}]"),
            2 => format!("{{ \"{inner}\" = {text} }}"),
            3 => format!("{{ \"{inner}\" = {{ {text} = {text} }} }}"),
            _ => format!("{{ {text} = {{ \"{inner}\" = {{ {text} = {text} }} }} }}"),
        };
        let path = if key == "path" { "" } else { "path = \"/a/{id}\", " };
        let source = Source::Text(format!("routes = [{{ {path}{key} = {value} }}]"));
        if let Err(problems) = load(&source, &environment()) {
            for problem in problems.iter() {
                let is_named = problem.key.starts_with("routes[0]");
                proptest::prop_assert!(is_named || problem.key == "the given configuration", "{}", problem.key);
            }
        }
    }
}
