//! A connection's bytes, read and written.
//!
//! A connection holds no buffer while nothing is in it: what comes is read into memory of the thread's, and copied out
//! at its length; large data alone is read where it stays. What is written is put together in memory of the thread's
//! as well, and kept only where the other side does not take it at once.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{Decoded, Decoder, Malformed};

/// Bytes that are read at a time.
const READ: usize = 32 * 1024;

/// Bytes of data that are worth memory of their own before they have come.
const LARGE: u64 = 16 * 1024;

/// At most so many of them at a time.
const MAX_LARGE: usize = 128 * 1024;

/// Data up to so many bytes is copied behind what goes before it, since that is cheaper than to tell the system of both.
const SMALL: usize = 4 * 1024;

/// Room that is not given back to the thread.
const MAX_ROOM: usize = 64 * 1024;

thread_local! {
    static COMING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
    static LARGE_COMING: Cell<BytesMut> = Cell::new(BytesMut::new());
    static GOING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Gives room to put together what is to be written; empty, and the thread's.
pub(crate) fn with_room<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut room = GOING.take();
    room.clear();
    let written = write(&mut room);
    if room.capacity() <= MAX_ROOM {
        GOING.set(room);
    }
    written
}

/// Why a message can't be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A connection's bytes.
#[derive(Debug)]
pub(crate) struct Wire<IO> {
    io: IO,
    /// What came and was not read yet.
    unread: Bytes,
    unwritten: Unwritten,
}

/// What the other side did not take yet.
#[derive(Debug, Default)]
struct Unwritten {
    before: Bytes,
    data: Bytes,
    behind: &'static [u8],
}

impl Unwritten {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.data.is_empty() && self.behind.is_empty()
    }
}

impl<IO> Wire<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self {
            io,
            unread: Bytes::new(),
            unwritten: Unwritten::default(),
        }
    }

    pub(crate) fn io_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    /// What came and was not read yet.
    pub(crate) fn unread(&mut self) -> &mut Bytes {
        &mut self.unread
    }

    /// Whether all that came was read.
    pub(crate) fn is_read(&self) -> bool {
        self.unread.is_empty()
    }

    /// Whether all that was written has gone.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Whether nothing is left in either direction.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_read() && self.is_written()
    }

    fn add(&mut self, read: &[u8]) {
        if self.unread.is_empty() {
            self.unread = Bytes::copy_from_slice(read);
            return;
        }
        let unread = std::mem::take(&mut self.unread);
        let mut all = unread
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        all.extend_from_slice(read);
        self.unread = all.freeze();
    }
}

