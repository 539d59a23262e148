//! `miffy check --against`: rules are tried on records that were captured before.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::process::{Ended, Miffy};

const RECORDS: &str = include_str!("../compat/miffy-1.0.1/records.tsv");
const OLD: &str = include_str!("../compat/miffy-1.0.1/config.toml");

const CONFIG: &str = r#"
reference = "http://127.0.0.1:1"
candidate = "http://127.0.0.1:2"
routes = [{ path = "/items/{id}", name = "items" }]
[kafka]
topic = "diffs"
"bootstrap.servers" = "127.0.0.1:3"
"#;

/// What is told of records that stand in a file, and on standard input, which is the same.
fn against(config: &str, records: &str) -> Ended {
    let miffy = |file| Miffy::new(&["check", "--against", file]).config(config);
    let of_file = miffy("records").file("records", records).output();
    let of_input = miffy("-").stdin(records).output();
    assert_eq!(of_file.stdout, of_input.stdout);
    assert_eq!(of_file.code, of_input.code);
    of_file
}

fn answer(content_type: &str, body: &Value) -> Value {
    let headers = json!({"content-type": content_type});
    json!({"status": 200, "headers": headers, "body": body})
}

fn of_json(value: &Value) -> Value {
    answer("application/json", &json!({"type": "json", "value": value}))
}

fn of_bytes(content_type: &str, bytes: &[u8]) -> Value {
    let value = STANDARD.encode(bytes);
    answer(content_type, &json!({"type": "bytes", "value": value}))
}

