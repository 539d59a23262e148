//! A connection whose response has come before all of its request has gone.
//!
//! Both go on at a time, each as fast as its own other side: a client may well send all before it reads anything. So what
//! is left of the request has a task of its own, and the connection is lent to whoever is polled.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Sleep, sleep};

use super::super::BoxError;
use super::super::connect::BackendStream;
use super::Connection;
use super::upload::Uploading;
use crate::http1::{Decoder, Wire};

/// How long a backend may take no more of a request that it has answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reading half. Dropped before the response's end, it ends the connection, and the request with it.
pub(super) struct Reading(Arc<Mutex<Both>>);

/// What both halves have.
struct Both {
    /// Until neither needs it any longer, or it is of no use.
    connection: Option<Box<Connection>>,
    /// Whether all of the request has gone.
    is_sent: bool,
    /// Whether the response is over; if so, whether the connection may carry another request.
    is_received: Option<bool>,
    /// Until when the backend has to take what it was sent, once it has answered.
    patience: Option<Pin<Box<Sleep>>>,
    /// Why the request broke off.
    broken: Option<BoxError>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl Reading {
    /// Sends the rest of a request from here on.
    pub(super) fn beside(mut upload: Box<dyn Uploading>, connection: Box<Connection>) -> Self {
        let both = Arc::new(Mutex::new(Both {
            connection: Some(connection),
            is_sent: false,
            is_received: None,
            patience: None,
            broken: None,
            reader: None,
            writer: None,
        }));
        let writing = both.clone();
        tokio::spawn(async move {
            poll_fn(|cx| lock(&writing).poll_send(cx, &mut *upload)).await;
        });
        Self(both)
    }

    /// The next part of the response's body.
    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
        body: &mut Decoder,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut both = lock(&self.0);
        if let Some(broken) = both.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        both.reader = Some(cx.waker().clone());
        let Some(connection) = &mut both.connection else {
            return Poll::Ready(None);
        };
        let frame = ready!(connection.wire.poll_frame(cx, body));
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    /// The response is over. Once the request is, too, the connection goes on to the next one, if it persists.
    pub(super) fn end(self, persists: bool) {
        let mut both = lock(&self.0);
        both.is_received = Some(persists);
        both.settle();
        wake(&mut both.writer);
    }

    /// The connection, which has become another protocol's, once all of the request has gone.
    pub(super) async fn upgraded(self) -> Option<Wire<BackendStream>> {
        poll_fn(|cx| {
            let mut both = lock(&self.0);
            if both.is_sent || both.connection.is_none() {
                return Poll::Ready(both.connection.take().map(|it| it.wire));
            }
            both.reader = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut both = lock(&self.0);
        if both.is_received.is_none() {
            both.connection = None;
            wake(&mut both.writer);
        }
    }
}

impl Both {
    /// Sends on. Ready when there is nothing more to be sent.
    fn poll_send(&mut self, cx: &mut Context<'_>, upload: &mut dyn Uploading) -> Poll<()> {
        self.writer = Some(cx.waker().clone());
        let goes_on = self.is_received.is_none() || upload.outlasts_response();
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(());
        };
        match upload.poll(cx, &mut connection.wire) {
            Poll::Ready(Ok(())) => {
                self.is_sent = true;
                self.settle();
            }
            Poll::Ready(Err(error)) => {
                self.connection = None;
                self.broken = Some(error.into());
            }
            Poll::Pending if !goes_on => self.connection = None,
            Poll::Pending if self.is_received.is_some() => {
                if connection.wire.is_written() {
                    // It waits for the client.
                    self.patience = None;
                } else {
                    let patience = self
                        .patience
                        .get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
                    if patience.as_mut().poll(cx).is_ready() {
                        self.connection = None;
                        return Poll::Ready(());
                    }
                }
                // The backend has nothing more to say, so that this is its end.
                let _end = ready!(connection.wire.poll_read_more(cx));
                self.connection = None;
            }
            Poll::Pending => return Poll::Pending,
        }
        wake(&mut self.reader);
        Poll::Ready(())
    }

    fn settle(&mut self) {
        if self.is_sent
            && let Some(persists) = self.is_received
            && let Some(connection) = self.connection.take()
        {
            connection.rest_if(persists);
        }
    }
}

/// No two have it at a time, but for a moment on threads that end.
fn lock(both: &Mutex<Both>) -> MutexGuard<'_, Both> {
    both.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
