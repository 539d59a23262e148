//! One request, from its head to its response's last byte.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue};
use http::{StatusCode, Version, request};
use http_body::Body as HttpBody;
use http_body_util::Either;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::access::Access;
use super::connection::Busy;
use super::counted::Counted;
use super::plan::{Destination, Lane};
use super::upgrade::Upgrade;
use super::{LiveBody, Proxy, RoleMetrics, error, forwarded, objection, race};
use crate::capture::{self, Exchange, RequestHead, tee_request};
use crate::client::{self, Unmeasured, make_end_to_end, strip_hop_by_hop};
use crate::config::BaseUrl;
use crate::experiment::Role;
use crate::http1::retain;

/// How long a failed request's upload may go on after its answer, so that the candidate can be asked with
/// the whole of it, and the answer isn't lost to a connection that closes on a client still sending.
const LINGER: Duration = Duration::from_secs(5);

/// Answers a request. Its connection stays busy until the last byte of a backend's response, or until there is an answer
/// of miffy's own.
pub(super) async fn answer(
    proxy: &Arc<Proxy>,
    busy: Busy,
    mut head: request::Parts,
    body: Body,
) -> Response {
    if let Some(answer) = objection::to(&head) {
        let mut response = answer.response();
        if head.version != Version::HTTP_2 {
            // Whoever sent this may see the next request elsewhere.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        return response;
    }
    let plan = proxy.plan.load_full();
    // Conditions and samples are the same in every version of HTTP.
    client::unify(&mut head);
    let (method, uri, headers) = (&head.method, &head.uri, &head.headers);
    let Some(lane) = plan.experiments.find(method, uri, headers) else {
        return pass(proxy, busy, &plan.upstream(), head, body).await;
    };
    match lane.experiment.admit(method, uri, headers) {
        Ok(()) => match &lane.race {
            None => mirror(proxy, busy, lane, head, body).await,
            Some(race) => Box::pin(race::answer(proxy, busy, lane, race, head, body)).await,
        },
        Err(skip) => {
            lane.mirror.skip(method, uri, skip);
            pass(proxy, busy, &lane.reference(), head, body).await
        }
    }
}

/// Answers a request that is mirrored, and offers it to the mirror.
async fn mirror(
    proxy: &Proxy,
    busy: Busy,
    lane: &Lane,
    mut head: request::Parts,
    body: Body,
) -> Response {
    let destination = lane.reference();
    let live = Live::begin(proxy, busy, Role::Reference, &head);
    live.make_end_to_end(&mut head);
    let (body, upload, request_body) = tee_request(body, &proxy.limits);
    // A client that waits to be asked for its body, and hears of a failure instead, does not send it.
    let upload = upload.filter(|_| !head.headers.contains_key(EXPECT));
    let (slot, reference) = capture::slot();
    lane.mirror.clone().offer(Exchange {
        request: RequestHead::from(&head),
        request_body,
        reference,
    });
    match destination.send(Role::Reference, head, body).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = slot.answered(head.status, head.headers.clone(), body, &proxy.limits);
            live.answer(http::Response::from_parts(head, body))
        }
        Err(error) => {
            if let client::Error::Backend { failure, .. } = error {
                slot.failed(failure);
            }
            if let Some(upload) = upload {
                tokio::spawn(timeout(LINGER, upload.finish()));
            }
            live.fail(&error, destination.base)
        }
    }
}

/// Answers a request that is not mirrored.
async fn pass(
    proxy: &Proxy,
    busy: Busy,
    destination: &Destination<'_>,
    mut head: request::Parts,
    body: Body,
) -> Response {
    let live = Live::begin(proxy, busy, Role::Upstream, &head);
    let upgrade = Upgrade::asked_for(&mut head);
    live.make_end_to_end(&mut head);
    if let Some(upgrade) = &upgrade {
        upgrade.write(&mut head.headers);
    }
    let sent = destination.send(Role::Upstream, head, Either::Right(body));
    match (sent.await, upgrade) {
        (Ok(response), Some(upgrade)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            live.log(response.status());
            upgrade.accept(response, live.guard)
        }
        (Ok(response), _) => live.answer(response),
        (Err(error), _) => live.fail(&error, destination.base),
    }
}

