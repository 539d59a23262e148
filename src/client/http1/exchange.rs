//! A request on its way, until its response's head is there.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;

use super::super::connect::has_hung_up;
use super::super::error::Error;
use super::super::{BoxError, Replay};
use super::Connection;
use super::body::ResponseBody;
use super::message::{Again, Message};
use super::upload::Uploading;
use crate::http1::{Heads, Told, with_room};

/// How large a response's head may be.
const HEADS: Heads = Heads {
    max_bytes: 128 * 1024,
    max_headers: 1000,
};

/// A request on its way. Futures hold it, of which each copies what it is given, so that it is small.
pub(in crate::client) struct Sent<B> {
    connection: Box<Connection>,
    message: Message<B>,
    again: Again<B>,
    /// What was not to be waited for when it was sent.
    sending: Poll<Result<(), Box<Error>>>,
    /// Whether anything of an answer came.
    is_heard: bool,
    /// How much of what is unread is known to be no whole head.
    known: usize,
}

/// That there is no response to a request.
pub(in crate::client) enum Unanswered<B> {
    /// Most likely the backend has not seen it. It is to be sent on another connection.
    Unseen(Message<B>),
    /// It may have seen it.
    Failed(Error),
}

/// Why there is no head.
enum Silence {
    /// The backend has closed the connection.
    HungUp(Error),
    /// Something else.
    Failed(Error),
}

impl Connection {
    /// Sends a request, which is on its way when this returns, as far as the other side takes it and it is there. If it may
    /// be tried again, all is kept for that which is safe.
    pub(in crate::client) fn send<B>(
        mut self: Box<Self>,
        mut message: Message<B>,
        may_retry: bool,
    ) -> Sent<B>
    where
        B: Body<Data = Bytes> + Replay + Send + Unpin,
        B::Error: Into<BoxError>,
    {
        self.wire.io_mut().take_turn();
        let again = if may_retry && self.has_waited {
            message.again()
        } else {
            Again::Never
        };
        // Whatever it would wait for is asked for again by who waits.
        let mut cx = Context::from_waker(Waker::noop());
        let sending = match &mut message.upload {
            Some(upload) => upload.poll_begin(&mut cx, &message.head, &mut self.wire),
            None => with_room(|out| {
                out.extend_from_slice(&message.head);
                let written = self.wire.poll_write(&mut cx, out, Bytes::new(), b"");
                written.map_err(|error| Error::asking(&error))
            }),
        };
        Sent {
            connection: self,
            message,
            again,
            sending: sending.map_err(Box::new),
            is_heard: false,
            known: 0,
        }
    }
}

impl<B> Sent<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// The response, as soon as its head is there.
    pub(in crate::client) async fn answer(
        mut self,
    ) -> Result<Response<ResponseBody>, Unanswered<B>> {
        match poll_fn(|cx| self.poll_head(cx)).await {
            Ok(told) => {
                let upload = self.message.upload.filter(|_| self.sending.is_pending());
                let upload = upload.map(|mut upload| {
                    upload.is_answered();
                    upload as Box<dyn Uploading>
                });
                Ok(ResponseBody::response(told, self.connection, upload))
            }
            Err(Silence::HungUp(error)) => {
                let upload = match self.again {
                    Again::Bodiless if !self.is_heard => None,
                    Again::With(upload) if !self.is_heard => Some(upload),
                    _ => return Err(Unanswered::Failed(error)),
                };
                let message = self.message;
                Err(Unanswered::Unseen(Message { upload, ..message }))
            }
            Err(Silence::Failed(error)) => Err(Unanswered::Failed(error)),
        }
    }

    /// Sends on, and reads up to the end of the final response's head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Told, Silence>> {
        loop {
            self.send_on(cx).map_err(Silence::Failed)?;
            let wire = &mut self.connection.wire;
            if !wire.is_read() {
                self.is_heard = true;
                let told = HEADS.response(wire.unread(), self.known, &self.message.method);
                let told =
                    told.map_err(|error| Silence::Failed(Error::protocol(&error.to_string())))?;
                self.known = wire.unread().len();
                if let Some(told) = told {
                    self.known = 0;
                    if is_final(told.head.status) {
                        return Poll::Ready(Ok(told));
                    }
                    self.note(told.head.status);
                    continue;
                }
            }
            let wire = &mut self.connection.wire;
            match ready!(wire.poll_read_more(cx)) {
                Ok(1..) => {}
                Ok(0) => {
                    let error = Error::protocol("the connection ended without an answer");
                    return Poll::Ready(Err(Silence::HungUp(error)));
                }
                Err(error) => {
                    let kind = if has_hung_up(&error) {
                        Silence::HungUp
                    } else {
                        Silence::Failed
                    };
                    return Poll::Ready(Err(kind(Error::asking(&error))));
                }
            }
        }
    }

    fn send_on(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.sending.is_pending() {
            let wire = &mut self.connection.wire;
            self.sending = match &mut self.message.upload {
                Some(upload) => upload.poll(cx, wire).map_err(Box::new),
                None => wire
                    .poll_flush(cx)
                    .map_err(|error| Box::new(Error::asking(&error))),
            };
        }
        match std::mem::replace(&mut self.sending, Poll::Ready(Ok(()))) {
            Poll::Ready(sent) => sent.map_err(|error| *error),
            Poll::Pending => {
                self.sending = Poll::Pending;
                Ok(())
            }
        }
    }

    /// A response came that is not the final one (RFC 9110 §15.2).
    fn note(&mut self, status: StatusCode) {
        if status == StatusCode::CONTINUE
            && let Some(upload) = &mut self.message.upload
        {
            upload.is_wanted();
        }
    }
}