impl<IO: AsyncRead + Unpin> Wire<IO> {
    /// Reads more, behind what is unread; says how much, 0 at the connection's end.
    pub(crate) fn poll_read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        COMING.with_borrow_mut(|coming| {
            let mut buffer = ReadBuf::new(coming);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.add(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// The next part of a body; `None` at its end.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Decoder,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match body.decode(&mut self.unread) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::Pending) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            let ahead = body.data_ahead();
            let read = if ahead >= LARGE {
                match ready!(self.poll_read_large(cx, ahead)) {
                    Ok(data) if !data.is_empty() => {
                        body.took(data.len() as u64);
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    read => read.map(|_| 0),
                }
            } else {
                ready!(self.poll_read_more(cx))
            };
            let went_on = match read {
                Ok(0) => body.end().map_err(Broken::from),
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = went_on {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Reads data, of which there is so much ahead, and nothing is unread; none at the connection's end.
    fn poll_read_large(&mut self, cx: &mut Context<'_>, ahead: u64) -> Poll<io::Result<Bytes>> {
        let size = usize::try_from(ahead).unwrap_or(MAX_LARGE).min(MAX_LARGE);
        let mut buffer = LARGE_COMING.take();
        // Most often it is the same memory again, since what was read before was written by now.
        buffer.reserve(MAX_LARGE);
        let mut room = (&mut buffer).limit(size);
        let read = poll_read_buf(Pin::new(&mut self.io), cx, &mut room);
        let data = if buffer.len() as u64 >= LARGE {
            buffer.split().freeze()
        } else {
            let data = Bytes::copy_from_slice(&buffer);
            buffer.clear();
            data
        };
        LARGE_COMING.set(buffer);
        read.map_ok(|_| data)
    }
}

impl<IO: AsyncWrite + Unpin> Wire<IO> {
    /// Writes `before`, `data` and `behind`, once all that was written before has [gone](Self::poll_flush). What the
    /// other side does not take at once is kept until then.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        before: &mut Vec<u8>,
        mut data: Bytes,
        mut behind: &'static [u8],
    ) -> Poll<io::Result<()>> {
        debug_assert!(self.unwritten.is_empty(), "it is to go first");
        if data.len() <= SMALL {
            before.extend_from_slice(&data);
            before.extend_from_slice(behind);
            (data, behind) = (Bytes::new(), b"");
        }
        let mut gone = 0;
        while gone < before.len() || !data.is_empty() || !behind.is_empty() {
            let parts = [&before[gone..], &data, behind];
            match write(&mut self.io, cx, parts) {
                Poll::Ready(Ok(count)) => {
                    let mut start = &before[gone..];
                    advance(count, &mut start, &mut data, &mut behind);
                    gone = before.len() - start.len();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let before = Bytes::copy_from_slice(&before[gone..]);
                    self.unwritten = Unwritten {
                        before,
                        data,
                        behind,
                    };
                    return Poll::Pending;
                }
            }
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Ends when all that was written has gone.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Ends when all that was kept is written.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let Unwritten {
                before,
                data,
                behind,
            } = &mut self.unwritten;
            let count = ready!(write(&mut self.io, cx, [before, data, behind]))?;
            advance(count, before, data, behind);
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the other side that nothing more will come.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Writes what the other side takes of these.
fn write<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    cx: &mut Context<'_>,
    parts: [&[u8]; 3],
) -> Poll<io::Result<usize>> {
    let io = Pin::new(io);
    let written = match parts {
        [one, [], []] | [[], one, []] | [[], [], one] => io.poll_write(cx, one),
        parts => io.poll_write_vectored(cx, &parts.map(IoSlice::new)),
    };
    match ready!(written) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(written),
    }
}

fn advance(count: usize, before: &mut impl Buf, data: &mut Bytes, behind: &mut &'static [u8]) {
    let mut count = count;
    let mut advance = |part: &mut dyn Buf| {
        let some = count.min(part.remaining());
        part.advance(some);
        count -= some;
    };
    advance(before);
    advance(data);
    advance(behind);
}

/// What is unread, and what is kept, comes first for whoever speaks another protocol from here on.
impl<IO: AsyncRead + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_read() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let ahead = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(ahead));
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(&mut self, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::Length;
    use super::*;

    /// Writes parts on a connection that takes few bytes at a time.
    async fn written(before: &str, data: &[u8], behind: &'static [u8]) -> Vec<u8> {
        let (io, mut other) = duplex(7);
        let writing = async {
            let mut wire = Wire::new(io);
            let data = Bytes::copy_from_slice(data);
            let written = poll_fn(|cx| {
                let kept = with_room(|out| {
                    out.extend_from_slice(before.as_bytes());
                    wire.poll_write(cx, out, data.clone(), behind)
                });
                Poll::Ready(kept.map_ok(|()| panic!("it takes so few")))
            });
            assert!(written.await.is_pending());
            let flushed = poll_fn(|cx| wire.poll_flush(cx)).await;
            flushed.expect("a reader");
        };
        let mut all = Vec::new();
        let reading = other.read_to_end(&mut all);
        let ((), read) = tokio::join!(writing, reading);
        read.expect("an end");
        all
    }

    #[tokio::test]
    async fn what_is_not_taken_at_once_goes_later_in_its_order() {
        assert_eq!(
            written("before", b"data", b"behind").await,
            b"beforedatabehind"
        );
        assert_eq!(written("", b"some data", b"").await, b"some data");
        let large = vec![b'x'; SMALL + 1];
        let expected = [b"before", &large[..], b"behind"].concat();
        assert_eq!(written("before", &large, b"behind").await, expected);
        assert_eq!(written("", &large, b"").await, large);
    }

    /// A body that comes in these pieces, frame by frame.
    async fn read(length: Length, pieces: Vec<Vec<u8>>) -> Result<Vec<u8>, Broken> {
        let (io, mut other) = duplex(1024 * 1024);
        let sending = async {
            for piece in pieces {
                other.write_all(&piece).await.expect("a reader");
                tokio::task::yield_now().await;
            }
            drop(other);
        };
        let reading = async {
            let (mut wire, mut body) = (Wire::new(io), Decoder::new(length));
            let mut all = Vec::new();
            while let Some(frame) = poll_fn(|cx| wire.poll_frame(cx, &mut body)).await {
                all.extend_from_slice(&frame?.into_data().expect("no trailers"));
            }
            Ok(all)
        };
        tokio::join!(sending, reading).1
    }

    #[tokio::test]
    async fn bodies_come_whole_whatever_their_size() {
        for size in [1, 100, READ, 3 * MAX_LARGE + 1] {
            let body: Vec<u8> = (0..size)
                .map(|n| u8::try_from(n % 251).expect("small"))
                .collect();
            let pieces = |size: usize| body.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let exact = Length::Exact(size as u64);
            assert_eq!(read(exact, pieces(size)).await.expect("a body"), body);
            assert_eq!(read(exact, pieces(1000)).await.expect("a body"), body);
            assert_eq!(
                read(Length::UntilClose, pieces(1000))
                    .await
                    .expect("a body"),
                body
            );
            let start = format!("{size:x}\r\n").into_bytes();
            let mut chunks = pieces(5000);
            chunks.insert(0, start);
            chunks.push(b"\r\n0\r\n\r\n".to_vec());
            assert_eq!(read(Length::Chunked, chunks).await.expect("a body"), body);
        }
    }

    #[tokio::test]
    async fn a_body_that_ends_too_early_is_broken() {
        let large = vec![b'x'; 2 * MAX_LARGE];
        for (length, sent) in [
            (Length::Exact(3), b"ab".to_vec()),
            (Length::Exact(large.len() as u64 + 1), large.clone()),
            (Length::Chunked, b"5\r\nab".to_vec()),
            (Length::Chunked, [&b"40000\r\n"[..], &large].concat()),
        ] {
            let broken = read(length, vec![sent]).await;
            assert!(
                matches!(broken, Err(Broken::Malformed(Malformed::Incomplete))),
                "{broken:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_unread_comes_first_for_who_takes_the_connection() {
        let (io, mut other) = duplex(64);
        let mut wire: Wire<DuplexStream> = Wire::new(io);
        other.write_all(b"first").await.expect("a reader");
        let more = poll_fn(|cx| wire.poll_read_more(cx)).await;
        assert_eq!(more.expect("bytes"), 5);
        other.write_all(b"second").await.expect("a reader");
        drop(other);
        let mut all = Vec::new();
        wire.read_to_end(&mut all).await.expect("an end");
        assert_eq!(all, b"firstsecond");
    }
}
