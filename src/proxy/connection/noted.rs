//! A connection's bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::ClientConnection;

/// What a client of HTTP/2 sends first (RFC 9113 §3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is a TCP connection at its bottom.
pub(in crate::proxy) trait Socket:
    AsyncRead + AsyncWrite + Unpin + Send + 'static
{
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A connection's bytes, whose arrival is noted, and whose end tells of a response that broke off.
#[derive(Debug)]
pub(in crate::proxy) struct Noted<IO: Socket> {
    io: IO,
    connection: Arc<ClientConnection>,
    /// What came and is still to be read.
    ahead: Bytes,
}

impl<IO: Socket> Noted<IO> {
    pub(in crate::proxy) fn new(io: IO, connection: Arc<ClientConnection>) -> Self {
        Self {
            io,
            connection,
            ahead: Bytes::new(),
        }
    }

    pub(in crate::proxy) fn connection(&self) -> &Arc<ClientConnection> {
        &self.connection
    }

    /// Whether all that came was read.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Has these bytes read again.
    pub(in crate::proxy) fn unread(&mut self, bytes: &[u8]) {
        self.ahead = [bytes, &self.ahead].concat().into();
    }

    /// Waits for bytes, or for their end, which are left to be read; tells whether they are enough to know
    /// the version. Nothing is lost if it is given up.
    pub(in crate::proxy) async fn arrive(&mut self) -> io::Result<bool> {
        if self.connection.is_begun() && self.is_read() {
            self.io.tcp().readable().await?;
            return Ok(true);
        }
        let mut bytes = [0; PREFACE.len()];
        let start = self.ahead.len();
        bytes[..start].copy_from_slice(&self.ahead);
        let came = self.io.read(&mut bytes[start..]).await?;
        if came == 0 {
            return Ok(true);
        }
        self.connection.received();
        self.ahead = Bytes::copy_from_slice(&bytes[..start + came]);
        if bytes == PREFACE {
            self.connection.speaks(Version::HTTP_2);
        }
        Ok(self.connection.is_http2() || !PREFACE.starts_with(&self.ahead))
    }

    fn poll_io(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_read() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let ahead = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(ahead));
        Poll::Ready(Ok(()))
    }
}

impl<IO: Socket> Drop for Noted<IO> {
    fn drop(&mut self) {
        if self.connection.is_cut.load(Ordering::Relaxed) {
            // Closed after that, it is reset. Where that fails, there is no connection.
            let _gone = self.io.tcp().set_zero_linger();
        }
    }
}

impl<IO: Socket> AsyncRead for Noted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.poll_io(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.received();
        }
        read
    }
}

impl<IO: Socket> AsyncWrite for Noted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.connection.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.connection.wrote(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_cut.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let closed = Pin::new(&mut self.io).poll_shutdown(cx);
        self.connection.wrote(closed)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, buffers);
        self.connection.wrote(written)
    }
}
