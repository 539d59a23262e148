//! Uploads that wait to be asked for (`Expect: 100-continue`, RFC 9110 §10.1.1).
//!
//! The client asked whether its body is wanted, and the backend is to answer that: nothing of the body is
//! read until the backend says 100, or has stayed silent for so long that it is taken not to know the
//! question. A final answer before means that the body stays where it is until the answer is over. What
//! the client sends then after all is passed on, as it would have been without miffy.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::ext::on_informational;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use super::Replay;

/// How long a backend may think about it. Clients wait about as long before they send all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request's body, which may wait to be asked for.
#[derive(Debug)]
pub(super) struct Expected<B> {
    inner: B,
    wait: Option<Wait>,
    broken: Option<Broken>,
}

/// Whether a request's body failed, for when its connection will not tell.
pub(super) type Broken = Arc<AtomicBool>;

/// Has it told when a request's body fails; `None` if there is none.
pub(super) fn watch<B: Body>(request: &mut Request<Expected<B>>) -> Option<Broken> {
    let body = request.body_mut();
    body.broken = (!body.inner.is_end_stream()).then(Broken::default);
    body.broken.clone()
}

#[derive(Debug)]
enum Wait {
    /// For the question's answer.
    Asked {
        asked_for: oneshot::Receiver<()>,
        patience: Pin<Box<Sleep>>,
        over: oneshot::Receiver<()>,
    },
    /// The final answer came instead; for its end.
    Answered(oneshot::Receiver<()>),
}

/// A request whose body may wait, and what the answer's body is to hold then.
pub(super) type Expecting<B> = (Request<Expected<B>>, Option<oneshot::Sender<()>>);

/// Lets a request's body wait, if the client asked whether it is wanted. Also gives what the answer's body
/// is to hold then, so that its end is known.
pub(super) fn expecting<B: Body>(mut request: Request<B>) -> Expecting<B> {
    let waits = request.version() == Version::HTTP_11
        && !request.body().is_end_stream()
        && request
            .headers()
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let waiting = waits.then(|| {
        let (answer, over) = oneshot::channel::<()>();
        let (sender, asked_for) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE
                && let Ok(mut sender) = sender.lock()
                && let Some(sender) = sender.take()
            {
                // Nobody waits once the patience is over.
                let _too_late = sender.send(());
            }
        });
        let wait = Wait::Asked {
            asked_for,
            patience: Box::pin(sleep(PATIENCE)),
            over,
        };
        (wait, answer)
    });
    let (wait, answer) = waiting.unzip();
    let broken = None;
    let request = request.map(|inner| Expected {
        inner,
        wait,
        broken,
    });
    (request, answer)
}

impl Wait {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Asked {
            asked_for,
            patience,
            over,
        } = self
        {
            match Pin::new(asked_for).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(()),
                // The sender was dropped unused: the final answer is there, and the body is not wanted.
                Poll::Ready(Err(_)) => {
                    let (_, never) = oneshot::channel();
                    *self = Self::Answered(std::mem::replace(over, never));
                }
                Poll::Pending => return patience.as_mut().poll(cx),
            }
        }
        match self {
            Self::Answered(over) => Pin::new(over).poll(cx).map(drop),
            Self::Asked { .. } => Poll::Pending,
        }
    }
}

impl<B: Replay> Replay for Expected<B> {
    fn replay(&self) -> Option<Self> {
        self.inner.replay().map(|inner| Self {
            inner,
            wait: None,
            broken: self.broken.clone(),
        })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Expected<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.poll(cx));
            self.wait = None;
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let (Poll::Ready(Some(Err(_))), Some(broken)) = (&frame, &self.broken) {
            broken.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
