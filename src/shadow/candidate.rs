//! The candidate's side of one exchange, and likewise the secondary's.

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

/// A captured request's body on its way again.
pub type CandidateBody = Either<Full<Bytes>, Unmeasured<Full<Bytes>>>;

impl Replay for CandidateBody {
    fn replay(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// Asks the backends of a role.
#[derive(Debug)]
pub(super) struct CandidateSide {
    role: Role,
    client: Client<CandidateBody>,
    limits: Limits,
    requests: Counter,
    first_byte: Histogram,
    failures: Throttle,
}

impl CandidateSide {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register(role: Role, client: Client<CandidateBody>, limits: Limits) -> Self {
        Self {
            role,
            client,
            limits,
            requests: counter(REQUESTS, Some(("role", role.name()))),
            first_byte: of_role(FIRST_BYTE, role.name()),
            failures: Throttle::default(),
        }
    }

    /// Sends the backend what the reference is sent, and reads its answer to the end.
    pub(super) async fn exchange(&self, base: &BaseUrl, head: &RequestHead, body: &Bytes) -> Side {
        let started = Instant::now();
        self.requests.increment(1);
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
        let sent = self.client.send(base, self.role, parts, body);
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
                let (role, cause) = (self.role.name(), failure.cause.name());
                warn!(role, backend = %base, %error, cause, unsaid, "no answer to a mirrored request");
            }
            failure
        })?;
        let first_byte = started.elapsed();
        self.first_byte.record(first_byte);
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