/// A record of both answers, with more fields.
fn record(reference: &Value, candidate: &Value, more: &Value) -> String {
    let mut record = json!({
        "experiment": "items",
        "outcome": "different",
        "request": {"method": "GET", "uri": "/items/1", "route": "/items/{id}", "params": {"id": "1"}},
        "reference": {"url": "", "response": reference},
        "candidate": {"url": "", "response": candidate},
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    format!("{record}\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn records_of_miffy_1_0_1_are_read_behind_their_keys() {
    let config = format!("{OLD}\n[compare]\nignore = [\"/name\", \"/**/never\"]\n");
    let expected = "\
experiment     location        kind     before  after
/bin           body            changed  1       1
/charset       /b              changed  1       1
/cookies       /v              changed  1       1
/down/{*rest}  failed.request           1       1
/echo          /side           changed  2       2
/empty         status          changed  1       1
/problem       status          changed  1       1
/text          body            changed  1       1
/user/{id}     /name           changed  2       0

records that would remain: 9 of 11

rules
  ignore /**/never: never matched
  ignore /name: 2
";
    // kcat's -f '%k\t%s\n', '%k %s\n' and '%s\n'.
    let keys_and_spaces = RECORDS.replace('\t', " ");
    let lines = RECORDS.lines().filter_map(|line| line.split_once('\t'));
    let values: Vec<&str> = lines.map(|(_, value)| value).collect();
    let values = values.join("\n");
    for records in [RECORDS, &keys_and_spaces, &values] {
        let told = against(&config, records);
        assert_eq!((&told.stdout[..], told.code), (expected, 0));
    }
}

#[test]
fn what_rules_leave_is_told_by_location_and_kind() {
    let rules = "\
[compare]
ignore = [\"/at\"]
[compare.tolerance]
\"/**/price\" = 0.5
[compare.values]
\"/none\" = \"uuid\"
";
    let a = of_json(&json!({"at": 1, "items": [{"price": 1.0}, {"price": 2.0}]}));
    let b = of_json(&json!({"at": 2, "items": [{"price": 1.5}, {"price": 9.0}]}));
    let quiet = of_json(&json!({"at": 3, "items": [{"price": 1.0}, {"price": 2.0}]}));
    let mut coded = a.clone();
    coded["headers"]["content-encoding"] = json!("gzip");
    let (here, there) = (b"{\"at\":1}", b"{\"at\":2}");
    let noise = json!({"differences": [{"path": "/at", "kind": "changed", "noise": true}]});
    let records = [
        record(&a, &b, &json!({})),
        record(&coded, &quiet, &noise),
        record(
            &of_bytes("text/plain", here),
            &of_bytes("text/plain", there),
            &json!({}),
        ),
    ];
    let told = against(&format!("{CONFIG}{rules}"), &records.concat());
    let expected = "\
experiment  location        kind     before  after
items       /at             changed  2       0
items       /items/*/price  changed  1       1
items       body            changed  1       1

records that would remain: 2 of 3

rules
  ignore /at: 2
  tolerance /**/price = 0.5: 1
  values /none = uuid: never matched
";
    assert_eq!((&told.stdout[..], &told.stderr[..]), (expected, ""));
}

#[test]
fn of_several_routes_on_a_path_the_name_tells_or_else_the_target() {
    let config = CONFIG.replace(
        r#"{ path = "/items/{id}", name = "items" }"#,
        r#"
        { path = "/items/{id}", name = "new", query = { v = "2" } },
        { path = "/items/{id}", name = "items" },
        "#,
    );
    let (a, b) = (of_json(&json!({"n": 1})), of_json(&json!({"n": 2})));
    let unnamed = |uri: &str| {
        let request = json!({"method": "GET", "uri": uri, "route": "/items/{id}", "params": {}});
        record(&a, &b, &json!({"experiment": null, "request": request}))
    };
    let records = [
        record(&a, &b, &json!({"experiment": "new"})),
        unnamed("/items/1?v=2"),
        unnamed("/items/1?v=1"),
        unnamed("no target"),
    ];
    let told = against(&config, &records.concat()).stdout;
    let counts: Vec<Vec<&str>> = told
        .lines()
        .skip(1)
        .take(2)
        .map(|line| line.split_whitespace().collect())
        .collect();
    let expected = [
        ["items", "/n", "changed", "2", "2"],
        ["new", "/n", "changed", "2", "2"],
    ];
    assert_eq!(counts, expected, "{told}");
}

#[test]
fn what_is_coded_or_masked_is_compared_as_it_is_recorded() {
    let with_gzip = |mut answer: Value| {
        answer["headers"]["content-encoding"] = json!("gzip");
        answer
    };
    let coded = |text: &str| with_gzip(of_bytes("application/x-ndjson", &gzip(text.as_bytes())));
    let masked = |text: &str| with_gzip(of_bytes("application/x-ndjson", text.as_bytes()));
    let places = ["reference", "candidate"].map(|side| format!("{side}.response.body/0/s"));
    let records = [
        record(&coded("{\"a\":1}\n"), &coded("{\"a\":2}\n"), &json!({})),
        record(
            &masked("{\"s\":\"[redacted 01]\",\"b\":1}\n"),
            &masked("{\"s\":\"[redacted 02]\",\"b\":1}\n"),
            &json!({"redacted": places}),
        ),
    ];
    let told = against(CONFIG, &records.concat());
    let expected = "\
experiment  location  kind     before  after
items       /*/a      changed  1       1
items       /*/s      changed  1       1

records that would remain: 2 of 2

there are no rules
";
    assert_eq!((&told.stdout[..], &told.stderr[..]), (expected, ""));
}

#[test]
fn of_what_is_cut_only_the_listed_differences_are_left() {
    let cut = |total: u32| {
        json!({
            "differences": [{"path": "/items/7/at", "kind": "changed"}],
            "differences_total": total,
            "truncated": [{"field": "candidate.response.body", "size": 9, "kept": 1}],
        })
    };
    let (a, b) = (of_json(&json!({})), of_bytes("application/json", b"{"));
    let records = [record(&a, &b, &cut(1)), record(&a, &b, &cut(2))];
    let config = format!("{CONFIG}[compare]\nignore = [\"/items/*/at\"]\n");
    let told = against(&config, &records.concat());
    let expected = "\
experiment  location     kind     before  after
items       /items/*/at  changed  2       0

records that would remain: 1 of 2
  2 are not all there: only what ignores places was applied to them

rules
  ignore /items/*/at: 2
";
    assert_eq!(told.stdout, expected);
}

#[test]
fn lines_that_are_no_records_are_counted_and_the_first_ones_told() {
    let value = of_json(&json!(1));
    let other = of_json(&json!(2));
    let strange = json!({"experiment": "x", "request": {"uri": "/", "route": "/x"}});
    let huge = format!("{}\n", "{\"".repeat(1 << 20));
    let records = [
        record(&value, &other, &json!({})),
        record(&value, &other, &strange),
        format!(
            "/a{{\"b\"}} {}",
            record(&value, &other, &json!({})).replace('\n', "\r\n")
        ),
        "\n  \n% Reached end of topic\n{\"a\": 1}\n".to_owned(),
        huge,
        "no\n".repeat(9),
    ];
    let told = against(CONFIG, &records.concat());
    let expected = "\
experiment  location        kind     before  after
items       the whole body  changed  2       2

records that would remain: 2 of 2
  1 are of no route of this configuration
  12 lines are no records

there are no rules
";
    assert_eq!(told.stdout, expected);
    let lines: Vec<&str> = told.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{}", told.stderr);
    assert!(
        lines[0].starts_with("line 6 is no record: "),
        "{}",
        lines[0]
    );
    assert_eq!(told.code, 0);
}

#[test]
fn a_file_without_records_is_an_error() {
    for records in ["", "\n\n", "garbage\n"] {
        let told = against(CONFIG, records);
        assert_eq!((told.code, &told.stdout[..]), (1, ""), "{records:?}");
        assert!(
            told.stderr.ends_with(" has no records\n"),
            "{}",
            told.stderr
        );
    }
    let missing = Miffy::new(&["check", "--against", "nowhere"]).config(CONFIG);
    let told = missing.output();
    assert!(
        told.stderr.contains("can't read nowhere"),
        "{}",
        told.stderr
    );
    assert_eq!(told.code, 1);
}
