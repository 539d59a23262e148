//! What Kage's usage example does, in a few lines: which backends are asked, with which headers, and a look at all of
//! their answers.
//!
//! ```text
//! cargo run --example demo     two services, on ports 3000 and 3001
//! cargo run --example kage
//! curl localhost:8080/api/1
//! ```
#![expect(clippy::print_stdout, reason = "it tells what it sees")]

use http::Method;
use miffy::app::App;
use miffy::hooks::{Choice, Finished, Hooks};

/// Where the backends are, and nothing else: who is asked and what is done is said in code.
pub(crate) const CONFIG: &str = r#"
    reference = "http://127.0.0.1:3000"
    kafka.enabled = false

    [[routes]]
    path = "/{*path}"
    candidates = { sandbox = "http://127.0.0.1:3001", next = "http://127.0.0.1:3001" }
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let hooks = hooks(|line| println!("{line}"));
    let app = App::from_toml(CONFIG, hooks.into())?;
    app.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await
}

pub(crate) fn hooks(tell: impl Fn(&str) + Send + Sync + 'static) -> Hooks {
    Hooks::new()
        // on_select_backends: requests that change nothing go to the sandbox, those with a ticket to both.
        .choose(|request| match *request.method() {
            Method::GET if request.header("x-ticket").is_some() => Choice::All,
            Method::GET => Choice::only(["sandbox"]),
            _ => Choice::None,
        })
        // on_munge_headers
        .edit(|edit| {
            if edit.candidate() == "sandbox" {
                edit.set_header("host", "sandbox.example");
                edit.set_header("x-overridden", "yes");
            }
        })
        // on_backends_finished
        .finished(move |exchange| tell(&report(exchange)))
}

fn report(exchange: &Finished) -> String {
    let request = exchange.request();
    let mut lines = vec![format!("{} {}", request.method(), request.path())];
    for backend in exchange.backends() {
        let answer = match (backend.status(), backend.error()) {
            (Some(status), _) => status.as_str().to_owned(),
            (None, Some(error)) => error.name().to_owned(),
            (None, None) => "not asked".to_owned(),
        };
        let millis = backend.elapsed().unwrap_or_default().as_millis();
        lines.push(format!("  {}: {answer} in {millis} ms", backend.name()));
    }
    for candidate in exchange.candidates() {
        let places: Vec<&str> = candidate.differences().iter().map(|it| &*it.path).collect();
        let outcome = candidate.outcome().name();
        lines.push(format!("  {}: {outcome} {places:?}", candidate.name()));
    }
    lines.join("\n")
}
