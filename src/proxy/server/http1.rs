//! HTTP/1.1 towards clients (RFC 9112): one connection, from its first byte to its last.
//!
//! One task reads a head, has the request answered, and writes the answer, before it reads the next head. Meanwhile it
//! notices if the client goes away; and whoever takes the request's body reads it from here. Between two requests it
//! holds nothing but the socket.
//!
//! # Layout
//!
//! - `answer`: a response on its way
//! - `line`: a connection's bytes, shared by who reads a request's body and who writes the response
//! - `upload`: a request's body

mod answer;
mod line;
mod upload;

use std::future::poll_fn;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{StatusCode, Version};
use tokio::time::timeout;
use tracing::debug;

use self::answer::{Answer, Wish};
use self::line::{Arrival, SharedLine};
use self::upload::Upload;
use super::super::connection::{ClientConnection, Noted, Received, Socket};
use super::super::upgrade::Takeover;
use super::service::ClientService;
use crate::http1::{Asked, Heads, Length, Malformed, Wire};

/// How long a client may go on sending what nobody reads any longer: a reset would take the answer from it
/// (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// What becomes of a connection after a request.
enum Then {
    /// It may carry another one.
    Next,
    /// It ends in order.
    Close,
    /// It ends while the client may still be sending.
    Linger,
    /// It becomes another protocol's.
    Upgrade(Takeover),
    /// It is gone.
    Nothing,
}

/// An answer of which something is still to be written. Dropped, also with the thread it is on, it breaks off.
struct Unfinished<'c>(Option<&'c ClientConnection>);

impl Unfinished<'_> {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.cut();
        }
    }
}

/// Serves a connection to its end. Gives it back if it is one of HTTP/2.
pub(super) async fn serve<IO: Socket>(
    io: Noted<IO>,
    heads: Heads,
    service: &ClientService,
) -> Option<Wire<Noted<IO>>> {
    let connection = &service.connection;
    let line = SharedLine::new(io);
    loop {
        let arrival = poll_fn(|cx| line.lock().poll_head(cx, heads, connection)).await;
        let then = match arrival {
            Ok(Arrival::Request(asked)) => exchange(&line, *asked, service).await,
            Ok(Arrival::Http2) => {
                connection.speaks(Version::HTTP_2);
                return line.into_wire();
            }
            Ok(Arrival::End) => Then::Close,
            Err(malformed) => {
                debug!(error = %malformed, "a client sent what is no request");
                refuse(&line, malformed).await
            }
        };
        match then {
            Then::Next => {}
            Then::Close => break close(&line).await,
            Then::Linger => {
                close(&line).await;
                let silence = poll_fn(|cx| line.lock().poll_silence(cx));
                break timeout(LINGER, silence).await.unwrap_or_default();
            }
            Then::Upgrade(takeover) => {
                line.is_free().await;
                if let Some(wire) = line.into_wire() {
                    takeover.give(wire);
                }
                break;
            }
            Then::Nothing => break,
        }
    }
    None
}

/// Answers one request.
async fn exchange<IO: Socket>(
    line: &SharedLine<IO>,
    asked: Asked,
    service: &ClientService,
) -> Then {
    let connection = &service.connection;
    let wish = Wish::from(&asked);
    let Asked {
        mut head,
        length,
        expects,
        ..
    } = asked;
    let takeover = Takeover::offer_to(&mut head);
    let body = if length == Length::Exact(0) {
        Body::empty()
    } else {
        let upload = Upload::new(line, length, expects);
        Body::new(Received::new(upload, connection))
    };
    let response = tokio::select! {
        biased;
        response = service.answer(head, body) => response,
        () = line.left() => return Then::Nothing,
    };
    let becomes_another = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let is_last = connection.is_ending() || line.lock().is_spoilt();
    let mut answer = Answer::new(response, wish, is_last);
    let unfinished = Unfinished(Some(connection));
    let sent = tokio::select! {
        biased;
        sent = poll_fn(|cx| answer.poll(cx, line)) => sent,
        () = line.left() => return Then::Nothing,
    };
    if let Err(error) = sent {
        debug!(%error, "an answer broke off");
        return Then::Nothing;
    }
    unfinished.finish();
    let persists = answer.persists();
    drop(answer);
    // Some of the request's body may still be on its way.
    let is_whole = poll_fn(|cx| line.lock().poll_body_end(cx)).await;
    match (is_whole, takeover.filter(|_| becomes_another)) {
        (true, Some(takeover)) => Then::Upgrade(takeover),
        (true, None) if persists => Then::Next,
        (true, None) if line.lock().has_more() => Then::Linger,
        (true, None) => Then::Close,
        (false, _) => Then::Linger,
    }
}

/// Answers what is no request.
async fn refuse<IO: Socket>(line: &SharedLine<IO>, malformed: Malformed) -> Then {
    let status = match malformed {
        Malformed::Incomplete => return Then::Nothing,
        Malformed::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Malformed::TargetTooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let mut answer = Answer::new(response, Wish::default(), true);
    match poll_fn(|cx| answer.poll(cx, line)).await {
        Ok(()) => Then::Linger,
        Err(_gone) => Then::Nothing,
    }
}

/// Tells the client that nothing more will come.
async fn close<IO: Socket>(line: &SharedLine<IO>) {
    let _gone = poll_fn(|cx| line.lock().poll_shutdown(cx)).await;
}
