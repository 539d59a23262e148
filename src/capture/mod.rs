//! One exchange as it was, for the shadow: bounded copies of both bodies, and how each ended.
//!
//! Here the live path and the shadow meet, and nowhere else. The proxy hands an [`Exchange`] to a
//! [`Mirror`] before it has been answered, without waiting; what is not known yet follows through it.
//!
//! Invariants:
//!
//! - A body streams on whatever happens to its copy. Over a bound ([`Limits`]) the copy is given up, and
//!   length and hash go on.
//! - A copy is delivered once, at the body's last byte, its error, or its drop; or dropped at once when
//!   nobody waits for it any longer.
//! - All copies together stay within a [`Budget`], from their first byte until they are dropped.

mod body;
mod budget;
mod gather;
mod tee;

use std::error::Error;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, Method, StatusCode, Uri, request};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

pub use body::{BodyEnd, Captured, Content, Limits};
pub use budget::Budget;
pub use gather::{Gathered, Regained, gather};
pub use tee::{Sink, Tee};

use crate::client;
use crate::outcome::{Failure, Skip};
use crate::threads::{self, When};
use body::Recorder;
use tee::Remainder;

/// Takes an experiment's exchanges from the live path, and never makes it wait.
pub trait Mirror: Send + Sync {
    /// Takes an exchange that has begun.
    fn offer(self: Arc<Self>, exchange: Exchange);

    /// Takes an exchange whose request is whole, and whose candidates the live path asks itself. Gives a slot for
    /// each candidate, in their order, that is to be asked.
    fn race(self: Arc<Self>, exchange: Exchange) -> Vec<Option<Slot>>;

    /// Takes note of a matched request that is not mirrored, without waiting either.
    fn skip(&self, method: &Method, uri: &Uri, skip: Skip);
}

/// A request of an experiment, on its way to the reference.
#[derive(Debug)]
pub struct Exchange {
    /// The request.
    pub request: RequestHead,
    /// Its body, when it has come.
    pub request_body: RequestBody,
    /// How the reference's side ends.
    pub reference: oneshot::Receiver<Ended>,
}

/// A request without its body, its headers end to end.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target as it was sent, never an absolute form's scheme and host.
    pub target: PathAndQuery,
    /// The headers.
    pub headers: HeaderMap,
    /// When it came.
    pub received: SystemTime,
    /// What the server noted of it; the names' spelling, for one.
    pub extensions: Extensions,
}

impl From<&request::Parts> for RequestHead {
    fn from(head: &request::Parts) -> Self {
        Self {
            method: head.method.clone(),
            target: client::target(&head.uri).clone(),
            headers: head.headers.clone(),
            received: SystemTime::now(),
            extensions: head.extensions.clone(),
        }
    }
}

/// A request, whole: what everybody is sent, but for what is rewritten.
#[derive(Debug)]
pub struct Sent {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: Captured,
}

/// A response, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers as they came, hop-by-hop ones among them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Captured,
    /// Time from the request's start to the response's head.
    pub first_byte: Duration,
    /// Time from the request's start to the response's end.
    pub elapsed: Duration,
}

/// That a side gave no whole response.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// How far it came and why no further.
    pub failure: Failure,
    /// Time from the request's start.
    pub elapsed: Duration,
}

/// One side of an exchange, over.
pub type Side = Result<Answer, Failed>;

/// How a side ends that the live path has asked.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is nearly always the large one"
)]
pub enum Ended {
    /// With a response, or without one.
    Over(Side),
    /// The client went away first.
    ClientGone,
}

/// The live path's end of [`Exchange::reference`], or of a candidate that it asked itself. Dropped, it says that
/// the client went away.
#[derive(Debug)]
pub struct Slot {
    sender: oneshot::Sender<Ended>,
    started: Instant,
}

/// A slot for how a side ends, its clock started, and where that arrives.
#[must_use]
pub fn slot() -> (Slot, oneshot::Receiver<Ended>) {
    let (sender, receiver) = oneshot::channel();
    let started = Instant::now();
    (Slot { sender, started }, receiver)
}

impl Slot {
    /// Waits until nobody wants to know any longer how the side ends.
    pub async fn unwanted(&mut self) {
        self.sender.closed().await;
    }

    /// The backend gave no response.
    pub fn failed(self, failure: Failure) {
        let elapsed = self.started.elapsed();
        self.end(Ended::Over(Err(Failed { failure, elapsed })));
    }

    /// The backend's response has begun: passes its body through, and notes its end.
    pub fn answered<B>(
        self,
        status: StatusCode,
        headers: HeaderMap,
        body: B,
        limits: &Limits,
    ) -> Tee<B, AnswerCopy>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let first_byte = self.started.elapsed();
        let sink = AnswerCopy {
            slot: self,
            status,
            headers,
            first_byte,
        };
        Tee::new(body, limits, sink)
    }

    fn end(self, ended: Ended) {
        // Nobody listens once the pair was given up.
        let tell = move || drop(self.sender.send(ended));
        if let Err(tell) = threads::beside(When::Now, tell) {
            tell();
        }
    }
}

