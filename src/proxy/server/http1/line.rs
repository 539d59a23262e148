//! A connection's bytes, shared by who reads a request's body and who writes the response.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http_body::Frame;

use super::super::super::connection::{ClientConnection, Noted, Socket};
use crate::http1::{Asked, Broken, Decoder, Heads, Length, Malformed, Wire, with_room};

/// What a client of HTTP/2 sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Asks a client for a body (RFC 9110 §15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Parts of a body that nobody wants, which are read for the sake of the next request.
const UNWANTED: usize = 4;

/// A connection's bytes, and what there is of a request on them.
pub(super) struct Line<IO: Socket> {
    wire: Wire<Noted<IO>>,
    /// Whether the client has not said which version it speaks.
    is_fresh: bool,
    /// How much of what is unread is known to be no whole head.
    known: usize,
    body: Coming,
    /// Is woken once nobody reads the body.
    waiting: Option<Waker>,
}

/// The body of the request that is being answered.
struct Coming {
    /// Which of the line's bodies it is: the others are over.
    number: u64,
    /// What is to come of it; `None` once it broke off.
    rest: Option<Decoder>,
    /// Whether the client waits to be asked for it.
    expects: bool,
    /// Whether it is too late for that.
    is_answered: bool,
    /// Whether somebody may read on in it.
    has_reader: bool,
}

/// A line, for each who has a part in it. They are on one thread, nearly always, so that nobody waits for its lock.
pub(super) struct SharedLine<IO: Socket>(Arc<Mutex<Line<IO>>>);

/// What came on a line.
pub(super) enum Arrival {
    Request(Box<Asked>),
    /// The preface of HTTP/2.
    Http2,
    /// Nothing more, or nothing that is still to be answered.
    End,
}

impl<IO: Socket> Clone for SharedLine<IO> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<IO: Socket> fmt::Debug for SharedLine<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLine").finish_non_exhaustive()
    }
}

