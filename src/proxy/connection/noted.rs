//! A connection's bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::ClientConnection;

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
}

impl<IO: Socket> Noted<IO> {
    pub(in crate::proxy) fn new(io: IO, connection: Arc<ClientConnection>) -> Self {
        Self { io, connection }
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
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.came();
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