/// A response but for its body.
#[derive(Debug)]
pub struct AnswerCopy {
    slot: Slot,
    status: StatusCode,
    headers: HeaderMap,
    first_byte: Duration,
}

impl Sink for AnswerCopy {
    fn is_wanted(&mut self, cx: &mut Context<'_>) -> bool {
        self.slot.sender.poll_closed(cx).is_pending()
    }

    fn accept(self, body: Captured) {
        if body.end == BodyEnd::Cut {
            return self.slot.end(Ended::ClientGone);
        }
        let elapsed = self.slot.started.elapsed();
        self.slot.end(Ended::Over(match body.end.failure() {
            None => Ok(Answer {
                status: self.status,
                headers: self.headers,
                body,
                first_byte: self.first_byte,
                elapsed,
            }),
            Some(failure) => Err(Failed { failure, elapsed }),
        }));
    }
}

/// A request's body for the candidate.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// It is on its way through the live path.
    Pending(oneshot::Receiver<Captured>),
    /// The live path has read it.
    Whole(Captured),
}

impl RequestBody {
    /// All of it, or why there is nothing whole to mirror.
    pub async fn whole(self) -> Result<Captured, Skip> {
        let coming = match self {
            Self::Empty => return Ok(Captured::empty()),
            Self::Whole(captured) => return Ok(captured),
            Self::Pending(coming) => coming,
        };
        match coming.await {
            Ok(Captured {
                content: Content::Over { .. },
                ..
            }) => Err(Skip::RequestTooLarge),
            Ok(captured) => match captured.end {
                BodyEnd::Complete => Ok(captured),
                BodyEnd::Failed | BodyEnd::Late => Err(Skip::ClientGone),
                BodyEnd::Cut => Err(Skip::RequestUnread),
            },
            Err(_) => Err(Skip::RequestUnread),
        }
    }
}

/// The live path's hold on a request's body that is being sent.
pub struct Upload<B>(oneshot::Receiver<Remainder<B, RequestCopy>>);

/// Where a request's copy goes. It is given up early: a request over the bound is not mirrored.
#[derive(Debug)]
pub struct RequestCopy(oneshot::Sender<Captured>);

impl Sink for RequestCopy {
    fn is_wanted(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.poll_closed(cx).is_pending()
    }

    fn accept(self, captured: Captured) {
        let _given_up = self.0.send(captured);
    }

    fn in_a_hurry(&self) -> bool {
        true
    }
}

/// Reads a body to its end, copying it within `limits`.
pub async fn collect<B>(mut body: B, limits: &Limits) -> Captured
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    let mut recorder = Recorder::new(limits, &body.size_hint());
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    recorder.push(data);
                }
            }
            Some(Err(error)) => return recorder.finish(BodyEnd::of_error(&error)),
            None => return recorder.finish(BodyEnd::Complete),
        }
    }
}

/// A request's body on its way to the reference: teed, or known to be empty.
pub type RequestTee<B> = http_body_util::Either<Tee<B, RequestCopy>, B>;

/// Passes a request's body through and copies it, if there is one.
pub fn tee_request<B>(body: B, limits: &Limits) -> (RequestTee<B>, Option<Upload<B>>, RequestBody)
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return (RequestTee::Right(body), None, RequestBody::Empty);
    }
    let (sender, receiver) = oneshot::channel();
    let (tee, reclaim) = Tee::new(body, limits, RequestCopy(sender)).reclaimable();
    (
        RequestTee::Left(tee),
        Some(Upload(reclaim)),
        RequestBody::Pending(receiver),
    )
}

impl<B: Body<Data = Bytes, Error: Error + 'static> + Unpin> Upload<B> {
    /// Reads what the reference did not, so that the candidate can be asked all the same, and a client
    /// that is still sending gets to read its answer. Ends with the body, or as soon as it is over the
    /// bound of captured bodies.
    pub async fn finish(self) {
        let Ok(remainder) = self.0.await else {
            return;
        };
        let mut rest = remainder.resume();
        while !rest.is_copied() {
            match rest.frame().await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn a_response_that_nobody_reads_on_was_cut() {
        let limits = Limits {
            max_body: 1,
            budget: Budget::new(1),
        };
        let (slot, ended) = super::slot();
        let body = Full::new(Bytes::from_static(b"unread"));
        drop(slot.answered(StatusCode::OK, HeaderMap::new(), body, &limits));
        assert!(matches!(ended.await, Ok(Ended::ClientGone)));
    }
}