impl<IO: Socket> SharedLine<IO> {
    pub(super) fn new(io: Noted<IO>) -> Self {
        Self(Arc::new(Mutex::new(Line {
            wire: Wire::new(io),
            is_fresh: true,
            known: 0,
            body: Coming {
                number: 0,
                rest: Some(Decoder::new(Length::Exact(0))),
                expects: false,
                is_answered: false,
                has_reader: false,
            },
            waiting: None,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Line<IO>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the client has gone away while it is being answered.
    pub(super) async fn left(&self) {
        poll_fn(|cx| self.lock().poll_left(cx)).await;
    }

    /// Ends when nobody else has a part in it.
    pub(super) async fn is_free(&self) {
        poll_fn(|cx| {
            self.lock().waiting = Some(cx.waker().clone());
            match Arc::strong_count(&self.0) {
                1 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// The connection's bytes, if nobody else has a part in them.
    pub(super) fn into_wire(self) -> Option<Wire<Noted<IO>>> {
        let line = Arc::into_inner(self.0)?;
        let line = line.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(line.wire)
    }
}

impl<IO: Socket> Line<IO> {
    /// What comes next where no request is being answered.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        heads: Heads,
        connection: &ClientConnection,
    ) -> Poll<Result<Arrival, Malformed>> {
        loop {
            if connection.is_ending() {
                return Poll::Ready(Ok(Arrival::End));
            }
            if let Some(arrival) = self.arrival(heads)? {
                return Poll::Ready(Ok(arrival));
            }
            let is_partial = !self.wire.is_read();
            if is_partial {
                connection.receives();
            }
            match ready!(self.wire.poll_read_more(cx)) {
                Ok(1..) => {}
                Ok(0) if is_partial => return Poll::Ready(Err(Malformed::Incomplete)),
                Ok(0) | Err(_) => return Poll::Ready(Ok(Arrival::End)),
            }
        }
    }

    /// What is there, if it is whole.
    fn arrival(&mut self, heads: Heads) -> Result<Option<Arrival>, Malformed> {
        let unread = self.wire.unread();
        if self.is_fresh {
            if unread.starts_with(PREFACE) {
                return Ok(Some(Arrival::Http2));
            }
            if PREFACE.starts_with(unread) {
                return Ok(None);
            }
            self.is_fresh = false;
        }
        if self.known == 0 {
            skip_empty_lines(unread);
            if matches!(unread[..], [] | [b'\r']) {
                return Ok(None);
            }
        }
        let asked = heads.request(unread, self.known)?;
        self.known = if asked.is_some() { 0 } else { unread.len() };
        Ok(asked.map(Box::new).map(Arrival::Request))
    }

    /// A body comes behind the head. Gives its number.
    pub(super) fn expect_body(&mut self, length: Length, expects: bool) -> u64 {
        self.body = Coming {
            number: self.body.number + 1,
            rest: Some(Decoder::new(length)),
            expects,
            is_answered: false,
            has_reader: true,
        };
        self.body.number
    }

    /// Whether this is the body that is read.
    pub(super) fn is_about(&self, number: u64) -> bool {
        self.body.number == number
    }

    /// The next part of the request's body.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(rest) = &mut self.body.rest else {
            return Poll::Ready(None);
        };
        let is_to_be_asked = std::mem::take(&mut self.body.expects);
        if !self.body.is_answered {
            let asked = if is_to_be_asked {
                with_room(|out| {
                    out.extend_from_slice(CONTINUE);
                    self.wire.poll_write(cx, out, Bytes::new(), b"")
                })
            } else {
                // The rest of that, should it not have gone at once.
                self.wire.poll_flush(cx)
            };
            if let Poll::Ready(Err(error)) = asked {
                return self.break_off(error.into());
            }
        }
        match ready!(self.wire.poll_frame(cx, rest)) {
            Some(Err(error)) => self.break_off(error),
            frame => {
                if rest.is_over() {
                    self.leave();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn break_off(&mut self, error: Broken) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.body.rest = None;
        self.leave();
        Poll::Ready(Some(Err(error)))
    }

    /// Whether the request's body broke off, or will not be asked for, so that nobody can tell where the next head begins.
    pub(super) fn is_spoilt(&self) -> bool {
        self.body.rest.is_none() || self.body.expects && !self.body.has_reader
    }

    /// Whether nothing more is to be had of the request's body.
    pub(super) fn has_body_ended(&self) -> bool {
        self.body.rest.as_ref().is_none_or(Decoder::is_over)
    }

    /// How much is to come of the request's body, if that is known.
    pub(super) fn body_size(&self) -> Option<u64> {
        match self.body.rest {
            None => Some(0),
            Some(Decoder::Exact(length)) => Some(length),
            Some(Decoder::Chunked(_) | Decoder::UntilClose) => None,
        }
    }

    /// Nobody reads the request's body any longer.
    fn leave(&mut self) {
        self.body.has_reader = false;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// The body of this number is dropped. Gives who is to know it, once that is so.
    pub(super) fn dropped(&mut self, number: u64) -> Option<Waker> {
        if self.is_about(number) {
            self.body.has_reader = false;
        }
        self.waiting.take()
    }

    /// Ready once nobody reads the request's body; whether it came to its end.
    pub(super) fn poll_body_end(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.body.has_reader {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.is_spoilt() {
            return Poll::Ready(false);
        }
        let Some(rest) = &mut self.body.rest else {
            return Poll::Ready(false);
        };
        for _ in 0..UNWANTED {
            if rest.is_over() {
                break;
            }
            match self.wire.poll_frame(cx, rest) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None | Some(Err(_))) | Poll::Pending => break,
            }
        }
        Poll::Ready(rest.is_over())
    }

    /// Ready if the client has gone away.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.body.has_reader {
            // Who reads it will know.
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        loop {
            skip_empty_lines(self.wire.unread());
            if !self.wire.is_read() {
                // It has the next request at hand.
                return Poll::Pending;
            }
            match ready!(self.wire.poll_read_more(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Whether the client has sent more than what was asked of it.
    pub(super) fn has_more(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !self.wire.is_read() || matches!(self.wire.poll_read_more(&mut cx), Poll::Ready(Ok(1..)))
    }

    /// The answer begins.
    pub(super) fn is_answered(&mut self) {
        self.body.is_answered = true;
    }

    pub(super) fn wire(&mut self) -> &mut Wire<Noted<IO>> {
        &mut self.wire
    }

    /// Reads what nobody wants, until nothing more comes.
    pub(super) fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.wire.unread().clear();
            match ready!(self.wire.poll_read_more(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_shutdown(cx)
    }
}

/// Older clients send empty lines behind a request, and nobody minds (RFC 9112 §2.2).
fn skip_empty_lines(bytes: &mut Bytes) {
    loop {
        let length = match bytes[..] {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => return,
        };
        bytes.advance(length);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicUsize;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::task::TaskTracker;

    use super::super::super::super::counted::Counted;
    use super::super::upload::Upload;
    use super::*;
    use crate::threads::Threads;

    const HEADS: Heads = Heads {
        max_bytes: 8192,
        max_headers: 100,
    };

    /// The last of an upload may wait for a slow backend beside all that (`client::http1::body`, where a response is over
    /// before its request), and be dropped while the client's next request is on its way.
    #[tokio::test]
    async fn an_upload_that_is_over_has_no_part_in_the_next_one() {
        let threads = Threads::start().expect("threads");
        let open = Arc::new(AtomicUsize::new(0));
        let held = (
            Counted::begin(&open),
            TaskTracker::new().token(),
            None,
            threads.seats().take(),
        );
        let connection = ClientConnection::new(Ipv4Addr::LOCALHOST.into(), false, held);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, server) = (client.expect("a connection"), server.expect("one").0);
        let line = SharedLine::new(Noted::new(server, connection.clone()));
        let mut uploads = Vec::new();
        for (length, body) in [(5, "first"), (10, "hello")] {
            let request =
                format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
            client
                .write_all(request.as_bytes())
                .await
                .expect("a reader");
            let arrival = poll_fn(|cx| line.lock().poll_head(cx, HEADS, &connection)).await;
            let Ok(Arrival::Request(asked)) = arrival else {
                panic!("no request");
            };
            let mut upload = Upload::new(&line, asked.length, asked.expects);
            let data = upload.frame().await.expect("a body").expect("data");
            assert_eq!(data.into_data().expect("data"), body);
            if body == "first" {
                assert!(poll_fn(|cx| line.lock().poll_body_end(cx)).await);
            }
            uploads.push(upload);
        }
        let is_read = |line: &SharedLine<TcpStream>| {
            let mut cx = Context::from_waker(Waker::noop());
            line.lock().poll_body_end(&mut cx).is_pending()
        };
        assert!(is_read(&line), "the second one is being read");
        drop(uploads.remove(0));
        assert!(is_read(&line), "nobody is said to read the second one");
    }
}
