//! A comparison in code beside the rules: prices may differ by a cent, and an answer must not take twice as long.
//!
//! ```text
//! cargo run --example demo     two services, on ports 3000 and 3001
//! cargo run --example comparison
//! curl localhost:8080/api/1
//! ```

use std::time::Duration;

use miffy::app::App;
use miffy::compare::Kind;
use miffy::hooks::{Answer, Difference, Hooks, Judgement, Pair};
use serde_json::Value;

/// Differences go to standard output.
pub(crate) const CONFIG: &str = r#"
    reference = "http://127.0.0.1:3000"
    candidate = "http://127.0.0.1:3001"
    routes = [{ path = "/{*path}" }]
    kafka.enabled = false
    stdout.enabled = true

    [compare]
    ignore = ["/price"]
"#;

/// What a slow start costs anybody.
const GRACE: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let app = App::from_toml(CONFIG, hooks().into())?;
    app.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await
}

pub(crate) fn hooks() -> Hooks {
    Hooks::new().compare(|pair| {
        let more = [price(pair), time(pair)];
        Judgement::Add(more.into_iter().flatten().collect())
    })
}

fn price(pair: &Pair) -> Option<Difference> {
    let cents = |answer: Answer<'_>| {
        let document: Value = serde_json::from_str(&answer.text().ok()?).ok()?;
        document["price"].as_i64()
    };
    let (reference, candidate) = (cents(pair.reference())?, cents(pair.candidate())?);
    let difference = || {
        Difference::new("/price", Kind::Changed)
            .reference(reference)
            .candidate(candidate)
    };
    (reference.abs_diff(candidate) > 1).then(difference)
}

fn time(pair: &Pair) -> Option<Difference> {
    let [reference, candidate] = [pair.reference(), pair.candidate()].map(|it| it.elapsed());
    let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    let difference = || {
        Difference::new("elapsed", Kind::Changed)
            .reference(seconds(reference))
            .candidate(seconds(candidate))
    };
    (candidate > 2 * reference + GRACE).then(difference)
}
