//! `respond = "fastest"`: of all backends of an experiment, the first one that succeeds answers.
//!
//! Here, and nowhere else, a client may get a candidate's answer, and waits for its own upload to be read before
//! anybody is asked. Whoever loses is listened to all the same, so that its answer can be compared.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::request;
use http_body_util::{Either, Full};
use metrics::Counter;
use tokio::time::timeout;

use super::connection::Busy;
use super::forward::Live;
use super::plan::{Destination, Lane};
use super::{LiveBody, Proxy};
use crate::capture::{self, Exchange, Gathered, Limits, RequestBody, RequestHead, Slot, gather};
use crate::client::{self, Client, Timed, Unmeasured};
use crate::experiment::{Experiment, Role};
use crate::outcome::Skip;
use crate::telemetry::metrics::FASTEST;

/// How long losers are listened to, whatever their own limits. The shadow's patience ends long before.
const LISTENING: Duration = Duration::from_mins(10);

/// What an experiment's races need beside its reference.
pub struct Race {
    /// How candidates are asked, in their order.
    pub(super) candidates: Vec<Client<LiveBody>>,
    /// By place.
    wins: Vec<Counter>,
}

/// A backend's answer, or why there is none.
type Answered = Result<http::Response<Timed>, client::Error>;

/// A backend's place (the reference's is 0, and candidates follow in their order), where its answer goes, and that.
type Finish = (usize, Slot, Answered);

/// Those that are still running.
type Running = FuturesUnordered<Contestant>;

/// A backend that is being asked.
struct Contestant {
    place: usize,
    /// Empty once it is over.
    slot: Option<Slot>,
    asking: BoxFuture<'static, Answered>,
}

impl Future for Contestant {
    type Output = Finish;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finish> {
        let answered = ready!(self.asking.as_mut().poll(cx));
        let slot = self.slot.take().expect("it is over once");
        Poll::Ready((self.place, slot, answered))
    }
}

/// A matched request whose body is being read. Unless that comes to its end, the client has gone away.
struct Upload<'r> {
    lane: &'r Lane,
    head: &'r request::Parts,
    is_over: bool,
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let request::Parts { method, uri, .. } = self.head;
            self.lane.mirror.skip(method, uri, Skip::ClientGone);
        }
    }
}

impl Race {
    /// The races of an experiment, whose candidates are asked by these clients, in their order. Registers the
    /// metrics; to be called in [`Telemetry::register`](crate::telemetry::Telemetry).
    #[must_use]
    pub fn register(experiment: &Experiment, candidates: Vec<Client<LiveBody>>) -> Self {
        let wins = |backend: &str| {
            let (experiment, backend) = (experiment.name.clone(), backend.to_owned());
            metrics::counter!(FASTEST, "experiment" => experiment, "backend" => backend)
        };
        let names = experiment.candidates.iter().map(|it| it.name.as_str());
        let names = std::iter::once(Role::Reference.name()).chain(names);
        Self {
            wins: names.map(wins).collect(),
            candidates,
        }
    }
}

