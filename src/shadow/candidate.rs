//! The candidate's side of one exchange.

use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_LENGTH;
use http_body_util::{Either, Full};
use metrics::{Counter, Histogram};
use tracing::warn;

use crate::capture::{Answer, Failed, Limits, RequestHead, Side, collect};
use crate::client::{self, Client, Replay, Unmeasured};
use crate::config::BaseUrl;
use crate::experiment::Role;
use crate::outcome::{Cause, Failure, Stage};
use crate::telemetry::Throttle;
use crate::telemetry::metrics::{FIRST_BYTE, REQUESTS, counter, of_role};

/// A request's body towards the candidate.
pub type CandidateBody = Either<Full<Bytes>, Unmeasured<Full<Bytes>>>;

impl Replay for CandidateBody {
    fn replay(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// Asks candidates.
#[derive(Debug)]
pub(super) struct CandidateSide {
    pub(super) client: Client<CandidateBody>,
    pub(super) limits: Limits,
    pub(super) metrics: CandidateMetrics,
    pub(super) failures: Throttle,
}

#[derive(Debug)]
pub(super) struct CandidateMetrics {
    requests: Counter,
    first_byte: Histogram,
}

impl CandidateMetrics {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register() -> Self {
        let role = Role::Candidate.name();
        Self {
            requests: counter(REQUESTS, Some(("role", role))),
            first_byte: of_role(FIRST_BYTE, role),
        }
    }
}

impl CandidateSide {
    /// Sends the candidate what the reference is sent, and reads its answer to the end.
    pub(super) async fn exchange(&self, base: &BaseUrl, head: &RequestHead, body: &Bytes) -> Side {
        let started = Instant::now();
        self.metrics.requests.increment(1);
        self.answer(base, head, body, started)
            .await
            .map_err(|failure| Failed {
                failure,
                elapsed: started.elapsed(),
            })
    }

    async fn answer(
        &self,
        base: &BaseUrl,
        head: &RequestHead,
        body: &Bytes,
        started: Instant,
    ) -> Result<Answer, Failure> {
        let (parts, body) = request(head, body).into_parts();
        let sent = self.client.send(base, Role::Candidate, parts, body);
        let response = sent.await.map_err(|error| {
            let failure = match error {
                client::Error::Backend { failure, .. } => failure,
                // It is all there.
                client::Error::RequestBody(_) => Failure {
                    stage: Stage::Request,
                    cause: Cause::Protocol,
                },
            };
            if let Some(unsaid) = self.failures.admit() {
                let cause = failure.cause.name();
                warn!(backend = %base, %error, cause, unsaid, "the candidate gave no answer");
            }
            failure
        })?;
        let first_byte = started.elapsed();
        self.metrics.first_byte.record(first_byte);
        let (parts, body) = response.into_parts();
        let body = collect(body, &self.limits).await;
        match body.end.failure() {
            None => Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
                first_byte,
                elapsed: started.elapsed(),
            }),
            Some(failure) => Err(failure),
        }
    }
}

/// The request again: the same head, and the body framed as it was.
fn request(head: &RequestHead, body: &Bytes) -> Request<CandidateBody> {
    let body = Full::new(body.clone());
    let body = if head.headers.contains_key(CONTENT_LENGTH) {
        Either::Left(body)
    } else {
        Either::Right(Unmeasured::new(body, ()))
    };
    let mut request = Request::new(body);
    request.method_mut().clone_from(&head.method);
    *request.uri_mut() = head.target.clone().into();
    request.headers_mut().clone_from(&head.headers);
    request.extensions_mut().clone_from(&head.extensions);
    request
}
