//! What a backend is sent, of whatever came.

use http::Request;
use http::header::{COOKIE, HeaderMap, HeaderName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const PARAMS: [(&str, &str); 2] = [("id", "a%20b"), ("rest", "c/d")];

fn environment(name: &str) -> Result<String, String> {
    match name {
        "TOKEN" => Ok("s3cret".to_owned()),
        "LINES" => Ok("s3cret\nmore".to_owned()),
        _ => Err(format!("the environment has no {name}")),
    }
}

fn template(text: &str) -> Result<Template, String> {
    Template::parse(text, &PARAMS.map(|(name, _)| name), environment)
}

fn path(text: &str) -> Result<PathTemplate, String> {
    PathTemplate::parse(text, &PARAMS.map(|(name, _)| name))
}

fn edits(kind: &[(&'static str, &str)]) -> Vec<(HeaderName, Template)> {
    let edit = |(name, text): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            template(text).expect("a template"),
        )
    };
    kind.iter().map(edit).collect()
}

fn head(target: &str, lines: &[(&str, &str)]) -> request::Parts {
    let request = lines
        .iter()
        .fold(Request::get(target), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.body(()).expect("a request").into_parts().0
}

fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
        .collect()
}

#[test]
fn a_path_takes_its_parameters_as_they_stand_and_keeps_the_query() {
    for (template, target, expected) in [
        (
            "/v2/user/{id}",
            "/v1/user/a%20b?x=%2f&y",
            "/v2/user/a%20b?x=%2f&y",
        ),
        ("/{*rest}/{id}", "/x?", "/c/d/a%20b?"),
        ("/{rest}", "/x", "/c/d"),
        ("/plain", "/x?a?b", "/plain?a?b"),
        ("/{{id}}", "/x", "/{id}"),
        ("/{id}", "http://host:1/x?q", "http://host:1/a%20b?q"),
    ] {
        let rewrite = Rewrite {
            path: Some(path(template).expect("a path")),
            ..Rewrite::default()
        };
        let mut head = head(target, &[]);
        let before = client_target(&head);
        rewrite.apply(&mut head, &PARAMS).expect("a target");
        assert_eq!(head.uri.to_string(), expected, "{template}");
        let told = rewrite.target(&before, &PARAMS).into_owned();
        assert_eq!(told, client_target(&head), "{template}");
        let masked = rewrite.target("/x?token=[redacted 01]", &PARAMS);
        assert!(masked.ends_with("?token=[redacted 01]") && !masked.starts_with("/x"));
    }
}

fn client_target(head: &request::Parts) -> String {
    head.uri.path_and_query().expect("a target").to_string()
}

#[test]
fn a_target_that_would_be_too_long_is_none() {
    let rewrite = Rewrite {
        path: Some(path("/{id}/{id}").expect("a path")),
        ..Rewrite::default()
    };
    for (length, applied) in [(32_765, Ok(())), (32_766, Err(NoTarget))] {
        let value = "x".repeat(length);
        let mut head = head("/a?b", &[]);
        assert_eq!(rewrite.apply(&mut head, &[("id", &value)]), applied);
        let told = rewrite.target("/a?b", &[("id", &value)]);
        assert_eq!(told, format!("/{value}/{value}?b"));
    }
}

#[test]
fn headers_are_removed_then_set_then_added() {
    let edits = Edits {
        remove: vec![COOKIE, HeaderName::from_static("x-both")],
        set: edits(&[
            ("x-both", "set"),
            ("x-old", "{request.header.x-old}-new"),
            ("x-swap", "{request.header.x-old}"),
            ("x-gone", "{request.header.x-none}"),
            ("x-new", "{param.id}{{{param.*rest}}}"),
        ]),
        add: edits(&[
            ("x-kept", "more"),
            ("x-none-either", "{request.header.x-none}"),
            ("x-both", "added {request.header.x-both}"),
        ]),
    };
    let rewrite = Rewrite {
        edits,
        host: Some(HeaderValue::from_static("other")),
        ..Rewrite::default()
    };
    let mut head = head(
        "/",
        &[
            ("host", "client"),
            ("cookie", "a=1"),
            ("x-old", "1"),
            ("x-old", "2"),
            ("x-both", "client"),
            ("x-swap", "0"),
            ("x-gone", "real"),
            ("x-kept", "kept"),
        ],
    );
    rewrite.apply(&mut head, &PARAMS).expect("a target");
    assert_eq!(
        lines(&head.headers),
        [
            ("host", "other"),
            ("x-old", "1-new"),
            ("x-both", "set"),
            ("x-both", "added client"),
            ("x-swap", "1"),
            ("x-kept", "kept"),
            ("x-kept", "more"),
            ("x-new", "a%20b{c/d}"),
        ]
    );
}

#[test]
fn what_the_environment_holds_is_sent_and_not_shown() {
    let rewrite = Rewrite {
        edits: Edits {
            set: edits(&[("authorization", "Bearer {env.TOKEN}")]),
            ..Edits::default()
        },
        ..Rewrite::default()
    };
    assert!(!format!("{rewrite:?}").contains("s3cret"));
    let mut head = head("/", &[("authorization", "Bearer client")]);
    rewrite.apply(&mut head, &PARAMS).expect("a target");
    let sent = &head.headers["authorization"];
    assert_eq!(sent, "Bearer s3cret");
    assert!(sent.is_sensitive());
}

#[test]
fn what_is_wrong_with_a_template_is_told() {
    for (text, reason) in [
        ("{id}", "none of {request.header.NAME}"),
        (
            "{param.other}",
            "no parameter {other}: the path has {id} and {rest}",
        ),
        ("{request.header.a b}", "no header's name"),
        ("{request.header.}", "no header's name"),
        ("{env.NONE}", "the environment has no NONE"),
        ("{env.LINES}", "environment variable LINES"),
        ("a\r\nb: c", "'\\r' in it"),
        ("é", "'é' in it"),
        ("{", "without its"),
    ] {
        let error = template(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    for (text, reason) in [
        ("v2", "does not start"),
        ("", "does not start"),
        (
            "/{user}",
            "no parameter {user}: the path has {id} and {rest}",
        ),
        ("/a?b", "query stays"),
        ("/a b", "' ' in it"),
        ("/é", "'é' in it"),
        ("/{id", "without its"),
        ("/a\n", "'\\n' in it"),
    ] {
        let error = path(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    let none = PathTemplate::parse("/{id}", &[]).expect_err("there is none");
    assert!(none.contains("the path has none"), "{none}");
}

#[test]
fn what_frames_a_message_is_protected() {
    for name in [
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "expect",
        "host",
        "x-shadow-test-role",
    ] {
        let name = HeaderName::from_static(name);
        assert!(is_protected(&name).is_some(), "{name}");
    }
    assert!(is_protected(&COOKIE).is_none());
}

proptest! {
    #[test]
    fn whatever_is_rewritten_stays_legal_and_keeps_its_query(
        template_pieces in vec(select(&["/a", "{id}", "%2f", "/{rest}", "{{", "}}"][..]), 0..6),
        id in "[!\"$-;=@-_a-~]{1,9}",
        rest in "[!\"$-;=@-_a-~]{1,9}",
        query in proptest::option::of("[!-\"$-~]{0,12}"),
        value in select(&["{param.id}", "x {request.header.x-a}", "{env.TOKEN}", "{param.rest}\t{{"][..]),
        header in vec(any::<u8>(), 0..8),
    ) {
        let rewrite = Rewrite {
            path: Some(path(&format!("/{}", template_pieces.concat())).expect("a path")),
            host: None,
            edits: Edits {
                set: edits(&[("x-set", value)]),
                add: edits(&[("x-add", value)]),
                remove: vec![HeaderName::from_static("x-a")],
            },
        };
        let target = format!("/x{}", query.as_ref().map_or(String::new(), |it| format!("?{it}")));
        let mut head = head("/", &[]);
        let Ok(uri) = target.parse::<Uri>() else { return Ok(()) };
        head.uri = uri;
        if let Ok(value) = HeaderValue::from_bytes(&header) {
            head.headers.insert("x-a", value);
        }
        let params = [("id", id.as_str()), ("rest", rest.as_str())];
        rewrite.apply(&mut head, &params).expect("a target");
        prop_assert_eq!(head.uri.query(), query.as_deref());
        for value in head.headers.values() {
            prop_assert!(HeaderValue::from_bytes(value.as_bytes()).is_ok());
        }
        prop_assert!(!head.headers.contains_key("x-a"));
        let told = rewrite.target(&target, &params).into_owned();
        prop_assert_eq!(told, client_target(&head));
    }
}