fn is_final(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;

    use http::Method;
    use http_body::Frame;
    use hyper_rustls::MaybeHttpsStream;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::super::super::connect::{BackendStream, Connector, Versions};
    use super::super::{Backend, Http1};
    use super::*;
    use crate::config::Pool;
    use crate::http1::Wire;

    /// No body.
    struct Nothing;

    impl Body for Nothing {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }

        fn is_end_stream(&self) -> bool {
            true
        }
    }

    impl Replay for Nothing {
        fn replay(&self) -> Option<Self> {
            Some(Self)
        }
    }

    fn backends() -> (Http1, Arc<Backend>) {
        let tls = crate::tls::unused().expect("no certificates");
        let connector = Connector::new(Duration::from_secs(1), tls, Versions::Http1);
        let pool = Pool {
            max_idle: 10,
            idle_timeout: Duration::from_mins(1),
        };
        let http1 = Http1::new(connector, pool);
        let backend = http1.backend(&"http://127.0.0.1:1".parse().expect("a URL"));
        (http1, backend)
    }

    /// A connection on which little fits, and its other end.
    async fn connection(home: &Arc<Backend>) -> (Box<Connection>, TcpStream) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a size");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let listener = socket.listen(1).expect("a listener");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_send_buffer_size(4096).expect("a size");
        let address = listener.local_addr().expect("an address");
        let (here, there) = tokio::join!(socket.connect(address), listener.accept());
        let stream = MaybeHttpsStream::Http(TokioIo::new(here.expect("a connection")));
        let connection = Connection {
            wire: Wire::new(BackendStream::from(stream)),
            has_waited: false,
            home: Arc::downgrade(home),
        };
        (Box::new(connection), there.expect("a connection").0)
    }

    fn message(size: usize) -> Message<Nothing> {
        let head = format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "x".repeat(size)
        );
        Message {
            method: Method::GET,
            head: head.into_bytes(),
            upload: None,
        }
    }

    async fn answered(connection: Box<Connection>, message: Message<Nothing>) -> bool {
        let answer = connection.send(message, true).answer();
        let answer = timeout(Duration::from_secs(5), answer).await;
        answer.expect("it ends in time").is_ok()
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    /// What is left of a head would go behind the next one, or among its body.
    #[tokio::test]
    async fn a_connection_with_something_unwritten_does_not_wait_for_the_next_request() {
        let (_http1, home) = backends();
        let (connection, mut other) = connection(&home).await;
        other.write_all(OK).await.expect("a reader");
        assert!(answered(connection, message(1024 * 1024)).await);
        let Some(connection) = home.ready() else {
            return;
        };
        // What arrives then:
        let drained = tokio::spawn(async move {
            let mut all = Vec::new();
            let _ended = timeout(Duration::from_secs(2), other.read_to_end(&mut all)).await;
            all
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let sent = connection.send(message(1), true);
        let _late = timeout(Duration::from_secs(1), sent.answer()).await;
        let all = drained.await.expect("no panic");
        let runs = String::from_utf8(all).expect("a text").replace('x', "");
        panic!("it was used again, and its backend was sent (without x): {runs:?}");
    }

    /// As after a reload: nobody asks for any of them again.
    #[tokio::test]
    async fn idle_connections_end_with_their_client() {
        let (http1, home) = backends();
        let (connection, mut other) = connection(&home).await;
        other.write_all(OK).await.expect("a reader");
        assert!(answered(connection, message(1)).await);
        drop((http1, home));
        let ended = timeout(Duration::from_secs(3), async {
            while other.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
        });
        ended.await.expect("the connection's end");
    }
}
