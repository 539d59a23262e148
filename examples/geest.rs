//! What Geest's usage example does: backends chosen by the request, and their answers compared in a callback.
//!
//! Without a master, Geest answers with the first backend that succeeds. `respond = "fastest"` does that; those backends
//! are all asked, by no callback's leave, and clients may get any of their answers.
//!
//! ```text
//! cargo run --example demo     two services, on ports 3000 and 3001
//! cargo run --example geest
//! curl localhost:8080/api/1
//! ```
#![expect(clippy::print_stdout, reason = "it tells what it sees")]

use miffy::app::App;
use miffy::compare::Kind;
use miffy::hooks::{Choice, Difference, Hooks, Judgement, Pair};

/// Where the backends are.
pub(crate) const CONFIG: &str = r#"
    reference = "http://127.0.0.1:3000"
    kafka.enabled = false
    stdout.enabled = true

    [[routes]]
    path = "/fast/{*path}"
    respond = "fastest"
    candidates = { next = "http://127.0.0.1:3001" }

    [[routes]]
    path = "/{*path}"
    candidates = { next = "http://127.0.0.1:3001", other = "http://127.0.0.1:3001" }
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
        .choose(|request| {
            let wants = |name: &&str| request.path().starts_with(&format!("/{name}/"));
            match request.candidates().find(wants) {
                Some(name) => Choice::only([name]),
                None => Choice::All,
            }
        })
        .compare(move |pair| {
            let judgement = status_alone(pair);
            tell(&format!("{} {judgement:?}", pair.name()));
            judgement
        })
}

/// Compares the statuses, and nothing of what the rules compare.
fn status_alone(pair: &Pair) -> Judgement {
    let [reference, candidate] = [pair.reference(), pair.candidate()].map(|it| it.status());
    if reference == candidate {
        return Judgement::equal();
    }
    let difference = Difference::new("status", Kind::Changed)
        .reference(reference.as_u16())
        .candidate(candidate.as_u16());
    Judgement::Replace(vec![difference])
}
