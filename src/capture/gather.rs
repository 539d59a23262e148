//! A request's body that is read before it is sent, for backends that are all to have it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;

use super::body::{BodyEnd, Captured, Limits, Recorder};

/// A body that was read as far as its bounds allow.
#[derive(Debug)]
pub enum Gathered<B> {
    /// All of it. Trailers are not kept.
    Whole(Captured),
    /// There is more than that. It is there once more, from its start.
    Over(Regained<B>),
}

/// A body of which something was read and is put back.
#[derive(Debug)]
pub struct Regained<B> {
    /// What was read, the last piece first.
    read: Vec<Bytes>,
    rest: B,
}

/// Reads a body to its end, or until it is over its bounds.
///
/// # Errors
///
/// That of the body.
pub async fn gather<B>(mut body: B, limits: &Limits) -> Result<Gathered<B>, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut recorder = Recorder::new(limits, &body.size_hint());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        recorder = match recorder.copy(&data) {
            Ok(recorder) => recorder,
            Err(before) => {
                return Ok(Gathered::Over(Regained {
                    read: vec![data, before],
                    rest: body,
                }));
            }
        };
    }
    Ok(Gathered::Whole(recorder.finish(BodyEnd::Complete)))
}

impl<B> Body for Regained<B>
where
    B: Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.read.pop() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    use super::*;
    use crate::capture::{Budget, Content};

    async fn gathered(max: usize) -> Gathered<Full<Bytes>> {
        let limits = Limits {
            max_body: max,
            budget: Budget::new(100),
        };
        let body = Full::new(Bytes::from_static(b"all of it"));
        gather(body, &limits).await.expect("it can't fail")
    }

    #[tokio::test]
    async fn what_is_within_its_bounds_is_there_whole() {
        let Gathered::Whole(captured) = gathered(9).await else {
            panic!("it fits");
        };
        assert_eq!(captured.content, Content::Whole("all of it".into()));
        assert_eq!(captured.len, 9);
    }

    #[tokio::test]
    async fn of_what_is_over_them_nothing_is_lost() {
        let Gathered::Over(body) = gathered(8).await else {
            panic!("it does not fit");
        };
        let all = body.collect().await.expect("it can't fail").to_bytes();
        assert_eq!(all, "all of it");
    }

    #[tokio::test]
    async fn what_was_read_is_held_in_the_budget_for_as_long_as_anybody_has_it() {
        for max in [9, 8] {
            let limits = Limits {
                max_body: max,
                budget: Budget::new(100),
            };
            let frame = |text| Ok::<_, Infallible>(Frame::data(Bytes::from_static(text)));
            let body = StreamBody::new(stream::iter([frame(b"all of "), frame(b"it")]));
            match gather(body, &limits).await.expect("it can't fail") {
                Gathered::Whole(captured) => {
                    let sent = captured.content.bytes().clone();
                    drop(captured);
                    assert_eq!(limits.budget.held(), 9);
                    assert_eq!(sent, "all of it");
                }
                Gathered::Over(mut body) => {
                    assert_eq!(limits.budget.held(), 7);
                    let first = body.frame().await.expect("a frame").expect("no error");
                    assert_eq!(first.into_data().expect("data"), "all of ");
                }
            }
            assert_eq!(limits.budget.held(), 0);
        }
    }
}
