//! Asks one backend what the reference is asked: a candidate, or who gives second answers.

use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, request};
use http_body_util::{Either, Full};
use metrics::{Counter, Histogram};
use tracing::warn;

use super::judge::Sent;
use crate::capture::{Answer, Failed, Limits, RequestHead, Side, collect};
use crate::client::{self, Client, Replay, Unmeasured};
use crate::config::Backend;
use crate::experiment::{Experiment, Role};
use crate::outcome::{Cause, Failure, Stage};
use crate::rewrite::NoTarget;
use crate::telemetry::Throttle;
use crate::telemetry::metrics::{FIRST_BYTE, REQUESTS, counter, of_role};

/// A captured request's body on its way again.
pub type CandidateBody = Either<Full<Bytes>, Unmeasured<Full<Bytes>>>;

impl Replay for CandidateBody {
    fn replay(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// A backend that is asked.
#[derive(Debug)]
pub(super) struct Asked {
    role: Role,
    backend: Backend,
    client: Client<CandidateBody>,
    limits: Limits,
    requests: Counter,
    first_byte: Histogram,
    failures: Throttle,
}

impl Asked {
    /// Registers the metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    pub(super) fn register(
        role: Role,
        backend: Backend,
        client: Client<CandidateBody>,
        limits: Limits,
    ) -> Self {
        Self {
            role,
            backend,
            client,
            limits,
            requests: counter(REQUESTS, Some(("role", role.name()))),
            first_byte: of_role(FIRST_BYTE, role.name()),
            failures: Throttle::default(),
        }
    }

    /// Sends the backend what the reference is sent, but for what is rewritten, and reads its answer to the end.
    pub(super) async fn exchange(&self, experiment: &Experiment, sent: &Sent) -> Side {
        let (head, body) = self.request(experiment, sent);
        self.send(head, body).await
    }

    /// What it is sent: the request again, but for what is rewritten.
    pub(super) fn request(
        &self,
        experiment: &Experiment,
        sent: &Sent,
    ) -> (Result<request::Parts, NoTarget>, Bytes) {
        let mut head = head(&sent.head);
        let rewritten = experiment.rewrite(&self.backend.rewrite, &mut head);
        let head = rewritten.map(|()| head);
        (head, sent.body.content.bytes().clone())
    }

    /// Sends it this, and reads its answer to the end.
    pub(super) async fn send(&self, head: Result<request::Parts, NoTarget>, body: Bytes) -> Side {
        let started = Instant::now();
        self.requests.increment(1);
        self.answer(head, body, started)
            .await
            .map_err(|failure| Failed {
                failure,
                elapsed: started.elapsed(),
            })
    }

    async fn answer(
        &self,
        head: Result<request::Parts, NoTarget>,
        body: Bytes,
        started: Instant,
    ) -> Result<Answer, Failure> {
        let base = &self.backend.base;
        let sent = match head {
            Ok(head) => {
                let body = framed(&head, body);
                self.client.send(base, self.role, head, body).await
            }
            Err(error) => Err(error.into()),
        };
        let response = sent.map_err(|error| {
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

/// The head of the request again.
fn head(head: &RequestHead) -> request::Parts {
    let mut request = Request::new(());
    request.method_mut().clone_from(&head.method);
    *request.uri_mut() = head.target.clone().into();
    request.headers_mut().clone_from(&head.headers);
    request.extensions_mut().clone_from(&head.extensions);
    request.into_parts().0
}

/// The body, framed as the head says.
fn framed(head: &request::Parts, body: Bytes) -> CandidateBody {
    let body = Full::new(body);
    if head.headers.contains_key(CONTENT_LENGTH) {
        Either::Left(body)
    } else {
        Either::Right(Unmeasured::new(body, ()))
    }
}
