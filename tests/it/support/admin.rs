//! The administration, asked over HTTP.

use http::{HeaderMap, Method};
use serde_json::Value;

use super::within;

/// A token that is long enough.
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// What turns the administration on.
pub(crate) const ADMIN: &str = "[admin]\ntoken = \"correct-horse-battery-staple\"\n";

/// Asks the administration of one miffy.
pub(crate) struct Admin {
    base: String,
    client: reqwest::Client,
    token: Option<String>,
}

/// What it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Admin {
    /// At this URL of a management port, with the right token.
    pub(crate) fn at(base: impl Into<String>) -> Self {
        Self {
            base: base.into(),
            client: super::http_client(),
            token: Some(TOKEN.to_owned()),
        }
    }

    /// With these credentials, or none.
    pub(crate) fn with_token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(str::to_owned);
        self
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = within("an answer", request.body(body).send())
            .await
            .unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
        };
        Answer {
            status,
            headers,
            body,
        }
    }

    /// What a GET gives that has to succeed.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ok(Method::GET, path, "").await
    }

    /// What a POST gives that has to succeed.
    pub(crate) async fn post(&self, path: &str, body: &'static str) -> Value {
        self.ok(Method::POST, path, body).await
    }

    /// What is answered to something that has to succeed.
    pub(crate) async fn ok(&self, method: Method, path: &str, body: &'static str) -> Value {
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }
}