/// Answers a request with what the first successful backend says.
pub(super) async fn answer(
    proxy: &Arc<Proxy>,
    busy: Busy,
    lane: &Arc<Lane>,
    race: &Race,
    mut head: request::Parts,
    body: Body,
) -> Response {
    let live = Live::begin(proxy, busy, Role::Reference, &head);
    live.make_end_to_end(&mut head);
    // The upload is read, whatever a backend may say to that.
    head.headers.remove(EXPECT);
    let mut upload = Upload {
        lane,
        head: &head,
        is_over: false,
    };
    let gathered = gather(body, &proxy.limits).await;
    upload.is_over = gathered.is_ok();
    drop(upload);
    let body = match gathered {
        Ok(Gathered::Whole(body)) => body,
        Ok(Gathered::Over(body)) => {
            // It can be sent once only.
            let skip = Skip::RequestTooLarge;
            lane.mirror.skip(&head.method, &head.uri, skip);
            return live
                .ask(&lane.reference(), head, Either::Right(Body::new(body)))
                .await;
        }
        Err(error) => return live.fail_of_client(&error),
    };
    let bytes = body.content.bytes().clone();
    let (slot, reference) = capture::slot();
    let slots = lane.mirror.clone().race(Exchange {
        request: RequestHead::from(&head),
        request_body: RequestBody::Whole(body),
        reference,
    });
    let starters = std::iter::once(Some(slot)).chain(slots).enumerate();
    let starters = starters.filter_map(|(place, slot)| Some((place, slot?)));
    let start = |(place, slot)| {
        let body = sent_body(&head, &bytes);
        Contestant {
            place,
            slot: Some(slot),
            asking: ask(proxy.clone(), lane.clone(), place, head.clone(), body).boxed(),
        }
    };
    let mut running: Running = starters.map(start).collect();
    let (winner, losers) = first_success(&mut running).await;
    tokio::spawn(timeout(
        LISTENING,
        listen(losers, running, proxy.limits.clone()),
    ));
    let (place, slot, answered) = winner;
    match answered {
        Ok(response) => {
            race.wins[place].increment(1);
            let (head, body) = response.into_parts();
            let body = slot.answered(head.status, head.headers.clone(), body, &proxy.limits);
            live.pass_on(http::Response::from_parts(head, body))
        }
        Err(error) => {
            report(slot, &error);
            live.fail(&error, lane.contestant(place).base)
        }
    }
}

/// Asks the backend at a place.
async fn ask(
    proxy: Arc<Proxy>,
    lane: Arc<Lane>,
    place: usize,
    head: request::Parts,
    body: LiveBody,
) -> Answered {
    let backend: Destination<'_> = lane.contestant(place);
    let (role, metrics) = match place {
        0 => (Role::Reference, &proxy.metrics.reference),
        _ => (Role::Candidate, &proxy.metrics.candidate),
    };
    if role == Role::Candidate {
        // That the reference is asked was counted when the request came.
        metrics.requests.increment(1);
    }
    let started = Instant::now();
    let answered = backend.send(role, head, body).await;
    if answered.is_ok() {
        metrics.first_byte.record(started.elapsed());
    }
    answered
}

/// The first one that succeeds, and those that did not before; if none does, of all the first one in their order
/// that has an answer, else the reference.
async fn first_success(running: &mut Running) -> (Finish, Vec<Finish>) {
    let mut losers = Vec::new();
    while let Some(finish) = running.next().await {
        if has_succeeded(&finish) {
            return (finish, losers);
        }
        losers.push(finish);
    }
    losers.sort_by_key(|(place, _, answered)| (answered.is_err(), *place));
    let best = losers.remove(0);
    (best, losers)
}

/// Whether it has an answer other than that it failed (RFC 9110 §15.6).
fn has_succeeded((.., answered): &Finish) -> bool {
    answered
        .as_ref()
        .is_ok_and(|response| !response.status().is_server_error())
}

/// Listens to those who lost, so that their answers can be compared, and for as long as they are to be.
async fn listen(losers: Vec<Finish>, running: Running, limits: Limits) {
    let limits = &limits;
    let losers = losers.into_iter();
    let losers = losers.map(|(_, slot, answered)| hear(slot, answered, limits));
    let late = running.into_iter().map(|contestant| async move {
        let Contestant { slot, asking, .. } = contestant;
        let Some(mut slot) = slot else { return };
        tokio::select! {
            biased;
            () = slot.unwanted() => {}
            answered = asking => hear(slot, answered, limits).await,
        }
    });
    join(join_all(losers), join_all(late)).await;
}

async fn hear(slot: Slot, answered: Answered, limits: &Limits) {
    match answered {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = slot.answered(head.status, head.headers, body, limits);
            body.drain().await;
        }
        Err(error) => report(slot, &error),
    }
}

fn report(slot: Slot, error: &client::Error) {
    // Its body is there, so that it can't be the client's fault.
    if let client::Error::Backend { failure, .. } = error {
        slot.failed(*failure);
    }
}

/// A request's body, framed as the client framed it.
fn sent_body(head: &request::Parts, bytes: &Bytes) -> LiveBody {
    let body = Full::new(bytes.clone());
    Either::Right(
        if head.headers.contains_key(CONTENT_LENGTH) || bytes.is_empty() {
            Body::new(body)
        } else {
            Body::new(Unmeasured::new(body, ()))
        },
    )
}
