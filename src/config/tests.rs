//! Routes: what they can say, and every way to say it wrong.

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
    for (toml, problem) in [
        ("host = \"a:80\"", "routes[0].host: \"a:80\" is no host"),
        (
            "host = \"http://a\"",
            "routes[0].host: \"http://a\" is no host",
        ),
        ("host = \"\"", "routes[0].host: \"\" is no host"),
        (
            "host = \"ä.example\"",
            "routes[0].host: \"ä.example\" is no host",
        ),
        ("host = [\"a\"]", "routes[0].host: must be text"),
        ("host = {}", "routes[0].host: is empty"),
        (
            "host = { present = true }",
            "routes[0].host.present: unknown key",
        ),
        (
            "host = { prefix = \"a/\" }",
            "routes[0].host.prefix: \"a/\" is no host",
        ),
        (
            "host = { regex = \"(\" }",
            "routes[0].host.regex: \"(\" is no regular",
        ),
        ("headers = 1", "routes[0].headers: must be a table"),
        ("headers = [1]", "routes[0].headers: must be a table"),
        (
            "headers = { \"a b\" = \"1\" }",
            "routes[0].headers.a b: \"a b\" is no header's name",
        ),
        (
            "headers = { \"\" = \"1\" }",
            "routes[0].headers.: \"\" is no header's name",
        ),
        (
            "headers = { \"é\" = \"1\" }",
            "routes[0].headers.é: \"é\" is no header's name",
        ),
        (
            "headers = { A = \"1\", a = \"1\" }",
            "routes[0].headers.a: stands there twice",
        ),
        (
            "headers = { Host = \"a\" }",
            "routes[0].headers.Host: is for host",
        ),
        ("headers = { a = 1.5 }", "routes[0].headers.a: must be text"),
        ("headers = { a = [] }", "routes[0].headers.a: must be text"),
        (
            "headers = { a = \" 1\" }",
            "routes[0].headers.a: begins or ends with a space",
        ),
        (
            "headers = { a = \"1\\n2\" }",
            "routes[0].headers.a: \"1\\n2\" is nothing",
        ),
        ("headers = { a = {} }", "routes[0].headers.a: is empty"),
        (
            "headers = { a = { prefix = \"\" } }",
            "routes[0].headers.a.prefix: is empty",
        ),
        (
            "headers = { a = { prefix = {} } }",
            "routes[0].headers.a.prefix: must be text",
        ),
        (
            "headers = { a = { regex = \"[\" } }",
            "routes[0].headers.a.regex: \"[\" is no regular",
        ),
        (
            "headers = { a = { present = false } }",
            "routes[0].headers.a.present: must be true",
        ),
        (
            "headers = { a = { absent = 3 } }",
            "routes[0].headers.a.absent: \"3\" is not true or false",
        ),
        (
            "headers = { a = { prefx = \"a\" } }",
            "routes[0].headers.a.prefx: unknown key",
        ),
        (
            "headers = { a = { exact = \"a\", present = true } }",
            "routes[0].headers.a: says exact and present",
        ),
        ("query = { \"\" = \"1\" }", "routes[0].query.: is empty"),
        ("query = \"a=1\"", "routes[0].query: must be a table"),
    ] {
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
    for (toml, problem) in [
        ("sample = 1.5", "routes[0].sample: \"1.5\" is no part"),
        ("sample = -1", "routes[0].sample: \"-1\" is no part"),
        ("sample = nan", "routes[0].sample: \"NaN\" is no part"),
        ("sample = \"5%\"", "routes[0].sample: \"5%\" is no part"),
        ("sample = true", "routes[0].sample: \"true\" is no part"),
        ("sample = {}", "routes[0].sample: must be a number"),
        (
            "sample_by = \"session\"",
            "routes[0].sample_by: \"session\" must be",
        ),
        (
            "sample_by = \"query:a\"",
            "routes[0].sample_by: \"query:a\" must be",
        ),
        (
            "sample_by = \"cookie:\"",
            "routes[0].sample_by: \"\" is no cookie's name",
        ),
        (
            "sample_by = \"cookie:a=b\"",
            "routes[0].sample_by: \"a=b\" is no cookie's name",
        ),
        (
            "sample_by = \"header:é\"",
            "routes[0].sample_by: \"é\" is no header's name",
        ),
        (
            "sample_by = \"param:\"",
            "routes[0].sample_by: \"param:\" must be",
        ),
        (
            "sample_by = \"param:user\"",
            "routes[0].sample_by: the path has no parameter",
        ),
        (
            "sample_by = [\"cookie:a\"]",
            "routes[0].sample_by: must be text",
        ),
    ] {
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
    for (toml, problem) in [
        (
            "reference = \"a:1\"",
            "routes[0].reference: \"a:1\" has no scheme",
        ),
        ("reference = 1", "routes[0].reference: \"1\" has no scheme"),
        ("reference = []", "routes[0].reference: must be a URL"),
        (
            "reference = { url = 1 }",
            "routes[0].reference.url: \"1\" has no scheme",
        ),
        (
            "reference = { url = \"http://localhost:8080\" }",
            "routes[0].reference.url: http://localhost:8080 is where",
        ),
        (
            "reference = { compare = false }",
            "routes[0].reference.compare: unknown key",
        ),
        (
            "candidate = \"http://localhost:8080\"",
            "routes[0].candidate: http://localhost:8080 is where",
        ),
        (
            "candidates = { a = \"http://localhost:8080\" }",
            "routes[0].candidates.a: http://localhost:8080 is where",
        ),
        (
            "candidates = { a = { url = \"http://localhost:8080\" } }",
            "routes[0].candidates.a.url: http://localhost:8080 is where",
        ),
        ("candidates = {}", "routes[0].candidates: is empty"),
        ("candidates = []", "routes[0].candidates: must be a table"),
        (
            "candidates = \"http://a\"",
            "routes[0].candidates: must be a table",
        ),
        (
            "candidates = { a = 1 }",
            "routes[0].candidates.a: \"1\" has no scheme",
        ),
        (
            "candidates = { \"a b\" = \"http://a\" }",
            "routes[0].candidates.a b: is no candidate's name",
        ),
        (
            "candidates = { \"\" = \"http://a\" }",
            "routes[0].candidates.: is no candidate's name",
        ),
        (
            "candidates = { \"ä\" = \"http://a\" }",
            "routes[0].candidates.ä: is no candidate's name",
        ),
        (
            "candidates = { reference = \"http://a\" }",
            "routes[0].candidates.reference: is the name of",
        ),
        (
            "candidate = \"http://a\", candidates = { a = \"http://a\" }",
            "routes[0].candidates: can't stand beside candidate",
        ),
        (
            "candidate = { compare = 3 }",
            "routes[0].candidate.compare: \"3\" is not true or false",
        ),
        (
            "candidate = { max_in_flight = 0 }",
            "routes[0].candidate.max_in_flight: \"0\" is not",
        ),
        (
            "candidate = { timeouts = { exchange = \"off\" } }",
            "routes[0].candidate.timeouts.exchange: can't be off",
        ),
        (
            "candidate = { timeouts = { connect = 1 } }",
            "routes[0].candidate.timeouts.connect: \"1\" is not a duration",
        ),
        (
            "candidate = { timeouts = { conect = \"1s\" } }",
            "routes[0].candidate.timeouts.conect: unknown key",
        ),
        (
            "candidate = { timeouts = 1 }",
            "routes[0].candidate.timeouts: must be a table",
        ),
        (
            "candidate = { pool = { max_idle = 0 } }",
            "routes[0].candidate.pool.max_idle: \"0\" is not",
        ),
        (
            "candidate = { protocol = \"http3\" }",
            "routes[0].candidate.protocol: \"http3\" is not",
        ),
        (
            "candidate = { tls = { certificate = \"a.pem\" } }",
            "routes[0].candidate.tls.key: is off",
        ),
        (
            "candidate = { tls = { ca = \"a.pem\", insecure = true } }",
            "routes[0].candidate.tls.insecure: makes no sense",
        ),
        (
            "candidate = { tls = { ca = \"/no/such.pem\" } }",
            "routes[0].candidate.tls: /no/such.pem can't be read",
        ),
        (
            "candidate = { path = \"v2\" }",
            "routes[0].candidate.path: \"v2\" does not start",
        ),
        (
            "candidate = { path = \"/{user}\" }",
            "routes[0].candidate.path: \"/{user}\" has no parameter {user}: the path has {id}",
        ),
        (
            "candidate = { path = \"/a?b\" }",
            "routes[0].candidate.path: \"/a?b\" has a \"?\"",
        ),
        (
            "candidate = { path = \"/é\" }",
            "routes[0].candidate.path: \"/é\" has 'é'",
        ),
        (
            "candidate = { path = \"/{id\" }",
            "routes[0].candidate.path: \"/{id\" has a \"{\"",
        ),
        (
            "candidate = { path = [] }",
            "routes[0].candidate.path: must be text",
        ),
        (
            "candidate = { host = \"a b\" }",
            "routes[0].candidate.host: \"a b\" is no host",
        ),
        (
            "candidate = { host = \"u@a\" }",
            "routes[0].candidate.host: \"u@a\" is no host",
        ),
        (
            "candidate = { host = \"a:x\" }",
            "routes[0].candidate.host: \"a:x\" is no host",
        ),
        (
            "candidate = { host = \"\" }",
            "routes[0].candidate.host: \"\" is no host",
        ),
        (
            "candidate = { host = \"é\" }",
            "routes[0].candidate.host: \"é\" is no host",
        ),
        (
            "candidate = { set_headers = 1 }",
            "routes[0].candidate.set_headers: must be a table",
        ),
        (
            "candidate = { set_headers = { a = [] } }",
            "routes[0].candidate.set_headers.a: must be text",
        ),
        (
            "candidate = { set_headers = { a = \"1\", A = \"2\" } }",
            "routes[0].candidate.set_headers.A: stands there twice",
        ),
        (
            "candidate = { set_headers = { \"é\" = \"1\" } }",
            "routes[0].candidate.set_headers.é: \"é\" is no header's name",
        ),
        (
            "candidate = { set_headers = { Host = \"1\" } }",
            "routes[0].candidate.set_headers.Host: can't be edited here: use host",
        ),
        (
            "candidate = { set_headers = { X-Shadow-Test-Role = \"1\" } }",
            "routes[0].candidate.set_headers.X-Shadow-Test-Role: can't be",
        ),
        (
            "candidate = { add_headers = { Content-Length = \"1\" } }",
            "routes[0].candidate.add_headers.Content-Length: can't be",
        ),
        (
            "candidate = { add_headers = { a = \"{id}\" } }",
            "routes[0].candidate.add_headers.a: has {id} in it",
        ),
        (
            "candidate = { add_headers = { a = \"{param.x}\" } }",
            "routes[0].candidate.add_headers.a: has no parameter {x}",
        ),
        (
            "candidate = { add_headers = { a = \"{env.NONE}\" } }",
            "routes[0].candidate.add_headers.a: needs the environment variable \"NONE\", which is not set",
        ),
        (
            "candidate = { add_headers = { a = \"{env.EMPTY}\" } }",
            "routes[0].candidate.add_headers.a: needs the environment variable \"EMPTY\", which is empty",
        ),
        (
            "candidate = { add_headers = { a = \"{env.LINES}\" } }",
            "routes[0].candidate.add_headers.a: can't have the value of",
        ),
        (
            "candidate = { add_headers = { a = \"{\" } }",
            "routes[0].candidate.add_headers.a: has a \"{\"",
        ),
        (
            "candidate = { add_headers = { a = \"b\\r\\nc: d\" } }",
            "routes[0].candidate.add_headers.a: has '\\r'",
        ),
        (
            "candidate = { remove_headers = \"a\" }",
            "routes[0].candidate.remove_headers: must be a list",
        ),
        (
            "candidate = { remove_headers = [\"a\", \"te\"] }",
            "routes[0].candidate.remove_headers[1]: can't be edited",
        ),
        (
            "candidate = { remove_headers = [{}] }",
            "routes[0].candidate.remove_headers[0]: must be text",
        ),
        ("respond = \"first\"", "routes[0].respond: \"first\" is not"),
        ("respond = 1", "routes[0].respond: \"1\" is not"),
        (
            "safe_only = true, methods = [\"GET\"]",
            "routes[0].safe_only: can't be true beside methods",
        ),
        (
            "safe_only = \"yes\"",
            "routes[0].safe_only: \"yes\" is not true or false",
        ),
    ] {
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
