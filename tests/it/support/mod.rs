//! What the tests are made of.

pub(crate) mod admin;
pub(crate) mod backend;
pub(crate) mod broker;
pub(crate) mod client;
pub(crate) mod fault;
pub(crate) mod metrics;
pub(crate) mod miffy;
pub(crate) mod process;
pub(crate) mod rude;
pub(crate) mod tls;
pub(crate) mod wire;

use std::time::Duration;

/// How long anything may take that is waited for. Nothing takes nearly as long unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A client of HTTP that waits for nothing longer than that.
pub(crate) fn http_client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let client = client.redirect(reqwest::redirect::Policy::none());
    client.build().unwrap()
}

/// Waits for a future that has to end.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_elapsed| panic!("{what}: not within {PATIENCE:?}"))
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