/// What a request holds until its response's last byte.
pub(super) struct Guard {
    _in_flight: Counted,
    connection: Busy,
}

/// A request that is being answered.
pub(super) struct Live<'p> {
    proxy: &'p Proxy,
    metrics: &'p RoleMetrics,
    guard: Guard,
    access: Option<Access>,
    started: Instant,
}

impl<'p> Live<'p> {
    pub(super) fn begin(proxy: &'p Proxy, busy: Busy, role: Role, head: &request::Parts) -> Self {
        let metrics = match role {
            Role::Reference | Role::Candidate | Role::Secondary => &proxy.metrics.reference,
            Role::Upstream => &proxy.metrics.upstream,
        };
        metrics.requests.increment(1);
        Self {
            proxy,
            metrics,
            guard: Guard {
                _in_flight: Counted::begin(&proxy.in_flight),
                connection: busy,
            },
            access: Access::of(role, head),
            started: Instant::now(),
        }
    }

    /// Makes the headers those to send on.
    pub(super) fn make_end_to_end(&self, head: &mut request::Parts) {
        make_end_to_end(head);
        if self.proxy.forwarded {
            forwarded::add(head, self.guard.connection.connection());
        }
    }

    /// The answer of one backend that is asked for this request and no other.
    pub(super) async fn ask(
        self,
        destination: &Destination<'_>,
        head: request::Parts,
        body: LiveBody,
    ) -> Response {
        match destination.send(Role::Reference, head, body).await {
            Ok(response) => self.answer(response),
            Err(error) => self.fail(&error, destination.base),
        }
    }

    /// The backend's response, on its way to the client.
    pub(super) fn answer<B>(self, response: http::Response<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        self.metrics.first_byte.record(self.started.elapsed());
        self.pass_on(response)
    }

    /// A response whose time was taken, on its way to the client.
    pub(super) fn pass_on<B>(self, response: http::Response<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        self.log(response.status());
        let (mut head, body) = response.into_parts();
        strip_hop_by_hop(&mut head.headers);
        if head.status == StatusCode::NO_CONTENT && head.headers.contains_key(CONTENT_LENGTH) {
            // Not even one of 0 (RFC 9110 §8.6).
            retain(&mut head.headers, |name| *name != CONTENT_LENGTH);
        }
        // The version is each connection's own (RFC 9110 §2.5); the server lowers it for its client.
        head.version = Version::HTTP_11;
        let body = Body::new(Unmeasured::new(body, self.guard));
        Response::from_parts(head, body)
    }

    /// miffy's own answer, since the backend gave none.
    pub(super) fn fail(self, error: &client::Error, backend: &BaseUrl) -> Response {
        let answer = match error {
            client::Error::RequestBody(_) => return self.fail_of_client(error),
            client::Error::Backend { failure, .. } => {
                if let Some(unsaid) = self.proxy.failures.admit() {
                    let cause = failure.cause.name();
                    warn!(%backend, %error, cause, unsaid, "the reference gave no answer");
                }
                self.proxy.metrics.gateway_error(failure.cause)
            }
        };
        self.log(answer.status);
        answer.response()
    }

    /// miffy's own answer, since the client did not send its request to the end.
    pub(super) fn fail_of_client(self, error: &dyn std::fmt::Display) -> Response {
        debug!(%error, "a client did not send what it announced");
        self.log(error::BAD_REQUEST.status);
        error::BAD_REQUEST.response()
    }

    fn log(&self, status: StatusCode) {
        if let Some(access) = &self.access {
            access.log(status, self.started.elapsed());
        }
    }
}
